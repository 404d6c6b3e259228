"""Accepting: a signed receipt for what was stored, a clear fault for what was not."""

from __future__ import annotations

import asyncio
import re
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from helpers_wus import (
    BELASTINGDIENST,
    JANSEN,
    KV,
    NOW,
    SOAP,
    WSA,
    Sender,
    World,
    document,
    explained,
    fault_of,
    plain,
    resign,
    tree,
    vat_return,
    verified,
    without_reference,
)

from digipoort_as4 import limits
from digipoort_as4.errors import UNTRUSTED
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.hub.mandates import Parties
from digipoort_as4.payload import BytesPayload, FilePayload, read_all
from digipoort_as4.pki import test_pki
from digipoort_as4.storage.tables import SHIPPED
from digipoort_as4.transport.http import HttpRequest
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wus import koppelvlak, profiles
from digipoort_as4.wus.koppelvlak import AanleverResponse
from digipoort_as4.wus.operations import AANLEVEREN

REFUSED = (
    "Het verzoek voldoet niet aan de koppelvlakspecificaties en kan hierdoor niet door Digipoort worden verwerkt.\n\n"
    "De volgende fout is opgetreden: \n"
)
"""Exact, digipoort 2.6; the cause on the line after it."""


# --- the good path ------------------------------------------------------------------------------------------------


async def test_a_message_is_stored_and_receipted(world: World, jansen: Sender) -> None:
    """aanleverResponse as digipoort 1.11; statuses 105, 100, 110; one job; evidence of both sides; one journal line."""
    answer = await world.post(jansen.aanleveren())
    opened = verified(answer, world)
    response = koppelvlak.read(AanleverResponse, opened)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", response.kenmerk)
    assert response.berichtsoort == "Omzetbelasting"
    assert response.aanleverkenmerk == "Happyflow"
    assert response.identiteit_belanghebbende == Identiteit("001000044B37", "Fi")
    assert response.rol_belanghebbende == "Bedrijf"
    assert response.identiteit_ontvanger == Identiteit(BELASTINGDIENST, "OIN")
    assert response.autorisatie_adres == "http://geenausp.nl"
    assert response.tijdstempel_aangeleverd == NOW
    assert opened.oin == world.office.oin
    statuses = await world.store.statuses(response.kenmerk)
    assert [(s.code, s.omschrijving) for s in statuses] == [
        ("105", "Aanleverproces gestart."),
        ("100", "Aanleveren gelukt."),
        ("110", "Aanleverproces wordt aangeboden."),
    ]
    assert statuses[0].at < statuses[1].at < statuses[2].at
    stored = world.stored()
    assert {name: stored[name] for name in ("process", "document", "status", "job", "reply", "evidence")} == {
        "process": 1,
        "document": 1,
        "status": 3,
        "job": 1,
        "reply": 1,
        "evidence": 2,
    }
    process = await world.store.process(response.kenmerk)
    assert process is not None
    assert process.aanlevering.sender_oin == JANSEN
    assert [read_all(d.payload) for d in process.aanlevering.documents] == [b"<xbrl/>"]
    (line,) = world.journal()
    assert (line["event"], line["kenmerk"], line["oin"]) == ("accepted", response.kenmerk, JANSEN)


async def test_the_receipt_looks_like_the_real_one(world: World, jansen: Sender) -> None:
    """Headers Security, To, MessageID, Action, RelatesTo; fresh urn:uuid; body unprefixed; milliseconds and Z."""
    answer = await world.post(jansen.aanleveren(message_id="urn:uuid:11111111-2222-4333-8444-555555555555"))
    root = tree(answer)
    header, body = root
    assert [element.tag.rpartition("}")[2] for element in header] == [
        "Security",
        "To",
        "MessageID",
        "Action",
        "RelatesTo",
    ]
    texts = {element.tag.rpartition("}")[2]: element.text for element in header}
    assert texts["To"] == "http://www.w3.org/2005/08/addressing/anonymous"
    assert texts["Action"].endswith("/AanleverService/aanleverenResponse")
    assert texts["RelatesTo"] == "urn:uuid:11111111-2222-4333-8444-555555555555"
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", texts["MessageID"])
    assert texts["MessageID"] != texts["RelatesTo"]
    assert f'<aanleverResponse xmlns="{KV}"><kenmerk>'.encode() in read_all(answer.body)
    assert body[0].findtext(f"{{{KV}}}tijdstempelAangeleverd") == "2026-11-24T12:00:00.000Z"
    assert answer.headers["content-type"] == "text/xml; charset=utf-8"


