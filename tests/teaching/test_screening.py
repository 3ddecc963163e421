"""Nothing known or held out is taught; what resembles a train example joins its group."""

from __future__ import annotations

import polars as pl

from metier.artefacts.datasets import EXAMPLE_SCHEMA, REMOVED_SCHEMA, Dataset
from metier.artefacts.tasks import OutputKind
from metier.curation import reasons as curated
from metier.teaching import reasons
from metier.teaching.screening import VARIED, candidate_id, candidates, screen, unanswered

SENTENCES = {
    "train": "the courier left my parcel with a neighbour in oslo on monday",
    "tune": "please send the invoice for march to the accounting office again",
    "calibration": "i cannot log in since the password was changed yesterday evening",
    "test": "the blender arrived broken and i want to have my money back now",
    "ood": "sing me an old song about the sea and about those who sail it",
}


def dataset(**more: object) -> Dataset:
    rows = [
        {
            "id": f"id-{split}",
            "input": text,
            "output": "x",
            "provenance": "human",
            "group": f"g-{split}",
            "split": split,
        }
        for split, text in SENTENCES.items()
    ]
    return Dataset(
        "t", "t", OutputKind.LABEL, ("x", "y"), "", "", (), (),
        pl.DataFrame(rows, schema=EXAMPLE_SCHEMA), pl.DataFrame(schema=REMOVED_SCHEMA), **more,
    )  # fmt: skip


def test_near_duplicates_of_every_held_out_split_are_left_out():
    proposed = candidates(text.replace("the ", "a ", 1) for text in SENTENCES.values())
    screened = screen(dataset(), proposed, 0.9)
    assert [one.text for one in screened.kept] == [proposed[0].text]
    assert {(one.reason, one.kept_id) for one in screened.rejected} == {
        (reasons.NEAR_HELD_OUT, f"id-{split}") for split in ("tune", "calibration", "test", "ood")
    }


def test_what_resembles_a_train_example_joins_its_group_and_others_found_theirs():
    near, far, far_too = "the courier left my parcel with a neighbour in oslo on friday", "a new one", "a new one!!"
    unlike = "does the warranty cover a scratched screen or not"
    screened = screen(dataset(), candidates([near, far, far_too, unlike]), 0.9)
    assert [one.text for one in screened.kept] == [near, far, unlike]
    assert screened.groups == {
        candidate_id(near): "g-train",
        candidate_id(far): candidate_id(far),
        candidate_id(unlike): candidate_id(unlike),
    }
    assert [(one.text, one.reason, one.kept_id) for one in screened.rejected] == [
        (far_too, curated.EXACT_DUPLICATE, candidate_id(far))
    ]


def test_near_duplicates_among_the_new_share_a_group():
    one, other = "is there a shop of yours in the centre of turin", "is there a shop of yours in the centre of turku"
    screened = screen(dataset(), candidates([one, other]), 0.9)
    assert set(screened.groups.values()) == {candidate_id(one)}


def test_empty_and_known_inputs_are_left_out_under_ids_of_their_own():
    texts = ["", "  ", SENTENCES["train"].upper(), SENTENCES["test"]]
    screened = screen(dataset(), candidates(texts), 0.9)
    assert not screened.kept
    assert [one.reason for one in screened.rejected] == [
        curated.EMPTY_INPUT, curated.EMPTY_INPUT, curated.EXACT_DUPLICATE, curated.EXACT_DUPLICATE,
    ]  # fmt: skip
    assert len({one.id for one in screened.rejected}) == 4


def test_variations_that_resemble_anything_are_left_out():
    given = candidates(["does the warranty cover a scratched screen or not"])
    varied = candidates(
        [
            "does the warranty cover a scratched screen, or not at all",
            "the courier left my parcel with a neighbour in oslo on tuesday",
            "how long may i keep the shoes before i send them back",
        ],
        VARIED,
    )
    screened = screen(dataset(), [*given, *varied], 0.85)
    assert [one.text for one in screened.kept] == [given[0].text, varied[2].text]
    assert [(one.reason, one.kept_id) for one in screened.rejected] == [
        (reasons.NEAR_KNOWN, given[0].id),
        (reasons.NEAR_KNOWN, "id-train"),
    ]


def test_unanswered_inputs_are_those_that_lack_only_an_answer():
    removed = pl.DataFrame(
        [
            ("1", "cut", None, curated.CUT_OFF_ANSWER, None),
            ("2", "copy", "x", curated.EXACT_DUPLICATE, "9"),
            ("3", None, None, curated.NOT_IN_TRAFFIC, None),
            ("4", "failed", None, curated.FAILED_CALL, None),
        ],
        schema=REMOVED_SCHEMA,
        orient="row",
    )
    assert unanswered(Dataset(**{**vars(dataset()), "removed": removed})) == ["cut", "failed"]
