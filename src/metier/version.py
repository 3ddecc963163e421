"""The version of metier, where modules below the package's front can import it."""

from __future__ import annotations

__version__ = "0.5.0"
