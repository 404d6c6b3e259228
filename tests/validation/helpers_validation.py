"""Documents and routes for the tests of the validators."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.routes import Route
from digipoort_as4.payload import BytesPayload, Document, Payload, read_all
from digipoort_as4.storage import tables

ROUTES = tables.load_routes()
REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("DIGIPOORT_SHARED") or REPOSITORY.parent / "shared") / "data"
XBRLI = "http://www.xbrl.org/2003/instance"
SCHEME = "www.belastingdienst.nl/omzetbelastingnummer"


def route(berichtsoort: str = "Omzetbelasting") -> Route:
    found = ROUTES.find(berichtsoort)
    assert found is not None
    return found


def document(
    octets: bytes | str | Payload,
    *,
    part: str = "inhoud",
    mime: str = "text/xml",
    name: str = "aangifte.xbrl",
    key: str = "k1",
) -> Document:
    if isinstance(octets, str):
        octets = octets.encode()
    payload = BytesPayload(octets) if isinstance(octets, bytes) else octets
    return Document(part, mime, name, payload, payload.size, hashlib.sha256(read_all(payload)).digest(), key)


def envelope(*documents: Document, kind: str = "Fi", nummer: str = "001000044B37") -> Aanlevering:
    return Aanlevering(
        "00000099000000101000", "Omzetbelasting", Identiteit(nummer, kind), "Bedrijf", documents, "Happyflow"
    )


def xbrl(nummer: str = "001000044B37", *, scheme: str = SCHEME, more: str = "") -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- made for a test -->\n<xbrli:xbrl xmlns:xbrli="{XBRLI}">\n'
        f'<xbrli:context id="c"><xbrli:entity>\n<xbrli:identifier scheme="{scheme}">{nummer}</xbrli:identifier>\n'
        f"</xbrli:entity></xbrli:context>{more}</xbrli:xbrl>\n"
    )