async def test_the_answer_is_in_the_family_of_the_request(world: World, pki: Path) -> None:
    """SHA-512 is answered in SHA-512 (digipoort 2.5), and a G4 certificate signs as well."""
    sender = Sender(pki, "installatie-deboer", algorithms=Algorithms("sha512", "sha512"))
    opened = verified(await world.post(sender.aanleveren()), world)
    assert opened.algorithms == Algorithms("sha512", "sha512")


async def test_sha1_is_a_setting_of_the_party(world: World, pki: Path) -> None:
    """Off: refused with its reason. On for this OIN: accepted, answered in SHA-1, a warning in the journal."""
    sender = Sender(pki, "bakkerij-jansen", algorithms=Algorithms("sha1", "sha1"))
    refused = await world.post(sender.aanleveren())
    assert "SHA-1" in fault_of(refused).cause
    assert world.stored() == {}
    world.with_snapshot(lambda s: replace(s, parties=with_sha1(s.parties, JANSEN)))
    opened = verified(await world.post(sender.aanleveren()), world)
    assert opened.algorithms == Algorithms("sha1", "sha1")
    assert world.journal()[-1]["algorithms"] == "sha1/sha1"


def with_sha1(parties: object, oin: str) -> object:
    rows = dict(parties.by_oin)  # type: ignore[attr-defined]
    rows[oin] = replace(rows[oin], sha1=True)
    return replace(parties, by_oin=rows)  # type: ignore[type-var]


async def test_bijlagen_and_a_large_document_arrive_whole(world: World, jansen: Sender, tmp_path: Path) -> None:
    """A 3 MiB document leaves the tree, goes through the spool into a file of the store; the spool is empty after."""
    large = bytes(range(256)) * (12 * 1024)
    message = vat_return(
        documents=(
            document(large),
            document(b"a,b\n", "bijlage", "x.csv", "text/csv"),
            document(large[:90_000], "bijlage"),
        )
    )
    request = jansen.aanleveren(message)
    path = tmp_path / "body"
    path.write_bytes(read_all(request.body))
    request = replace(request, body=FilePayload(path, 0, path.stat().st_size))
    response = koppelvlak.read(AanleverResponse, verified(await world.post(request), world))
    process = await world.store.process(response.kenmerk)
    assert process is not None
    kept = process.aanlevering.documents
    assert [(d.part, d.mime_type, d.bestandsnaam) for d in kept] == [
        ("inhoud", "text/xml", "aangifte.xbrl"),
        ("bijlage", "text/csv", "x.csv"),
        ("bijlage", "text/xml", "aangifte.xbrl"),
    ]
    assert [read_all(d.payload) for d in kept] == [large, b"a,b\n", large[:90_000]]
    stored = world.stored()
    assert "spool files" not in stored
    assert stored["payload files"] == 2


async def test_the_ontvanger_is_echoed_and_resolved(world: World, jansen: Sender) -> None:
    """An e-factuur goes to the body that identiteitOntvanger names."""
    gemeente = Identiteit("00000099000000020000", "OIN")
    message = vat_return(berichtsoort="e-factuur", identiteit_ontvanger=gemeente, rol_ontvanger="overheid")
    response = koppelvlak.read(AanleverResponse, verified(await world.post(jansen.aanleveren(message)), world))
    assert (response.identiteit_ontvanger, response.rol_ontvanger) == (gemeente, "overheid")


