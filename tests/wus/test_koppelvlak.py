"""Reading and writing the messages of the koppelvlak."""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from helpers_wus import KV, NOW, Sender, document, vat_return
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from digipoort_as4.errors import PeerError
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.payload import BytesPayload, FilePayload, Spool, base64_of, read_all
from digipoort_as4.pki import test_pki
from digipoort_as4.soap import inhoud, xml_guard
from digipoort_as4.soap.message import LargeText
from digipoort_as4.wssecurity.open_message import Opened, SignaturePolicy, open_message
from digipoort_as4.wus import koppelvlak, schema
from digipoort_as4.wus.koppelvlak import (
    AanleverRequest,
    AanleverResponse,
    AdditioneelElement,
    AfleverRequest,
    AfleverResponse,
    BerichtLijstResultaat,
    BerichtResultaat,
    Constatering,
    Fout,
    Intake,
    OpvraagRequest,
    ProcesResultaat,
    StatusResultaat,
    Written,
    ZetStatusRequest,
    ZetStatusResponse,
)
from digipoort_as4.wus.operations import AANLEVEREN

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("DIGIPOORT_SHARED", ROOT.parent / "shared"))
AFLEVEREN = SHARED / "data" / "afleveren"
needs_shared = pytest.mark.skipif(not AFLEVEREN.is_dir(), reason="shared/data/afleveren is not beside us")

IDENTITEIT = Identiteit("001000044B37", "Fi")
AT = datetime(2026, 1, 5, 10, 0, 0, 123_000, tzinfo=UTC)


@pytest.fixture
def reopen(jansen: Sender, pki: Path) -> Callable[[Written | bytes], Opened]:
    """Signs a body and opens it again: what a reader gets is always signed."""

    def through(body: Written | bytes) -> Opened:
        written = body if isinstance(body, Written) else Written(body, {})
        octets = jansen.seal(AANLEVEREN.operations[0], AANLEVEREN, written)
        skeleton, large = inhoud.extract(BytesPayload(octets), "0123456789abcdef")
        trust = test_pki.trust(pki)
        return open_message(xml_guard.parse(skeleton, large), SignaturePolicy(), trust, NOW)

    return through


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    return Intake(Spool(tmp_path / "quarantine"), lambda: str(uuid.uuid4()))


Reopen = Callable[[Written | bytes], Opened]


def valid(written: Written) -> None:
    """By the XSD, and in exclusive canonical form as promised."""
    element = etree.fromstring(written.octets)
    schema.check(element)
    assert etree.tostring(element, method="c14n", exclusive=True) == written.octets


# --- models and XSD ---------------------------------------------------------------------------------------------------

XS = "{http://www.w3.org/2001/XMLSchema}"
MODELS = {
    AanleverRequest: "aanleverRequest",
    AanleverResponse: "aanleverResponse",
    ProcesResultaat: "ProcesResultaat",
    BerichtLijstResultaat: "BerichtLijstResultaat",
    BerichtResultaat: "BerichtResultaat",
    StatusResultaat: "StatusResultaat",
    AfleverRequest: "afleverRequest",
    AfleverResponse: "afleverResponse",
    ZetStatusRequest: "zetStatusRequest",
    ZetStatusResponse: "zetStatusResponse",
    Fout: "foutType",
    Identiteit: "identiteitType",
    Constatering: "constateringType",
    AdditioneelElement: "elementType",
}


@pytest.mark.parametrize("model", MODELS)
def test_a_model_has_the_children_of_the_xsd_in_order(model: type) -> None:
    """Same names, same order, and None or an empty list exactly where the XSD lets an element be absent."""
    xsd = etree.parse(str(ROOT / "schemas" / schema.XSD)).getroot()
    (declared,) = [child for child in xsd if child.get("name") == MODELS[model]]
    wanted = [(child.get("name"), child.get("minOccurs") == "0") for child in declared.iter(f"{XS}element")]
    wanted = [row for row in wanted if row[0] != MODELS[model]]
    found: list[tuple[str | None, bool]] = []
    for field in koppelvlak.fields_of(model):
        if field.name == "documents":
            found += [("berichtInhoud", False), ("berichtBijlagen", True)]
        else:
            found.append((field.element, field.optional or field.many))
    assert wanted[: len(found)] == found
    assert all(optional for _, optional in wanted[len(found) :])


