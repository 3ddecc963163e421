"""The matrices of a model that have a row for every token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from metier.students.lm.vocabulary.rewriting import read_json
from metier.students.lm.vocabulary.weights import Stored

OUTPUT = "lm_head.weight"
# As the decoders of transformers name them: embeddings, output matrix, its bias.
_ENDINGS = (
    "embed_tokens.weight",
    "wte.weight",
    "embed_in.weight",
    "word_embeddings.weight",
    OUTPUT,
    "embed_out.weight",
    "lm_head.bias",
)


def token_matrices(tensors: Mapping[str, Stored], n_rows: int) -> set[str]:
    """Names of the tensors with `n_rows` rows, one a token. Empty where the model keeps them under names not known here."""
    return {name for name, tensor in tensors.items() if name.endswith(_ENDINGS) and tensor.shape[0] == n_rows}


def input_matrix(names: set[str]) -> str | None:
    """The name of the embeddings among the matrices."""
    return next((name for name in sorted(names) if not name.startswith(("lm_head", "embed_out"))), None)


def is_tied(folder: Path) -> bool:
    """Whether a model's output matrix is its embeddings."""
    # transformers' own default for a configuration that does not say.
    return bool(read_json(folder / "config.json").get("tie_word_embeddings", True))


def count_parameters(tensors: Mapping[str, Stored], *, tied: bool) -> int:
    """Parameters in the file; an output matrix that is the embeddings again is not counted."""
    return sum(tensor.n_items for name, tensor in tensors.items() if not (tied and name == OUTPUT))
