"""The command line: loads artefacts, calls the verb, saves, prints."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """The `metier` command."""
    try:
        from metier.cli.app import main as run

        run()
    except KeyboardInterrupt:
        # Before the command itself began, or while it was ending: there is nothing to add.
        sys.exit(130)
