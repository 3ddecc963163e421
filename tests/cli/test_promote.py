"""`metier promote`, rolled back and off; what it refuses, and why."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from metier.artefacts.datasets import EXAMPLE_SCHEMA, REMOVED_SCHEMA, Dataset
from metier.artefacts.estimates import Estimate, not_scored
from metier.artefacts.policies import Certificate, Policy
from metier.artefacts.tasks import (
    ASSIGNMENT_SCHEMA,
    Audit,
    AuditVerdict,
    Definedness,
    OutputKind,
    Task,
    TaskAudit,
)
from metier.store.aliases import AliasStore
from metier.store.database import open_database, writing
from metier.store.folders import ArtefactStore, Recipe
from metier.store.revocations import Revocation, add_revocation

Metier = Callable[..., "subprocess.CompletedProcess[str]"]
TASK = "intents"


def put_dataset(store: ArtefactStore, time_: str) -> str:
    dataset = Dataset(
        "t", TASK, OutputKind.LABEL, ("a", "b"), "random", "none", (), (),
        pl.DataFrame(schema=EXAMPLE_SCHEMA), pl.DataFrame(schema=REMOVED_SCHEMA),
    )  # fmt: skip
    recipe = Recipe("dataset", TASK, {"audit": "a", "made": time_}, {}, 0, {"metier": "1"})
    return store.produce(recipe, lambda _: dataset, clock=lambda: time_).manifest.id


def put_policy(store: ArtefactStore, dataset_id: str, time_: str, *, certified: bool = True, task: str = TASK) -> str:
    certificate = None
    if certified:
        coverage, risk = Estimate(0.8, 0.7, 0.9, 100), Estimate(0.01, 0, 0.04, 80)
        certificate = Certificate(0.05, 0.05, 1000, 800, 9, 0.5, coverage, risk, "human labels", "all")
    reason = "certified" if certified else "no threshold passes."
    policy = Policy(
        "t", task, "linear", "s1", certificate, 1.0, not_scored(), 0.0, None if certified else 420, reason, ()
    )
    recipe = Recipe("policy", task, {"dataset": dataset_id, "specialist": "s1"}, {"made": time_}, 0, {"metier": "1"})
    return store.produce(recipe, lambda _: policy, clock=lambda: time_).manifest.id


@pytest.fixture
def store(tmp_path: Path) -> ArtefactStore:
    (tmp_path / "metier.toml").write_text('[tasks.intents.route]\nmode = "route"\nrollout = 25\n')
    return ArtefactStore(tmp_path / ".metier")


@pytest.fixture
def metier(command: Metier) -> Metier:
    return command


def test_the_newest_certified_policy_of_the_newest_dataset_is_promoted(store: ArtefactStore, metier: Metier) -> None:
    old = put_policy(store, put_dataset(store, "2026-01-01"), "2026-03-01")
    dataset = put_dataset(store, "2026-02-01")
    new = put_policy(store, dataset, "2026-02-02")
    put_policy(store, dataset, "2026-02-03", certified=False)
    said = metier("promote", TASK).stdout
    assert f"intents: champion is linear policy {new} (the first one)." in said
    assert "at most 5.0% are wrong, with confidence 95%; it keeps about 80% of the calls (n = 1,000)" in said
    assert "Mode: route, 25% of the calls." in said
    assert "every call escalates (answer_form)" in said
    assert "Gateways on this folder cannot load it: specialist s1 is not in the store" in said
    aliases = AliasStore(store.root)
    assert (aliases.read(TASK) or 0).champion == new  # type: ignore[union-attr]

    assert f"(before, {new})" in metier("promote", TASK, old[:8]).stdout
    assert f"champion is linear policy {new}" in metier("promote", TASK, "--rollback").stdout
    assert f"Champion of intents: policy {new}" in metier("ls", "policy").stdout
    assert "Champion of intents at the gateway" in metier("show", new).stdout
    assert f"no champion; before, {new}" in metier("promote", TASK, "--off").stdout
    assert (aliases.read(TASK) or 0).champion is None  # type: ignore[union-attr]


def test_what_may_not_be_promoted_is_refused_with_the_reason(
    store: ArtefactStore, metier: Metier, tmp_path: Path
) -> None:
    assert "metier audit" in metier("promote", TASK, code=1).stderr
    dataset = put_dataset(store, "2026-01-01")
    assert "metier calibrate intents" in metier("promote", TASK, code=1).stderr
    bare = put_policy(store, dataset, "2026-01-02", certified=False)
    refused = metier("promote", TASK, code=1).stderr
    assert f"policy {bare} has no certificate" in refused
    assert "no threshold passes. About 420 more calibration labels are needed." in refused
    assert f"is the dataset {dataset}, not a policy" in metier("promote", TASK, dataset, code=1).stderr
    other = put_policy(store, dataset, "2026-01-03", task="others")
    assert "is of task 'others', not of 'intents'" in metier("promote", TASK, other, code=1).stderr
    assert "give one of POLICY, --rollback and --off" in metier("promote", TASK, "--off", "--rollback", code=1).stderr
    assert "no champion" in metier("promote", TASK, "--off", code=1).stderr
    assert "no champion before" in metier("promote", TASK, "--rollback", code=1).stderr
    assert AliasStore(store.root).paths() == []


def test_a_revoked_policy_is_refused_also_as_the_one_to_go_back_to(store: ArtefactStore, metier: Metier) -> None:
    dataset = put_dataset(store, "2026-01-01")
    first, second = (put_policy(store, dataset, f"2026-01-0{day}") for day in (2, 3))
    metier("promote", TASK, first)
    metier("promote", TASK, second)
    database = open_database(store.root / "traffic.db")
    with writing(database.engine) as connection:
        add_revocation(connection, Revocation(first, TASK, time.time(), 25.0, 300, 40, "40 of 300 were wrong."))
    database.engine.dispose()
    for arguments in ((first,), ("--rollback",)):
        refused = metier("promote", TASK, *arguments, code=1).stderr
        assert f"the certificate of policy {first} was revoked: 40 of 300 were wrong." in refused
        assert "metier run intents" in refused
    assert (AliasStore(store.root).read(TASK) or 0).champion == second  # type: ignore[union-attr]


def test_a_task_is_promoted_by_its_whole_name_only(store: ArtefactStore, metier: Metier) -> None:
    put_policy(store, put_dataset(store, "2026-01-01"), "2026-03-01")
    task = Task("t", "intents", "sorts", (), OutputKind.LABEL, ("a", "b"))
    definedness, saving = Definedness(1.0, 2, 1.0, "closed"), Estimate(1.0, 0.0, 2.0, 10)
    row = TaskAudit(
        task, 10, 10.0, 1.0, 1.0, 0, 10, 0, 1.0, definedness, None, saving, AuditVerdict.SPECIALISE, "closed output"
    )
    audit = Audit(10, 0, 1.0, 1.0, "recorded", (row,), ASSIGNMENT_SCHEMA.to_frame())
    recipe = Recipe("audit", None, {}, {}, 0, {"metier": "1"})
    store.produce(recipe, lambda _: audit, clock=lambda: "2026-01-01")
    assert "Did you mean: metier promote intents" in metier("promote", "inten", code=1).stderr
    assert not list((store.root / "aliases").glob("*"))
