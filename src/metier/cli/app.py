"""The command line: the list of commands, and what a failure looks like."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer
from rich.markup import escape

from metier.cli.answering import predict_command
from metier.cli.benchmarking import BENCHMARKS
from metier.cli.demo import demo_command
from metier.cli.keys import KEY_COMMANDS
from metier.cli.promoting import promote_command
from metier.cli.serving import serve_command
from metier.cli.status import status_command
from metier.cli.teaching import teach_command
from metier.cli.terminal import err, out
from metier.cli.traffic import audit_command, import_command, init_command, quarantine_command
from metier.cli.verbs import (
    calibrate_command,
    curate_command,
    evaluate_command,
    price_command,
    report_command,
    run_command,
    train_command,
)
from metier.cli.walking import ls_command, show_command
from metier.errors import MetierError
from metier.version import __version__

COMMANDS: dict[str, Callable[..., None]] = {
    "init": init_command,
    "import": import_command,
    "quarantine": quarantine_command,
    "audit": audit_command,
    "curate": curate_command,
    "teach": teach_command,
    "train": train_command,
    "evaluate": evaluate_command,
    "calibrate": calibrate_command,
    "price": price_command,
    "report": report_command,
    "run": run_command,
    "predict": predict_command,
    "promote": promote_command,
    "serve": serve_command,
    "status": status_command,
    "ls": ls_command,
    "show": show_command,
    "demo": demo_command,
}

# Commands of several words: the first word, what it is about, and the commands by their second word.
GROUPS: dict[str, tuple[str, dict[str, Callable[..., None]]]] = {
    "benchmark": ("Specialists on your own copy of a public benchmark.", BENCHMARKS),
    "key": ("Keys for the gateway: make, list, revoke.", KEY_COMMANDS),
}

EXIT_INTERRUPTED = 130  # the shell's convention: 128 + SIGINT


def build() -> typer.Typer:
    """The typer application with every command of COMMANDS and GROUPS."""
    app = typer.Typer(
        name="metier",
        help="Find the work your frontier LLM is overpaid for, and own the specialist that does it.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback()(_options)
    for name, command in COMMANDS.items():
        app.command(name)(command)
    for group, (help_text, commands) in GROUPS.items():
        inner = typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode="rich")
        for name, command in commands.items():
            inner.command(name)(command)
        app.add_typer(inner, name=group)
    return app


def main() -> None:
    """Run the command line; every foreseen failure is one message and exit code 1."""
    try:
        build()()
    except SystemExit as stop:
        # typer turns Ctrl-C into this exit code without a word.
        if stop.code == EXIT_INTERRUPTED:
            err.print("\nStopped. What was finished is stored; the same command goes on from there.")
        raise
    except BrokenPipeError:
        # Whoever read our output has gone (head, less); Python must not try to flush to it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if _disk_full(error):
            message = "the disk is full. Nothing stored was harmed; free some space and run the same command again."
        elif isinstance(error, MetierError):
            message = str(error)
        else:
            raise
        err.print(f"[bold red]metier:[/] {escape(message)}", highlight=False, soft_wrap=True)
        sys.exit(1)


def _disk_full(error: BaseException) -> bool:
    """Whether a full disk is behind an error; libraries that write files wrap it in exceptions of their own."""
    seen: BaseException | None = error
    while seen is not None:
        full = isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or "No space left on device" in str(seen) or "disk is full" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _options(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        out.print(f"metier {__version__}", highlight=False)
        raise typer.Exit
