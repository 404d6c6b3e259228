"""Where the statements and where COMMIT run: the three ways, measured side by side. Figures for ADR 0001.

    python tests/bench/bench_store.py [--seconds S] [--folder DIR] [--work MS] [--waiting N ...] [--pages N ...]

Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import secrets
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from digipoort_as4.hub import statuses
from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.decision import Decision, KeepEvidence, QueueJob, RememberReply, StartProcess, StoredReply
from digipoort_as4.payload import BytesPayload, Document
from digipoort_as4.storage import sqlite
from digipoort_as4.storage.group import GroupCommit, Waiting
from digipoort_as4.storage.sqlite import SqliteStore

DOCUMENT = secrets.token_bytes(7_000)
REPLY = secrets.token_bytes(4_000)
ENVELOPE = secrets.token_bytes(12_000)


class Inline(GroupCommit):
    """Everything on the event loop; nothing else runs while the disk is waited for."""

    async def _on_disk(self, statement: str) -> None:
        self._execute(statement)


class Threaded(GroupCommit):
    """Statements and COMMIT in a thread: each statement asks for the interpreter lock again."""

    async def _write(self, group: Sequence[Waiting]) -> list[list[Any]]:
        return await asyncio.get_running_loop().run_in_executor(self._disk, self._whole, group)

    def _whole(self, group: Sequence[Waiting]) -> list[list[Any]]:
        before = self.connection.total_changes
        self.connection.execute("BEGIN IMMEDIATE")
        results = [[self._carry_out(operation) for operation in waiting.operations] for waiting in group]
        self.connection.execute("COMMIT")
        self._rows += self.connection.total_changes - before
        return results


WAYS = {"inline": Inline, "thread": Threaded, "split": GroupCommit}


def accepted() -> Decision:
    """What accepting one message of 7 kB commits."""
    now = datetime.now(UTC)
    kenmerk = str(uuid.uuid4())
    document = Document(
        "inhoud",
        "text/xml",
        "aangifte.xml",
        BytesPayload(DOCUMENT),
        len(DOCUMENT),
        hashlib.sha256(DOCUMENT).digest(),
        secrets.token_hex(16),
    )
    unit = Aanlevering(
        "00000099000000101000", "Omzetbelasting", Identiteit("001000044B37", "BTW"), "", (document,), "Happyflow"
    )
    lines = statuses.in_order(None, [statuses.make(code, now) for code in ("105", "100", "110")])
    return Decision(
        REPLY,
        (
            RememberReply(unit.sender_oin, f"urn:uuid:{kenmerk}", StoredReply("c2ln", REPLY), now + timedelta(days=7)),
            StartProcess(kenmerk, unit, now, lines),
            KeepEvidence(kenmerk, "aanleverRequest", ENVELOPE, "{}", now),
            QueueJob("verwerken", "hub", kenmerk, now),
        ),
    )


async def client(store: SqliteStore, until: float, work: float, waits: list[float]) -> None:
    """Work for a while as verifying and signing do, commit, again."""
    while time.perf_counter() < until:
        busy = time.perf_counter() + work
        while time.perf_counter() < busy:
            hashlib.sha256(ENVELOPE).digest()
        decision = accepted()
        start = time.perf_counter()
        await store.commit(decision)
        waits.append(time.perf_counter() - start)


async def stalls(found: list[float]) -> None:
    """How late a timer of 1 ms is."""
    while True:
        start = time.perf_counter()
        await asyncio.sleep(0.001)
        found.append(time.perf_counter() - start - 0.001)


async def measure(way: str, waiting: int, page: int, work: float, seconds: float, folder: Path) -> str:
    sqlite.PAGE_SIZE = page  # type: ignore[misc]
    store = SqliteStore.open(folder, lambda: datetime.now(UTC))
    store._group = WAYS[way](store._writer_connection, store._failed)
    waits: list[float] = []
    late: list[float] = []
    ticker = asyncio.create_task(stalls(late))
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client(store, wall + seconds, work, waits) for _ in range(waiting)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    ticker.cancel()
    await store.close()
    waits.sort()
    late.sort()
    return (
        f"{way:7} {waiting:4} {page:6} {len(waits) / wall:9.0f} {cpu / len(waits) * 1e6:9.0f}"
        f" {statistics.median(waits) * 1e3:8.2f} {waits[int(len(waits) * 0.99)] * 1e3:8.2f}"
        f" {late[int(len(late) * 0.99)] * 1e3:8.2f}"
    )


def lines(arguments: argparse.Namespace) -> Iterator[str]:
    yield f"SQLite {sqlite3.sqlite_version}; {arguments.work} ms of other work on the loop before each commit"
    yield "way     wait   page commits/s   CPU µs   p50 ms   p99 ms late p99"
    for page in arguments.pages:
        for waiting in arguments.waiting:
            for way in arguments.ways:
                with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                    yield asyncio.run(
                        measure(way, waiting, page, arguments.work / 1e3, arguments.seconds, Path(folder))
                    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured")
    parser.add_argument("--work", type=float, default=0.0, help="ms of CPU on the loop before each commit")
    parser.add_argument("--waiting", type=int, nargs="+", default=[1, 32, 200])
    parser.add_argument("--pages", type=int, nargs="+", default=[8192])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    for line in lines(parser.parse_args()):
        print(line, flush=True)


if __name__ == "__main__":
    main()
