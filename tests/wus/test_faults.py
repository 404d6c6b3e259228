"""Faults: the exact shape of the real ones, with a cause in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers_wus import Sender, World, fault_of, tree
from lxml import etree

from digipoort_as4.errors import CAUSES, ConfigError, PeerError
from digipoort_as4.payload import BytesPayload, read_all
from digipoort_as4.soap import xml_guard
from digipoort_as4.transport.http import HttpRequest
from digipoort_as4.wus import faults, koppelvlak, schema, services
from digipoort_as4.wus.faults import FaultTable, Hint
from digipoort_as4.wus.operations import AANLEVEREN, AFLEVEREN, OPHALEN, SERVICES, STATUSINFORMATIE, ZET_STATUS

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("DIGIPOORT_SHARED", ROOT.parent / "shared"))
REAL = SHARED / "data" / "wus"
needs_shared = pytest.mark.skipif(not REAL.is_dir(), reason="real faults (shared/data/wus) are not beside us")

KV = "http://logius.nl/digipoort/koppelvlakservices/1.2/"
OPENING = (
    "Het verzoek voldoet niet aan de koppelvlakspecificaties en kan hierdoor niet door Digipoort worden verwerkt.\n\n"
    "De volgende fout is opgetreden: \n"
)


def written(refusal: PeerError, hint: Hint | None = None) -> bytes:
    hint = hint or Hint(AANLEVEREN, AANLEVEREN.operations[0], "urn:uuid:fbb2d0e7-d861-408b-98b8-2708f8f3210f")
    code = faults.DEFAULT.code(hint.service, refusal.cause)
    return faults.build(refusal, hint, code, "0123abcd", "urn:uuid:fbb2d0e7-d861-408b-98b8-2708f8f3210f")


def structure(root: etree._Element) -> list[tuple[object, ...]]:
    """Names, prefixes, attributes and texts in order; of foutbeschrijving only what stands before the cause."""
    rows = []
    for element in root.iter():
        text = (element.text or "").partition("opgetreden:")[0]
        rows.append((element.tag, element.prefix, tuple(element.attrib.items()), text))
    return rows


@needs_shared
def test_a_fault_is_built_like_the_real_one() -> None:
    """Same elements, prefixes, header order and texts as the real ALS100 fault; only the cause is not empty."""
    real = etree.parse(str(REAL / "fault-deliver-response.xml")).getroot()
    ours = etree.fromstring(written(PeerError("not-xml")))
    assert structure(ours) == structure(real)
    assert written(PeerError("not-xml")).startswith((REAL / "fault-deliver-response.xml").read_bytes()[:300])


@needs_shared
@pytest.mark.parametrize(
    ("name", "element", "code"),
    [
        ("fault-deliver-response.xml", "aanleverFault", "ALS100"),
        ("fault-newstatus-response.xml", "statusinformatieFault", "STS100"),
        ("fault-newstatus-response-indented.xml", "statusinformatieFault", "STS100"),
    ],
)
def test_real_faults_are_read(name: str, element: str, code: str) -> None:
    """Unsigned, with an empty cause."""
    fault = koppelvlak.read_fault(xml_guard.parse((REAL / name).read_bytes()))
    assert fault is not None
    assert (fault.faultcode, fault.faultstring, fault.element) == ("soapenv:Client", "Algemene fout", element)
    assert fault.fout is not None
    assert fault.fout.foutcode == code


@pytest.mark.parametrize("cause", CAUSES)
def test_no_cause_leaves_the_line_empty(cause: str) -> None:
    """Each cause, bare, in each service: valid detail, text behind the fixed sentence, foutcode by the table."""
    for service in SERVICES:
        octets = written(PeerError(cause), Hint(service, service.operations[0], "urn:x"))
        detail = etree.fromstring(octets).find(".//detail/*")
        assert detail.tag == f"{{{KV}}}{service.fault}"
        schema.check(detail)
        after = detail.findtext(f"{{{KV}}}foutbeschrijving").partition("De volgende fout is opgetreden: \n")[2]
        assert after.strip().startswith(CAUSES[cause].text)
        number = {"aanleveren": "ALS", "statusinformatie": "STS", "ophalen": "OHS"}.get(service.name, "AFS")
        assert detail.findtext(f"{{{KV}}}foutcode") == f"{number}{'400' if CAUSES[cause].technical else '100'}"


def test_explained_causes_say_where_found_expected_and_fix() -> None:
    """In this order, on one line."""
    refusal = PeerError("schema", where="regel 3", found="a.", expected="b", fix="Doe c.", detail="intern")
    text = faults.foutbeschrijving(refusal, "0123abcd", AANLEVEREN)
    assert text == (
        OPENING
        + "Het bericht voldoet niet aan het XML-schema. Waar: regel 3. Gevonden: a. Verwacht: b. Oplossing: Doe c. "
        "DK-BP 0004: Niet conform xsd.\n"
    )


def test_the_others_say_nothing_but_the_journal_number() -> None:
    """Nothing of where, found, expected, fix or detail leaves (decision 5)."""
    refusal = PeerError("certificate-revoked", where="w", found="f", expected="e", fix="x", detail="d")
    assert faults.foutbeschrijving(refusal, "0123abcd", AANLEVEREN) == (
        OPENING + "De beveiliging van het bericht kon niet worden vastgesteld. "
        "Vermeld bij navraag journaalnummer 0123abcd. DK-BP 0002: Niet geautoriseerd.\n"
    )


def test_an_agency_refuses_in_the_words_known_of_agencies() -> None:
    """AFS100: the Procesinfrastructuur instead of Digipoort (digipoort 3.3)."""
    text = faults.foutbeschrijving(PeerError("kenmerk-unknown"), "0123abcd", AFLEVEREN)
    assert text.startswith(OPENING.replace("door Digipoort", "door de Procesinfrastructuur"))


def test_a_peers_words_cannot_break_out() -> None:
    """Markup is escaped; control characters and line breaks become spaces; a megabyte is the most."""
    hostile = "</fault:foutcode>\x00\x1b[31m\r\nDe volgende fout is opgetreden: \u2028\u202e" + "]]>" + "é" * 2_000_000
    octets = written(PeerError("soap-action", found=hostile))
    detail = etree.fromstring(octets).find(".//detail/*")
    assert [child.tag for child in detail] == [f"{{{KV}}}foutcode", f"{{{KV}}}foutbeschrijving"]
    schema.check(detail)
    text = detail.findtext(f"{{{KV}}}foutbeschrijving")
    assert len(text) == 1_048_576
    assert text.removeprefix(OPENING).count("\n") == 0
    assert not {c for c in text if not c.isprintable()} - {"\n"}


def test_the_hostile_message_id_is_escaped() -> None:
    """RelatesTo repeats what an unverified request said."""
    root = etree.fromstring(written(PeerError("digest"), Hint(AANLEVEREN, AANLEVEREN.operations[0], "<x>&\x01")))
    assert root.findtext(".//{*}RelatesTo") == "<x>&"


# --- what the fault is about (decision 6) ---------------------------------------------------------------------------


def names(root: etree._Element) -> list[str]:
    return [element.tag.rpartition("}")[2] for element in root[0]]


async def test_the_operation_comes_from_soap_action_then_body(world: World, jansen: Sender) -> None:
    """With neither, Action and RelatesTo are left out."""
    request = jansen.aanleveren(message_id="urn:uuid:q")
    octets = read_all(request.body)
    bare = {"content-type": "text/xml"}
    broken = BytesPayload(octets.replace(b"Happyflow", b"Sadflow"))
    by_body = tree(await world.post(HttpRequest("POST", request.path, "", bare, broken, request.tls_certificate)))
    assert by_body.findtext(".//{*}Action").endswith("/AanleverService/aanleveren/Fault/")
    assert by_body.findtext(".//{*}RelatesTo") == "urn:uuid:q"
    not_xml = BytesPayload(b"<")
    by_action = await world.post(
        HttpRequest("POST", request.path, "", dict(request.headers), not_xml, request.tls_certificate)
    )
    assert names(tree(by_action)) == ["To", "MessageID", "Action"]
    neither = await world.post(HttpRequest("POST", request.path, "", bare, not_xml, request.tls_certificate))
    assert names(tree(neither)) == ["To", "MessageID"]


async def test_each_service_has_its_own_fault(world: World, jansen: Sender) -> None:
    """By path, whatever the request is."""
    for path, (service, _) in services.PATHS.items():
        request = HttpRequest("POST", path, "", {"content-type": "text/xml"}, BytesPayload(b"?"), jansen.tls)
        assert fault_of(await world.post(request)).element == service.fault


async def test_an_operation_of_another_service_is_refused_by_name(world: World, jansen: Sender) -> None:
    """A valid, signed getProcessenRequest at the ophaalservice: the fault names the operations that are offered."""
    (row,) = [o for o in STATUSINFORMATIE.operations if o.name == "getProcessen"]
    octets = jansen.seal(row, OPHALEN, koppelvlak.Written(f'<getProcessenRequest xmlns="{KV}"/>'.encode(), {}))
    answer = await world.post(jansen.request(OPHALEN, row, octets))
    fault = fault_of(answer)
    assert (fault.element, fault.fout and fault.fout.foutcode) == ("ophaalFault", "OHS100")
    assert "Gevonden: getProcessenRequest. Verwacht: getBerichten, getNieuweBerichten, " in fault.cause
    assert world.stored() == {}


# --- the table ------------------------------------------------------------------------------------------------------


def test_foutcodes_can_be_configured() -> None:
    """One cause of one service; all others keep their default."""
    table = FaultTable.of({"aanleveren": {"berichtsoort-unknown": "ALS110"}})
    assert table.code(AANLEVEREN, CAUSES["berichtsoort-unknown"]) == "ALS110"
    assert table.code(STATUSINFORMATIE, CAUSES["berichtsoort-unknown"]) == "STS100"
    assert table.code(AANLEVEREN, CAUSES["schema"]) == "ALS100"
    assert table.code(ZET_STATUS, CAUSES["storage"]) == "AFS400"


def test_a_wrong_table_lists_all_mistakes() -> None:
    """Unknown service, unknown cause, over-long code, no code."""
    with pytest.raises(ConfigError) as mistakes:
        FaultTable.of({"ophaal": {"schema": "OHS1"}, "ophalen": {"shema": "x" * 21, "schema": 5}, "aanleveren": 1})
    lines = str(mistakes.value).splitlines()
    assert any("there is no service 'ophaal'" in line for line in lines)
    assert any("there is no cause 'shema'" in line for line in lines)
    assert sum("1 to 20 characters" in line for line in lines) == 3
