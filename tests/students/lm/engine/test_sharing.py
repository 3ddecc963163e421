"""Engines that share one loaded model: each answers as if it were alone."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from metier.errors import BadInput
from metier.students.lm.engine import Adapter, LlamaEngine
from metier.students.lm.engine.llama import EngineStopped
from metier.students.lm.engine.sharing import LOADED
from metier.students.lm.exporting import write_adapter_gguf, write_gguf
from metier.students.lm.parts import Constraint

pytest.importorskip("peft", reason="needs the [train] extra")
pytest.importorskip("xllamacpp", reason="needs the [lm] extra")
# peft asks transformers by a name that it is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

MakeModel = Callable[[str], Path]
CHARACTERS = Constraint(labels=tuple("ehioprstcmadRT0189/."))
PROMPTS = ["The receipt of the shop", "the sum of the tax " * 4]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def an_adapter(folder: Path, seed: int, target: Path) -> Adapter:
    """A random adapter of the model in `folder`, as GGUF."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(r=4, lora_alpha=12, target_modules=["q_proj", "v_proj", "up_proj"])
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "lora_B" in name:
                weights.copy_(0.3 * torch.randn_like(weights))
    model.save_pretrained(str(target))
    write_adapter_gguf(target, folder, target / "adapter.gguf")
    return Adapter(target / "adapter.gguf", digest(target / "adapter.gguf"))


@pytest.fixture(scope="module")
def base(tiny_model: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base") / "base.gguf"
    write_gguf(tiny_model("llama"), path, "f32")
    return path


@pytest.fixture(scope="module")
def adapters(tiny_model: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> list[Adapter]:
    root = tmp_path_factory.mktemp("adapters")
    return [an_adapter(tiny_model("llama"), seed, root / str(seed)) for seed in (1, 2)]


def share(base: Path, *adapters: Adapter) -> LlamaEngine:
    return LlamaEngine.shared(base, digest(base), adapters, n_context=256, threads=1, parallel=2)


def opinions(engine: LlamaEngine) -> np.ndarray:
    return np.array([one.label_probabilities for one in engine.write(PROMPTS, CHARACTERS, max_tokens=2)])


def alone(base: Path, adapter: Adapter | None = None) -> np.ndarray:
    path = adapter.path if adapter is not None else None
    with LlamaEngine(base, n_context=256, threads=1, adapter=path) as engine:
        return opinions(engine)


def test_each_engine_answers_with_its_own_adapter_and_the_model_is_loaded_once(
    base: Path, adapters: list[Adapter]
) -> None:
    wanted = [alone(base), alone(base, adapters[0]), alone(base, adapters[1])]
    assert min(np.abs(wanted[i] - wanted[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))) > 0.1
    before = LOADED.n_loaded()
    engines = [share(base), share(base, adapters[0]), share(base, adapters[1])]
    assert LOADED.n_loaded() == before + 1
    for engine, expected in zip(engines, wanted, strict=True):
        np.testing.assert_allclose(opinions(engine), expected, atol=0.01)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda place: (place, opinions(engines[place])), [0, 1, 2] * 8))
    for place, given in found:
        np.testing.assert_allclose(given, wanted[place], atol=0.01)
    engines[0].close()
    engines[0].close()
    assert LOADED.n_loaded() == before + 1
    np.testing.assert_allclose(opinions(engines[2]), wanted[2], atol=0.01)
    for engine in engines[1:]:
        engine.close()
    assert LOADED.n_loaded() == before


def test_a_new_adapter_comes_while_another_writes(base: Path, adapters: list[Adapter]) -> None:
    with share(base, adapters[0]) as first:
        wanted = opinions(first)
        with ThreadPoolExecutor(2) as pool:
            under_way = [pool.submit(opinions, first) for _ in range(8)]
            second = share(base, adapters[1])
            for one in under_way:
                np.testing.assert_allclose(one.result(), wanted, atol=0.01)
        np.testing.assert_allclose(opinions(second), alone(base, adapters[1]), atol=0.01)
        second.close()


def test_an_adapter_that_cannot_be_loaded_leaves_the_others_alone(base: Path, adapters: list[Adapter]) -> None:
    before = LOADED.n_loaded()
    with share(base, adapters[0]) as first:
        wanted = opinions(first)
        with pytest.raises(BadInput, match="no model file"):
            share(base, Adapter(base.with_name("none.gguf"), "0" * 64))
        np.testing.assert_allclose(opinions(first), wanted, atol=0.01)
    assert LOADED.n_loaded() == before


def test_an_adapter_that_nobody_uses_any_more_is_forgotten(base: Path, adapters: list[Adapter], tmp_path: Path) -> None:
    """Its file may be gone, as a specialist's is that was replaced: the others must still be loaded anew."""
    gone = Adapter(tmp_path / "gone.gguf", adapters[0].sha256)
    shutil.copyfile(adapters[0].path, gone.path)
    with share(base) as stays:
        with share(base, gone) as first:
            wanted = opinions(first)
        gone.path.unlink()
        with share(base, adapters[1]) as second, share(base, adapters[0]) as again:
            np.testing.assert_allclose(opinions(second), alone(base, adapters[1]), atol=0.01)
            np.testing.assert_allclose(opinions(again), wanted, atol=0.01)
        np.testing.assert_allclose(opinions(stays), alone(base), atol=0.01)


def test_models_that_were_replaced_before_they_were_asked_are_freed(base: Path, adapters: list[Adapter]) -> None:
    for _ in range(3):
        with share(base), share(base, adapters[0]), share(base, adapters[1]):
            pass


def test_closing_waits_for_the_answer_that_is_being_written(base: Path) -> None:
    for _ in range(3):
        engine = share(base)
        with ThreadPoolExecutor(1) as pool:
            under_way = pool.submit(engine.write, PROMPTS[:1], CHARACTERS, max_tokens=2)
            for _ in range(10_000):
                if engine._pool._threads:
                    break
                time.sleep(0.0005)
            engine.close()
            assert under_way.result()[0].label_probabilities is not None


def test_an_engine_that_was_stopped_breaks_off_and_its_neighbour_goes_on(base: Path, adapters: list[Adapter]) -> None:
    with share(base, adapters[0]) as first, share(base, adapters[0]) as second:
        first.stop()
        with pytest.raises(EngineStopped):
            first.write(PROMPTS[:1], Constraint(), max_tokens=100)
        with pytest.raises(EngineStopped):
            first.write(PROMPTS[:1], CHARACTERS, max_tokens=2)
        assert second.write(PROMPTS[:1], Constraint(), max_tokens=8)[0].n_output > 0
