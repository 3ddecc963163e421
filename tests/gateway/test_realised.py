"""From audited answers to the realised error and a revocation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from metier.gateway.realised import Evidence, revocation_due
from metier.statistics.sequential import e_process
from metier.store.audits import AuditRow


def rows(outcomes: list[bool], allowed: float = 0.05) -> list[AuditRow]:
    return [AuditRow("p1", "intents", f"mtr-{i}", 100.0 + i, wrong, allowed) for i, wrong in enumerate(outcomes)]


def test_nothing_is_known_without_audits() -> None:
    assert math.isnan(Evidence().error().estimate)
    assert (Evidence().e_value, Evidence().refutes(0.05)) == (1.0, False)
    assert revocation_due([], 0.05) is None


def test_a_good_specialist_is_left_alone() -> None:
    wrong = [i % 50 == 0 for i in range(1000)]
    found = Evidence().after(rows(wrong))
    assert (found.n, found.n_wrong) == (1000, 20)
    assert found.error().lower < 0.02 < found.error().upper < 0.05
    low, high = stats.binomtest(20, 1000).proportion_ci(0.95)
    assert (found.error_fixed_n().lower, found.error_fixed_n().upper) == (pytest.approx(low), pytest.approx(high))
    assert revocation_due(rows(wrong), 0.05) is None


def test_a_bad_one_is_revoked_at_the_answer_that_was_enough() -> None:
    wrong = [i % 50 == 0 for i in range(200)] + [i % 4 == 0 for i in range(200)]
    due = revocation_due(rows(wrong), 0.05)
    assert due is not None
    e_values = e_process(np.array(wrong, dtype=float), 0.05)
    first = int(np.flatnonzero(e_values >= 20)[0])
    assert (due.policy_id, due.task, due.n, due.time) == ("p1", "intents", first + 1, 100.0 + first)
    assert due.n_wrong == sum(wrong[: first + 1])
    assert due.e_value == pytest.approx(e_values[first])
    assert 200 < due.n < 400
    assert f"{due.n_wrong} of {due.n} audited answers were wrong" in due.reason
    assert "5.0% is allowed" in due.reason


def test_evidence_that_was_enough_once_stays_enough() -> None:
    wrong = [True] * 20 + [False] * 2000
    found = Evidence().after(rows(wrong))
    assert found.e_value < 20
    assert found.refutes(0.05)
    assert found.highest_n == 20


def test_in_parts_or_at_once_is_the_same() -> None:
    all_rows = rows([i % 7 == 0 for i in range(100)])
    assert Evidence().after(all_rows[:30]).after(all_rows[30:]).e_value == Evidence().after(all_rows).e_value


def test_the_allowance_is_part_of_what_is_tested() -> None:
    """One in ten disagrees: too many for 5%, not for 5% and an allowance of 8 points."""
    wrong = (np.random.default_rng(0).random(1500) < 0.1).tolist()
    assert revocation_due(rows(wrong, 0.05), 0.05) is not None
    assert revocation_due(rows(wrong, 0.13), 0.05) is None
