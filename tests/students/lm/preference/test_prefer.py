"""The pass on tiny random models: what it learns, that a kill costs nothing, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("peft", reason="needs peft")

from safetensors.torch import load_file  # noqa: E402
from tests.students.lm.tiny_models import byte_tokenizer, write_tiny  # noqa: E402

from metier.errors import BadInput, NotEnoughData  # noqa: E402
from metier.students.lm.coding import coder_for  # noqa: E402
from metier.students.lm.likelihood import answer_logprobs, open_causal  # noqa: E402
from metier.students.lm.parts import PromptForm  # noqa: E402
from metier.students.lm.preference import Pair, PreferencePlan, affordable_pairs, prefer  # noqa: E402
from metier.students.lm.preference.losses import pair_loss  # noqa: E402
from metier.students.lm.preference.sequences import coded_pairs  # noqa: E402
from metier.students.lm.tuning.plan import PassFailed  # noqa: E402

FORM = PromptForm("<bos>", "\n=", "<eos>", is_baked=True)
PLAN = PreferencePlan(rate=2e-2, rank=4, step_pairs=4, precision="float32", device="cpu", threads=1)
PAIRS = [Pair(f"in {i}", f"good {i}", "bad bad bad", "cut off", has_end=False) for i in range(24)]


def margins(folder: Path, pairs: Sequence[Pair]) -> list[tuple[float, float]]:
    model, _ = open_causal(folder, "float32", "cpu")
    coded = coded_pairs(coder_for(folder, FORM), pairs, 1000)
    with torch.no_grad():
        found = [answer_logprobs(model, pair.prompt, (pair.chosen, pair.rejected)).tolist() for pair in coded]
    return [(chosen, rejected) for chosen, rejected in found]


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_chosen_answers_become_likelier_than_rejected_ones(tmp_path: Path, kind: Literal["llama", "gemma3"]) -> None:
    base = write_tiny(tmp_path / "base", kind)
    done = prefer(base, PAIRS, PLAN, tmp_path / "work", form=FORM, recipe="r")
    before, after = margins(base, PAIRS), margins(done.folder, PAIRS)
    assert all(c1 - r1 > c0 - r0 for (c0, r0), (c1, r1) in zip(before, after, strict=True))
    # The likelihood of the chosen answers rises too: that is the second part of the loss.
    assert sum(c for c, _ in after) > sum(c for c, _ in before)
    assert done.told_apart == 1.0
    assert done.margins[0] == pytest.approx(0.0, abs=1e-4)  # the reference is where the pass begins
    assert len(done.margins) == 6
    assert "24 pairs" in done.story()


def test_folder_is_whole_and_the_adapter_is_the_difference(tmp_path: Path) -> None:
    base = write_tiny(tmp_path / "base")
    done = prefer(base, PAIRS, PLAN, tmp_path / "work", form=FORM, recipe="r")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        assert (done.folder / name).is_file()
    assert (done.adapter / "adapter_config.json").is_file()
    before, after = load_file(base / "model.safetensors"), load_file(done.folder / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name].float(), after[name])}
    assert changed == {name for name in before if "_proj" in name}  # embeddings and norms stay
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["adapter", "model", "preferred.json"]


def test_done_work_is_given_back_and_other_work_is_not(tmp_path: Path) -> None:
    base, work = write_tiny(tmp_path / "base"), tmp_path / "work"
    done = prefer(base, PAIRS, PLAN, work, form=FORM, recipe="r")
    stamp = (done.folder / "model.safetensors").stat().st_mtime_ns
    assert prefer(base, PAIRS, replace(PLAN, threads=2), work, form=FORM, recipe="r") == done
    assert (done.folder / "model.safetensors").stat().st_mtime_ns == stamp
    other = prefer(base, PAIRS[:16], PLAN, work, form=FORM, recipe="r")
    assert other.n_pairs == 16


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [("Reading pairs", 5), ("Preference tuning", 4)])
def test_a_kill_changes_nothing(tmp_path: Path, at: tuple[str, int]) -> None:
    base = write_tiny(tmp_path / "base")
    plan = replace(PLAN, checkpoint_every_s=0.0)
    whole = prefer(base, PAIRS, plan, tmp_path / "whole", form=FORM, recipe="r")

    def kill(description: str, done: int, total: int | None) -> None:
        if (description, done) == at:
            raise Killed

    with pytest.raises(Killed):
        prefer(base, PAIRS, plan, tmp_path / "work", form=FORM, recipe="r", progress=kill)
    seen: list[tuple[str, int]] = []
    resumed = prefer(
        base, PAIRS, plan, tmp_path / "work", form=FORM, recipe="r", progress=lambda d, n, _: seen.append((d, n))
    )
    assert resumed.margins == whole.margins
    one, other = (load_file(made.folder / "model.safetensors") for made in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    if at == ("Preference tuning", 4):
        assert ("Reading pairs", 0) not in seen
        assert min(n for d, n in seen if d == "Preference tuning") == 4


def test_half_a_checkpoint_is_no_checkpoint(tmp_path: Path) -> None:
    base, work = write_tiny(tmp_path / "base"), tmp_path / "work"
    work.mkdir()
    (work / "checkpoint.safetensors").write_bytes(b"\x10\0\0")
    (work / "reference.safetensors").write_bytes(b"")
    assert prefer(base, PAIRS, PLAN, work, form=FORM, recipe="r").n_pairs == 24


def test_too_few_usable_pairs_are_refused_with_their_number(tmp_path: Path) -> None:
    base = write_tiny(tmp_path / "base")
    same = [Pair(f"in {i}", "x", "x", "wrong", has_end=True) for i in range(20)]
    with pytest.raises(NotEnoughData, match="7 pairs"):
        prefer(base, [*PAIRS[:7], *same], PLAN, tmp_path / "work", form=FORM, recipe="r")


def test_weights_that_run_away_stop_the_pass(tmp_path: Path) -> None:
    base = write_tiny(tmp_path / "base")
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"][0] = math.nan
    from safetensors.torch import save_file

    save_file(weights, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(PassFailed, match="lower rate"):
        prefer(base, PAIRS, PLAN, tmp_path / "work", form=FORM, recipe="r")


def test_pairs_without_an_end_teach_no_end() -> None:
    coder = coder_for(byte_tokenizer(), FORM)
    endless = Pair("in", "ok", "la " * 200, "degenerate", has_end=False)
    ended = Pair("in", "ok", "no", "wrong", has_end=True)
    first, second = coded_pairs(coder, [endless, ended], 1000)
    assert coder.end not in first.rejected
    assert len(first.rejected) == 2 * len("ok#") + 32
    assert second.rejected[-1] == coder.end == second.chosen[-1]
    assert first.prompt == coder.prompt("in")


def test_long_pairs_are_left_out_not_shortened() -> None:
    coder = coder_for(byte_tokenizer(), FORM)
    assert coded_pairs(coder, [Pair("x" * 50, "a", "b", "wrong", has_end=True)], 40) == []


def test_loss_of_a_pair_by_hand() -> None:
    # margin = (-2 + 3) - (-5 + 4) = 2; -log sigmoid(0.5 * 2) = 0.31326; 2 nats over 4 tokens, weighed by 0.5: 0.25.
    loss, margin = pair_loss(torch.tensor(-2.0), torch.tensor(-5.0), -3.0, -4.0, 4, beta=0.5, sft_weight=0.5)
    assert float(loss) == pytest.approx(0.3132617 + 0.25, abs=1e-6)
    assert margin == pytest.approx(2.0)


def test_pairs_fit_the_share_of_the_time() -> None:
    assert affordable_pairs(1200, 0.16) == 120
    assert affordable_pairs(0) == 0


@pytest.mark.parametrize("wrong", [{"beta": 0.0}, {"rank": 0}, {"warm_up": 1.0}, {"sft_weight": -1.0}])
def test_plans_name_what_is_wrong(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        PreferencePlan(**wrong)  # type: ignore[arg-type]
