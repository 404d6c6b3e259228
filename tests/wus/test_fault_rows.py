"""Every row of what is checked and what comes back (digipoort 2.6) and every DK-BP code, over services.answer.

DK-BP 0008 is about answers: tests/agency/test_answers.py, "without RelatesTo".
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from helpers_wus import (
    AGENCIES,
    KV,
    NOW,
    SOAP,
    WSA,
    Sender,
    World,
    document,
    explained,
    fault_of,
    resign,
    vat_return,
    verified,
    without_reference,
)
from lxml import etree

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.hub.decision import Committed
from digipoort_as4.hub.verwerken import Ports, Tables, process
from digipoort_as4.payload import BytesPayload, read_all
from digipoort_as4.pki.path import Trust
from digipoort_as4.transport.http import HttpRequest
from digipoort_as4.validation.bench import Bench
from digipoort_as4.wus import koppelvlak, schema, services
from digipoort_as4.wus.faults import FaultTable
from digipoort_as4.wus.koppelvlak import Fault
from digipoort_as4.wus.operations import AANLEVEREN

OPENING = (
    "Het verzoek voldoet niet aan de koppelvlakspecificaties en kan hierdoor niet door Digipoort worden verwerkt.\n\n"
    "De volgende fout is opgetreden: \n"
)
"""Exact (digipoort 2.6)."""
FIXED = "De beveiliging van het bericht kon niet worden vastgesteld. Vermeld bij navraag journaalnummer "


async def fault(world: World, request: HttpRequest, code: str = "ALS100") -> Fault:
    """The fault; nothing was stored, one journal line was written, and what may be explained is."""
    stored, before = world.stored(), len(world.journal())
    found = fault_of(await world.post(request))
    assert found.fout is not None
    assert code == found.fout.foutcode
    assert "x400" if code.endswith("400") else found.fout.foutbeschrijving.startswith(OPENING)
    assert world.stored() == stored
    assert before + 1 == len(world.journal())
    explained(found)
    return found


def changed(request: HttpRequest, change: Callable[[bytes], bytes]) -> HttpRequest:
    octets = read_all(request.body)
    assert change(octets) != octets
    return replace(request, body=BytesPayload(change(octets)))


def without_header(sender: Sender, *names: str) -> HttpRequest:
    """A valid request without some wsa headers: their references gone as well, and signed again."""

    def less(octets: bytes) -> bytes:
        for name in names:
            octets = without_reference(octets, name.lower())
            octets = re.sub(rb"<wsa:%s[ >].*?</wsa:%s>" % (name.encode(), name.encode()), b"", octets)
        return octets

    return changed(sender.aanleveren(), lambda octets: resign(octets, sender.signer, less))


# --- the rows of digipoort 2.6 ----------------------------------------------------------------------------------------

NOT_AS_SPECIFIED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "header": (lambda o: o.replace(b"</soapenv:Header>", b'<eigen xmlns="urn:x"/></soapenv:Header>'), "Waar: eigen, "),
    "signature": (lambda o: o.replace(b"http://www.w3.org/2001/04/xmlenc#sha256", b"urn:x", 1), "Gevonden: urn:x."),
    "signed part": (lambda o: o.replace(b"Happyflow", b"Sadflow").replace(b">k<", b">l<"), FIXED),
}


@pytest.mark.parametrize("name", NOT_AS_SPECIFIED)
async def test_header_and_signature_not_as_specified(world: World, jansen: Sender, name: str) -> None:
    """ALS100 from aanleveren, STS100 from the status service, the exact opening."""
    change, text = NOT_AS_SPECIFIED[name]
    assert text in (await fault(world, changed(jansen.aanleveren(), change))).cause
    assert text in (await fault(world, changed(jansen.ask("k"), change), "STS100")).cause


async def test_body_not_per_xsd(world: World, jansen: Sender) -> None:
    """Also ALS100 and STS100."""
    found = await fault(world, jansen.aanleveren(vat_return(aanleverkenmerk="k" * 41)))
    assert "element aanleverkenmerk. Gevonden: 41 tekens. Verwacht: hoogstens 40." in found.cause
    found = await fault(world, jansen.ask("k" * 41), "STS100")
    assert "element kenmerk. Gevonden: 41 tekens. Verwacht: hoogstens 40." in found.cause


async def test_expires_passed(world: World, jansen: Sender) -> None:
    """Good at Expires, refused a second later."""
    request = jansen.aanleveren()
    world.clock.move(timedelta(minutes=5, seconds=1))
    found = await fault(world, request)
    assert "Waar: wsu:Timestamp, regel 2. Gevonden: verlopen: Created 2026-11-24T12:00:00Z." in found.cause
    on_time = jansen.aanleveren()
    world.clock.at = NOW + timedelta(minutes=5)
    assert 200 == (await world.post(on_time)).status


async def test_sender_not_authorised(world: World, jansen: Sender) -> None:
    """No fault: a receipt, and then status 210 as the end."""
    other = Sender(jansen.pki, "zonder-machtiging")
    receipt = verified(await world.post(other.aanleveren()), world)
    kenmerk = receipt.operation.findtext(f"{{{KV}}}kenmerk") or ""
    await work(world)
    told = verified(await world.post(other.ask(kenmerk)), world).operation
    codes = [row.findtext(f"{{{KV}}}statuscode") for row in told.iter(f"{{{KV}}}StatusResultaat")]
    assert ["105", "100", "110", "210"] == codes


async def work(world: World) -> None:
    """What the worker does with the job of an accepted message."""
    snapshot, bench = world.office.snapshot(), Bench(places=1)
    at = Tables(snapshot.routes, snapshot.parties, snapshot.consents, frozenset(AGENCIES))
    ports = Ports(world.store, bench, lambda: at, world.clock, world.office.new_id, lambda event, **fields: None)
    (job,) = await world.store.claim(["verwerken"], world.clock(), world.clock() + timedelta(minutes=1), 5, 5)
    assert Committed() == await process(job, ports)
    await bench.close()


async def test_technical_problem_while_accepting(world: World, jansen: Sender) -> None:
    """ALS400 from soapenv:Server; the same as DK-BP 0051."""
    await world.close()
    found = fault_of(await world.post(jansen.aanleveren()))
    assert ("soapenv:Server", "ALS400") == (found.faultcode, found.fout and found.fout.foutcode)
    assert found.cause.endswith("DK-BP 0051: Service niet beschikbaar.")


OTHERS: dict[str, tuple[str, dict[str, object]]] = {
    "ALS110": ("berichtsoort-unknown", {"berichtsoort": "x"}),
    "ALS120": ("ontvanger-unknown", {"identiteit_ontvanger": Identiteit("00000099000000999000", "OIN")}),
    "ALS130": ("autorisatie-adres", {"autorisatie_adres": "https://ausp.example/"}),
    "ALS140": ("kenmerk-given", {"kenmerk": "k"}),
    "ALS150": ("schema", {"rol_belanghebbende": "r" * 41}),
    "ALS160": ("inhoud-too-large", {"documents": (document(bytes(limits.INHOUD + 1)),)}),
    "ALS170": (
        "xml-limit",
        {"documents": tuple(document(b"x", "bijlage" if n else "inhoud") for n in range(limits.DOCUMENTS + 1))},
    ),
}


@pytest.mark.parametrize("code", OTHERS)
async def test_other_refusals_get_the_code_that_the_operator_gave(world: World, jansen: Sender, code: str) -> None:
    """ALS110 to ALS170: what they mean is not public, so configuration says it; without it ALS100."""
    cause, changes = OTHERS[code]
    request = jansen.aanleveren(vat_return(**changes))
    await fault(world, request)
    world.office = replace(world.office, foutcodes=FaultTable.of({"aanleveren": {cause: code}}))
    await fault(world, request, code)
    assert 200 == (await world.post(jansen.aanleveren())).status


# --- the codes of the Digikoppeling Best Practices --------------------------------------------------------------------

DK_BP: dict[str, tuple[Callable[[Sender], HttpRequest], str]] = {
    "0001": (
        lambda s: changed(
            s.aanleveren(), lambda o: o.replace(SOAP.encode(), b"http://www.w3.org/2003/05/soap-envelope")
        ),
        "Waar: Envelope, regel 2. Gevonden: een SOAP 1.2-envelop.",
    ),
    "0002": (lambda s: changed(s.aanleveren(), lambda o: o.replace(b"Happyflow", b"Sadflow")), FIXED),
    "0003": (
        lambda s: replace(s.aanleveren(), headers={"content-type": "text/xml", "soapaction": "urn:x"}),
        "Waar: SOAPAction. Gevonden: urn:x. Verwacht: http://logius.nl/digipoort/wus/2.0/aanleverservice/1.2/"
        "AanleverService/aanleverenRequest.",
    ),
    "0004": (lambda s: s.aanleveren(vat_return(berichtsoort="b" * 81)), "Gevonden: 81 tekens. Verwacht: hoogstens 80."),
    "0005": (lambda s: without_header(s, "To"), "De header wsa:To ontbreekt. Waar: wsa:To. Gevonden: geen."),
    "0006": (
        lambda s: without_header(s, "Action"),
        "De header wsa:Action ontbreekt. Waar: wsa:Action. Gevonden: geen.",
    ),
    "0007": (
        lambda s: without_header(s, "MessageID"),
        "De header wsa:MessageID ontbreekt. Waar: wsa:MessageID. Gevonden: geen.",
    ),
    "0009": (
        lambda s: changed(s.aanleveren(), lambda o: o.replace(b"Happyflow", b"Happy\xe9flow")),
        "Gevonden: octet 0xE9.",
    ),
    "0010": (
        lambda s: changed(
            s.aanleveren(), lambda o: o.replace(b"</soapenv:Header>", b'<eigen xmlns="urn:x"/></soapenv:Header>')
        ),
        "Waar: eigen, regel 2. Gevonden: een onbekende header. Verwacht: alleen wsa-headers en wsse:Security.",
    ),
    "0011": (
        lambda s: s.aanleveren(to="https://localhost/elders"),
        "Waar: wsa:To, regel 2. Gevonden: https://localhost",
    ),
    "0051": (lambda s: s.aanleveren(vat_return(berichtsoort="Omzetbelasting")), "niet beschikbaar"),
}
TEXTS = {
    "0001": "Invalide soap envelope",
    "0002": "Niet geautoriseerd",
    "0003": "Invalide soapaction",
    "0004": "Niet conform xsd",
    "0005": "To ontbreekt",
    "0006": "Action ontbreekt",
    "0007": "MessageID ontbreekt",
    "0009": "Niet volgens UTF",
    "0010": "Headers anders dan WSA-headers",
    "0011": "Header andere waarde dan voorgeschreven",
    "0051": "Service niet beschikbaar",
}


@pytest.mark.parametrize("code", DK_BP)
async def test_every_code_of_digikoppeling(world: World, jansen: Sender, code: str) -> None:
    """One thing broken; the code stands at the end of the cause. The same unbroken is accepted."""
    assert 200 == (await world.post(jansen.aanleveren())).status
    build, text = DK_BP[code]
    if code == "0051":
        # the Belastingdienst has no endpoint any more
        world.with_snapshot(lambda snapshot: replace(snapshot, agencies={}))
    found = await fault(world, build(jansen), "ALS400" if code == "0051" else "ALS100")
    assert text in found.cause
    assert found.cause.endswith(f" DK-BP {code}: {TEXTS[code]}.")


# --- all that can be found in one go ----------------------------------------------------------------------------------


async def causes(world: World, request: HttpRequest) -> list[str]:
    """The first sentence and place of each."""
    found = await fault(world, request)
    return [re.sub(r" Gevonden: .*", "", cause).partition("Waar: ")[2] for cause in found.causes]


async def test_everything_missing_in_one_go(world: World, jansen: Sender) -> None:
    """No security at all, and two wsa headers less."""
    bare = changed(
        without_header(jansen, "To", "MessageID"), lambda o: re.sub(rb"<wsse:Security.*</wsse:Security>", b"", o)
    )
    assert ["wsse:Security.", "wsa:To.", "wsa:MessageID."] == await causes(world, bare)


async def test_headers_too_many_and_too_few_in_one_go(world: World, jansen: Sender) -> None:
    """An unknown header, one twice, one missing, and Security without its Timestamp."""
    more = f'<e xmlns="urn:x"/><wsa:To xmlns:wsa="{WSA}">x</wsa:To></soapenv:Header>'.encode()
    broken = changed(
        without_header(jansen, "Action"),
        lambda o: re.sub(rb"<wsu:Timestamp.*</wsu:Timestamp>", b"", o).replace(b"</soapenv:Header>", more),
    )
    assert ["e, regel 2.", "wsa:To, regel 2.", "wsu:Timestamp.", "wsa:Action."] == await causes(world, broken)


async def test_all_unsigned_parts_in_one_go(world: World, jansen: Sender) -> None:
    """Two references gone from SignedInfo, which is signed as it is."""
    broken = changed(
        jansen.aanleveren(),
        lambda o: resign(o, jansen.signer, lambda o: without_reference(without_reference(o, "to"), "body")),
    )
    assert ["Body, regel 2.", "To, regel 2."] == await causes(world, broken)


async def test_weak_algorithms_and_unsigned_parts_in_one_go(world: World, jansen: Sender) -> None:
    """SHA-1 where it is not allowed, and wsa:To not covered: both known before anything is computed."""
    weak = Sender(jansen.pki, jansen.name, algorithms=replace(jansen.algorithms, signature="sha1", digest="sha1"))
    broken = changed(weak.aanleveren(), lambda o: without_reference(o, "to"))
    assert ["SignatureMethod, regel 2.", "DigestMethod.", "To, regel 2."] == await causes(world, broken)


async def test_all_wrong_header_values_in_one_go(world: World, jansen: Sender) -> None:
    """Addresses and actions that a signature covers but this service does not take."""
    request = jansen.aanleveren(to="urn:to", action="urn:action", from_="urn:from")
    request = replace(request, headers=request.headers | {"soapaction": "urn:soap"})
    places = ["wsa:Action, regel 2.", "SOAPAction.", "wsa:To, regel 2.", "wsa:From, regel 2."]
    assert places == await causes(world, request)


async def test_all_unreadable_headers_in_one_go(world: World, jansen: Sender) -> None:
    """Empty To and MessageID, ReplyTo to somebody else."""
    request = jansen.aanleveren(to="", message_id=" ", reply_to="https://elders.example/")
    assert ["wsa:To, regel 2.", "wsa:MessageID, regel 2.", "wsa:ReplyTo, regel 2."] == await causes(world, request)


async def test_all_mistakes_of_content_in_one_go(world: World, jansen: Sender) -> None:
    """A kenmerk, a berichtsoort that nobody knows, an AuSP that is not registered."""
    message = vat_return(kenmerk="k", berichtsoort="x", autorisatie_adres="https://ausp.example/")
    places = ["kenmerk, regel 2.", "berichtsoort, regel 2.", "autorisatieAdres, regel 2."]
    assert places == await causes(world, jansen.aanleveren(message))


async def test_all_mistakes_of_http_in_one_go(world: World, jansen: Sender) -> None:
    """Compressed and of another type."""
    request = replace(jansen.aanleveren(), headers={"content-encoding": "gzip", "content-type": "text/plain"})
    assert ["Content-Encoding.", "Content-Type."] == await causes(world, request)


async def test_more_than_twenty_mistakes_are_counted(world: World, jansen: Sender) -> None:
    """25 of the schema: 20 told, and that there are more."""
    octets = koppelvlak.write(vat_return(), "t").octets.replace(b"<mimeType>", b"<mimeType a='1'>")
    many = "".join(f' a{n}="1"' for n in range(25)).encode()
    octets = octets.replace(b"<mimeType a='1'>", b"<mimeType" + many + b">")
    message = jansen.seal(AANLEVEREN.operations[0], AANLEVEREN, koppelvlak.Written(octets, {}))
    found = await fault(world, jansen.aanleveren(message))
    assert found.cause.splitlines()[0].startswith("(1) Het bericht voldoet niet aan het XML-schema. Waar: regel 2, ")
    assert found.cause.splitlines()[19].startswith("(20) ")
    assert ["Er zijn er nog meer."] == found.cause.splitlines()[20:]
    assert (21, "Het bericht") == (len(found.causes), found.causes[0][:11])


@pytest.mark.parametrize("place", ["</soapenv:Header>", "</wsse:Security>"])
@pytest.mark.parametrize("unknown", ["<e/>", "<w:e/>"])
async def test_many_mistakes_buy_no_work(world: World, jansen: Sender, place: str, unknown: str) -> None:
    """20,000 elements that are not understood, within 0.5 s of CPU; no more than 20 are told."""
    more = (unknown * 20_000 + place).encode()
    header = f'<soapenv:Header xmlns:w="{WSA}">'.encode()
    request = changed(
        jansen.aanleveren(), lambda o: o.replace(place.encode(), more).replace(b"<soapenv:Header>", header)
    )
    started = time.process_time()
    found = await fault(world, request)
    assert time.process_time() - started < 0.5
    assert ["Er zijn er nog meer."] == found.cause.splitlines()[20:]


@dataclass(frozen=True)
class Counting:
    """A Trust that counts how often it was asked."""

    trust: Trust
    asked: list[str]

    def judge(self, *arguments: object) -> object:
        self.asked.append("path")
        return self.trust.judge(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(("broken", "paths"), [(False, ["path", "path"]), (True, ["path"])])
async def test_a_refusal_for_headers_buys_no_path(world: World, jansen: Sender, broken: bool, paths: list[str]) -> None:
    """The TLS certificate's path is judged for everybody, that of the signer only when nothing is missing."""
    asked: list[str] = []
    world.with_snapshot(lambda s: replace(s, trust=Counting(s.trust, asked)))  # type: ignore[arg-type]
    await world.post(without_header(jansen, "To") if broken else jansen.aanleveren())
    assert paths == asked


