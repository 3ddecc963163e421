"""metier.toml: the project's settings, typed; every default is written once, in the settings class of its verb."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from metier.audit import AuditSettings
from metier.benchmark import BenchmarkSettings
from metier.calibrate import CalibrateSettings
from metier.curate import CurateSettings
from metier.errors import BadSettings, NotFound
from metier.evaluate import EvaluateSettings
from metier.gateway.settings import RouteSettings, ServeSettings, UpstreamSettings
from metier.generalists.settings import GeneralistSettings
from metier.price import PriceSettings
from metier.students.lm.settings import LmSettings
from metier.teach import TeachSettings
from metier.train import TrainSettings

FILE_NAME = "metier.toml"

SECTIONS: dict[str, type[BaseModel]] = {
    "generalist": GeneralistSettings,
    "audit": AuditSettings,
    "curate": CurateSettings,
    "teach": TeachSettings,
    "train": TrainSettings,
    "lm": LmSettings,
    "evaluate": EvaluateSettings,
    "benchmark": BenchmarkSettings,
    "calibrate": CalibrateSettings,
    "price": PriceSettings,
    "serve": ServeSettings,
    "route": RouteSettings,
}
# Sections that describe the process as a whole; a task cannot have its own.
_PROCESS_SECTIONS = frozenset({"serve"})


class ProjectSettings(BaseModel):
    """What belongs to no single verb."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str = Field(".metier", description="Folder of traffic and artefacts, relative to metier.toml.")
    traffic: str = Field(
        "", description="Database URL of the traffic; empty means SQLite in the store's folder. No passwords here."
    )
    seed: int = Field(0, ge=0, description="Seed of everything random.")


class Project(BaseModel):
    """All settings of a project; `root` is the folder that holds metier.toml."""

    model_config = ConfigDict(frozen=True)

    root: Path
    project: ProjectSettings = ProjectSettings()
    sections: dict[str, dict[str, Any]] = {}
    tasks: dict[str, dict[str, dict[str, Any]]] = {}
    upstreams: dict[str, UpstreamSettings] = {"openai": UpstreamSettings()}
    models: dict[str, tuple[str, ...]] = {}

    @property
    def store_folder(self) -> Path:
        return self.root / self.project.store

    @property
    def traffic_url(self) -> str:
        return self.project.traffic or f"sqlite:///{self.store_folder / 'traffic.db'}"

    def settings(self, verb: str, task: str | None = None, **given: Any) -> BaseModel:
        """The settings of a verb: its defaults, then [verb], then [tasks.NAME.verb], then what was `given` now."""
        values = {**self.sections.get(verb, {}), **self.tasks.get(task or "", {}).get(verb, {}), **given}
        return _validated(verb, values)


def load_project(folder: Path) -> Project:
    """The project of `folder` or of the nearest parent that has a metier.toml; defaults where none has."""
    path = _find(folder)
    if path is None:
        return Project(root=folder.resolve())
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path}: not valid TOML: {error}") from error
    return parse_project(content, path)


def parse_project(content: dict[str, Any], path: Path) -> Project:
    """Check every section of a parsed metier.toml. Raises BadSettings naming the file, the key and the value."""
    known = {"project", "tasks", "upstreams", "models", *SECTIONS}
    if unknown := set(content) - known:
        raise BadSettings(f"{path}: unknown section {sorted(unknown)}; known are {sorted(known)}")
    tasks = content.get("tasks", {})
    sections = {name: content[name] for name in SECTIONS if name in content}
    _require_tables(path, {"tasks": tasks})
    _require_tables(path, {**sections, **{f"tasks.{name}": table for name, table in tasks.items()}})
    for name, values in sections.items():
        _validated(name, values, where=f"{path} [{name}]")
    for task, verbs in tasks.items():
        if unknown := set(verbs) - (set(SECTIONS) - _PROCESS_SECTIONS):
            raise BadSettings(f"{path} [tasks.{task}]: unknown section {sorted(unknown)}")
        for verb, values in verbs.items():
            _validated(verb, {**sections.get(verb, {}), **values}, where=f"{path} [tasks.{task}.{verb}]")
    try:
        general = ProjectSettings(**content.get("project", {}))
    except ValidationError as error:
        raise BadSettings(_explain(f"{path} [project]", error)) from error
    upstreams = _upstreams(content.get("upstreams", {}), path)
    return Project(
        root=path.parent.resolve(),
        project=general,
        sections=sections,
        tasks=tasks,
        upstreams=upstreams,
        models=_aliases(content.get("models", {}), upstreams, path),
    )


