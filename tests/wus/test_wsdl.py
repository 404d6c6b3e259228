"""What a GET shows: each WSDL, whole or with its schema inside, with the address the client can use; and the XSD."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from digipoort_as4.payload import BytesPayload, read_all
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wus import wsdl
from digipoort_as4.wus.operations import AANLEVEREN, AFLEVEREN, OPHALEN, SERVICES, Service

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
ALL = {path: service for service in SERVICES for path in service.paths}
HOST = "https://post.example:8443"
WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
SOAP = "{http://schemas.xmlsoap.org/wsdl/soap/}"
XS = "{http://www.w3.org/2001/XMLSchema}"
SP = "{http://docs.oasis-open.org/ws-sx/ws-securitypolicy/200702}"


def get(path: str, query: str = "", method: str = "GET", origin: str = HOST, public: str = "") -> HttpAnswer | None:
    return wsdl.answer(HttpRequest(method, path, query, {}, BytesPayload(b""), origin=origin), ALL, public)


def root_of(answer: HttpAnswer | None) -> etree._Element:
    assert answer is not None
    assert (200, "text/xml; charset=utf-8") == (answer.status, answer.headers["content-type"])
    return etree.fromstring(read_all(answer.body))


def addresses(root: etree._Element) -> list[str]:
    return [str(one.get("location")) for one in root.iter(f"{SOAP}address")]


def suites(root: etree._Element) -> list[str]:
    return [etree.QName(one).localname for one in root.iterfind(f".//{SP}AlgorithmSuite/*/*")]


def test_the_paths_are_those_of_production_and_of_the_aansluit_suite() -> None:
    """digipoort 1.9; the ophaalservice of the Aansluit Suite has a path of its own."""
    assert ("/wus/2.0/aanleverservice/1.2", "/cpl/aanleverservice/1.2") == AANLEVEREN.paths
    assert "/cpl/ophaalservice/services/OphaalService_V1_2" in OPHALEN.paths
    assert 11 == len(ALL)


@pytest.mark.parametrize(("path", "service"), ALL.items(), ids=ALL)
@pytest.mark.parametrize("query", ["wsdl", "WSDL", "singleWsdl", "wsdl=", "x=1&wsdl"])
def test_the_address_is_where_it_was_asked(path: str, service: Service, query: str) -> None:
    """At each path: this service's names, and a soap:address with that path below the host of the request."""
    root = root_of(get(path, query))
    assert [f"{HOST}{path}"] == addresses(root)
    assert etree.parse(str(SCHEMAS / service.wsdl)).getroot().get("targetNamespace") == root.get("targetNamespace")
    operations = [one.get("name") for one in root.iterfind(f"{WSDL}portType/{WSDL}operation")]
    assert sorted(operation.name for operation in service.operations) == sorted(operations)


def test_the_configured_address_comes_first() -> None:
    """Whatever the request says; also when it says nothing."""
    path = AANLEVEREN.path
    for origin in (HOST, ""):
        root = root_of(get(path, "wsdl", origin=origin, public="https://wus.example"))
        assert [f"https://wus.example{path}"] == addresses(root)


def test_an_address_stays_text() -> None:
    """A public URL with XML in it is escaped."""
    public = 'https://x.example/?a="b"&c=<d>'
    assert [f"{public}{AANLEVEREN.path}"] == addresses(root_of(get(AANLEVEREN.path, "wsdl", public=public)))


def test_without_an_address_there_is_no_wsdl() -> None:
    """A wrong address is worse than none."""
    answer = get(AANLEVEREN.path, "wsdl", origin="")
    assert answer is not None
    assert 400 == answer.status
    assert b"Host" in read_all(answer.body)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("wsdl", "Basic256Sha256Rsa15"),
        ("wsdl&profile=sha256", "Basic256Sha256Rsa15"),
        ("wsdl&profile=sha1", "Basic128Rsa15"),
        ("singleWsdl&profile=SHA1", "Basic128Rsa15"),
    ],
)
def test_the_profile_chooses_the_one_suite(query: str, expected: str) -> None:
    """Nothing else differs."""
    asked, plain = get(AANLEVEREN.path, query), get(AANLEVEREN.path, query.partition("&")[0])
    assert [expected] == suites(root_of(asked))
    assert asked is not None
    assert plain is not None
    assert read_all(plain.body) == read_all(asked.body).replace(expected.encode(), b"Basic256Sha256Rsa15")


