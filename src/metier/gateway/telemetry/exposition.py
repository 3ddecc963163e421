"""The metrics as Prometheus reads them."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from metier.gateway.telemetry.processes import scraping


def process_registry() -> CollectorRegistry:
    """A registry for one process, with its memory, CPU time and open files (process_*)."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry, folder: Path | None, accept: str | None) -> tuple[bytes, str]:
    """The metrics and their content type: OpenMetrics where the scraper's Accept header asks for it, else Prometheus' text
    format. With a `folder`, those of all workers that share it."""
    encode, content_type = choose_encoder(accept or "")
    if folder is None:
        return encode(registry), content_type
    joined = CollectorRegistry()
    MultiProcessCollector(joined, str(folder))  # type: ignore[no-untyped-call]
    with scraping(folder):
        return encode(joined), content_type
