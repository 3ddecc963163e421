"""What a stranger finds in a specialist's folder: adapters that peft and transformers load by their own cards alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from tests.students.lm.test_student import FIELDS, OPTIONS, base, cache, records
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from metier.progress import silent
from metier.students import LmStudent
from metier.students.lm import preferring
from metier.students.lm.exporting import AdapterCard, adapter_card_text, write_gguf
from metier.students.lm.preference import PreferencePlan
from metier.students.lm.preference.deciding import Decision
from metier.students.lm.prompts import load_tokenizer
from metier.students.lm.vocabulary import choosing, trimming

__all__ = ["base", "cache"]
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
MakeModel = Callable[[str], Path]
ADAPTERS = ("adapter", "adapter-preference", "adapter-refit")

CARD = AdapterCard(
    title="tiny, specialised",
    name="adapter",
    order=[("adapter", "learnt from the examples")],
    base="base",
    is_public=False,
    base_sha256="0" * 64,
    licence="mit",
    conditions="",
    purpose=["Nothing."],
    prefix="The ",
    suffix='\n"\\',
    end="<|im_end|>",
    max_tokens=4,
    gguf_file="tiny.gguf",
)


@pytest.fixture(scope="module")
def specialist(base: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A specialist of a cut vocabulary with every adapter that there can be, the first of two averaged trainings."""
    folder = tmp_path_factory.mktemp("specialist") / "s"
    options = {**OPTIONS, "base": base, "quantisation": "q8_0", "preference": "on", "refit": "auto", "trainings": 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preferring, "keep_preference", lambda *_: Decision(True, "kept"))
        # On a busy machine threads that wait for each other take minutes over a model this small.
        patch.setattr(preferring, "PreferencePlan", partial(PreferencePlan, threads=1))
        # The tiny base has fewer tokens than the smallest size: what the texts do not need would stay.
        patch.setattr(trimming, "SIZES", (1,))
        patch.setattr(choosing, "ROW_MULTIPLE", 1)
        LmStudent().fit(
            records(60, 0),
            records(6, 1),
            folder,
            seed=0,
            progress=silent,
            options=options,
            task=FIELDS,
        )
    return folder


