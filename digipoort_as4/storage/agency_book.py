"""What an agency remembers: hand-overs taken, answers given, statuses still to tell. SQLite, one process, one writer.

Keeps no document (storage.inbox does) and decides nothing.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from digipoort_as4.errors import StorageFailure
from digipoort_as4.hub.decision import RememberReply, StoredReply
from digipoort_as4.storage.group import GroupCommit, Undone
from digipoort_as4.storage.payloads import make_folder, sync_folder
from digipoort_as4.storage.sqlite import connect, take_lock

FILE: Final = "agency.sqlite"
LOCK: Final = "agency.lock"

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS hand_over (
    hub_oin TEXT NOT NULL, berichtkenmerk TEXT NOT NULL, kenmerk TEXT NOT NULL, berichtsoort TEXT NOT NULL,
    folder TEXT NOT NULL, staged TEXT NOT NULL, delivered_at TEXT NOT NULL, done_at TEXT,
    PRIMARY KEY (hub_oin, berichtkenmerk)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS hand_over_open ON hand_over (delivered_at) WHERE done_at IS NULL;
CREATE TABLE IF NOT EXISTS reply (
    hub_oin TEXT NOT NULL, message_id TEXT NOT NULL, signature_value TEXT NOT NULL, octets BLOB NOT NULL,
    until TEXT NOT NULL,
    PRIMARY KEY (hub_oin, message_id)
);
CREATE INDEX IF NOT EXISTS reply_until ON reply (until);
CREATE TABLE IF NOT EXISTS wish (
    hub_oin TEXT NOT NULL, berichtkenmerk TEXT NOT NULL, kenmerk TEXT NOT NULL, statuscode TEXT NOT NULL,
    at TEXT NOT NULL, foutcode TEXT, foutbeschrijving TEXT, details TEXT,
    due TEXT, attempts INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (hub_oin, berichtkenmerk, statuscode)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS wish_due ON wish (due) WHERE due IS NOT NULL;
CREATE TABLE IF NOT EXISTS dispatch (
    folder TEXT PRIMARY KEY, message_id TEXT NOT NULL, sealed_at TEXT NOT NULL, due TEXT NOT NULL,
    octets BLOB NOT NULL, signature_value TEXT NOT NULL, large TEXT NOT NULL, attempts INTEGER NOT NULL,
    note TEXT NOT NULL, verdict TEXT NOT NULL, told TEXT NOT NULL, answer BLOB NOT NULL
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


@dataclass(frozen=True, slots=True)
class HandOver:
    """One delivery that the agency took, once for all retries of the hub: a row of the table, as its columns stand."""

    hub_oin: str
    berichtkenmerk: str
    kenmerk: str
    berichtsoort: str
    folder: str  # its name in the inbox
    staged: str  # its name in the staging place before that
    delivered_at: datetime  # tijdstempelAfgeleverd: the same in the answer to every retry
    done_at: datetime | None = None  # when the back end could see it; None until then


@dataclass(frozen=True, slots=True)
class Wish:
    """A status that the agency wants to set at the hub (zetStatus): a row of the table, as its columns stand."""

    hub_oin: str
    berichtkenmerk: str
    kenmerk: str
    statuscode: str
    at: datetime  # tijdstempelStatus: the same in every attempt
    foutcode: str | None = None
    foutbeschrijving: str | None = None
    details: str | None = None
    due: datetime | None = None  # next attempt; None when it is settled, told or given up
    attempts: int = 0
    note: str = ""  # for the operator: what the last attempt met


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A message of the outbox on its way to the hub: a row of the table, as its columns stand."""

    folder: str  # its name in the outbox
    message_id: str
    sealed_at: datetime
    due: datetime  # next attempt
    octets: bytes = b""  # as they are sent at each attempt, with placeholders for large documents
    signature_value: str = ""
    large: str = "{}"  # JSON: placeholder to file name
    attempts: int = 0
    note: str = ""  # for the operator: what the last attempt met
    verdict: str = ""  # sent or refused: nothing is sent any more, the folder is to be moved there
    told: str = ""  # answer.json
    answer: bytes = b""  # the hub's signed answer, or its fault


