"""Models loaded one after another in one process, each held to its own vocabulary."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from metier.students.lm.engine import LlamaEngine
from metier.students.lm.exporting import write_gguf
from metier.students.lm.parts import Constraint

pytest.importorskip("xllamacpp")
pytest.importorskip("gguf")
pytest.importorskip("torch")

SCHEMA = {"type": "object", "properties": {"a": {"enum": ["the shop", "one"]}}, "required": ["a"]}


def test_a_model_where_a_freed_one_lay_is_held_to_its_own_vocabulary(
    tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    """llama.cpp keeps the last vocabulary of its constraints by the model's address, freed or not."""
    paths = []
    for kind in ("gemma3_text", "llama"):
        paths.append(tmp_path / f"{kind}.gguf")
        write_gguf(tiny_model(kind), paths[-1], "f16")
    for round_ in range(40):
        with LlamaEngine(paths[round_ % 2], n_context=256, threads=1) as engine:
            (answer,) = engine.write(["The receipt"], Constraint(schema=SCHEMA), max_tokens=60)
            assert json.loads(answer.text)["a"] in ("the shop", "one"), round_