def test_an_unknown_profile_is_refused() -> None:
    """With the ones there are."""
    answer = get(AANLEVEREN.path, "wsdl&profile=md5")
    assert answer is not None
    assert (404, True) == (answer.status, b"sha256, sha1" in read_all(answer.body))


@pytest.mark.parametrize(
    "folder",
    [
        "/cpl",  # where the official WSDLs import it from
        "/wus/2.0",
        "/wus/2.0/aanleverservice",
        "/cpl/statusinformatieservice",
        "/cpl/ophaalservice/services",
        "/wus/2.0/afleverservice",
        "/wus/2.0/zetstatusservice",
    ],
)
def test_the_schema_lies_beside_each_service(folder: str) -> None:
    """The very file, so that the relative import of our WSDLs and the absolute one of the official ones both work."""
    answer = get(f"{folder}/digipoort-koppelvlak-1.2.xsd")
    assert answer is not None
    assert (SCHEMAS / "digipoort-koppelvlak-1.2.xsd").read_bytes() == read_all(answer.body)


def test_a_wsdl_imports_the_schema_from_a_path_that_is_served() -> None:
    """Relative to where it was asked (RFC 3986)."""
    from urllib.parse import urljoin, urlsplit

    for path in ALL:
        imported = root_of(get(path, "wsdl")).find(f".//{XS}import")
        assert imported is not None
        where = urlsplit(urljoin(f"{HOST}{path}?wsdl", str(imported.get("schemaLocation")))).path
        assert get(where) is not None, where


def test_a_single_wsdl_needs_nothing_else() -> None:
    """The schema inside is the one outside: no import, and the same verdict on a good body and on a broken one."""
    inside = root_of(get(AANLEVEREN.path, "singleWsdl")).find(f"{WSDL}types/{XS}schema")
    assert inside is not None
    assert inside.find(f".//{XS}import") is None
    schema = etree.XMLSchema(etree.fromstring(etree.tostring(inside)))
    good = etree.fromstring(
        '<zetStatusResponse xmlns="http://logius.nl/digipoort/koppelvlakservices/1.2/">'
        "<kenmerk>k</kenmerk><statuscode>500</statuscode></zetStatusResponse>"
    )
    assert schema.validate(good)
    good[0].text = "k" * 41
    assert not schema.validate(good)


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("POST", AANLEVEREN.path, "wsdl"),
        ("POST", "/cpl/digipoort-koppelvlak-1.2.xsd", ""),
        ("GET", AANLEVEREN.path, ""),
        ("GET", AANLEVEREN.path, "xsd"),
        ("GET", "/wus/2.0/aanleverservice/1.2/", "wsdl"),
        ("GET", "/cpl/../digipoort-koppelvlak-1.2.xsd", ""),
        ("GET", "/digipoort-koppelvlak-1.2.xsd", ""),
        ("GET", "/wus/2.0/aanleverservice/AanleverService_V1_2.wsdl", ""),
    ],
)
def test_anything_else_is_not_ours_to_answer(method: str, path: str, query: str) -> None:
    """None: the caller goes on, to a fault or to 404. Exact paths only; no file is found by its name."""
    assert get(path, query, method) is None


def test_a_process_shows_only_its_own_services() -> None:
    """The AfleverService is the agency's, not the hub's."""
    request = HttpRequest("GET", AFLEVEREN.path, "wsdl", {}, BytesPayload(b""), origin=HOST)
    assert wsdl.answer(request, {AANLEVEREN.path: AANLEVEREN}, "") is None
    assert wsdl.answer(request, {AFLEVEREN.path: AFLEVEREN}, "") is not None
