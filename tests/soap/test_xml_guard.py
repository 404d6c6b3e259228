"""The guard: one valid envelope, and the same with one thing broken per cause."""

from __future__ import annotations

import time

import pytest
from helpers_wire import TOKEN, aanlever_request, aanlever_request_of

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError
from digipoort_as4.payload import BytesPayload
from digipoort_as4.soap import inhoud, xml_guard
from digipoort_as4.soap.message import LargeText
from digipoort_as4.soap.names import KV, SOAP11, SOAP12

S = "http://schemas.xmlsoap.org/soap/envelope/"


def envelope(
    *,
    prolog: str = '<?xml version="1.0" encoding="UTF-8"?>',
    header: str = "<h xmlns='urn:h'>x</h>",
    body: str = "<b xmlns='urn:b'/>",
    after: str = "",
    epilog: str = "",
    declarations: str = "",
) -> bytes:
    return (
        f'{prolog}<s:Envelope xmlns:s="{S}"{declarations}><s:Header>{header}</s:Header><s:Body>{body}</s:Body>{after}'
        f"</s:Envelope>{epilog}"
    ).encode()


def cause(octets: bytes, large: tuple[LargeText, ...] = ()) -> str:
    with pytest.raises(PeerError) as refusal:
        xml_guard.parse(octets, large)
    return refusal.value.cause.name


@pytest.mark.parametrize(
    "octets",
    [
        envelope(),
        b"\xef\xbb\xbf" + envelope(),
        envelope(prolog=""),
        envelope(prolog='<?xml version="1.0" encoding="utf-8"?><!-- DOCTYPE --><?made by?>\r\n'),
        envelope(body="<b>&lt;!DOCTYPE x&gt; <![CDATA[<!DOCTYPE x>]]></b>"),
        envelope(body="<b/>\n", header="\n<h/>\n", after="\n", epilog="\n"),
        envelope(body="<a>" * 62 + "</a>" * 62),
        envelope(body="<b " + " ".join(f'a{n}=""' for n in range(64)) + "/>"),
        envelope(declarations="".join(f' xmlns:p{n}="urn:{n}"' for n in range(125))),
        envelope(body="<b>" + "xmlns=" * 500 + " xmlns:p='relative'</b>"),
    ],
    ids=[
        "plain",
        "BOM",
        "no declaration",
        "comment and PI before",
        "the word in text",
        "white space",
        "64 deep",
        "64 attributes",
        "128 namespaces",
        "xmlns in text",
    ],
)
def test_a_good_envelope_is_one_tree(octets: bytes) -> None:
    """What the guard allows, up to its limits."""
    message = xml_guard.parse(octets)

    assert f"{{{S}}}Header" == message.header.tag
    assert f"{{{S}}}Body" == message.body.tag
    assert message.envelope is message.body.getparent()


@pytest.mark.parametrize(
    ("expected", "octets"),
    [
        ("not-xml", b""),
        ("not-xml", b"hello"),
        ("not-xml", envelope()[:-3]),
        ("not-xml", envelope(body="<b></a>")),
        ("not-xml", envelope(body="<b>&nbsp;</b>")),
        ("not-xml", envelope(body="<p:b/>")),
        ("not-xml", envelope(body="<b>\x01</b>")),
        ("not-xml", envelope(body='<b a="1" a="2"/>')),
        ("not-xml", envelope(epilog="x")),
        ("not-xml", envelope(epilog="<second/>")),
        ("not-xml", envelope(prolog='<?xml version="1.1"?>')),
        ("not-xml", envelope(body='<b xmlns="relative/x"/>')),
        ("not-xml", envelope(body='<b xmlns:p="#fragment"/>')),
        ("not-utf8", envelope(body="<b>é</b>").decode().encode("latin-1")),
        ("not-utf8", envelope().decode().encode("utf-16")),
        ("not-utf8", envelope(prolog='<?xml version="1.0" encoding="UTF-7"?>')),
        ("not-utf8", envelope(prolog="<?xml version='1.0' encoding='ISO-8859-1'?>")),
        ("doctype", envelope(prolog="<!DOCTYPE x>")),
        ("doctype", envelope(prolog='<?xml version="1.0"?>\n<!-- > --><!DOCTYPE x [<!ENTITY a "b">]>')),
        ("doctype", b"\xef\xbb\xbf" + envelope(prolog="<!--> --><!DOCTYPE x>")),
        ("xml-limit", envelope(body="<a>" * 63 + "</a>" * 63)),
        ("xml-limit", envelope(body="<a>" * 300 + "</a>" * 300)),
        ("xml-limit", envelope(body="<b " + " ".join(f'a{n}=""' for n in range(65)) + "/>")),
        ("xml-limit", envelope(declarations="".join(f' xmlns:p{n}="urn:{n}"' for n in range(126)))),
        ("xml-limit", envelope(body="<a/>" * 100_000)),
        ("xml-limit", envelope(body=f"<{'a' * 60_000}/>")),
        ("comment", envelope(body="<b>a<!-- x -->b</b>")),
        ("comment", envelope(header="<!-- x -->")),
        ("comment", envelope(after="<!-- x -->")),
        ("comment", envelope(body="<b><?p x?></b>")),
        ("envelope", envelope(epilog="<!-- x -->")),
        ("envelope", envelope(epilog="<?p x?>")),
        ("envelope", envelope().replace(S.encode(), SOAP12.encode())),
        ("envelope", b"<html/>"),
        ("envelope", envelope().replace(b"<s:Header>", b"<s:Header/><s:Header>")),
        ("envelope", envelope(after="<s:Body/>")),
        ("envelope", envelope(after="<x/>")),
        ("envelope", envelope(after="text")),
        ("envelope", envelope(header="text")),
        ("envelope", f'<s:Envelope xmlns:s="{S}"><s:Header/></s:Envelope>'.encode()),
        ("envelope", f'<s:Envelope xmlns:s="{S}"><s:Body/></s:Envelope>'.encode()),
        ("envelope", f'<s:Envelope xmlns:s="{S}"><s:Body/><s:Header/></s:Envelope>'.encode()),
        ("envelope", f'<s:Envelope xmlns:s="{S}"><s:Header/><Body/></s:Envelope>'.encode()),
        ("body-too-large", envelope(body="<b>" + "a" * limits.TREE + "</b>")),
    ],
)
def test_one_thing_broken_is_refused(expected: str, octets: bytes) -> None:
    """Each with the cause that names it, and quickly."""
    started = time.process_time()

    assert expected == cause(octets)
    assert time.process_time() - started < 0.1


