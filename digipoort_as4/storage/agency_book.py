"""What an agency remembers: hand-overs taken, answers given, statuses still to tell. SQLite, one process, one thread.

Keeps no document (storage.inbox does) and decides nothing.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from digipoort_as4.errors import ConfigError, StorageFailure
from digipoort_as4.hub.decision import StoredReply

FILE: Final = "agency.sqlite"
LOCK: Final = "agency.lock"
T = TypeVar("T")

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS hand_over (
    hub_oin TEXT NOT NULL,
    berichtkenmerk TEXT NOT NULL,
    kenmerk TEXT NOT NULL,
    berichtsoort TEXT NOT NULL,
    folder TEXT NOT NULL,
    staged TEXT NOT NULL,
    delivered_at TEXT NOT NULL,
    done_at TEXT,
    PRIMARY KEY (hub_oin, berichtkenmerk)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS hand_over_open ON hand_over (delivered_at) WHERE done_at IS NULL;
CREATE TABLE IF NOT EXISTS reply (
    hub_oin TEXT NOT NULL,
    message_id TEXT NOT NULL,
    signature_value TEXT NOT NULL,
    octets BLOB NOT NULL,
    until TEXT NOT NULL,
    PRIMARY KEY (hub_oin, message_id)
);
CREATE INDEX IF NOT EXISTS reply_until ON reply (until);
CREATE TABLE IF NOT EXISTS wish (
    hub_oin TEXT NOT NULL,
    berichtkenmerk TEXT NOT NULL,
    kenmerk TEXT NOT NULL,
    statuscode TEXT NOT NULL,
    at TEXT NOT NULL,
    foutcode TEXT,
    foutbeschrijving TEXT,
    details TEXT,
    due TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    note TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (hub_oin, berichtkenmerk, statuscode)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS wish_due ON wish (due) WHERE due IS NOT NULL;
PRAGMA user_version = 1;
"""


@dataclass(frozen=True, slots=True)
class HandOver:
    """One delivery that the agency took, once for all retries of the hub."""

    hub_oin: str
    berichtkenmerk: str
    kenmerk: str
    berichtsoort: str
    folder: str
    """Its name in the inbox."""
    staged: str
    """Its name in the staging place before that."""
    delivered_at: datetime
    """tijdstempelAfgeleverd: the same in the answer to every retry."""
    done_at: datetime | None = None
    """When the back end could see it; None until then."""


@dataclass(frozen=True, slots=True)
class KeptReply:
    """An answer and what asks for it again: the verbatim repeat."""

    hub_oin: str
    message_id: str
    reply: StoredReply
    until: datetime


@dataclass(frozen=True, slots=True)
class Wish:
    """A status that the agency wants to set at the hub (zetStatus)."""

    hub_oin: str
    berichtkenmerk: str
    kenmerk: str
    statuscode: str
    at: datetime
    """tijdstempelStatus: the same in every attempt."""
    foutcode: str | None = None
    foutbeschrijving: str | None = None
    details: str | None = None
    due: datetime | None = None
    """Next attempt; None when it is settled, told or given up."""
    attempts: int = 0
    note: str = ""
    """For the operator: what the last attempt met."""


