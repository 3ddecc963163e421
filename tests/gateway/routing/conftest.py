"""A store with a task, a small specialist, its certificate and the forms of its answers; made in a second."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier.artefacts.datasets import EXAMPLE_SCHEMA, REMOVED_SCHEMA, AnswerForm, Dataset
from metier.artefacts.estimates import Estimate, not_scored
from metier.artefacts.policies import Certificate, Policy
from metier.artefacts.specialists import Card, Specialist
from metier.artefacts.tasks import (
    ASSIGNMENT_SCHEMA,
    Audit,
    AuditVerdict,
    Definedness,
    OutputKind,
    Task,
    TaskAudit,
    Template,
    TemplateMessage,
)
from metier.curation.asking import asked_form
from metier.gateway.routing.holder import RouterHolder
from metier.gateway.settings import RouteSettings
from metier.store.aliases import AliasStore
from metier.store.folders import ArtefactStore, Recipe
from metier.students import LabelledTexts, LinearStudent

TASK = "intents"
TOPICS = {
    "weather": "rain sun snow storm cloud wind forecast temperature umbrella sky",
    "money_transfer": "bank account balance transfer loan credit debit payment invoice card",
    "food": "pizza recipe cook oven salad lunch dinner cheese bread soup",
}
FILLER = "please can you tell me about the my a what is for today now show"
SYSTEM = (
    "You sort the messages of customers into topics. Read the message below with care and answer with the name of exactly "
    "one topic of our list, in lower case, without quotes and without any explanation whatsoever."
)
TEMPLATE = Template("t-plain", (TemplateMessage("system", (SYSTEM,)), TemplateMessage("user", ("Message: ", ""))), 900)
SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": sorted(TOPICS)}},
    "required": ["label"],
    "additionalProperties": False,
}
JSON_FORMAT = {"type": "json_schema", "json_schema": {"name": "topic", "strict": True, "schema": SCHEMA}}
TOOL = {"type": "function", "function": {"name": "file_under", "parameters": SCHEMA}}


def request(text: str = "what is my bank account balance", **more: Any) -> dict[str, Any]:
    """A chat request with the task's prompt."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": f"Message: {text}"}]
    return {"model": "gpt-4.1", "messages": messages, **more}


def a_form(asked: dict[str, Any] | None = None, share: float = 1.0, **more: Any) -> AnswerForm:
    parts = {"prefix": "", "suffix": "", "is_json": False, "tool_name": None, "spelling": (), **more}
    return AnswerForm(template_id=TEMPLATE.id, asked=asked_form(asked or {}), n=100, share=share, **parts)


FORMS = (
    a_form(),
    a_form({"response_format": JSON_FORMAT}, prefix='{"label": "', suffix='"}', is_json=True),
    a_form({"tools": [TOOL]}, prefix='{"label": "', suffix='"}', is_json=True, tool_name="file_under"),
    a_form({"response_format": {"type": "json_object"}}, prefix='{"label": "', suffix='"}', is_json=True, share=0.6),
)


def texts(n_per_class: int, seed: int) -> LabelledTexts:
    rng = np.random.default_rng(seed)
    rows = [
        (" ".join(rng.permutation([*rng.choice(words.split(), 3), *rng.choice(FILLER.split(), 4)])), label)
        for label, words in TOPICS.items()
        for _ in range(n_per_class)
    ]
    return LabelledTexts(tuple(text for text, _ in rows), tuple(label for _, label in rows))


@dataclass
class Shop:
    """The store, the ids of what lies in it, and what it takes to add more."""

    store: ArtefactStore
    audit_id: str
    dataset_id: str
    specialist_id: str
    policy_id: str

    @property
    def aliases(self) -> AliasStore:
        return AliasStore(self.store.root)

    def policy(self, threshold: float | None = 0.3, ood_threshold: float = math.inf, seed: int = 0, **more: Any) -> str:
        """Store a policy of the specialist (or of what `more` says) and give its id."""
        policy = a_policy(self.specialist_id, threshold, ood_threshold)
        policy = dataclasses.replace(policy, **more)
        inputs = {"dataset": self.dataset_id, "specialist": policy.specialist_id}
        settings = {
            "threshold": str(threshold),
            "ood": str(ood_threshold),
            **{name: str(v) for name, v in more.items()},
        }
        recipe = Recipe("policy", policy.task_name, inputs, settings, seed, {"metier": "1"})
        return self.store.produce(recipe, lambda _: policy, clock=clock).manifest.id

    def audit(self, time: str, *names: str) -> str:
        """Store another audit, in which the first task has the known template."""
        audit = an_audit(*names)
        recipe = Recipe("audit", None, {"traffic": time}, {}, 0, {"metier": "1"})
        return self.store.produce(recipe, lambda _: audit, clock=lambda: time).manifest.id

    def holder(self, mode: str = "route", ledger: Any = None, **settings: Any) -> RouterHolder:
        """A router with the champion loaded. `settings` are those of [route]."""
        settings = {"audit_share": 0.0, **settings}
        holder = RouterHolder(self.store, lambda _: RouteSettings(mode=mode, **settings), ledger)  # type: ignore[arg-type]
        holder.refresh()
        return holder


