"""The telelogs view itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

from metier.views.base import Feature, Reading
from metier.views.telelogs.choices import CLASSES
from metier.views.telelogs.features import FEATURES, features
from metier.views.telelogs.measures import measure
from metier.views.telelogs.parser import parse
from metier.views.telelogs.statement import statement

# Two rows of 19 columns and one of 14 have this many bars.
_MIN_BARS = 2 * 18 + 13
_STAMPED_ROW = re.compile(r"^\s*\|?\s*\d{4}-\d\d-\d\d[ T][^|\n]*\|", re.MULTILINE)


@dataclass(frozen=True)
class Telelogs:
    """5G drive-test questions (arXiv 2507.21974): measurements from the two tables, and which causes are offered."""

    name: str = "telelogs"
    version: int = 1
    features: tuple[Feature, ...] = FEATURES
    classes: tuple[str, ...] = CLASSES

    def fits(self, text: str) -> bool:
        """Whether a text holds rows of a drive-test table: enough bars, and a time at a row's beginning or its header."""
        return text.count("|") >= _MIN_BARS and ("SS-RSRP" in text or _STAMPED_ROW.search(text) is not None)

    def read(self, text: str) -> Reading:
        """The measurements of one question. Raises Unreadable naming the line and what was found there."""
        scene = parse(text)
        values = features(measure(scene))
        return Reading(values, statement(values, len(scene.drive.pci)), scene.choices)
