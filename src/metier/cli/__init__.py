"""The command line: loads artefacts, calls the verb, saves, prints."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """The `metier` command."""
    from metier.cli.app import main as run

    run()
