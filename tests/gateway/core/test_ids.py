"""Ids of traces differ and have their form."""

from __future__ import annotations

import re
from itertools import islice

from metier.gateway.ids import trace_ids


def test_ids_have_their_form_and_differ() -> None:
    ids = list(islice(trace_ids(), 1_000))
    assert len(set(ids)) == 1_000
    assert all(re.fullmatch(r"mtr-[0-9a-f]{32}", one) for one in ids)
