"""Dropping the frontier prompt's instructions: decided on paired losses, on paired answers, and by two short probes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tests.students.lm.tiny_models import byte_tokenizer, write_tiny

from metier.students.lm.baking import Probe, by_losses, decide_baking, probe_size, tokens_saved
from metier.students.lm.coding import coder_for
from metier.students.lm.parts import PromptForm
from metier.students.lm.tuning.plan import TuningPlan

BAKED = PromptForm("", "\n=", "<eos>", is_baked=True)
FULL = PromptForm("Answer with the word that follows. ", "\n=", "<eos>", is_baked=False)
PLAN = TuningPlan(epochs=2, rank=4, rate=1e-2, precision="float32", device="cpu", threads=1, step_tokens=64)


def test_equal_losses_drop_the_instructions() -> None:
    losses = np.random.default_rng(0).gamma(2.0, size=80)
    found = by_losses(losses, losses + 0.1, np.full(80, 20), None, 55.0)
    assert found.bake
    assert found.tokens_saved == 55.0
    assert "+0.0050 nats an answer token" in found.reason  # 0.1 nats over 20 tokens


def test_higher_losses_keep_them() -> None:
    losses = np.random.default_rng(0).gamma(2.0, size=80)
    found = by_losses(losses, losses + 1.0, np.full(80, 20), None, 55.0)
    assert not found.bake
    assert found.tokens_saved == 0.0


def test_doubt_keeps_them() -> None:
    rng = np.random.default_rng(1)
    losses = rng.gamma(2.0, size=12)
    found = by_losses(losses, losses + rng.normal(0, 4, 12), np.full(12, 20), None, 55.0)
    assert not found.bake


def test_groups_count_as_one() -> None:
    # Twenty items that differ alike are one piece of evidence where they are one group.
    rng = np.random.default_rng(2)
    shift = np.repeat(rng.normal(0.1, 1.0, 4), 20)
    losses, n_answer = np.zeros(80), np.full(80, 20)
    alone = by_losses(losses, shift, n_answer, None, 1.0)
    grouped = by_losses(losses, shift, n_answer, np.repeat(list("abcd"), 20).tolist(), 1.0)
    width = {name: _width(found.reason) for name, found in (("alone", alone), ("grouped", grouped))}
    assert width["grouped"] > 2 * width["alone"]


def _width(reason: str) -> float:
    low, high = reason.split("interval ")[1].split(",")[0].split(" to ")
    return float(high) - float(low)


def test_error_rate_of_the_decision_by_losses() -> None:
    """At a true difference of exactly the margin, instructions are dropped in at most about 5% of draws."""
    rng = np.random.default_rng(3)
    dropped = 0
    for _ in range(300):
        n_answer = rng.integers(10, 40, 60)
        difference = 0.02 * n_answer + rng.normal(0, 1.0, 60)
        dropped += by_losses(np.zeros(60), difference, n_answer, None, 1.0).bake
    assert dropped / 300 < 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_tokens_saved_are_those_of_the_instructions() -> None:
    coders = (coder_for(byte_tokenizer(), FULL), coder_for(byte_tokenizer(), BAKED))
    saved, share = tokens_saved(*coders, ["ab", "abcd"])
    assert saved == len(FULL.prefix)
    assert share == pytest.approx(saved / (saved + 3 + len("\n=")))
    assert tokens_saved(*coders, []) == (0.0, 0.0)


def test_probes_cost_a_quarter_of_the_tuning() -> None:
    # Both forms of an example cost 1 + 1 / (1 - 0.75) = 5 baked ones: 0.25 * 4 * 400 / 5 = 80, less 63 / 3 for judging.
    assert probe_size(400, 63, 4, 0.75) == 59
    assert probe_size(400, 63, 1, 0.9) == 32
    assert probe_size(20, 63, 4, 0.5) == 20
    assert probe_size(100_000, 128, 4, 0.5) == 256


def examples(n: int, start: int = 0) -> tuple[list[str], list[str]]:
    words = ["red", "blue", "green", "black"]
    return [f"{i} {words[i % 4]}" for i in range(start, start + n)], [words[i % 4] for i in range(start, start + n)]


def probe(n_train: int = 120, n_tune: int = 24) -> Probe:
    return Probe(*examples(n_train), *examples(n_tune, 1000))


def test_nothing_to_drop_needs_no_probe(tmp_path: Path) -> None:
    same = dataclasses.replace(BAKED, notes=("the traffic holds no prompt of its own for this task",))
    found = decide_baking(tmp_path / "none", same, BAKED, probe(), PLAN, tmp_path / "w", max_tokens=99, recipe="r")
    assert found.bake
    assert "no prompt of its own" in found.reason


@pytest.mark.parametrize(
    ("prefix", "examples", "word"),
    [
        ("A", {}, "of the prompt's tokens"),
        (FULL.prefix, {"n_train": 10}, "too few"),
        (FULL.prefix, {"n_tune": 1}, "too few"),
    ],
)
def test_no_probe_where_it_could_not_matter(
    tmp_path: Path, prefix: str, examples: Mapping[str, int], word: str
) -> None:
    base = write_tiny(tmp_path / "base")
    full = PromptForm(prefix, "\n=" + "x" * 60, "<eos>", is_baked=False)
    baked = PromptForm("", full.suffix, "<eos>", is_baked=True)
    found = decide_baking(base, full, baked, probe(**examples), PLAN, tmp_path / "w", max_tokens=999, recipe="r")
    assert not found.bake
    assert word in found.reason
    assert not (tmp_path / "w").exists()


def test_two_probes_decide_and_leave_nothing(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs torch")
    base = write_tiny(tmp_path / "base")
    told: list[str] = []
    found = decide_baking(
        base,
        FULL,
        BAKED,
        probe(),
        PLAN,
        tmp_path / "w",
        max_tokens=200,
        recipe="r",
        progress=lambda what, done, total: told.append(what),
    )
    assert "after 32 examples in either form" in found.reason
    assert "n = 24" in found.reason
    assert found.tokens_saved in (0.0, float(len(FULL.prefix)))
    assert told
    assert not (tmp_path / "w").exists()


def test_needed_instructions_stay(tmp_path: Path) -> None:
    """A model that has learnt to answer after the instructions alone is worse without them."""
    pytest.importorskip("torch", reason="needs torch")
    from metier.students.lm.tuning.tune import tune

    base = write_tiny(tmp_path / "base")
    plan = dataclasses.replace(PLAN, method="full", epochs=12, rate=5e-3, patience=0)
    encoded = coder_for(base, FULL).encode(*examples(120))
    taught = tune(base, encoded, encoded[:8], plan, tmp_path / "taught", recipe="t", progress=lambda *_: None)
    found = decide_baking(
        taught.folder,
        FULL,
        BAKED,
        probe(),
        dataclasses.replace(PLAN, rate=1e-5),
        tmp_path / "w",
        max_tokens=200,
        recipe="r",
    )
    assert not found.bake
