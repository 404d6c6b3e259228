"""The store under SIGKILL and under a failing disk: what was acknowledged is there, whole, and answers as before.

strace makes the fault at the n-th call of a kind; nothing in the process is changed for it.
"""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "storage"))

from helpers_store import Clock, accepted, kenmerk, key
from helpers_strace import CALLS as STRACE_NAMES
from helpers_strace import calls, first_after, spread, strace_works
from store_child import AT_ONCE, GAVE_UP, document_of, octets_of

from digipoort_as4.hub.decision import AlreadyThere, Committed
from digipoort_as4.payload import read_all
from digipoort_as4.storage.sqlite import SqliteStore
from digipoort_as4.storage.view import open_view

CHILD = Path(__file__).with_name("store_child.py")
MESSAGES = 12
KILLS = 10
"""Kill points per kind of call, spread over the whole run from opening to closing."""
ERRORS = 3
"""Points per kind of call and error."""
REACHED = 75
"""Per cent of the busiest thread's calls; how calls spread over threads differs from run to run."""
CALLS = {kind: name for kind, name in STRACE_NAMES.items() if kind != "sendto"}
"""A store sends nothing."""


@dataclass(frozen=True)
class Run:
    """What came of one child."""

    code: int
    said: list[str]
    log: str

    @property
    def acknowledged(self) -> list[int]:
        return [int(line) for line in self.said if line.isdigit()]


def child(folder: Path, *strace: str) -> Run:
    log = folder / "strace.log"
    command = ["strace", "-f", "-o", str(log), *strace, sys.executable, str(CHILD), str(folder), "0", str(MESSAGES)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return Run(ran.returncode, ran.stdout.splitlines(), log.read_text(errors="replace") if log.exists() else "")


@pytest.fixture(autouse=True)
def _need_strace() -> None:
    if reason := strace_works():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def most_calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """How many calls of each kind the busiest thread makes in an undisturbed run; strace counts per thread."""
    if strace_works():
        return {}
    run = child(tmp_path_factory.mktemp("undisturbed"), "-e", "trace=" + ",".join(CALLS))
    assert (0, list(range(MESSAGES))) == (run.code, sorted(run.acknowledged))
    counts = Counter(re.findall(r"^(\d+) +(\w+)\(", run.log, re.MULTILINE))
    return {call: max(count for (_, name), count in counts.items() if name.startswith(call)) for call in CALLS}


async def check(folder: Path, acknowledged: list[int]) -> None:
    """Reopen as after a crash: the acknowledged are whole, the others whole or absent, a repeat is answered alike."""
    store = SqliteStore.open(folder / "store", Clock())
    for number in range(MESSAGES):
        process = await store.process(kenmerk(number))
        assert process or number not in acknowledged, f"message {number} was acknowledged and is lost"
        if process:
            assert [octets_of(number)] == [read_all(d.payload) for d in process.aanlevering.documents]
            assert ["105", "100", "110"] == [status.code for status in await store.statuses(kenmerk(number))]
    await check_repeats(store, folder, acknowledged)
    await store.close()
    with open_view(folder / "store") as view:
        assert [(1, 1)] * MESSAGES == [
            (len(view.evidence(kenmerk(number))), len(view.jobs(kenmerk(number)))) for number in range(MESSAGES)
        ]
    with sqlite3.connect(folder / "store" / "store.sqlite3") as connection:
        assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
        assert [] == connection.execute("PRAGMA foreign_key_check").fetchall()
    connection.close()


async def check_repeats(store: SqliteStore, folder: Path, acknowledged: list[int]) -> None:
    """The sender tries again: the answer it had, or the first one."""
    for number in range(MESSAGES):
        kept = await store.keep(document_of(number, folder / "spool"))
        outcome = await store.commit(accepted(number, kept))
        assert isinstance(outcome, AlreadyThere) or number not in acknowledged
        assert isinstance(outcome, Committed) or outcome.reply.octets == accepted(number).reply  # type: ignore[union-attr]


def test_a_receipt_waits_for_file_folder_and_log(tmp_path: Path) -> None:
    """P1, for a power cut, which no kill shows: sync the file, rename, sync the folder, sync the WAL, then answer."""
    run = child(tmp_path, "-y", "-e", f"trace=fdatasync,fsync,{CALLS['rename']},write")
    ran = calls(run.log)

    for number in [number for number in range(MESSAGES) if number % 3]:
        folder, name = key(number)[:2], key(number)[2:]
        source = f"spool-{number}" if number % 3 == 1 else f"{name}.part"
        synced = first_after(ran, -1, rf"^fsync\(\d+<[^>]*/{source}>")
        renamed = first_after(ran, synced.ended, rf'^rename.*{source}".*/payloads/{folder}/{name}"')
        entered = first_after(ran, renamed.ended, rf"^fsync\(\d+<[^>]*/payloads/{folder}>")
        committed = first_after(ran, entered.ended, r"^fdatasync\(\d+<[^>]*-wal>")
        answered = first_after(ran, -1, rf'^write\(1<[^>]*>, "{number}\\n"')
        assert committed.ended < answered.began


@pytest.mark.parametrize("call", CALLS)
async def test_a_kill_loses_nothing_acknowledged(call: str, tmp_path: Path, most_calls: dict[str, int]) -> None:
    """SIGKILL at the n-th call: 0 lost, 0 doubled, 0 halves, the same answer to the repeat."""
    points = spread(KILLS, most_calls[call] * REACHED // 100)
    killed = 0
    for point in points:
        folder = tmp_path / str(point)
        folder.mkdir()
        run = child(folder, "-e", f"trace={CALLS[call]}", "-e", f"inject={CALLS[call]}:signal=KILL:when={point}")
        killed += run.code == -signal.SIGKILL and "killed by SIGKILL" in run.log
        await check(folder, run.acknowledged)
    print(f"{call}: {killed} of {len(points)} points killed")
    assert killed >= len(points) / 2


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("call", CALLS)
async def test_a_failing_disk_gets_no_receipt(
    call: str, error: str, tmp_path: Path, most_calls: dict[str, int]
) -> None:
    """One call fails: nothing is acknowledged after the store knew, it stays refused, and a restart loses nothing."""
    gave_up = 0
    points = spread(ERRORS, most_calls[call] * REACHED // 100)
    for point in points:
        folder = tmp_path / str(point)
        folder.mkdir()
        run = child(folder, "-e", f"trace={CALLS[call]}", "-e", f"inject={CALLS[call]}:error={error}:when={point}")
        gave_up += run.code == GAVE_UP
        if run.code == GAVE_UP:
            # a neighbour of the same batch may have been durable before, and say so after; nobody later is acknowledged
            late = set(run.said[run.said.index("FAILED") :]) - {"FAILED", "REFUSED"}
            assert ("REFUSED", True) == (run.said[-1], len(late) < AT_ONCE)
        else:
            assert (0, MESSAGES) == (run.code, len(run.acknowledged))  # not reached in this run, or while closing
        await check(folder, run.acknowledged)
    print(f"{call} {error}: gave up at {gave_up} of {len(points)} points")
    assert gave_up >= len(points) / 2