def test_every_question_is_in_one_model() -> None:
    """Each request element has some of its fields, in its order: a question cannot lose a child."""
    xsd = etree.parse(str(ROOT / "schemas" / schema.XSD)).getroot()
    fields = [field.element for field in koppelvlak.fields_of(OpvraagRequest)]
    for name in koppelvlak.ELEMENTS[OpvraagRequest]:
        (declared,) = [e for e in xsd if e.tag == f"{XS}element" and e.get("name") == name]
        if declared.get("type"):
            (declared,) = [e for e in xsd if e.get("name") == declared.get("type").removeprefix("kv:")]
        children = [child.get("name") for child in declared.iter(f"{XS}element") if child is not declared]
        assert [name for name in fields if name in children] == children
    assert len(koppelvlak.ELEMENTS[OpvraagRequest]) == 11


# --- there and back ---------------------------------------------------------------------------------------------------


def test_aanlever_request_there_and_back(reopen: Reopen, intake: Intake) -> None:
    """All fields, two bijlagen; the documents octet for octet."""
    request = vat_return(
        kenmerk="k",
        eerder_aanleverkenmerk="eerder",
        identiteit_ontvanger=Identiteit("00000099000000012000", "OIN"),
        rol_ontvanger="overheid",
        documents=(document(b"<a/>"), document(b"", "bijlage"), document(b"\x00\xff", "bijlage")),
    )
    written = koppelvlak.write(request, "t")
    valid(written)
    read = koppelvlak.read(AanleverRequest, reopen(written), intake)
    assert [read_all(d.payload) for d in read.documents] == [b"<a/>", b"", b"\x00\xff"]
    assert [(d.size, d.sha256) for d in read.documents] == [(d.size, d.sha256) for d in request.documents]
    strip = {"documents": ()}
    assert _but(read, **strip) == _but(request, **strip)


def _but(value: object, **changes: object) -> object:
    return replace(value, **changes)  # type: ignore[type-var]


def test_responses_there_and_back(reopen: Reopen) -> None:
    """Each answer that an Opened can hold."""
    aanlever = AanleverResponse("k", "b", "a", "e", AT, IDENTITEIT, "Bedrijf", IDENTITEIT, "overheid", "urn:x")
    bare = AanleverResponse("k", "b", None, None, AT, IDENTITEIT, "", None, None, None)
    for response in (aanlever, bare):
        valid(koppelvlak.write(response))
        assert koppelvlak.read(AanleverResponse, reopen(koppelvlak.write(response))) == response
    aflever = AfleverResponse("k", "b", "bk", AT, "510", AT, "tekst", Fout("F1", "fout"), "details")
    for other in (aflever, AfleverResponse("k", None, "bk", AT)):
        valid(koppelvlak.write(other))
        assert koppelvlak.read(AfleverResponse, reopen(koppelvlak.write(other))) == other
    zet = koppelvlak.write(ZetStatusResponse("k", "500"))
    valid(zet)
    assert koppelvlak.read(ZetStatusResponse, reopen(zet)) == ZetStatusResponse("k", "500")


def test_questions_there_and_back(reopen: Reopen) -> None:
    """Status questions and zetStatus."""
    for asked in (OpvraagRequest("k", None, None, "http://geenausp.nl", AT, AT), OpvraagRequest("k")):
        for operation in ("getStatussenProces", "getNieuweStatussenProces"):
            written = koppelvlak.write(asked, element=f"{operation}Request")
            valid(written)
            assert koppelvlak.read(OpvraagRequest, reopen(written)) == asked
    for zet in (ZetStatusRequest("k", "bk", "510", AT, Fout("F", "x"), "d"), ZetStatusRequest("k", None, "500", AT)):
        valid(koppelvlak.write(zet))
        assert koppelvlak.read(ZetStatusRequest, reopen(koppelvlak.write(zet))) == zet


def test_statuses_there_and_back(reopen: Reopen) -> None:
    """None, one, and one with everything."""
    full = StatusResultaat(
        "k", IDENTITEIT, "311", AT, "Validatie niet gelukt.", Fout("VAS500", "<results/>"), "<a>&</a>"
    )
    plain = StatusResultaat("k", IDENTITEIT, "105", AT, "Aanleverproces gestart.")
    for results in ((), (plain,), (plain, full)):
        written = koppelvlak.write_results("getStatussenProces", results)
        valid(written)
        assert koppelvlak.read_results(StatusResultaat, reopen(written)) == results


