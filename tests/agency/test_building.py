"""The afleverRequest that the hub builds, beside the example made from the XSD."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from helpers_agency import make_document
from lxml import etree

from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.decision import Delivery, Process
from digipoort_as4.wus import afleveren, koppelvlak

SHARED = Path(os.environ.get("DIGIPOORT_SHARED", Path(__file__).resolve().parents[3] / "shared"))
KV = "{http://logius.nl/digipoort/koppelvlakservices/1.2/}"


def example() -> etree._Element:
    path = SHARED / "data" / "afleveren" / "CONSTRUCTED-afleverRequest.xml"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    root = etree.parse(path).getroot()
    root.remove(root.find(f"{KV}additioneleElementenLijst"))
    for element in root.iter():
        element.tail = None
        if len(element):
            element.text = None
    return root


def canonical(element: etree._Element) -> bytes:
    return etree.tostring(element, method="c14n", exclusive=True)


def process(received_at: datetime) -> Process:
    document = make_document(b"<xbrl/>", name="omzetbelasting.xbrl", mime_type="application/xml")
    aanlevering = Aanlevering(
        sender_oin="00000099000000002000",
        berichtsoort="Omzetbelasting",
        belanghebbende=Identiteit("001000044B37", "Fi"),
        rol_belanghebbende="Bedrijf",
        documents=(document, make_document(b"x", "bijlage")),
        aanleverkenmerk="AANLEVER-0001",
        rol_ontvanger="overheid",
    )
    kenmerk = "11111111-2222-4333-8444-555555555501"
    return Process(kenmerk, aanlevering, received_at, "delivering", 1, received_at)


def delivery(process: Process, **changes: bool) -> Delivery:
    key = process.aanlevering.documents[0].key
    return Delivery(
        "11111111-2222-4333-8444-555555555502",
        process.kenmerk,
        "00000099000000001000",
        changes.get("copy", False),
        (key,),
    )


def test_the_request_is_that_of_the_example() -> None:
    """Element by element, but for the digits of a second: the example has one, real answers three."""
    expected = example()
    stamp = expected.find(f"{KV}tijdstempelAangeleverd")
    assert stamp is not None
    assert "2026-01-05T10:00:00.0Z" == stamp.text
    stamp.text = "2026-01-05T10:00:00.000Z"
    accepted = process(datetime(2026, 1, 5, 10, tzinfo=UTC))

    written = koppelvlak.write(afleveren.build_request(accepted, delivery(accepted)), "t" * 32)

    assert canonical(expected) == canonical(etree.fromstring(written.octets))


def test_a_recipient_gets_its_documents_and_its_own_name() -> None:
    """Only the documents of the delivery; a copy does not repeat the role that the sender wrote for the owner."""
    accepted = process(datetime(2026, 1, 5, 10, tzinfo=UTC))

    owner = afleveren.build_request(accepted, delivery(accepted))
    copy = afleveren.build_request(accepted, delivery(accepted, copy=True))

    assert (accepted.aanlevering.documents[0],) == owner.documents == copy.documents
    assert ("overheid", None) == (owner.rol_ontvanger, copy.rol_ontvanger)
    assert Identiteit("00000099000000001000", "OIN") == copy.identiteit_ontvanger
