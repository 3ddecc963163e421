"""The commands about traffic: start a project, bring calls in, look at what was turned away, find the tasks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.markup import escape
from rich.table import Table

from metier.artefacts.tasks import Audit
from metier.audit import AuditSettings
from metier.cli import stages
from metier.cli.options import with_settings
from metier.cli.session import session
from metier.cli.terminal import err, out
from metier.pages import console as show
from metier.project import write_template
from metier.sources.importing import DEFAULT_MAX_LINE_BYTES, FileReport, ImportReport, import_files
from metier.sources.registry import SOURCES

_QUARANTINE_ROWS = 20


def init_command(
    folder: Annotated[Path, typer.Argument(help="Where the project shall be.")] = Path(),
) -> None:
    """Write a commented metier.toml with every setting and its default."""
    path = write_template(folder)
    out.print(f"Wrote {path}. Next: metier import FILE, or metier serve", highlight=False, soft_wrap=True)


def import_command(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Logs or labelled records; .gz is fine.")],
    *,
    form: Annotated[
        str | None, typer.Option("--format", help=f"Recognised where it is not given; one of {', '.join(SOURCES)}.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Name of the task that labelled records belong to; by default the file's name.")
    ] = None,
    input_column: Annotated[
        str | None, typer.Option(help="Column of labelled records that holds the input; by default the usual names.")
    ] = None,
    output_column: Annotated[
        str | None, typer.Option(help="Column of labelled records that holds the output; by default the usual names.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Text encoding; by default UTF-8, or what the file's BOM says.")
    ] = None,
    max_line_bytes: Annotated[
        int, typer.Option(min=1024, help="A longer line is quarantined without being held in memory.")
    ] = DEFAULT_MAX_LINE_BYTES,
) -> None:
    """Bring traffic in. Bad lines are quarantined with their reason; importing a file twice adds nothing."""
    with session(Path.cwd(), err) as at, at.traffic() as traffic:
        report = import_files(
            files,
            traffic,
            format=form,
            dataset=dataset,
            encoding=encoding,
            input_column=input_column,
            output_column=output_column,
            max_line_bytes=max_line_bytes,
            progress=at.progress,
        )
    print_import(report)


def quarantine_command(
    *,
    reason: Annotated[str | None, typer.Option(help="Only lines turned away for this reason.")] = None,
    file: Annotated[str | None, typer.Option(help="Only lines of this file.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Lines shown at most.")] = _QUARANTINE_ROWS,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write them as CSV to stdout.")] = False,
) -> None:
    """Show the lines that could not be imported: file, line, reason and how they begin."""
    with session(Path.cwd(), err) as at, at.traffic() as traffic:
        counts = traffic.quarantine_counts(file)
        rows = traffic.quarantine_rows(limit, reason=reason, path=file)
    if as_csv:
        sys.stdout.write(rows.write_csv())
        return
    if not counts:
        out.print("The quarantine is empty.")
        return
    out.print(show.quarantine_table(counts, rows))


@with_settings(AuditSettings)
def audit_command(*, given: dict[str, Any]) -> None:
    """What recurs in this traffic, what it costs, and what is worth specialising."""
    with session(Path.cwd(), err) as at:
        print_audit(cast(Audit, stages.audit_stage(at, given).artefact))


def print_audit(audit: Audit) -> None:
    """The audit as people read it."""
    out.print(show.audit_table(audit))


def print_import(report: ImportReport) -> None:
    """What became of each file, and where to look at what was turned away."""
    table = Table(box=None, pad_edge=False)
    for name in ("file", "format"):
        table.add_column(name, overflow="fold")
    for name in ("added", "already there", "quarantined", "skipped"):
        table.add_column(name, justify="right")
    for file in report.files:
        counts = (file.n_added, file.n_present, file.n_quarantined, sum(file.skipped.values()))
        table.add_row(escape(Path(file.path).name), file.format, *(f"{count:,}" for count in counts))
    out.print(table)
    for file in report.files:
        for remark in _remarks(file):
            out.print(f"  {escape(Path(file.path).name)}: {escape(remark)}", style="yellow", highlight=False)
    out.print(f"Traffic: {report.n_traces:,} traces.", highlight=False)
    if report.n_quarantined:
        out.print("See what was turned away with: metier quarantine")


def _remarks(file: FileReport) -> list[str]:
    remarks = [file.note] if file.note else []
    if file.already_imported:
        remarks.append("imported before; nothing was read again")
    if file.resumed_at:
        remarks.append(f"went on after {file.resumed_at:,} lines of an import that was cut off")
    for counts, word in (
        (file.quarantined, "quarantined"),
        (file.skipped, "skipped"),
        (file.warnings, "kept with a flaw"),
    ):
        remarks += [f"{count:,} {word}: {reason}" for reason, count in counts.items()]
    return remarks
