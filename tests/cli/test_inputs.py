"""Inputs to answer from files: what cannot be read is a message, and no field is too long."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.cli.inputs import read_inputs
from metier.errors import BadInput, NotFound


def test_a_file_that_is_not_there_or_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.txt does not exist"):
        read_inputs(tmp_path / "none.txt")
    with pytest.raises(BadInput, match=rf"{tmp_path} cannot be read: Is a directory"):
        read_inputs(tmp_path)


def test_a_prompt_in_a_csv_file_may_be_long(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text(f"id,prompt\n1,{'word ' * 100_000}\n2,short\n")
    assert [len(text) for text in read_inputs(path)] == [500_000, 5]
