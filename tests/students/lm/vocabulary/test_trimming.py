"""Trimming on tiny models with random weights and both kinds of tokenizer; real ones are in test_real_vocabularies."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

from metier.errors import BadInput
from metier.students.lm.vocabulary import read_facts, read_trimmed, restore, trim
from metier.students.lm.vocabulary import trimming as trimming_module

KINDS = ["gemma3_text", "llama"]
MakeModel = Callable[[str], Path]
# Few words of the base's, so that something is left to cut.
WORDS = ["of the", '{"total": "9.00"}']


@pytest.fixture
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny vocabularies are far smaller than the sizes real ones are cut to."""
    monkeypatch.setattr(trimming_module, "SIZES", (1,))


@pytest.fixture
def wide(tiny_model: MakeModel, tmp_path: Path) -> Callable[[str], Path]:
    """The tiny model with 64 more tokens that nothing needs: places held free, as Gemma has 6,242 of them."""

    def make(kind: str) -> Path:
        folder = tmp_path / f"wide-{kind}"
        shutil.copytree(tiny_model(kind), folder)
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        n = json.loads((folder / "config.json").read_text())["vocab_size"]
        for extra in range(64):
            tokenizer["model"]["vocab"][f"<unused{extra}>"] = n + extra
            entry = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
            tokenizer["added_tokens"].append({"id": n + extra, "content": f"<unused{extra}>", **entry})
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "vocab_size": n + 64}))
        facts = json.loads((folder / "tokenizer_gguf.json").read_text())
        facts["tokens"] += [f"<unused{extra}>" for extra in range(64)]
        facts["token_types"] += [3] * 64
        facts["scores"] = facts["scores"] and facts["scores"] + [-1000.0] * 64
        (folder / "tokenizer_gguf.json").write_text(json.dumps(facts))
        weights = load_file(folder / "model.safetensors")
        for name, tensor in weights.items():
            if tensor.shape[0] == n and name.endswith(("embed_tokens.weight", "lm_head.weight")):
                weights[name] = torch.cat([tensor, torch.randn(64, tensor.shape[1])])
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return make


def _logits(folder: Path, ids: list[int]) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([ids])).logits[0]
    return logits


def _tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.mark.usefixtures("small_sizes")
@pytest.mark.parametrize("kind", KINDS)
def test_segmentation_and_logits_are_those_of_the_base(wide: Callable[[str], Path], kind: str, tmp_path: Path) -> None:
    base = wide(kind)
    trimmed = trim(base, WORDS, tmp_path / "cut")
    assert trimmed.mode == "trim"
    assert trimmed.n_vocabulary < trimmed.n_vocabulary_base
    for text in WORDS:
        before, after = _tokenizer(base).encode(text), _tokenizer(trimmed.folder).encode(text)
        assert after.tokens == before.tokens
        assert trimmed.kept[after.ids].tolist() == before.ids
        torch.testing.assert_close(
            _logits(trimmed.folder, after.ids), _logits(base, before.ids)[:, torch.from_numpy(trimmed.kept)]
        )


@pytest.mark.usefixtures("small_sizes")
@pytest.mark.parametrize("kind", KINDS)
def test_the_folder_is_one_that_transformers_reads(wide: Callable[[str], Path], kind: str, tmp_path: Path) -> None:
    base = wide(kind)
    trimmed = trim(base, WORDS, tmp_path / "cut")
    config = json.loads((trimmed.folder / "config.json").read_text())
    vocabulary = _tokenizer(trimmed.folder).get_vocab()
    tokens = {new: token for token, new in vocabulary.items()}
    old = {index: token for token, index in _tokenizer(base).get_vocab().items()}
    before = json.loads((base / "config.json").read_text())
    assert config["vocab_size"] == len(vocabulary) == trimmed.n_vocabulary
    for role in ("bos_token_id", "eos_token_id", "pad_token_id"):
        assert tokens[config[role]] == old[before[role]]
    assert AutoTokenizer.from_pretrained(trimmed.folder)("of the")["input_ids"]
    facts = read_facts(trimmed.folder)
    assert facts is not None
    assert facts.tokens == tuple(tokens[new] for new in range(len(tokens)))
    assert facts.tokens[facts.ids["eos_token_id"]] == tokens[config["eos_token_id"]]
    assert read_trimmed(trimmed.folder).reason == trimmed.reason


@pytest.fixture(scope="module")
def cut(tiny_model: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Tokenizer]]:
    """A base and the tokenizer cut to almost nothing."""
    made: dict[str, tuple[Path, Tokenizer]] = {}

    def make(kind: str) -> tuple[Path, Tokenizer]:
        if kind not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(trimming_module, "SIZES", (1,))
                folder = trim(tiny_model(kind), ["of"], tmp_path_factory.mktemp("cut") / kind).folder
            made[kind] = (tiny_model(kind), _tokenizer(folder))
        return made[kind]

    return make


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"), max_size=40))
def test_any_text_round_trips(cut: Callable[[str], tuple[Path, Tokenizer]], kind: str, text: str) -> None:
    # U+2581 is SentencePiece's own space: the base loses it too.
    _, tokenizer = cut(kind)
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids, skip_special_tokens=False) == text


