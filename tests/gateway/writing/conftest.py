"""Tasks whose answers are records or labels, and a language model of some thousand random parameters that writes them."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.routing.conftest import (
    TASK,
    TEMPLATE,
    TOPICS,
    Shop,
    a_dataset,
    a_form,
    an_audit,
    clock,
)
from tests.students.lm.conftest import tiny_model

from metier.artefacts.datasets import Dataset, JsonStyle
from metier.artefacts.estimates import not_scored
from metier.artefacts.specialists import Card, Specialist
from metier.artefacts.tasks import OutputKind
from metier.store.folders import ArtefactStore, Recipe
from metier.students.base import FitSummary
from metier.students.confidence import ScoreModel
from metier.students.exports import write_arrays, write_meta

__all__ = ["TASK", "TEMPLATE", "tiny_model"]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "shop": {"enum": ["north", "south"]},
        "total": {"type": "string", "pattern": "^[1-9]\\.[0-9]{2}$"},
        "note": {"type": ["string", "null"], "maxLength": 3},
    },
    "required": ["shop", "total"],
    "additionalProperties": False,
}
# A newer program of the client, which wants to know more.
WIDER = {**SCHEMA, "properties": {**SCHEMA["properties"], "tax": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "file_receipt", "parameters": SCHEMA}}
LABELS = tuple(sorted(TOPICS))
RECEIPT = "THE NORTH SHOP\r\n\tNo 12, Jalan Sri\n\n  total   RM 9.00\n"
INDENTED = JsonStyle(indent="  ", item_separator=",", keys=("total", "shop", "note"), absent=(("note", "null"),))
COMPACT = JsonStyle(item_separator=",", key_separator=":", keys=("total", "shop", "note"))


def json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "r", "strict": True, "schema": schema}}}


FORMS = (
    a_form(prefix="```json\n", suffix="\n```", json_style=INDENTED),
    a_form(json_schema(SCHEMA), json_style=COMPACT),
    a_form(json_schema(WIDER), json_style=COMPACT),
    a_form({"tools": [TOOL]}, tool_name="file_receipt", json_style=COMPACT),
)


def write_model(folder: Path, model: Path, kind: OutputKind = OutputKind.FIELDS, adapter: Path | None = None) -> None:
    """A folder as the student `lm` leaves it, without a training; with an `adapter` (GGUF) its build is the shared one."""
    from metier.students.lm.exporting import write_gguf
    from metier.students.lm.foreignness import fit_character_model
    from metier.students.lm.parts import PromptForm
    from metier.students.lm.prompts import form_to_json
    from metier.students.lm.scores import FEATURES, AnswerScore

    (folder / "builds").mkdir(parents=True)
    served = "builds/q8_0.gguf" if adapter is None else "builds/shared.gguf"
    write_gguf(model, folder / served, "q8_0")
    adapters = [] if adapter is None else ["builds/adapter-0.gguf"]
    if adapter is not None:
        shutil.copyfile(adapter, folder / adapters[0])
    write_arrays(folder / "foreignness.npz", fit_character_model([RECEIPT, "The south shop, total 1.25"]).arrays())
    none = (0.0,) * len(FEATURES)
    is_label = kind is OutputKind.LABEL
    score = (
        ScoreModel(1.0, 0.0, 1.0, 0.0, 0.0, 1.0) if is_label else AnswerScore(5.0, none, none, (1.0,) * len(FEATURES))
    )
    classes = LABELS if is_label else ()
    summary = FitSummary("lm", "tiny", "none", 2, 0, classes, math.nan, 0.0, 1, (), "q8_0", "", 0, {})
    write_meta(
        folder,
        [served, *adapters, "foreignness.npz"],
        "recipe",
        summary,
        kind=kind.value,
        output_schema=None if is_label else SCHEMA,
        form=form_to_json(PromptForm("", "\n", "<|im_end|>", True)),
        n_context=384,
        max_output_tokens=128,
        served=served,
        adapters=adapters,
        score=asdict(score),
    )


@pytest.fixture(scope="session")
def receipts(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The store: an audit, a dataset of records with four forms, the specialist, and a policy that keeps everything."""
    dataset = dataclasses.replace(a_dataset(FORMS), kind=OutputKind.FIELDS, classes=(), output_schema=SCHEMA)
    return a_shop(tmp_path_factory.mktemp("receipts"), dataset, tiny_model)


@pytest.fixture(scope="session")
def labels(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The same for a task whose answers are labels."""
    return a_shop(tmp_path_factory.mktemp("labels"), a_dataset(), tiny_model, threshold=0.0)


def a_shop(root: Path, dataset: Dataset, tiny_model: Callable[[str], Path], **policy: Any) -> Shop:
    """A store with the dataset and a specialist for it, promoted."""
    pytest.importorskip("torch", reason="needs the [train] extra")
    pytest.importorskip("xllamacpp", reason="needs the [lm] extra")
    store = ArtefactStore(root)
    audit_id = put(store, "audit", None, {"traffic": "x"}, lambda _: an_audit())
    return promoted(store, audit_id, dataset, tiny_model("llama"), **policy)


def promoted(
    store: ArtefactStore, audit_id: str, dataset: Dataset, model: Path, adapter: Path | None = None, **policy: Any
) -> Shop:
    """The dataset in the store, and the champion of its task: the `model`, with an `adapter` on top where there is one."""
    task = dataset.task_name

    def specialist(place: Path) -> Specialist:
        write_model(place / "folder", model, dataset.kind, adapter)
        card = Card(
            "lm", dataset.task_id, task, dataset.classes, "tiny", "", 2, 0, "q8_0", "", 0, 0.0, not_scored(), {}
        )
        return Specialist(dataclasses.replace(card, kind=dataset.kind), None, place / "folder")

    dataset_id = put(store, "dataset", task, {"audit": audit_id}, lambda _: dataset)
    specialist_id = put(store, "specialist", task, {"dataset": dataset_id}, specialist)
    shop = Shop(store, audit_id, dataset_id, specialist_id, "")
    shop.policy_id = shop.policy(student="lm", task_id=dataset.task_id, task_name=task, **policy)
    shop.aliases.promote(task, shop.policy_id, clock())
    return shop


def put(store: ArtefactStore, kind: str, task: str | None, inputs: dict[str, str], make: Callable[[Path], Any]) -> str:
    """Store what `make` makes, and give its id."""
    recipe = Recipe(kind, task, inputs, {"student": "lm"}, 0, {"metier": "1"})
    return store.produce(recipe, make, clock=clock).manifest.id


def record_of(text: str) -> Any:
    return json.loads(text.removeprefix("```json\n").removesuffix("\n```"))
