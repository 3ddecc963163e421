"""What the tables of the terminal have in common."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from metier.artefacts.estimates import Estimate
from metier.pages import figures
from metier.pages.text import clean

GOOD, OPEN, BAD = "green", "yellow", "red"
NAME_CHARS = 40
SENTENCE_CHARS = 600


def table(*columns: str, left: tuple[str, ...], header: bool = True) -> Table:
    """A table whose columns are set flush right but for those in `left`."""
    made = Table(
        box=box.SIMPLE_HEAD,
        show_header=header,
        pad_edge=False,
        padding=(0, 1),
        collapse_padding=True,
        header_style="bold",
    )
    for name in columns:
        made.add_column(name, justify="left" if name in left else "right", overflow="fold")
    return made


def text(words: str, max_chars: int = 200, style: str = "") -> Text:
    """Cleaned words; nothing in them is taken for markup."""
    return Text(clean(words, max_chars), style=style)


def sentence(words: str, style: str = "") -> Text:
    return text(words, SENTENCE_CHARS, style)


def warnings(notes: Iterable[str]) -> list[Text]:
    """Notes that must not be missed, a line each."""
    return [sentence(f"! {note}", OPEN) for note in notes if note]


def panel(content: RenderableType, style: str, title: str = "") -> Panel:
    return Panel(content, title=text(title, NAME_CHARS) if title else None, border_style=style, box=box.ROUNDED)


def brief_interval(estimate: Estimate) -> str:
    """An interval of shares in percent, without the sign: 96.5–97.5."""
    if not estimate.scored:
        return figures.NOT_SCORED
    return f"{figures.plain(100 * estimate.low)}–{figures.plain(100 * estimate.high)}"
