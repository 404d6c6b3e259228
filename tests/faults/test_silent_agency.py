"""P6 with the processes that `up` starts: 500 real messages wait for an agency that accepts connections, no more.

tests/test_worker_paths.py has the same for an agency that falls silent after the TLS handshake.
"""

from __future__ import annotations

import socket
import statistics
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from helpers_lane import SENDER, Lane, document_of, kenmerk_of, sealed
from helpers_strace import wait_until

import digipoort_as4.cli
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.pki import test_pki
from digipoort_as4.storage.view import open_view
from digipoort_as4.wus import koppelvlak
from digipoort_as4.wus.koppelvlak import AanleverRequest
from digipoort_as4.wus.operations import AANLEVEREN, AFLEVEREN

INVOICE = (Path(digipoort_as4.cli.__file__).parent / "samples" / "factuur.xml").read_bytes()
QUEUED = 500
MEASURED = 15
ROUNDS = 5
CALM = 2
"""Seconds between rounds. The disk is busy for a moment after 500 messages, and other work on the machine may spoil a
round; a silent agency that delays others spoils all."""
PATIENCE = 5
"""Seconds; a delivery takes a hundredth of a second, and a call to the silent agency ten."""
SILENT = "uwv"


@contextmanager
def silent_port() -> Iterator[tuple[int, socket.socket]]:
    """Connections are accepted by the system, and nobody says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        yield listener.getsockname()[1], listener


def invoice(lane: Lane, oin: str) -> bytes:
    """An e-factuur for a body, signed by the business."""
    asked = AanleverRequest(
        kenmerk=None,
        berichtsoort="e-factuur",
        aanleverkenmerk=None,
        eerder_aanleverkenmerk=None,
        identiteit_belanghebbende=Identiteit("90001102", "KvK"),
        rol_belanghebbende="Bedrijf",
        identiteit_ontvanger=Identiteit(oin, "OIN"),
        rol_ontvanger=None,
        documents=(document_of(INVOICE, "factuur.xml"),),
        autorisatie_adres=None,
    )
    body = koppelvlak.write(asked, uuid.uuid4().hex)
    return sealed(lane.signers[SENDER], body, AANLEVEREN.operations[0], lane.url["hub"])


def deliver(lane: Lane, oin: str) -> float:
    """Seconds from accepting to status 400, by the hub's own record."""
    answer = lane.receipt("hub", invoice(lane, oin))
    assert answer is not None
    kenmerk = kenmerk_of(answer)
    with open_view(lane.data) as view:
        wait_until(lambda: "400" in [one.code for one in view.statuses(kenmerk)], PATIENCE, "not delivered")
        times = {one.code: one.at for one in view.statuses(kenmerk)}
    return (times["400"] - times["105"]).total_seconds()


def median(lane: Lane, oin: str) -> float:
    return statistics.median(deliver(lane, oin) for _ in range(MEASURED))


def fill(lane: Lane, oin: str) -> None:
    """Accept and process QUEUED messages for the silent agency."""

    def post(_: int) -> bool:
        return lane.receipt("hub", invoice(lane, oin)) is not None

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(post, range(QUEUED)))
    with open_view(lane.data) as view:
        wait_until(lambda: waiting(view, oin) == QUEUED, 30, "not all are queued for delivery")


def waiting(view: object, oin: str) -> int:
    return sum(job.destination == oin for job in view.jobs())  # type: ignore[attr-defined]


@contextmanager
def post_office(folder: Path, pki: Path, silent_oin: str, port: int) -> Iterator[Lane]:
    lane = Lane(folder, pki, sets_status=False)
    file, row = lane.folder / "digipoort.toml", f'{silent_oin} = "https://localhost:{port}{AFLEVEREN.path}"'
    before, table, after = file.read_text().partition("[agencies]\n")
    file.write_text(f"{before}{table}{row}\n{after}")
    with closing(lane):
        lane.up()
        lane.hub.up()
        deliver(lane, lane.identities["belastingdienst"].oin)  # the first one starts validator and connection
        yield lane


def test_500_messages_for_a_silent_agency_delay_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The time of Y's messages to 400 is at most twice the usual, measured in the same run (P6)."""
    pki = tmp_path / "pki"
    test_pki.make(pki, datetime.now(UTC), ca_bits=2048)
    x, y = (test_pki.find_identity(pki, name).oin for name in (SILENT, "belastingdienst"))
    with silent_port() as (port, listener), post_office(tmp_path / "lane", pki, x, port) as lane:
        usual = median(lane, y)
        fill(lane, x)
        for _ in range(ROUNDS):
            beside = median(lane, y)
            if beside <= 2 * usual:
                break
            time.sleep(CALM)
        with open_view(lane.data) as view:
            assert QUEUED == waiting(view, x), "the silent agency's messages did not stay"
        assert listener.accept(), "nobody called the silent agency"
    with capsys.disabled():
        print(f"\nto 400: usual {usual * 1000:.0f} ms, beside {QUEUED} for a silent agency {beside * 1000:.0f} ms")
    assert beside <= 2 * usual
