"""Write what the docs derive from the code: a settings table per verb, and the command reference. Run by `make docs`."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import typer
from pydantic import BaseModel
from typer.core import TyperArgument, TyperCommand, TyperGroup

from metier.artefacts import (
    benchmarks,
    datasets,
    economics,
    estimates,
    evaluations,
    policies,
    reports,
    specialists,
    tasks,
    traffic,
)
from metier.artefacts.kinds import KINDS
from metier.artefacts.manifests import Manifest
from metier.cli.app import build
from metier.cli.options import shown
from metier.gateway.settings import UpstreamSettings
from metier.project import SECTIONS, ProjectSettings

DOCS = Path(__file__).parent
PAGES = {name: f"{name}.md" for name in SECTIONS} | {
    "benchmark": "benchmark-telelogs.md",
    "generalist": "generalists.md",
    "project": "project.md",
    "upstreams": "upstreams.md",
}
CLASSES: dict[str, type[BaseModel]] = {**SECTIONS, "project": ProjectSettings, "upstreams": UpstreamSettings}
_ARTEFACT_MODULES = (
    benchmarks,
    datasets,
    economics,
    estimates,
    evaluations,
    policies,
    reports,
    specialists,
    tasks,
    traffic,
)
_BLOCK = re.compile(r"<!-- settings: (?P<name>\w+) -->.*?<!-- /settings -->", re.DOTALL)


def settings_table(name: str) -> str:
    """The Markdown table of one settings class."""
    rows = [
        f"| `{key}` | `{shown(field)}` | {' '.join((field.description or '').split()).replace('|', chr(92) + '|')} |"
        for key, field in CLASSES[name].model_fields.items()
    ]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


def page_with_settings(text: str) -> str:
    """A docs page with its settings tables brought up to date."""
    return _BLOCK.sub(
        lambda match: f"<!-- settings: {match['name']} -->\n{settings_table(match['name'])}\n<!-- /settings -->", text
    )


def command_reference() -> str:
    """docs/cli.md: every command with its arguments and options."""
    group = typer.main.get_command(build())
    assert isinstance(group, TyperGroup)
    parts = [
        "# Commands",
        "",
        "Made from the code by `make docs`. Options not given come from `metier.toml`, else the default.",
        "",
    ]
    for name, command in _commands(group):
        parts += [f"## metier {name}", "", (command.help or "").strip(), ""]
        rows = [_row(param) for param in command.params if param.name != "help"]
        if rows:
            parts += ["| argument or option | meaning |", "|---|---|", *rows, ""]
    return "\n".join(parts)


def artefact_pages() -> str:
    """docs/artefacts.md: every kind of artefact with its fields, and the classes that its fields are made of."""
    parts = [
        "# Artefacts",
        "",
        "Made from the code by `make docs`. Every kind is a frozen dataclass; on disk its scalars are `payload.json`, its",
        'tables `<field>.parquet`, its files the folder `folder/`. NaN and infinity are the strings "NaN" and "Infinity".',
        "",
    ]
    parts += _class_lines(Manifest, "manifest.json")
    for kind, cls in KINDS.items():
        parts += _class_lines(cls, f"kind `{kind}`")
    inner = [cls for module in _ARTEFACT_MODULES for cls in vars(module).values() if _is_inner(cls, module)]
    for cls in sorted(inner, key=lambda cls: cls.__name__):
        parts += _class_lines(cls, "")
    return "\n".join(parts)


def _is_inner(cls: object, module: ModuleType) -> bool:
    own = isinstance(cls, type) and dataclasses.is_dataclass(cls) and cls.__module__ == module.__name__
    return own and cls not in (*KINDS.values(), Manifest)


def _class_lines(cls: type, note: str) -> list[str]:
    doc = inspect.cleandoc(cls.__doc__ or "")
    rows = [
        f"| `{field.name}` | `{str(field.type).replace('|', chr(92) + '|')}` |" for field in dataclasses.fields(cls)
    ]
    title = f"## {cls.__name__}" + (f" ({note})" if note else "")
    return [title, "", doc, "", "| field | type |", "|---|---|", *rows, ""]


def generated() -> dict[Path, str]:
    """Every page that is made or part made from the code, with the text it should have."""
    pages = {DOCS / "cli.md": command_reference(), DOCS / "artefacts.md": artefact_pages()}
    for page in PAGES.values():
        path = DOCS / page
        pages[path] = page_with_settings(path.read_text(encoding="utf-8"))
    return pages


def _commands(group: TyperGroup, before: str = "") -> Iterator[tuple[str, TyperCommand]]:
    """Every command with its full name; those of a group one by one."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _row(param: object) -> str:
    if isinstance(param, TyperArgument):
        return f"| `{param.metavar or str(param.name).upper()}` | {_cell(param.help)} |"
    names = "/".join([*param.opts, *param.secondary_opts])  # type: ignore[attr-defined]
    return f"| `{names}` | {_cell(param.help)} |"  # type: ignore[attr-defined]


def _cell(text: str | None) -> str:
    return " ".join((text or "").replace("\\[", "[").split()).replace("|", "\\|")


def main() -> None:
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {path.name}\n")


if __name__ == "__main__":
    main()
