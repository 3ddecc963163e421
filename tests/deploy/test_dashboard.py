"""The dashboard and the rules ask for metrics that exist, and show those that matter."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from metier.gateway.telemetry.catalogue import BY_NAME, METRICS

DEPLOY = Path(__file__).parents[2] / "deploy"
_METRIC = re.compile(r"\b(?:metier|process)_[a-z0-9_]+")
_SELECTED = re.compile(r"\b(metier_[a-z0-9_]+)\{([^}]*)\}")
_LABEL = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\b(?:by|on|without)\s*\(([^)]*)\)")
# What Prometheus itself adds to a series.
_TARGET_LABELS = {"instance", "job", "le"}
# The first screen of an operator: without one of these it would miss what the product promises.
_IMPORTANT = {metric.name for metric in METRICS}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((DEPLOY / "grafana" / "metier.json").read_text())
    return content


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    content = yaml.safe_load((DEPLOY / "prometheus" / "metier-rules.yml").read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


def expressions(dashboard: dict[str, Any]) -> list[str]:
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    annotations = [item["expr"] for item in dashboard["annotations"]["list"]]
    variables = [item["definition"] for item in dashboard["templating"]["list"] if item["type"] == "query"]
    return [*queries, *annotations, *variables]


def sample_names() -> set[str]:
    """Every name that Prometheus stores for our metrics."""
    found = {"process_resident_memory_bytes"}
    for metric in METRICS:
        ends = ("_bucket", "_count", "_sum") if metric.kind == "histogram" else ("",)
        found |= {metric.name + end for end in ends}
    return found


def test_every_metric_asked_for_exists(dashboard: dict[str, Any], rules: list[dict[str, Any]]) -> None:
    asked = {name for text in expressions(dashboard) for name in _METRIC.findall(text)}
    asked |= {name for rule in rules for name in _METRIC.findall(rule["expr"])}
    assert asked - sample_names() == set()


def test_every_metric_is_shown(dashboard: dict[str, Any]) -> None:
    text = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    assert {name for name in _IMPORTANT if name not in text} == set()


def test_every_label_asked_for_exists(dashboard: dict[str, Any], rules: list[dict[str, Any]]) -> None:
    for text in [*expressions(dashboard), *(rule["expr"] for rule in rules)]:
        for name, selected in _SELECTED.findall(text):
            metric = BY_NAME[re.sub(r"_(bucket|count|sum)$", "", name)]
            assert set(_LABEL.findall(selected)) <= {*metric.labels, *_TARGET_LABELS}, text
        known = {label for name in _METRIC.findall(text) for label in _labels(name)}
        for group in _GROUPED.findall(text):
            assert {label.strip() for label in group.split(",")} <= known | _TARGET_LABELS, text


def _labels(name: str) -> tuple[str, ...]:
    metric = BY_NAME.get(re.sub(r"_(bucket|count|sum)$", "", name))
    return metric.labels if metric else ()


def test_counters_are_never_shown_raw(dashboard: dict[str, Any]) -> None:
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            for name in re.findall(r"metier_[a-z0-9_]+(?:_total|_bucket)\b", target["expr"]):
                assert re.search(rf"(?:rate|increase)\({name}\{{", target["expr"]), target["expr"]


def test_the_layout_is_sound(dashboard: dict[str, Any]) -> None:
    assert dashboard["schemaVersion"] >= 39
    assert dashboard["uid"]
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for first, second in combinations(panels, 2):
        assert not _overlap(first["gridPos"], second["gridPos"]), (first["title"], second["title"])


def _overlap(a: dict[str, int], b: dict[str, int]) -> bool:
    beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
    return not (beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"])


def test_every_variable_that_is_used_exists(dashboard: dict[str, Any]) -> None:
    known = {item["name"] for item in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(dashboard["panels"])))
    assert used == known
    assert (
        next(item for item in dashboard["templating"]["list"] if item["name"] == "datasource")["type"] == "datasource"
    )


def test_expressions_are_balanced(dashboard: dict[str, Any], rules: list[dict[str, Any]]) -> None:
    for text in [*expressions(dashboard), *(rule["expr"] for rule in rules)]:
        opened = []
        for character in re.sub(r'"[^"]*"', "", text):
            if character in "([{":
                opened.append(character)
            elif character in ")]}":
                assert opened, text
                assert opened.pop() + character in ("()", "[]", "{}"), text
        assert not opened, text


def test_every_alert_says_what_happened(rules: list[dict[str, Any]]) -> None:
    alerts = [rule for rule in rules if "alert" in rule]
    assert len(alerts) >= 5
    for rule in alerts:
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("warning", "critical")