def _upstreams(tables: Any, path: Path) -> dict[str, UpstreamSettings]:
    """[upstreams.NAME], in the order in which they are written; OpenAI's own where there is none."""
    _require_tables(path, {"upstreams": tables})
    _require_tables(path, {f"upstreams.{name}": table for name, table in tables.items()})
    found = {}
    for name, values in tables.items():
        if "/" in name:
            raise BadSettings(f"{path} [upstreams.{name}]: a name may not hold a slash; aliases write upstream/model")
        try:
            found[name] = UpstreamSettings(**values)
        except ValidationError as error:
            raise BadSettings(_explain(f"{path} [upstreams.{name}]", error)) from error
    return found or {"openai": UpstreamSettings()}


def _aliases(table: Any, upstreams: dict[str, UpstreamSettings], path: Path) -> dict[str, tuple[str, ...]]:
    """[models]: alias -> "upstream/model" strings, the first choice first."""
    _require_tables(path, {"models": table})
    found = {}
    for alias, value in table.items():
        targets = [value] if isinstance(value, str) else value
        if not isinstance(targets, list) or not targets or not all(isinstance(target, str) for target in targets):
            raise BadSettings(
                f'{path} [models] {alias}: expected "upstream/model" or a list of these, received {value!r}'
            )
        for target in targets:
            upstream, slash, model = target.partition("/")
            if not slash or not model or upstream not in upstreams:
                raise BadSettings(
                    f"{path} [models] {alias}: {target!r} names no upstream and model; upstreams are {sorted(upstreams)}"
                )
        found[alias] = tuple(targets)
    return found


def template() -> str:
    """A commented metier.toml: every setting with its meaning and its default."""
    parts = [
        "# metier.toml: every line that starts with '# ' and a name is a default; take the '# ' away to change it.",
        "# Settings of one task go into [tasks.NAME.verb], for instance [tasks.intents.evaluate] margin = 0.01.",
        "# Keys never stand in this file: they come from the environment (see api_key_env).",
        "",
        _section("project", ProjectSettings),
        *(_section(name, cls) for name, cls in SECTIONS.items()),
        "# Any number of upstreams; the first whose models fit is used, and the next where it fails.",
        _section("upstreams.openai", UpstreamSettings),
        "# Names of your own for models, each with its upstreams in the order in which they are tried.",
        "[models]",
        '# support = ["openai/gpt-4.1", "backup/gpt-4.1-mini"]',
        "",
    ]
    return "\n".join(parts)


def write_template(folder: Path) -> Path:
    """Write `template()` to folder/metier.toml. Raises BadSettings where one is there already."""
    path = folder / FILE_NAME
    if not folder.is_dir():
        raise NotFound(f"folder {folder} does not exist")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError:
        raise BadSettings(f"{path} exists already; it was left as it is.") from None
    return path


def _find(folder: Path) -> Path | None:
    folder = folder.resolve()
    return next((path for place in (folder, *folder.parents) if (path := place / FILE_NAME).is_file()), None)


def _require_tables(path: Path, tables: dict[str, Any]) -> None:
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise BadSettings(f"{path}: [{name}] must be a table, received {table!r}")


def _validated(verb: str, values: dict[str, Any], where: str | None = None) -> BaseModel:
    try:
        return SECTIONS[verb](**values)
    except ValidationError as error:
        raise BadSettings(_explain(where or f"[{verb}]", error)) from error


def _explain(where: str, error: ValidationError) -> str:
    lines = []
    for fault in error.errors(include_url=False):
        key = ".".join(str(part) for part in fault["loc"])
        received = "" if fault["type"] == "extra_forbidden" else f" (received {fault['input']!r})"
        reason = "no such setting" if fault["type"] == "extra_forbidden" else fault["msg"]
        lines.append(f"{where} {key}: {reason}{received}")
    return "\n".join(lines)


def _section(name: str, cls: type[BaseModel]) -> str:
    lines = [f"[{name}]"]
    for key, field in cls.model_fields.items():
        lines += [f"## {field.description}", f"# {key} = {_toml_value(field)}", ""]
    return "\n".join(lines)


def _toml_value(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    match default:
        case None:
            return '""  # not set'
        case bool():
            return str(default).lower()
        case str():
            escaped = default.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            return f'"{escaped}"'
        case tuple() | list():
            return "[" + ", ".join(f'"{item}"' if isinstance(item, str) else str(item) for item in default) + "]"
        case _:
            return str(default)
