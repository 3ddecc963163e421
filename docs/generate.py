"""Write what the docs derive from the code: a settings table per verb, and the command reference. Run by `make docs`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import typer
from pydantic import BaseModel
from typer.core import TyperArgument, TyperGroup

from metier.cli.app import build
from metier.cli.options import shown
from metier.project import SECTIONS, ProjectSettings

DOCS = Path(__file__).parent
PAGES = {name: f"{name}.md" for name in SECTIONS} | {"generalist": "generalists.md", "project": "project.md"}
CLASSES: dict[str, type[BaseModel]] = {**SECTIONS, "project": ProjectSettings}
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
    parts = ["# Commands", "", "Made from the code by `make docs`. Options not given come from `metier.toml`, else the default.", ""]
    for name, command in group.commands.items():
        parts += [f"## metier {name}", "", (command.help or "").strip(), ""]
        rows = [_row(param) for param in command.params if param.name != "help"]
        if rows:
            parts += ["| argument or option | meaning |", "|---|---|", *rows, ""]
    return "\n".join(parts)


def generated() -> dict[Path, str]:
    """Every page that is made or part made from the code, with the text it should have."""
    pages = {DOCS / "cli.md": command_reference()}
    for page in PAGES.values():
        path = DOCS / page
        pages[path] = page_with_settings(path.read_text(encoding="utf-8"))
    return pages


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
