"""Takes what libraries and our own modules say through Python's logging into the gateway's log lines."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType
from typing import Any, Protocol

from metier.gateway.telemetry.lines import Level

# The server's access log would say again what the line of each call says.
_LOGGERS = ("metier", "uvicorn", "uvicorn.error", "asyncio", "aiohttp", "sqlalchemy", "opentelemetry")
_SILENCED = ("uvicorn.access", "aiohttp.access")
_MAX_FRAMES = 6


class TakesEvents(Protocol):
    """Log lines, or telemetry as a whole."""

    def event(self, event: str, level: Level = "info", **fields: Any) -> None: ...


class EventHandler(logging.Handler):
    """Writes each record as the event "log": logger, message, and of an exception its type, message and last frames."""

    def __init__(self, logs: TakesEvents) -> None:
        super().__init__(logging.INFO)
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record; never blocks."""
        try:
            fields = {"logger": record.name, "message": record.getMessage()}
        except Exception:
            # A record whose arguments do not fit its format says that much.
            fields = {"logger": record.name, "message": str(record.msg)}
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            fields["exception"] = f"{type(error).__name__}: {error}"
            fields["frames"] = _frames(record.exc_info[2])
        self._logs.event("log", _level(record.levelno), **fields)


def take_over_logging(logs: TakesEvents) -> EventHandler:
    """Send what the libraries that the gateway uses log through `logs`: from INFO on, of chatty ones from WARNING on. For a
    process of the gateway only, once at its start; `give_back_logging` undoes it."""
    handler = EventHandler(logs)
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.WARNING if name in ("sqlalchemy", "opentelemetry", "asyncio") else logging.INFO)
    for name in _SILENCED:
        logging.getLogger(name).disabled = True
    return handler


def give_back_logging() -> None:
    """Undo `take_over_logging`."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    for name in _SILENCED:
        logging.getLogger(name).disabled = False


def _frames(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)[-_MAX_FRAMES:]
    return " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames))


def _level(number: int) -> Level:
    if number >= logging.ERROR:
        return "error"
    return "warning" if number >= logging.WARNING else "info"