@pytest.mark.parametrize("written", ['"{}"', "{}", '""', "", None], ids=["quoted", "bare", "empty", "none", "absent"])
async def test_soap_action_tolerance(world: World, jansen: Sender, written: str | None) -> None:
    """Quoted, unquoted, empty and absent are accepted (digipoort 1.3)."""
    request = jansen.aanleveren()
    action = request.headers["soapaction"].strip('"')
    headers = {"content-type": "text/xml"} | ({} if written is None else {"soapaction": written.format(action)})
    assert (await world.post(replace(request, headers=headers))).status == 200


@pytest.mark.parametrize("to", ["aanleverservice/1.2", "https://elders.example/wus/2.0/aanleverservice/1.2/"])
async def test_wsa_to_is_judged_by_its_last_segments(world: World, jansen: Sender, to: str) -> None:
    """The relative address of one client, and a host that is not ours (digipoort 1.8)."""
    assert (await world.post(jansen.aanleveren(to=to))).status == 200


async def test_the_path_of_the_aansluit_suite_works_too(world: World, jansen: Sender) -> None:
    """/cpl/aanleverservice/1.2."""
    request = jansen.aanleveren(to="https://localhost/cpl/aanleverservice/1.2")
    assert (await world.post(replace(request, path="/cpl/aanleverservice/1.2"))).status == 200


# --- repeats ------------------------------------------------------------------------------------------------------


async def test_a_verbatim_repeat_gets_the_same_octets(world: World, jansen: Sender) -> None:
    """Also after Expires, up to seven days; no second process."""
    request = jansen.aanleveren()
    first = await world.post(request)
    stored = world.stored()
    world.clock.move(timedelta(hours=20))  # the CRLs of the test PKI live 48 hours
    again = await world.post(request)
    assert read_all(again.body) == read_all(first.body)
    assert world.stored() == stored
    assert [line["event"] for line in world.journal()] == ["accepted", "repeated"]


async def test_repeats_at_the_same_time_start_one_process(world: World, jansen: Sender) -> None:
    """Ten at once: one process, ten times the same octets."""
    request = jansen.aanleveren()
    answers = await asyncio.gather(*(world.post(request) for _ in range(10)))
    assert len({read_all(answer.body) for answer in answers}) == 1
    assert world.stored()["process"] == 1
    assert sorted(str(line["event"]) for line in world.journal()) == ["accepted"] + ["repeated"] * 9


async def test_the_same_message_id_on_another_message_is_refused(world: World, jansen: Sender) -> None:
    """Same party and MessageID, other SignatureValue; and another party may use that MessageID."""
    await world.post(jansen.aanleveren(message_id="urn:uuid:x"))
    stored = world.stored()
    answer = await world.post(jansen.aanleveren(vat_return(aanleverkenmerk="anders"), message_id="urn:uuid:x"))
    assert answer.status == 500
    assert fault_of(answer).cause.startswith("Dit wsa:MessageID is al gebruikt voor een ander bericht.")
    assert world.stored() == stored
    other = Sender(jansen.pki, "zonder-machtiging")
    assert (await world.post(other.aanleveren(message_id="urn:uuid:x"))).status == 200


async def test_a_retry_under_a_new_message_id_is_marked_as_duplicate(world: World, jansen: Sender) -> None:
    """A new process that names the earlier one; other content under the same aanleverkenmerk is not a duplicate."""
    kenmerken = [
        koppelvlak.read(AanleverResponse, verified(await world.post(jansen.aanleveren(message)), world)).kenmerk
        for message in (vat_return(), vat_return(), vat_return(documents=(document(b"<anders/>"),)))
    ]
    processes = [await world.store.process(kenmerk) for kenmerk in kenmerken]
    assert [process and process.duplicate_of for process in processes] == [None, kenmerken[0], None]


