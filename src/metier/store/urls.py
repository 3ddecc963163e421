"""Where a store lies: the path of a SQLite file, or the URL of a database; and how to say so without its password."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from metier.errors import BadInput, MissingExtra

_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_CREDENTIALS = re.compile(r"(://)[^/?#]*@")
_QUERY_PASSWORD = re.compile(r"([?&]password=)[^&#]*", re.IGNORECASE)


def masked(location: str | Path) -> str:
    """`location` as it may be shown: without the user's password, also where it is no URL that can be read."""
    text = str(location)
    if "://" not in text:
        return text
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        text = _CREDENTIALS.sub(r"\1***@", text)
    else:
        # An @ in a password makes its end look like the host.
        is_cut = url.host is not None and "@" in url.host
        text = _CREDENTIALS.sub(r"\1***@", text) if is_cut else url.render_as_string(hide_password=True)
    return _QUERY_PASSWORD.sub(r"\1***", text)


def database_url(location: str | Path) -> URL:
    """The URL that is opened for `location`; the folder of a SQLite file is made if absent.

    Raises BadInput for what is no URL of SQLite or PostgreSQL, MissingExtra where PostgreSQL's driver is not installed.
    """
    if not (isinstance(location, str) and "://" in location):
        path = Path(location)
        path.parent.mkdir(parents=True, exist_ok=True)
        return URL.create("sqlite", database=str(path))
    try:
        url = make_url(location)
    except (ArgumentError, ValueError):
        # Without its cause, which quotes the URL.
        raise _unreadable(location, "cannot be read as one") from None
    backend = url.drivername.split("+")[0]
    if backend not in _DRIVERS:
        raise _unreadable(location, f"has the unknown scheme {url.drivername!r}")
    if url.host is not None and "@" in url.host:
        # The rest of the password would be taken for the host, and shown in every message.
        raise BadInput("the database URL has an @ in its user or password: write it as %40, or set PGPASSWORD instead")
    if backend != "sqlite" and find_spec("psycopg") is None:
        raise MissingExtra("scale", "a traffic store in PostgreSQL")
    return url.set(drivername=_DRIVERS[backend])


def _unreadable(location: str, problem: str) -> BadInput:
    return BadInput(f"{masked(location)!r} is no database URL ({problem}); expected sqlite:///FILE or postgresql://…")
