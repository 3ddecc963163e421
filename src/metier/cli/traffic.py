"""The commands about traffic: start a project, bring calls in, look at what was turned away, find the tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from metier.artefacts.tasks import Audit
from metier.audit import AuditSettings
from metier.cli import stages
from metier.cli.options import with_settings
from metier.cli.session import session
from metier.cli.terminal import err, out
from metier.pages import console as show
from metier.project import write_template

_QUARANTINE_ROWS = 20


def init_command(
    folder: Annotated[Path, typer.Argument(help="Where the project shall be.")] = Path(),
) -> None:
    """Write a commented metier.toml with every setting and its default."""
    path = write_template(folder)
    out.print(f"Wrote {path}. Next: metier import FILE", highlight=False, soft_wrap=True)


def import_command(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Logs or labelled records; .gz is fine.")],
    *,
    form: Annotated[str | None, typer.Option("--format", help="Force a format; by default it is recognised.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Name of the task that labelled records belong to; by default the file's name.")
    ] = None,
) -> None:
    """Bring traffic in. Bad lines are quarantined with their reason; importing a file twice adds nothing."""
    raise NotImplementedError


@with_settings(AuditSettings)
def audit_command(*, given: dict[str, Any]) -> None:
    """What recurs in this traffic, what it costs, and what is worth specialising."""
    with session(Path.cwd(), err) as at:
        stored = stages.audit_stage(at, given)
        out.print(show.audit_table(cast(Audit, stored.artefact)))
