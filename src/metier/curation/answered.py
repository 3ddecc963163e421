"""Which answers of a task's calls show how the frontier model writes its label."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from metier.curation.asking import PLAIN, asked_form
from metier.curation.forms import Answered
from metier.curation.labels import Answer


def frontier_answers(
    rows: pl.DataFrame, answers: Mapping[str | None, Answer], spelled: Mapping[str, str]
) -> tuple[Answered, ...]:
    """The frontier model's own answers (`frontier`, where `is_frontier`), never a person's nor a specialist's.

    Labelled records come without any request; the form of a task made of them is that of their outputs.
    """
    is_record = pl.col("dataset").is_not_null()
    text = pl.when(is_record).then("response").when("is_frontier").then("frontier")
    asked = {parameters: asked_form(parameters) for parameters in rows["parameters"].unique().to_list()}
    found = []
    for template_id, parameters, from_record, response in rows.select(
        "template_id", "parameters", is_record.alias("is_record"), text.alias("text")
    ).iter_rows():
        if response:
            said = answers[response].label
            label = None if said is None else spelled.get(said, said)
            found.append(Answered(template_id, PLAIN if from_record else asked[parameters], response, said, label))
    return tuple(found)
