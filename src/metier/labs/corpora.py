"""What the labs that read public data give: labelled chats as a company would have logged them, and what was left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metier.errors import NotFound


@dataclass(frozen=True)
class LeftOut:
    """A record of the source that became no chat, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class Corpus:
    """`chats` are records of source `openai-chat`, in the order of the source; `left_out` what its truth cannot give;
    `remarks` say, with counts, what a careful reader must know of the truth that was kept."""

    chats: tuple[dict[str, Any], ...]
    left_out: tuple[LeftOut, ...] = ()
    remarks: tuple[str, ...] = ()

    def split_sizes(self) -> dict[str, int]:
        """Chats in each split."""
        return dict(Counter(chat["split"] for chat in self.chats))

    def reasons(self) -> dict[str, int]:
        """How many records were left out for each reason, most frequent first."""
        return dict(Counter(one.reason for one in self.left_out).most_common())


def chat(
    id_: str, system: str, text: str, answer: str | Mapping[str, Any], *, split: str, group: str
) -> dict[str, Any]:
    """One labelled call: the task's instructions, the input as the user's message, and a person's answer, a record as JSON
    on one line."""
    written = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return {
        "id": id_,
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": text},
            {"role": "assistant", "content": written},
        ],
        "split": split,
        "group": group,
        "provenance": "human",
    }


def need(paths: Sequence[Path], name: str) -> None:
    """Raises NotFound naming the first of these paths that is not there."""
    for path in paths:
        if not path.exists():
            raise NotFound(f"{path} is not there: set METIER_DATA to the folder that holds {name}/")
