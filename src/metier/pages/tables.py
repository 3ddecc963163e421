"""The tables of the page: rows of words made from the content of a report."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from metier.artefacts.economics import Bill, CostLine, Economics
from metier.artefacts.estimates import Estimate
from metier.artefacts.evaluations import CandidateScore, Comparison
from metier.artefacts.policies import Certificate
from metier.artefacts.specialists import Card
from metier.artefacts.tasks import OutputKind, TaskAudit
from metier.pages import figures, words
from metier.pages.content import DataSummary, NamedCount, Quality, ReportData
from metier.pages.text import clip

# Not a date, and not a word that begins with a digit.
_NUMBER = re.compile(r"(?!\d{4}-\d\d)(?:month )?[-+−<$]*[\d.,]+(?![\w-])")
_ABSENT = ("", "–", figures.NOT_SCORED, figures.NEVER, "without bound")
_SENTENCE = 34
_SHOWN_CLASSES = 12
_NAME_CHARS, _LABEL_CHARS, _SHOWN_CHARS = 48, 90, 200


@dataclass(frozen=True)
class Table:
    """Columns and rows of words; `numeric` marks the columns that are set flush right; `foot` holds the totals."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    foot: tuple[tuple[str, ...], ...] = ()

    @property
    def lengthy(self) -> tuple[bool, ...]:
        """The columns that hold sentences and need room beside several others."""
        cells = [[row[index] for row in self.rows] for index in range(len(self.columns))]
        return tuple(len(cells) > 2 and any(len(cell) > _SENTENCE for cell in column) for column in cells)

    @property
    def numeric(self) -> tuple[bool, ...]:
        cells = [[row[index] for row in (*self.rows, *self.foot)] for index in range(len(self.columns))]
        return tuple(_is_numeric(column) for column in cells)


def candidate_table(quality: Quality) -> Table:
    """Every candidate with every score."""
    right, beside = words.right(quality.kind, quality.basis), words.f1(quality.kind)
    columns = ("candidate", right, "interval", beside, "interval", "n", "failed")
    return Table("All candidates", columns, tuple(_candidate(item, quality.champion) for item in quality.candidates))


def effort_table(quality: Quality) -> Table:
    """What an answer of every candidate takes, and what kept it from answering."""
    columns = ("candidate", "USD per 1,000", "tokens in / out", "calibration error", "not asked", "failures")
    return Table("Cost, calibration and failures", columns, tuple(_effort(item) for item in quality.candidates))


def comparison_table(quality: Quality) -> Table:
    """Every verdict with the test that carries it."""
    columns = ("pair", "verdict", "margin", "n", "non-inferior, p (Holm)", "items to settle it")
    return Table("Verdicts", columns, tuple(_comparison(item) for item in quality.comparisons))


def tests_table(quality: Quality) -> Table:
    """Every test of every pair: items on which only one side is right, and p-values."""
    columns = (
        "pair",
        "only specialist right",
        "only generalist right",
        "McNemar",
        "non-inferior",
        "superior (Holm)",
        "inferior (Holm)",
    )
    return Table(
        "All tests, paired item by item: p-values", columns, tuple(_tests(item) for item in quality.comparisons)
    )


def confusion_table(item: CandidateScore) -> Table:
    """The confusions that matter of one candidate."""
    rows = tuple(
        (
            _short(one.truth, _LABEL_CHARS),
            _short(one.answer, _LABEL_CHARS),
            figures.count(one.n),
            figures.percent(one.share),
        )
        for one in item.confusions
    )
    return Table(f"What {clip(item.name, 60)} confuses", ("expected", "answered", "items", "of that class"), rows)


def ood_table(quality: Quality) -> Table:
    """How well each candidate's ood score tells strange inputs."""
    rows = tuple(
        (
            _named(item),
            figures.plain(item.ood.auroc.value, 3),
            figures.span(item.ood.auroc, lambda value: figures.plain(value, 3)),
            figures.percent(item.ood.fpr_at_95_tpr.value),
            figures.span(item.ood.fpr_at_95_tpr, figures.percent),
            figures.count(item.ood.n_in),
            figures.count(item.ood.n_out),
        )
        for item in quality.candidates
        if item.ood is not None
    )
    columns = ("candidate", "AUROC", "interval", "FPR at 95% TPR", "interval", "ordinary inputs", "strange inputs")
    return Table("Telling strange inputs from ordinary ones", columns, rows)


def bill_table(bill: Bill) -> Table:
    """One side's bill, with its totals."""
    rows = tuple((line.name, figures.usd(line.usd), _range(line), _when(line), line.basis) for line in bill.lines)
    foot = (
        ("Total once", figures.usd(bill.once_usd), "", "once", ""),
        ("Total a month", figures.usd(bill.month_usd), "", "a month", ""),
        ("Year one", figures.usd(bill.once_usd + 12 * bill.month_usd), "", "", ""),
    )
    return Table(clip(bill.side, 60), ("line", "USD", "range", "when", "basis"), rows, foot)