async def test_a_broken_signature_is_told_alone(world: World, jansen: Sender) -> None:
    """What is not covered is told only where SignatureValue holds: the fixed text says nothing more (decision 5)."""
    broken = changed(jansen.aanleveren(), lambda o: without_reference(o, "to"))
    found = await fault(world, broken)
    assert re.fullmatch(re.escape(FIXED) + r"[0-9a-f]{8}\. DK-BP 0002: Niet geautoriseerd\.", found.cause)


# --- where ------------------------------------------------------------------------------------------------------------


async def test_the_line_is_that_of_the_message_as_sent(world: World, jansen: Sender) -> None:
    """Every element on a line of its own; a large inhoud of three lines stands before the last one."""
    octets = koppelvlak.write(vat_return(kenmerk="k", autorisatie_adres="urn:x"), "t").octets.replace(b"><", b">\n<")
    text = b"A" * 80_000 + b"\n" + b"A" * 80_000 + b"\n" + b"AAAA"
    octets = re.sub(rb"(<inhoud>)[^<]*", rb"\1" + text, octets)
    message = jansen.seal(AANLEVEREN.operations[0], AANLEVEREN, koppelvlak.Written(octets, {}))
    lines = message.splitlines()
    places = [n for n, line in enumerate(lines, 1) if line.startswith((b"<kenmerk>", b"<autorisatieAdres>"))]
    assert [f"kenmerk, regel {places[0]}.", f"autorisatieAdres, regel {places[1]}."] == await causes(
        world, jansen.aanleveren(message)
    )
    assert places[1] > places[0] + 10


