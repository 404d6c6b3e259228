"""The table of services says what the WSDLs say."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_wus import Sender, World, fault_of
from lxml import etree

from digipoort_as4.wus.koppelvlak import Written
from digipoort_as4.wus.operations import AFLEVEREN, SERVICES, ZET_STATUS, Operation, Service

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
SOAP = "{http://schemas.xmlsoap.org/wsdl/soap/}"
WSAW = "{http://www.w3.org/2006/05/addressing/wsdl}"
KV = "http://logius.nl/digipoort/koppelvlakservices/1.2/"
HUB = [(service, operation) for service in SERVICES if service != AFLEVEREN for operation in service.operations]


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_actions_elements_and_paths_are_those_of_the_wsdl(service: Service) -> None:
    """Per operation: soapAction, answer and fault action, request and response element; per service: path and fault."""
    root = etree.parse(str(SCHEMAS / service.wsdl)).getroot()
    soap_actions = {
        e.get("name"): e.find(f"{SOAP}operation").get("soapAction")
        for e in root.iterfind(f"{WSDL}binding/{WSDL}operation")
    }
    assert {op.name: op.request_action for op in service.operations} == soap_actions
    port = {e.get("name"): e for e in root.iterfind(f"{WSDL}portType/{WSDL}operation")}
    elements = {e.get("name"): e[0].get("element").replace("kv:", f"{{{KV}}}") for e in root.iterfind(f"{WSDL}message")}
    for operation in service.operations:
        request, response, fault = port[operation.name]
        assert operation.request == elements[request.get("message").removeprefix("tns:")]
        assert operation.response == elements[response.get("message").removeprefix("tns:")]
        assert f"{{{KV}}}{service.fault}" == elements[fault.get("message").removeprefix("tns:")]
        assert operation.response_action == response.get(f"{WSAW}Action")
        assert operation.fault_action == fault.get(f"{WSAW}Action")
    assert root.find(f".//{SOAP}address").get("location") == f"https://localhost{service.path}"


def test_the_mind_the_en_rule() -> None:
    """Operation aanleveren, action aanleverenRequest, element aanleverRequest (digipoort 1.2)."""
    operation = SERVICES[0].operations[0]
    assert operation.request_action == (
        "http://logius.nl/digipoort/wus/2.0/aanleverservice/1.2/AanleverService/aanleverenRequest"
    )
    assert operation.request == f"{{{KV}}}aanleverRequest"


@pytest.mark.parametrize(("service", "operation"), HUB, ids=[operation.name for _, operation in HUB])
async def test_every_operation_is_offered(
    service: Service, operation: Operation, world: World, jansen: Sender, belastingdienst: Sender
) -> None:
    """A request without elements is read further, not refused as an operation that is not there."""
    sender = belastingdienst if service == ZET_STATUS else jansen
    body = Written(f'<{operation.stem}Request xmlns="{KV}"></{operation.stem}Request>'.encode(), {})
    answer = await world.post(sender.request(service, operation, sender.seal(operation, service, body)))
    fault = fault_of(answer) if answer.status != 200 else None  # some requests need no element
    assert fault is None or "De operatie wordt niet aangeboden." not in fault.fout.foutbeschrijving
