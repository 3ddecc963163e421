"""The licence of a base model, shown before the model is first used."""

from __future__ import annotations

from rich.markup import escape

from metier.cli.terminal import err
from metier.students.lm.bases import cache_folder, licence_of
from metier.students.lm.bases.licences import require_acceptance
from metier.students.lm.settings import LmSettings


def show_licence(settings: LmSettings) -> None:
    """Print under what terms the base model comes. Raises LicenceNotAccepted where they ask for a consent not given."""
    licence = licence_of(settings.base)
    err.print(
        f"Base model {escape(settings.base)}: {escape(licence.name)}. {escape(licence.conditions)}", highlight=False
    )
    require_acceptance(licence, settings.base, settings.accepted_licences, cache_folder())