def economics_table(economics: Economics) -> Table:
    """The results with their ranges."""
    rows = (
        _estimated("Saving a month", economics.saving_usd_month, figures.usd),
        _estimated("Saved in year one", economics.year_one_saving_share, figures.percent),
        ("Break-even", figures.month(economics.break_even_month.value), figures.month_span(economics.break_even_month)),
        _estimated("Break-even volume, calls a month", economics.break_even_calls_month, figures.count),
        (
            "Futures in which it never pays back",
            figures.percent(economics.share_never),
            f"of {economics.n_draws:,} draws",
        ),
    )
    return Table(
        "Results", ("", "at the stated figures", f"{figures.level(economics.saving_usd_month.level)} range"), rows
    )


def assumption_table(economics: Economics) -> Table:
    """What the bill was worked out from."""
    return Table("Assumptions", ("assumption", "value"), economics.assumptions)


def certificate_table(given: Certificate) -> Table:
    """The certificate, term by term."""
    rows = (
        ("Largest share wrong among kept answers (α)", figures.level(given.alpha)),
        ("Confidence (1 − δ)", figures.level(1 - given.delta)),
        ("Calibration items (n)", figures.count(given.n)),
        ("Of these kept / wrong among them", f"{figures.count(given.n_kept)} / {figures.count(given.n_wrong)}"),
        ("Score threshold", f"{given.threshold:.4f}"),
        ("Calls kept (coverage)", _with_interval(given.coverage, figures.percent)),
        ("Wrong among the kept (risk)", _with_interval(given.risk, lambda value: figures.percent(value, 2))),
        ("Wrong was judged against", given.judged_against),
        ("Valid for", given.valid_for),
    )
    return Table("The certificate", ("term", "value"), rows)


def specialist_table(cards: Sequence[Card]) -> Table:
    """What was trained: a column for each specialist."""
    described = [_card(card) for card in cards]
    rows = tuple((name, *(card[name] for card in described)) for name in (described[0] if described else ()))
    return Table("Specialists", ("", *(card.student for card in cards)), rows)


def removed_table(data: DataSummary) -> Table:
    """What was read and not used."""
    total = (("all", figures.count(data.n_removed)),) if len(data.removed) > 1 else ()
    return Table("Removed, by reason", ("reason", "examples"), _counted(data.removed), total)


def provenance_table(data: DataSummary) -> Table:
    return Table("Who gave the labels", ("source", "examples"), _counted(data.provenance))


def rarest_table(data: DataSummary) -> Table:
    return Table("Rarest classes in training", ("class", "examples"), _counted(data.rarest))


def contradiction_table(data: DataSummary) -> Table:
    """The same input with different labels."""
    rows = tuple(
        (
            _short(one.input),
            "; ".join(f"{clip(label, 60)} × {n:,}" for label, n in one.outputs[:_SHOWN_CLASSES]),
            one.resolution,
        )
        for one in data.contradictions
    )
    return Table("Contradictory labels", ("input", "labels given", "what was done"), rows)


def audit_table(audit: TaskAudit) -> Table:
    """What the audit found about this task."""
    labels = f"{audit.n_human_labels:,} human, {audit.n_teacher_labels:,} teacher; {audit.n_feedback:,} judged"
    rows = [
        ("Verdict", f"{audit.verdict.value}: {audit.reason}"),
        ("Calls", f"{figures.count(audit.n_calls)} seen, {figures.count(audit.calls_per_month)} a month"),
        ("Cost a month", f"{figures.usd(audit.cost_usd_month)}, {figures.percent(audit.bill_share)} of the bill"),
        ("Projected saving a month", _with_interval(audit.saving_usd_month, figures.usd)),
        (
            "Output",
            f"{audit.task.kind.value}: {audit.definedness.detail} "
            f"(definedness {figures.plain(audit.definedness.score, 2)})",
        ),
        ("Labels at hand", labels),
        ("Distinct inputs", figures.percent(audit.variability)),
    ]
    if audit.affinity is not None:
        distance = _with_interval(audit.affinity.distance, lambda value: figures.plain(value, 2))
        null = figures.plain(audit.affinity.null_high, 2)
        rows.append(("Affinity (proxy A-distance, 0 to 2)", f"{distance}; halves of the task itself: up to {null}"))
    return Table("The audit of the traffic", ("", "finding"), tuple(rows))


def lineage_table(data: ReportData) -> Table:
    """Which artefact was made from which."""
    rows = tuple(
        (
            manifest.kind,
            manifest.id,
            ", ".join(f"{name} {id_}" for name, id_ in manifest.inputs.items()) or "–",
            str(manifest.seed),
            manifest.time,
        )
        for manifest in data.lineage
    )
    return Table("Artefacts", ("kind", "id", "made from", "seed", "time"), rows)