class AgencyBook:
    """The agency's own database; after a failure it refuses everything until the process starts anew (P5)."""

    def __init__(self, connection: sqlite3.Connection, lock: int, thread: ThreadPoolExecutor) -> None:
        """Made by `open`."""
        self._connection, self._lock, self._thread = connection, lock, thread
        self._failed = ""

    @classmethod
    async def open(cls, folder: Path) -> AgencyBook:
        """Open or make the database and take the folder for this process alone.

        Raises:
            ConfigError: another process has it.
            StorageFailure: the database cannot be opened.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix="agency-book")
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, cls._open, folder, thread)
        except BaseException:
            thread.shutdown(wait=False)
            raise

    @classmethod
    def _open(cls, folder: Path, thread: ThreadPoolExecutor) -> AgencyBook:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _take(folder / LOCK)
        try:
            connection = sqlite3.connect(folder / FILE, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(SCHEMA)
            _sync(folder)
        except (sqlite3.Error, OSError) as error:
            os.close(lock)
            raise StorageFailure(f"{folder / FILE}: {error}") from error
        return cls(connection, lock, thread)

    # --- reading ------------------------------------------------------------------------------------------------------

    async def find_reply(self, hub_oin: str, message_id: str, now: datetime) -> StoredReply | None:
        """The answer given to this message, unless its time to be kept is over."""
        rows = await self._read(
            "SELECT signature_value, octets FROM reply WHERE hub_oin = ? AND message_id = ? AND until > ?",
            (hub_oin, message_id, _text(now)),
        )
        return StoredReply(rows[0][0], rows[0][1]) if rows else None

    async def find_hand_over(self, hub_oin: str, berichtkenmerk: str) -> HandOver | None:
        """The hand-over under this key, done or not."""
        rows = await self._read(
            "SELECT * FROM hand_over WHERE hub_oin = ? AND berichtkenmerk = ?", (hub_oin, berichtkenmerk)
        )
        return _hand_over(rows[0]) if rows else None

    async def open_hand_overs(self) -> list[HandOver]:
        """All that are committed and not yet done, oldest first."""
        return [
            _hand_over(row)
            for row in await self._read("SELECT * FROM hand_over WHERE done_at IS NULL ORDER BY delivered_at", ())
        ]

    async def due_wishes(self, now: datetime, limit: int) -> list[Wish]:
        """Statuses whose next attempt is due and whose documents the back end can see; longest due first."""
        rows = await self._read(
            "SELECT wish.* FROM wish JOIN hand_over USING (hub_oin, berichtkenmerk)"
            " WHERE due <= ? AND done_at IS NOT NULL ORDER BY due LIMIT ?",
            (_text(now), limit),
        )
        return [_wish(row) for row in rows]

    async def wishes(self, berichtkenmerk: str) -> list[Wish]:
        """All statuses of a hand-over, settled or not."""
        return [
            _wish(row)
            for row in await self._read("SELECT * FROM wish WHERE berichtkenmerk = ? ORDER BY at", (berichtkenmerk,))
        ]

    async def next_due(self) -> datetime | None:
        """When the next status is due, or None when all are settled."""
        rows = await self._read("SELECT min(due) FROM wish", ())
        return _time(rows[0][0])

    # --- writing ------------------------------------------------------------------------------------------------------

    async def take(self, hand_over: HandOver, reply: KeptReply, wishes: Sequence[Wish] = ()) -> bool:
        """Commit a hand-over with its answer and the statuses that shall follow, all or nothing.

        Returns:
            False when the key or the MessageID is there already; nothing changed then: look up again.

        Raises:
            StorageFailure: not durable; answer nothing.
        """

        def work() -> bool:
            try:
                self._insert("hand_over", _hand_over_row(hand_over))
                self._insert("reply", _reply_row(reply))
                for wish in wishes:
                    self._insert("wish", _wish_row(wish))
            except sqlite3.IntegrityError:
                return False
            return True

        return await self._write(work)

    async def remember(self, reply: KeptReply) -> bool:
        """Commit the answer to a retry of a hand-over already taken.

        Returns:
            False when the MessageID is there already.
        """

        def work() -> bool:
            try:
                self._insert("reply", _reply_row(reply))
            except sqlite3.IntegrityError:
                return False
            return True

        return await self._write(work)

    async def done(self, hand_over: HandOver, at: datetime) -> None:
        """Note that the back end can see it."""

        def work() -> bool:
            self._connection.execute(
                "UPDATE hand_over SET done_at = ? WHERE hub_oin = ? AND berichtkenmerk = ?",
                (_text(at), hand_over.hub_oin, hand_over.berichtkenmerk),
            )
            return True

        await self._write(work)

    async def wish(self, wish: Wish) -> bool:
        """Commit a status that the back end asks for later.

        Returns:
            False when this status of this hand-over is there already.
        """

        def work() -> bool:
            try:
                self._insert("wish", _wish_row(wish))
            except sqlite3.IntegrityError:
                return False
            return True

        return await self._write(work)

    async def note_attempt(self, wish: Wish) -> None:
        """Replace due, attempts and note of a status."""

        def work() -> bool:
            self._connection.execute(
                "UPDATE wish SET due = ?, attempts = ?, note = ?"
                " WHERE hub_oin = ? AND berichtkenmerk = ? AND statuscode = ?",
                (_text(wish.due), wish.attempts, wish.note, wish.hub_oin, wish.berichtkenmerk, wish.statuscode),
            )
            return True

        await self._write(work)

    async def forget_replies(self, now: datetime) -> None:
        """Drop answers whose time to be kept is over."""

        def work() -> bool:
            self._connection.execute("DELETE FROM reply WHERE until <= ?", (_text(now),))
            return True

        await self._write(work)

    async def close(self) -> None:
        """Close the database and give the folder free."""

        def work() -> None:
            self._connection.close()
            os.close(self._lock)

        await asyncio.get_running_loop().run_in_executor(self._thread, work)
        self._thread.shutdown()

    # --- the one thread -----------------------------------------------------------------------------------------------

    async def _read(self, statement: str, values: tuple[object, ...]) -> list[Any]:
        return await self._run(lambda: self._connection.execute(statement, values).fetchall())

    async def _write(self, work: Callable[[], bool]) -> bool:
        def transaction() -> bool:
            self._connection.execute("BEGIN IMMEDIATE")
            if work():
                self._connection.execute("COMMIT")
                return True
            self._connection.execute("ROLLBACK")
            return False

        # Shielded: a peer that hangs up must not leave us not knowing whether the commit took place.
        return await asyncio.shield(self._run(transaction))

    async def _run(self, work: Callable[[], T]) -> T:
        def guarded() -> T:
            if self._failed:
                raise StorageFailure(f"refused after an earlier failure: {self._failed}")
            try:
                return work()
            except sqlite3.Error as error:
                # After a failed fsync nobody knows what is on disk: a later COMMIT must not seem to succeed.
                self._failed = str(error)
                raise StorageFailure(f"{FILE}: {error}") from error

        return await asyncio.get_running_loop().run_in_executor(self._thread, guarded)

    def _insert(self, table: str, row: tuple[object, ...]) -> None:
        # `table` is one of three names above, never anybody's data.
        self._connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)


def _take(path: Path) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ConfigError(f"{path.parent}: another agency process has this folder; stop it or give another") from None
    return lock


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _text(at: datetime | None) -> str | None:
    # One width and one zone, so that text order is time order.
    return None if at is None else at.astimezone(UTC).isoformat(timespec="microseconds")


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _hand_over(row: Sequence[Any]) -> HandOver:
    hub_oin, berichtkenmerk, kenmerk, berichtsoort, folder, staged, delivered_at, done_at = row
    delivered = datetime.fromisoformat(delivered_at)
    return HandOver(hub_oin, berichtkenmerk, kenmerk, berichtsoort, folder, staged, delivered, _time(done_at))


def _hand_over_row(it: HandOver) -> tuple[object, ...]:
    key = (it.hub_oin, it.berichtkenmerk, it.kenmerk, it.berichtsoort)
    return (*key, it.folder, it.staged, _text(it.delivered_at), _text(it.done_at))


def _reply_row(it: KeptReply) -> tuple[object, ...]:
    return it.hub_oin, it.message_id, it.reply.signature_value, it.reply.octets, _text(it.until)


def _wish(row: Sequence[Any]) -> Wish:
    hub_oin, berichtkenmerk, kenmerk, statuscode, at, foutcode, foutbeschrijving, details, due, attempts, note = row
    fault = (foutcode, foutbeschrijving, details)
    key = (hub_oin, berichtkenmerk, kenmerk, statuscode)
    return Wish(*key, datetime.fromisoformat(at), *fault, _time(due), attempts, note)


def _wish_row(it: Wish) -> tuple[object, ...]:
    key = (it.hub_oin, it.berichtkenmerk, it.kenmerk, it.statuscode, _text(it.at))
    return (*key, it.foutcode, it.foutbeschrijving, it.details, _text(it.due), it.attempts, it.note)
