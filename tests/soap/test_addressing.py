"""WS-Addressing headers: one reading of each, and elements in canonical form."""

from __future__ import annotations

import pytest
from helpers_wire import ADDRESSING
from lxml import etree

from digipoort_as4.errors import PeerError, raise_all
from digipoort_as4.soap import addressing
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.names import WSA, WSA_ANONYMOUS, WSA_NONE

GOOD = "<w:To>urn:to</w:To><w:Action>urn:action</w:Action><w:MessageID>urn:uuid:1</w:MessageID>"


def header(content: str) -> etree._Element:
    return etree.fromstring(f'<h xmlns:w="{WSA}">{content}</h>')


def found_in(header: etree._Element) -> dict[str, etree._Element]:
    found, wrong = addressing.find(header)
    raise_all(wrong)
    return found


def cause(content: str) -> str:
    with pytest.raises(PeerError) as refusal:
        addressing.read(found_in(header(content)))
    return refusal.value.cause.name


def test_the_headers_are_read() -> None:
    content = f"{GOOD}<w:RelatesTo> urn:uuid:0 </w:RelatesTo><w:ReplyTo><w:Address>{WSA_NONE}</w:Address></w:ReplyTo>"
    expected = Addressing("urn:to", "urn:action", "urn:uuid:1", "urn:uuid:0", WSA_NONE)

    assert expected == addressing.read(found_in(header(content)))


def test_an_answer_without_to_is_for_anonymous() -> None:
    content = "<w:Action>urn:action</w:Action><w:MessageID>urn:uuid:1</w:MessageID>"
    assert WSA_ANONYMOUS == addressing.read(found_in(header(content)), to_required=False).to


@pytest.mark.parametrize(
    ("expected", "content"),
    [
        ("to-missing", GOOD.replace("<w:To>urn:to</w:To>", "")),
        ("action-missing", GOOD.replace("<w:Action>urn:action</w:Action>", "")),
        ("message-id-missing", GOOD.replace("<w:MessageID>urn:uuid:1</w:MessageID>", "")),
        ("header-doubled", GOOD + "<w:To>urn:other</w:To>"),
        ("header-unknown", GOOD + "<w:Problem/>"),
        ("header-value", GOOD.replace("urn:to", " ")),
        ("header-value", GOOD.replace("urn:to", "urn:<b/>to")),
        ("header-value", GOOD.replace("urn:uuid:1", "urn:uuid:1&#10;Set-Cookie: x")),
        ("header-value", GOOD.replace("urn:uuid:1", "u" * 2_049)),
        ("header-value", GOOD + "<w:ReplyTo>urn:x</w:ReplyTo>"),
        ("header-value", GOOD + "<w:ReplyTo><w:Address>http://169.254.169.254/</w:Address></w:ReplyTo>"),
        ("header-value", GOOD + "<w:FaultTo><w:Address>file:///etc/passwd</w:Address></w:FaultTo>"),
        (
            "header-value",
            GOOD + f"<w:ReplyTo><w:Address>{WSA_NONE}</w:Address><w:ReferenceParameters/></w:ReplyTo>",
        ),
    ],
)
def test_one_thing_broken_is_refused(expected: str, content: str) -> None:
    assert expected == cause(content)


def test_elements_are_written_in_canonical_form() -> None:
    """lxml's exclusive c14n of what we write is what we wrote."""
    odd = Addressing("a&b<c>\"d'", "urn:action", "urn:uuid:1", "urn:0", WSA_NONE, "https://localhost?OIN=1&x=2")
    ids = {name: f"id-{name}" for name in addressing.HEADERS}
    for some in (ids, None):
        for name, element in addressing.build(odd, some):
            assert element.encode() == etree.tostring(etree.fromstring(element), method="c14n", exclusive=True), name


def test_what_is_written_is_read() -> None:
    written = "".join(element for _, element in addressing.build(ADDRESSING))
    assert ADDRESSING == addressing.read(found_in(header(written)))


def test_a_fault_may_leave_action_out() -> None:
    names = [name for name, _ in addressing.build(Addressing(WSA_ANONYMOUS, "", "urn:uuid:1"))]
    assert ["To", "MessageID"] == names
