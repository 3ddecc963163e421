"""Example and Dataset: what a specialist is trained, tuned, calibrated and tested on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import polars as pl
from pydantic import ConfigDict

from metier.artefacts.tasks import OutputKind, Template

Split = Literal["train", "tune", "calibration", "test", "ood"]
SPLITS: tuple[Split, ...] = ("train", "tune", "calibration", "test", "ood")

# How records name inputs that do not belong to the task. Those of the second kind were meant for training a rejector.
OOD_SPLIT_NAMES = frozenset({"ood", "oos", "out_of_scope", "out_of_distribution", "ood_test", "oos_test", "test_oos"})
OOD_TRAINING_SPLIT_NAMES = frozenset(
    f"{kind}_{part}" for kind in ("oos", "ood") for part in ("train", "val", "valid", "validation", "dev")
)


def folded_split(name: str) -> str:
    """A split's name without regard to case, spaces and hyphens."""
    return name.strip().casefold().replace("-", "_").replace(" ", "_")


def is_ood_split(name: str | None) -> bool:
    """Whether records of this split are out of distribution, and so need no output."""
    return name is not None and folded_split(name) in OOD_SPLIT_NAMES | OOD_TRAINING_SPLIT_NAMES


# `output` is null in the ood split. `recorded` is what the frontier model answered when the call was made, where the
# example comes from a log: the generalist's side of the comparison at no cost. `group` is never null after curation.
# `rationale` is what was reasoned before a label that stood in a box at the end, where something
# was; older data sets lack the column.
EXAMPLE_SCHEMA = pl.Schema(
    {
        "id": pl.String(),
        "input": pl.String(),
        "output": pl.String(),
        "recorded": pl.String(),
        "provenance": pl.String(),
        "group": pl.String(),
        "time": pl.Float64(),
        "input_tokens": pl.Int64(),
        "output_tokens": pl.Int64(),
        "latency_s": pl.Float64(),
        "cost_usd": pl.Float64(),
        "split": pl.String(),
        "rationale": pl.String(),
    }
)
REMOVED_SCHEMA = pl.Schema(
    {"id": pl.String(), "input": pl.String(), "output": pl.String(), "reason": pl.String(), "kept_id": pl.String()}
)


@dataclass(frozen=True)
class Contradiction:
    """The same input with different outputs: `outputs` and how often each occurred; `resolution` says what was done."""

    input: str
    outputs: tuple[tuple[str, int], ...]
    resolution: str


@dataclass(frozen=True)
class JsonStyle:
    """How the frontier model lays out a record as JSON.

    Without `indent` it is on one line. `keys` is the order in which keys are written; others follow as they come. `absent`
    says what stands where a record lacks a value (key, and JSON text such as "null"); keys that are not in it are left out.
    """

    indent: str | None = None
    item_separator: str = ", "
    key_separator: str = ": "
    ascii_only: bool = False
    keys: tuple[str, ...] = ()
    absent: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class AnswerForm:
    """How the frontier model writes its label when it is called in one particular way, learnt from the calls.

    `template_id` names the wording and `asked` what the request demanded of the answer (see `curation.forms.asked_form`):
    together they say when the form applies. The answer is `prefix` + label + `suffix`, the label escaped as inside a JSON
    string where `is_json`; it stands in the message's content, or, where `tool_name` is set, in the arguments of a call of
    that tool. `spelling` gives the written form of labels that differ from it. `share` in [0, 1] of the `n` calls made
    this way were answered in exactly this form (as equal JSON for tool calls). Where labels stand in a box at the end of
    some reasoning (a backslash, `boxed{C3}`), the form is the box alone: only the frontier model writes its reasoning.

    Of a `fields` task `json_style` is set, and a record laid out in it stands in the label's place; `share` then counts
    equal JSON. Of a `text` task the text does.
    """

    template_id: str | None
    asked: str
    prefix: str
    suffix: str
    is_json: bool
    tool_name: str | None
    spelling: tuple[tuple[str, str], ...]
    n: int
    share: float
    json_style: JsonStyle | None = None


@dataclass(frozen=True)
class Dataset:
    """Examples split into train / tune / calibration / test and ood; no group crosses a split.

    `examples` follows EXAMPLE_SCHEMA, `removed` REMOVED_SCHEMA: nothing that was read is missing from both. `classes`
    are the labels (sorted) that occur in train; `warnings` what a careful reader must know before trusting it.
    `answer_key` is the JSON key under which the frontier model gives its label ({"label": ...}), None where it answers
    plainly. `forms` are the ways in which it writes its label, which a specialist that takes over must match. `notes` says
    what curation changed, with counts.

    Of a `fields` task every output is a record as canonical JSON (`metrics.records.canonical`) that fits `output_schema`, a
    JSON Schema of an object; of a `text` task the text. Both have no `classes`. `template` is the prompt that the frontier
    model gets, where the task has one with a single slot.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(arbitrary_types_allowed=True)

    task_id: str
    task_name: str
    kind: OutputKind
    classes: tuple[str, ...]
    split_rule: str
    ood_source: str
    contradictions: tuple[Contradiction, ...]
    warnings: tuple[str, ...]
    examples: pl.DataFrame
    removed: pl.DataFrame
    answer_key: str | None = None
    notes: tuple[str, ...] = ()
    forms: tuple[AnswerForm, ...] = ()
    output_schema: dict[str, Any] | None = None
    template: Template | None = None

    def split(self, name: Split) -> pl.DataFrame:
        """The examples of one split, in stored order."""
        return self.examples.filter(pl.col("split") == name)
