"""One finding each: audit, dataset, specialist, evaluation, economics, policy, and the verdict over all."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table

from metier.artefacts.datasets import Dataset
from metier.artefacts.economics import Bill, Economics
from metier.artefacts.estimates import Estimate
from metier.artefacts.evaluations import Evaluation, Verdict
from metier.artefacts.policies import Policy
from metier.artefacts.specialists import Card, Specialist
from metier.artefacts.tasks import Audit, AuditVerdict, OutputKind, TaskAudit
from metier.pages import figures, words
from metier.pages.console.kit import BAD, GOOD, NAME_CHARS, OPEN, brief_interval, panel, sentence, table, text, warnings
from metier.pages.console.language_models import language_model_table
from metier.pages.console.written import written_tables
from metier.pages.content import Headline, NamedCount, Outcome
from metier.pages.gather import summarise
from metier.pages.text import clip
from metier.pages.views import view_line

_AUDIT_STYLES = {AuditVerdict.SPECIALISE: GOOD, AuditVerdict.COLLECT: OPEN, AuditVerdict.FRONTIER: BAD}
_VERDICT_STYLES = {
    Verdict.SUPERIOR: GOOD,
    Verdict.NON_INFERIOR: GOOD,
    Verdict.NOT_PROVEN: OPEN,
    Verdict.INFERIOR: BAD,
}
_N_REASONS = 10
_NAME_WIDTH = 14
_OUTCOME_STYLES = {Outcome.SPECIALISE: GOOD, Outcome.FRONTIER: BAD}


def headline_panel(headline: Headline) -> RenderableType:
    """The verdict of a report, framed."""
    style = _OUTCOME_STYLES.get(headline.outcome, OPEN)
    notes = [sentence(f"• {note}", "dim") for note in headline.qualifications]
    return panel(Group(sentence(headline.sentence, "bold"), *notes), style)


def audit_table(audit: Audit) -> RenderableType:
    """The tasks found, costliest first, each with its verdict; the reasons of the first few."""
    tasks = sorted(audit.tasks, key=_cost, reverse=True)
    rows = table(
        "task", "calls a month", "USD a month", "of bill", "saving a month", "verdict", left=("task", "verdict")
    )
    # Names are torn last: the figures beside them may take a second line.
    rows.columns[0].min_width = min(_NAME_WIDTH, max((len(item.task.name) for item in tasks), default=0))
    # A word of the verdict is never torn: it is what the table is read for.
    words = [word for item in tasks for word in item.verdict.value.split()]
    rows.columns[-1].min_width = max(map(len, words), default=0)
    for item in tasks:
        rows.add_row(*_audit_cells(item), text(item.verdict.value, style=_AUDIT_STYLES[item.verdict]))
    unassigned = f", {audit.n_unassigned:,} of them in no task" if audit.n_unassigned else ""
    span = f"{audit.n_traces:,} calls over {figures.plain(audit.span_days)} days{unassigned}."
    reasons = [sentence(f"{clip(item.task.name, NAME_CHARS)}: {item.reason}") for item in tasks[:_N_REASONS]]
    more = [text(f"{len(tasks) - _N_REASONS:,} more tasks.", style="dim")] if len(tasks) > _N_REASONS else []
    return Group(sentence(span), rows, *reasons, *more, *warnings((audit.cost_note,)))


def dataset_table(dataset: Dataset) -> RenderableType:
    """Splits, what was removed, and what to know before trusting it."""
    data = summarise(dataset)
    has_classes = dataset.kind is OutputKind.LABEL
    rows = table("split", "examples", "groups", *(("labels",) if has_classes else ()), left=("split",))
    for split in data.splits:
        counts = (split.n, split.n_groups, *((split.n_classes,) if has_classes else ()))
        rows.add_row(text(split.name), *(figures.count(value) for value in counts))
    of_classes = f" of {data.n_classes:,} classes" if has_classes else ""
    outputs = words.expected(dataset.kind)
    lines = (
        f"{data.n_examples:,} examples{of_classes}; {outputs} from: {_counted(data.provenance)}.",
        f"Split: {data.split_rule}.",
        f"Removed: {_counted(data.removed)}.",
        f"Contradictory {outputs}: {data.n_contradictions:,} inputs.",
    )
    return Group(rows, *(sentence(line) for line in lines), *warnings(data.warnings))


def specialist_table(*specialists: Specialist) -> RenderableType:
    """What was trained, and where more labels would lead."""
    has_classes = all(specialist.card.kind is OutputKind.LABEL for specialist in specialists)
    right = "tune accuracy %" if has_classes else "right on tune %"
    classes = ("classes",) if has_classes else ()
    rows = table("student", right, "examples", *classes, "trained in", "weights", left=("student", "weights"))
    for specialist in specialists:
        card = specialist.card
        rows.add_row(
            text(clip(card.student, NAME_CHARS)),
            _scored(card.tune_accuracy),
            figures.count(card.n_train),
            *((figures.count(len(card.classes)),) if has_classes else ()),
            figures.duration(card.train_wall_s),
            text(f"{card.precision}, {figures.size(card.size_bytes)}"),
        )
    notes = [
        line
        for specialist in specialists
        for line in (*_view(specialist.card), *_forecasts(specialist), *specialist.card.notes)
    ]
    models = [made for specialist in specialists if (made := language_model_table(specialist.card)) is not None]
    return Group(rows, *models, *(sentence(line) for line in notes))


def _view(card: Card) -> tuple[str, ...]:
    """Through what a specialist reads its inputs, where it does not read them as they are."""
    if card.view is None:
        return ()
    return (
        f"{card.student} reads the view {view_line(card.view)}: {len(card.view.features):,} numbers of each input.",
    )


def evaluation_table(evaluation: Evaluation) -> RenderableType:
    """Every candidate on the same items, then every verdict."""
    right, beside = words.right(evaluation.kind, evaluation.basis), words.f1(evaluation.kind)
    scores = table("candidate", f"{right} %", beside, "n", "failed", "p50", "USD per 1,000", left=("candidate",))
    for item in evaluation.candidates:
        mark = " *" if item.name == evaluation.champion else ""
        scores.add_row(
            text(f"{clip(item.name, NAME_CHARS)}{mark}"),
            _scored(item.accuracy),
            figures.plain(item.macro_f1.value, 3),
            figures.count(item.n),
            figures.count(item.n_failed),
            figures.duration(item.latency.p50_s),
            figures.usd(item.cost_usd_per_1000),
        )
    parts: list[RenderableType] = [scores, *written_tables(evaluation)]
    if evaluation.comparisons:
        parts.append(_verdicts(evaluation))
    if evaluation.champion is not None:
        parts.append(text("* champion", style="dim"))
    return Group(*parts, sentence(evaluation.summary), *warnings(evaluation.notes))


def economics_table(economics: Economics) -> RenderableType:
    """Both bills line by line, then break-even and saving with their ranges."""
    bills = table("line", "USD", "range", "", left=("line", ""))
    for bill in (economics.frontier, economics.specialist):
        _add_bill(bills, bill)
    results = table("", "value", f"{figures.level(economics.saving_usd_month.level)} range", left=("",))
    rows = (
        ("Saving a month", *_with_range(economics.saving_usd_month, figures.usd)),
        ("Saved in year one", *_with_range(economics.year_one_saving_share, figures.percent)),
        (
            "Break-even",
            figures.month(economics.break_even_month.value),
            figures.month_span(economics.break_even_month),
        ),
        ("Break-even volume, calls a month", *_with_range(economics.break_even_calls_month, figures.count)),
        ("Futures in which it never pays back", figures.percent(economics.share_never), ""),
    )
    for row in rows:
        results.add_row(*row)
    return Group(bills, results, sentence(economics.summary))


def policy_panel(policy: Policy) -> RenderableType:
    """The certificate in words and figures, or why there is none."""
    given = policy.certificate
    if given is None:
        labels = policy.labels_needed
        more = "" if labels is None else f"\nAbout {labels:,} more calibration labels are needed."
        words = f"No certificate: nothing is kept, every call is escalated.\n{policy.reason}{more}"
        return panel(sentence(words), BAD, policy.student)
    terms = {
        "calls kept": f"{figures.percent(given.coverage.value)} ({figures.span(given.coverage, figures.percent)})",
        "wrong among them": f"{figures.percent(given.risk.value, 2)} ({given.n_wrong:,} of {given.n_kept:,})",
        "score threshold": f"{given.threshold:.4f}",
        "calibration items": figures.count(given.n),
        "judged against": given.judged_against,
        "valid for": given.valid_for,
    }
    rows = table("", "", left=("",), header=False)
    for name, value in terms.items():
        rows.add_row(text(name), sentence(value))
    alpha, confidence = figures.level(given.alpha), figures.level(1 - given.delta)
    promise = f"Of the answers kept, at most {alpha} are wrong, with confidence {confidence}."
    return panel(Group(text(promise, style="bold"), rows), GOOD, policy.student)


def _cost(item: TaskAudit) -> float:
    return -math.inf if math.isnan(item.cost_usd_month) else item.cost_usd_month


def _scored(share: Estimate) -> str:
    return f"{figures.plain(100 * share.value)} ({brief_interval(share)})" if share.scored else figures.NOT_SCORED


def _audit_cells(item: TaskAudit) -> tuple[RenderableType, ...]:
    return (
        text(clip(item.task.name, NAME_CHARS)),
        figures.count(item.calls_per_month),
        figures.usd(item.cost_usd_month),
        figures.percent(item.bill_share),
        f"{figures.usd(item.saving_usd_month.value)} ({figures.span(item.saving_usd_month, figures.usd)})",
    )


def _counted(counts: Sequence[NamedCount]) -> str:
    return ", ".join(f"{clip(item.name, NAME_CHARS)} {item.n:,}" for item in counts) or "nothing"


def _forecasts(specialist: Specialist) -> list[str]:
    curve = specialist.learning_curve
    if curve is None:
        return []
    name = specialist.card.student
    lines = [
        f"{name}: {figures.percent(target)} needs about {figures.significant(labels.value)} training examples "
        f"({figures.span(labels, figures.significant)})."
        if labels.value < math.inf
        else f"{name}: {figures.percent(target)} lies beyond where its learning curve levels off."
        for target, labels in curve.targets
        if labels.scored
    ]
    return [*lines, f"{name}: {curve.note}"] if curve.note else lines


def _verdicts(evaluation: Evaluation) -> Table:
    rows = table("pair", "difference, points", "p (Holm)", "verdict", "to settle", left=("pair", "verdict"))
    for item in evaluation.comparisons:
        rows.add_row(
            text(f"{clip(item.specialist, 24)} − {clip(item.generalist, 24)}"),
            f"{figures.points(item.difference.value)} ({figures.span(item.difference, figures.points)})",
            figures.p_value(item.p_non_inferior_holm),
            text(item.wording, style=_VERDICT_STYLES[item.verdict]),
            "–" if item.items_to_settle is None else figures.count(item.items_to_settle),
        )
    return rows


def _add_bill(bills: Table, bill: Bill) -> None:
    bills.add_row(text(clip(bill.side, NAME_CHARS), style="bold"))
    for line in bill.lines:
        span = "" if line.low == line.high else f"{figures.usd(line.low)} to {figures.usd(line.high)}"
        bills.add_row(
            text(clip(line.name, NAME_CHARS)), figures.usd(line.usd), span, "once" if line.once else "a month"
        )
    bills.add_row(text("total"), figures.usd(bill.once_usd), "", "once")
    bills.add_row(text("total"), figures.usd(bill.month_usd), "", "a month", end_section=True)


def _with_range(estimate: Estimate, form: figures.Form) -> tuple[str, str]:
    return form(estimate.value), figures.span(estimate, form)
