"""The page about views lists every feature as the code describes it."""

from __future__ import annotations

from pathlib import Path

from metier.views.base import Feature
from metier.views.telelogs.features import FEATURES
from metier.views.telelogs.measures import MEASURES

PAGE = Path(__file__).parents[2] / "docs" / "views.md"
SUFFIXES = ("all", "low", "drop")


def table(features: tuple[Feature, ...]) -> str:
    rows = [f"| `{feature.name}` | {feature.unit} | {feature.description} |" for feature in features]
    return "\n".join(["| name | unit | what |", "|---|---|---|", *rows])


def test_the_page_lists_the_features() -> None:
    means = {f"{measure.name}_{suffix}" for measure in MEASURES for suffix in SUFFIXES}
    others = tuple(feature for feature in FEATURES if feature.name not in means)
    page = PAGE.read_text("utf-8")
    assert table(MEASURES) in page
    assert table(others) in page
    assert f"{len(FEATURES)} features" in page
    lacking = sorted(means - {feature.name for feature in FEATURES})
    assert all(f"`{name}`" in page for name in lacking)
