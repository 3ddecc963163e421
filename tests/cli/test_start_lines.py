"""What `metier serve` says when it has started."""

from __future__ import annotations

from pathlib import Path

from metier.cli.serving import start_lines
from metier.gateway.process.messages import Report, TaskReport
from metier.gateway.process.setup import Setup
from metier.gateway.settings import RouteSettings
from metier.serve import Started


def test_a_section_about_no_known_task_is_named(tmp_path: Path) -> None:
    task = TaskReport(task="label", mode="route")
    setup = Setup(
        root=tmp_path,
        store=tmp_path / ".metier",
        traffic_url="sqlite:///traffic.db",
        routes={"label": RouteSettings(mode="route"), "labell": RouteSettings(mode="route")},
    )
    lines = "\n".join(start_lines(Started(setup=setup, report=Report(tasks=(task,)), host="127.0.0.1", port=1)))
    assert "[tasks.labell.route]" in lines.replace("\\", "")
    assert "[tasks.label.route]" not in lines.replace("\\", "")
