"""An adapter on top of its base answers as the model with the adapter merged in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metier.errors import ExportFailed
from metier.students.lm.engine import LlamaEngine
from metier.students.lm.exporting import copy_adapter, write_adapter_gguf, write_gguf
from metier.students.lm.parts import Constraint

pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")
pytest.importorskip("peft")

# peft asks transformers by a name that it is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

MakeModel = Callable[[str], Path]
CHARACTERS = Constraint(labels=tuple("ehioprstcmadRT0189/."))
PROMPTS = ["The receipt of the shop", "the sum of the tax " * 4]


def _adapted(folder: Path, adapter: Path, merged: Path, **options: object) -> None:
    """Write a random adapter, and the model that has it merged in beside the base's tokenizer."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = LoraConfig(r=4, lora_alpha=12, target_modules=targets, **options)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "lora_B" in name:
                weights.copy_(0.2 * torch.randn_like(weights))
    model.save_pretrained(adapter)
    model.merge_and_unload().save_pretrained(merged)
    for name in ("tokenizer.json", "tokenizer_gguf.json"):
        (merged / name).write_bytes((folder / name).read_bytes())


@pytest.mark.parametrize(
    ("kind", "options"), [("llama", {}), ("gemma3_text", {}), ("qwen3", {"use_rslora": True})], ids=str
)
def test_an_adapter_on_its_base_is_the_merged_model(
    tiny_model: MakeModel, tmp_path: Path, kind: str, options: dict[str, object]
) -> None:
    folder = tiny_model(kind)
    _adapted(folder, tmp_path / "adapter", tmp_path / "merged", **options)
    write_gguf(folder, tmp_path / "base.gguf", "f32")
    write_gguf(tmp_path / "merged", tmp_path / "merged.gguf", "f32")
    size = write_adapter_gguf(tmp_path / "adapter", folder, tmp_path / "adapter.gguf")
    assert size == (tmp_path / "adapter.gguf").stat().st_size

    def probabilities(path: Path, adapter: Path | None = None) -> list[np.ndarray]:
        with LlamaEngine(path, n_context=256, threads=1, adapter=adapter) as engine:
            return [np.asarray(g.label_probabilities) for g in engine.write(PROMPTS, CHARACTERS, max_tokens=2)]

    plain = probabilities(tmp_path / "base.gguf")
    merged = probabilities(tmp_path / "merged.gguf")
    on_top = probabilities(tmp_path / "base.gguf", tmp_path / "adapter.gguf")
    np.testing.assert_allclose(on_top, merged, atol=0.02)
    assert np.abs(np.array(plain) - np.array(merged)).max() > 0.1


def test_the_copy_is_what_peft_wrote_but_for_the_name_of_its_base(tiny_model: MakeModel, tmp_path: Path) -> None:
    _adapted(tiny_model("llama"), tmp_path / "adapter", tmp_path / "merged")
    size = copy_adapter(tmp_path / "adapter", tmp_path / "copy", base="organisation/base")
    names = ["adapter_config.json", "adapter_model.safetensors"]
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == names
    assert size == sum((tmp_path / "copy" / name).stat().st_size for name in names)
    before, after = (json.loads((tmp_path / place / names[0]).read_text()) for place in ("adapter", "copy"))
    assert after == {**before, "base_model_name_or_path": "organisation/base"}
    copy_adapter(tmp_path / "adapter", tmp_path / "pinned", base="organisation/base", revision="0f" * 20)
    assert json.loads((tmp_path / "pinned" / names[0]).read_text())["revision"] == "0f" * 20
    weights = [(tmp_path / place / names[1]).read_bytes() for place in ("adapter", "copy")]
    assert weights[0] == weights[1]


def test_an_adapter_with_an_embedding_fits_no_whole_base_and_is_refused(tiny_model: MakeModel, tmp_path: Path) -> None:
    _adapted(tiny_model("llama"), tmp_path / "adapter", tmp_path / "merged", modules_to_save=["embed_tokens"])
    with pytest.raises(ExportFailed, match=r"more than low-rank changes of the layers: .*embed_tokens"):
        copy_adapter(tmp_path / "adapter", tmp_path / "copy", base="organisation/base")
    assert not (tmp_path / "copy").exists()


def test_adapters_that_llama_cpp_cannot_apply_are_refused(tiny_model: MakeModel, tmp_path: Path) -> None:
    folder = tiny_model("llama")
    with pytest.raises(ExportFailed, match=r"adapter_config\.json is missing"):
        write_adapter_gguf(tmp_path, folder, tmp_path / "a.gguf")
    _adapted(folder, tmp_path / "adapter", tmp_path / "merged")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "use_dora": True}))
    with pytest.raises(ExportFailed, match="DoRA"):
        write_adapter_gguf(tmp_path / "adapter", folder, tmp_path / "a.gguf")
    assert not (tmp_path / "a.gguf").exists()
