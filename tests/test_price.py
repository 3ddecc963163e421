"""The verb on the tables of the articles (correct lines reproduced, wrong totals corrected) and on bad input."""

from __future__ import annotations

import math
from dataclasses import replace

import polars as pl
import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from metier.artefacts.economics import Bill, Economics
from metier.artefacts.estimates import Estimate, not_scored
from metier.artefacts.evaluations import ANSWER_SCHEMA, CandidateScore, Evaluation, Latency
from metier.artefacts.policies import Certificate, Policy
from metier.artefacts.specialists import Card
from metier.artefacts.tasks import AuditVerdict, Definedness, OutputKind, Task, TaskAudit
from metier.economics import bills
from metier.errors import BadInput, BadSettings
from metier.price import PriceSettings, price

NAN = math.nan

# Article table: 100,000 queries a month, 15,000 USD once, 600 inference + 300 upkeep a month.
ARTICLE_LINES = (
    "infrastructure=1200",
    "buffer=430",
    "building=15000",
    "labelling=0",
    "training=0",
    "evaluation=0",
    "serving=600",
    "upkeep=300",
    "spare machines=0",
    "retraining=0",
    "audited answers=0",
)
ARTICLE = PriceSettings(calls_per_month=100_000, coverage=1.0, lines=ARTICLE_LINES)


def candidate(name: str, role: str, **changes: object) -> CandidateScore:
    score = CandidateScore(
        name=name,
        role=role,  # type: ignore[arg-type]
        n=500,
        n_failed=0,
        n_not_asked=0,
        accuracy=Estimate(0.95, 0.93, 0.97, 500),
        macro_f1=Estimate(0.94, 0.92, 0.96, 500),
        latency=Latency(0.004, 0.006, 0.008, 200),
        input_tokens_mean=NAN,
        output_tokens_mean=NAN,
        cost_usd_per_1000=NAN,
        expected_calibration_error=0.02,
        ood=None,
        confusions=(),
    )
    return replace(score, **changes)  # type: ignore[arg-type]


GPT_5 = candidate("gpt-5", "generalist", input_tokens_mean=20_000.0, output_tokens_mean=800.0)
ENCODER = candidate("encoder", "specialist")


def evaluation(*candidates: CandidateScore, champion: str | None = "encoder") -> Evaluation:
    return Evaluation(
        task_id="t1",
        task_name="intents",
        truth="human",
        n_test=500,
        n_ood=100,
        candidates=candidates or (ENCODER, GPT_5),
        comparisons=(),
        champion=champion,
        summary="",
        answers=pl.DataFrame(schema=ANSWER_SCHEMA),
    )


def task_audit(calls_per_month: float = 100_000, cost_usd_month: float = 3_300.0, **changes: object) -> TaskAudit:
    audit = TaskAudit(
        task=Task("t1", "intents", "", (), OutputKind.LABEL, ("a", "b")),
        n_calls=100_000,
        calls_per_month=calls_per_month,
        cost_usd_month=cost_usd_month,
        bill_share=1.0,
        n_human_labels=0,
        n_teacher_labels=0,
        n_feedback=0,
        variability=0.9,
        definedness=Definedness(1.0, 2, 1.0, ""),
        affinity=None,
        saving_usd_month=not_scored(),
        verdict=AuditVerdict.SPECIALISE,
        reason="",
    )
    return replace(audit, **changes)  # type: ignore[arg-type]


CARD = Card("encoder", "t1", "intents", ("a", "b"), "", "", 4_000, 500, "int8", "", 1, 240.0, not_scored(), {})


def policy(coverage: Estimate | None = Estimate(0.85, 0.82, 0.88, 400), student: str = "encoder") -> Policy:  # noqa: B008
    certificate = coverage and Certificate(0.05, 0.05, 400, 340, 8, 0.7, coverage, not_scored(), "human", "")
    return Policy("t1", "intents", student, "s1", certificate, NAN, not_scored(), 0.0, None, "", ())


def usd(bill: Bill) -> dict[str, float]:
    return {line.name: line.usd for line in bill.lines}


@pytest.fixture(scope="module")
def article() -> Economics:
    return price(None, evaluation(), None, ARTICLE)


@pytest.fixture(scope="module")
def usual() -> Economics:
    return price(task_audit(), evaluation(), policy(), PriceSettings(), cards=[CARD], seed=3)