async def test_a_party_may_have_its_duplicates_refused(world: World, jansen: Sender, pki: Path) -> None:
    """The fault names the earlier kenmerk; verbatim repeats, other content and other senders are taken as ever."""
    world.with_snapshot(lambda s: replace(s, parties=strict_on(JANSEN, s.parties)))
    first = jansen.aanleveren()
    earlier = koppelvlak.read(AanleverResponse, verified(await world.post(first), world)).kenmerk
    stored = world.stored()
    fault = fault_of(await world.post(jansen.aanleveren()))
    assert fault.fout is not None
    assert ("ALS100", True) == (fault.fout.foutcode, fault.fout.foutbeschrijving.count(earlier) == 2)
    assert "Waar: aanleverkenmerk. Gevonden: Happyflow." in plain(fault.cause)
    assert stored == world.stored()
    assert 200 == (await world.post(first)).status
    for message in (vat_return(documents=(document(b"<anders/>"),)), vat_return(aanleverkenmerk="A-2")):
        assert 200 == (await world.post(jansen.aanleveren(message))).status
    assert 200 == (await world.post(Sender(pki, "installatie-deboer").aanleveren())).status
    for _ in range(2):  # without aanleverkenmerk nothing is a duplicate
        assert 200 == (await world.post(jansen.aanleveren(vat_return(aanleverkenmerk=None)))).status


async def test_a_profile_may_refuse_duplicates(world: World, jansen: Sender) -> None:
    """For every party that has it."""
    rows = tomllib.loads(profiles.FILE.read_text(encoding="utf-8"))
    rows["bedrijven"]["refuse_duplicates"] = True
    world.with_snapshot(lambda s: replace(s, profiles=profiles.Profiles.of(rows)))
    assert 200 == (await world.post(jansen.aanleveren())).status
    assert "al eerder aangeleverd" in fault_of(await world.post(jansen.aanleveren())).cause


def strict_on(oin: str, parties: Parties) -> Parties:
    """The same parties, one of which has its duplicates refused, as `refuse_duplicates = true` in its row says."""
    rows = tomllib.loads((SHIPPED / "parties.toml").read_text(encoding="utf-8"))
    for row in rows["party"]:
        row["refuse_duplicates"] = row["oin"] == oin
    assert Parties.of(rows).by_oin.keys() == parties.by_oin.keys()
    return Parties.of(rows)


# --- refusals -----------------------------------------------------------------------------------------------------


async def refused(
    world: World, request: HttpRequest, text: str, *, status: int = 500, code: str = "ALS100", fixed: bool = False
) -> None:
    """The answer is this fault, nothing was stored, one journal line was written."""
    answer = await world.post(request)
    fault = fault_of(answer)
    assert (answer.status, fault.element) == (status, "aanleverFault")
    assert fault.fout is not None
    assert fault.fout.foutcode == code
    assert plain(text) in plain(fault.cause)
    explained(fault)
    assert fault.fout.foutbeschrijving.startswith(REFUSED)
    (line,) = world.journal()
    if fixed:
        number = f"Vermeld bij navraag journaalnummer {line['number']}."
        assert fault.cause == f"{text} {number} DK-BP 0002: Niet geautoriseerd."
    assert line["event"] == "refused"
    assert world.stored() == {}