def aflever_request(**changes: object) -> AfleverRequest:
    request = AfleverRequest(
        "k",
        "b",
        "bk",
        "a",
        AT,
        IDENTITEIT,
        "Bedrijf",
        "00000099000000101000",
        IDENTITEIT,
        "overheid",
        (document(b"<a/>"),),
    )
    return _but(request, **changes)  # type: ignore[return-value]


def test_aflever_request_writes_the_xsd_form(reopen: Reopen, intake: Intake) -> None:
    """identiteitAanleveraar is a number without a type."""
    written = koppelvlak.write(aflever_request(), "t")
    valid(written)
    assert b"<identiteitAanleveraar>00000099000000101000</identiteitAanleveraar>" in written.octets
    read = koppelvlak.read(AfleverRequest, reopen(written), intake)
    assert _but(read, documents=()) == aflever_request(documents=())


def test_findings_and_additional_elements_there_and_back(reopen: Reopen, intake: Intake) -> None:
    """constateringenLijst and additioneleElementenLijst behind the bijlagen."""
    request = aflever_request(
        documents=(document(b"<a/>"), document(b"b", "bijlage")),
        constateringen_lijst=(Constatering("C1", "let op"), Constatering("C2", "<b>")),
        additionele_elementen_lijst=(AdditioneelElement("soort", "VA"),),
    )
    written = koppelvlak.write(request, "t")
    valid(written)
    assert _but(koppelvlak.read(AfleverRequest, reopen(written), intake), documents=()) == _but(request, documents=())


@needs_shared
@pytest.mark.parametrize("name", ["afleverRequest", "afleverRequest-aanleveraar-as-nummer-type"])
def test_both_forms_of_identiteit_aanleveraar_are_read(reopen: Reopen, intake: Intake, name: str) -> None:
    """The XSD's, and the one of a published sample that the XSD refuses (digipoort 1.6)."""
    element = etree.parse(str(AFLEVEREN / f"CONSTRUCTED-{name}.xml")).getroot()
    opened = reopen(etree.tostring(element))
    before = etree.tostring(opened.message.envelope)
    read = koppelvlak.read(AfleverRequest, opened, intake)
    assert read.identiteit_aanleveraar == "00000099000000002000"
    assert read.aanleverkenmerk == "AANLEVER-0001"
    assert [(e.naam, e.waarde) for e in read.additionele_elementen_lijst] == [
        ("voorbeeld-naam", "voorbeeld-waarde"),
        ("begin-tijdvak", "2026-01-01"),
        ("eind-tijdvak", "2026-01-31"),
    ]
    assert [read_all(d.payload) for d in read.documents] == [b"<xbrl/>"]
    assert etree.tostring(opened.message.envelope) == before


@pytest.mark.parametrize(
    "aanleveraar",
    [
        "<nummer>1</nummer>",
        "<type>OIN</type><nummer>1</nummer>",
        f"<nummer>{'1' * 36}</nummer><type>OIN</type>",
        "1<nummer>1</nummer><type>O</type>",
    ],
)
def test_other_forms_of_identiteit_aanleveraar_are_refused(reopen: Reopen, intake: Intake, aanleveraar: str) -> None:
    """Half of it, the wrong order, too long, with text between."""
    written = koppelvlak.write(aflever_request(), "t").octets
    broken = written.replace(b"Aanleveraar>00000099000000101000<", f"Aanleveraar>{aanleveraar}<".encode())
    with pytest.raises(PeerError) as refusal:
        koppelvlak.read(AfleverRequest, reopen(broken), intake)
    assert refusal.value.cause.name == "schema"


def test_a_large_document_is_a_placeholder_when_written_and_a_file_when_read(reopen: Reopen, intake: Intake) -> None:
    """49,153 octets are one too many for the tree; eleven of them keep their own octets."""
    documents = tuple(document(bytes([n]) * (49_152 + n), "bijlage" if n else "inhoud") for n in range(12))
    written = koppelvlak.write(aflever_request(documents=documents), "tokentokentoken")
    assert len(written.large) == 11
    read = koppelvlak.read(AfleverRequest, reopen(written), intake)
    assert [read_all(d.payload) for d in read.documents] == [read_all(d.payload) for d in documents]
    assert [isinstance(d.payload, FilePayload) for d in read.documents] == [False] + [True] * 11


