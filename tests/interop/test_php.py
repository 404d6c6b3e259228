"""PHP's SoapClient, which has no WS-Security, through the side-car: what it makes of answers and faults."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from helpers_interop import DOCUMENT, Hub, running, shown_by

from digipoort_as4.journal import Journal
from digipoort_as4.payload import Spool
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.keys import FileSigner, TlsFiles
from digipoort_as4.sdk.connection import Connection
from digipoort_as4.sdk.sidecar import Sidecar
from digipoort_as4.transport.server import serve

PROJECT = Path(__file__).parent / "php"
SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
RUN = 30.0  # seconds; it takes one
KENMERK = re.compile(r"^kenmerk [0-9a-f-]{36}$", re.MULTILINE)


def lacking() -> str:
    """What is not here to run it; empty when all is."""
    if not shutil.which("php"):
        return "php is not on this machine"
    modules = subprocess.run(["php", "-m"], capture_output=True, text=True, check=False).stdout.split()
    return "" if "soap" in modules else "this php has no soap"


pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("php-pki")
    test_pki.make(folder, datetime.now(UTC), ca_bits=2048)
    return folder


@asynccontextmanager
async def beside(hub: Hub, pki: Path, folder: Path) -> AsyncIterator[str]:
    """A side-car that signs as Bakkerij Jansen; its address."""
    one, digipoort = (test_pki.find_identity(pki, name) for name in ("bakkerij-jansen", "digipoort"))
    names = {"aanleveren": "aanleverservice", "statusinformatie": "statusinformatieservice"}
    standing = Connection(
        {name: f"{hub.url}/wus/2.0/{path}/1.2" for name, path in names.items()},
        test_pki.anchors(pki),
        TlsFiles(one.tls_cert, one.tls_key),
        FileSigner.load(one.signing_cert, one.signing_key),
        partial(test_pki.trust, pki),
        digipoort.oin,
    )
    spool = Spool(folder / "sidecar-spool")
    server = await serve(Sidecar(standing, spool, Journal(None)), None, spool)
    try:
        yield f"http://127.0.0.1:{server.port}/wus/2.0"
    finally:
        await server.close()


async def run(sidecar: str, *steps: str) -> str:
    words = ["php", str(PROJECT / "client.php"), sidecar, str(SCHEMAS), str(DOCUMENT), *steps]
    return await shown_by(words, PROJECT, RUN)


async def test_it_delivers_and_reads_statuses(pki: Path, tmp_path: Path) -> None:
    """With the WSDL of the repository; every value typed by it."""
    async with running(pki, tmp_path) as hub, beside(hub, pki, tmp_path) as sidecar:
        shown = await run(sidecar, "submit", "statuses")
    assert KENMERK.search(shown), shown
    assert ["105", "100", "110"] == re.findall(r"^status (\d+) \S", shown, re.MULTILINE)
    assert b"Signature" in hub.requests[0]


async def test_a_mistake_is_a_soap_fault_with_its_cause(pki: Path, tmp_path: Path) -> None:
    """In detail->aanleverFault, where PHP code looks; the next request is accepted."""
    async with running(pki, tmp_path) as hub, beside(hub, pki, tmp_path) as sidecar:
        fault, kenmerk = (await run(sidecar, "berichtsoort", "submit")).strip().splitlines()
    assert re.search(r"^fault ALS100 .*De berichtsoort is niet bekend.*BestaatNiet", fault), fault
    assert KENMERK.fullmatch(kenmerk)


async def test_an_answer_that_was_changed_never_reaches_php(pki: Path, tmp_path: Path) -> None:
    """The side-car says so in a fault of the same shape; no kenmerk."""
    async with running(pki, tmp_path) as hub, beside(hub, pki, tmp_path) as sidecar:
        hub.on_answer = lambda octets: octets.replace(b">Bedrijf<", b">Bedrijg<")
        shown = await run(sidecar, "submit")
    assert 200 == hub.answers[0].status
    assert re.search(r"^fault ALS400 ", shown), shown
    assert not KENMERK.search(shown)
