"""Command-line options made from a verb's settings class, so that name, default and help are written once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, get_args

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo


def with_settings(
    *classes: type[BaseModel], **named: type[BaseModel]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option per field of the classes; what the user gave for `classes` arrives as the keyword `given`
    (a dict), and for each class of `named` as the keyword of that name.

    Where a field of a named class is called as one before it, its option has the class's name in front: --lm-epochs.
    """
    fields, places = _placed({"given": classes, **{name: (cls,) for name, cls in named.items()}})

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name not in places]

        @functools.wraps(command)
        def wrapper(**arguments: Any) -> None:
            received = {option: arguments.pop(option) for option in fields}
            said = {
                keyword: {
                    name: _parse(fields[option], received[option])
                    for name, option in options.items()
                    if received[option] is not None
                }
                for keyword, options in places.items()
            }
            command(**arguments, **said)

        options = [_option(option, field) for option, field in fields.items()]
        setattr(wrapper, "__signature__", inspect.Signature([*own, *options]))  # noqa: B010 (mypy knows no such attribute)
        wrapper.__annotations__ = {p.name: p.annotation for p in [*own, *options]}
        delattr(wrapper, "__wrapped__")
        return wrapper

    return decorate


def _placed(
    groups: dict[str, tuple[type[BaseModel], ...]],
) -> tuple[dict[str, FieldInfo], dict[str, dict[str, str]]]:
    """The options with their fields, and for each keyword of the command the option of every field."""
    fields: dict[str, FieldInfo] = {}
    places: dict[str, dict[str, str]] = {}
    for keyword, classes in groups.items():
        places[keyword] = {}
        for name, field in ((name, field) for cls in classes for name, field in cls.model_fields.items()):
            option = name if name not in fields else f"{keyword}_{name}"
            fields[option] = field
            places[keyword][name] = option
    return fields, places


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    kind = _scalar_type(field)
    extra = field.json_schema_extra
    stated = extra.get("option") if isinstance(extra, dict) else None
    flag = f"--{str(stated or name).replace('_', '-')}"
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
