"""Near-duplicates of long texts that share instructions and headings: what is alike must be what tells them apart."""

from __future__ import annotations

import numpy as np

from metier.curation.boilerplate import without_boilerplate
from metier.curation.duplicates import near_pairs
from metier.curation.texts import duplicate_key

ASKED = "Read the drive test below, weigh every cause that is listed, and name the most likely one in a box.\n" * 12
HEAD = "Time|Speed (km/h)|PCI|Power [dBm]|Throughput [Mbps]|Blocks"


def rows(rng: np.random.Generator, n: int = 8) -> list[str]:
    made = []
    for second in range(n):
        speed, pci, power = rng.integers(90), rng.integers(1000), rng.uniform(70, 120)
        made.append(
            f"2025-05-07 15:11:{second:02}|{speed}|{pci}|-{power:.2f}|{rng.uniform(0, 999):.2f}|{rng.integers(270)}"
        )
    return made


def test_what_a_fifth_of_the_texts_share_is_left_out() -> None:
    rng = np.random.default_rng(0)
    tables = ["\n".join(rows(rng)) for _ in range(60)]
    assert without_boilerplate([f"{ASKED}\n{HEAD}\n{table}" for table in tables]) == tables


def test_texts_that_would_be_left_bare_stay_whole() -> None:
    texts = [f"yes\n{place}" for place in range(60)]
    assert without_boilerplate(texts) == texts
    assert without_boilerplate(texts[:10]) == texts[:10]


def test_tables_of_other_numbers_under_one_head_are_no_near_duplicates() -> None:
    rng = np.random.default_rng(1)
    tables = [rows(rng) for _ in range(80)]
    # The last ones are copies: of one the last row is another, the other has one row less.
    tables += [[*tables[0][:-1], rows(rng)[-1]], tables[1][:-1]]
    texts = [f"{ASKED}\n{HEAD}\n" + "\n".join(table) for table in tables]
    whole = near_pairs([duplicate_key(text) for text in texts], 0.9)
    assert len(whole) > 100
    telling = near_pairs([duplicate_key(text) for text in without_boilerplate(texts)], 0.9)
    assert telling.tolist() == [[0, 80], [1, 81]]


def test_pairs_on_both_sides_of_what_is_long_are_found() -> None:
    rng = np.random.default_rng(2)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz "))
    base = "".join(rng.choice(letters, 415))
    other = "".join(rng.choice(letters, 410))
    # Of 415 and 390 characters: one is long, the other is not.
    assert near_pairs([base, other, base[:390]], 0.9).tolist() == [[0, 2]]