BREAK: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "not XML": (lambda o: o.replace(b"</soapenv:Body>", b"</soapenv:Bode>"), "geen welgevormde XML"),
    "nothing": (lambda o: b"", "geen welgevormde XML"),
    "SOAP 1.2": (
        lambda o: o.replace(SOAP.encode(), b"http://www.w3.org/2003/05/soap-envelope"),
        "De SOAP-envelop klopt niet. Waar: Envelope, regel 2. Gevonden: een SOAP 1.2-envelop.",
    ),
    "another root": (
        lambda o: o.replace(b"soapenv:Envelope", b"soapenv:Omslag"),
        "De SOAP-envelop klopt niet. Waar: Omslag, regel 2. Gevonden: element Omslag.",
    ),
    "DOCTYPE": (lambda o: o.replace(b"?>\n", b"?>\n<!DOCTYPE x>", 1), "Een DOCTYPE is niet toegestaan."),
    "not UTF-8": (lambda o: o.replace(b"Happyflow", b"Happy\xfflow"), "Het verzoek is niet in UTF-8."),
    "comment": (lambda o: o.replace(b"Happyflow", b"Happy<!-- -->flow"), "Commentaar of een processing instruction"),
    "wrong digest": (lambda o: o.replace(b"Happyflow", b"Sadflow"), UNTRUSTED),
    "wrong SignatureValue": (
        lambda o: re.sub(rb"<SignatureValue>(.)", lambda m: b"<SignatureValue>" + (b"B" if m[1] == b"A" else b"A"), o),
        UNTRUSTED,
    ),
    "foreign header": (
        lambda o: o.replace(b"</soapenv:Header>", b'<eigen xmlns="urn:x"/></soapenv:Header>'),
        "Een header wordt niet begrepen. Waar: eigen, regel 2.",
    ),
}


@pytest.mark.parametrize("name", BREAK)
async def test_broken_octets_are_refused(world: World, jansen: Sender, name: str) -> None:
    """One thing broken in a valid message."""
    change, text = BREAK[name]
    request = jansen.aanleveren()
    octets = read_all(request.body)
    assert change(octets) != octets
    await refused(world, replace(request, body=BytesPayload(change(octets))), text, fixed=text == UNTRUSTED)


def without_header(name: bytes) -> Callable[[bytes], bytes]:
    """No header, and no Reference to it."""

    def change(octets: bytes) -> bytes:
        less = without_reference(octets, name.decode().lower())
        return re.sub(rb"<wsa:%s .*?</wsa:%s>" % (name, name), b"", less)

    return change


def doubled_header(octets: bytes) -> bytes:
    return octets.replace(b"</soapenv:Header>", f'<wsa:To xmlns:wsa="{WSA}">x</wsa:To></soapenv:Header>'.encode())


RESIGNED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "To missing": (without_header(b"To"), "De header wsa:To ontbreekt."),
    "Action missing": (without_header(b"Action"), "De header wsa:Action ontbreekt."),
    "MessageID missing": (without_header(b"MessageID"), "De header wsa:MessageID ontbreekt."),
    "To doubled": (doubled_header, "Een header komt meer dan eens voor. Waar: wsa:To."),
    "Body unsigned": (lambda o: without_reference(o, "body"), "niet ondertekend. Waar: Body."),
    "To unsigned": (lambda o: without_reference(o, "to"), "niet ondertekend. Waar: To."),
    "Timestamp unsigned": (lambda o: without_reference(o, "timestamp"), "niet ondertekend. Waar: Timestamp."),
    "no Security": (
        lambda o: re.sub(rb"<wsse:Security .*</wsse:Security>", b"", o),
        "De header wsse:Security of een onderdeel ervan ontbreekt.",
    ),
}


@pytest.mark.parametrize("name", RESIGNED)
async def test_missing_doubled_and_unsigned_parts_are_refused(world: World, jansen: Sender, name: str) -> None:
    """The SignatureValue is right over what is there; what is missing is named."""
    change, text = RESIGNED[name]
    request = jansen.aanleveren()
    octets = read_all(request.body)
    broken = change(octets) if name == "no Security" else resign(octets, jansen.signer, change)
    await refused(world, replace(request, body=BytesPayload(broken)), text)


@pytest.mark.parametrize(
    ("created", "life", "fine"),
    [
        (-299, 300, True),
        (-301, 300, False),
        (-599, 900, True),
        (-601, 900, False),
        (59, 300, True),
        (61, 300, False),
    ],
)
async def test_timestamps(world: World, jansen: Sender, created: int, life: int, fine: bool) -> None:
    """Valid until min(Expires, Created + 600 s), at most 60 s ahead (decision 7)."""
    request = jansen.aanleveren(at=NOW + timedelta(seconds=created), life=timedelta(seconds=life))  # type: ignore[arg-type]
    if fine:
        assert (await world.post(request)).status == 200
    else:
        await refused(world, request, "De geldigheid van het bericht (wsu:Timestamp) klopt niet.")


