"""Digikoppeling's rules for a WSDL (DK-WUS 3.8.1, WW001 to WS008): our WSDLs keep them, and a broken one is noticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
SOAP = "{http://schemas.xmlsoap.org/wsdl/soap/}"
XSD = "{http://www.w3.org/2001/XMLSchema}"
WSAM = "{http://www.w3.org/2007/05/addressing/metadata}Action"
HTTP = "http://schemas.xmlsoap.org/soap/http"
SOAP_ENCODING = "http://schemas.xmlsoap.org/soap/encoding/"
FILES = sorted(path.name for path in SCHEMAS.glob("*Service_V1_2.wsdl"))  # that of an AuSP is no Digikoppeling service


def read(name: str) -> etree._Element:
    return etree.parse(str(SCHEMAS / name)).getroot()


def breaches(wsdl: etree._Element) -> set[str]:
    """The rules that a WSDL does not keep."""
    bindings, operations = wsdl.findall(f"{WSDL}binding"), wsdl.findall(f"{WSDL}portType/{WSDL}operation")
    bodies = [*wsdl.iter(f"{SOAP}body"), *wsdl.iter(f"{SOAP}fault")]
    soap_bindings = [binding.find(f"{SOAP}binding") for binding in bindings]
    styles = [*soap_bindings, *wsdl.iter(f"{SOAP}operation")]
    kept = {
        "WW001": all(one is not None and one.get("transport") == HTTP for one in soap_bindings)
        and {one.get("style", "document") for one in styles if one is not None} == {"document"}
        and {body.get("use") for body in bodies} == {"literal"},
        "WW002": SOAP_ENCODING not in etree.tostring(wsdl).decode(),
        "WW003": all(len(message) == 1 for message in wsdl.findall(f"{WSDL}message")),
        "WW004": all(part.get("element") and not part.get("type") for part in wsdl.iter(f"{WSDL}part")),
        "WS002": {action_of(operation, wsdl) for operation in operations} <= {"same"},
        "WS003": all([child.tag for child in op][:2] == [f"{WSDL}input", f"{WSDL}output"] for op in operations),
        "WS005": len(wsdl.findall(f"{WSDL}portType")) == 1,
        "WS008": all(op.find(f"{WSDL}{side}").get(WSAM) for op in operations for side in ("input", "output")
                     if op.find(f"{WSDL}{side}") is not None),
    }  # fmt: skip
    return {rule for rule, good in kept.items() if not good}


def action_of(operation: etree._Element, wsdl: etree._Element) -> str:
    """WS002: the soapAction is empty, absent, or the wsam:Action of the input."""
    bound = wsdl.find(f"{WSDL}binding/{WSDL}operation[@name='{operation.get('name')}']/{SOAP}operation")
    found = bound.get("soapAction", "")
    return "same" if found in ("", operation.find(f"{WSDL}input").get(WSAM)) else found


@pytest.mark.parametrize("name", FILES)
def test_our_wsdls_keep_the_rules(name: str) -> None:
    """All five, those for businesses and those between hub and agency."""
    assert set() == breaches(read(name))


def test_a_service_may_have_several_operations() -> None:
    """WS001: statusinformatie has five and ophalen six."""
    counts = {name: len(read(name).findall(f"{WSDL}portType/{WSDL}operation")) for name in FILES}
    assert {"StatusinformatieService_V1_2.wsdl": 5, "OphaalService_V1_2.wsdl": 6} == {
        name: count for name, count in counts.items() if count > 1
    }


def attribute(path: str, name: str, value: str) -> Callable[[etree._Element], None]:
    return lambda wsdl: wsdl.find(path).set(name, value)


def without(path: str) -> Callable[[etree._Element], None]:
    def drop(wsdl: etree._Element) -> None:
        element = wsdl.find(path)
        element.getparent().remove(element)

    return drop


def doubled(path: str) -> Callable[[etree._Element], None]:
    return lambda wsdl: wsdl.find(path).addnext(etree.fromstring(etree.tostring(wsdl.find(path))))


BROKEN: dict[str, tuple[Callable[[etree._Element], None], str]] = {
    "rpc": (attribute(f".//{SOAP}binding", "style", "rpc"), "WW001"),
    "encoded": (attribute(f".//{SOAP}body", "use", "encoded"), "WW001"),
    "over mail": (attribute(f".//{SOAP}binding", "transport", "http://schemas.xmlsoap.org/soap/smtp"), "WW001"),
    "SOAP encoding": (attribute(f".//{SOAP}body", "encodingStyle", SOAP_ENCODING), "WW002"),
    "two parts": (doubled(f".//{WSDL}part"), "WW003"),
    "a part of a type": (attribute(f".//{WSDL}part", "type", "xsd:string"), "WW004"),
    "another soapAction": (attribute(f".//{SOAP}operation", "soapAction", "urn:x"), "WS002"),
    "one way": (without(f"{WSDL}portType/{WSDL}operation/{WSDL}output"), "WS003"),
    "two port types": (doubled(f"{WSDL}portType"), "WS005"),
    "no wsam:Action": (lambda wsdl: wsdl.find(f"{WSDL}portType//{WSDL}output").attrib.pop(WSAM), "WS008"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_breach_is_noticed(name: str) -> None:
    """The same WSDL with one thing otherwise."""
    change, rule = BROKEN[name]
    wsdl = read("AanleverService_V1_2.wsdl")
    change(wsdl)
    assert {rule} == breaches(wsdl)
