"""The preference phases as the student runs them: what a pass makes is looked at as a build, and a pass that fails is no
reason to fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.students.lm.test_student import FIELDS, OPTIONS, base, cache, records

from metier.progress import Progress, silent
from metier.students import FitSummary, LmStudent

__all__ = ["base", "cache"]
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


def fit(base: str, folder: Path, progress: Progress = silent) -> FitSummary:
    options = {**OPTIONS, "base": base, "quantisation": "q8_0", "preference": "on"}
    return LmStudent().fit(
        records(60, 0), records(6, 1), folder, seed=0, progress=progress, options=options, task=FIELDS
    )


def test_what_a_pass_made_is_judged_as_a_build_and_kept_only_where_it_helps(base: str, tmp_path: Path) -> None:
    model = fit(base, tmp_path / "s").language_model
    assert model is not None
    assert "one pass of DPO over" in model.preference
    assert "kept, since the tune split" in model.preference
    assert (tmp_path / "s" / "adapter-preference").is_dir() == ("; kept" in model.preference)
    predictor = LmStudent().load(tmp_path / "s")
    assert len(predictor.predict(["The north shop"]).labels) == 1
    predictor.close()


def test_a_pass_that_the_memory_does_not_hold_leaves_the_model_before_it(base: str, tmp_path: Path) -> None:
    def full(description: str, done: int, total: int | None) -> None:
        if description == "Preference tuning":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")

    summary = fit(base, tmp_path / "s", full)
    assert summary.language_model is not None
    assert summary.language_model.preference.startswith("not done: the memory does not hold")
    assert not (tmp_path / "s" / "adapter-preference").exists()