class TestArticleTable:
    """100,000 queries a month at 1.25 and 10 USD per million tokens."""

    def test_frontier_lines(self, article: Economics) -> None:
        # 2,500 USD of input at 1.25 per million are 20,000 tokens a query; 800 USD of output at 10 are 800 tokens.
        assert usd(article.frontier) == pytest.approx(
            {"input tokens": 2_500, "output tokens": 800, "infrastructure": 1_200, "buffer": 430}
        )
        assert article.frontier.month_usd == pytest.approx(4_930)
        assert 12 * article.frontier.month_usd == pytest.approx(59_160)

    def test_specialist_lines(self, article: Economics) -> None:
        assert article.specialist.once_usd == 15_000
        assert article.specialist.month_usd == pytest.approx(900)

    def test_break_even_is_month_four(self, article: Economics) -> None:
        assert article.break_even_month.value == pytest.approx(15_000 / (4_930 - 900), rel=1e-12)
        assert round(article.break_even_month.value, 2) == 3.72
        assert article.summary.startswith("Pays back in month 4 (90% range ")

    def test_year_one_total_corrected(self, article: Economics) -> None:
        # The article says 19,200 and 68% saved.
        year = article.cash[12]
        assert year.specialist_usd == pytest.approx(25_800)
        assert year.frontier_usd == pytest.approx(59_160)
        assert article.year_one_saving_share.value == pytest.approx(0.564, abs=5e-4)

    def test_running_cost_and_second_year(self, article: Economics) -> None:
        assert article.saving_usd_month.value / article.frontier.month_usd == pytest.approx(0.817, abs=5e-4)
        two = article.cash[24]
        assert 1 - two.specialist_usd / two.frontier_usd == pytest.approx(0.691, abs=5e-4)

    def test_break_even_volume(self, article: Economics) -> None:
        # 15,000 / 12 + 900 - 1,200 = 950 USD a month to earn at 0.0373 USD a call.
        assert article.break_even_calls_month.value == pytest.approx(950 / 0.0373, rel=1e-9)

    def test_price_drops(self, article: Economics) -> None:
        by_factor = {drop.factor: drop for drop in article.price_drops if drop.fall_per_year == 0}
        assert by_factor[0.5].saving_usd_month == pytest.approx(3_730 / 2 + 1_200 - 900)
        assert by_factor[0.5].break_even_month == pytest.approx(15_000 / 2_165)
        assert by_factor[0.1].break_even_month == pytest.approx(15_000 / 673)

    def test_ranges_hold_the_value(self, article: Economics) -> None:
        for figure in (article.break_even_month, article.saving_usd_month, article.break_even_calls_month):
            assert figure.low < figure.value < figure.high


class TestMedicalCoding:
    """500,000 calls at 0.012 USD against 0.00025 USD: 48x by list prices, 4 to 5x with a GPU that is always on."""

    def run(self, *lines: str, machine_usd_hour: float = 0.0) -> Economics:
        nothing = ("building=0", "labelling=0", "training=0", "evaluation=0", "retraining=0", "upkeep=0")
        settings = PriceSettings(
            calls_per_month=500_000,
            coverage=1.0,
            machine_usd_hour=machine_usd_hour,
            replicas=1,
            lines=(*nothing, "audited answers=0", *lines),
        )
        generalist = candidate("coder", "generalist", cost_usd_per_1000=12.0)
        return price(None, evaluation(ENCODER, generalist), None, settings)

    def test_by_list_prices(self) -> None:
        economics = self.run("serving=125")
        assert economics.frontier.month_usd == pytest.approx(6_000)
        assert economics.frontier.month_usd / economics.specialist.month_usd == pytest.approx(48)

    @pytest.mark.parametrize(("usd_hour", "usd_month", "ratio"), [(1.507, 1_100, 5.45), (2.0, 1_460, 4.11)])
    def test_with_an_idle_gpu(self, usd_hour: float, usd_month: float, ratio: float) -> None:
        economics = self.run(machine_usd_hour=usd_hour)
        assert economics.specialist.month_usd == pytest.approx(usd_month, rel=1e-3)
        assert economics.frontier.month_usd / economics.specialist.month_usd == pytest.approx(ratio, abs=0.01)


