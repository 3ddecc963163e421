"""Published results: as printed in their sources, with Wilson's interval where the number of questions is known."""

from __future__ import annotations

import math

import pytest

from metier.artefacts.estimates import Estimate
from metier.evaluation.telelogs.published import published


def test_intervals_only_where_the_number_of_questions_is_known() -> None:
    found = {(one.name, one.form): one for one in published({})}
    gpt = found["GPT-5", "standard"].accuracy
    # Wilson (1927) by hand for 691.2 of 864: centre 0.79867, half-width 0.02666.
    assert (gpt.value, gpt.n) == (0.8, 864)
    assert (gpt.low, gpt.high) == pytest.approx((0.7721, 0.8253), abs=1e-4)
    paper = found["Qwen2.5-RCA 32B", "randomised"].accuracy
    assert paper.value == pytest.approx(0.9323)
    assert paper.n == 0
    assert math.isnan(paper.low)
    assert not found["GPT-5", "standard"].ahead.scored


def test_the_difference_to_ours_is_of_two_independent_samples() -> None:
    # Newcombe (1998), table II, method 10: 56/70 against 48/80 differ by 0.2, 95% interval 0.0524 to 0.3339. Here theirs
    # is GPT-5; ours has Wilson's interval of 56/70, and square-and-add is recomputed from the printed bounds.
    ours = Estimate(0.8, 0.6916, 0.8769, 70)
    ahead = next(one.ahead for one in published({"standard": ours}) if one.name == "GPT-5")
    assert ahead.value == pytest.approx(0.0)
    assert ahead.low == pytest.approx(-math.hypot(0.8 - 0.6916, 0.8253 - 0.8), abs=1e-4)
    assert ahead.high == pytest.approx(math.hypot(0.8769 - 0.8, 0.8 - 0.7721), abs=1e-4)


def test_nothing_is_compared_with_a_form_that_was_not_asked() -> None:
    found = published({"standard": Estimate(0.9, 0.88, 0.92, 100)})
    assert all(one.ahead.scored == (one.form == "standard") for one in found)
    unknown = next(one for one in found if one.name == "Qwen2.5-RCA 32B" and one.form == "standard")
    assert unknown.ahead.value == pytest.approx(0.9 - 0.9586)
    assert math.isnan(unknown.ahead.low)
