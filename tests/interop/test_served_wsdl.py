"""zeep and a plain TLS client load the descriptions that running processes serve, without a client certificate."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
import zeep
from zeep.transports import Transport

from digipoort_as4.wus.operations import AFLEVEREN, SERVICES, Service

ROOT = Path(__file__).resolve().parents[2]
XSD = (ROOT / "schemas" / "digipoort-koppelvlak-1.2.xsd").read_bytes()
OFFICIAL = Path(os.environ.get("DIGIPOORT_SHARED", ROOT.parent / "shared")) / "data" / "contract"
EVERYWHERE = [(service, path) for service in SERVICES for path in service.paths]


class Stranger:
    """Trusts the post office's CA, and has no client certificate."""

    def __init__(self, folder: Path) -> None:
        self.record = json.loads((folder / "post-office.json").read_text(encoding="utf-8"))
        self.session = requests.Session()
        self.session.verify, self.session.trust_env = self.record["ca"], False

    def url(self, service: Service, path: str) -> str:
        one = self.record["agencies"][0]["url"] if service == AFLEVEREN else self.record["services"]["aanleveren"]
        return f"https://{urlsplit(one).netloc}{path}"

    def ask(self, method: str, url: str) -> tuple[int, dict[str, str], bytes]:
        context = ssl.create_default_context(cafile=self.record["ca"])
        connection = http.client.HTTPSConnection("localhost", urlsplit(url).port, context=context, timeout=10)
        connection.request(method, url.partition(urlsplit(url).netloc)[2])
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        return found


@pytest.fixture
def stranger(post_office: Path) -> Iterator[Stranger]:
    one = Stranger(post_office)
    yield one
    one.session.close()


@pytest.mark.parametrize("query", ["wsdl", "singleWsdl", "wsdl&profile=sha1"])
@pytest.mark.parametrize(("service", "path"), EVERYWHERE, ids=[path for _, path in EVERYWHERE])
def test_zeep_loads_it_over_tls(service: Service, path: str, query: str, stranger: Stranger) -> None:
    """Import included; the address is the one that was asked, and the operations are this service's."""
    url = stranger.url(service, path)
    client = zeep.Client(f"{url}?{query}", transport=Transport(session=stranger.session))
    (port,) = client.wsdl.services[f"{service.title}_V1_2"].ports.values()
    assert url == port.binding_options["address"]
    assert {operation.name for operation in service.operations} == set(port.binding._operations)
    assert client.get_type("{http://logius.nl/digipoort/koppelvlakservices/1.2/}identiteitType")


def test_head_is_get_without_the_body(stranger: Stranger) -> None:
    """Same status and headers, the length included."""
    url = f"{stranger.url(SERVICES[0], SERVICES[0].path)}?wsdl"
    got, told = stranger.ask("GET", url), stranger.ask("HEAD", url)
    assert (200, len(got[2])) == (got[0], int(got[1]["content-length"]))
    assert (200, b"") == (told[0], told[2])
    assert got[1]["content-length"] == told[1]["content-length"]


def test_the_official_import_finds_its_schema(stranger: Stranger) -> None:
    """The WSDLs of the Aansluit Suite import /cpl/digipoort-koppelvlak-1.2.xsd (digipoort 1.9)."""
    assert (200, XSD) == stranger.ask("GET", stranger.url(SERVICES[0], "/cpl/digipoort-koppelvlak-1.2.xsd"))[::2]


class Official(Transport):
    """Shows the WSDL of the Aansluit Suite at a URL of the hub, whatever it imports is asked of the hub."""

    def load(self, url: str) -> bytes:
        name = url.rpartition("/")[2]
        return (OFFICIAL / name).read_bytes() if name.endswith(".wsdl") else super().load(url)


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official contract (shared/data/contract) is not beside us")
@pytest.mark.parametrize("service", SERVICES[:3], ids=lambda service: service.name)
def test_zeep_loads_the_official_wsdl_from_where_we_are(service: Service, stranger: Stranger) -> None:
    """Its import by absolute path leads to our schema, which has every type that it names."""
    url = stranger.url(service, f"/somewhere/{service.wsdl}")
    client = zeep.Client(url, transport=Official(session=stranger.session))
    (port,) = client.wsdl.services[f"{service.title}_V1_2"].ports.values()
    for operation in service.operations:
        assert port.binding._operations[operation.name].input.body.qname.text == operation.request


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/wus/2.0/aanleverservice/1.2", 405),
        ("/wus/2.0/aanleverservice/1.2/..?wsdl", 404),
        ("/cpl//digipoort-koppelvlak-1.2.xsd", 404),
        ("/cpl/%64igipoort-koppelvlak-1.2.xsd%00", 404),
        ("/schemas/AanleverService_V1_2.wsdl", 404),
    ],
)
def test_no_file_is_found_by_its_name(path: str, status: int, stranger: Stranger) -> None:
    """Exact paths of a table; what is none is refused as before."""
    assert status == stranger.ask("GET", stranger.url(SERVICES[0], path))[0]