async def test_a_name_that_occurs_twice_gets_no_line(world: World, jansen: Sender) -> None:
    """Which of the two is meant is not known."""
    octets = koppelvlak.write(vat_return(berichtsoort="x"), "t").octets
    message = jansen.seal(AANLEVEREN.operations[0], AANLEVEREN, koppelvlak.Written(octets, {}), to="urn:x")
    doubled = changed(jansen.aanleveren(message), lambda o: o.replace(b"</soapenv:Header>", b"<To/></soapenv:Header>"))
    assert "Waar: To, regel 2." in (await fault(world, doubled)).cause


# --- every facet of digipoort 1.6 -------------------------------------------------------------------------------------

FACETS = {
    "kenmerk": 40,
    "berichtsoort": 80,
    "berichtkenmerk": 256,
    "aanleverkenmerk": 40,
    "eerderAanleverkenmerk": 40,
    "identiteitAanleveraar": 35,
    "rolBelanghebbende": 40,
    "rolOntvanger": 40,
    "autorisatieAdres": 255,
    "statuscode": 20,
    "foutcode": 20,
    "foutbeschrijving": 1_048_576,
    "statusdetails": 1_048_576,
    "code": 20,
    "beschrijving": 1_048_576,
    "naam": 40,
    "waarde": 255,
    "nummer": 35,
    "type": 20,
    "mimeType": 255,
    "bestandsnaam": 80,
}
"""maxLength by element name. Source: digipoort 1.6."""
PARTY = "<{0}><nummer>001000044B37</nummer><type>Fi</type></{0}>"
WHO = PARTY.format("identiteitBelanghebbende")
DOCUMENT = "<mimeType>text/xml</mimeType><bestandsnaam>a.xbrl</bestandsnaam><inhoud>PHhicmwvPg==</inhoud>"
WINDOW = (
    "<autorisatieAdres>http://geenausp.nl</autorisatieAdres><tijdstempelVanaf>2026-01-01T00:00:00Z</tijdstempelVanaf>"
    "<tijdstempelTot>2027-01-01T00:00:00Z</tijdstempelTot>"
)
KENMERK, SOORT = "<kenmerk>k</kenmerk>", "<berichtsoort>Omzetbelasting</berichtsoort>"
MOMENT = "2026-01-05T10:00:00Z"
REQUESTS = {
    "aanleverRequest": KENMERK
    + f"{SOORT}<aanleverkenmerk>a</aanleverkenmerk><eerderAanleverkenmerk>e</eerderAanleverkenmerk>{WHO}"
    + f"<rolBelanghebbende>Bedrijf</rolBelanghebbende>{PARTY.format('identiteitOntvanger')}"
    + f"<rolOntvanger>o</rolOntvanger><berichtInhoud>{DOCUMENT}</berichtInhoud><berichtBijlagen><bijlage>{DOCUMENT}"
    + "</bijlage></berichtBijlagen><autorisatieAdres>http://geenausp.nl</autorisatieAdres>",
    "getBerichtsoortenRequest": f"{WHO}<autorisatieAdres>http://geenausp.nl</autorisatieAdres>",
    "getProcessenRequest": f"{SOORT}{WHO}<autorisatieAdres>http://geenausp.nl</autorisatieAdres>",
    "getStatussenProcesRequest": KENMERK + WINDOW,
    "getNieuweStatussenProcesRequest": KENMERK + WINDOW,
    "getNieuweStatussenRequest": SOORT + WHO + WINDOW,
    "getBerichtenRequest": SOORT + WHO + WINDOW,
    "getNieuweBerichtenRequest": SOORT + WHO + WINDOW,
    "getBerichtenLijstRequest": SOORT + WINDOW,
    "getNieuweBerichtenLijstRequest": SOORT + WINDOW,
    "getBerichtenKenmerkRequest": KENMERK + WINDOW,
    "getNieuweBerichtenKenmerkRequest": KENMERK + WINDOW,
    "afleverRequest": KENMERK
    + f"{SOORT}<berichtkenmerk>b</berichtkenmerk><aanleverkenmerk>a</aanleverkenmerk><tijdstempelAangeleverd>{MOMENT}"
    + f"</tijdstempelAangeleverd>{WHO}<rolBelanghebbende>Bedrijf</rolBelanghebbende><identiteitAanleveraar>1"
    + f"</identiteitAanleveraar>{PARTY.format('identiteitOntvanger')}<rolOntvanger>o</rolOntvanger><berichtInhoud>"
    + f"{DOCUMENT}</berichtInhoud><constateringenLijst><constatering><code>c</code><beschrijving>b</beschrijving>"
    + "</constatering></constateringenLijst><additioneleElementenLijst><element><naam>n</naam><waarde>w</waarde>"
    + "</element></additioneleElementenLijst>",
    "zetStatusRequest": KENMERK
    + f"<berichtkenmerk>b</berichtkenmerk><statuscode>500</statuscode><tijdstempelStatus>{MOMENT}</tijdstempelStatus>"
    + "<statusFoutcode><foutcode>f</foutcode><foutbeschrijving>b</foutbeschrijving></statusFoutcode>"
    + "<statusdetails>d</statusdetails>",
}
"""All requests with everything in them, by digipoort 1.4."""
LEAF = re.compile(r"<(\w+)>([^<]*)</\1>")


