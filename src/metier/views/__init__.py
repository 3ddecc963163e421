"""Views: what a student reads of a raw input, computed the same at training and at run time."""

from metier.views.base import Feature, Reading, View
from metier.views.hashing import view_hash
from metier.views.telelogs import Telelogs

VIEWS: dict[str, View] = {"telelogs": Telelogs()}

__all__ = ["VIEWS", "Feature", "Reading", "View", "view_hash"]
