"""SignatureConfirmation (DK-WUS WB014, WSS 1.1 8.5): written, signed, and looked at when an answer is read."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from helpers_peer import CLIENTS, DS, SOAP, WSSE, WSU, request, verified_by_xmlsec
from helpers_wire import ADDRESSING, NOW, aanlever_request, business, cause_of, opened, sealed_octets
from lxml import etree

from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wssecurity.open_message import SignaturePolicy
from digipoort_as4.wssecurity.seal_message import seal

WSSE11 = "http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd"
ASKED = base64.b64encode(b"the signature of our request" * 9).decode()
LOOKS = SignaturePolicy(confirms=ASKED)
DEMANDS = SignaturePolicy(confirmation=True, confirms=ASKED)
FOUND = f"{{{SOAP}}}Header/{{{WSSE}}}Security/{{{WSSE11}}}SignatureConfirmation"


def answer(confirms: str | None = ASKED) -> bytes:
    """An answer as our hub seals it."""
    life = timedelta(minutes=10)
    names = iter(["5f3a"])
    sealed = seal(
        aanlever_request(), ADDRESSING, business(), Algorithms(), NOW, life, lambda: next(names), confirms=confirms
    )
    return sealed.skeleton


def test_the_confirmation_is_written_and_signed() -> None:
    """One element in Security with the Value, referred to from SignedInfo; xmlsec agrees on every digest."""
    envelope = etree.fromstring(answer())
    (element,) = envelope.findall(FOUND)
    uris = [reference.get("URI") for reference in envelope.iter(f"{{{DS}}}Reference")]

    assert ASKED == element.get("Value")
    assert f"#{element.get(f'{{{WSU}}}Id')}" in uris
    certificate = business().certificate.x509.public_bytes(Encoding.PEM)
    assert verified_by_xmlsec(answer(), certificate)
    assert not verified_by_xmlsec(answer().replace(ASKED.encode(), ASKED.swapcase().encode()), certificate)


def test_without_it_nothing_is_written() -> None:
    """The real answers of 2021 have none."""
    assert [] == etree.fromstring(answer(None)).findall(FOUND)


@pytest.mark.parametrize("policy", [LOOKS, DEMANDS, SignaturePolicy()], ids=["looks", "demands", "a request"])
def test_a_confirmation_of_our_request_is_good(policy: SignaturePolicy) -> None:
    """Read by whoever asked, with or without demanding it, and let through in a request."""
    assert business().certificate == opened(answer(), policy).signer


def test_an_answer_without_is_refused_only_where_it_is_demanded() -> None:
    """bedrijven: most have none; overheden: WB014."""
    assert opened(sealed_octets(), LOOKS)
    assert "signature-shape" == cause_of(sealed_octets(), DEMANDS)


# --- written by another implementation --------------------------------------------------------------------------------


def by_xmlsec(*values: str, signed: bool = True) -> bytes:
    """An answer that python-xmlsec signed, with confirmations of these values."""
    parts = [f"confirmation{number}" for number in range(len(values))]

    def add(envelope: etree._Element) -> None:
        security = envelope.find(f".//{{{WSSE}}}Security")
        for part, value in zip(parts, values, strict=True):
            element = etree.SubElement(security, f"{{{WSSE11}}}SignatureConfirmation", Value=value)
            element.set(f"{{{WSU}}}Id", f"id-{part}")

    shape = CLIENTS["cxf-policy"]
    shape = shape.but(extra=add, signed=(*shape.signed, *parts) if signed else shape.signed)
    pair = business()
    return request(shape, aanlever_request(), pair.key_pem, pair.certificate.der)


OTHER = base64.b64encode(b"another signature").decode()
WRONG: dict[str, tuple[Callable[[], bytes], str]] = {
    "of another request": (lambda: by_xmlsec(OTHER), "signature-shape"),
    "without a Value": (lambda: by_xmlsec(""), "signature-shape"),
    "twice": (lambda: by_xmlsec(ASKED, ASKED), "signature-shape"),
    "not signed": (lambda: by_xmlsec(ASKED, signed=False), "not-covered"),
}


@pytest.mark.parametrize("policy", [LOOKS, DEMANDS], ids=["looks", "demands"])
@pytest.mark.parametrize("name", WRONG)
def test_one_thing_wrong_is_refused(name: str, policy: SignaturePolicy) -> None:
    """Whoever shows a confirmation shows ours, once and signed."""
    make, cause = WRONG[name]
    assert opened(by_xmlsec(ASKED), policy)
    assert cause == cause_of(make(), policy)


def test_line_breaks_in_the_value_do_not_matter() -> None:
    """base64Binary collapses white space."""
    assert opened(by_xmlsec(f"{ASKED[:76]}\n {ASKED[76:]}"), DEMANDS)
