"""Where others find a base: the name or path by which transformers loads it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from metier.students.lm.bases.packaged import PACKAGED
from metier.students.lm.parts import Base


@dataclass(frozen=True)
class Origin:
    """`name` is what `from_pretrained` takes, a name on the hub where `is_public`, else the folder that the user gave;
    `gguf_file` the file in that folder where the base is one, else empty. `note` is a sentence on how those weights differ
    from what was tuned, or empty."""

    name: str
    is_public: bool
    gguf_file: str = ""
    note: str = ""

    @property
    def path(self) -> str:
        """The one text that names the base: `name`, or the GGUF file's path."""
        return str(Path(self.name) / self.gguf_file) if self.gguf_file else self.name


def origin_of(base: Base) -> Origin:
    """Where the base is found by somebody who has not got metier's cache."""
    for packaged in PACKAGED.values():
        if packaged.sha256 == base.sha256:
            note = (
                f"It was tuned on these weights as a package holds them, rounded to 4 bits (`{packaged.install}`); on the "
                "hub's own, which are not rounded, answers can differ."
            )
            return Origin(packaged.name, is_public=True, note=note)
    source = os.path.expanduser(base.source)  # noqa: PTH111  (a Path would make "./tiny" a name that the hub could have)
    if source.endswith(".gguf"):
        return Origin(os.path.dirname(source) or ".", is_public=False, gguf_file=Path(source).name)  # noqa: PTH120
    # A folder's name has no slash: a name that has one is the hub's.
    is_public = "/" in base.name
    return Origin(base.name if is_public else source, is_public)
