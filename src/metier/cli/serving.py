"""`metier serve`: the gateway in the foreground, and what it says of itself when it starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from rich.markup import escape

from metier.cli.options import with_settings
from metier.cli.terminal import err
from metier.gateway.settings import RouteSettings, ServeSettings
from metier.project import Project, load_project
from metier.serve import Setup, Started, serve


@with_settings(ServeSettings)
def serve_command(*, given: dict[str, Any]) -> None:
    """Answer OpenAI's API on one address: specialists keep what their certificates let them keep, the rest is passed on."""
    folder = Path.cwd()
    serve(lambda: setup_of(load_project(folder), given), announce=_announce)


def setup_of(project: Project, given: dict[str, Any]) -> Setup:
    """The gateway's part of a project's settings; `given` holds options of the command line."""
    return Setup(
        root=project.root,
        store=project.store_folder,
        traffic_url=project.traffic_url,
        serve=cast(ServeSettings, project.settings("serve", **given)),
        route=cast(RouteSettings, project.settings("route")),
        routes={
            task: cast(RouteSettings, project.settings("route", task))
            for task, sections in project.tasks.items()
            if "route" in sections
        },
        upstreams=project.upstreams,
        models=project.models,
    )


def _announce(started: Started) -> None:
    for line in start_lines(started):
        err.print(line, highlight=False, soft_wrap=True)


def start_lines(started: Started) -> Iterator[str]:
    """What a person must know of a gateway that has just started, as rich markup."""
    setup, report = started.setup, started.report
    host = f"[{started.host}]" if ":" in started.host else started.host
    address = f"http://{host}:{started.port}"
    yield f"[bold]metier gateway[/] on {escape(address)}/v1 ({_counted(setup.serve.workers, 'worker')})"
    for name, upstream in setup.upstreams.items():
        models = f" for {', '.join(upstream.models)}" if upstream.models else ""
        lacks = report.missing_keys.get(name)
        yield f"  upstream {escape(f'{name}: {upstream.base_url}{models}')}" + (
            f" [yellow](no key: set {escape(lacks)})[/]" if lacks else ""
        )
    for alias, targets in setup.models.items():
        yield f"  model {escape(alias)}: {escape(', '.join(targets))}"
    for task in report.tasks:
        champion = f"champion {task.student} {task.champion}" if task.champion else "no champion"
        state = (
            " [yellow](revoked)[/]" if task.is_revoked else " [yellow](no certificate)[/]" * (not task.has_certificate)
        )
        yield f"  task {escape(task.task)}: {task.mode}, {escape(champion)}{state if task.champion else ''}"
        if task.fault:
            yield f"    [yellow]{escape(task.fault)}[/]"
    if not report.tasks:
        yield "  tasks: none known yet; every call is passed on and recorded (then: metier audit)"
    for name in sorted(set(setup.routes) - {task.task for task in report.tasks}):
        yield f"  [yellow]{escape(f'[tasks.{name}.route]')} is about no task that the audit knows[/]"
    if report.has_keys:
        yield "  keys: required (metier key list)"
    else:
        yield "  no keys: only this machine may connect (metier key create NAME)"
    yield f"  traffic: {escape(_without_password(setup.traffic_url))}"
    yield f"  metrics: {escape(address)}/metrics"


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url

    return make_url(url).render_as_string(hide_password=True)
