"""Models on the Hugging Face hub, by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metier.errors import BadInput, MissingExtra

PREFIX = "hf:"


def hub_name(source: str) -> tuple[str, str | None]:
    """Name and revision in `hf:org/name@revision`; None where none is asked for. Raises BadInput for an empty one."""
    name, at, revision = source.removeprefix(PREFIX).partition("@")
    if at and not revision:
        raise BadInput(
            f"'{source}' names no revision after the @: give a commit, a tag or a branch, or leave out the @."
        )
    return name, revision or None


def fetch(name: str, patterns: Sequence[str], revision: str | None = None) -> Path:
    """The hub's snapshot of `name`, limited to files that match; the folder is named by its commit.

    `revision` is a commit, tag or branch; None is the hub's main branch. Raises BadInput where it cannot be had.
    """
    asked = name if revision is None else f"{name}@{revision}"
    try:
        import httpx2
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import GatedRepoError, HFValidationError
    except ImportError as problem:
        raise MissingExtra("train", "Fetching a base model from the hub") from problem
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
    except GatedRepoError as problem:
        raise BadInput(
            f"'{PREFIX}{asked}' is open only to those who accepted its terms on the hub: open "
            f"https://huggingface.co/{name}, accept them, and log in with 'hf auth login'."
        ) from problem
    # The hub's own errors are OSErrors; a connection that is lost half-way is the transport's.
    except (OSError, HFValidationError, httpx2.HTTPError) as problem:
        raise BadInput(
            f"'{PREFIX}{asked}' cannot be had from the hub, nor from its cache: {_first_line(problem)}. Check the name, "
            "the revision and the connection, or give a folder that holds the model."
        ) from problem


def _first_line(problem: Exception) -> str:
    return str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
