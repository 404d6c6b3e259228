"""Aanleveren as MTOM, to a hub in a process of its own: what leaves, and what may be believed of the answer."""

from __future__ import annotations

import email.parser
import email.policy
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import bench_world
import pytest

from digipoort_as4.errors import Refused
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.payload import BytesPayload, read_all
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.keys import FileSigner, TlsFiles
from digipoort_as4.sdk.client import DigipoortClient
from digipoort_as4.sdk.connection import Connection
from digipoort_as4.sdk.models import Bericht, Bestand
from digipoort_as4.wus.operations import AANLEVEREN, STATUSINFORMATIE

LARGE = os.urandom(2_000_000)
BERICHT = Bericht(
    berichtsoort="Omzetbelasting",
    identiteit_belanghebbende=Identiteit("001000044B37", "BTW"),
    bericht_inhoud=Bestand("aangifte.xbrl", "text/xml", BytesPayload(LARGE)),
    bericht_bijlagen=(Bestand("klein.pdf", "application/pdf", BytesPayload(b"%PDF")),),
)


@contextmanager
def gateway(folder: Path, pki: Path) -> Iterator[Connection]:
    """The standing of a business with a hub that accepts and keeps."""
    place = bench_world.World(folder)
    (port,) = bench_world.free_ports(1)
    settings = place.settings(
        "digipoort", 2048, folder / "hub", port=port, agencies={bench_world.AGENCY: "https://localhost:1/"}
    )
    one = place.identity("bakkerij-jansen", 2048)
    services = {service.name: f"https://localhost:{port}{service.path}" for service in (AANLEVEREN, STATUSINFORMATIE)}
    signer = FileSigner.load(one.signing_cert, one.signing_key)
    tls, trust = TlsFiles(one.tls_cert, one.tls_key), test_pki.trust(pki)
    with bench_world.running("gateway", settings, folder / "hub.log"):
        yield Connection(services, test_pki.anchors(pki), tls, signer, lambda: trust, bench_world.HUB, mtom=True)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, sdk_pki: Path) -> Path:
    """Where the hub keeps what it accepts."""
    folder = tmp_path_factory.mktemp("mtom")
    (folder / "pki").symlink_to(sdk_pki)
    return folder / "hub"


@pytest.fixture(scope="module")
def connection(hub: Path, sdk_pki: Path) -> Iterator[Connection]:
    with gateway(hub.parent, sdk_pki) as made:
        yield made


def test_a_large_document_leaves_as_its_octets(connection: Connection) -> None:
    """A XOP package, as `email` reads it: the signed envelope and one part; the receipt, a package too, is verified."""
    receipt = DigipoortClient(connection).submit(BERICHT)

    sent = receipt.exchange
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        f"Content-Type: {sent.request_type}\r\n\r\n".encode() + read_all(sent.request)
    )
    root, part = message.iter_parts()  # type: ignore[attr-defined]
    href = re.search(rb'inhoud><xop:Include [^>]*href="cid:([^"]+)"/></', root.get_payload(decode=True))
    assert LARGE == part.get_payload(decode=True)
    assert href is not None
    assert f"<{href[1].decode()}>" == part["Content-ID"]
    assert len(LARGE) < sent.request.size < len(LARGE) + 10_000
    assert sent.answer_type.startswith("multipart/related")
    assert sent.opened is not None
    assert receipt.kenmerk == sent.opened.operation.findtext("{*}kenmerk")


def test_small_documents_stay_in_the_envelope(connection: Connection) -> None:
    """A package of one part: nothing to gain by moving them."""
    receipt = DigipoortClient(connection).submit(
        replace(BERICHT, bericht_inhoud=Bestand("a.xbrl", "text/xml", BytesPayload(b"<xbrl/>")))
    )

    assert receipt.exchange.request_type.startswith("multipart/related")
    assert b"xop:Include" not in read_all(receipt.exchange.request)


def test_a_fault_is_read_as_ever(connection: Connection) -> None:
    """Faults come as text/xml, also to MTOM."""
    with pytest.raises(Refused, match="De berichtsoort is niet bekend"):
        DigipoortClient(connection).submit(replace(BERICHT, berichtsoort="Onzin"))


def test_the_same_content_is_known_again(connection: Connection, hub: Path) -> None:
    """Sent as MTOM and sent as base64, the hub finds the same octets: the second is marked as a probable duplicate."""
    message = replace(BERICHT, aanleverkenmerk="twee-vormen")
    first, second = [DigipoortClient(replace(connection, mtom=mtom)).submit(message) for mtom in (True, False)]

    lines = [json.loads(line) for line in (hub / "journal.jsonl").read_text(encoding="utf-8").splitlines()]
    (marked,) = [line for line in lines if line.get("kenmerk") == second.kenmerk]
    assert first.kenmerk == marked["duplicate_of"]
    assert first.kenmerk != second.kenmerk
    assert second.exchange.request_type.startswith("text/xml")
