"""The page and its JSON: for every input whole, self-contained, escaped, and true to the schema."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import polars as pl
import pytest
from jsonschema import Draft202012Validator

import metier
from metier.artefacts.specialists import CurvePoint
from metier.pages.content import ReportData
from metier.pages.gather import MAX_CURVE_POINTS, gather, summarise
from metier.pages.inputs import ReportInputs
from metier.pages.report import RenderedReport, report
from metier.pages.schema import report_schema, stored_schema, to_json_values

TIME = "2026-11-21T22:40:00Z"
VOID = {"meta", "link", "br"}


class Checked(HTMLParser):
    """Reads a page strictly: every element closed in order; keeps elements, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data


def rendered(inputs: ReportInputs) -> RenderedReport:
    return report(inputs, time=TIME)


def faults(data: object) -> list[str]:
    """Where a report.json departs from the stored schema."""
    return [
        f"{error.json_path}: {error.message[-200:]}"
        for error in Draft202012Validator(stored_schema()).iter_errors(data)
    ]


def without_words(schema: Any) -> Any:
    """A schema without its descriptions: rewording a docstring changes no contract."""
    if isinstance(schema, dict):
        return {key: without_words(value) for key, value in schema.items() if key != "description"}
    return [without_words(item) for item in schema] if isinstance(schema, list) else schema