@pytest.mark.parametrize("flaw", ["untrusted", "expired", "revoked", "no_oin", "wrong_purpose"])
async def test_bad_signing_certificates_get_the_fixed_text(world: World, pki: Path, tmp_path: Path, flaw: str) -> None:
    """The connection is good, the signing certificate is not: one text for all, the journal says which."""
    world.pki = tmp_path / "pki"
    shutil.copytree(pki, world.pki)
    test_pki.issue(world.pki, "slecht", JANSEN, "g1", "business", NOW, **{flaw: True})
    world.with_trust()
    await refused(world, Sender(world.pki, "slecht", tls_name="bakkerij-jansen").aanleveren(), UNTRUSTED, fixed=True)
    causes = {
        "untrusted": "certificate-untrusted",
        "expired": "certificate-expired",
        "revoked": "certificate-revoked",
        "no_oin": "oin-missing",
        "wrong_purpose": "certificate-purpose",
    }
    assert world.journal()[0]["cause"] == causes[flaw]


async def test_an_unknown_sender_gets_the_fixed_text(world: World, pki: Path) -> None:
    """A trusted certificate of an OIN that is no party."""
    await refused(world, Sender(pki, "digipoort").aanleveren(), UNTRUSTED, fixed=True)
    assert world.journal()[0]["cause"] == "party-unknown"


async def test_tls_and_signature_of_different_oins(world: World, pki: Path) -> None:
    """Jansen's signature over another's connection."""
    await refused(world, Sender(pki, "bakkerij-jansen", "zonder-machtiging").aanleveren(), UNTRUSTED, fixed=True)
    assert world.journal()[0]["cause"] == "oin-differs"


async def test_no_tls_certificate(world: World, jansen: Sender) -> None:
    """Every POST needs one."""
    await refused(world, replace(jansen.aanleveren(), tls_certificate=None), UNTRUSTED, fixed=True)
    assert world.journal()[0]["cause"] == "tls-certificate"


CONTENT: dict[str, tuple[dict[str, object], str]] = {
    "unknown berichtsoort": (
        {"berichtsoort": "omzetbelasting"},
        "De berichtsoort is niet bekend. Waar: berichtsoort. Gevonden: omzetbelasting.",
    ),
    "unknown ontvanger": (
        {"berichtsoort": "e-factuur", "identiteit_ontvanger": Identiteit("00000099000000999000", "OIN")},
        "De ontvanger is niet bekend voor deze berichtsoort. Waar: identiteitOntvanger. Gevonden: 00000099000000999",
    ),
    "ontvanger missing": (
        {"berichtsoort": "e-factuur"},
        "De ontvanger is niet bekend voor deze berichtsoort. Waar: identiteitOntvanger.",
    ),
    "kenmerk given": ({"kenmerk": "k"}, "Een aanleververzoek draagt geen kenmerk. Waar: kenmerk."),
    "AuSP": (
        {"autorisatie_adres": "https://ausp.example/"},
        "Het autorisatieAdres is niet geregistreerd. Waar: autorisatieAdres.",
    ),
    "over-long": (
        {"rol_belanghebbende": "x" * 41},
        "element rolBelanghebbende. Gevonden: 41 tekens. Verwacht: hoogstens 40.",
    ),
    "over-long twice": (
        {"rol_belanghebbende": "x" * 41, "aanleverkenmerk": "y" * 50},
        "(2) Het bericht voldoet niet aan het XML-schema. Waar: regel 2, element rolBelanghebbende. "
        "Gevonden: 41 tekens. Verwacht: hoogstens 40.",
    ),
    "too many documents": (
        {"documents": tuple(document(b"x", "bijlage" if n else "inhoud") for n in range(limits.DOCUMENTS + 1))},
        "De XML overschrijdt een grens. Waar: berichtBijlagen. Gevonden: 51 documenten.",
    ),
}


