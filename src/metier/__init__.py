"""metier: find the work your frontier model is overpaid for, and own the specialist that does it.

One function a verb, from artefacts to an artefact; docs/python.md shows them in a row.
"""

from __future__ import annotations

from metier.artefacts.traffic import FrameTraffic
from metier.audit import AuditSettings, audit
from metier.calibrate import CalibrateSettings, calibrate
from metier.curate import CurateSettings, curate
from metier.errors import MetierError
from metier.evaluate import EvaluateSettings, evaluate
from metier.predict import predict
from metier.price import PriceSettings, price
from metier.sources.importing import import_files
from metier.store.traffic import TrafficStore
from metier.train import TrainSettings, load, train
from metier.version import __version__

__all__ = [
    "AuditSettings",
    "CalibrateSettings",
    "CurateSettings",
    "EvaluateSettings",
    "FrameTraffic",
    "MetierError",
    "PriceSettings",
    "TrafficStore",
    "TrainSettings",
    "__version__",
    "audit",
    "calibrate",
    "curate",
    "evaluate",
    "import_files",
    "load",
    "predict",
    "price",
    "train",
]
