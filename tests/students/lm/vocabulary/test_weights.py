from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from metier.errors import BadInput
from metier.students.lm.vocabulary.weights import (
    chosen_rows,
    read_header,
    read_tensors,
    replaced_rows,
    unchanged,
    write_safetensors,
)


def _saved(path: Path, **tensors: torch.Tensor) -> Path:
    save_file(tensors, path)
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_copy_holds_the_same_bits(tmp_path: Path, dtype: torch.dtype) -> None:
    before = {"a": torch.randn(5, 3).to(dtype), "b": torch.randn(7).to(dtype), "empty": torch.zeros(0, 3).to(dtype)}
    header = read_header(_saved(tmp_path / "in.safetensors", **before))
    write_safetensors(tmp_path / "out.safetensors", [unchanged(tensor) for tensor in header.values()])
    after = load_file(tmp_path / "out.safetensors")
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) and after[name].dtype == dtype for name in before)


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    half = torch.randn(4, 4).half()
    header = read_header(_saved(tmp_path / "in.safetensors", a=half))
    write_safetensors(tmp_path / "out.safetensors", [unchanged(header["a"])])
    assert torch.equal(load_file(tmp_path / "out.safetensors")["a"], half.float())


def test_rows_are_chosen_and_put_back(tmp_path: Path) -> None:
    whole = torch.randn(50, 6).bfloat16()
    rows = np.array([3, 4, 40, 49])
    stored = read_header(_saved(tmp_path / "base.safetensors", e=whole))["e"]
    write_safetensors(tmp_path / "cut.safetensors", [chosen_rows(stored, rows)])
    cut = load_file(tmp_path / "cut.safetensors")["e"]
    assert torch.equal(cut, whole[rows])
    tuned = _saved(tmp_path / "tuned.safetensors", e=cut + 1)
    write_safetensors(tmp_path / "back.safetensors", [replaced_rows(stored, rows, read_header(tuned)["e"])])
    expected = whole.clone()
    expected[rows] = cut + 1
    assert torch.equal(load_file(tmp_path / "back.safetensors")["e"], expected)


@pytest.mark.parametrize(
    ("base", "tuned"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16), (torch.float32, torch.float16)],
)
def test_rows_of_another_precision_are_cast_as_torch_casts_them(
    tmp_path: Path, base: torch.dtype, tuned: torch.dtype
) -> None:
    whole, new = torch.randn(30, 4).to(base), torch.randn(2, 4).to(tuned)
    stored = read_header(_saved(tmp_path / "base.safetensors", e=whole))["e"]
    rows = read_header(_saved(tmp_path / "new.safetensors", e=new))["e"]
    write_safetensors(tmp_path / "back.safetensors", [replaced_rows(stored, np.array([0, 29]), rows)])
    expected = whole.to(tuned)
    expected[[0, 29]] = new
    assert torch.equal(load_file(tmp_path / "back.safetensors")["e"], expected)


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = _saved(tmp_path / "model.safetensors", a=torch.randn(100))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BadInput, match="cut short"):
        read_tensors(tmp_path)


def test_other_files_and_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="can run code"):
        read_tensors(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no header here at all")
    with pytest.raises(BadInput, match="not a safetensors file"):
        read_tensors(tmp_path)
    _saved(tmp_path / "model.safetensors", a=torch.zeros(3, dtype=torch.int8))
    with pytest.raises(BadInput, match="type I8"):
        read_tensors(tmp_path)


def test_shards_are_read_as_one_and_a_missing_one_is_named(tmp_path: Path) -> None:
    _saved(tmp_path / "x-1.safetensors", a=torch.zeros(2))
    _saved(tmp_path / "x-2.safetensors", b=torch.ones(2))
    index = '{"weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}}'
    (tmp_path / "model.safetensors.index.json").write_text(index)
    assert set(read_tensors(tmp_path)) == {"a", "b"}
    (tmp_path / "x-2.safetensors").unlink()
    with pytest.raises(BadInput, match=r"lacks x-2\.safetensors"):
        read_tensors(tmp_path)
