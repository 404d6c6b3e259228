"""Signature wrapping, generated: the signed element hidden elsewhere, a decoy where a careless reader would look.

14 hiding places, each signed element, 3 places for the decoy, 5 treatments of its Id (decision 42). Whatever is not
refused must read exactly what was signed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from helpers_wire import aanlever_request, business, message_of, opened, sealed, sealed_octets, trust
from lxml import etree

from digipoort_as4.errors import PeerError
from digipoort_as4.soap.names import DS, KV, SOAP11, WSA, WSSE, WSU, XML, q
from digipoort_as4.wssecurity.c14n import canonical
from digipoort_as4.wssecurity.open_message import Opened

SIGNED = {
    "Body": q(SOAP11, "Body"),
    "Timestamp": q(WSU, "Timestamp"),
    "To": q(WSA, "To"),
    "Action": q(WSA, "Action"),
    "MessageID": q(WSA, "MessageID"),
    "ReplyTo": q(WSA, "ReplyTo"),
}
ID = q(WSU, "Id")


def first(envelope: etree._Element, tag: str) -> etree._Element:
    return next(envelope.iter(tag))


def inside(tag: str, position: int | None = None) -> Callable[[etree._Element], etree._Element]:
    """A new wrapper as child of an element; None is last."""

    def place(envelope: etree._Element) -> etree._Element:
        parent = first(envelope, tag)
        wrapper = etree.Element("{urn:wrapper}Wrapper")
        parent.insert(len(parent) if position is None else position, wrapper)
        return wrapper

    return place


def directly(tag: str) -> Callable[[etree._Element], etree._Element]:
    return lambda envelope: first(envelope, tag)


def in_object(envelope: etree._Element) -> etree._Element:
    return etree.SubElement(first(envelope, q(DS, "Signature")), q(DS, "Object"))


def in_other_security(envelope: etree._Element) -> etree._Element:
    header = first(envelope, q(SOAP11, "Header"))
    security = etree.SubElement(header, q(WSSE, "Security"))
    security.set(q(SOAP11, "actor"), "urn:somebody-else")
    return security


def after_body(envelope: etree._Element) -> etree._Element:
    return etree.SubElement(envelope, "{urn:wrapper}Wrapper")


HIDING: dict[str, Callable[[etree._Element], etree._Element]] = {
    "wrapper first in Header": inside(q(SOAP11, "Header"), 0),
    "wrapper last in Header": inside(q(SOAP11, "Header")),
    "directly in Header": directly(q(SOAP11, "Header")),
    "wrapper in Security": inside(q(WSSE, "Security")),
    "directly in Security": directly(q(WSSE, "Security")),
    "ds:Object": in_object,
    "wrapper in Signature": inside(q(DS, "Signature")),
    "KeyInfo": directly(q(DS, "KeyInfo")),
    "SecurityTokenReference": directly(q(WSSE, "SecurityTokenReference")),
    "Security of somebody else": in_other_security,
    "wrapper after Body": after_body,
    "Envelope": lambda envelope: envelope,
    "berichtInhoud": directly(q(KV, "berichtInhoud")),
    "wsa:To": directly(q(WSA, "To")),
}
DECOY_PLACES = ("in its place", "before what it was next to", "last")
ID_TREATMENTS = ("same wsu:Id", "no Id", "own wsu:Id", "same plain Id", "same xml:id")


def decoy_of(element: etree._Element, treatment: str) -> etree._Element:
    """A copy with other content."""
    decoy = copy.deepcopy(element)
    decoy.tail = None
    value = str(decoy.attrib.pop(ID))
    for leaf in decoy.iter(etree.Element):
        if not len(leaf):
            leaf.text = "2026-11-24T12:00:01Z" if "Timestamp" in str(element.tag) else f"EVIL{leaf.text or ''}"
    if treatment == "same wsu:Id":
        decoy.set(ID, value)
    elif treatment == "own wsu:Id":
        decoy.set(ID, "decoy")
    elif treatment == "same plain Id":
        decoy.set("Id", value)
    elif treatment == "same xml:id":
        decoy.set(q(XML, "id"), value)
    return decoy


def wrap(base: bytes, part: str, hiding: str, place: str, treatment: str) -> bytes:
    envelope = etree.fromstring(base)
    original = first(envelope, SIGNED[part])
    parent = original.getparent()
    assert parent is not None
    decoy = decoy_of(original, treatment)
    index = parent.index(original)
    parent.remove(original)
    # what hides inside the element itself hides inside the decoy
    if place == "in its place":
        parent.insert(index, decoy)
    elif place == "last":
        parent.append(decoy)
    else:
        parent.insert(0, decoy)
    HIDING[hiding](envelope).append(original)
    return etree.tostring(envelope)


@cache
def base() -> bytes:
    return sealed_octets()


def what_is_read(found: Opened) -> tuple[object, ...]:
    return (canonical(found.operation), found.addressing, found.created, found.expires, found.oin)


@pytest.mark.parametrize("part", SIGNED)
def test_wrapping_matrix(part: str, record_property: Callable[[str, object], None]) -> None:
    """210 shapes for this element: refused, or what is read is what was signed."""
    signed = what_is_read(opened(base()))
    refused: dict[str, int] = {}
    for hiding in HIDING:
        for place in DECOY_PLACES:
            for treatment in ID_TREATMENTS:
                octets = wrap(base(), part, hiding, place, treatment)
                try:
                    read = what_is_read(opened(octets))
                except PeerError as refusal:
                    refused[refusal.cause.name] = refused.get(refusal.cause.name, 0) + 1
                else:
                    assert signed == read, (part, hiding, place, treatment)
    record_property("refused", refused)
    assert 210 == sum(refused.values())


def by_hand() -> Iterator[tuple[str, bytes]]:
    """Hand-made ones whose decoy is good in every other respect, so that only coverage can refuse it."""
    envelope = etree.fromstring(base())
    message_id = first(envelope, q(WSA, "MessageID"))
    decoy = copy.deepcopy(message_id)
    decoy.text = "urn:uuid:00000000-0000-4000-8000-000000000000"
    decoy.set(ID, "other")
    other = copy.deepcopy(envelope)
    first(other, q(WSA, "MessageID")).getparent().replace(first(other, q(WSA, "MessageID")), decoy)  # type: ignore[union-attr]
    holder = in_other_security(other)
    holder.append(message_id)
    yield "MessageID replaced, the signed one in a Security for somebody else", etree.tostring(other)

    second = etree.fromstring(base())
    body = first(second, q(SOAP11, "Body"))
    evil = etree.fromstring(f'<s:Body xmlns:s="{SOAP11}" xmlns:u="{WSU}" u:Id="evil"/>')
    evil.append(etree.fromstring(aanlever_request(b"<evil/>")))
    second.replace(body, evil)
    in_other_security(second).append(body)
    yield "Body replaced by one with an Id of its own", etree.tostring(second)

    whole = etree.fromstring(base())
    fresh = etree.fromstring(b"".join(sealed(aanlever_request(b"<evil/>")).payload.open()))
    signed_security = first(whole, q(WSSE, "Security"))
    fresh_header = first(fresh, q(SOAP11, "Header"))
    fresh_header.replace(first(fresh_header, q(WSSE, "Security")), signed_security)
    yield "Security header of another message", etree.tostring(fresh)

    lookalike = base().replace(b"</soapenv:Body>", b"</soapenv:Body>" + b'<Body xmlns="urn:lookalike"/>')
    yield "a second Body in a look-alike namespace", lookalike

    token = etree.fromstring(base())
    security = first(token, q(WSSE, "Security"))
    security.append(copy.deepcopy(first(token, q(WSSE, "BinarySecurityToken"))))
    security[-1].set(ID, "second-token")
    yield "a second token", etree.tostring(token)

    moved = etree.fromstring(base())
    header = first(moved, q(SOAP11, "Header"))
    wrapper = etree.SubElement(header, "{urn:wrapper}Wrapper")
    wrapper.append(first(moved, q(WSSE, "Security")))
    yield "Security inside a wrapper", etree.tostring(moved)


@pytest.mark.parametrize(("name", "octets"), list(by_hand()), ids=[name for name, _ in by_hand()])
def test_hand_made_wrapping_is_refused(name: str, octets: bytes) -> None:
    """One field changed, the signed original kept in the message."""
    with pytest.raises(PeerError):
        opened(octets)


def test_what_is_for_somebody_else_is_never_read() -> None:
    """A Security header for another actor may hold anything, and changes nothing of what is read (threats W07)."""
    envelope = etree.fromstring(base())
    other = in_other_security(envelope)
    other.append(copy.deepcopy(first(envelope, q(WSSE, "BinarySecurityToken"))))
    other[0].attrib.clear()
    other.append(etree.Element(q(WSU, "Timestamp")))

    assert what_is_read(opened(base())) == what_is_read(opened(etree.tostring(envelope)))


def test_the_base_is_good() -> None:
    """The matrix proves something only because the unwrapped message opens."""
    assert business().certificate == opened(base()).signer
    assert trust() and message_of(base())
