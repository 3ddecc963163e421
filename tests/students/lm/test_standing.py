"""Specialists whose served build is their base's own with an adapter on top."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.students.lm.test_student import base, cache, fit, records

from metier.errors import BadInput
from metier.students import LmStudent
from metier.students.lm.engine.sharing import LOADED

__all__ = ["base", "cache"]
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
MakeModel = Callable[[str], Path]


def test_two_specialists_of_one_base_share_its_build(base: str, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, epochs in zip(folders, (1, 2), strict=True):
        summary = fit(
            base, folder, vocabulary="keep", method="lora", quantisation="shared", epochs=epochs, preference="off"
        )
        assert summary.precision == "shared"
    metas = [json.loads((folder / "meta.json").read_text()) for folder in folders]
    assert [meta["served"] for meta in metas] == ["builds/shared.gguf"] * 2
    assert len({meta["files"]["builds/shared.gguf"] for meta in metas}) == 1
    assert len({meta["files"]["builds/adapter-0.gguf"] for meta in metas}) == 2
    before, inputs = LOADED.n_loaded(), records(6, 9).inputs
    alone = []
    for folder in folders:
        predictor = LmStudent().load(folder)
        alone.append(predictor.predict(inputs).labels.tolist())
        predictor.close()
    both = [LmStudent().load(folder) for folder in folders]
    assert LOADED.n_loaded() == before + 1
    assert [predictor.predict(inputs).labels.tolist() for predictor in both] == alone
    for predictor in both:
        predictor.close()
    assert LOADED.n_loaded() == before


@pytest.mark.parametrize("options", [{"vocabulary": "trim"}, {"vocabulary": "keep", "method": "full"}])
def test_what_cannot_be_shared_is_refused_before_it_is_trained(
    base: str, tmp_path: Path, options: dict[str, str]
) -> None:
    with pytest.raises(BadInput, match="needs vocabulary = 'keep' and adapters"):
        fit(base, tmp_path / "s", quantisation="shared", **options)