class TestDefaults:
    def test_every_line_is_there_with_its_basis(self, usual: Economics) -> None:
        assert set(usd(usual.specialist)) == set(bills.SPECIALIST_LINES)
        assert set(usd(usual.frontier)) == set(bills.FRONTIER_LINES) - {"recorded cost"}
        assert all(line.basis for side in (usual.frontier, usual.specialist) for line in side.lines)

    def test_lines_by_hand(self, usual: Economics) -> None:
        lines, call = usd(usual.specialist), 0.033
        labels = 4_000 + 500 + 400 + 500
        training = 3 * 240 / 3600 * 0.0816
        assert lines["building"] == pytest.approx(24 * 94.6)
        assert lines["labelling"] == pytest.approx(labels * 0.12)
        assert lines["training"] == pytest.approx(training)
        assert lines["evaluation"] == pytest.approx(600 * call)
        assert lines["serving"] == pytest.approx(730 * 0.0816)
        assert lines["spare machines"] == pytest.approx(730 * 0.0816)
        assert lines["escalated calls"] == pytest.approx(0.15 * 100_000 * call)
        assert lines["audited answers"] == pytest.approx(0.02 * 0.85 * 100_000 * call)
        assert lines["upkeep"] == pytest.approx(3 * 94.6)
        one = 0.25 * labels * 0.12 + training + 600 * call + 4 * 94.6
        assert lines["retraining"] == pytest.approx(one / 3)

    def test_same_seed_same_result(self, usual: Economics) -> None:
        assert price(task_audit(), evaluation(), policy(), PriceSettings(), cards=[CARD], seed=3) == usual
        assert price(task_audit(), evaluation(), policy(), PriceSettings(), cards=[CARD], seed=4) != usual

    def test_survives_json(self, usual: Economics) -> None:
        text = to_json(usual, inf_nan_mode="strings")
        assert TypeAdapter(Economics).validate_python(from_json(text)) == usual

    def test_cash_starts_with_what_is_paid_once(self, usual: Economics) -> None:
        assert usual.cash[0].frontier_usd == 0
        assert usual.cash[0].specialist_usd == pytest.approx(usual.specialist.once_usd)
        assert usual.cash[1].specialist_usd == pytest.approx(usual.specialist.once_usd + usual.specialist.month_usd)

    def test_labels_at_hand_cost_nothing(self) -> None:
        audit = task_audit(n_teacher_labels=5_000, n_feedback=100)
        economics = price(audit, evaluation(), policy(), PriceSettings(), cards=[CARD])
        assert usd(economics.specialist)["labelling"] == pytest.approx((5_400 - 5_100) * 0.12)

    def test_more_load_needs_more_machines(self) -> None:
        # 250 answers/s at 60% of a peak four times the mean: 98.55 million calls a month a machine.
        settings = PriceSettings(calls_per_month=300_000_000)
        lines = usd(price(task_audit(), evaluation(), policy(), settings).specialist)
        assert lines["serving"] == pytest.approx(4 * 730 * 0.0816)
        assert lines["spare machines"] == pytest.approx(730 * 0.0816)


class TestNoPayback:
    def test_small_traffic(self) -> None:
        economics = price(task_audit(1_000, 33.0), evaluation(), policy(), PriceSettings(), cards=[CARD])
        assert math.isinf(economics.break_even_month.value)
        assert economics.share_never == 1.0
        assert economics.summary.startswith(
            "Does not pay back: at 1,000 calls a month the frontier costs 33 USD a month"
        )
        assert "It would pay back within a year from" in economics.summary

    def test_no_certificate_keeps_nothing(self) -> None:
        economics = price(task_audit(), evaluation(), policy(None), PriceSettings())
        assert economics.coverage == 0
        assert usd(economics.specialist)["escalated calls"] == pytest.approx(3_300)
        assert math.isinf(economics.break_even_calls_month.value)
        assert economics.summary.startswith("Does not pay back: there is no certificate")

    def test_improbable_payback_is_said_first(self) -> None:
        economics = price(task_audit(28_000, 924.0), evaluation(), policy(), PriceSettings(), cards=[CARD])
        assert 0.5 < economics.share_never < 0.95
        assert math.isfinite(economics.break_even_month.value)
        assert math.isinf(economics.break_even_month.high)
        assert economics.summary.startswith("Probably does not pay back")

    def test_uncertain_payback_says_never(self) -> None:
        economics = price(task_audit(45_000, 1_485.0), evaluation(), policy(), PriceSettings(), cards=[CARD])
        assert 0.05 < economics.share_never < 0.5
        assert "to never" in economics.summary

    def test_falling_price_can_end_the_payback(self) -> None:
        audit, slow = task_audit(30_000, 990.0), PriceSettings(frontier_price_fall=0.9)
        assert math.isfinite(price(audit, evaluation(), policy(), cards=[CARD]).break_even_month.value)
        assert math.isinf(price(audit, evaluation(), policy(), slow, cards=[CARD]).break_even_month.value)


