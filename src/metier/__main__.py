"""`python -m metier`: the command line."""

from __future__ import annotations

from metier.cli import main

main()
