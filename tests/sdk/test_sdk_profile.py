"""A client under Digikoppeling 2W-be-S: From and OINs in what it sends, SignatureConfirmation in what it believes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from helpers_sdk import BASE, BERICHT, HUB_OIN, RESPONSE, Peer, Request, Script, connection

from digipoort_as4.errors import SignatureError, UsageError
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.keys import FileSigner
from digipoort_as4.sdk.client import DigipoortClient
from digipoort_as4.sdk.connection import fresh_id
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.names import DS, WSA, WSA_ANONYMOUS, q
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wssecurity.seal_message import seal
from digipoort_as4.wus import profiles

JANSEN_OIN = "00000099000000101000"


def answer(pki: Path, *, confirms: str | None = "") -> Script:
    """The hub's receipt: with the request's SignatureValue confirmed, another one, or (None) none."""
    hub = test_pki.find_identity(pki, "digipoort")

    def script(request: Request) -> tuple[int, bytes]:
        value = "".join((request.message.header.findtext(f".//{q(DS, 'SignatureValue')}") or "").split())
        confirmed = value if confirms == "" else confirms
        sealed = seal(
            RESPONSE,
            Addressing(WSA_ANONYMOUS, f"{BASE}aanleverenResponse", fresh_id(), relates_to=request.message_id),
            FileSigner.load(hub.signing_cert, hub.signing_key),
            Algorithms(),
            datetime.now(UTC),
            timedelta(minutes=5),
            lambda: "1",
            confirms=confirmed,
        )
        return 200, b"".join(sealed.payload.open())

    return script


def client(pki: Path, peer: Peer, profile: str) -> DigipoortClient:
    found = profiles.load().find(profile)
    return DigipoortClient(connection(pki, "bakkerij-jansen", peer.url, profile=found))


def test_a_confirmed_answer_is_believed(peer: Peer, sdk_pki: Path) -> None:
    """DK-WUS WA001 and WB014: addresses carry both OINs, the answer repeats our SignatureValue."""
    peer.scripts.append(answer(sdk_pki))
    client(sdk_pki, peer, "overheden-2W-be-S").submit(BERICHT)
    header = peer.requests[0].message.header
    assert f"{peer.url}?OIN={HUB_OIN}" == header.findtext(q(WSA, "To"))
    assert f"{WSA_ANONYMOUS}?OIN={JANSEN_OIN}" == header.findtext(f"{q(WSA, 'From')}/{q(WSA, 'Address')}")


@pytest.mark.parametrize("confirms", [None, "YW5kZXJz"])
def test_an_answer_that_confirms_nothing_or_another_request_is_not(
    peer: Peer, sdk_pki: Path, confirms: str | None
) -> None:
    peer.scripts.append(answer(sdk_pki, confirms=confirms))
    with pytest.raises(SignatureError):
        client(sdk_pki, peer, "overheden-2W-be-S").submit(BERICHT)


def test_bedrijven_asks_for_no_confirmation(peer: Peer, sdk_pki: Path) -> None:
    """The real answers of Digipoort have none (digipoort 2.5)."""
    peer.scripts.append(answer(sdk_pki, confirms=None))
    client(sdk_pki, peer, "bedrijven").submit(BERICHT)
    assert peer.url == peer.requests[0].message.header.findtext(q(WSA, "To"))


def test_a_profile_without_signatures_is_refused(peer: Peer, sdk_pki: Path) -> None:
    """This client signs; it does not quietly leave that out."""
    with pytest.raises(UsageError, match="signs every request"):
        client(sdk_pki, peer, "overheden-2W-be").submit(BERICHT)
    assert [] == peer.requests
