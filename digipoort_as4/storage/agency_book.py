"""What an agency remembers: hand-overs taken, answers given, statuses still to tell. SQLite, one process, one writer.

Keeps no document (storage.inbox does) and decides nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from digipoort_as4.hub.decision import RememberReply, StoredReply
from digipoort_as4.storage.group import GroupCommit, Undone
from digipoort_as4.storage.payloads import sync
from digipoort_as4.storage.rows import Model, made
from digipoort_as4.storage.sqlite import open_writer, owned

FILE, LOCK = "agency.sqlite", "agency.lock"
MIGRATIONS: Final = Path(__file__).parent / "agency_migrations"


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


_Statement = tuple[str, tuple[object, ...]]

AS_READ: Final = dict.fromkeys(("delivered_at", "done_at", "at", "due", "sealed_at"), datetime.fromisoformat)


class AgencyBook:
    """The agency's own database; after a failure it refuses everything until the process starts anew (P5)."""

    def __init__(self, connection: sqlite3.Connection, lock: int, on_failure: Callable[[], None]) -> None:
        self._connection, self._lock = connection, lock
        self._group = GroupCommit(connection, on_failure)
        self.fail, self.check = self._group.fail, self._group.check

    @classmethod
    def open(cls, folder: Path, on_failure: Callable[[], None] = lambda: None) -> AgencyBook:
        """Open or make the database and take the folder for this process alone.
        `on_failure` is called once when the book can not keep its promise any more: the process has to stop.
        Raises ConfigError: another process has it, or a newer version wrote it; StorageFailure: it cannot be opened."""
        with owned(folder, LOCK) as lock:
            connection = open_writer(folder / FILE, MIGRATIONS)
            sync(folder)
            return cls(connection, lock, on_failure)

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
        joined = "SELECT wish.* FROM wish JOIN hand_over USING (hub_oin, berichtkenmerk)"
        where = "WHERE due <= ? AND done_at IS NOT NULL ORDER BY due LIMIT ?"
        return self._rows(Wish, f"{joined} {where}", _text(now), limit)

    def wishes(self, berichtkenmerk: str) -> list[Wish]:
        """All statuses of a hand-over, settled or not."""
        return self._rows(Wish, "SELECT * FROM wish WHERE berichtkenmerk = ? ORDER BY at", berichtkenmerk)

    def dispatches(self) -> list[Dispatch]:
        """All messages of the outbox that are under way, longest due first."""
        return self._rows(Dispatch, "SELECT * FROM dispatch ORDER BY due")

    async def take(self, hand_over: HandOver, reply: RememberReply, wishes: Sequence[Wish] = ()) -> bool:
        """Commit a hand-over with its answer and the statuses that shall follow, all or nothing.
        False when the key or the MessageID is there already; nothing changed then: look up again.
        Raises StorageFailure: not durable; answer nothing."""
        wanted = [_insert("wish", *_columns(wish)) for wish in wishes]
        return await self._write(_insert("hand_over", *_columns(hand_over)), _insert_reply(reply), *wanted)

    async def remember(self, reply: RememberReply) -> bool:
        """Commit the answer to a retry of a hand-over already taken; False when the MessageID is there already."""
        return await self._write(_insert_reply(reply))

    async def done(self, hand_over: HandOver, at: datetime) -> None:
        """Note that the back end can see it."""
        statement = "UPDATE hand_over SET done_at = ? WHERE hub_oin = ? AND berichtkenmerk = ?"
        await self._write((statement, (_text(at), hand_over.hub_oin, hand_over.berichtkenmerk)))

    async def note_attempt(self, wish: Wish) -> None:
        """Replace due, attempts and note of a status."""
        key = "hub_oin = ? AND berichtkenmerk = ? AND statuscode = ?"
        values = (_text(wish.due), wish.attempts, wish.note, wish.hub_oin, wish.berichtkenmerk, wish.statuscode)
        await self._write((f"UPDATE wish SET due = ?, attempts = ?, note = ? WHERE {key}", values))

    async def keep(self, one: Dispatch) -> None:
        """Commit what is known of a message of the outbox, before its octets leave and after each attempt."""
        await self._write(_insert("dispatch", *_columns(one), verb="REPLACE"))

    async def forget(self, one: Dispatch) -> None:
        """Drop a message whose folder was moved."""
        await self._write(("DELETE FROM dispatch WHERE folder = ?", (one.folder,)))

    async def forget_replies(self, now: datetime) -> None:
        """Drop answers whose time to be kept is over."""
        await self._write(("DELETE FROM reply WHERE until <= ?", (_text(now),)))

    async def close(self) -> None:
        """Wait for the running commit, close and give the folder free."""
        if await self._group.close():
            self._connection.close()
        os.close(self._lock)

    def _rows(self, model: type[Model], statement: str, *values: object) -> list[Model]:
        return made(model, self._read(statement, values), AS_READ)

    def _read(self, statement: str, values: tuple[object, ...]) -> list[Any]:
        return self._group.read(lambda: self._connection.execute(statement, values).fetchall())

    async def _write(self, *statements: _Statement) -> bool:
        def operation(connection: sqlite3.Connection) -> bool:
            try:
                for statement in statements:
                    connection.execute(*statement)
            except sqlite3.IntegrityError:
                raise Undone(False) from None
            return True

        return bool((await self._group.run([operation]))[0])


def _insert(table: str, *row: object, verb: str = "INSERT") -> _Statement:
    # `table` is one of four names above, never anybody's data
    return f"{verb} INTO {table} VALUES ({', '.join('?' * len(row))})", row


def _columns(it: HandOver | Wish | Dispatch) -> Iterator[object]:
    for field in fields(it):
        yield _text(value) if isinstance(value := getattr(it, field.name), datetime) else value


def _insert_reply(it: RememberReply) -> _Statement:
    return _insert("reply", it.party, it.message_id, it.reply.signature_value, it.reply.octets, _text(it.until))


def _text(at: datetime | None) -> str | None:
    # One width and one zone, so that text order is time order.
    return None if at is None else at.astimezone(UTC).isoformat(timespec="microseconds")
