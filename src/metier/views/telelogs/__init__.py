"""The telelogs view: 5G drive-test questions as the measurements an engineer would take from their two tables."""

from metier.views.telelogs.view import Telelogs

__all__ = ["Telelogs"]