def test_a_large_text_that_does_not_decode_leaves_nothing(reopen: Reopen, tmp_path: Path) -> None:
    """Base64 characters with padding in the middle: refused, and its quarantine file goes."""
    written = koppelvlak.write(aflever_request(), "t").octets
    broken = written.replace(b"<inhoud>PGEvPg==</inhoud>", b"<inhoud>" + b"AAAA" * 20_000 + b"AA==AAAA</inhoud>")
    assert broken != written
    with pytest.raises(PeerError) as refusal:
        koppelvlak.read(AfleverRequest, reopen(broken), Intake(Spool(tmp_path / "q"), lambda: "k"))
    assert refusal.value.cause.name == "inhoud"
    assert list((tmp_path / "q").iterdir()) == []


def test_a_message_of_another_name_is_refused(reopen: Reopen) -> None:
    """A reader takes no other element, however valid."""
    with pytest.raises(PeerError) as refusal:
        koppelvlak.read(AanleverResponse, reopen(koppelvlak.write(ZetStatusResponse("k", "500"))))
    assert refusal.value.cause.name == "schema"
    assert "aanleverResponse" in refusal.value.expected


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-05T10:00:00Z", datetime(2026, 1, 5, 10, tzinfo=UTC)),
        ("2026-01-05T10:00:00", datetime(2026, 1, 5, 10, tzinfo=UTC)),
        ("2026-01-05T10:00:00.0Z", datetime(2026, 1, 5, 10, tzinfo=UTC)),
        ("2026-01-05T10:00:00.123456789+01:30", datetime(2026, 1, 5, 8, 30, 0, 123456, tzinfo=UTC)),
        ("2026-01-05T10:00:00-14:00", datetime(2026, 1, 6, 0, tzinfo=UTC)),
        ("2026-12-31T24:00:00Z", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_moments_are_read_as_utc(text: str, moment: datetime) -> None:
    """All forms that xsd:dateTime has for a year of four digits."""
    assert koppelvlak.read_moment(text, "x") == moment


@pytest.mark.parametrize(
    "text",
    [
        "10000-01-01T00:00:00Z",
        "-2026-01-05T10:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T24:00:00Z",
        "0000-01-01T00:00:00Z",
    ],
)
def test_moments_that_no_clock_shows_are_refused(text: str) -> None:
    """Valid by the XSD or nearly so, outside what we can count."""
    with pytest.raises(PeerError) as refusal:
        koppelvlak.read_moment(text, "tijdstempelVanaf")
    assert refusal.value.where == "element tijdstempelVanaf"


def test_moments_are_written_with_milliseconds_and_z() -> None:
    """As real answers have them."""
    at = datetime(2026, 7, 1, 1, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert koppelvlak.write_moment(at) == "2026-06-30T23:00:00.999Z"


@given(st.text())
def test_any_text_is_written_as_valid_canonical_xml(text: str) -> None:
    """What XML forbids is dropped, everything else comes back."""
    element = etree.fromstring(f"<a>{koppelvlak.escape(text)}</a>".encode("utf-8", "surrogatepass"))
    allowed = "".join(
        c
        for c in text
        if c in "\t\n\r" or (0x20 <= ord(c) and c not in "\ufffe\uffff" and not 0xD800 <= ord(c) <= 0xDFFF)
    )
    assert (element.text or "") == allowed


def test_white_space_is_collapsed_but_a_no_break_space_is_not(reopen: Reopen) -> None:
    """whiteSpace=collapse knows four characters."""
    response = AanleverResponse("  a\t\n b\u00a0 ", "b", None, None, AT, IDENTITEIT, "", None, None, None)
    read = koppelvlak.read(AanleverResponse, reopen(koppelvlak.write(response)))
    assert read.kenmerk == "a b\u00a0"


# --- schema errors in Dutch -------------------------------------------------------------------------------------------


def ask(children: str, large: Iterable[LargeText] = ()) -> PeerError:
    element = etree.fromstring(f'<getStatussenProcesRequest xmlns="{KV}">{children}</getStatussenProcesRequest>')
    with pytest.raises(PeerError) as refusal:
        schema.check(element, tuple(large))
    return refusal.value


@pytest.mark.parametrize(
    ("children", "where", "found", "expected"),
    [
        (
            "\n<kenmerk>k</kenmerk>\n<x/>",
            "regel 3, element x",
            "dit element staat hier niet goed",
            "autorisatieAdres, tijdstempelVanaf, tijdstempelTot",
        ),
        ("", "regel 1, element getStatussenProcesRequest", "een element ontbreekt", "kenmerk"),
        (
            "<kenmerk>k</kenmerk><kenmerk>k</kenmerk>",
            "regel 1, element kenmerk",
            "dit element staat hier niet goed",
            "autorisatieAdres, tijdstempelVanaf, tijdstempelTot",
        ),
        (f"<kenmerk>{'k' * 41}</kenmerk>", "regel 1, element kenmerk", "41 tekens", "hoogstens 40"),
        (
            "<kenmerk>k</kenmerk><tijdstempelVanaf>gisteren</tijdstempelVanaf>",
            "regel 1, element tijdstempelVanaf",
            "een waarde van een ander soort",
            "een tijdstip als 2026-01-05T10:00:00.000Z",
        ),
        (
            "<kenmerk>k</kenmerk><autorisatieAdres>http://[</autorisatieAdres>",
            "regel 1, element autorisatieAdres",
            "een waarde van een ander soort",
            "een URI",
        ),
        ('<kenmerk a="1">k</kenmerk>', "regel 1, element kenmerk", "attribuut a", "geen attributen"),
        ("<kenmerk>k<b/></kenmerk>", "regel 1, element kenmerk", "elementen erin", "alleen tekst"),
        (
            "tekst<kenmerk>k</kenmerk>",
            "regel 1, element getStatussenProcesRequest",
            "tekst tussen de elementen",
            "alleen elementen",
        ),
    ],
)
def test_each_kind_of_schema_error_is_explained(children: str, where: str, found: str, expected: str) -> None:
    """Element, line, what was found, what was expected: in Dutch."""
    refusal = ask(children)
    assert (refusal.where, refusal.found, refusal.expected) == (where, found, expected)
    assert refusal.fix == "Pas het bericht aan volgens digipoort-koppelvlak-1.2.xsd."


def test_an_unknown_root_is_explained() -> None:
    """No element of the koppelvlak."""
    with pytest.raises(PeerError) as refusal:
        schema.check(etree.fromstring("<x/>"))
    assert (refusal.value.where, refusal.value.found) == ("regel 1, element x", "een onbekend element")


def test_all_errors_come_in_one_refusal() -> None:
    """Two wrong values, both named."""
    refusal = ask(f"<kenmerk>{'k' * 41}</kenmerk><tijdstempelTot>morgen</tijdstempelTot>")
    assert [
        ("regel 1, element kenmerk", "41 tekens"),
        ("regel 1, element tijdstempelTot", "een waarde van een ander soort"),
    ] == [(finding.where, finding.found) for finding in refusal.all()]


def test_lines_are_those_of_the_message_as_sent() -> None:
    """A large text that was taken out of the tree took three line breaks with it."""
    text = b"AAAA\n" * 3
    placeholder = base64.b64encode(b"0" * 24).decode()
    body = (
        f'<aanleverRequest xmlns="{KV}"><berichtsoort>b</berichtsoort><identiteitBelanghebbende><nummer>1</nummer>'
        "<type>Fi</type></identiteitBelanghebbende><rolBelanghebbende/><berichtInhoud><mimeType/><bestandsnaam/>"
        f"<inhoud>{placeholder}</inhoud></berichtInhoud>\n<autorisatieAdres>http://[</autorisatieAdres></aanleverRequest>"
    )
    with pytest.raises(PeerError) as refusal:
        schema.check(etree.fromstring(body), (LargeText(placeholder, BytesPayload(text)),))
    assert refusal.value.where == "regel 5, element autorisatieAdres"


def test_base64_is_that_of_the_standard_library() -> None:
    """What a small document is written as."""
    octets = bytes(range(256))
    assert b"".join(base64_of(BytesPayload(octets))) == base64.b64encode(octets)
    assert base64.b64encode(octets) in koppelvlak.write(aflever_request(documents=(document(octets),)), "t").octets
