"""Requests signed by python-xmlsec in the shapes of five known clients, and each with one thing broken."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import helpers_peer
import pytest
from helpers_peer import (
    CLIENTS,
    DS,
    SHA1,
    SHA512,
    SOAP,
    WSA,
    WSSE,
    WSU,
    Shape,
    request,
    signed_tree,
    verified_by_xmlsec,
)
from helpers_wire import (
    ACTION,
    NOW,
    OIN,
    aanlever_request,
    business,
    cause_of,
    elliptic,
    opened,
    sealed_octets,
    stranger,
)
from lxml import etree

from digipoort_as4.errors import PeerError
from digipoort_as4.soap.names import KV
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wssecurity.open_message import SignaturePolicy

DOCUMENT = b"<aangifte/>"


def send(shape: Shape, signer: object = None) -> bytes:
    pair = business() if signer is None else signer
    return request(shape, aanlever_request(DOCUMENT), pair.key_pem, pair.certificate.der)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_known_client_is_understood(client: str) -> None:
    """What xmlsec signed in this client's shape opens, and says what was signed by whom."""
    found = opened(send(CLIENTS[client]))

    assert OIN == found.oin
    assert ACTION == found.addressing.action
    assert "urn:uuid:0d2c9c1e-9d2b-4b51-8f0a-1f1f5f0c7a55" == found.addressing.message_id
    assert "PGFhbmdpZnRlLz4=" == found.operation.findtext(f".//{{{KV}}}inhoud")
    assert Algorithms("sha256", "sha256") == found.algorithms


@pytest.mark.parametrize("client", CLIENTS)
def test_a_known_client_with_sha1_is_understood_by_switch(client: str) -> None:
    """SHA-1 opens with the switch on, and the answer's family is SHA-1; without it the algorithm is the cause."""
    octets = send(CLIENTS[client].but(algorithms=SHA1))

    assert Algorithms("sha1", "sha1") == opened(octets, SignaturePolicy(sha1=True)).algorithms
    assert "algorithm" == cause_of(octets)


def test_sha512_is_understood() -> None:
    assert Algorithms("sha512", "sha512") == opened(send(Shape(algorithms=SHA512))).algorithms


