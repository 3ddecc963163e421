"""Which answers of a task's calls show how the frontier model writes its answer."""

from __future__ import annotations

import polars as pl

from metier.curation.asking import asked_form
from metier.curation.forms import Answered
from metier.curation.kinds import Reading


def frontier_answers(rows: pl.DataFrame, reading: Reading) -> tuple[Answered, ...]:
    """The frontier model's own answers (`frontier`, where `is_frontier`), never a person's nor a specialist's.

    The form of a task made of labelled records is that of their outputs.
    """
    is_record = pl.col("dataset").is_not_null()
    text = pl.when(is_record).then("response").when("is_frontier").then("frontier")
    asked = {parameters: asked_form(parameters) for parameters in rows["parameters"].unique().to_list()}
    found = []
    for template_id, parameters, response in rows.select("template_id", "parameters", text.alias("text")).iter_rows():
        if response:
            said, label = reading.answers[response].label, reading.output(response)
            found.append(Answered(template_id, asked[parameters], response, said, label))
    return tuple(found)
