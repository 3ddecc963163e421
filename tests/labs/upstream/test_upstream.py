"""The shipped fake server, asked by the official client."""

import asyncio
import json
import signal
import subprocess
import sys
import urllib.request

import httpx
import openai
import pytest

from metier.labs.upstream import Behaviour, FakeUpstream, Fault, running_upstream

HELLO = [{"role": "system", "content": "x"}, {"role": "user", "content": "hello there"}]
TOOL = {
    "type": "function",
    "function": {"name": "pick", "parameters": {"type": "object", "properties": {"label": {"type": "string"}}}},
}


@pytest.fixture
def upstream():
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture
def http():
    with httpx.Client(timeout=20) as http:
        yield http


@pytest.fixture
def client(upstream):
    with openai.OpenAI(base_url=upstream.url, api_key="sk-1", max_retries=0, timeout=20) as client:
        yield client


def test_chat(client, upstream):
    answers = [client.chat.completions.create(model="m", messages=HELLO) for _ in range(3)]
    assert {answer.choices[0].message.content for answer in answers} == {"hello there"}
    assert len({answer.id for answer in answers}) == 3
    assert answers[0].usage.prompt_tokens == 3
    assert answers[0].usage.completion_tokens == 2
    call = upstream.calls[0]
    assert call.header("Authorization") == "Bearer sk-1"
    assert call.request["messages"] == HELLO


def test_choices_and_logprobs(client):
    answer = client.chat.completions.create(model="m", messages=HELLO, n=3, logprobs=True)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert [token.token for token in answer.choices[2].logprobs.content] == ["hello", " there"]


@pytest.mark.parametrize("n_chunks", [None, 1, 5])
def test_streamed_chat(client, upstream, n_chunks):
    upstream.behaviour = Behaviour(answer=lambda request: "the answer is  here\n", n_chunks=n_chunks)
    chunks = list(
        client.chat.completions.create(model="m", messages=HELLO, stream=True, stream_options={"include_usage": True})
    )
    deltas = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(deltas) == "the answer is  here\n"
    assert len(deltas) == (n_chunks or 5) + 2
    assert chunks[-1].usage.completion_tokens == 4
    assert chunks[-2].choices[0].finish_reason == "stop"


def test_tool_calls(client, upstream):
    asked = {"model": "m", "messages": HELLO, "tools": [TOOL]}
    assert client.chat.completions.create(**asked).choices[0].message.content == "hello there"
    whole = client.chat.completions.create(**asked, tool_choice="required").choices[0]
    assert whole.finish_reason == "tool_calls"
    assert json.loads(whole.message.tool_calls[0].function.arguments) == {"label": "hello there"}
    with client.chat.completions.stream(
        **asked, tool_choice={"type": "function", "function": {"name": "pick"}}
    ) as stream:
        streamed = stream.get_final_completion().choices[0].message.tool_calls[0].function
    assert streamed.name == "pick"
    assert json.loads(streamed.arguments) == {"label": "hello there"}
    upstream.behaviour = Behaviour(answer='{"label": "refund"}', tool_call=True)
    called = client.chat.completions.create(**asked).choices[0].message.tool_calls[0].function
    assert called.arguments == '{"label": "refund"}'


def test_responses(client):
    assert client.responses.create(model="m", input="hi you").output_text == "hi you"
    with client.responses.stream(model="m", input=[{"role": "user", "content": "hi you"}]) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == "hi you"
    assert final.usage.output_tokens == 2
    assert kinds.count("response.output_text.delta") == 2


def test_embeddings_and_models(client, upstream):
    same = client.embeddings.create(model="e", input=["a", "b", "a"], dimensions=40)
    assert [len(item.embedding) for item in same.data] == [40, 40, 40]
    assert same.data[0].embedding == same.data[2].embedding != same.data[1].embedding
    floats = client.embeddings.create(model="e", input="a", dimensions=40, encoding_format="float")
    assert floats.data[0].embedding == pytest.approx(same.data[0].embedding, abs=1e-6)
    assert [model.id for model in client.models.list()] == ["fake-model"]
    assert upstream.upstream.n_calls["/v1/embeddings"] == 2


