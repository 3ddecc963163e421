"""How policies stand, counted from traces."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from metier.gateway.standing import COLUMNS, Standing, standings

SCHEMA = dict.fromkeys(COLUMNS, pl.String())


def batch(*rows: tuple[str | None, str | None, dict[str, Any] | None]) -> pl.DataFrame:
    made = [(task, route, None if evidence is None else json.dumps(evidence)) for task, route, evidence in rows]
    return pl.DataFrame(made, schema=SCHEMA, orient="row")


def test_calls_are_counted_by_task_and_policy() -> None:
    kept, shadow = {"policy": "p", "label": "a"}, {"policy": "p", "label": "a", "reason": "shadow_mode"}
    first = batch(
        ("t", "kept", kept),
        ("t", "kept", {**kept, "is_audited": True, "is_wrong": True}),
        ("t", "escalated", {"policy": "p", "reason": "low_score"}),
        ("t", "capture", {"reason": "capture_mode"}),
        ("other", "capture", None),
        (None, "passed", {"reason": "not_recognised"}),
    )
    second = batch(
        ("t", "shadow", {**shadow, "is_wrong": False}),
        ("t", "shadow", {**shadow, "is_wrong": True}),
        ("t", "shadow", shadow),
        ("t", "shadow", {**shadow, "reason": "low_score", "is_wrong": True}),
        ("t", "shadow", {"policy": "p", "reason": "shadow_mode"}),
    )
    assert standings([first, second, batch()]) == [
        Standing("other", None, 1, 0, 0, 0, 0, 0),
        Standing("t", None, 1, 0, 0, 0, 0, 0),
        Standing("t", "p", 8, 2, 5, 3, 2, 1),
    ]
    assert standings([]) == standings([batch()]) == []


def test_the_bounds_of_the_difference_hold_however_often_one_looks() -> None:
    # As metier.statistics.sequential.confidence_sequence, whose promise its own tests simulate.
    found = Standing("t", "p", 800, 0, 800, 762, 762, 71).difference()
    assert found.estimate == pytest.approx(71 / 762)
    assert (found.lower, found.upper) == (pytest.approx(0.060, abs=5e-4), pytest.approx(0.136, abs=5e-4))