def clock() -> str:
    return "2026-01-01T00:00:00+00:00"


def a_policy(specialist_id: str, threshold: float | None, ood_threshold: float) -> Policy:
    certificate = None
    if threshold is not None:
        coverage, risk = Estimate(0.8, 0.7, 0.9, 100), Estimate(0.01, 0, 0.04, 80)
        certificate = Certificate(0.05, 0.05, 100, 80, 1, threshold, coverage, risk, "human labels", "all")
    return Policy(
        "task-1", TASK, "linear", specialist_id, certificate, ood_threshold, not_scored(), 0.0, None, "certified", ()
    )


def an_audit(*names: str) -> Audit:
    rows = []
    for place, name in enumerate(names or (TASK,)):
        # Every further task has a prompt of its own.
        words = (
            SYSTEM
            if place == 0
            else f"Write down for the archive what these {name} papers hold, in a single short line."
        )
        system, user = TemplateMessage("system", (words,)), TEMPLATE.messages[1]
        template = TEMPLATE if place == 0 else Template(f"t-{name}", (system, user), 100)
        task = Task(f"task-{place + 1}", name, "", (template,), OutputKind.LABEL, tuple(TOPICS))
        rows.append(
            TaskAudit(
                task, 900, 900.0, 10.0, 1.0, 0, 900, 0, 1.0, Definedness(1.0, 3, 6.0, ""), None, not_scored(),
                AuditVerdict.SPECIALISE, "",
            )
        )  # fmt: skip
    return Audit(900, 0, 30.0, 10.0, "", tuple(rows), pl.DataFrame(schema=ASSIGNMENT_SCHEMA))


def a_dataset(forms: tuple[AnswerForm, ...] = FORMS) -> Dataset:
    return Dataset(
        "task-1", TASK, OutputKind.LABEL, tuple(sorted(TOPICS)), "random", "none", (), (),
        pl.DataFrame(schema=EXAMPLE_SCHEMA), pl.DataFrame(schema=REMOVED_SCHEMA), forms=forms,
    )  # fmt: skip


def train(folder: Path) -> Specialist:
    target = folder / "folder"
    target.mkdir(exist_ok=True)
    LinearStudent().fit(texts(40, 0), texts(30, 1), target, seed=0, progress=lambda *_: None, options={})
    card = Card(
        "linear", "task-1", TASK, tuple(sorted(TOPICS)), "", "", 120, 90, "float16", "", 0, 0.0, not_scored(), {}
    )
    return Specialist(card, None, target)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    store = ArtefactStore(tmp_path_factory.mktemp("store"))
    versions = {"metier": "1"}

    def put(kind: str, inputs: dict[str, str], make: Callable[[Path], Any]) -> str:
        recipe = Recipe(kind, None if kind == "audit" else TASK, inputs, {"student": "linear"}, 0, versions)
        return store.produce(recipe, make, clock=clock).manifest.id

    audit_id = put("audit", {"traffic": "x"}, lambda _: an_audit())
    dataset_id = put("dataset", {"audit": audit_id}, lambda _: a_dataset())
    specialist_id = put("specialist", {"dataset": dataset_id}, train)
    shop = Shop(store, audit_id, dataset_id, specialist_id, "")
    shop.policy_id = shop.policy()
    return shop


@pytest.fixture
def shop(made: Shop, tmp_path: Path) -> Shop:
    """A copy of the store that a test may harm, with the policy promoted."""
    root = tmp_path / ".metier"
    shutil.copytree(made.store.root, root)
    shop = dataclasses.replace(made, store=ArtefactStore(root))
    shop.aliases.promote(TASK, shop.policy_id, clock())
    return shop


@pytest.fixture
def alias_file(shop: Shop) -> Path:
    path = shop.aliases.path(TASK)
    assert json.loads(path.read_text())["champion"] == shop.policy_id
    return path
