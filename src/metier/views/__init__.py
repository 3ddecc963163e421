"""Views: what a student reads of a raw input, computed the same at training and at run time."""

from metier.views.base import Feature, Reading, View
from metier.views.hashing import view_hash

VIEWS: dict[str, View] = {}

__all__ = ["VIEWS", "Feature", "Reading", "View", "view_hash"]
