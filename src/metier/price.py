"""Price: the total cost of the frontier and of the specialist, and when the specialist has paid for itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from metier.artefacts.economics import Economics
from metier.artefacts.evaluations import CandidateScore, Evaluation
from metier.artefacts.policies import Policy
from metier.artefacts.specialists import Card
from metier.artefacts.tasks import TaskAudit
from metier.economics import bills, draws
from metier.economics.bills import CallPrice, Rates, Work
from metier.economics.case import Case, economics
from metier.economics.draws import Floats
from metier.economics.ownership import HOURS_PER_MONTH
from metier.errors import BadInput, BadSettings
from metier.generalists.prices import ListPrice, list_price

N_DRAWS = 10_000
# The draws let the yearly fall be up to this much steeper than stated.
FALL_SPREAD = 0.5
# Where no policy says what is kept: the range that published routers report (70-80% handled by the small model), widened.
ASSUMED_COVERAGE = (0.5, 0.75, 0.9)
# Where the specialist's latency was not measured: slow for any student that runs on a CPU.
ASSUMED_ANSWERS_PER_S = 10.0


class PriceSettings(BaseModel):
    """Prices and volumes; what is not given is measured, or a default with its source in docs/price.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls_per_month: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Calls a month; by default those that the audit counted."
    )
    frontier_model: str | None = Field(
        default=None, description="Model whose list price counts; by default the generalist that was evaluated."
    )
    input_usd_per_million: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="Your price of a million input tokens, instead of the list price.",
    )
    output_usd_per_million: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="Your price of a million output tokens, instead of the list price.",
    )
    frontier_price_fall: float = Field(
        default=0.0, ge=0, lt=1, description="Share by which the frontier's price falls every year."
    )
    coverage: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of answers the specialist keeps; by default what the certificate states.",
    )
    machine_usd_hour: float = Field(
        default=0.0816,
        ge=0,
        allow_inf_nan=False,
        description="A serving machine's hour in USD: 0.0816 for 2 CPU cores and 8 GB (AWS m7g.large), 1.0 to 2.0 for one "
        "GPU (AWS g5.xlarge 1.006).",
    )
    replicas: int = Field(
        default=2, ge=1, le=1000, description="Machines at least; all but the first are there for redundancy."
    )
    usd_per_label: float = Field(
        default=0.12, ge=0, allow_inf_nan=False, description="Price of one label given by people."
    )
    people_usd_hour: float = Field(
        default=94.6, ge=0, allow_inf_nan=False, description="A developer's hour in USD, benefits included."
    )
    lines: tuple[str, ...] = Field(
        default=(),
        description="Your own figures for lines of the bill, as NAME=USD a month (or once, for building, labelling, "
        "training, evaluation), such as upkeep=300.",
    )


def price(
    task_audit: TaskAudit | None,
    evaluation: Evaluation,
    policy: Policy | None,
    settings: PriceSettings | None = None,
    *,
    cards: Sequence[Card] = (),
    seed: int = 0,
    list_price: Callable[[str], ListPrice | None] = list_price,
) -> Economics:
    """The economics of replacing the frontier by the specialist on one task.

    Volume and recorded cost come from `task_audit`, tokens and speed from `evaluation`, the share of answers kept from
    `policy`, training time and the number of labels from the `cards` of the students trained; `settings` override any of
    them. Raises BadInput
    where the artefacts do not belong together or lack a figure, BadSettings where a price is not known; both name the
    setting that mends it.
    """
    settings = settings or PriceSettings()
    _check_same_task(task_audit, evaluation, policy)
    own = _own_lines(settings.lines)
    calls_per_month = _calls_per_month(task_audit, settings)
    candidate = _specialist(evaluation, policy)
    model, call_price = _call_price(task_audit, evaluation, settings, own, list_price)
    coverage_name, coverage = _coverage(policy, settings)

    rng = np.random.default_rng(seed)
    calls = draws.lognormal(calls_per_month, bills.SIGMA_CALLS, N_DRAWS, rng)
    fall = draws.pert(0.0, settings.frontier_price_fall, _steepest(settings), N_DRAWS, rng)
    kept = coverage(rng)
    frontier = bills.frontier_side(call_price, calls, own, rng)
    rates = Rates(settings.machine_usd_hour, settings.usd_per_label, settings.people_usd_hour)
    work = _work(task_audit, evaluation, policy, cards, candidate, settings.replicas)
    specialist = bills.specialist_side(frontier, work, rates, kept, calls, own, rng)
    case = Case(frontier, specialist, calls, kept, fall)
    usd_per_call = float(frontier.usd_per_call()[0])
    assumptions = (
        *_measured_assumptions(call_price.source, usd_per_call, work, candidate, coverage_name),
        *_stated_assumptions(settings, work, bool(cards), evaluation.champion),
    )
    return economics(
        evaluation.task_id,
        evaluation.task_name,
        model,
        call_price.source,
        case,
        assumptions,
        reason_none_kept=_none_kept(policy, settings),
        caveat=_caveat(policy, settings),
    )


