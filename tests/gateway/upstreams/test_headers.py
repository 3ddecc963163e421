"""What goes to the upstream and what comes back; no key of ours, no cookie of theirs."""

import pytest

from metier.artefacts.keys import new_secret_key
from metier.gateway.upstreams.headers import to_client, to_upstream
from metier.labs.upstream import FakeUpstream

CLIENT = [
    (b"host", b"gateway.example"),
    (b"connection", b"keep-alive, x-hop"),
    (b"x-hop", b"1"),
    (b"content-length", b"12"),
    (b"content-type", b"application/json"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, br"),
    (b"user-agent", b"OpenAI/Python 2"),
    (b"cookie", b"session=1"),
    (b"x-forwarded-for", b"10.0.0.7"),
    (b"authorization", b"Bearer sk-client"),
    (b"openai-organization", b"org-1"),
    (b"openai-beta", b"a"),
    (b"OpenAI-Beta", b"b"),
    (b"idempotency-key", b"k-1"),
    (b"traceparent", b"00-1-2-01"),
    (b"x-stainless-lang", b"python"),
]


def test_headers_to_the_upstream():
    sent, authorization = to_upstream(CLIENT)
    assert authorization == b"Bearer sk-client"
    assert sent.splitlines() == [
        b"accept-encoding: identity",
        b"content-type: application/json",
        b"accept: application/json",
        b"user-agent: OpenAI/Python 2",
        b"openai-organization: org-1",
        b"openai-beta: a",
        b"openai-beta: b",
        b"idempotency-key: k-1",
        b"traceparent: 00-1-2-01",
        b"x-stainless-lang: python",
    ]
    assert sent.endswith(b"\r\n")


@pytest.mark.parametrize("value", [b"a\r\nx-injected: 1", b"a\nb", b"a\rb", b"a\0b"])
def test_no_header_makes_two(value):
    sent, authorization = to_upstream([(b"x-a", value), (b"x-b", b"1"), (b"authorization", value)])
    assert sent == b"accept-encoding: identity\r\nx-b: 1\r\n"
    assert authorization is None


def test_headers_to_the_client():
    given = [
        (b"Content-Type", b"application/json"),
        (b"Content-Length", b"5"),
        (b"Content-Encoding", b"gzip"),
        (b"Connection", b"keep-alive, X-Hop"),
        (b"X-Hop", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Set-Cookie", b"__cf_bm=1"),
        (b"Location", b"http://elsewhere"),
        (b"X-Request-Id", b"req_1"),
        (b"openai-processing-ms", b"5"),
        (b"x-ratelimit-remaining-tokens", b"9"),
        (b"retry-after", b"1"),
        (b"x-metier-route", b"kept"),
        (b"access-control-allow-origin", b"*"),
    ]
    assert to_client(given) == [
        (b"content-type", b"application/json"),
        (b"content-length", b"5"),
        (b"content-encoding", b"gzip"),
        (b"x-request-id", b"req_1"),
        (b"openai-processing-ms", b"5"),
        (b"x-ratelimit-remaining-tokens", b"9"),
        (b"retry-after", b"1"),
    ]


@pytest.mark.parametrize(
    ("api_key_env", "client", "expected"),
    [
        ("KEY", "Bearer sk-client", "Bearer sk-gateway"),
        ("KEY", None, "Bearer sk-gateway"),
        ("", "Bearer sk-client", "Bearer sk-client"),
        ("", None, None),
    ],
)
def test_which_key_the_upstream_sees(run, settings, opened, ask, api_key_env, client, expected):
    async def body():
        async with FakeUpstream() as fake:
            upstreams = opened(
                {"fake": settings(fake.url, api_key_env=api_key_env)}, environment={"KEY": " sk-gateway\n"}
            )
            headers = [(b"authorization", client.encode())] if client else []
            outcome = await ask(upstreams, headers=headers)
            await upstreams.close()
            return outcome, fake.calls[0]

    outcome, call = run(body())
    assert call.header("authorization") == expected
    assert b"set-cookie" not in dict(outcome.headers)
    assert dict(outcome.headers)[b"x-request-id"].startswith(b"req_")


@pytest.mark.parametrize("name", [b"authorization", b"api-key", b"x-my-header", b"x-api-key"])
def test_a_metier_key_never_reaches_an_upstream(run, settings, opened, ask, name):
    key = new_secret_key()

    async def body():
        async with FakeUpstream() as fake:
            upstreams = opened({"fake": settings(fake.url)})
            await ask(upstreams, headers=[(name, f"Bearer {key}".encode())])
            await upstreams.close()
            return fake.calls[0]

    call = run(body())
    assert all(key.encode() not in value for _, value in call.headers)


def test_the_body_goes_out_and_comes_back_byte_for_byte(run, settings, opened):
    import time

    given = b'{ "model" : "m",\n\t"messages":[{"role":"user","content":"\\u00e9 {}"}] , "unknown": [1.0, 1e3] }\n'

    async def body():
        async with FakeUpstream() as fake:
            upstreams = opened({"fake": settings(fake.url)})
            reply = await upstreams.send(
                "/chat/completions", given, "m", headers=CLIENT, is_stream=False, deadline=time.monotonic() + 9
            )
            answer = await reply.read()
            await upstreams.close()
            return fake.calls[0].body, answer, dict(reply.headers)

    sent, answer, headers = run(body())
    assert sent == given
    assert int(headers[b"content-length"]) == len(answer)


def test_a_large_body_goes_out_whole(run, settings, opened, ask):
    async def body():
        async with FakeUpstream() as fake:
            upstreams = opened({"fake": settings(fake.url)})
            outcome = await ask(upstreams, picture="A" * 3_000_000)
            await upstreams.close()
            return outcome.status, len(fake.calls[0].body)

    status, size = run(body())
    assert status == 200
    assert size > 3_000_000
