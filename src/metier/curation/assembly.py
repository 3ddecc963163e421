"""The last step of curation: splits are drawn, checked and written down as a Dataset."""

from __future__ import annotations

import hashlib
import math
from collections import Counter

import numpy as np
import numpy.typing as npt
import polars as pl

from metier.artefacts.datasets import EXAMPLE_SCHEMA, REMOVED_SCHEMA, AnswerForm, Dataset
from metier.artefacts.tasks import OutputKind, Task, Template
from metier.curation.deduplication import Pruned
from metier.curation.forms import learn_forms
from metier.curation.record_forms import learn_record_forms, learn_text_forms
from metier.curation.splitting import Shares, Splits, TimeOrder, split_rows
from metier.curation.verdicts import Labelled
from metier.errors import NotEnoughData
from metier.metrics.records import parse_record

_ID_CHARS = 16
# With fewer calibration items no answer can be certified at alpha = delta = 0.05, even if none is wrong: ln 0.05 / ln 0.95.
_CERTIFIABLE = math.ceil(math.log(0.05) / math.log(0.95))
# A class with fewer training examples than this is hardly learnt.
_FEW_EXAMPLES = 5
_LARGE_GROUP_SHARE = 0.1
_LARGE_GROUP = (
    "One group (near-duplicates, or one value of `group`) holds {:,} of {:,} examples and cannot be divided: if its"
    " wordings are boilerplate rather than copies, raise near_duplicate_threshold"
)
_LISTED = 10


def assemble(
    task: Task,
    labelled: Labelled,
    pruned: Pruned,
    shares: Shares,
    time_order: TimeOrder,
    min_span_days: float,
    min_split_size: int,
    notes: tuple[str, ...],
    template: Template | None,
    rng: np.random.Generator,
) -> Dataset:
    """Split what was kept and check that it can be learnt and measured.

    Raises:
        NotEnoughData: fewer than two labels, or a split smaller than `min_split_size`; names the counts.
    """
    alive = pruned.rows.filter(pl.col("reason").is_null())
    scoped = alive.filter(pl.col("side").is_null() | (pl.col("side") != "ood"))
    _check_outputs(task, labelled, scoped, pruned, 4 * min_split_size)
    strata, by = _strata(task.kind, scoped["output"])
    splits = split_rows(
        np.array(scoped["side"].to_list(), dtype=object),
        scoped["bound"].to_numpy(),
        strata,
        scoped["time"].to_numpy(),
        shares,
        time_order,
        min_span_days,
        rng,
        by,
    )
    _check_sizes(task, splits, min_split_size, scoped, pruned)
    scoped = scoped.with_columns(split=pl.Series(splits.names.tolist(), dtype=pl.String))
    ood = alive.filter(pl.col("side") == "ood").with_columns(split=pl.lit("ood"), output=pl.lit(None, dtype=pl.String))
    examples = _with_ids(task, pl.concat([scoped, ood, _extra_rows(pruned, scoped)], how="diagonal_relaxed"))
    has_labels = task.kind is OutputKind.LABEL
    train = scoped.filter(pl.col("split") == "train")["output"]
    classes = tuple(sorted(train.unique().to_list())) if has_labels else ()
    n_ood = int((examples["split"] == "ood").sum())
    return Dataset(
        task_id=task.id,
        task_name=task.name,
        kind=task.kind,
        classes=classes,
        split_rule=splits.rule,
        ood_source=f"{pruned.ood_source}: {n_ood:,} inputs" if n_ood else "none",
        contradictions=pruned.contradictions,
        warnings=(
            *splits.warnings,
            *pruned.warnings,
            *(_label_warnings(examples, classes) if has_labels else ()),
            *_warnings(examples),
        ),
        examples=examples.select(EXAMPLE_SCHEMA.names()).cast(EXAMPLE_SCHEMA),
        removed=_removed(pruned.rows, examples),
        answer_key=labelled.answer_key,
        notes=(*labelled.notes, *_size_notes(task.kind, scoped["output"]), *pruned.notes, *notes),
        forms=_forms(task.kind, labelled, classes),
        output_schema=labelled.output_schema,
        template=template,
    )