def leaves(request: str) -> list[tuple[str, str, int, int]]:
    """(request, element, start and end of its text in the body)."""
    return [(request, m[1], m.start(2), m.end(2)) for m in LEAF.finditer(REQUESTS[request])]


LEAVES = [leaf for request in REQUESTS for leaf in leaves(request)]
LIMITED = [leaf for leaf in LEAVES if leaf[1] in FACETS]
OFFERED = {
    (op.request.rpartition("}")[2] if isinstance(op.request, str) else ""): (service, op)
    for service, _ in services.PATHS.values()
    for op in service.operations
}


def named(leaf: tuple[str, str, int, int]) -> str:
    return f"{leaf[0]}-{leaf[1]}-{leaf[2]}"


def filled(leaf: tuple[str, str, int, int], text: str) -> bytes:
    """The request with another text in one place."""
    request, _, start, end = leaf
    body = REQUESTS[request]
    return f'<{request} xmlns="{KV}">{body[:start]}{text}{body[end:]}</{request}>'.encode()


def text_of(element: str, length: int) -> str:
    return "x" * length if element != "autorisatieAdres" else "http://x/" + "x" * (length - 9)


def test_every_request_of_the_contract_is_in_the_table() -> None:
    """Twelve of the public services, two between hub and agency; each facet occurs."""
    assert (14, set(FACETS)) == (len(REQUESTS), {element for _, element, *_ in LIMITED})
    offered = {op.request for service, _ in services.PATHS.values() for op in service.operations}
    assert {name.rpartition("}")[2] for name in offered} == set(REQUESTS) - {"afleverRequest"}