def test_unknown_paths_and_bad_settings_are_errors(upstream, http):
    assert http.post(f"{upstream.url}/nothing", json={}).status_code == 404
    bad = http.post(f"{upstream.url}/chat/completions", json={"messages": [], "x_fake": {"no_such": 1}})
    assert bad.status_code == 400
    assert "no_such" in bad.json()["error"]["message"]
    assert http.post(f"{upstream.url}/chat/completions", content=b"{no json").status_code == 200


def test_settings_by_model_header_and_field(upstream, http):
    upstream.upstream.models["other"] = Behaviour(answer="from the model")

    def ask(model="m", headers=None, **fields):
        body = {"model": model, "messages": HELLO, **fields}
        return http.post(f"{upstream.url}/chat/completions", json=body, headers=headers)

    def said(answer):
        return answer.json()["choices"][0]["message"]["content"]

    assert said(ask()) == "hello there"
    assert said(ask("other")) == "from the model"
    assert said(ask("other", {"x-fake": '{"answer": "from the header"}'})) == "from the header"
    assert said(ask(x_fake={"answer": "from the field"})) == "from the field"
    assert ask("fault:unauthorized").status_code == 401
    assert ask("fault:no-such-fault").status_code == 400


def test_faults_strike_as_often_as_they_are_told(upstream, http):
    def statuses(n):
        return [http.post(f"{upstream.url}/chat/completions", json={"messages": HELLO}).status_code for _ in range(n)]

    upstream.behaviour = Behaviour(fault=Fault.RATE_LIMIT, fault_first=2, retry_after="7")
    limited = http.post(f"{upstream.url}/chat/completions", json={})
    assert limited.headers["retry-after"] == "7"
    assert statuses(3) == [429, 200, 200]
    upstream.behaviour = Behaviour(fault=Fault.ERROR, fault_share=0.5)
    found = statuses(40)
    assert set(found) == {200, 500}
    assert 10 <= found.count(500) <= 30


def test_a_closed_port_refuses_and_opens_again(upstream, http):
    upstream.refuse()
    with pytest.raises(httpx.ConnectError):
        http.get(f"{upstream.url}/models")
    upstream.listen()
    assert http.get(f"{upstream.url}/models").status_code == 200


@pytest.mark.parametrize("body_bytes", [10, 2_000_000])
def test_pipelined_requests_are_answered_in_order(body_bytes):
    async def ask():
        async with FakeUpstream() as fake:
            host, port = fake.url.split("/")[2].split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            for latency_s in (0.05, 0.0):
                fields = {"messages": HELLO, "pad": "x" * body_bytes, "x_fake": {"answer": f"after {latency_s}"}}
                fields["x_fake"]["latency_s"] = latency_s
                body = json.dumps(fields).encode()
                head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
            found = b""
            while found.count(b"chat.completion") < 2:
                found += await reader.read(65_536)
            writer.close()
            await writer.wait_closed()
            return found

    found = asyncio.run(asyncio.wait_for(ask(), 20))
    assert found.index(b"after 0.05") < found.index(b'after 0.0"')


def test_a_client_that_leaves_is_seen():
    async def leave():
        async with FakeUpstream(Behaviour(fault=Fault.HANG)) as fake:
            host, port = fake.url.split("/")[2].split(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
            while not fake.calls:
                await asyncio.sleep(0.005)
            before = fake.calls[0].is_aborted
            writer.close()
            await writer.wait_closed()
            while not fake.calls[0].is_aborted:
                await asyncio.sleep(0.005)
            return before

    assert asyncio.run(asyncio.wait_for(leave(), 20)) is False


def test_it_runs_as_a_process(tmp_path):
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"lost my card": "card_lost", "card": "other", "*": "nothing"}))
    command = [sys.executable, "-m", "metier.labs.upstream", "--answers", str(answers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            said = []
            for text in ("lost my card", "is my card, say, here", "hello"):
                body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
                with urllib.request.urlopen(f"{url}/chat/completions", data=body, timeout=20) as answer:
                    said.append(json.load(answer)["choices"][0]["message"]["content"])
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
    assert said == ["card_lost", "other", "nothing"]