def _strata(kind: OutputKind, outputs: pl.Series) -> tuple[npt.NDArray[np.int64], str]:
    """The stratum of each example and what strata are: labels, which keys of the record are given, or nothing."""
    names = outputs.to_list()
    if kind is OutputKind.FIELDS:
        patterns = [" ".join(sorted(parse_record(text) or ())) for text in names]
        counts = Counter(patterns)
        names = [pattern if counts[pattern] >= _FEW_EXAMPLES else "" for pattern in patterns]
    elif kind is OutputKind.TEXT:
        names = [""] * len(names)
    numbers = np.unique(np.array(names, dtype=object), return_inverse=True)[1].astype(np.int64)
    by = {OutputKind.LABEL: "label", OutputKind.FIELDS: "the keys that are given"}.get(kind, "")
    return numbers, by if len(set(names)) > 1 else ""


def _forms(kind: OutputKind, labelled: Labelled, classes: tuple[str, ...]) -> tuple[AnswerForm, ...]:
    if kind is OutputKind.LABEL:
        return learn_forms(labelled.answered, classes)
    if kind is OutputKind.FIELDS:
        return learn_record_forms(labelled.answered, labelled.output_schema or {})
    return learn_text_forms(labelled.answered)


def _size_notes(kind: OutputKind, outputs: pl.Series) -> tuple[str, ...]:
    """How long the answers are: what a student must be able to write."""
    if kind is OutputKind.LABEL or outputs.is_empty():
        return ()
    sizes = outputs.str.len_chars().to_numpy()
    middle, most = np.quantile(sizes, (0.5, 0.95))
    return (f"answers have {middle:,.0f} characters (median), 95% at most {most:,.0f}, the longest {sizes.max():,}",)


def _extra_rows(pruned: Pruned, like: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame(
        {"input": list(pruned.extras), "bound": list(pruned.extra_bound), "split": ["ood"] * len(pruned.extras)},
        schema={"input": pl.String, "bound": like.schema["bound"], "split": pl.String},
    )


def _with_ids(task: Task, rows: pl.DataFrame) -> pl.DataFrame:
    """Content hashes as ids; a group is named by the smallest id in it, so names depend on the content alone."""
    ids: list[str] = []
    seen: Counter[tuple[str, str]] = Counter()
    for text, output in zip(rows["input"], rows["output"].fill_null(""), strict=True):
        # A test split given by the user may hold the same example twice.
        copy = seen[text, output]
        seen[text, output] += 1
        content = "\0".join((task.id, text, output, *([str(copy)] if copy else [])))
        ids.append(hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:_ID_CHARS])
    rows = rows.with_columns(id=pl.Series(ids, dtype=pl.String))
    return rows.with_columns(group=pl.col("id").min().over("bound"))


def _removed(rows: pl.DataFrame, examples: pl.DataFrame) -> pl.DataFrame:
    ids = dict(examples.filter(pl.col("position").is_not_null()).select("position", "id").iter_rows())
    gone = rows.filter(pl.col("reason").is_not_null())
    # The copy kept may itself have been removed later, as a leak of yet another.
    heir = dict(gone.select("position", "kept").iter_rows())
    return gone.select(
        id=pl.col("trace_id"),
        input=pl.col("input"),
        output=pl.coalesce("output", "said"),
        reason=pl.col("reason"),
        kept_id=pl.Series([_kept_id(position, heir, ids) for position in gone["kept"]], dtype=pl.String),
    ).cast(REMOVED_SCHEMA)


def _kept_id(position: int | None, heir: dict[int, int | None], ids: dict[int, str]) -> str | None:
    while position is not None and position not in ids:
        position = heir.get(position)
    return None if position is None else ids[position]


