"""Descriptions of the services for GET: `?wsdl`, `?singleWsdl` and the XSD, with the address a client can use.

Needs no client certificate (decision 9), writes nothing, and answers no POST."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Final
from urllib.parse import parse_qsl

from digipoort_as4 import config
from digipoort_as4.payload import BytesPayload
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wus.koppelvlak import escape
from digipoort_as4.wus.operations import SERVICES, Service
from digipoort_as4.wus.schema import XSD

SUITES: Final = {"sha256": "Basic256Sha256Rsa15", "sha1": "Basic128Rsa15", "plain": ""}
"""`profile` in the query to the AlgorithmSuite of the policy: one each, since CXF refuses two (digipoort 1.8).
plain: no policy, for programs that leave signing to the side-car."""
_POLICY: Final = re.compile(r"\s*<wsp:PolicyReference[^>]*/>|\s*<wsp:Policy\b.*</wsp:Policy>", re.DOTALL)
LAYOUTS: Final = ("/wus/2.0", "/cpl")  # of production and of the Aansluit Suite (digipoort 1.9)
XSD_PATHS: Final = frozenset(
    f"{folder}/{XSD}"
    for folder in (*LAYOUTS, *(path.rpartition("/")[0] for service in SERVICES for path in service.paths))
)
"""Beside each service, where our WSDLs import it, and below each layout: the official WSDLs import it from /cpl."""
_TYPES: Final = re.compile(r"(?<=<wsdl:types>).*(?=</wsdl:types>)", re.DOTALL)


def answer(
    request: HttpRequest, services: Mapping[str, Service], public_url: str, usual: str = "sha256"
) -> HttpAnswer | None:
    """What a GET or HEAD asks for by wsdl or singleWsdl, in any case, and profile=… of SUITES; else None.
    `services`: path to service. `public_url`: what peers call us, without a path; empty: as this request did."""
    if request.method not in ("GET", "HEAD"):
        return None
    if request.path in XSD_PATHS:
        return _page(200, "text/xml", _read(XSD))
    asked = {name.lower(): value for name, value in parse_qsl(request.query, keep_blank_values=True)}
    service = services.get(request.path)
    if service is None or not asked.keys() & {"wsdl", "singlewsdl"}:
        return None
    profile, base = asked.get("profile", usual).lower(), public_url or request.origin
    if profile not in SUITES:
        return _page(404, "text/plain", f"Dit profiel bestaat niet. Er zijn: {', '.join(SUITES)}.\n")
    if not base:
        return _page(400, "text/plain", "De header Host ontbreekt of is geen naam; zonder adres is er geen WSDL.\n")
    address = escape(base + request.path).replace('"', "&quot;")
    found = _described(service, profile, "singlewsdl" in asked)
    return _page(200, "text/xml", found.replace(f"https://localhost{service.path}", address))


@cache
def _described(service: Service, profile: str, single: bool) -> str:
    """The WSDL below schemas/ with the profile's suite; `single`: with the schema inside instead of its import."""
    found = _read(service.wsdl)
    found = found.replace(SUITES["sha256"], SUITES[profile]) if SUITES[profile] else _POLICY.sub("", found)
    schema = _read(XSD).partition("?>")[2]
    return _TYPES.sub(lambda _: schema, found) if single else found


@cache
def _read(name: str) -> str:
    return config.data_file(f"schemas/{name}").read_text(encoding="utf-8")


def _page(status: int, media_type: str, text: str) -> HttpAnswer:
    # The address in it is the caller's own: no cache may show it to another.
    headers = {"content-type": f"{media_type}; charset=utf-8", "cache-control": "no-store"}
    return HttpAnswer(status, headers, BytesPayload(text.encode()))
