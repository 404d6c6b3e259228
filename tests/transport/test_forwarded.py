"""Which address a client used: what trusted proxies say counts, what anybody else says does not (RFC 7239)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from ipaddress import ip_network

import pytest

from digipoort_as4.transport.forwarded import origin

PROXY = "192.0.2.43"
TRUSTED = (ip_network("192.0.2.0/24"), ip_network("2001:db8:cafe::/48"))
FORWARDED = 'for="[2001:db8:cafe::17]:4711";proto=https;host=post.example'


def ask(headers: Mapping[str, str | list[str]], peer: str = PROXY, scheme: str = "http", trust: bool = True) -> str:
    values = {"host": ["inside:8080"]} | {
        name.lower(): [value] if isinstance(value, str) else value for name, value in headers.items()
    }
    return origin(scheme, peer, lambda name: values.get(name.lower(), []), TRUSTED if trust else ())


def test_without_a_proxy_it_is_scheme_and_host() -> None:
    assert "https://inside:8080" == ask({}, scheme="https")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Forwarded": FORWARDED}, "https://post.example"),
        # RFC 7239 section 4: names in any case; section 5.3: a host with a port is a quoted string
        ({"Forwarded": 'Host="post.example:8443"; Proto=HTTPS'}, "https://post.example:8443"),
        ({"Forwarded": r'for="a,b;host=evil\"";host=post.example;proto=https'}, "https://post.example"),
        ({"Forwarded": "proto=https"}, "https://inside:8080"),
        ({"Forwarded": 'host="[2001:db8::1]:444"'}, "http://[2001:db8::1]:444"),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "post.example"}, "https://post.example"),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "a.example, b.example"}, "https://b.example"),
        (
            {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "post.example", "X-Forwarded-Port": "8443"},
            "https://post.example:8443",
        ),
        (
            {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "post.example", "X-Forwarded-Port": "443"},
            "https://post.example",
        ),
        ({"X-Forwarded-Host": "post.example:1", "X-Forwarded-Port": "2"}, "http://post.example:1"),
        ({"Forwarded": "host=a.example;proto=https", "X-Forwarded-Host": "b.example"}, "https://a.example"),
    ],
)
def test_a_trusted_proxy_is_believed(headers: dict[str, str], expected: str) -> None:
    """And the very same headers from elsewhere, or when nobody is trusted, change nothing."""
    assert expected == ask(headers)
    assert "http://inside:8080" == ask(headers, peer="198.51.100.7")
    assert "http://inside:8080" == ask(headers, trust=False)


@pytest.mark.parametrize("peer", ["192.0.2.43", "::ffff:192.0.2.43", "2001:db8:cafe::17"])
def test_a_proxy_is_known_by_its_network(peer: str) -> None:
    assert "https://post.example" == ask({"Forwarded": FORWARDED}, peer=peer)


def test_behind_two_trusted_proxies_the_outer_one_counts() -> None:
    """The inner proxy names the outer one as `for`; headers may be one line or two."""
    outer, inner = "for=198.51.100.7;host=post.example;proto=https", "for=192.0.2.1;host=inner.example;proto=http"
    assert "https://post.example" == ask({"Forwarded": f"{outer}, {inner}"})
    assert "https://post.example" == ask({"Forwarded": [outer, inner]})


def test_what_a_client_writes_before_the_proxy_does_not_count() -> None:
    """The proxy adds its element behind the client's; the client's address is not trusted."""
    forged, added = "for=192.0.2.1;host=evil.example;proto=http", "for=198.51.100.7;host=post.example;proto=https"
    assert "https://post.example" == ask({"Forwarded": f"{forged}, {added}"})
    assert "https://post.example" == ask({"Forwarded": [forged, added]})
    assert "https://post.example" == ask({"Forwarded": f"{forged}, {added.replace('198.51.100.7', 'unknown')}"})
    assert "http://evil.example" == ask({"Forwarded": f"{forged}, {added.replace('198.51.100.7', '192.0.2.9')}"})


@pytest.mark.parametrize(
    "host", ["", "evil.example/path", 'a"b', "a b", "a@b", "-a", "[::1", "a:123456", "<x>", "a\nb"]
)
def test_no_host_no_origin(host: str) -> None:
    """What stands in the Host header comes back in a document: only names, addresses and ports pass."""
    assert "" == ask({"Host": host})
    assert "" == ask({"X-Forwarded-Host": f" {host or '/'} ", "Host": "good.example"})


def test_an_unknown_scheme_is_no_origin() -> None:
    assert "" == ask({"Forwarded": "proto=gopher;host=post.example"})


@pytest.mark.parametrize("text", ["a" * 8000, '"' * 8001, '="' * 4000, "a=" * 4000, '"\\' * 4000, "a=a;," * 1600])
def test_long_nonsense_costs_little(text: str) -> None:
    """Milliseconds, not seconds, for a header of the largest size that the server reads."""
    start = time.thread_time()
    ask({"Forwarded": text})
    assert time.thread_time() - start < 0.1