def _steepest(settings: PriceSettings) -> float:
    return max(settings.frontier_price_fall, min(settings.frontier_price_fall + FALL_SPREAD, 0.99))


def _check_same_task(task_audit: TaskAudit | None, evaluation: Evaluation, policy: Policy | None) -> None:
    for what, task_id in (
        ("audit", task_audit.task.id if task_audit else None),
        ("policy", policy.task_id if policy else None),
    ):
        if task_id is not None and task_id != evaluation.task_id:
            raise BadInput(f"the {what} is of task {task_id!r}, the evaluation of task {evaluation.task_id!r}")


def _calls_per_month(task_audit: TaskAudit | None, settings: PriceSettings) -> float:
    if settings.calls_per_month is not None:
        return settings.calls_per_month
    if task_audit is None:
        raise BadInput("without an audit the volume is unknown: give the setting calls_per_month")
    if not (math.isfinite(task_audit.calls_per_month) and task_audit.calls_per_month > 0):
        raise BadInput(
            f"the audit counts {task_audit.calls_per_month} calls a month for {task_audit.task.name!r}: nothing to price. "
            "Give the setting calls_per_month."
        )
    return task_audit.calls_per_month


def _specialist(evaluation: Evaluation, policy: Policy | None) -> CandidateScore:
    """The specialist to be priced: the policy's, else the champion, else the most accurate one."""
    specialists = {score.name: score for score in evaluation.candidates if score.role == "specialist"}
    if not specialists:
        raise BadInput(f"the evaluation of {evaluation.task_name!r} has no specialist to price")
    wanted = policy.student if policy else evaluation.champion
    if wanted is None:
        return max(specialists.values(), key=lambda score: score.accuracy.value if score.accuracy.scored else -1.0)
    if wanted not in specialists:
        raise BadInput(f"student {wanted!r} was not evaluated; the evaluation has {sorted(specialists)}")
    return specialists[wanted]


def _call_price(
    task_audit: TaskAudit | None,
    evaluation: Evaluation,
    settings: PriceSettings,
    own: dict[str, float],
    list_price: Callable[[str], ListPrice | None],
) -> tuple[str, CallPrice]:
    """The frontier's model and its price of a call: your prices, else the list price, else what was recorded."""
    generalist = next((score for score in evaluation.candidates if score.role == "generalist"), None)
    model = settings.frontier_model or ((generalist.model or generalist.name) if generalist else "")
    shown = model or "the frontier"
    if "recorded cost" in own:
        return shown, CallPrice("your own figure", recorded_usd=own["recorded cost"])
    if {"input tokens", "output tokens"} <= own.keys():
        return shown, CallPrice("your own figures")
    rates = _token_rates(model, settings, list_price)
    if rates is None and settings.frontier_model:
        raise BadSettings(
            f"no list price is known for frontier_model {model!r}: give input_usd_per_million and output_usd_per_million"
        )
    recorded = _recorded_usd(generalist, task_audit)
    if rates and generalist and _measured(generalist.input_tokens_mean) and _measured(generalist.output_tokens_mean):
        source, usd_in, usd_out = rates
        return shown, CallPrice(source, generalist.input_tokens_mean, generalist.output_tokens_mean, usd_in, usd_out)
    if recorded is not None and settings.input_usd_per_million is None and settings.output_usd_per_million is None:
        _refuse_half_a_price(own)
        return shown, CallPrice(recorded[1], recorded_usd=recorded[0])
    if rates:
        raise BadInput(
            f"tokens of {shown} were not measured, so its price cannot be applied: evaluate a generalist that reports "
            "tokens, or give its monthly cost with lines = ['input tokens=USD', 'output tokens=USD']"
        )
    raise BadSettings(
        f"no price is known for {shown!r} and no cost was recorded: give frontier_model, or input_usd_per_million and "
        "output_usd_per_million"
    )