def test_renders_and_is_well_formed(case: tuple[str, ReportInputs]) -> None:
    _, inputs = case
    page = Checked(rendered(inputs).html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert not re.search(r"\bnan\b|\bNaN\b|\binf\b|\bNone\b|Undefined", page.text)
    targets = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert targets <= {f"#{name}" for name in ids}


def test_asks_for_nothing_from_outside(case: tuple[str, ReportInputs]) -> None:
    _, inputs = case
    page = Checked(rendered(inputs).html)
    for tag, attributes in page.tags:
        assert tag not in {
            "img",
            "iframe",
            "object",
            "embed",
            "base",
            "form",
            "audio",
            "video",
            "source",
            "use",
            "image",
        }
        assert not any(name.startswith("on") or name in {"src", "srcset", "style"} for name in attributes)
        assert tag != "link" or attributes["href"] == "data:,"
    style = rendered(inputs).html.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert sum(tag == "script" for tag, _ in page.tags) == 1


def test_hostile_text_is_shown_as_text(cases: dict[str, Callable[[], ReportInputs]]) -> None:
    page = rendered(cases["hostile"]())
    assert "</script><img src=x onerror=alert(1)>" in Checked(page.html).text
    assert "<img" not in page.html
    assert "{{ 7 * 7 }}" in page.html
    assert "\x1b" not in page.html
    page.html.encode("utf-8")
    page.json().encode("utf-8")


def test_policy_lets_in_only_what_the_page_carries(full: ReportInputs) -> None:
    """Hashes are checked by the browser; here only that the policy is there and shuts everything else out."""
    policy = dict(Checked(rendered(full).html).tags[3][1])["content"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_json_fits_the_schema(case: tuple[str, ReportInputs]) -> None:
    _, inputs = case
    data = json.loads(rendered(inputs).json())
    assert faults(data) == []
    assert data == rendered(inputs).data


def test_schema_refuses_what_is_wrong(full: ReportInputs) -> None:
    validator = Draft202012Validator(stored_schema())
    data = rendered(full).data
    assert not validator.is_valid({**data, "schema_version": 2})
    assert not validator.is_valid({**data, "surprise": 1})
    assert not validator.is_valid({key: value for key, value in data.items() if key != "headline"})
    assert not validator.is_valid({**data, "n_curve": "many"})
    assert not validator.is_valid({**data, "quality": {**data["quality"], "candidates": "none"}})


def test_schema_file_is_what_the_dataclasses_say() -> None:
    """After a change of the content: python -m metier.pages.schema > src/metier/pages/report.schema.json, and if a field
    went or changed its meaning, raise SCHEMA_VERSION."""
    Draft202012Validator.check_schema(report_schema())
    assert without_words(stored_schema()) == without_words(report_schema())


def test_floats_that_json_lacks() -> None:
    assert to_json_values((math.nan, math.inf, -math.inf, 0.5, 3)) == [None, "Infinity", "-Infinity", 0.5, 3]


def test_same_inputs_same_page(full: ReportInputs) -> None:
    assert rendered(full) == rendered(full)


def test_page_and_json_tell_the_same(full: ReportInputs) -> None:
    made = rendered(full)
    page = html.unescape(Checked(made.html).text).replace("\u00a0", " ")
    assert made.data["headline"]["sentence"] == made.headline.sentence
    assert made.headline.sentence in page
    for item in made.data["limits"]:
        assert item in page
    for term in made.data["glossary"]:
        assert term["meaning"] in page
    for bill in (made.data["economics"]["frontier"], made.data["economics"]["specialist"]):
        for line in bill["lines"]:
            assert line["name"] in page
            assert line["basis"] in page
    for manifest in made.data["lineage"]:
        assert manifest["id"] in page
    for comparison in made.data["quality"]["comparisons"]:
        assert f"{comparison['specialist']} − {comparison['generalist']}" in page


def test_every_plot_has_its_numbers_and_words(full: ReportInputs) -> None:
    page = rendered(full).html
    figures = re.findall(r"<figure>.*?</figure>", page, re.DOTALL)
    assert len(figures) == 10
    for figure in figures:
        assert figure.count("<svg") == 2
        assert figure.count('role="img"') == 2
        assert all(len(words) > 20 for words in re.findall(r'<svg [^>]*aria-label="([^"]*)"', figure))
        assert "<details><summary>The numbers</summary>" in figure
        assert "<tbody>" in figure


@pytest.mark.parametrize(
    ("stage", "command"),
    [
        ("audit", "metier audit"),
        ("dataset", "metier curate intents"),
        ("specialists", "metier train intents"),
        ("evaluation", "metier evaluate intents"),
        ("policy", "metier calibrate intents"),
        ("economics", "metier price intents"),
    ],
)
def test_what_is_missing_names_its_command(full: ReportInputs, stage: str, command: str) -> None:
    inputs = dataclasses.replace(full, **{stage: () if stage == "specialists" else None})
    made = rendered(inputs)
    assert [item["command"] for item in made.data["missing"]] == [command]
    assert Checked(made.html).text.count(command) >= 2  # on top, and in its place


def test_command_is_safe_to_paste(full: ReportInputs) -> None:
    inputs = dataclasses.replace(full, task_name="it's; rm -rf /", policy=None)
    assert rendered(inputs).data["missing"][0]["command"] == "metier calibrate 'it'\"'\"'s; rm -rf /'"


def test_version_and_time_are_the_given_ones(full: ReportInputs) -> None:
    data = rendered(full).data
    assert (data["schema"], data["schema_version"], data["time"]) == ("metier-report", 1, TIME)
    assert data["metier_version"] == metier.__version__


def test_certificate_is_spelled_out(full: ReportInputs) -> None:
    text = Checked(rendered(full).html).text
    for part in (
        "at most 5% are wrong, with confidence 95%",
        "0.1200",
        "88.0% (86.8% to 89.2%)",
        "labels given by people",
    ):
        assert part in text
    assert "What voids it" in text


def test_no_certificate_keeps_nothing(cases: dict[str, Callable[[], ReportInputs]]) -> None:
    text = Checked(rendered(cases["worst"]()).html).text
    assert "No certificate: nothing is kept" in text
    assert "1,250 more calibration labels" in text


def test_curve_is_thinned_but_keeps_the_certificate(full: ReportInputs) -> None:
    content: ReportData = gather(full, TIME)
    assert content.policy is not None
    assert content.policy.certificate is not None
    assert content.n_curve == 400
    assert len(content.policy.curve) <= MAX_CURVE_POINTS
    assert any(math.isclose(point.threshold, content.policy.certificate.threshold) for point in content.policy.curve)
    coverages = [point.coverage for point in content.policy.curve]
    assert coverages == sorted(coverages)
    assert coverages[-1] == 1


def test_forecast_is_the_fitted_curve(full: ReportInputs) -> None:
    first = gather(full, TIME).specialists[0]
    curve = first.learning_curve
    assert curve is not None
    for point in first.forecast:
        expected = 1 - (curve.asymptote + curve.scale * point.n_train**-curve.exponent)
        assert point.accuracy == pytest.approx(expected)
    assert first.forecast[-1].n_train > 1_800


def test_measured_points_carry_wilson_intervals(full: ReportInputs) -> None:
    """Wilson (1927) for 178 of 200 by hand: centre 0.88265, half width 0.04335."""
    specialist = full.specialists[0]
    assert specialist.learning_curve is not None
    curve = dataclasses.replace(specialist.learning_curve, points=(CurvePoint(100, 0.11, 200),))
    inputs = dataclasses.replace(full, specialists=(dataclasses.replace(specialist, learning_curve=curve),))
    accuracy = gather(inputs, TIME).specialists[0].measured[0].accuracy
    assert (accuracy.low, accuracy.high) == pytest.approx((0.83894, 0.92635), abs=2e-4)


def test_dataset_is_counted(full: ReportInputs) -> None:
    assert full.dataset is not None
    data = summarise(full.dataset)
    assert [(split.name, split.n) for split in data.splits] == [
        ("train", 1_800),
        ("tune", 200),
        ("calibration", 400),
        ("test", 450),
        ("ood", 100),
    ]
    assert [(item.name, item.n) for item in data.removed] == [
        ("exact duplicate", 61),
        ("near duplicate", 24),
        ("empty input", 3),
    ]
    assert sum(item.n for item in data.provenance) == 2_850
    assert data.splits[0].n_groups == 900


def test_empty_dataset(full: ReportInputs) -> None:
    assert full.dataset is not None
    empty = dataclasses.replace(
        full.dataset, examples=full.dataset.examples.clear(), removed=full.dataset.removed.clear()
    )
    made = rendered(dataclasses.replace(full, dataset=empty))
    assert faults(made.data) == []


def test_times_in_the_data_change_what_is_not_shown(full: ReportInputs) -> None:
    assert full.dataset is not None
    timed = full.dataset.examples.with_columns(pl.lit(1.7e9).alias("time"))
    later = dataclasses.replace(full, dataset=dataclasses.replace(full.dataset, examples=timed))
    told = "The examples carry no times"
    assert any(told in item for item in rendered(full).data["limits"])
    assert not any(told in item for item in rendered(later).data["limits"])


def test_size_stays_within_reason(case: tuple[str, ReportInputs]) -> None:
    name, inputs = case
    assert len(rendered(inputs).html) < 400_000, name
