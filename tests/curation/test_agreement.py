from metier.curation import reasons
from metier.curation.agreement import Copy, settle


def copy(position, output, provenance="teacher", rank=0, fixed=False, measured=True):
    return Copy(position, output, provenance, rank, fixed, measured)


def test_agreeing_copies_leave_the_first():
    settled = settle([copy(3, "a"), copy(5, "a")])
    assert settled.kept == (3,)
    assert settled.removed == {5: (reasons.EXACT_DUPLICATE, 3)}
    assert settled.contradiction is None


def test_the_majority_wins():
    settled = settle([copy(0, "b"), copy(1, "a"), copy(2, "a")])
    assert settled.kept == (1,)
    assert settled.removed == {0: (reasons.OUTVOTED, 1), 2: (reasons.EXACT_DUPLICATE, 1)}
    assert settled.contradiction == ((("a", 2), ("b", 1)), "kept 'a', the majority of the teacher labels")


def test_one_person_beats_many_models():
    settled = settle([copy(0, "a"), copy(1, "a"), copy(2, "b", "human", measured=False)])
    assert settled.kept == (2,)
    assert settled.measured == 0
    assert settled.contradiction[1] == "kept 'b', given by human"


def test_feedback_beats_a_model_and_yields_to_a_person():
    assert settle([copy(0, "a"), copy(1, "b", "feedback")]).kept == (1,)
    assert settle([copy(0, "a", "human"), copy(1, "b", "feedback")]).kept == (0,)


def test_a_tie_removes_all():
    settled = settle([copy(0, "a", "human"), copy(1, "b", "human"), copy(2, "b")])
    assert settled.kept == ()
    assert set(settled.removed) == {0, 1, 2}
    assert {reason for reason, _ in settled.removed.values()} == {reasons.TIED}


def test_a_held_out_side_wins_over_train():
    settled = settle([copy(0, "a", "human"), copy(1, "b", rank=3)])
    assert settled.kept == (1,)
    assert settled.removed == {0: (reasons.OUTVOTED, 1)}


def test_a_given_test_stays_as_given():
    settled = settle([copy(0, "a", rank=4, fixed=True), copy(1, "b", rank=4, fixed=True), copy(2, "a")])
    assert settled.kept == (0, 1)
    assert settled.removed == {2: (reasons.EXACT_DUPLICATE, 0)}
    assert "kept as given" in settled.contradiction[1]
