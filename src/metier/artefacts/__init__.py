"""Frozen dataclasses that the verbs take and return. Depends on nothing else in metier but errors."""