@pytest.mark.parametrize("name", CONTENT)
async def test_content_that_no_process_can_start_from(world: World, jansen: Sender, name: str) -> None:
    """Explained: element, found, expected."""
    changes, text = CONTENT[name]
    await refused(world, jansen.aanleveren(vat_return(**changes)), text)


async def test_a_missing_element_is_named_with_its_line(world: World, jansen: Sender) -> None:
    """Body in several lines without rolBelanghebbende."""
    octets = koppelvlak.write(vat_return(), "t").octets
    octets = octets.replace(b"<rolBelanghebbende>Bedrijf</rolBelanghebbende>", b"").replace(b"><", b">\n<")
    message = jansen.seal(AANLEVEREN.operations[0], AANLEVEREN, koppelvlak.Written(octets, {}))
    await refused(
        world,
        jansen.aanleveren(message),
        "regel 9, element berichtInhoud. Gevonden: dit element staat hier niet goed. Verwacht: rolBelanghebbende.",
    )


async def test_an_inhoud_over_twenty_mebibytes(world: World, jansen: Sender) -> None:
    """20,971,521 octets are one too many; refused before anything is decoded."""
    message = vat_return(documents=(document(bytes(limits.INHOUD + 1)),))
    await refused(world, jansen.aanleveren(message), "Een inhoud is groter dan 20971520 octetten.")


async def test_an_inhoud_of_twenty_mebibytes_is_accepted(world: World, jansen: Sender) -> None:
    """The same with one octet less."""
    message = vat_return(documents=(document(bytes(limits.INHOUD)),))
    assert (await world.post(jansen.aanleveren(message))).status == 200


async def test_an_inhoud_that_is_no_base64(world: World, jansen: Sender) -> None:
    """Small: the schema says so. Large: the byte layer does."""
    octets = koppelvlak.write(vat_return(), "t").octets.replace(b"PHhicmwvPg==", b"PHhicmwvPg=")
    message = jansen.seal(AANLEVEREN.operations[0], AANLEVEREN, koppelvlak.Written(octets, {}))
    await refused(
        world, jansen.aanleveren(message), "element inhoud. Gevonden: een waarde van een ander soort. Verwacht: base64"
    )


@pytest.mark.parametrize(
    ("trouble", "status", "text"),
    [
        ("body-too-large", 413, "Het verzoek is te groot."),
        ("body-truncated", 400, "Het verzoek is afgebroken voordat het compleet was."),
        ("content-encoding", 415, "Een gecomprimeerd verzoek wordt niet aangenomen."),
    ],
)
async def test_trouble_of_the_transport_becomes_a_fault(
    world: World, jansen: Sender, trouble: str, status: int, text: str
) -> None:
    """The service answers in its own shape; the operation is known from SOAPAction, RelatesTo is not."""
    request = replace(jansen.aanleveren(), trouble=trouble, body=BytesPayload(b""))
    await refused(world, request, text, status=status)


async def test_too_much_outside_the_documents(world: World, jansen: Sender) -> None:
    """More than 1 MiB left for the tree: 413, also when the transport let it through."""
    request = jansen.aanleveren()
    octets = read_all(request.body).replace(b"</soapenv:Header>", b" " * limits.TREE + b"</soapenv:Header>")
    await refused(world, replace(request, body=BytesPayload(octets)), "Het verzoek is te groot.", status=413)


@pytest.mark.parametrize(
    ("headers", "status", "text"),
    [
        ({"content-type": "application/soap+xml"}, 415, "Het Content-Type is niet text/xml."),
        ({"content-type": 'multipart/mixed; boundary="b"'}, 415, "Het Content-Type is niet text/xml."),
        ({"content-type": "text/xml; charset=utf-8; charset=utf-8"}, 415, "Het Content-Type is niet text/xml."),
        ({}, 415, "Het Content-Type is niet text/xml."),
        ({"content-type": "text/xml; charset=iso-8859-1"}, 500, "Het verzoek is niet in UTF-8."),
        ({"content-type": "text/xml", "content-encoding": "gzip"}, 415, "Een gecomprimeerd verzoek"),
    ],
)
async def test_http_headers(world: World, jansen: Sender, headers: dict[str, str], status: int, text: str) -> None:
    """Only text/xml in UTF-8, not compressed."""
    await refused(world, replace(jansen.aanleveren(), headers=headers), text, status=status)


