"""The store on SQLite: one process owns the file, one writer, WAL with synchronous=FULL.

Takes no decision and knows no protocol; several processes or hosts need another engine (design 5.2)."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec

from digipoort_as4 import limits
from digipoort_as4.errors import ConfigError, StorageFailure
from digipoort_as4.hub.decision import Committed, Decision, Job, Outcome, QueueJob
from digipoort_as4.payload import Document
from digipoort_as4.storage import jobs
from digipoort_as4.storage.effects import Writing, carry_out
from digipoort_as4.storage.group import GroupCommit, Result
from digipoort_as4.storage.payloads import Payloads, make_folder
from digipoort_as4.storage.view import DATABASE, PATIENCE, PAYLOADS, View

LOCK: Final = "store.lock"
MIGRATIONS: Final = Path(__file__).parent / "migrations"
PAGE_SIZE: Final = 8192  # Blobs are 4 to 64 KiB; measured against 4096 and 16384 in docs/adr/0001-sqlite-writer.md
CACHE: Final = 64 * limits.MIB  # Octets of page cache: a group stays in memory until COMMIT writes it in one go
FILE_THREADS: Final = 4  # Large documents written at the same time; each waits for the disk most of its time

Values = ParamSpec("Values")


def _reading(
    look_up: Callable[Concatenate[View, Values], Result],
) -> Callable[Concatenate[SqliteStore, Values], Coroutine[Any, Any, Result]]:
    """A look-up of View as a method of the store."""

    async def read(store: SqliteStore, /, *values: Values.args, **named: Values.kwargs) -> Result:
        return store._group.read(lambda: look_up(store._view, *values, **named))

    return read


class SqliteStore:
    """storage.store.Store on one SQLite file and a folder of payloads."""

    def __init__(
        self, lock: int, writer: sqlite3.Connection, view: View, payloads: Payloads, now: Callable[[], datetime]
    ) -> None:
        self.on_commit: Callable[[], None] | None = None  # on the event loop, after each commit that queued a job
        self.on_failure: Callable[[], None] | None = None  # once, when the promise is broken: the process has to stop
        self._lock, self._writer_connection, self._view, self._payloads, self._now = lock, writer, view, payloads, now
        self._group, self._turns = GroupCommit(writer, self._failed), jobs.Turns()
        self._files = ThreadPoolExecutor(max_workers=FILE_THREADS, thread_name_prefix="payload")

    @classmethod
    def open(cls, folder: Path, now: Callable[[], datetime]) -> SqliteStore:
        """Take the folder or make it, bring the tables up to date, tidy what a dead process left.
        The clock `now` (aware UTC) tells when a stored reply has expired.
        Raises ConfigError: another process or a newer version has it; StorageFailure: disk or file is not sound."""
        if sqlite3.sqlite_version_info < (3, 37, 0):  # STRICT tables; RETURNING and UPSERT are older
            raise ConfigError(f"SQLite is {sqlite3.sqlite_version}, at least 3.37 is needed")
        with owned(folder, LOCK) as lock:
            payloads = Payloads(folder / PAYLOADS)
            make_folder(payloads.folder)
            writer = open_writer(folder / DATABASE)
            jobs.release_all(writer)
            view = View(connect(folder / DATABASE, "PRAGMA query_only = ON"), payloads)
            payloads.sweep(lambda key: view.payload(key) is not None, now() - limits.ORPHAN_KEPT)
            return cls(lock, writer, view, payloads, now)

    async def commit(self, decision: Decision) -> Outcome:
        """See Store.commit."""
        return (await self.commit_many([decision]))[0]

    async def commit_many(self, decisions: Sequence[Decision]) -> list[Outcome]:
        """See Store.commit_many."""
        outcomes: list[Outcome] = await self._group.run([partial(self._carry_out, decision) for decision in decisions])
        if self.on_commit and any(map(_queued, decisions, outcomes)):
            self.on_commit()
        return outcomes

    def _carry_out(self, decision: Decision, connection: sqlite3.Connection) -> Outcome:
        return carry_out(decision, Writing(connection, self._payloads, self._now()))

    async def keep(self, document: Document) -> Document:
        """See Store.keep; the event loop never waits for a disk, so files are written in a thread."""
        self._group.check()
        if document.size <= limits.INLINE_PAYLOAD:
            return self._payloads.keep(document)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._files, self._payloads.keep, document)
        except OSError as error:
            raise self._group.fail(f"document {document.key} could not be kept: {error}") from error

    async def claim(
        self, kinds: Sequence[str], now: datetime, lease_until: datetime, limit: int, per_destination: int
    ) -> list[Job]:
        """See Store.claim."""
        rest = (self._turns, kinds, now, lease_until, limit, per_destination)
        claimed: list[list[Job]] = await self._group.run([lambda connection: jobs.claim(connection, *rest)])
        return claimed[0]

    async def extend(self, job: Job, lease_until: datetime) -> bool:
        """See Store.extend."""
        return bool((await self._group.run([lambda connection: jobs.extend(connection, job, lease_until)]))[0])

    find_reply = _reading(View.reply)
    find_duplicate = _reading(View.duplicate)
    process = _reading(View.process)
    statuses = _reading(View.statuses)
    seen = _reading(View.seen)
    search_processes = _reading(View.search_processes)
    search_statuses = _reading(View.search_statuses)
    search_returned = _reading(View.search_returned)
    return_message = _reading(View.return_message)
    delivery = _reading(View.delivery)
    deliveries = _reading(View.deliveries)
    register = _reading(View.register)
    next_due = _reading(View.next_due)
    payload = _reading(View.payload)

    @property
    def failure(self) -> StorageFailure | None:
        """Why the store refuses everything, or None while it keeps its promise."""
        return self._group.failure

    def _failed(self) -> None:
        if self.on_failure:
            self.on_failure()

    async def close(self) -> None:
        """See Store.close."""
        sound = await self._group.close()
        self._files.shutdown()
        self._view.close()
        if sound:
            self._writer_connection.close()
        os.close(self._lock)


def _queued(decision: Decision, outcome: Outcome) -> bool:
    return isinstance(outcome, Committed) and any(isinstance(effect, QueueJob) for effect in decision.effects)


@contextmanager
def owned(folder: Path, lock: str) -> Iterator[int]:
    """A folder of this process alone, made when missing: the open lock file in it, closed only when the block fails.
    Raises ConfigError: another process has it; StorageFailure: the disk or a file is not sound."""
    try:
        make_folder(folder)
        descriptor = take_lock(folder / lock)
        try:
            yield descriptor
        except BaseException:
            os.close(descriptor)
            raise
    except (sqlite3.Error, OSError) as error:
        raise StorageFailure(f"{folder} can not be used: {error}") from error


def take_lock(path: Path) -> int:
    """Own the folder until the descriptor is closed or the process ends; ConfigError says who owns it else."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise ConfigError(
            f"{path.parent} is in use by process {holder}; one process owns a SQLite store. "
            "Stop that process, or give this one a folder of its own."
        ) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def connect(path: Path, *pragmas: str) -> sqlite3.Connection:
    """A connection in autocommit mode; used by one thread at a time, not always the same."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=PATIENCE)
    for pragma in pragmas:
        connection.execute(pragma)
    return connection


def open_writer(path: Path, migrations: Path = MIGRATIONS) -> sqlite3.Connection:
    """The connection that writes, with the tables up to date."""
    connection = connect(
        path,
        f"PRAGMA page_size = {PAGE_SIZE}",  # before WAL: it cannot change afterwards
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",  # NORMAL does not survive a power cut, and a receipt does (P1)
        "PRAGMA wal_autocheckpoint = 0",  # GroupCommit does it, where an error is seen
        "PRAGMA foreign_keys = ON",
        f"PRAGMA cache_size = -{CACHE // limits.KIB}",
        "PRAGMA temp_store = MEMORY",  # a savepoint keeps copies of pages; not in a file
        "PRAGMA trusted_schema = OFF",
    )
    migrate(connection, migrations)
    return connection


def migrate(connection: sqlite3.Connection, migrations: Path) -> None:
    """Apply those that are not in yet, each in its own transaction; ConfigError for a newer version's file."""
    scripts = sorted(migrations.glob("[0-9][0-9][0-9]_*.sql"))
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(scripts):
        raise ConfigError(f"the store has version {version}, this program knows {len(scripts)}: use a newer program")
    for number, script in enumerate(scripts[version:], version + 1):
        text = script.read_text(encoding="utf-8")
        connection.executescript(f"BEGIN IMMEDIATE;\n{text}\nPRAGMA user_version = {number};\nCOMMIT;")