def settings_table(data: ReportData) -> Table:
    """Every setting of every artefact."""
    rows = tuple(
        (f"{manifest.kind} {manifest.id}", name, clip(str(value), _SHOWN_CHARS))
        for manifest in data.lineage
        for name, value in manifest.settings.items()
    )
    return Table("Settings", ("artefact", "setting", "value"), rows)


def version_table(data: ReportData) -> Table:
    """The library versions that any of the artefacts was made with."""
    pairs = sorted({(name, version) for manifest in data.lineage for name, version in manifest.versions.items()})
    return Table("Versions", ("library", "version"), tuple(pairs))


def _candidate(item: CandidateScore, champion: str | None) -> tuple[str, ...]:
    return (
        f"{_named(item)} (champion)" if item.name == champion else _named(item),
        figures.percent(item.accuracy.value),
        figures.span(item.accuracy, figures.percent),
        figures.plain(item.macro_f1.value, 3),
        figures.span(item.macro_f1, lambda value: figures.plain(value, 3)),
        figures.count(item.n),
        figures.count(item.n_failed),
    )


def pair(item: Comparison) -> str:
    """What is compared with what: specialist − generalist."""
    return f"{clip(item.specialist, _NAME_CHARS)} − {clip(item.generalist, _NAME_CHARS)}"


def _named(item: CandidateScore) -> str:
    return clip(item.name, _NAME_CHARS)


def _effort(item: CandidateScore) -> tuple[str, ...]:
    return (
        _named(item),
        figures.usd(item.cost_usd_per_1000),
        _tokens(item),
        figures.plain(item.expected_calibration_error, 3),
        figures.count(item.n_not_asked),
        ", ".join(f"{kind} {n:,}" for kind, n in item.failures) or "–",
    )


def _tokens(item: CandidateScore) -> str:
    pair = [figures.significant(value) for value in (item.input_tokens_mean, item.output_tokens_mean)]
    return pair[0] if pair[0] == pair[1] == figures.NOT_SCORED else " / ".join(pair)


def _comparison(item: Comparison) -> tuple[str, ...]:
    return (
        pair(item),
        item.wording,
        f"{figures.significant(100 * item.margin)} points",
        figures.count(item.n),
        figures.p_value(item.p_non_inferior_holm),
        "–" if item.items_to_settle is None else figures.count(item.items_to_settle),
    )


def _tests(item: Comparison) -> tuple[str, ...]:
    p_values = (item.p_mcnemar, item.p_non_inferior, item.p_superior_holm, item.p_inferior_holm)
    return (
        pair(item),
        figures.count(item.n_only_specialist_right),
        figures.count(item.n_only_generalist_right),
        *(figures.p_value(value) for value in p_values),
    )


def _card(card: Card) -> dict[str, str]:
    return {
        "base model": card.base_model or "–",
        "licence": card.licence or "–",
        "weights": f"{card.precision}, {figures.size(card.size_bytes)}",
        "trained in": figures.duration(card.train_wall_s),
        "training examples": figures.count(card.n_train),
        **({"classes": figures.count(len(card.classes))} if card.kind is OutputKind.LABEL else {}),
        f"{words.right(card.kind)} on the tune split": _with_interval(card.tune_accuracy, figures.percent),
        "why these weights": card.precision_reason or "–",
        "reads": "the input as it is"
        if card.view is None
        else f"the view {card.view.name}, version {card.view.version}",
    }


def _estimated(name: str, estimate: Estimate, form: Callable[[float], str]) -> tuple[str, str, str]:
    return name, form(estimate.value), figures.span(estimate, form)


def _with_interval(estimate: Estimate, form: Callable[[float], str]) -> str:
    if not estimate.scored:
        return figures.NOT_SCORED
    return f"{form(estimate.value)} ({figures.span(estimate, form)})"


def _range(line: CostLine) -> str:
    return "–" if line.low == line.high else f"{figures.usd(line.low)} to {figures.usd(line.high)}"


def _when(line: CostLine) -> str:
    return "once" if line.once else "a month"


def _counted(counts: Iterable[NamedCount]) -> tuple[tuple[str, ...], ...]:
    return tuple((_short(item.name, _LABEL_CHARS), figures.count(item.n)) for item in counts)


def _short(text: str, max_chars: int = _SHOWN_CHARS) -> str:
    return clip(text, max_chars) or "(empty)"


def _is_numeric(cells: Sequence[str]) -> bool:
    told = [cell for cell in cells if cell not in _ABSENT]
    return bool(told) and all(len(cell) <= _SENTENCE and _NUMBER.match(cell) for cell in told)