@pytest.mark.parametrize("leaf", LIMITED, ids=named)
def test_the_longest_text_fits_and_one_more_does_not(leaf: tuple[str, str, int, int]) -> None:
    """By the schema: which element, how many characters, how many are allowed."""
    _, element, _, _ = leaf
    checked(filled(leaf, text_of(element, FACETS[element])))
    with pytest.raises(PeerError) as refusal:
        checked(filled(leaf, text_of(element, FACETS[element] + 1)))
    (finding,) = refusal.value.all()
    assert ("schema", f"regel 1, element {element}") == (finding.cause.name, finding.where)
    found = (f"{FACETS[element] + 1} tekens", f"hoogstens {FACETS[element]}")
    assert found == (finding.found, finding.expected)


def checked(octets: bytes) -> None:
    schema.check(etree.fromstring(octets, etree.XMLParser(huge_tree=True)))


async def post(world: World, sender: Sender, leaf: tuple[str, str, int, int], text: str) -> Fault | None:
    """Over the whole path; the fault, or None when it was answered."""
    service, operation = OFFERED[leaf[0]]
    octets = sender.seal(operation, service, koppelvlak.Written(filled(leaf, text), {}))
    before = world.stored()
    answer = await world.post(sender.request(service, operation, octets))
    if answer.status == 200:
        return None
    assert world.stored() == before
    return fault_of(answer)


