"""Signed or refused: no change of a signed message makes anything else be read."""

from __future__ import annotations

from functools import cache

from helpers_peer import CLIENTS, request
from helpers_wire import aanlever_request, business, opened
from hypothesis import example, given, settings
from hypothesis import strategies as st

from digipoort_as4.errors import PeerError
from digipoort_as4.wssecurity.c14n import canonical


@cache
def base(client: str) -> bytes:
    return request(CLIENTS[client], aanlever_request(), business().key_pem, business().certificate.der)


@cache
def signed(client: str) -> tuple[object, ...]:
    return read(base(client))


def read(octets: bytes) -> tuple[object, ...]:
    found = opened(octets)
    return canonical(found.operation), found.addressing, found.created, found.expires, found.oin, found.signature_value


def refused_or_the_same(client: str, octets: bytes) -> None:
    """Any exception but PeerError fails the test as well."""
    expected = signed(client)
    try:
        found = read(octets)
    except PeerError:
        return
    assert expected == found


@settings(max_examples=400, deadline=None)
@given(client=st.sampled_from(sorted(CLIENTS)), where=st.floats(0, 1, exclude_max=True), octet=st.integers(0, 255))
@example(client="wcf", where=0.0, octet=0)
def test_one_octet_changed(client: str, where: float, octet: int) -> None:
    octets = bytearray(base(client))
    octets[int(where * len(octets))] = octet
    refused_or_the_same(client, bytes(octets))


@settings(max_examples=300, deadline=None)
@given(
    client=st.sampled_from(sorted(CLIENTS)),
    where=st.floats(0, 1, exclude_max=True),
    length=st.integers(0, 60),
    inserted=st.sampled_from(
        [
            b"",
            b" ",
            b"&#65;",
            b"<!-- -->",
            b"<?x?>",
            b"<![CDATA[",
            b"]]>",
            b"<x/>",
            b' Id="id-body"',
            b"\r\n",
            b"\xef\xbb\xbf",
        ]
    ),
)
def test_a_stretch_replaced(client: str, where: float, length: int, inserted: bytes) -> None:
    octets = base(client)
    at = int(where * len(octets))
    refused_or_the_same(client, octets[:at] + inserted + octets[at + length :])


@settings(max_examples=100, deadline=None)
@given(client=st.sampled_from(sorted(CLIENTS)), data=st.data())
def test_two_stretches_swapped(client: str, data: st.DataObject) -> None:
    """Tags, ids and values change places."""
    octets = base(client)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), min_size=4, max_size=4)))
    a, b, c, d = cuts
    refused_or_the_same(client, octets[:a] + octets[c:d] + octets[b:c] + octets[a:b] + octets[d:])
