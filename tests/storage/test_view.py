"""Looking into a store from outside, while its owner runs and after."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_store import T0, Clock, X, Y, accepted, decision, kenmerk, key

from digipoort_as4.errors import ConfigError
from digipoort_as4.hub.decision import ChangeDelivery, Delivery, QueueJob, StartDelivery
from digipoort_as4.storage.sqlite import SqliteStore
from digipoort_as4.storage.view import open_view

LOOK = """
import sys
from pathlib import Path
from digipoort_as4.storage.view import open_view
with open_view(Path(sys.argv[1])) as view:
    for process in view.processes():
        print(process.kenmerk, process.state, len(view.statuses(process.kenmerk)))
        for row in view.deliveries(process.kenmerk):
            print(row.recipient_oin, row.copy, row.state, row.attempts, row.note)
"""


def look(folder: Path) -> list[str]:
    ran = subprocess.run([sys.executable, "-c", LOOK, str(folder)], capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()


async def test_another_process_sees_copies_and_attempts_while_the_owner_runs(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path, Clock())
    copy = Delivery("bericht-2", kenmerk(1), Y, True, (key(1),), consent="toestemming-1")
    await store.commit(accepted(1))
    await store.commit(decision(StartDelivery(Delivery("bericht-1", kenmerk(1), X, False, (key(1),)))))
    await store.commit(decision(StartDelivery(copy)))
    retried = Delivery("bericht-2", kenmerk(1), Y, True, (key(1),), "retrying", 0, T0, 3, "toestemming-1", "stil")
    await store.commit(decision(ChangeDelivery(retried)))

    seen = look(tmp_path)
    await store.close()

    assert [f"{kenmerk(1)} accepted 3", f"{X} False queued 0 ", f"{Y} True retrying 3 stil"] == seen
    assert seen == look(tmp_path)


async def test_a_view_can_not_write(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path, Clock())
    with open_view(tmp_path) as view, pytest.raises(sqlite3.OperationalError, match="readonly"):
        view._connection.execute("DELETE FROM job")
    await store.close()


async def test_a_view_shows_evidence_and_jobs_of_one_message(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path, Clock())
    await store.commit(accepted(1))
    await store.commit(accepted(2))
    await store.commit(decision(QueueJob("afleveren", X, "bericht-1", T0)))

    with open_view(tmp_path) as view:
        evidence = view.evidence(kenmerk(1))
        jobs = view.jobs(kenmerk(1))
        everything = view.jobs()
    await store.close()

    assert [("aanleverRequest", b"<request/>", "{}", T0)] == [(e.kind, e.octets, e.coverage, e.at) for e in evidence]
    assert [("verwerken", "hub", kenmerk(1), False)] == [(j.kind, j.destination, j.subject, j.held) for j in jobs]
    assert 3 == len(everything)


def test_a_folder_without_a_store_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no store"), open_view(tmp_path):
        pass
    assert [] == list(tmp_path.iterdir())