async def test_other_methods(world: World, jansen: Sender) -> None:
    """405 with Allow."""
    request = replace(jansen.aanleveren(), method="GET", body=BytesPayload(b""))
    answer = await world.post(request)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "action",
    [
        "http://logius.nl/digipoort/wus/2.0/statusinformatieservice/1.2/StatusinformatieService/getProcessenRequest",
        "http://logius.nl/digipoort/wus/2.0/aanleverservice/1.2/AanleverService/aanleverRequest",
        "x",
    ],
)
async def test_a_wrong_soap_action(world: World, jansen: Sender, action: str) -> None:
    """In the HTTP header."""
    request = jansen.aanleveren()
    await refused(
        world,
        replace(request, headers=request.headers | {"soapaction": f'"{action}"'}),
        f"De SOAPAction hoort niet bij deze service. Waar: SOAPAction. Gevonden: {action}.",
    )


async def test_a_wrong_action(world: World, jansen: Sender) -> None:
    """In the signed header."""
    await refused(world, jansen.aanleveren(action="urn:x"), "Waar: wsa:Action. Gevonden: urn:x.")


@pytest.mark.parametrize("to", ["https://localhost/wus/2.0/statusinformatieservice/1.2", "urn:x", "https://[/1.2"])
async def test_a_wrong_to(world: World, jansen: Sender, to: str) -> None:
    """An address of another service."""
    await refused(world, jansen.aanleveren(to=to), "voorgeschreven. Waar: wsa:To.")


@pytest.mark.parametrize("name", ["reply_to", "fault_to", "from_"])
async def test_answers_go_nowhere_else(world: World, jansen: Sender, name: str) -> None:
    """ReplyTo, FaultTo and From only as anonymous or none (digipoort 1.8)."""
    await refused(
        world, jansen.aanleveren(**{name: "https://elders.example/"}), "een andere waarde dan voorgeschreven."
    )


@pytest.mark.parametrize("address", [f"{WSA}/anonymous", f"{WSA}/none"])
async def test_anonymous_and_none_are_fine(world: World, jansen: Sender, address: str) -> None:
    """In each of the three."""
    assert (await world.post(jansen.aanleveren(reply_to=address, fault_to=address, from_=address))).status == 200


async def test_an_operation_of_another_service(world: World, jansen: Sender) -> None:
    """A status question at the aanleverservice: the fault names what is offered."""
    request = replace(jansen.ask("k"), path="/wus/2.0/aanleverservice/1.2")
    await refused(
        world,
        request,
        "De operatie wordt niet aangeboden. Waar: Body. Gevonden: getStatussenProcesRequest. Verwacht: aanleveren.",
    )


async def test_an_unknown_path(world: World, jansen: Sender) -> None:
    """404 in plain text: no service, no fault."""
    answer = await world.post(replace(jansen.aanleveren(), path="/wus/2.0/aanleverservice/1.1"))
    assert answer.status == 404
    assert b"/wus/2.0/aanleverservice/1.2" in read_all(answer.body)
    assert len(world.journal()) == 1


async def test_a_store_that_fails_means_a_technical_fault(world: World, jansen: Sender) -> None:
    """ALS400, soapenv:Server, and no receipt."""
    await world.close()
    answer = await world.post(jansen.aanleveren())
    fault = fault_of(answer)
    assert (answer.status, fault.faultcode, fault.fout and fault.fout.foutcode) == (500, "soapenv:Server", "ALS400")
    assert "Het bericht kon niet duurzaam worden vastgelegd." in fault.cause
    (line,) = world.journal()
    assert line["cause"] == "storage"
