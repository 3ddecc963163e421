"""Command-line options made from a verb's settings class, so that name, default and help are written once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, get_args

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo


def with_settings(*classes: type[BaseModel]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option per field of `classes`; what the user gave arrives as the keyword `given` (a dict)."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "given"]
        fields = {name: field for cls in classes for name, field in cls.model_fields.items()}

        @functools.wraps(command)
        def wrapper(**arguments: Any) -> None:
            given = {name: arguments.pop(name) for name in fields}
            command(
                **arguments,
                given={name: _parse(fields[name], value) for name, value in given.items() if value is not None},
            )

        options = [_option(name, field) for name, field in fields.items()]
        setattr(wrapper, "__signature__", inspect.Signature([*own, *options]))  # noqa: B010 (mypy knows no such attribute)
        wrapper.__annotations__ = {p.name: p.annotation for p in [*own, *options]}
        delattr(wrapper, "__wrapped__")
        return wrapper

    return decorate


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    kind = _scalar_type(field)
    flag = f"--{name.replace('_', '-')}"
    names = f"{flag}/--no-{flag[2:]}" if kind is bool else flag
    default = typer.Option(
        None,
        names,
        help=f"{field.description} \\[default: {shown(field)}]",
        show_default=False,
        metavar=_metavar(field, kind),
    )
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind | None)


def _scalar_type(field: FieldInfo) -> type:
    """bool, int and float stay; everything else arrives as text and is checked by the settings class."""
    kinds = {field.annotation, *get_args(field.annotation)}
    return next((kind for kind in (bool, int, float) if kind in kinds and not _is_tuple(field)), str)


def _is_tuple(field: FieldInfo) -> bool:
    return isinstance(field.get_default(call_default_factory=True), tuple)


def _metavar(field: FieldInfo, kind: type) -> str | None:
    if kind is bool:
        return None
    if _is_tuple(field):
        return "A,B,…"
    choices = [arg for arg in get_args(field.annotation) if isinstance(arg, str)]
    return "|".join(choices) or {int: "N", float: "X"}.get(kind, "TEXT")


def shown(field: FieldInfo) -> str:
    """A setting's default as help texts and docs show it."""
    default = field.get_default(call_default_factory=True)
    if isinstance(default, tuple):
        return ",".join(str(item) for item in default) or "none"
    return "none" if default in (None, "") else str(default).lower() if isinstance(default, bool) else str(default)


def _parse(field: FieldInfo, value: Any) -> Any:
    if _is_tuple(field) and isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value