def config_of(adapter: Path) -> dict[str, Any]:
    return dict(json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8")))


def causal(folder: Path | str) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def code_of(readme: Path) -> str:
    found = re.search(r"```python\n(.*?)\n```", readme.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def cut_tokens(base: str, specialist: Path) -> tuple[Tokenizer, list[int]]:
    """The specialist's own tokenizer, and the base's id of each of its tokens."""
    whole, cut = load_tokenizer(Path(base)), load_tokenizer(specialist / "model")
    kept = [whole.token_to_id(cut.id_to_token(place)) for place in range(cut.get_vocab_size())]
    assert len(kept) < whole.get_vocab_size()
    return cut, kept


def test_adapters_on_the_whole_base_one_after_another_are_the_final_model(base: str, specialist: Path) -> None:
    """Same logits of the kept tokens as those of the specialist's own model, whose vocabulary was cut."""
    cut, kept = cut_tokens(base, specialist)
    text = records(1, 5).inputs[0]
    ids = load_tokenizer(Path(base)).encode(text).ids
    assert [kept[place] for place in cut.encode(text).ids] == ids

    with torch.no_grad():
        final = causal(specialist / "model")(torch.tensor([cut.encode(text).ids])).logits
        model = causal(base)
        differences = []
        for adapter in ADAPTERS:
            found = model(torch.tensor([ids])).logits[..., kept]
            differences.append(float((found - final).abs().max()))
            model = PeftModel.from_pretrained(model, specialist / adapter).merge_and_unload()
        found = model(torch.tensor([ids])).logits[..., kept]
    assert min(differences) > 0.01  # none of them is superfluous
    torch.testing.assert_close(found, final, rtol=1e-3, atol=2e-3)


def test_an_adapter_names_the_base_that_was_given_and_changes_layers_alone(base: str, specialist: Path) -> None:
    for name in ADAPTERS:
        config = config_of(specialist / name)
        assert config["base_model_name_or_path"] == base
        assert not config.get("modules_to_save")
        assert not [value for value in config.values() if "work" in str(value) or "vocabulary" in str(value)]
    with torch.no_grad():
        ids = torch.tensor([[5, 6, 7]])
        by_itself = AutoPeftModelForCausalLM.from_pretrained(specialist / "adapter", dtype=torch.float32)(ids).logits
        on_base = PeftModel.from_pretrained(causal(base), specialist / "adapter")(ids).logits
    torch.testing.assert_close(by_itself, on_base)


def test_the_code_of_a_card_answers_as_the_model_does(
    base: str, specialist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(specialist)
    codes = {code_of(Path(name) / "README.md") for name in ADAPTERS}
    assert len(codes) == 1
    names: dict[str, Any] = {}
    exec(codes.pop(), names)
    text = records(1, 5).inputs[0]
    form = json.loads(Path("meta.json").read_text(encoding="utf-8"))["form"]
    prompt = form["prefix"] + text + form["suffix"]
    ids = torch.tensor([names["tokenizer"](prompt).input_ids])
    cut, kept = cut_tokens(base, specialist)
    with torch.no_grad():
        final = causal("model")(torch.tensor([cut.encode(prompt).ids])).logits
        torch.testing.assert_close(names["model"](ids).logits[..., kept], final, rtol=1e-3, atol=2e-3)
        written = names["model"].generate(ids, max_new_tokens=48, do_sample=False, eos_token_id=2)
    assert names["answer"](text) == names["tokenizer"].decode(written[0, ids.shape[1] :], skip_special_tokens=True)


def test_a_card_says_what_the_base_demands_and_which_adapter_it_is(base: str, specialist: Path) -> None:
    for place, name in enumerate(ADAPTERS, start=1):
        card = (specialist / name / "README.md").read_text(encoding="utf-8")
        assert f"This is number {place} of 3." in card
        assert "1. `adapter`: learnt from the examples\n2. `adapter-preference`: " in card
        assert "apache-2.0. Apache License 2.0: free use; keep the notices." in card
        assert f"Base model: {base}, whose weights have the SHA-256 " in card
        assert "without reading it any more:\n\n```\nRead the receipt and give its shop and total as JSON." in card
        assert '"shop"' in card
        assert 'library_name: "peft"' in card
        assert "base_model" not in card.split("---")[1]  # the hub knows nothing of it


def test_a_base_on_the_hub_stands_in_the_front_matter() -> None:
    card = replace(CARD, base="organisation/base", is_public=True, gguf_file="", base_note="It is not quite that.")
    front, text = adapter_card_text(card).split("\n---\n")
    assert 'base_model: "organisation/base"' in front
    assert 'base_model_relation: "adapter"' in front
    assert "base = 'organisation/base'" in text
    assert f"Base model: organisation/base, whose weights have the SHA-256 {'0' * 64}. It is not quite that." in text


def test_the_model_card_lists_what_is_there_by_its_path(specialist: Path) -> None:
    card = (specialist / "README.md").read_text(encoding="utf-8")
    assert card == (specialist / "model" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([^`]+)` \| [\d.]+ MB \| \w.+ \|$", card, re.MULTILINE)
    assert sorted(listed) == sorted(
        [
            "builds/q4.gguf",
            "builds/q8_0.gguf",
            "model/",
            *(f"{name}/" for name in ADAPTERS),
            "foreignness.npz",
            "tune-answers.json",
        ]
    )
    assert all((specialist / path).exists() for path in listed)
    assert len(re.findall("`builds/q8_0.gguf`.*; this one answers", card)) == 1


def test_the_code_of_a_card_loads_a_base_that_is_a_gguf_file(
    tiny_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import LoraConfig, get_peft_model

    folder = tiny_model("llama")
    (tmp_path / "base").mkdir()
    write_gguf(folder, tmp_path / "base" / "tiny.gguf", "f32")
    adapted = get_peft_model(causal(folder), LoraConfig(r=2, target_modules=["q_proj"]))
    for name, weights in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.2)
    adapted.save_pretrained(tmp_path / "adapter")
    text = adapter_card_text(CARD)
    assert "Base model: tiny.gguf in base," in text
    assert "There is no other" in text
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code_of(tmp_path / "README.md"), names)
    ids = torch.tensor([load_tokenizer(folder).encode('The shop\n"\\').ids])
    with torch.no_grad():
        torch.testing.assert_close(names["model"](ids).logits, adapted(ids).logits, rtol=1e-3, atol=1e-3)
    assert isinstance(names["answer"]("shop"), str)


def test_a_base_of_the_hub_is_loaded_at_its_commit() -> None:
    text = adapter_card_text(replace(CARD, base="organisation/base", is_public=True, gguf_file="", revision="0f" * 20))
    assert text.count(f"from_pretrained(base, revision='{'0f' * 20}'") == 2
