"""One loaded model that answers several calls at a time: those of one champion, and of champions that share a base."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.routing.conftest import TASK, Shop, a_dataset, an_audit, request
from tests.gateway.writing.conftest import FORMS, SCHEMA, promoted, put
from tests.students.lm.engine.test_sharing import an_adapter

from metier.artefacts.specialists import Specialist
from metier.artefacts.tasks import OutputKind, Template
from metier.gateway.calls import Decision, Route
from metier.gateway.routing.champions import Writing
from metier.gateway.routing.holder import RouterHolder
from metier.gateway.settings import RouteSettings
from metier.metrics.records import canonical, parse_record
from metier.store.folders import ArtefactStore
from metier.students import LmStudent
from metier.students.lm.engine.sharing import LOADED

# peft asks transformers by a name that it is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
OTHER = "papers"
INPUTS = [f"THE NORTH SHOP no {n}\ntotal {n}.00" for n in range(4)]
# Averaged by llama.cpp over all its steps: 1.0 where no two answers were ever written in one step.
_BUSY = "llamacpp:n_busy_slots_per_decode "
_ROUNDS = 10


def finished(decision: Decision) -> Decision:
    """The decision once the specialist has written."""
    assert decision.pending is not None
    future = decision.pending.desk.submit(decision.pending.work, decision.pending.max_waiting)
    assert future is not None
    return future.result(30)


def template_of(task: str) -> Template:
    """The wording in which a task's calls come."""
    return next(one.task.templates[0] for one in an_audit(TASK, OTHER).tasks if one.task.name == task)


def asked_for(task: str, text: str) -> dict[str, Any]:
    """A request with the prompt of one of the two tasks."""
    asked = request(text)
    if task == OTHER:
        asked["messages"][0]["content"] = "".join(template_of(OTHER).messages[0].literals)
    return asked


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every llama.cpp server that is loaded from now on, each counting how many answers its steps write."""
    import xllamacpp

    started: list[Any] = []
    start = xllamacpp.Server

    def counting(parameters: Any) -> Any:
        parameters.endpoint_metrics = True
        started.append(start(parameters))
        return started[-1]

    monkeypatch.setattr(xllamacpp, "Server", counting)
    return started


def busy(server: Any) -> float:
    """The mean number of answers in a step of the model."""
    (line,) = (line for line in server.handle_metrics().splitlines() if line.startswith(_BUSY))
    return float(line.removeprefix(_BUSY))


def mean_busy(receipts: Shop, servers: list[Any], n_places: int) -> float:
    """As `busy`, after calls at once to a champion with this many places, until two meet or a few rounds are over."""
    holder = RouterHolder(
        receipts.store, lambda _: RouteSettings(mode="route", audit_share=0.0), writing=Writing(n_places, 1)
    )
    holder.refresh()
    server = servers[0]  # after it the same file may have been opened for a moment, see `llama_models`
    with ThreadPoolExecutor(len(INPUTS)) as pool:
        for _ in range(_ROUNDS):
            decided = list(pool.map(lambda text: finished(holder.decide(request(text), "mtr-1")), INPUTS))
            assert {decision.route for decision in decided} == {Route.KEPT}
            if busy(server) > 1.0:
                break
    found = busy(server)
    holder.close()
    return found


def test_calls_to_one_champion_are_written_in_the_same_steps_of_its_model(receipts: Shop, servers: list[Any]) -> None:
    assert mean_busy(receipts, servers, 3) > 1.0


def test_with_one_place_they_are_written_one_after_the_other(receipts: Shop, servers: list[Any]) -> None:
    assert mean_busy(receipts, servers, 1) == 1.0


@pytest.fixture(scope="module")
def archive(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shop]:
    """A store with two tasks, by name, whose champions are one base with an adapter each on top."""
    root, model = tmp_path_factory.mktemp("archive"), tiny_model("llama")
    store = ArtefactStore(root / "store")
    audit_id = put(store, "audit", None, {"traffic": "x"}, lambda _: an_audit(TASK, OTHER))
    shops = {}
    for place, task in enumerate((TASK, OTHER)):
        forms = tuple(dataclasses.replace(form, template_id=template_of(task).id) for form in FORMS)
        dataset = dataclasses.replace(
            a_dataset(forms), task_id=f"task-{place + 1}", task_name=task, kind=OutputKind.FIELDS, classes=(),
            output_schema=SCHEMA,
        )  # fmt: skip
        adapter = an_adapter(model, place, root / task)
        shops[task] = promoted(store, audit_id, dataset, model, adapter.path)
    return shops


def alone(shop: Shop) -> list[str]:
    """What the champion of a shop answers with nobody beside it."""
    specialist = shop.store.load(shop.store.manifest("specialist", shop.specialist_id))
    assert isinstance(specialist, Specialist)
    predictor = LmStudent().load(specialist.folder)
    answers = predictor.predict(INPUTS)
    predictor.close()
    assert answers.failures == (None,) * len(INPUTS)
    return [canonical(parse_record(label) or {}, SCHEMA) for label in answers.labels]


def test_champions_of_two_tasks_stand_on_one_loaded_base_and_each_answers_as_if_alone(
    archive: dict[str, Shop],
) -> None:
    wanted = {task: alone(shop) for task, shop in archive.items()}
    assert all(one != other for one, other in zip(*wanted.values(), strict=True))
    before = LOADED.n_loaded()
    holder = archive[TASK].holder()
    assert LOADED.n_loaded() == before + 1
    calls = list(itertools.product((TASK, OTHER), range(len(INPUTS)))) * 3

    def call(which: tuple[str, int]) -> Decision:
        task, place = which
        return finished(holder.decide(asked_for(task, INPUTS[place]), "mtr-1"))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(call, calls))
    for (task, place), decision in zip(calls, found, strict=True):
        assert (decision.task, decision.route) == (task, Route.KEPT)
        assert decision.policy_id == archive[task].policy_id
        assert decision.label == wanted[task][place]
    holder.close()
    assert LOADED.n_loaded() == before