@pytest.mark.parametrize("name", ["Id", "ID", "id", "xml:id", "w:Id"])
def test_an_id_value_occurs_once_whatever_the_attribute(name: str) -> None:
    """One value, two attributes of any of the five kinds: two readers could find two elements (threats W04)."""
    wsu = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
    good = envelope(body=f'<b xmlns:w="{wsu}" w:Id="one" {name.replace("w:Id", "Id")}="two"/>')
    bad = envelope(body=f'<b xmlns:w="{wsu}" w:Id="one"><c {name}="one"/></b>')

    assert {"one", "two"} == set(xml_guard.parse(good).ids)
    assert cause(bad) in {"signature-shape", "not-xml"}


def test_a_refusal_names_the_line() -> None:
    with pytest.raises(PeerError) as refusal:
        xml_guard.parse(envelope(body="\n\n<b>&nbsp;</b>"))
    assert "regel 3" == refusal.value.where


def test_cdata_is_text() -> None:
    """CDATA and text are one reading."""
    message = xml_guard.parse(envelope(body="<b>a<![CDATA[<b>]]>c</b>"))
    assert "a<b>c" == message.body[0].text


def test_serialise_leaves_out_what_follows() -> None:
    message = xml_guard.parse(envelope(body='<b xmlns="urn:b">é&amp;</b>\n'))
    assert f'<b xmlns="urn:b" xmlns:s="{S}">é&amp;</b>'.encode() == xml_guard.serialise(message.body[0])


# --- placeholders -----------------------------------------------------------------------------------------------------


def placed(operation: str) -> tuple[bytes, tuple[LargeText, ...]]:
    return inhoud.extract(BytesPayload(envelope(body=operation)), TOKEN)


LARGE = "QUJD" * 20_000


def test_a_large_inhoud_stands_in_the_tree_as_its_placeholder() -> None:
    octets, large = placed(aanlever_request_of(LARGE).decode())

    message = xml_guard.parse(octets, large)

    assert large[0].placeholder == message.body.findtext(f".//{{{KV}}}inhoud")


@pytest.mark.parametrize(
    "operation",
    [
        f"<inhoud>{LARGE}</inhoud>",
        f'<inhoud xmlns="{KV}">{LARGE}<x/></inhoud>',
        f'<inhoud xmlns="{KV}">{LARGE}<![CDATA[QUJD]]></inhoud>',
        f'<x xmlns="{KV}"><inhoud/>QUJD</x>'.replace("QUJD", LARGE).replace("<inhoud/>", "<inhoud />"),
        f'<x xmlns="{KV}"><![CDATA[<inhoud>{LARGE}]]></x>'.replace("]]>", "</inhoud>]]>"),
        f'<x xmlns="{KV}"><inhoud a=">">{LARGE}</inhoud></x>'.replace('">', '" >', 1),
    ],
    ids=["other namespace", "element inside", "CDATA inside", "empty element", "inside CDATA", "inside an attribute"],
)
def test_a_text_that_only_looks_like_an_inhoud_is_refused(operation: str) -> None:
    """The textual extraction and the tree must agree on what an inhoud is."""
    with pytest.raises(PeerError) as refusal:
        octets, large = placed(operation)
        assert large
        xml_guard.parse(octets, large)
    assert "inhoud" == refusal.value.cause.name


def test_a_large_text_in_the_header_is_refused() -> None:
    octets, large = inhoud.extract(BytesPayload(envelope(header=f'<inhoud xmlns="{KV}">{LARGE}</inhoud>')), TOKEN)
    assert "inhoud" == cause(octets, large)


def test_a_placeholder_stands_once_in_the_octets() -> None:
    octets, large = placed(aanlever_request().decode().replace("PGFhbmdpZnRlLz4=", LARGE))
    doubled = octets.replace(b"Happyflow", large[0].placeholder.encode())

    assert "inhoud" == cause(doubled, large)


def test_an_envelope_without_header_is_taken_where_it_may_be() -> None:
    """SOAP 1.1 4.2: Header is optional; a signed message has one, a plain one need not."""
    octets = f'<e:Envelope xmlns:e="{SOAP11}"><e:Body><x/></e:Body></e:Envelope>'.encode()
    assert [] == list(xml_guard.parse(octets, headless=True).header)
    with pytest.raises(PeerError, match="envelope"):
        xml_guard.parse(octets)
    with pytest.raises(PeerError, match="envelope"):
        xml_guard.parse(octets.replace(b"<e:Body>", b"<e:Kop/><e:Body>"), headless=True)
