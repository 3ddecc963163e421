"""Views: what a student reads of a raw input, computed the same at training and at run time."""

from metier.views.base import Feature, Reading, View

__all__ = ["Feature", "Reading", "View"]