VARIANTS = {
    "signature before token": Shape(order=("signature", "token", "timestamp")),
    "no Expires": Shape(expires=None),
    "no milliseconds": Shape(created="2026-11-24T12:00:00Z"),
    "plain Id everywhere": Shape(id_name="Id"),
    "token signed too": Shape(signed=(*Shape().signed, "token")),
    "#default in PrefixLists": Shape(
        default_namespace="urn:example:default",
        prefix_lists=dict.fromkeys((*Shape().signed, "signed_info"), "#default soapenv wsa"),
    ),
    "PrefixList with unknown prefixes": Shape(prefix_lists={"body": "xs xsi nowhere"}),
    "From": Shape(
        signed=(*Shape().signed, "from"),
        extra=lambda envelope: envelope[0].append(
            etree.fromstring(
                f'<wsa:From xmlns:wsa="{WSA}" xmlns:wsu="{WSU}" wsu:Id="id-from">'
                "<wsa:Address>https://localhost?OIN=1</wsa:Address></wsa:From>"
            )
        ),
    ),
    "Security for somebody else": Shape(
        extra=lambda envelope: envelope[0].insert(
            0,
            etree.fromstring(
                f'<o:Security xmlns:o="{WSSE}" xmlns:s="{SOAP}" s:actor="urn:other"><o:Junk/></o:Security>'
            ),
        )
    ),
    "pretty printed": Shape(extra=lambda envelope: etree.indent(envelope)),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_allowed_variant_is_understood(variant: str) -> None:
    """Shapes that the standard allows and toolkits use."""
    assert OIN == opened(send(VARIANTS[variant])).oin


def test_security_token_reference_may_be_signed_too() -> None:
    """CXF with sp:ProtectTokens refers to the STR by its own wsu:Id."""
    shape = CLIENTS["cxf-policy"]
    octets = send(shape.but(signed=(*shape.signed, "str"), extra=name_the_token_reference))

    assert OIN == opened(octets).oin


def name_the_token_reference(envelope: etree._Element) -> None:
    reference = envelope.find(f".//{{{WSSE}}}SecurityTokenReference")
    reference.set(f"{{{WSU}}}Id", "id-str")


# --- one thing broken before signing: what the signer did wrong -------------------------------------------------------


def without(part: str) -> Callable[[Shape], Shape]:
    return lambda shape: shape.but(signed=tuple(name for name in shape.signed if name != part))


def drop_header(name: str, part: str) -> Callable[[Shape], Shape]:
    def drop(envelope: etree._Element) -> None:
        element = envelope.find(f".//{{{WSA}}}{name}")
        element.getparent().remove(element)

    return lambda shape: without(part)(shape).but(extra=drop)


def double_header(name: str) -> Callable[[Shape], Shape]:
    def double(envelope: etree._Element) -> None:
        envelope[0].append(etree.fromstring(f'<wsa:{name} xmlns:wsa="{WSA}">urn:second</wsa:{name}>'))

    return lambda shape: shape.but(extra=double)


def add_header(markup: str) -> Callable[[Shape], Shape]:
    return lambda shape: shape.but(extra=lambda envelope: envelope[0].append(etree.fromstring(markup)))


def in_security(markup: str) -> Callable[[Shape], Shape]:
    def add(envelope: etree._Element) -> None:
        envelope.find(f".//{{{WSSE}}}Security").append(etree.fromstring(markup))

    return lambda shape: shape.but(extra=add)


def in_first_reference(path: str, **attributes: str) -> Callable[[Shape], Shape]:
    def change(envelope: etree._Element) -> None:
        envelope.find(f".//{{{DS}}}{path}").attrib.update(attributes)

    return lambda shape: shape.but(extra=change)


def text_in(path: str) -> Callable[[Shape], Shape]:
    return lambda shape: shape.but(extra=lambda envelope: set_text(envelope, path, "x"))


def attribute_on(path: str, name: str, value: str) -> Callable[[Shape], Shape]:
    return lambda shape: shape.but(extra=lambda envelope: envelope.find(path).set(name, value))


INCLUSIVE = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
SIGNED_WRONG: dict[str, tuple[Callable[[Shape], Shape], str]] = {
    "Body not signed": (without("body"), "not-covered"),
    "Timestamp not signed": (without("timestamp"), "not-covered"),
    "To not signed": (without("to"), "not-covered"),
    "Action not signed": (without("action"), "not-covered"),
    "MessageID not signed": (without("message_id"), "not-covered"),
    "From not signed": (
        add_header(f'<wsa:From xmlns:wsa="{WSA}"><wsa:Address>urn:x</wsa:Address></wsa:From>'),
        "not-covered",
    ),
    "no To": (drop_header("To", "to"), "to-missing"),
    "no Action": (drop_header("Action", "action"), "action-missing"),
    "no MessageID": (drop_header("MessageID", "message_id"), "message-id-missing"),
    "two To": (double_header("To"), "header-doubled"),
    "two MessageID": (double_header("MessageID"), "header-doubled"),
    "unknown header": (add_header('<x:Mine xmlns:x="urn:x"/>'), "header-unknown"),
    "unknown wsa header": (add_header(f'<wsa:Problem xmlns:wsa="{WSA}"/>'), "header-unknown"),
    "two Security headers": (add_header(f'<o:Security xmlns:o="{WSSE}"/>'), "header-doubled"),
    "UsernameToken": (in_security(f'<o:UsernameToken xmlns:o="{WSSE}"/>'), "signature-shape"),
    "two Timestamps": (
        in_security(f'<u:Timestamp xmlns:u="{WSU}"><u:Created>2026-11-24T12:00:00Z</u:Created></u:Timestamp>'),
        "signature-shape",
    ),
    "no Timestamp": (
        lambda shape: without("timestamp")(shape).but(order=tuple(p for p in shape.order if p != "timestamp")),
        "security-missing",
    ),
    "no token": (lambda shape: shape.but(order=tuple(p for p in shape.order if p != "token")), "security-missing"),
    "inclusive c14n": (lambda shape: shape.but(c14n=INCLUSIVE, prefix_lists={}), "algorithm"),
    "c14n with comments": (lambda shape: shape.but(c14n=f"{EXC_COMMENTS}", prefix_lists={}), "algorithm"),
    "KeyName": (lambda shape: shape.but(key_info="key-name"), "key-reference"),
    "issuer and serial": (lambda shape: shape.but(key_info="issuer-serial"), "key-reference"),
    "key reference to the Body": (lambda shape: shape.but(key_info="body"), "key-reference"),
    "PKIPath token": (
        lambda shape: shape.but(
            extra=lambda envelope: envelope.find(f".//{{{WSSE}}}BinarySecurityToken").set(
                "ValueType",
                "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509PKIPathv1",
            )
        ),
        "key-reference",
    ),
    "Reference with a Type": (
        in_first_reference("Reference", Type="http://www.w3.org/2000/09/xmldsig#Object"),
        "signature-shape",
    ),
    "whole document": (in_first_reference("Reference", URI=""), "signature-shape"),
    "Timestamp three times": (
        lambda shape: shape.but(signed=(*without("timestamp")(shape).signed, *["timestamp"] * 3)),
        "signature-shape",
    ),
    "eleven references": (lambda shape: shape.but(signed=(*shape.signed, *["to"] * 6)), "signature-shape"),
    "eleven references to known parts": (
        lambda shape: shape.but(signed=(*(set(shape.signed) - {"reply_to"}), "token") * 2),
        "signature-shape",
    ),
    "another # in a PrefixList": (lambda shape: shape.but(prefix_lists={"body": "#other"}), "signature-shape"),
    "text in SignedInfo": (text_in(f".//{{{DS}}}SignedInfo"), "signature-shape"),
    "text in a Reference": (text_in(f".//{{{DS}}}Reference"), "signature-shape"),
    "text in the Timestamp": (text_in(f".//{{{WSU}}}Timestamp"), "timestamp"),
    "text in the Body": (text_in(f"{{{SOAP}}}Body"), "envelope"),
    "attribute on Created": (attribute_on(f".//{{{WSU}}}Created", "ValueType", "xsd:date"), "timestamp"),
    "another attribute on Transform": (attribute_on(f".//{{{DS}}}Transform", "x", "y"), "signature-shape"),
    "key reference to another type": (
        attribute_on(f".//{{{WSSE}}}SecurityTokenReference/{{{WSSE}}}Reference", "ValueType", "urn:other"),
        "key-reference",
    ),
    "seventeen prefixes": (
        lambda shape: shape.but(prefix_lists={"body": " ".join(f"p{n}" for n in range(17))}),
        "signature-shape",
    ),
    "two elements in the Body": (
        lambda shape: shape.but(extra=lambda envelope: envelope[1].append(etree.fromstring("<second/>"))),
        "envelope",
    ),
    "Timestamp with an offset": (lambda shape: shape.but(created="2026-11-24T12:00:00+00:00"), "timestamp"),
    "60th second": (lambda shape: shape.but(created="2026-11-24T12:00:60Z"), "timestamp"),
    "ReplyTo elsewhere": (
        lambda shape: shape.but(
            reply_to=True,
            signed=(*without("reply_to")(shape).signed, "reply_to"),
            extra=lambda envelope: set_text(
                envelope, f".//{{{WSA}}}ReplyTo/{{{WSA}}}Address", "http://169.254.169.254/"
            ),
        ),
        "header-value",
    ),
}
EXC_COMMENTS = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"


def set_text(envelope: etree._Element, path: str, text: str) -> None:
    envelope.find(path).text = text


@pytest.mark.parametrize("fault", SIGNED_WRONG)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_that_signs_wrongly_is_refused(client: str, fault: str) -> None:
    """The same request with exactly one thing otherwise, and then signed: refused with the cause that names it."""
    change, cause = SIGNED_WRONG[fault]
    shape = CLIENTS[client]
    if client == "wcf" and fault == "ReplyTo elsewhere":
        shape = shape.but(reply_to=True)

    assert cause == cause_of(send(change(shape)))


# --- one thing broken after signing: what an attacker or a bad line did ----------------------------------------------


def replaced(path: str, change: Callable[[str], str]) -> Callable[[etree._Element], None]:
    def break_it(envelope: etree._Element) -> None:
        element = envelope.find(path)
        element.text = change(element.text)

    return break_it


def flip(text: str) -> str:
    """Another base64 character in the middle."""
    middle = len(text) // 2
    while text[middle] in "\r\n":
        middle += 1
    return text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]


