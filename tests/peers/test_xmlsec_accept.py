"""Requests signed by python-xmlsec through the whole accepting path: stored and receipted, or refused and not stored.

tests/peers/test_xmlsec_peer.py breaks them in many more ways, against open_message alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding
from helpers_peer import CLIENTS, request, verified_by_xmlsec
from helpers_wus import NOW, Sender, World, fault_of, vat_return, verified

from digipoort_as4.payload import read_all
from digipoort_as4.pki import test_pki
from digipoort_as4.wus import koppelvlak


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("peer-pki")
    test_pki.make(folder, NOW, ca_bits=2048)
    return folder


@pytest_asyncio.fixture
async def world(tmp_path: Path, pki: Path) -> AsyncIterator[World]:
    opened = World.open(tmp_path, pki)
    yield opened
    await opened.close()


def signed(pki: Path, client: str, name: str) -> tuple[Sender, bytes]:
    """A VAT return in a client's shape; the Body is written by us, everything else by xmlsec and its template."""
    identity = test_pki.find_identity(pki, name)
    sender = Sender(pki, name)
    body = koppelvlak.write(vat_return(), "token-for-tests-").octets
    return sender, request(CLIENTS[client], body, identity.signing_key.read_bytes(), sender.signer.certificate.der)


@pytest.mark.parametrize("name", ["bakkerij-jansen", "installatie-deboer"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_known_client_gets_a_signed_receipt(world: World, pki: Path, client: str, name: str) -> None:
    """G1 and G4 certificates, five shapes: one process each, and xmlsec agrees about our answer."""
    sender, octets = signed(pki, client, name)

    answer = await world.post(sender.aanleveren(octets))

    receipt = koppelvlak.read(koppelvlak.AanleverResponse, verified(answer, world))
    assert 1 == world.stored()["process"]
    assert "Omzetbelasting" == receipt.berichtsoort
    ours = world.office.signer.certificate.x509.public_bytes(Encoding.PEM)
    assert verified_by_xmlsec(read_all(answer.body), ours)


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "a letter of the Body": lambda octets: octets.replace(b"Happyflow", b"Happyflov"),
    "a letter of wsa:To": lambda octets: octets.replace(b"/aanleverservice/1.2</", b"/aanleverservice/1.2/</", 1),
    "a digit of Created": lambda octets: octets.replace(b"Created>2026-11-24T12:00:00", b"Created>2026-11-24T12:00:01"),
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("client", CLIENTS)
async def test_one_thing_broken_is_refused(world: World, pki: Path, client: str, how: str) -> None:
    """The same message with one octet changed gets ALS100 with the fixed text, and nothing is stored."""
    sender, octets = signed(pki, client, "bakkerij-jansen")
    broken = BROKEN[how](octets)
    assert octets != broken

    answer = await world.post(sender.aanleveren(broken))

    fault = fault_of(answer)
    assert fault.fout is not None
    assert (500, "ALS100") == (answer.status, fault.fout.foutcode)
    assert "De beveiliging van het bericht kon niet worden vastgesteld." in fault.cause
    assert {} == world.stored()