class TestWhatIsPriced:
    def test_recorded_cost_where_tokens_are_missing(self) -> None:
        economics = price(task_audit(), evaluation(ENCODER), policy(), PriceSettings())
        assert usd(economics.frontier)["recorded cost"] == pytest.approx(3_300)
        assert economics.price_source == "as recorded in the traffic"

    def test_own_token_price(self) -> None:
        settings = PriceSettings(input_usd_per_million=2.5, output_usd_per_million=20)
        economics = price(task_audit(), evaluation(), policy(), settings)
        assert economics.frontier.month_usd == pytest.approx(2 * 3_300)
        assert economics.price_source == "your own price"

    def test_list_price_names_its_source(self) -> None:
        assert price(task_audit(), evaluation(), policy()).price_source.startswith(
            "list price of gpt-5 (openai), genai-prices"
        )

    def test_assumed_coverage_is_said(self) -> None:
        economics = price(task_audit(), evaluation(), None)
        assert economics.coverage == 0.75
        assert economics.summary.endswith("Assumes that 75% of answers can be kept: there is no certificate yet.")

    def test_most_accurate_where_none_is_champion(self) -> None:
        linear = candidate("linear", "specialist", accuracy=Estimate(0.9, 0.88, 0.92, 500))
        economics = price(task_audit(), evaluation(linear, ENCODER, GPT_5, champion=None), None)
        stated = dict(economics.assumptions)
        assert stated["specialist"].startswith("encoder")
        assert stated["quality"].startswith("no specialist was proven")

    def test_unmeasured_latency_is_said(self) -> None:
        slow = candidate("encoder", "specialist", latency=Latency(NAN, NAN, NAN, 0))
        stated = dict(price(task_audit(), evaluation(slow, GPT_5), policy()).assumptions)
        assert "assumed: its latency was not measured" in stated["specialist"]

    def test_own_frontier_lines_price_the_escalations_too(self) -> None:
        settings = PriceSettings(lines=("input tokens=6000", "output tokens=4000"))
        economics = price(task_audit(), evaluation(ENCODER), policy(), settings)
        assert usd(economics.specialist)["escalated calls"] == pytest.approx(0.15 * 10_000)


class TestBadInput:
    def test_zero_calls(self) -> None:
        with pytest.raises(BadInput, match=r"0 calls a month.*calls_per_month"):
            price(task_audit(calls_per_month=0), evaluation(), policy())

    def test_no_volume(self) -> None:
        with pytest.raises(BadInput, match="calls_per_month"):
            price(None, evaluation(), policy())

    def test_unknown_model(self) -> None:
        strange = candidate("in-house-9", "generalist", input_tokens_mean=100.0, output_tokens_mean=5.0)
        with pytest.raises(BadSettings, match=r"'in-house-9'.*input_usd_per_million"):
            price(task_audit(cost_usd_month=0), evaluation(ENCODER, strange), policy())
        with pytest.raises(BadSettings, match=r"frontier_model 'nonesuch-7'.*input_usd_per_million"):
            price(task_audit(), evaluation(), policy(), PriceSettings(frontier_model="nonesuch-7"))

    def test_nan_tokens_without_a_recorded_cost(self) -> None:
        unmeasured = candidate("gpt-5", "generalist")
        with pytest.raises(BadInput, match="tokens of gpt-5 were not measured"):
            price(task_audit(cost_usd_month=NAN), evaluation(ENCODER, unmeasured), policy())

    def test_negative_tokens(self) -> None:
        damaged = replace(GPT_5, input_tokens_mean=-3.0)
        with pytest.raises(BadInput, match=r"-3.0 cannot be"):
            price(task_audit(), evaluation(ENCODER, damaged), policy())

    @pytest.mark.parametrize("name", ["calls_per_month", "machine_usd_hour", "usd_per_label", "people_usd_hour"])
    @pytest.mark.parametrize("value", [-1.0, NAN, math.inf])
    def test_settings_refuse_what_no_price_can_be(self, name: str, value: float) -> None:
        with pytest.raises(ValidationError, match=name):
            PriceSettings(**{name: value})  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (("upkeep",), "not NAME=USD"),
            (("upkeep=-3",), "not NAME=USD"),
            (("upkeep=nan",), "not NAME=USD"),
            (("rent=3",), "no line is called 'rent'; the lines are input tokens"),
            (("upkeep=1", "upkeep=2"), "given twice"),
        ],
    )
    def test_own_lines(self, given: tuple[str, ...], message: str) -> None:
        with pytest.raises(BadSettings, match=message):
            price(task_audit(), evaluation(), policy(), PriceSettings(lines=given))

    def test_half_a_price(self) -> None:
        with pytest.raises(BadSettings, match="give both"):
            price(task_audit(), evaluation(ENCODER), policy(), PriceSettings(lines=("input tokens=5",)))

    def test_artefacts_of_different_tasks(self) -> None:
        with pytest.raises(BadInput, match="'t2'"):
            price(task_audit(), evaluation(), replace(policy(), task_id="t2"))

    def test_student_that_was_not_evaluated(self) -> None:
        with pytest.raises(BadInput, match=r"'lm' was not evaluated.*encoder"):
            price(task_audit(), evaluation(), policy(student="lm"))

    def test_no_specialist(self) -> None:
        with pytest.raises(BadInput, match="no specialist"):
            price(task_audit(), evaluation(GPT_5, champion=None), None)
