"""The certificate of what is written: wrong means any field wrong, failures are never kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace

import polars as pl
import pytest

from metier.artefacts.datasets import Dataset
from metier.artefacts.policies import Policy
from metier.artefacts.specialists import Specialist
from metier.artefacts.tasks import OutputKind
from metier.calibrate import CalibrateSettings, calibrate

Make = Callable[..., Specialist]


def certified(one: Specialist, data: Dataset, **settings: float) -> Policy:
    return calibrate(one, data, CalibrateSettings(**settings), specialist_id="s", seed=0)  # type: ignore[arg-type]


def receipts(kit: SimpleNamespace, n: int) -> tuple[Dataset, dict]:
    """n tune and n calibration receipts, each its own group; every tenth answer is degenerate, every other tenth has one
    field wrong and a low score; the rest differ from the truth by notation only."""
    table, rows = {}, []
    for split in ("tune", "calibration"):
        for k in range(n):
            text = f"{split} {k}"
            rows.append((split, text, json.dumps({"company": f"Shop {k}", "total": "9.00"})))
            table[text] = kit.Written(
                json.dumps({"company": f"SHOP {k}.", "total": "RM 9"}), None, 0.8 + 0.1 * (k % 7) / 7
            )
            if k % 10 == 3:
                table[text] = kit.Written("SHOP SHOP SHOP", "degenerate")
            if k % 10 == 6:
                table[text] = kit.Written(
                    json.dumps({"company": f"Shop {k}", "total": "8.00"}), None, 0.3 + 0.001 * (k % 50)
                )
    data = kit.dataset(OutputKind.FIELDS, rows)
    alone = data.examples.with_columns(group=pl.col("id"))
    return type(data)(**{**vars(data), "examples": alone}), table


def test_records_are_certified_by_every_field(kit: SimpleNamespace, specialist: Make) -> None:
    data, table = receipts(kit, 300)
    policy = certified(specialist(OutputKind.FIELDS, kit.Writer(table)), data)
    given = policy.certificate
    assert given is not None
    # A tenth degenerate, a tenth wrong: the rest may be kept.
    assert policy.base_risk.value == pytest.approx(0.2)
    assert given.coverage.value == pytest.approx(0.8, abs=0.05)
    assert 0.3 < given.threshold <= 0.9
    assert given.judged_against == "human 100% records; an answer is wrong where any field differs after normalisation"
    assert max(point.coverage for point in policy.curve) == pytest.approx(0.9)  # failures are never kept


def test_too_few_records_say_how_many_are_needed(kit: SimpleNamespace, specialist: Make) -> None:
    data, table = receipts(kit, 40)
    policy = certified(specialist(OutputKind.FIELDS, kit.Writer(table)), data)
    assert policy.certificate is None
    assert policy.labels_needed is not None
    assert policy.labels_needed >= 59 - 40


def test_a_student_that_always_fails_gets_none_and_stops_nothing(kit: SimpleNamespace, specialist: Make) -> None:
    data, table = receipts(kit, 60)
    table = {text: kit.Written("", "too long") for text in table}
    policy = certified(specialist(OutputKind.FIELDS, kit.Writer(table)), data)
    assert policy.certificate is None
    assert policy.base_risk.value == 1.0
    assert policy.curve == ()


def test_few_foreign_inputs_are_mixed_in(kit: SimpleNamespace, specialist: Make) -> None:
    data, table = receipts(kit, 300)
    strange = [("ood", f"poem {k}", None) for k in range(3)]
    table |= {text: kit.Written("{}", None, 0.99, 5.0) for _, text, _ in strange}
    rows = list(data.examples.select("split", "input", "output").iter_rows())
    policy = certified(
        specialist(OutputKind.FIELDS, kit.Writer(table)), kit.dataset(OutputKind.FIELDS, [*rows, *strange])
    )
    assert policy.certificate is not None
    assert "3 out-of-distribution inputs of" in policy.certificate.valid_for


def test_texts_are_certified_by_rouge_l(kit: SimpleNamespace, specialist: Make) -> None:
    rows = [(split, f"{split} {k}", f"a cough for {k} days") for split in ("tune", "calibration") for k in range(200)]
    table = {
        text: kit.Written(f"a cold for {text.split()[1]} days", None, 0.7 + k / 5000)
        for k, (_, text, _) in enumerate(rows)
    }
    policy = certified(specialist(OutputKind.TEXT, kit.Writer(table)), kit.dataset(OutputKind.TEXT, rows))
    assert policy.certificate is not None
    assert policy.base_risk.value == 0.0
    assert policy.certificate.judged_against == "human 100% texts; an answer is wrong where its ROUGE-L F1 is below 0.5"
