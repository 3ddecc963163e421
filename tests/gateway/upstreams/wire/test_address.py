"""Addresses taken apart, with and without a proxy."""

import pytest

from metier.errors import BadSettings
from metier.gateway.upstreams.wire.address import Address, Proxy, address_of


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        (
            "https://api.openai.com/v1",
            Address("api.openai.com", 443, True, b"/v1", b"host: api.openai.com\r\n"),
        ),
        ("http://10.0.0.1:8000/v1/", Address("10.0.0.1", 8000, False, b"/v1", b"host: 10.0.0.1:8000\r\n")),
        ("http://[::1]:8000/v1", Address("::1", 8000, False, b"/v1", b"host: [::1]:8000\r\n")),
        ("http://vllm", Address("vllm", 80, False, b"", b"host: vllm\r\n")),
    ],
)
def test_addresses(base_url, expected):
    assert address_of("a", base_url, {}) == expected


def test_ipv6_has_brackets_for_a_proxy():
    assert address_of("a", "https://[::2]/v1", {}).authority == b"[::2]:443"


def test_a_proxy_for_plain_http_is_asked_for_the_whole_address():
    address = address_of("a", "http://far.example:81/v1", {"http_proxy": "http://us%40er:pa%3Ass@proxy:3128"})
    assert address.proxy == Proxy("proxy", 3128, b"Basic dXNAZXI6cGE6c3M=")
    assert address.prefix == b"http://far.example:81/v1"
    assert address.headers == b"host: far.example:81\r\nproxy-authorization: Basic dXNAZXI6cGE6c3M=\r\n"


def test_a_proxy_for_tls_is_asked_for_a_tunnel():
    address = address_of("a", "https://far.example/v1", {"HTTPS_PROXY": "proxy:3128"})
    assert address.proxy == Proxy("proxy", 3128)
    assert (address.prefix, address.headers) == (b"/v1", b"host: far.example\r\n")


@pytest.mark.parametrize("proxy", ["socks5://user:secret@proxy:1080", "https://proxy:1", "http://"])
def test_proxies_that_are_not_served(proxy):
    with pytest.raises(BadSettings, match="proxy") as raised:
        address_of("a", "https://far.example/v1", {"ALL_PROXY": proxy})
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "base_url", ["http://host:port/v1", "http://host:99999/v1", "http://ho st/v1", "http://h/v1\r\nx: y"]
)
def test_addresses_that_are_none(base_url):
    with pytest.raises(BadSettings, match=r"upstreams\.a"):
        address_of("a", base_url, {})
