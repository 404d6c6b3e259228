"""Sealing: the shape of the real answers, streaming, and octets that can be sent again."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from helpers_peer import verified_by_xmlsec
from helpers_wire import ADDRESSING, aanlever_request_of, business, message_of, opened, sealed, shared
from lxml import etree

from digipoort_as4 import limits
from digipoort_as4.payload import BytesPayload, FilePayload, Payload, read_all
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.inhoud import decode
from digipoort_as4.soap.names import DS, KV, WSA_ANONYMOUS, WSSE
from digipoort_as4.wssecurity.seal_message import unsigned

HOLDERS = ("A" * 32, "B" * 32)


def test_the_shape_is_that_of_the_real_answer() -> None:
    """Same elements in the same order, the same prefix-free Signature; only wrapping and values differ."""
    real = etree.fromstring(shared("wus/valid-deliver-response.xml").read_bytes())
    answer = Addressing(WSA_ANONYMOUS, "urn:action", "urn:uuid:2", relates_to="urn:uuid:1")
    ours = etree.fromstring(sealed(addressing=answer).skeleton)

    assert [child.tag for child in real[0]] == [child.tag for child in ours[0]]
    security = f".//{{{WSSE}}}Security"
    assert [c.tag for c in real.find(security).iter()] == [c.tag for c in ours.find(security).iter()]
    assert ours.find(f".//{{{DS}}}Signature").prefix is None


def large_request(count: int) -> bytes:
    inhouden = "".join(f"<bijlage><inhoud>{holder}</inhoud></bijlage>" for holder in HOLDERS[1:count])
    return aanlever_request_of(HOLDERS[0]).replace(b"</aanleverRequest>", inhouden.encode() + b"</aanleverRequest>")


def test_large_payloads_go_out_as_base64_and_are_signed(tmp_path: Path) -> None:
    """From a file and from memory; opened again the large text decodes to the same octets."""
    one, two = os.urandom(300_001), os.urandom(70_000)
    (tmp_path / "one").write_bytes(one)
    large: dict[str, Payload] = {
        HOLDERS[0]: FilePayload(tmp_path / "one", 0, len(one)),
        HOLDERS[1]: BytesPayload(two),
    }
    written = sealed(large_request(2), large=large)

    octets = b"".join(written.payload.open())
    assert len(octets) == written.payload.size
    assert octets == b"".join(written.payload.open())
    assert all(len(chunk) <= limits.CHUNK for chunk in written.payload.open())
    assert octets.replace(base64.b64encode(one), HOLDERS[0].encode()).replace(
        base64.b64encode(two), HOLDERS[1].encode()
    ) == bytes(written.skeleton)
    assert verified_by_xmlsec(octets, business().certificate_pem)
    message = opened(octets).message
    assert [one, two] == [b"".join(decode(text.text)) for text in message.large]


def test_a_large_text_changed_on_the_way_is_refused() -> None:
    """One character of a text that never was in the tree."""
    written = sealed(large_request(1), large={HOLDERS[0]: BytesPayload(bytes(100_000))})
    octets = b"".join(written.payload.open())
    at = octets.index(b"AAAAAAAA") + 50_000
    changed = octets[:at] + b"B" + octets[at + 1 :]

    from helpers_wire import cause_of

    assert opened(octets)
    assert "digest" == cause_of(changed)


@pytest.mark.parametrize(
    "holders", [("C" * 32,), HOLDERS[::-1], (HOLDERS[0], HOLDERS[0][:16])], ids=["absent", "other order", "twice"]
)
def test_a_placeholder_that_does_not_stand_there_once_is_our_mistake(holders: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="placeholder"):
        sealed(large_request(2), large={holder: BytesPayload(b"x") for holder in holders})


def test_without_large_payloads_skeleton_and_payload_are_the_same() -> None:
    written = sealed()
    assert written.skeleton == read_all(written.payload)


def test_an_unsigned_message_has_no_security_header() -> None:
    """The shape of a fault; it parses, and what is in it stays as it was written."""
    octets = unsigned(b'<f:x xmlns:f="urn:f">\xc3\xa9&amp;</f:x>', Addressing(WSA_ANONYMOUS, "", "urn:uuid:1"))
    message = message_of(octets)

    assert [] == message.header.findall(f"{{{WSSE}}}Security")
    assert ["To", "MessageID"] == [etree.QName(child).localname for child in message.header]
    assert "é&" == message.body[0].text


def test_characters_in_addressing_cannot_break_out() -> None:
    """Markup in a value stays text."""
    evil = "urn:<x/>&\"'>"
    answer = Addressing(evil, "urn:action", "urn:uuid:2", relates_to=evil)

    assert evil == opened(sealed(addressing=answer).skeleton).addressing.to


def test_korte_inhoud_blijft_in_de_boom() -> None:
    assert "QUJD" == opened(sealed(aanlever_request_of("QUJD")).skeleton).operation.findtext(f".//{{{KV}}}inhoud")
    assert ADDRESSING == opened(sealed().skeleton).addressing
