"""`metier ls` and `metier show`: the artefacts and how they hang together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metier.artefacts.kinds import KINDS
from metier.cli.promoting import champions
from metier.cli.session import session
from metier.cli.terminal import err, out
from metier.errors import NotFound
from metier.pages import console as show


def ls_command(
    kind: Annotated[str | None, typer.Argument(help=f"Only this kind: {', '.join(KINDS)}.")] = None,
    *,
    task: Annotated[str | None, typer.Option(help="Only artefacts of this task.")] = None,
) -> None:
    """List the artefacts, newest first."""
    if kind is not None and kind not in KINDS:
        raise NotFound(f"'{kind}' is no kind of artefact; the kinds are {', '.join(KINDS)}")
    with session(Path.cwd(), err) as at:
        found = at.store.manifests(kind, task)
        if not found:
            out.print("No artefacts yet. Start with: metier import FILE, then metier audit")
            return
        out.print(show.artefact_table(found))
        serving = champions(at.store.root)
        for manifest in found:
            if manifest.id in serving:
                out.print(f"Champion of {serving[manifest.id]}: policy {manifest.id}", markup=False, highlight=False)


def show_command(
    id: Annotated[
        str, typer.Argument(metavar="ID", help="An artefact's id, or as much of it as tells it from others.")
    ],
) -> None:
    """Show one artefact: what it is, its settings and files, and what it was made from."""
    with session(Path.cwd(), err) as at:
        manifest = at.store.resolve(id)
        artefact = at.store.load(manifest)
        out.print(show.manifest_panel(manifest, at.store.folder(manifest)))
        out.print(show.artefact_view(artefact))
        if (task := champions(at.store.root).get(manifest.id)) is not None:
            out.print(f"Champion of {task} at the gateway (metier promote).", markup=False, highlight=False)
        out.print(show.lineage_tree(manifest, at.store.lineage(manifest)))
