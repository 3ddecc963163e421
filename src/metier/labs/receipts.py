"""Receipts as text: boxes of recognised words put into reading order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Two boxes stand on one line if they share this much of the lower one's height: receipts are scanned a little askew.
_OVERLAP = 0.5
# Cells of one line stay apart, as they do on paper.
CELL_GAP = "  "


@dataclass(frozen=True)
class Box:
    """A piece of text with its upright bounding box, in pixels from the upper left corner."""

    left: int
    top: int
    right: int
    bottom: int
    text: str

    @property
    def height(self) -> int:
        return max(1, self.bottom - self.top)


def parse_boxes(lines: Iterable[str]) -> list[Box]:
    """The boxes in lines of eight coordinates (four corners) and a text, parted by commas; other lines are no boxes."""
    boxes = []
    for line in lines:
        cells = line.rstrip("\r\n").split(",", 8)
        if len(cells) < 9 or not all(cell.strip().lstrip("-").isdigit() for cell in cells[:8]) or not cells[8].strip():
            continue
        corners = [int(cell) for cell in cells[:8]]
        across, down = corners[0::2], corners[1::2]
        boxes.append(Box(min(across), min(down), max(across), max(down), cells[8].strip()))
    return boxes


def reading_order(boxes: Sequence[Box]) -> str:
    """The text of a page: boxes whose heights overlap form a line, lines from top to bottom, boxes from left to right."""
    rows: list[list[Box]] = []
    for box in sorted(boxes, key=lambda box: (box.top, box.left)):
        row = max(rows[-3:], key=lambda row: _overlap(row[-1], box), default=None)
        if row is not None and _overlap(row[-1], box) >= _OVERLAP:
            row.append(box)
        else:
            rows.append([box])
    rows.sort(key=lambda row: sum(box.top + box.bottom for box in row) / len(row))
    return "\n".join(CELL_GAP.join(box.text for box in sorted(row, key=lambda box: box.left)) for row in rows)


def _overlap(one: Box, other: Box) -> float:
    shared = min(one.bottom, other.bottom) - max(one.top, other.top)
    # Boxes that lie above one another are two lines, however tightly they are set.
    beside = min(one.right, other.right) - max(one.left, other.left) <= min(one.height, other.height)
    return shared / min(one.height, other.height) if beside else 0.0
