"""metier: find the work your frontier model is overpaid for, and own the specialist that does it."""

from __future__ import annotations

__version__ = "0.1.0"
