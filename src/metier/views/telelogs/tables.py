"""Finding the rows of the two tables in a text: by their headers where there are any, by their form where not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from metier.errors import Unreadable
from metier.views.telelogs.columns import COLUMNS, TITLES, Kind, places

# A window is ten samples; far longer tables are another kind of file, and would take long to compute.
MAX_ROWS: dict[Kind, int] = {"drive": 600, "cells": 2000}
# Outside a table, a line of prose may hold a few bars; a row of ours has at least this many columns.
_MIN_COLUMNS = 5
_STAMP = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}|\d{1,2}:\d{2}:\d{2}")
_RULE = re.compile(r"[\s|:+=-]*")
_CUT_OFF = re.compile(r"\d[\d\s:./-]*")


@dataclass(frozen=True)
class Layout:
    """Where a table's known columns stand in its rows: `places[i]` for the i-th of COLUMNS, None where it is missing."""

    kind: Kind
    width: int
    places: tuple[int | None, ...]


@dataclass
class Table:
    """The rows of one table as they were found, each with the number of its line from 1."""

    layout: Layout
    rows: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def column(self, place: int) -> list[str] | None:
        """The cells of a column of COLUMNS, None where the table does not have it."""
        at = self.layout.places[place]
        return None if at is None else [row[at] for row in self.rows]


@dataclass(frozen=True)
class Found:
    """Both tables, and the lines of the text that belong to neither."""

    drive: Table
    cells: Table
    prose: tuple[str, ...]


PUBLISHED: dict[Kind, Layout] = {
    kind: Layout(kind, len(columns), tuple(range(len(columns)))) for kind, columns in COLUMNS.items()
}


def quoted(text: str) -> str:
    """A piece of the input as an error shows it: what was found, never much of it."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def find_tables(text: str) -> Found:
    """Both tables of a text, in either order, anywhere in it. Raises Unreadable with the line and what was found."""
    search = _Search()
    for number, line in enumerate(text.splitlines(), start=1):
        search.take(number, line)
    return Found(search.tables["drive"], search.tables["cells"], tuple(search.prose))


class _Search:
    def __init__(self) -> None:
        self.tables: dict[Kind, Table] = {kind: Table(layout) for kind, layout in PUBLISHED.items()}
        self.prose: list[str] = []
        # The table that the line before belonged to.
        self.inside: Kind | None = None
        self.headed: set[Kind] = set()

    def take(self, number: int, line: str) -> None:
        if "|" not in line:
            self._take_prose(number, line)
            return
        if _RULE.fullmatch(line):
            return
        cells = _split(line)
        if not cells[0][:1].isdigit():
            layout = _header(number, tuple(cells))
            if layout is not None:
                self._begin(number, layout)
                return
        self._take_row(number, cells, line)

    def _take_prose(self, number: int, line: str) -> None:
        if not line or line.isspace():
            return
        if self.inside and _CUT_OFF.fullmatch(line.strip()):
            raise Unreadable(f"line {number}: {quoted(line)} is cut off where a row of a table should stand")
        self.inside = None
        self.prose.append(line)

    def _begin(self, number: int, layout: Layout) -> None:
        table = self.tables[layout.kind]
        if table.rows and table.layout != layout:
            name = TITLES[layout.kind]
            raise Unreadable(f"line {number}: a second header for the {name} table, with other columns than before")
        self.tables[layout.kind] = Table(layout, table.rows, table.lines)
        self.headed.add(layout.kind)
        self.inside = layout.kind

    def _take_row(self, number: int, cells: list[str], line: str) -> None:
        widths = {table.layout.width for table in self.tables.values()}
        if not cells[-1] and len(cells) not in widths:
            cells.pop()
        stamped = _STAMP.match(cells[0]) is not None
        if len(cells) < _MIN_COLUMNS and not stamped and self.inside is None:
            self.prose.append(line)
            return
        kind = self._kind(len(cells), stamped)
        table = self.tables[kind]
        if len(cells) != table.layout.width:
            raise Unreadable(f"line {number}: {_widths(self.tables)}; this one has {len(cells)}: {quoted(line)}")
        if len(table.rows) == MAX_ROWS[kind]:
            raise Unreadable(f"line {number}: more than {MAX_ROWS[kind]} {TITLES[kind]} rows; one window is asked for")
        table.rows.append(cells)
        table.lines.append(number)
        self.inside = kind

    def _kind(self, width: int, stamped: bool) -> Kind:
        if stamped:
            return "drive"
        # Without a time in front, a header says that a row is the drive's, or that it has as many columns as no cell.
        drive, cells = self.tables["drive"].layout.width, self.tables["cells"].layout.width
        under = self.inside == "drive" and "drive" in self.headed
        return "drive" if width == drive and (under or width != cells) else "cells"


def _split(line: str) -> list[str]:
    # The minus of typesetting is one.
    cells = [cell.strip() for cell in line.replace("\u2212", "-").split("|")]
    return cells[1:] if not cells[0] and len(cells) > 1 else cells


def _widths(tables: dict[Kind, Table]) -> str:
    drive, cells = tables["drive"].layout.width, tables["cells"].layout.width
    return f"a drive-test row begins with its time and has {drive} columns, an engineering row {cells}"


@lru_cache(maxsize=64)
def _places(cells: tuple[str, ...]) -> tuple[Kind, Layout, tuple[str, ...], bool] | None:
    """The table whose header this is, its layout, the needed columns it lacks, whether a column comes twice."""
    hits = {kind: places(kind, cells) for kind in COLUMNS}
    kind = max(hits, key=lambda kind: sum(place is not None for place in hits[kind]))
    found = [place for place in hits[kind] if place is not None]
    if len(found) < 3 or 2 * len(found) < len([cell for cell in cells if cell]):
        return None
    twice = len(found) != len(set(found))
    where = {place: at for at, place in enumerate(hits[kind]) if place is not None}
    lacking = tuple(
        column.names[0] for place, column in enumerate(COLUMNS[kind]) if column.needed and place not in where
    )
    return (
        kind,
        Layout(kind, len(cells), tuple(where.get(place) for place in range(len(COLUMNS[kind])))),
        lacking,
        twice,
    )


def _header(number: int, cells: Sequence[str]) -> Layout | None:
    found = _places(tuple(cells[:-1] if not cells[-1] else cells))
    if found is None:
        return None
    kind, layout, lacking, twice = found
    if twice:
        raise Unreadable(f"line {number}: the header of the {TITLES[kind]} table names a column twice")
    if lacking:
        raise Unreadable(f"line {number}: the {TITLES[kind]} table has no column {lacking[0]!r}")
    return layout