def _check_outputs(task: Task, labelled: Labelled, scoped: pl.DataFrame, pruned: Pruned, n_needed: int) -> None:
    counts = Counter(scoped["output"].to_list())
    if task.kind is OutputKind.LABEL and len(counts) < 2:
        found = f"only the label {next(iter(counts))!r}" if counts else "no label at all"
        raise NotEnoughData(
            f"Task {task.name!r}: {found} is left in {scoped.height:,} usable examples of {pruned.rows.height:,} calls;"
            f" a specialist needs at least two labels.{_losses(pruned)}"
        )
    if scoped.height < n_needed:
        raise NotEnoughData(
            f"Task {task.name!r}: {scoped.height:,} usable examples of {pruned.rows.height:,} calls; at least"
            f" {n_needed:,} are needed to fill train, tune, calibration and test.{_losses(pruned)}"
            + "".join(f" Note: {note}." for note in labelled.notes)
        )


def _check_sizes(task: Task, splits: Splits, least: int, scoped: pl.DataFrame, pruned: Pruned) -> None:
    sizes = {name: int(np.sum(splits.names == name)) for name in ("train", "tune", "calibration", "test")}
    short = [name for name, size in sizes.items() if size < least]
    if short:
        told = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        largest = _largest(scoped["bound"])
        raise NotEnoughData(
            f"Task {task.name!r}: too few examples in {' and '.join(short)} ({told}; each needs {least:,})."
            + (f" {_LARGE_GROUP.format(largest, scoped.height)}." if _is_large(largest, scoped.height) else "")
            + f" Collect more labels, change the fractions, or lower min_split_size. Split: {splits.rule}.{_losses(pruned)}"
        )


def _largest(groups: pl.Series) -> int:
    return int(groups.value_counts()["count"].max() or 0)  # type: ignore[arg-type]


def _is_large(largest: int, n: int) -> bool:
    return largest > max(1, _LARGE_GROUP_SHARE * n)


def _losses(pruned: Pruned) -> str:
    counts = Counter(pruned.rows["reason"].drop_nulls().to_list())
    return f" Removed: {', '.join(f'{n:,} {reason}' for reason, n in counts.most_common())}." if counts else ""


def _label_warnings(examples: pl.DataFrame, classes: tuple[str, ...]) -> list[str]:
    found = []
    scoped = examples.filter(pl.col("split") != "ood")
    unseen = scoped.filter(~pl.col("output").is_in(classes))
    if unseen.height:
        labels = _listed(sorted(unseen["output"].unique()))
        counts = ", ".join(f"{n:,} in {name}" for name, n in sorted(unseen["split"].value_counts().iter_rows()))
        found.append(
            f"labels never seen in train ({labels}): {counts}; they stay and count as wrong, no student can answer them"
        )
    train = Counter(scoped.filter(pl.col("split") == "train")["output"].to_list())
    rare = sorted(label for label, n in train.items() if n < _FEW_EXAMPLES)
    if rare:
        found.append(f"{len(rare):,} labels have fewer than {_FEW_EXAMPLES} training examples: {_listed(rare)}")
    return found


def _warnings(examples: pl.DataFrame) -> list[str]:
    found = []
    scoped = examples.filter(pl.col("split") != "ood")
    n_calibration = scoped.filter(pl.col("split") == "calibration")["group"].n_unique()
    if n_calibration < _CERTIFIABLE:
        found.append(
            f"calibration has {n_calibration:,} independent items; a certificate at alpha = delta = 0.05 needs at least"
            f" {_CERTIFIABLE}"
        )
    largest = _largest(scoped["group"])
    if _is_large(largest, scoped.height):
        found.append(_LARGE_GROUP.format(largest, scoped.height))
    if (test := scoped.filter(pl.col("split") == "test")).height:
        shares = Counter(test["provenance"].to_list())
        if shares["teacher"]:
            found.append(
                f"{shares['teacher']:,} of {test.height:,} test labels are the frontier model's own answers: on them"
                " agreement is measured, not correctness"
            )
    if not (examples["split"] == "ood").any():
        found.append("no out-of-scope inputs: give some (ood_inputs, or records with split 'ood') to measure that risk")
    return found


def _listed(labels: list[str]) -> str:
    more = f" and {len(labels) - _LISTED:,} more" if len(labels) > _LISTED else ""
    return ", ".join(repr(label) for label in labels[:_LISTED]) + more