def _refuse_half_a_price(own: dict[str, float]) -> None:
    if given := own.keys() & {"input tokens", "output tokens"}:
        raise BadSettings(
            f"lines: {', '.join(given)} alone cannot stand beside a recorded cost per call; give both 'input tokens' and "
            "'output tokens', or 'recorded cost'"
        )


def _token_rates(
    model: str, settings: PriceSettings, list_price: Callable[[str], ListPrice | None]
) -> tuple[str, float, float] | None:
    usd_in, usd_out = settings.input_usd_per_million, settings.output_usd_per_million
    if usd_in is not None and usd_out is not None:
        return "your own price", usd_in, usd_out
    listed = list_price(model)
    if listed is None:
        return None
    source = f"list price of {listed.model} ({listed.provider}), {listed.source}"
    if usd_in is not None or usd_out is not None:
        source = f"your own price beside the {source}"
    return (
        source,
        listed.input_usd_per_million if usd_in is None else usd_in,
        listed.output_usd_per_million if usd_out is None else usd_out,
    )


def _recorded_usd(generalist: CandidateScore | None, task_audit: TaskAudit | None) -> tuple[float, str] | None:
    if generalist and _measured(generalist.cost_usd_per_1000) and generalist.cost_usd_per_1000 > 0:
        return generalist.cost_usd_per_1000 / 1000, "as recorded in the evaluation"
    if task_audit and _measured(task_audit.cost_usd_month) and task_audit.cost_usd_month > 0:
        return task_audit.cost_usd_month / task_audit.calls_per_month, "as recorded in the traffic"
    return None


def _measured(value: float) -> bool:
    if math.isfinite(value) and value < 0:
        raise BadInput(f"a token count or cost of {value} cannot be: the evaluation or the audit is damaged")
    return math.isfinite(value)


def _coverage(policy: Policy | None, settings: PriceSettings) -> tuple[str, Callable[[np.random.Generator], Floats]]:
    if settings.coverage is not None:
        stated = settings.coverage
        return f"{stated:.1%}, your own figure", lambda _: draws.exact(stated, N_DRAWS)
    if policy is None:
        low, mode, high = ASSUMED_COVERAGE
        text = f"{mode:.0%} (PERT {low:.0%} to {high:.0%}), assumed: no policy exists; give the setting coverage"
        return text, lambda rng: draws.pert(low, mode, high, N_DRAWS, rng)
    if policy.certificate is None:
        return "0%: there is no certificate, so nothing is kept", lambda _: draws.exact(0.0, N_DRAWS)
    certified = policy.certificate.coverage
    text = f"{certified.value:.1%} ({certified.low:.1%} to {certified.high:.1%}), measured with the certificate"
    return text, lambda rng: draws.share_between(certified, N_DRAWS, rng)


def _none_kept(policy: Policy | None, settings: PriceSettings) -> str:
    if settings.coverage is None and policy is not None and policy.certificate is None:
        return "there is no certificate and nothing is kept"
    return ""


def _caveat(policy: Policy | None, settings: PriceSettings) -> str:
    if settings.coverage is None and policy is None:
        return f"Assumes that {ASSUMED_COVERAGE[1]:.0%} of answers can be kept: there is no certificate yet."
    return ""


def _work(
    task_audit: TaskAudit | None,
    evaluation: Evaluation,
    policy: Policy | None,
    cards: Sequence[Card],
    candidate: CandidateScore,
    replicas: int,
) -> Work:
    n_calibration = policy.certificate.n if policy and policy.certificate else 0
    # All students of the ladder learn from the same labels, and all are trained again each quarter.
    n_labels = evaluation.n_test + n_calibration + max((card.n_train + card.n_tune for card in cards), default=0)
    # Human labels are counted even where they are there already: someone is paid for them. The frontier's own answers
    # and its users' feedback cost nothing more.
    free = task_audit.n_teacher_labels + task_audit.n_feedback if task_audit else 0
    seconds = candidate.latency.p50_s
    return Work(
        train_s=math.fsum(card.train_wall_s for card in cards),
        n_labels=n_labels,
        n_bought=max(0, n_labels - free),
        n_evaluated=evaluation.n_test + evaluation.n_ood,
        answers_per_s=1 / seconds if math.isfinite(seconds) and seconds > 0 else ASSUMED_ANSWERS_PER_S,
        replicas=replicas,
    )


