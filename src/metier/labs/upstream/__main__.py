"""python -m metier.labs.upstream: the fake upstream as a process."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from metier.labs.upstream import Behaviour, FakeUpstream
from metier.labs.upstream.behaviour import changed
from metier.labs.upstream.texts import from_table


def main(arguments: list[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    behaviour = changed(Behaviour(), orjson.loads(given.behaviour))
    if given.answers is not None:
        behaviour = changed(behaviour, {"answer": _table(given.answers)})
    models = {name: changed(behaviour, values) for name, values in orjson.loads(given.models).items()}
    upstream = FakeUpstream(
        behaviour, models=models, seed=given.seed, host=given.host, port=given.port, max_calls=given.max_calls
    )
    run = asyncio.run
    if not given.no_uvloop:
        import uvloop

        run = uvloop.run
    run(_serve(upstream))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m metier.labs.upstream", description="A fake OpenAI-compatible server; prints its address."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--answers", type=Path, help='JSON file {"user message": "answer"}; "*" for all others')
    parser.add_argument("--behaviour", default="{}", help='JSON, for instance {"latency_s": 0.2, "fault": "error"}')
    parser.add_argument("--models", default="{}", help='JSON, for instance {"slow": {"latency_s": 2}}')
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-calls", type=int, default=0, help="requests to remember")
    parser.add_argument("--no-uvloop", action="store_true", help="run on asyncio's own event loop")
    return parser


def _table(path: Path) -> Callable[[Mapping[str, Any]], str]:
    return from_table(orjson.loads(path.read_bytes()))


async def _serve(upstream: FakeUpstream) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with upstream:
        sys.stdout.write(f"{upstream.url}\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    main()
