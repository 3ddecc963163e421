"""`metier serve` with a language model behind it, asked by OpenAI's own client."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.gateway.conftest import ANSWER
from tests.gateway.faults.serving import PATIENCE_S, Gateway, until
from tests.gateway.routing.conftest import TASK, Shop, request
from tests.gateway.writing.conftest import RECEIPT, SCHEMA, TOOL, json_schema, record_of
from typer.testing import CliRunner

from metier.cli.app import build
from metier.cli.terminal import out
from metier.labs.upstream import RunningUpstream
from metier.store.audits import read_audits
from metier.store.database import open_database


@pytest.fixture(scope="module")
def gateway(receipts: Shop, frontier: RunningUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("receipts")
    shutil.copytree(receipts.store.root, folder / ".metier")
    gateway = Gateway(folder, frontier.url)
    # The frontier model disagrees with everything: three audits would revoke the certificate.
    patient = f"[tasks.{TASK}.route]\naudit_allowance = 0.94\nanswer_timeout_s = 300"
    gateway.configure(serve=["answers_at_once = 2", "drain_s = 0.0"], audit_share=1.0, more=patient)
    gateway.make_key("shop")
    gateway.start()
    # The model is loaded when the gateway has begun to answer.
    until(lambda: gateway.call(request(RECEIPT)).route == "kept", lambda: gateway.said[-2000:])
    yield gateway
    gateway.end()


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    host, port = gateway.address
    url = f"http://{host}:{port}/v1"
    with openai.OpenAI(base_url=url, api_key=gateway.key, max_retries=0, timeout=PATIENCE_S) as client:
        yield client


def asked(**more: Any) -> Any:
    return request(RECEIPT, **more)


def test_a_record_whole_and_in_pieces(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(**asked())
    assert raw.headers["x-metier-route"] == "kept"
    whole = raw.parse()
    content = whole.choices[0].message.content or ""
    assert set(record_of(content)) >= set(SCHEMA["required"])
    assert whole.usage is not None
    chunks = list(client.chat.completions.create(**asked(stream=True), stream_options={"include_usage": True}))
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == content
    assert sum(bool(piece) for piece in pieces) > 1
    assert chunks[-1].usage == whole.usage
    assert whole.usage.completion_tokens > 5


def test_a_structured_answer(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(**asked(**json_schema(SCHEMA)))
    assert raw.headers["x-metier-route"] == "kept"
    record = json.loads(raw.parse().choices[0].message.content or "")
    assert record["shop"] in ("north", "south")


def test_a_tool_call_whole_and_in_pieces(client: openai.OpenAI) -> None:
    call = client.chat.completions.create(**asked(tools=[TOOL])).choices[0].message.tool_calls[0]  # type: ignore[index]
    with client.chat.completions.stream(**asked(tools=[TOOL])) as events:
        found = events.get_final_completion().choices[0]
    assert found.finish_reason == "tool_calls"
    streamed = found.message.tool_calls[0]
    assert (streamed.function.name, streamed.function.arguments) == (call.function.name, call.function.arguments)
    assert set(json.loads(call.function.arguments)) >= set(SCHEMA["required"])


def test_an_audit_compares_records_with_the_frontiers_answer(gateway: Gateway, receipts: Shop) -> None:
    outcome = gateway.call(request(RECEIPT))
    trace = gateway.wait_for([outcome.trace_id])[outcome.trace_id or ""]
    assert trace["response"] == outcome.text
    assert trace["evidence"]["specialist_tokens"][1] > 5
    database = open_database(f"sqlite:///{gateway.location}")

    def audits() -> list[Any]:
        with database.reading() as connection:
            return [row for _, row in read_audits(connection, receipts.policy_id, after=0)]

    # "an answer of the frontier" is no record, so it is another answer.
    until(lambda: len(audits()) > 0, "no audit was written")
    assert all(row.is_wrong for row in audits())
    database.engine.dispose()
    assert ANSWER not in outcome.text


def test_promote_and_status_speak_of_it(gateway: Gateway, receipts: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(gateway.folder)
    promoted = CliRunner().invoke(build(), ["promote", TASK, receipts.policy_id])
    assert promoted.exit_code == 0, promoted.output
    assert f"champion is lm policy {receipts.policy_id}" in promoted.output
    assert "once they have loaded it" in promoted.output
    gateway.wait_for([gateway.call(request(RECEIPT)).trace_id])
    monkeypatch.setattr(out, "_width", 200)
    status = CliRunner().invoke(build(), ["status"])
    assert status.exit_code == 0, status.output
    (line,) = [line for line in status.output.splitlines() if receipts.policy_id in line]
    assert "(100%)" in line


def test_many_at_once_and_a_stop_in_the_middle(gateway: Gateway) -> None:
    with ThreadPoolExecutor(8) as pool:
        first = [pool.submit(gateway.call, request(f"{RECEIPT} {n}")) for n in range(8)]
        assert {one.result().route for one in first} == {"kept"}
        late = [pool.submit(gateway.call, request(f"{RECEIPT} {n}")) for n in range(8)]
        assert gateway.stop(signal.SIGTERM) == 0
        for one in late:
            outcome = one.result()
            if outcome.broken is None:
                outcome.check()
    assert "Traceback" not in gateway.said
