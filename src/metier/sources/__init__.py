"""Traffic importers: what a file of calls looks like, and how it comes into the store."""

from metier.sources.importing import FileReport, ImportReport, import_files
from metier.sources.outcomes import Flawed, Outcome, Rejected, Skipped
from metier.sources.registry import SOURCES, Source

__all__ = [
    "SOURCES",
    "FileReport",
    "Flawed",
    "ImportReport",
    "Outcome",
    "Rejected",
    "Skipped",
    "Source",
    "import_files",
]