def _own_lines(lines: tuple[str, ...]) -> dict[str, float]:
    """NAME=USD pairs as a dict. Raises BadSettings naming the pair that cannot be used."""
    known = (*bills.FRONTIER_LINES, *bills.SPECIALIST_LINES)
    own: dict[str, float] = {}
    for pair in lines:
        name, equals, text = pair.partition("=")
        name = name.strip()
        try:
            usd = float(text)
        except ValueError:
            usd = math.nan
        if not equals or not math.isfinite(usd) or usd < 0:
            raise BadSettings(f"lines: {pair!r} is not NAME=USD with USD a number of at least 0, such as 'upkeep=300'")
        if name not in known:
            raise BadSettings(f"lines: no line is called {name!r}; the lines are {', '.join(known)}")
        if name in own:
            raise BadSettings(f"lines: {name!r} is given twice")
        own[name] = usd
    return own


def _measured_assumptions(
    source: str, usd_per_call: float, work: Work, candidate: CandidateScore, coverage: str
) -> tuple[tuple[str, str], ...]:
    measured = math.isfinite(candidate.latency.p50_s) and candidate.latency.p50_s > 0
    speed = "measured one answer at a time" if measured else "assumed: its latency was not measured"
    return (
        ("calls a month", f"lognormal, sigma {bills.SIGMA_CALLS}"),
        ("price of a call", f"{usd_per_call:.6g} USD, {source}; no discount for caching, batches or volume"),
        ("tokens", f"lognormal, sigma {bills.SIGMA_TOKENS}, around the means measured on the test items"),
        ("answers kept", coverage),
        (
            "specialist",
            f"{candidate.name}, {work.answers_per_s:,.0f} answers/s a machine, {speed} (lognormal, "
            f"sigma {bills.SIGMA_CAPACITY})",
        ),
    )


def _stated_assumptions(
    settings: PriceSettings, work: Work, trained: bool, champion: str | None
) -> tuple[tuple[str, str], ...]:
    cheap, _, dear = bills.MACHINE_PRICE_FACTORS
    return (
        (
            "quality",
            "proven to be as good as the frontier"
            if champion
            else "no specialist was proven to be as good as the frontier: the saving is what one that good would bring",
        ),
        (
            "frontier's price",
            f"falls by {settings.frontier_price_fall:.0%} a year (PERT 0% to {_steepest(settings):.0%})",
        ),
        (
            "machines",
            f"{settings.machine_usd_hour:g} USD an hour (PERT x{cheap} to x{dear}), always on, {HOURS_PER_MONTH:g} h a "
            f"month; busiest hour {bills.PEAK_TO_MEAN:g} times the mean, loaded to {bills.UTILISATION:.0%}; "
            f"{settings.replicas} replicas",
        ),
        ("labels", f"{settings.usd_per_label:g} USD each, lognormal, sigma {bills.SIGMA_LABEL_PRICE}"),
        ("people", f"{settings.people_usd_hour:g} USD an hour; hours lognormal, sigma {bills.SIGMA_HOURS}"),
        (
            "training",
            f"{work.train_s:,.0f} s for the students trained, {bills.TRAINING_RUNS} runs, lognormal, "
            f"sigma {bills.SIGMA_TRAINING}"
            if trained
            else "not measured: no card was given, so training time and training labels count as nothing",
        ),
        ("retraining", f"{bills.RETRAININGS_PER_YEAR} a year, spread evenly over the months"),
        ("audit", f"{bills.AUDIT_SHARE:.0%} of kept answers are also sent to the frontier"),
        ("your own figures", "; ".join(settings.lines) or "none"),
        ("not in the bill", "discounting, taxes, the value of better or worse answers, and of latency"),
    )
