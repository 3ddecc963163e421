"""The wrong records of benchmarks/lm_wrong_records.py, which both sides of benchmarks/lm_preference.py learn from."""

import importlib.util
import json
from pathlib import Path

import pytest

from metier.metrics.records import normalised

BENCHMARK = Path(__file__).parents[4] / "benchmarks" / "lm_wrong_records.py"
RECEIPTS = [
    {"company": "A. B. TRADING", "date": "25/12/2018", "total": "9.00"},
    {"company": "BOOKS AND MORE", "date": "18-11-18", "total": "30.90"},
    {"company": "CAFE", "date": "1 JAN 2019", "total": "4"},
] * 4


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_wrong_records", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_field_is_wrong_in_the_way_that_is_told(benchmark):
    pairs = benchmark.pairs_of([("the text", json.dumps(record)) for record in RECEIPTS], seed=3)
    assert [pair.fault for pair in pairs] == ["another receipt's value", "cut short", "made up"] * 4
    for pair in pairs:
        right, wrong = json.loads(pair.chosen), json.loads(pair.rejected)
        (field,) = [name for name in right if right[name] != wrong[name]]
        assert normalised(wrong[field]) not in ("", normalised(right[field]))
        if pair.fault == "another receipt's value":
            assert wrong[field] in {record[field] for record in RECEIPTS}
        elif pair.fault == "cut short":
            assert right[field].startswith(wrong[field])
            assert 2 * len(wrong[field]) >= len(right[field]) - 1
        else:
            masked = [["0" if sign.isdigit() else sign for sign in value[field]] for value in (right, wrong)]
            assert masked[0] == masked[1]


def test_the_same_seed_gives_the_same_pairs(benchmark):
    receipts = [("the text", json.dumps(record)) for record in RECEIPTS]
    assert benchmark.pairs_of(receipts, seed=1) == benchmark.pairs_of(receipts, seed=1)
    assert benchmark.pairs_of(receipts, seed=1) != benchmark.pairs_of(receipts, seed=2)


def test_a_record_that_cannot_be_made_wrong_is_named(benchmark):
    with pytest.raises(ValueError, match="made wrong: another receipt's value"):
        benchmark.pairs_of([("the text", '{"total": "4"}')])