@pytest.mark.parametrize("leaf", [leaf for leaf in LIMITED if leaf[0] in OFFERED], ids=named)
async def test_over_long_values_are_refused_and_explained(
    world: World, jansen: Sender, belastingdienst: Sender, leaf: tuple[str, str, int, int]
) -> None:
    """On the wire: element, found, expected; the texts of a megabyte are too much for the tree already."""
    sender = belastingdienst if leaf[0] == "zetStatusRequest" else jansen
    most = FACETS[leaf[1]]
    found = await post(world, sender, leaf, text_of(leaf[1], most + 1))
    assert found is not None
    explained(found)
    if most < limits.TREE:
        assert f"element {leaf[1]}. Gevonden: {most + 1} tekens. Verwacht: hoogstens {most}." in found.cause
    else:
        assert found.cause.startswith("Het verzoek is te groot.")


@pytest.mark.parametrize("leaf", [leaf for leaf in LEAVES if leaf[0] in OFFERED], ids=named)
async def test_empty_values_are_answered_or_explained(
    world: World, jansen: Sender, belastingdienst: Sender, leaf: tuple[str, str, int, int]
) -> None:
    """No minLength anywhere: an empty text is valid; what cannot be used is refused, with all four parts."""
    sender = belastingdienst if leaf[0] == "zetStatusRequest" else jansen
    found = await post(world, sender, leaf, "")
    if found is not None:
        assert found.fout is not None
        assert found.fout.foutcode.endswith("100")
        explained(found)
    if leaf[1].startswith("tijdstempel"):
        assert found is not None
        assert f"element {leaf[1]}. Gevonden: een waarde van een ander soort. Verwacht: een tijdstip" in found.cause
