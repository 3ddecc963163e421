from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import orjson
import pytest

from metier.errors import BadInput, NotFound
from metier.labs import clinc

FOLDER = Path(os.environ.get("METIER_DATA", "../shared/data")) / "clinc150"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two domains of two intents each."""
    names = [name for name in clinc.SPLITS if name in clinc.IN_SCOPE]
    intents = {"bank": ["balance", "transfer"], "travel": ["flight", "visa"]}
    every = [label for labels in intents.values() for label in labels]
    data = {name: [[f"{name} {label} {i}", label] for label in every for i in range(50)] for name in names}
    data |= {name: [[f"{name} {i}", "oos"] for i in range(30)] for name in clinc.SPLITS if name not in names}
    (tmp_path / "data_full.json").write_bytes(orjson.dumps(data))
    (tmp_path / "domains.json").write_bytes(orjson.dumps(intents))
    return tmp_path


def test_labelled(small: Path) -> None:
    records = list(clinc.labelled(small))
    assert Counter(record["split"] for record in records) == {
        "train": 200, "val": 200, "test": 200, "ood_train": 30, "ood_val": 30, "ood": 30,
    }  # fmt: skip
    assert records[0] == {"id": "train-0", "input": "train balance 0", "output": "balance", "split": "train"}
    assert {record["output"] for record in records if record["split"] == "ood"} == {"oos"}
    assert len({record["id"] for record in records}) == len(records)


def test_calls(small: Path) -> None:
    records = list(clinc.calls(small, seed=1, days=2))
    truth = {f"clinc-{record['id']}": record["output"] for record in clinc.labelled(small)}
    judged = [record for record in records if "feedback" in record]
    assert {record["id"] for record in records} == set(truth)
    assert len(judged) == 600
    for record in judged:
        answer = record["response"]["choices"][0]["message"]["content"]
        assert (record["feedback"] == "correct") == (answer == truth[record["id"]])
        assert record.get("correction", answer) == truth[record["id"]]
    wrong = sum(record["feedback"] == "wrong" for record in judged) / 600
    assert wrong == pytest.approx(0.06, abs=0.03)
    assert list(clinc.calls(small, seed=1, days=2)) == records
    times = [record["time"] for record in records]
    assert times == sorted(times)


def test_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="METIER_DATA"):
        next(clinc.labelled(tmp_path))


@pytest.mark.parametrize(("content", "message"), [(b"{", "not valid JSON"), (b'{"train": []}', "not clinc150")])
def test_not_clinc(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "data_full.json").write_bytes(content)
    with pytest.raises(BadInput, match=message):
        next(clinc.labelled(tmp_path))


@pytest.mark.parametrize("days", [0.0, float("nan")])
def test_bad_days(small: Path, days: float) -> None:
    with pytest.raises(BadInput, match="days"):
        next(clinc.calls(small, days=days))


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"clinc150 is not there: {FOLDER} (set METIER_DATA)")
def test_the_real_one() -> None:
    # Larson et al. (2019), table 1: 150 intents; 100, 20 and 30 utterances each, and 100 + 100 + 1,000 out of scope.
    records = list(clinc.labelled(FOLDER))
    assert Counter(record["split"] for record in records) == {
        "train": 15_000, "val": 3_000, "test": 4_500, "ood_train": 100, "ood_val": 100, "ood": 1_000,
    }  # fmt: skip
    assert len({record["output"] for record in records}) == 151
    assert sum(1 for _ in clinc.calls(FOLDER)) == 23_700
