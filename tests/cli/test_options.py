"""Options made from settings classes: names, types, defaults in the help, and what arrives."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from metier.cli.options import with_settings


class Sample(BaseModel):
    max_epochs: int = Field(3, description="Epochs at most.")
    rate: float | None = Field(None, description="Rate.")
    quick: bool = Field(False, description="Be quick.")
    kind: Literal["a", "b"] = Field("a", description="Which.")
    names: tuple[str, ...] = Field(("x", "y"), description="Names.")


def run(*arguments: str) -> tuple[dict[str, Any], str]:
    received: dict[str, Any] = {}
    app = typer.Typer()

    @with_settings(Sample)
    def command(task: Annotated[str, typer.Argument()], *, given: dict[str, Any]) -> None:
        received.update(given, task=task)

    app.command()(command)
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "NO_COLOR": "1"})
    return received, result.output


def test_only_what_was_given_arrives_with_its_type() -> None:
    received, _ = run("intents", "--max-epochs", "5", "--rate", "0.5", "--quick", "--kind", "b", "--names", "p, q")
    assert received == {
        "task": "intents", "max_epochs": 5, "rate": 0.5, "quick": True, "kind": "b", "names": ("p", "q"),
    }  # fmt: skip
    assert run("intents")[0] == {"task": "intents"}
    assert run("intents", "--no-quick")[0] == {"task": "intents", "quick": False}


def test_the_help_shows_meaning_choices_and_default() -> None:
    _, text = run("--help")
    for part in ("Epochs at most.", "[default: 3]", "a|b", "[default: x,y]", "[default: none]", "--no-quick"):
        assert part in text


def test_a_wrong_type_is_refused() -> None:
    received, text = run("intents", "--max-epochs", "many")
    assert received == {}
    assert "Error" in text


class Other(BaseModel):
    max_epochs: int = Field(9, description="Epochs of the other.")
    names_agreed: tuple[str, ...] = Field((), description="Agreed.", json_schema_extra={"option": "agree-to"})
    quiet: bool = Field(False, description="Say nothing.")


def run_two(*arguments: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    received: list[dict[str, Any]] = []
    app = typer.Typer()

    @with_settings(Sample, other=Other)
    def command(*, given: dict[str, Any], other: dict[str, Any]) -> None:
        received.extend((given, other))

    app.command()(command)
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "NO_COLOR": "1"})
    return (*(received or [{}, {}]), result.output)  # type: ignore[return-value]


def test_two_classes_keep_their_values_apart() -> None:
    given, other, _ = run_two("--max-epochs", "2", "--other-max-epochs", "7", "--quiet", "--agree-to", "a,b")
    assert given == {"max_epochs": 2}
    assert other == {"max_epochs": 7, "quiet": True, "names_agreed": ("a", "b")}
    assert run_two()[:2] == ({}, {})


def test_the_help_tells_which_is_which() -> None:
    text = run_two("--help")[2]
    for part in ("--other-max-epochs", "Epochs of the other.", "--agree-to"):
        assert part in text
