"""The routing table: what a gateway knows of its tasks at one moment. Immutable; a change makes a new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from metier.gateway.calls import Mode
from metier.gateway.redaction import Redactor
from metier.gateway.routing.champions import Champion
from metier.gateway.settings import RouteSettings
from metier.mining.prompts import prompt_of
from metier.mining.recognition import Recognised, Recogniser
from metier.mining.units import OPEN_ENDED_ID

# Reading a longer prompt takes a millisecond by itself.
LONG_CHARS = 100_000


@dataclass(frozen=True)
class TaskRoute:
    """What is done with the calls of one task: [route] and [tasks.NAME.route] as plain values; shares are in [0, 1]."""

    task: str
    mode: Mode
    rollout: float
    audit_share: float
    audit_allowance: float
    keeps_new_wordings: bool
    max_waiting: int
    answer_timeout_s: float
    champion: Champion | None = None

    @property
    def allowed(self) -> float | None:
        """The share of wrong answers that the audit compares with: alpha plus the allowance; None without a certificate."""
        certificate = self.champion.policy.certificate if self.champion else None
        return None if certificate is None else certificate.alpha + self.audit_allowance


def task_route(task: str, settings: RouteSettings, champion: Champion | None) -> TaskRoute:
    """The route of a task from its settings."""
    return TaskRoute(
        task=task,
        mode=Mode(settings.mode),
        rollout=settings.rollout / 100,
        audit_share=settings.audit_share,
        audit_allowance=settings.audit_allowance,
        keeps_new_wordings=settings.new_wordings == "keep",
        max_waiting=settings.max_waiting,
        answer_timeout_s=settings.answer_timeout_s,
        champion=champion,
    )


@dataclass(frozen=True)
class AuditRecogniser:
    """Recognises the `tasks` of one audit; `own` are those whose champion was made from this very audit."""

    audit_id: str
    recogniser: Recogniser
    tasks: frozenset[str]
    own: frozenset[str]


@dataclass(frozen=True)
class Glance:
    """What the first look at a call shows. `is_sure`: recognition would find just this, `found` or nothing."""

    is_sure: bool
    found: Recognised | None
    is_long: bool


@dataclass(frozen=True)
class RoutingTable:
    """`recognisers` are those of the champions' audits, newest first, and that of the newest audit. `faults` says by task,
    in words, what could not be loaded; a champion that was serving before goes on serving. Those in `loading` are tasks
    whose new champion takes its time to load. `revoked` holds policy ids.
    `redact` is what prompts must go through to be compared with templates of redacted traces; None where none is needed."""

    recognisers: tuple[AuditRecogniser, ...] = ()
    routes: Mapping[str, TaskRoute] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    revoked: frozenset[str] = frozenset()
    loading: frozenset[str] = frozenset()
    redact: Redactor | None = None

    def recognise(self, messages: object, model: object, task_hint: str | None = None) -> Recognised | None:
        """The task of a call, or None. `task_hint`, or a `model` that is the name of a task, says which task it is."""
        hint = self._hint(task_hint, model)
        found = self._recognise(self.redact.value(messages), hint) if self.redact is not None else None
        return found or self._recognise(messages, hint)

    def _recognise(self, messages: object, hint: str | None) -> Recognised | None:
        found = self._best(messages, hint) if hint is not None else None
        return found or self._best(messages, None)

    def _best(self, messages: object, hint: str | None) -> Recognised | None:
        best, best_rank = None, -1
        for one in self.recognisers:
            is_asked = hint is None or hint in one.tasks
            found = one.recogniser.recognise(messages, hint) if is_asked else None
            if found is None:
                continue
            # A champion is certified for inputs as the audit that it was made from extracts them.
            is_own = found.task_name in one.own
            found = found if is_own else replace(found, exact=False)
            rank = 2 * is_own + found.exact
            if rank > best_rank:
                best, best_rank = found, rank
            if rank == _SURE:
                break
        return best

    def glance(self, messages: object, model: object, task_hint: str | None = None) -> Glance:
        """What can be told in some microseconds: a prompt that is a template to the letter, or that is like none."""
        prompt = prompt_of(messages) if self.recognisers else None
        if prompt is None or not prompt.n_chars:
            return _NOTHING
        is_long = prompt.n_chars > LONG_CHARS
        if is_long or self.redact is not None or self._hint(task_hint, model) is not None:
            return Glance(False, None, is_long)
        for one in self.recognisers:
            wordings = one.recogniser.wordings
            matched = wordings.match(prompt)
            if matched is None:
                if wordings.reworded.candidates(prompt):
                    return _UNSURE
                continue
            place, text = matched
            owners = wordings.owners[place]
            task = owners[0]
            if len(owners) == 1 and task.id == OPEN_ENDED_ID:
                continue
            if len(owners) > 1 or (task.name not in one.own and len(self.recognisers) > 1):
                return _UNSURE
            is_own = task.name in one.own
            found = Recognised(task.name, task.id, wordings.templates[place].id, text, is_own, prompt.has_image)
            return Glance(True, found, False)
        return _NOTHING

    def _hint(self, task_hint: str | None, model: object) -> str | None:
        if task_hint in self.routes:
            return task_hint
        return model if isinstance(model, str) and model in self.routes else None


_SURE = 3
_NOTHING = Glance(True, None, False)
_UNSURE = Glance(False, None, False)