TIMES: Final = ("delivered_at", "done_at", "at", "due", "sealed_at")  # columns that hold a moment

R = TypeVar("R", HandOver, Wish, Dispatch)


class AgencyBook:
    """The agency's own database; after a failure it refuses everything until the process starts anew (P5)."""

    def __init__(self, connection: sqlite3.Connection, lock: int, on_failure: Callable[[], None]) -> None:
        self._connection, self._lock = connection, lock
        self._group = GroupCommit(connection, on_failure)

    @classmethod
    def open(cls, folder: Path, on_failure: Callable[[], None] = lambda: None) -> AgencyBook:
        """Open or make the database and take the folder for this process alone.

        `on_failure` is called once, when the book can not keep its promise any more: the process has to stop.

        Raises:
            ConfigError: another process has it.
            StorageFailure: the database cannot be opened.
        """
        make_folder(folder)
        lock = take_lock(folder / LOCK)
        try:
            connection = connect(
                folder / FILE,
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = FULL",  # as the hub's: an answer given survives a power cut
                "PRAGMA wal_autocheckpoint = 0",  # GroupCommit does it, where an error is seen
                "PRAGMA trusted_schema = OFF",
            )
            connection.executescript(SCHEMA)
            sync_folder(folder)
        except (sqlite3.Error, OSError) as error:
            os.close(lock)
            raise StorageFailure(f"{folder / FILE}: {error}") from error
        return cls(connection, lock, on_failure)

    # --- reading: tens of microseconds each, so inline ----------------------------------------------------------------

    def find_reply(self, hub_oin: str, message_id: str, now: datetime) -> StoredReply | None:
        """The answer given to this message, unless its time to be kept is over."""
        statement = "SELECT signature_value, octets FROM reply WHERE hub_oin = ? AND message_id = ? AND until > ?"
        rows = self._read(statement, (hub_oin, message_id, _text(now)))
        return StoredReply(rows[0][0], rows[0][1]) if rows else None

    def find_hand_over(self, hub_oin: str, berichtkenmerk: str) -> HandOver | None:
        """The hand-over under this key, done or not."""
        statement = "SELECT * FROM hand_over WHERE hub_oin = ? AND berichtkenmerk = ?"
        return next(iter(self._rows(HandOver, statement, hub_oin, berichtkenmerk)), None)

    def open_hand_overs(self) -> list[HandOver]:
        """All that are committed and not yet done, oldest first."""
        return self._rows(HandOver, "SELECT * FROM hand_over WHERE done_at IS NULL ORDER BY delivered_at")

    def due_wishes(self, now: datetime, limit: int) -> list[Wish]:
        """Statuses whose next attempt is due and whose documents the back end can see; longest due first."""
        statement = (
            "SELECT wish.* FROM wish JOIN hand_over USING (hub_oin, berichtkenmerk)"
            " WHERE due <= ? AND done_at IS NOT NULL ORDER BY due LIMIT ?"
        )
        return self._rows(Wish, statement, _text(now), limit)

    def wishes(self, berichtkenmerk: str) -> list[Wish]:
        """All statuses of a hand-over, settled or not."""
        return self._rows(Wish, "SELECT * FROM wish WHERE berichtkenmerk = ? ORDER BY at", berichtkenmerk)

    def dispatches(self) -> list[Dispatch]:
        """All messages of the outbox that are under way, longest due first."""
        return self._rows(Dispatch, "SELECT * FROM dispatch ORDER BY due")

    # --- writing ------------------------------------------------------------------------------------------------------

    async def take(self, hand_over: HandOver, reply: RememberReply, wishes: Sequence[Wish] = ()) -> bool:
        """Commit a hand-over with its answer and the statuses that shall follow, all or nothing.

        Returns False when the key or the MessageID is there already; nothing changed then: look up again.
        Raises StorageFailure: not durable; answer nothing.
        """
        rows = [_insert("hand_over", *_columns(hand_over)), _insert("reply", *_reply(reply))]
        return await self._write(*rows, *(_insert("wish", *_columns(wish)) for wish in wishes))

    async def remember(self, reply: RememberReply) -> bool:
        """Commit the answer to a retry of a hand-over already taken; False when the MessageID is there already."""
        return await self._write(_insert("reply", *_reply(reply)))

    async def done(self, hand_over: HandOver, at: datetime) -> None:
        """Note that the back end can see it."""
        statement = "UPDATE hand_over SET done_at = ? WHERE hub_oin = ? AND berichtkenmerk = ?"
        await self._write((statement, (_text(at), hand_over.hub_oin, hand_over.berichtkenmerk)))

    async def note_attempt(self, wish: Wish) -> None:
        """Replace due, attempts and note of a status."""
        statement = (
            "UPDATE wish SET due = ?, attempts = ?, note = ?"
            " WHERE hub_oin = ? AND berichtkenmerk = ? AND statuscode = ?"
        )
        key = (wish.hub_oin, wish.berichtkenmerk, wish.statuscode)
        await self._write((statement, (_text(wish.due), wish.attempts, wish.note, *key)))

    async def keep(self, one: Dispatch) -> None:
        """Commit what is known of a message of the outbox, before its octets leave and after each attempt."""
        await self._write(_insert("dispatch", *_columns(one), verb="REPLACE"))

    async def forget(self, one: Dispatch) -> None:
        """Drop a message whose folder was moved."""
        await self._write(("DELETE FROM dispatch WHERE folder = ?", (one.folder,)))

    async def forget_replies(self, now: datetime) -> None:
        """Drop answers whose time to be kept is over."""
        await self._write(("DELETE FROM reply WHERE until <= ?", (_text(now),)))

    def fail(self, reason: str) -> None:
        """Refuse everything from here on: the inbox lies on the same disk, and that broke its promise."""
        self._group.fail(reason)

    def check(self) -> None:
        """Raise StorageFailure when an earlier failure took the promise away."""
        self._group.check()

    async def close(self) -> None:
        """Wait for the running commit, close and give the folder free."""
        sound = self._group.failure is None
        await self._group.close()
        if sound:
            self._connection.close()
        os.close(self._lock)

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _rows(self, model: type[R], statement: str, *values: object) -> list[R]:
        names = [field.name for field in fields(model)]
        return [model(*map(_value, names, row)) for row in self._read(statement, values)]

    def _read(self, statement: str, values: tuple[object, ...]) -> list[Any]:
        self._group.check()
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._group.fail(f"reading failed: {error}") from error

    async def _write(self, *statements: _Statement) -> bool:
        def operation(connection: sqlite3.Connection) -> bool:
            try:
                for statement, values in statements:
                    connection.execute(statement, values)
            except sqlite3.IntegrityError:
                raise Undone(False) from None
            return True

        return bool((await self._group.run([operation]))[0])


_Statement = tuple[str, tuple[object, ...]]


def _insert(table: str, *row: object, verb: str = "INSERT") -> _Statement:
    # `table` is one of four names above, never anybody's data
    return f"{verb} INTO {table} VALUES ({', '.join('?' * len(row))})", row


def _columns(it: HandOver | Wish | Dispatch) -> Iterator[object]:
    for field in fields(it):
        value = getattr(it, field.name)
        yield _text(value) if field.name in TIMES else value


def _reply(it: RememberReply) -> tuple[object, ...]:
    return it.party, it.message_id, it.reply.signature_value, it.reply.octets, _text(it.until)


def _value(column: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if column in TIMES and value is not None else value


def _text(at: datetime | None) -> str | None:
    # One width and one zone, so that text order is time order.
    return None if at is None else at.astimezone(UTC).isoformat(timespec="microseconds")