def comment_in_body(envelope: etree._Element) -> None:
    envelope.find(f".//{{{KV}}}berichtsoort").append(etree.Comment("x"))


def pi_in_header(envelope: etree._Element) -> None:
    envelope[0].append(etree.ProcessingInstruction("x"))


def same_id_again(envelope: etree._Element) -> None:
    envelope.find(f".//{{{KV}}}berichtsoort").set("Id", "id-body")


def object_in_signature(envelope: etree._Element) -> None:
    etree.SubElement(envelope.find(f".//{{{DS}}}Signature"), f"{{{DS}}}Object")


def second_signed_info(envelope: etree._Element) -> None:
    info = envelope.find(f".//{{{DS}}}SignedInfo")
    info.addnext(etree.fromstring(etree.tostring(info, with_tail=False)))


def other_token(envelope: etree._Element) -> None:
    token = envelope.find(f".//{{{WSSE}}}BinarySecurityToken")
    token.text = base64.b64encode(stranger().certificate.der).decode()


def elliptic_token(envelope: etree._Element) -> None:
    token = envelope.find(f".//{{{WSSE}}}BinarySecurityToken")
    token.text = base64.b64encode(elliptic().der).decode()


def unused_bits(character: str) -> str:
    """The same four bits in front, the two that encode nothing otherwise."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return alphabet[alphabet.index(character) ^ 1]


def drop(path: str) -> Callable[[etree._Element], None]:
    def remove(envelope: etree._Element) -> None:
        element = envelope.find(path)
        element.getparent().remove(element)

    return remove


BROKEN: dict[str, tuple[Callable[[etree._Element], None], str]] = {
    "Body changed": (replaced(f".//{{{KV}}}berichtsoort", lambda text: text + "x"), "digest"),
    "To changed": (replaced(f".//{{{WSA}}}To", lambda text: text + "x"), "digest"),
    "Action changed": (replaced(f".//{{{WSA}}}Action", lambda text: text + "x"), "digest"),
    "MessageID changed": (replaced(f".//{{{WSA}}}MessageID", lambda text: text + "x"), "digest"),
    "Expires changed": (replaced(f".//{{{WSU}}}Expires", lambda _: "2027-11-24T12:00:00Z"), "digest"),
    "SignatureValue changed": (replaced(f".//{{{DS}}}SignatureValue", flip), "signature-value"),
    "DigestValue changed": (replaced(f".//{{{DS}}}DigestValue", flip), "signature-value"),
    "SignatureValue not base64": (replaced(f".//{{{DS}}}SignatureValue", lambda text: text + "!"), "signature-shape"),
    "SignatureValue with a tail": (
        replaced(f".//{{{DS}}}SignatureValue", lambda text: text + "QQ=="),
        "signature-shape",
    ),
    "DigestValue too short": (replaced(f".//{{{DS}}}DigestValue", lambda _: "AAAA"), "signature-shape"),
    "DigestValue with unused bits set": (
        replaced(f".//{{{DS}}}DigestValue", lambda text: text.strip()[:-2] + unused_bits(text.strip()[-2]) + "="),
        "signature-shape",
    ),
    "DigestValue empty": (replaced(f".//{{{DS}}}DigestValue", lambda _: ""), "signature-shape"),
    "a key that is not RSA": (elliptic_token, "algorithm"),
    "another certificate": (other_token, "signature-value"),
    "token not DER": (replaced(f".//{{{WSSE}}}BinarySecurityToken", lambda _: "AAAA"), "certificate-malformed"),
    "comment in the Body": (comment_in_body, "comment"),
    "PI in the Header": (pi_in_header, "comment"),
    "an Id twice": (same_id_again, "signature-shape"),
    "Object in the Signature": (object_in_signature, "signature-shape"),
    "two SignedInfo": (second_signed_info, "signature-shape"),
    "no Security": (drop(f".//{{{WSSE}}}Security"), "security-missing"),
    "no Signature": (drop(f".//{{{DS}}}Signature"), "security-missing"),
    "no Body": (drop(f"{{{SOAP}}}Body"), "envelope"),
    "no Header": (drop(f"{{{SOAP}}}Header"), "envelope"),
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_changed_request_is_refused(client: str, fault: str) -> None:
    """A valid signed request of which one thing was changed on the way."""
    change, cause = BROKEN[fault]
    pair = business()
    envelope = signed_tree(CLIENTS[client], aanlever_request(DOCUMENT), pair.key_pem, pair.certificate.der)
    assert OIN == opened(etree.tostring(envelope)).oin

    change(envelope)

    assert cause == cause_of(etree.tostring(envelope))


@pytest.mark.parametrize("client", CLIENTS)
def test_each_reference_is_checked(client: str) -> None:
    """Whichever signed element is changed, first or last, the digest is the cause (threats W27)."""
    octets = send(CLIENTS[client])
    for part in re.findall(rb'Id="(id-[a-z_]+)"', octets):
        if part == b"id-token":
            continue
        envelope = etree.fromstring(octets)
        (element,) = envelope.xpath(f'//*[@*[local-name()="Id"]="{part.decode()}"]')
        element.set("{urn:x}mark", "1")

        assert "digest" == cause_of(etree.tostring(envelope))


def test_an_unknown_authority_is_refused() -> None:
    assert "certificate-untrusted" == cause_of(send(CLIENTS["wus.core"], stranger()))


def test_an_expired_certificate_is_refused() -> None:
    assert "certificate-expired" == cause_of(send(CLIENTS["wus.core"]), at=NOW + timedelta(days=400))


def test_certificate_causes_are_not_explained() -> None:
    """Public text is the same for a wrong key and a wrong digest (decision 5)."""
    changed = send(CLIENTS["wus.core"]).replace(b"Omzetbelasting<", b"Omzetbelastinh<")
    texts = set()
    for octets in (changed, send(CLIENTS["wus.core"], stranger())):
        with pytest.raises(PeerError) as refusal:
            opened(octets)
        assert not refusal.value.cause.explained
        texts.add(refusal.value.cause.text)
    assert 1 == len(texts)


# --- the other way round: xmlsec on what we sign ----------------------------------------------------------------------


@pytest.mark.parametrize("family", ["sha1", "sha256", "sha384", "sha512"])
def test_xmlsec_accepts_what_we_seal(family: str) -> None:
    """All references and the SignatureValue hold for the other engine, and not after one letter was changed."""
    octets = sealed_octets(algorithms=Algorithms(family, family))

    assert verified_by_xmlsec(octets, business().certificate_pem)
    assert not verified_by_xmlsec(octets.replace(b"Omzetbelasting<", b"Omzetbelastinh<"), business().certificate_pem)
    assert not verified_by_xmlsec(octets, stranger().certificate_pem)


@pytest.mark.parametrize(
    "operation",
    [
        b"<k:a xmlns:k='urn:k' b = '1' a='2'   ><k:b/>x &#13; &amp; &lt; &gt; \"<c xmlns=''/></k:a>",
        b'<soapenv:Fault xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><faultcode>x</faultcode></soapenv:Fault>',
        f'<a xmlns="urn:a" xmlns:wsu="{WSU}" xmlns:unused="urn:u"><b wsu:x="&#10;&quot;"/></a>'.encode(),
    ],
)
def test_xmlsec_accepts_whatever_operation_we_seal(operation: bytes) -> None:
    """The operation may be written in any form: prefixes of ours, unused namespaces, characters to escape."""
    octets = sealed_octets(operation=operation)

    assert verified_by_xmlsec(octets, business().certificate_pem)
    assert OIN == opened(octets).oin


def test_this_file_shares_no_signing_code() -> None:
    """The peer is a peer: its helper imports nothing of the package."""
    assert "digipoort_as4" not in Path(str(helpers_peer.__file__)).read_text(encoding="utf-8")
