"""Our XSD gives the verdicts of the official one, and zeep can load each WSDL we serve."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zeep
from lxml import etree

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "schemas"
SHARED = Path(os.environ.get("DIGIPOORT_SHARED", ROOT.parent / "shared"))
KV = "http://logius.nl/digipoort/koppelvlakservices/1.2/"
XSD = "http://www.w3.org/2001/XMLSchema"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
POLICY = "http://docs.oasis-open.org/ws-sx/ws-securitypolicy/200702"
WSAM = "http://www.w3.org/2007/05/addressing/metadata"

needs_shared = pytest.mark.skipif(
    not (SHARED / "data" / "contract").is_dir(), reason="the official contract (shared/data/contract) is not beside us"
)

OPERATIONS = {
    "AanleverService": ["aanleveren"],
    "StatusinformatieService": [
        "getBerichtsoorten",
        "getProcessen",
        "getStatussenProces",
        "getNieuweStatussenProces",
        "getNieuweStatussen",
    ],
    "OphaalService": [
        "getBerichten",
        "getNieuweBerichten",
        "getBerichtenLijst",
        "getNieuweBerichtenLijst",
        "getBerichtenKenmerk",
        "getNieuweBerichtenKenmerk",
    ],
    "AfleverService": ["afleveren"],
    "ZetStatusService": ["zetStatus"],
}
"""digipoort.md 1.2; the last two are ours."""


def ours() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(SCHEMAS / "digipoort-koppelvlak-1.2.xsd")))


def official() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(SHARED / "data" / "contract" / "digipoort-koppelvlak-1.2.xsd")))


def errors(schema: etree.XMLSchema, document: etree._Element) -> list[tuple[int, str]]:
    """Where and what kind of error, so that 'refused' means refused for the same reason."""
    copy = etree.fromstring(etree.tostring(document))
    schema.validate(copy)
    return [(error.line, error.type_name) for error in schema.error_log]


def bodies() -> Iterator[tuple[str, etree._Element]]:
    for path in sorted((SHARED / "data").glob("wus/*.xml")) + sorted((SHARED / "data").glob("afleveren/*.xml")):
        root = etree.parse(str(path)).getroot()
        body = root.find(f"{{{SOAP}}}Body")
        if body is None:
            yield path.name, root
        elif body.find(f"{{{SOAP}}}Fault") is not None:
            yield path.name, body.find(f"{{{SOAP}}}Fault/detail/*")
        else:
            yield path.name, body[0]


@needs_shared
def test_every_message_there_gets_the_same_verdict() -> None:
    """Real and constructed bodies: valid by both, or refused at the same line for the same kind of reason."""
    mine, theirs = ours(), official()
    seen = {name: errors(mine, body) for name, body in bodies()}
    assert len(seen) == 12
    assert seen == {name: errors(theirs, body) for name, body in bodies()}
    assert [name for name, found in seen.items() if found] == [
        "CONSTRUCTED-afleverRequest-aanleveraar-as-nummer-type.xml"
    ]


# --- generated messages: shapes are read from the official file, never from ours ----------------------------------


class Shapes:
    """The official schema as a source of messages."""

    def __init__(self) -> None:
        self.root = etree.parse(str(SHARED / "data" / "contract" / "digipoort-koppelvlak-1.2.xsd")).getroot()
        self.named = {e.get("name"): e for e in self.root if e.tag in {f"{{{XSD}}}complexType", f"{{{XSD}}}simpleType"}}
        self.elements = [e for e in self.root if e.tag == f"{{{XSD}}}element"]

    def definition(self, element: etree._Element) -> etree._Element | None:
        name = element.get("type")
        if name is None:
            return (
                element.find(f"{{{XSD}}}complexType")
                if len(element) and element[0].tag.endswith("complexType")
                else element[0]
            )
        return self.named.get(name.removeprefix("tns:")) if name.startswith("tns:") else None

    def make(self, element: etree._Element, dice: random.Random) -> etree._Element:
        made = etree.Element(f"{{{KV}}}{element.get('name')}", nsmap={None: KV})
        definition = self.definition(element)
        if definition is not None and definition.tag == f"{{{XSD}}}complexType":
            for child in definition.iterfind(f"{{{XSD}}}sequence/{{{XSD}}}element"):
                low, high = int(child.get("minOccurs", "1")), 2 if child.get("maxOccurs") else 1
                for _ in range(dice.randint(low, high)):
                    made.append(self.make(child, dice))
        else:
            made.text = self.text(element, definition, dice)
        return made

    def text(self, element: etree._Element, definition: etree._Element | None, dice: random.Random) -> str:
        if element.get("type") == "xsd:dateTime":
            return dice.choice(["2026-01-05T10:00:00Z", "2026-01-05T10:00:00.123+01:00", "2026-02-28T23:59:59"])
        if element.get("name") == "inhoud":
            return dice.choice(["", "PHhicmwvPg==", "PHhi cmwv\nPg=="])
        assert definition is not None
        limit = int(definition.find(f".//{{{XSD}}}maxLength").get("value"))
        if element.get("name") == "autorisatieAdres":
            return dice.choice(["", "http://geenausp.nl", "urn:x"])
        return dice.choice(["", "x", "a b", "é" * min(limit, 30), "y" * min(limit, 300), "  z\n\tz "])


def leaves(root: etree._Element) -> list[etree._Element]:
    return [e for e in root.iter() if len(e) == 0 and e is not root] or [root]


def any_of(root: etree._Element, dice: random.Random) -> etree._Element:
    return dice.choice([e for e in root.iter() if e is not root] or [root])


def missing(root: etree._Element, dice: random.Random) -> None:
    victim = any_of(root, dice)
    if victim.getparent() is not None:
        victim.getparent().remove(victim)


def doubled(root: etree._Element, dice: random.Random) -> None:
    victim = any_of(root, dice)
    if victim.getparent() is not None:
        victim.addnext(etree.fromstring(etree.tostring(victim)))


def over_long(root: etree._Element, dice: random.Random) -> None:
    dice.choice(leaves(root)).text = "x" * dice.choice([21, 36, 41, 81, 256, 257, 1_048_577])


def wrong_order(root: etree._Element, dice: random.Random) -> None:
    victim = any_of(root, dice)
    if victim.getprevious() is not None:
        victim.addnext(victim.getprevious())


def wrong_type(root: etree._Element, dice: random.Random) -> None:
    dice.choice(leaves(root)).text = dice.choice(
        ["2026-13-45T99:00:00Z", "geen base64!", "http://[", "%zz", "5 januari"]
    )


def empty(root: etree._Element, dice: random.Random) -> None:
    victim = any_of(root, dice)
    for child in list(victim):
        victim.remove(child)
    victim.text = None


def wrong_name(root: etree._Element, dice: random.Random) -> None:
    victim = any_of(root, dice)
    victim.tag = dice.choice([f"{{{KV}}}onbekend", etree.QName(victim).localname, f"{{{KV[:-1]}}}kenmerk"])


def attribute(root: etree._Element, dice: random.Random) -> None:
    any_of(root, dice).set("extra", "1")


def untouched(root: etree._Element, dice: random.Random) -> None:
    """Stay valid."""


BREAKERS: list[Callable[[etree._Element, random.Random], None]] = [
    untouched,
    untouched,
    missing,
    doubled,
    over_long,
    wrong_order,
    wrong_type,
    empty,
    wrong_name,
    attribute,
]


@needs_shared
def test_generated_messages_get_the_same_verdict() -> None:
    """330 messages, every element of the contract ten times: as made, and with one thing broken."""
    shapes, dice = Shapes(), random.Random(3)
    mine, theirs = ours(), official()
    verdicts = []
    for element in shapes.elements:
        for breaker in BREAKERS:
            message = shapes.make(element, dice)
            breaker(message, dice)
            got, expected = errors(mine, message), errors(theirs, message)
            assert got == expected, (breaker.__name__, etree.tostring(message)[:2000])
            verdicts.append((breaker is untouched, not expected))
    assert len(verdicts) == 330
    assert all(valid for whole, valid in verdicts if whole)
    assert sum(not valid for _, valid in verdicts) > 120


@needs_shared
def test_all_elements_of_the_contract_are_there() -> None:
    """The same 33 global elements."""
    mine = etree.parse(str(SCHEMAS / "digipoort-koppelvlak-1.2.xsd")).getroot()
    names = {e.get("name") for e in mine.iterfind(f"{{{XSD}}}element")}
    assert names == {e.get("name") for e in Shapes().elements}
    assert len(names) == 33


def minimal_aanlever_request(inhoud: str) -> etree._Element:
    return etree.fromstring(
        f'<aanleverRequest xmlns="{KV}"><berichtsoort>B</berichtsoort><identiteitBelanghebbende><nummer>1</nummer>'
        "<type>BTW</type></identiteitBelanghebbende><rolBelanghebbende/><berichtInhoud><mimeType>text/xml</mimeType>"
        f"<bestandsnaam>b.xml</bestandsnaam><inhoud>{inhoud}</inhoud></berichtInhoud></aanleverRequest>",
        etree.XMLParser(huge_tree=True),
    )


@pytest.mark.parametrize(("size", "valid"), [(20_971_520, True), (20_971_521, False)])
def test_inhoud_has_a_limit_in_octets(size: int, valid: bool) -> None:
    """maxLength of inhoud counts decoded octets: 20 MiB is accepted, one more is not."""
    groups, rest = divmod(size, 3)
    text = "AAAA" * groups + {0: "", 1: "AA==", 2: "AAA="}[rest]
    assert ours().validate(minimal_aanlever_request(text)) is valid


# --- WSDL -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", OPERATIONS)
def test_zeep_loads_each_wsdl(service: str) -> None:
    """The import of the schema is relative, so a WSDL on disk loads; names as digipoort 1.2 and 1.3."""
    wsdl = zeep.Client(str(SCHEMAS / f"{service}_V1_2.wsdl")).wsdl
    namespace = f"http://logius.nl/digipoort/wus/2.0/{service.lower()}/1.2/"
    port = wsdl.services[f"{service}_V1_2"].ports[f"{service}_V1_2"]
    assert port.binding.name == f"{{{namespace}}}{service}SoapBinding_V1_2"
    assert port.binding.port_type.name == f"{{{namespace}}}{service}_V1_2"
    operations = port.binding._operations
    assert list(operations) == OPERATIONS[service]
    assert {o.soapaction for o in operations.values()} == {
        f"{namespace}{service}/{name}Request" for name in OPERATIONS[service]
    }


def test_zeep_writes_the_body_element_without_en() -> None:
    """Operation aanleveren has body element aanleverRequest."""
    client = zeep.Client(str(SCHEMAS / "AanleverService_V1_2.wsdl"))
    message = client.create_message(
        client.service,
        "aanleveren",
        berichtsoort="Omzetbelasting",
        identiteitBelanghebbende={"nummer": "001000044B37", "type": "Fi"},
        rolBelanghebbende="Bedrijf",
        berichtInhoud={"mimeType": "text/xml", "bestandsnaam": "b.xbrl", "inhoud": b"<x/>"},
    )
    operation = message.find(f"{{{SOAP}}}Body")[0]
    assert operation.tag == f"{{{KV}}}aanleverRequest"
    assert ours().validate(operation)


@pytest.mark.parametrize("service", OPERATIONS)
def test_the_policy_is_clean(service: str) -> None:
    """One algorithm suite and wsam:AnonymousResponses; all parts that must be signed are named (digipoort 1.8)."""
    root = etree.parse(str(SCHEMAS / f"{service}_V1_2.wsdl")).getroot()
    suites = root.findall(f".//{{{POLICY}}}AlgorithmSuite/*/*")
    assert [etree.QName(s).localname for s in suites] == ["Basic256Sha256Rsa15"]
    assert len(root.findall(f".//{{{WSAM}}}AnonymousResponses")) == 1
    assert {h.get("Name") for h in root.iterfind(f".//{{{POLICY}}}Header")} == {
        "To",
        "From",
        "FaultTo",
        "ReplyTo",
        "MessageID",
        "RelatesTo",
        "Action",
    }


@needs_shared
@pytest.mark.parametrize("service", ["AanleverService", "StatusinformatieService", "OphaalService"])
def test_names_and_actions_are_those_of_the_official_wsdl(service: str) -> None:
    """Messages, parts, port type, binding, service, soapActions and wsaw:Actions are equal."""

    def names(path: Path) -> set[tuple[str, ...]]:
        root = etree.parse(str(path)).getroot()
        wanted = (
            "name",
            "element",
            "type",
            "message",
            "binding",
            "soapAction",
            "{http://www.w3.org/2006/05/addressing/wsdl}Action",
        )
        return {
            (etree.QName(e).localname, *(str(e.get(a)) for a in wanted))
            for e in root.iter(etree.Element)
            if etree.QName(e).namespace in {"http://schemas.xmlsoap.org/wsdl/", "http://schemas.xmlsoap.org/wsdl/soap/"}
        }

    assert names(SCHEMAS / f"{service}_V1_2.wsdl") == names(SHARED / "data" / "contract" / f"{service}_V1_2.wsdl")
