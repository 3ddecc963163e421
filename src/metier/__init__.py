"""metier: find the work your frontier model is overpaid for, and own the specialist that does it.

One function a verb, from artefacts to an artefact; docs/python.md shows them in a row. Each is loaded when first asked
for: a process that needs one part of metier, such as the gateway's workers, does not pay for the others.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from metier.version import __version__

if TYPE_CHECKING:
    from metier.artefacts.traffic import FrameTraffic
    from metier.audit import AuditSettings, audit
    from metier.benchmark import BenchmarkSettings, benchmark
    from metier.calibrate import CalibrateSettings, calibrate
    from metier.curate import CurateSettings, curate
    from metier.errors import MetierError
    from metier.evaluate import EvaluateSettings, evaluate
    from metier.predict import predict
    from metier.price import PriceSettings, price
    from metier.sources.importing import import_files
    from metier.store.traffic import TrafficStore
    from metier.teach import TeachSettings, teach
    from metier.train import TrainSettings, load, train

_HOMES = {
    "AuditSettings": "audit",
    "BenchmarkSettings": "benchmark",
    "CalibrateSettings": "calibrate",
    "CurateSettings": "curate",
    "EvaluateSettings": "evaluate",
    "FrameTraffic": "artefacts.traffic",
    "MetierError": "errors",
    "PriceSettings": "price",
    "TeachSettings": "teach",
    "TrafficStore": "store.traffic",
    "TrainSettings": "train",
    "audit": "audit",
    "benchmark": "benchmark",
    "calibrate": "calibrate",
    "curate": "curate",
    "evaluate": "evaluate",
    "import_files": "sources.importing",
    "load": "train",
    "predict": "predict",
    "price": "price",
    "teach": "teach",
    "train": "train",
}

__all__ = [
    "AuditSettings",
    "BenchmarkSettings",
    "CalibrateSettings",
    "CurateSettings",
    "EvaluateSettings",
    "FrameTraffic",
    "MetierError",
    "PriceSettings",
    "TeachSettings",
    "TrafficStore",
    "TrainSettings",
    "__version__",
    "audit",
    "benchmark",
    "calibrate",
    "curate",
    "evaluate",
    "import_files",
    "load",
    "predict",
    "price",
    "teach",
    "train",
]


class _Front(ModuleType):
    """A verb's function has its module's name. Python binds a module to its package when it is imported, by whomever: here
    the function is bound in its place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and _HOMES.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


sys.modules[__name__].__class__ = _Front
