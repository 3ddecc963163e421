"""Names, prices, proxies, and addresses that are none."""

import pytest

from metier.errors import BadSettings
from metier.gateway.settings import UpstreamSettings
from metier.gateway.upstreams import open_upstreams
from metier.gateway.upstreams.choice import Choice, Target
from metier.gateway.upstreams.options import flattened
from metier.gateway.upstreams.proxies import proxy_for
from metier.generalists.prices import list_price


def test_names_without_wildcards_and_each_once():
    upstreams = {"a": UpstreamSettings(models=("gpt-*", "m1")), "b": UpstreamSettings(models=("m1", "m2"))}
    opened = open_upstreams(upstreams, {"support": ("a/m1",)}, environment={})
    assert list(opened.model_names()) == ["support", "m1", "m2"]
    assert opened.states() == {"a": "closed", "b": "closed"}


def test_missing_keys_are_told_before_the_first_call():
    upstreams = {
        "a": UpstreamSettings(api_key_env="A_KEY"),
        "b": UpstreamSettings(api_key_env="B_KEY"),
        "c": UpstreamSettings(api_key_env=""),
        "d": UpstreamSettings(api_key_env="D_KEY"),
    }
    opened = open_upstreams(upstreams, {}, environment={"A_KEY": "x", "D_KEY": " "})
    assert opened.missing_keys() == {"b": "B_KEY", "d": "D_KEY"}


@pytest.mark.parametrize(
    ("models", "name", "fits"),
    [
        ((), "anything", True),
        (("gpt-4.1",), "gpt-4.1", True),
        (("gpt-4.1",), "gpt-4x1", False),
        (("gpt-4.1",), "gpt-4.1-mini", False),
        (("gpt-*",), "gpt-4.1-mini", True),
        (("gpt-*",), "my-gpt-4", False),
        (("*-mini", "o*"), "o3", True),
        (("org/m[1]?",), "org/m[1]?", True),
        (("org/m[1]?",), "org/m1x", False),
    ],
)
def test_only_a_star_is_a_wildcard(models, name, fits):
    choice = Choice(flattened({"a": UpstreamSettings(models=models)}), {})
    assert choice.targets(name) == ((Target("a"),) if fits else ())
    assert choice.targets(None) == (Target("a"),)


def test_prices_of_the_settings_come_before_list_prices():
    upstreams = {
        "set": UpstreamSettings(input_usd_per_million=2.0, output_usd_per_million=8.0),
        "half": UpstreamSettings(input_usd_per_million=2.0),
        "open": UpstreamSettings(),
    }
    opened = open_upstreams(upstreams, {}, environment={})
    listed = list_price("gpt-4.1-mini")
    assert opened.price_usd("set", "gpt-4.1-mini", 1_000_000, 500_000) == 6.0
    assert opened.price_usd("set", None, 1000, 0) == 0.002
    assert opened.price_usd("open", "gpt-4.1-mini", 1000, 10) == pytest.approx(listed.cost_usd(1000, 10))
    assert opened.price_usd("half", "gpt-4.1-mini", 0, 1_000_000) == listed.output_usd_per_million
    assert opened.price_usd("half", "no-such-model", 1, 1) is None
    assert opened.price_usd("open", "no-such-model", 1, 1) is None
    assert opened.price_usd("open", None, 1, 1) is None
    assert opened.price_usd("gone", None, 1, 1) is None


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("api.openai.com/v1", "no http"),
        ("ftp://host/v1", "no http"),
        ("http:///v1", "no http"),
        ("https://user:secret@host/v1", "holds a user name"),
        ("https://host/v1?key=secret", "no query"),
    ],
)
def test_addresses_that_are_none(address, complaint):
    with pytest.raises(BadSettings, match=complaint) as raised:
        open_upstreams({"a": UpstreamSettings(base_url=address)}, {}, environment={})
    assert "user:secret" not in str(raised.value)
    assert "upstreams.a" in str(raised.value)


def test_proxies_come_from_the_environment():
    environment = {"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "internal.example,10.0.0.1"}
    assert proxy_for("https", "api.openai.com", environment) == "http://proxy:3128"
    assert proxy_for("http", "api.openai.com", environment) is None
    assert proxy_for("https", "internal.example", environment) is None
    assert proxy_for("http", "vllm", {"all_proxy": "http://all:1"}) == "http://all:1"
    for host in ("127.0.0.1", "::1", "localhost"):
        assert proxy_for("http", host, {"HTTP_PROXY": "http://proxy:3128"}) is None


def test_calls_go_through_the_proxy(run, settings, opened, ask):
    """A proxy for plain HTTP is asked for the whole address."""
    import asyncio

    asked = []

    async def proxy(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b"\r\n")[0])
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async def body():
        server = await asyncio.start_server(proxy, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            environment = {"http_proxy": f"http://127.0.0.1:{port}"}
            upstreams = opened({"far": settings("http://far.example/v1")}, environment=environment)
            outcome = await ask(upstreams)
            await upstreams.close()
            return outcome

    assert run(body()).body == b"{}"
    assert asked == [b"POST http://far.example/v1/chat/completions HTTP/1.1"]
