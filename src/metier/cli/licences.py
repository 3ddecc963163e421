"""What is said of a base model and its teacher before they are first used: their licences, and whether the base moved."""

from __future__ import annotations

from rich.markup import escape

from metier.cli.terminal import err
from metier.students.lm.bases import cache_folder, licence_of, revision_of
from metier.students.lm.bases.licences import require_acceptance
from metier.students.lm.settings import LmSettings


def show_licences(settings: LmSettings) -> None:
    """Print under what terms the base model and the teacher come. Raises LicenceNotAccepted where one has to be
    accepted and was not."""
    found = [(role, source, licence_of(source)) for role, source in settings.models()]
    for role, source, licence in found:
        told = f"{role.capitalize()} {escape(source)}: {escape(licence.name)}. {escape(licence.conditions)}"
        err.print(told, highlight=False)
    for role, source, licence in found:
        require_acceptance(licence, source, settings.accepted_licences, cache_folder(), role)


def show_move(source: str, before: str) -> None:
    """Print that the base `source` is at another commit than `before`, that of the project's newest specialist of it ("":
    none)."""
    now = revision_of(source) if before else ""
    if now != before:
        pinned = f"{source.partition('@')[0]}@{before}"
        err.print(
            f"Base model {escape(source)}: at commit {now} now; this project's newest specialist of it started from commit "
            f"{before}. To start from that one again: --base {escape(pinned)}",
            highlight=False,
        )