@pytest.mark.usefixtures("small_sizes")
@pytest.mark.parametrize("kind", KINDS)
def test_restoring_what_was_not_tuned_gives_the_base_again(
    wide: Callable[[str], Path], kind: str, tmp_path: Path
) -> None:
    base = wide(kind)
    trimmed = trim(base, WORDS, tmp_path / "cut")
    restore(trimmed.folder, base, tmp_path / "back")
    before, after = load_file(base / "model.safetensors"), load_file(tmp_path / "back" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert _tokenizer(tmp_path / "back").get_vocab() == _tokenizer(base).get_vocab()
    assert json.loads((tmp_path / "back" / "config.json").read_text())["vocab_size"] == trimmed.n_vocabulary_base


@pytest.mark.usefixtures("small_sizes")
def test_restoring_puts_tuned_rows_in_their_places(wide: Callable[[str], Path], tmp_path: Path) -> None:
    base = wide("llama")
    trimmed = trim(base, WORDS, tmp_path / "cut")
    weights = load_file(trimmed.folder / "model.safetensors")
    tuned = {name: tensor * 2 for name, tensor in weights.items()}
    save_file(tuned, trimmed.folder / "model.safetensors", metadata={"format": "pt"})
    restore(trimmed.folder, base, tmp_path / "back")
    before = load_file(base / "model.safetensors")["model.embed_tokens.weight"]
    after = load_file(tmp_path / "back" / "model.safetensors")["model.embed_tokens.weight"]
    expected = before.clone()
    expected[torch.from_numpy(trimmed.kept)] *= 2
    assert torch.equal(after, expected)
    # What was trained on the small vocabulary answers the same on the whole one.
    ids = _tokenizer(trimmed.folder).encode("of the").ids
    torch.testing.assert_close(
        _logits(trimmed.folder, ids),
        _logits(tmp_path / "back", trimmed.kept[ids].tolist())[:, torch.from_numpy(trimmed.kept)],
    )


@pytest.mark.usefixtures("small_sizes")
def test_restoring_with_another_base_is_refused(
    wide: Callable[[str], Path], tiny_model: MakeModel, tmp_path: Path
) -> None:
    trimmed = trim(wide("llama"), WORDS, tmp_path / "cut")
    with pytest.raises(BadInput, match="was not cut from this base"):
        restore(trimmed.folder, tiny_model("llama"), tmp_path / "back")


def test_keep_copies_the_model(tiny_model: MakeModel, tmp_path: Path) -> None:
    base = tiny_model("llama")
    kept = trim(base, WORDS, tmp_path / "kept", mode="keep")
    assert (kept.mode, kept.n_vocabulary, kept.n_parameters) == ("keep", kept.n_vocabulary_base, kept.n_parameters_base)
    assert kept.kept.tolist() == list(range(kept.n_vocabulary))
    torch.testing.assert_close(_logits(kept.folder, [3, 4, 5]), _logits(base, [3, 4, 5]))


@pytest.mark.parametrize("kind", ["Unigram", "WordPiece", "WordLevel", "no bytes"])
def test_a_tokenizer_that_cannot_be_cut_is_kept_and_the_reason_given(
    tiny_model: MakeModel, tmp_path: Path, kind: str
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_model("llama"), base)
    made = {
        "Unigram": lambda: models.Unigram([("<unk>", 0.0), ("a", -1.0)], unk_id=0),
        "WordPiece": lambda: models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"),
        "WordLevel": lambda: models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"),
        "no bytes": lambda: models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]),
    }[kind]()
    tokenizer = Tokenizer(made)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(base / "tokenizer.json"))
    kept = trim(base, ["a"], tmp_path / "kept")
    assert kept.mode == "keep"
    assert "kept whole" in kept.reason
    assert ("bytes" if kind == "no bytes" else kind) in kept.reason


@pytest.mark.usefixtures("small_sizes")
def test_what_was_in_the_target_is_replaced_and_a_failure_leaves_it(
    tiny_model: MakeModel, wide: Callable[[str], Path], tmp_path: Path
) -> None:
    first = trim(tiny_model("llama"), WORDS, tmp_path / "cut", mode="keep")
    second = trim(wide("llama"), WORDS, tmp_path / "cut")
    assert (first.mode, second.mode) == ("keep", "trim")
    with pytest.raises(BadInput):
        trim(tmp_path / "nothing", WORDS, tmp_path / "cut")
    assert read_trimmed(tmp_path / "cut").reason == second.reason
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut", "wide-llama"]
