"""Reading what the post office remembers: for the store itself, and read-only for another process while the owner runs.

Writes nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from digipoort_as4.errors import ConfigError
from digipoort_as4.hub import registers
from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.decision import Delivery, Listed, Process, Register, ReturnMessage, Search, Status, StoredReply
from digipoort_as4.payload import BytesPayload, Document, Payload
from digipoort_as4.storage.effects import UNIT_COLUMNS, find_payload, find_reply
from digipoort_as4.storage.jobs import next_due
from digipoort_as4.storage.payloads import Payloads
from digipoort_as4.storage.times import from_stored, to_stored

DATABASE: Final = "store.sqlite3"
PAYLOADS: Final = "payloads"

PATIENCE: Final = 5.0  # Seconds to wait for a lock that another connection holds for a moment, as at a checkpoint

PROCESS_COLUMNS: Final = f"""id, kenmerk, received_at, state, version, last_status_at, duplicate_of,
    belanghebbende_nummer, belanghebbende_type, ontvanger_nummer, ontvanger_type, {", ".join(UNIT_COLUMNS)}"""
LISTED_COLUMNS: Final = """process.kenmerk, process.berichtsoort, belanghebbende_nummer, belanghebbende_type,
    ontvanger_nummer, ontvanger_type"""
ABOUT: Final = """process.berichtsoort = :berichtsoort AND process.belanghebbende = :belanghebbende
    AND sender_oin = ifnull(:sender_oin, sender_oin)"""
WINDOW: Final = "at >= ifnull(:since, at) AND at <= ifnull(:until, at)"
DELIVERY_COLUMNS: Final = """berichtkenmerk, kenmerk, recipient_oin, is_copy, documents, delivery.state,
    delivery.version, started_at, attempts, consent, note"""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One evidence row."""

    kenmerk: str
    kind: str
    at: datetime
    coverage: str
    octets: bytes


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """One job as an operator sees it."""

    kind: str
    destination: str
    subject: str
    due: datetime
    attempts: int
    held: bool
    parked: bool


class View:
    """Look-ups on one connection; every answer is one consistent read of what was committed."""

    def __init__(self, connection: sqlite3.Connection, payloads: Payloads) -> None:
        self._connection, self._payloads = connection, payloads  # nobody writes through this connection

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    # --- processes ---

    def process(self, kenmerk: str) -> Process | None:
        """A process with its documents, payloads readable."""
        row = self._row(f"SELECT {PROCESS_COLUMNS} FROM process WHERE kenmerk = ?", kenmerk)
        return self._process(row) if row else None

    def processes(self, limit: int = 100) -> list[Process]:
        """The newest processes, newest first."""
        rows = self._rows(f"SELECT {PROCESS_COLUMNS} FROM process ORDER BY id DESC LIMIT ?", limit)
        return [self._process(row) for row in rows]

    def _process(self, row: tuple[Any, ...]) -> Process:
        process, kenmerk, received_at, state, version, last_status_at, duplicate_of, *numbers = row[:11]
        unit = Aanlevering(
            belanghebbende=Identiteit(*numbers[:2]),
            ontvanger=None if numbers[2] is None else Identiteit(*numbers[2:]),
            documents=self._documents(process),
            **dict(zip(UNIT_COLUMNS, row[11:], strict=True)),
        )
        last = from_stored(last_status_at)
        return Process(kenmerk, unit, from_stored(received_at), state, version, last, duplicate_of)

    def _documents(self, process: int) -> tuple[Document, ...]:
        rows = self._rows(
            "SELECT part, mime_type, bestandsnaam, key, size, sha256, octets FROM document"
            " JOIN payload ON payload.id = document.payload WHERE process = ? ORDER BY position",
            process,
        )
        return tuple(
            Document(part, mime_type, name, self._payload(key, size, sha256, octets), size, sha256, key)
            for part, mime_type, name, key, size, sha256, octets in rows
        )

    def statuses(self, kenmerk: str) -> list[Status]:
        """All statuses of a process in order."""
        rows = self._rows(
            "SELECT code, at, omschrijving, foutcode, foutbeschrijving, details, seq FROM status"
            " WHERE process = (SELECT id FROM process WHERE kenmerk = ?) ORDER BY seq",
            kenmerk,
        )
        return [_status(row) for row in rows]

    def seen(self, asker_oin: str, kenmerk: str) -> int:
        """The last seq this asker was told; 0 when none."""
        row = self._row("SELECT seq FROM seen WHERE asker_oin = ? AND kenmerk = ?", asker_oin, kenmerk)
        return int(row[0]) if row else 0

    def duplicate(self, sender_oin: str, aanleverkenmerk: str, content: bytes) -> str | None:
        """kenmerk of the newest process of this sender with the same aanleverkenmerk and content digest."""
        same = "sender_oin = ? AND aanleverkenmerk = ? AND content = ?"
        sql = f"SELECT kenmerk FROM process WHERE {same} ORDER BY id DESC LIMIT 1"
        row = self._row(sql, sender_oin, aanleverkenmerk, content)
        return str(row[0]) if row else None

    # --- what an asker looks for ---

    def search_processes(self, search: Search) -> list[Listed]:
        """The newest processes that fit berichtsoort, belanghebbende and sender, oldest of them first."""
        sql = f"SELECT {LISTED_COLUMNS} FROM process WHERE {ABOUT} ORDER BY id DESC LIMIT :limit"
        return [_listed(row) for row in reversed(self._found(sql, search))]

    def search_statuses(self, search: Search) -> list[tuple[Listed, Status]]:
        """Statuses of those processes that the asker was not told, within the window, oldest first."""
        rows = self._found(
            f"SELECT {LISTED_COLUMNS}, code, at, omschrijving, foutcode, foutbeschrijving, details, status.seq"
            " FROM process JOIN status ON status.process = process.id"
            " LEFT JOIN seen ON seen.kenmerk = process.kenmerk AND seen.asker_oin = :asker_oin"
            f" WHERE {ABOUT} AND last_seq > ifnull(seen.seq, 0) AND status.seq > ifnull(seen.seq, 0) AND {WINDOW}"
            " ORDER BY at, process.id, status.seq LIMIT :limit",
            search,
        )
        return [(_listed(row[:6]), _status(row[6:])) for row in rows]

    def search_returned(self, search: Search) -> list[Listed]:
        """Return messages within the asker's reach and the window, oldest first."""
        rows = self._found(
            f"SELECT DISTINCT {LISTED_COLUMNS}, at, retour.id FROM json_each(:reach) AS reached JOIN retour"
            " ON recipient = json_extract(reached.value, '$[0]')"
            " AND retour.berichtsoort = ifnull(json_extract(reached.value, '$[1]'), retour.berichtsoort)"
            f" JOIN process ON process.id = retour.process WHERE {WINDOW}"
            " AND retour.berichtsoort = ifnull(:berichtsoort, retour.berichtsoort)"
            " AND process.kenmerk = ifnull(:kenmerk, process.kenmerk)"
            " AND belanghebbende = ifnull(:belanghebbende, belanghebbende) AND NOT (:only_new AND EXISTS"
            " (SELECT 1 FROM collected WHERE asker_oin = :asker_oin AND collected.kenmerk = process.kenmerk))"
            " ORDER BY at, retour.id LIMIT :limit",
            search,
        )
        return [_listed(row[:6]) for row in rows]

    def return_message(self, kenmerk: str) -> ReturnMessage | None:
        """The return message of a process, when it has one."""
        joined = "retour JOIN process ON process.id = retour.process"
        row = self._row(f"SELECT kenmerk, berichtkenmerk, recipient, at FROM {joined} WHERE kenmerk = ?", kenmerk)
        return ReturnMessage(row[0], row[1], row[2], from_stored(row[3])) if row else None

    def _found(self, sql: str, search: Search) -> list[tuple[Any, ...]]:
        values = {field.name: getattr(search, field.name) for field in fields(search)}
        times = {name: to_stored(at) for name, at in values.items() if isinstance(at, datetime)}
        return self._connection.execute(sql, {**values, **times, "reach": json.dumps(search.reach)}).fetchall()

    # --- deliveries, replies, evidence, jobs, payloads ---

    def delivery(self, berichtkenmerk: str) -> Delivery | None:
        """One delivery."""
        joined = "delivery JOIN process ON process.id = delivery.process"
        row = self._row(f"SELECT {DELIVERY_COLUMNS} FROM {joined} WHERE berichtkenmerk = ?", berichtkenmerk)
        return _delivery(row) if row else None

    def deliveries(self, kenmerk: str) -> list[Delivery]:
        """All deliveries of a process, the owner's first, then copies in the order made."""
        rows = self._rows(
            f"SELECT {DELIVERY_COLUMNS} FROM process JOIN delivery ON delivery.process = process.id"
            " WHERE kenmerk = ? ORDER BY is_copy, delivery.id",
            kenmerk,
        )
        return [_delivery(row) for row in rows]

    def reply(self, party: str, message_id: str, now: datetime) -> StoredReply | None:
        """The answer given, unless its time to be kept is over."""
        return find_reply(self._connection, self._payloads, party, message_id, after=to_stored(now))

    def evidence(self, kenmerk: str) -> list[Evidence]:
        """All evidence about a process in the order kept."""
        rows = self._rows("SELECT kind, at, coverage, octets FROM evidence WHERE kenmerk = ? ORDER BY id", kenmerk)
        return [Evidence(kenmerk, kind, from_stored(at), *rest) for kind, at, *rest in rows]

    def register(self, name: str) -> list[Register]:
        """All entries of a register in the order made."""
        rows = self._rows("SELECT key, value, by, reason, at FROM register WHERE register = ? ORDER BY id", name)
        return [Register(name, key, value, by, reason, from_stored(at)) for key, value, by, reason, at in rows]

    def jobs(self, subject: str | None = None) -> list[WaitingJob]:
        """Jobs in the order queued: all, or those about one kenmerk or berichtkenmerk."""
        rows = self._rows(
            "SELECT kind, destination, subject, due, attempts, lease_until, parked FROM job"
            " WHERE ?1 IS NULL OR subject = ?1 ORDER BY id",
            subject,
        )
        return [
            WaitingJob(kind, destination, about, from_stored(due), attempts, bool(lease), bool(parked))
            for kind, destination, about, due, attempts, lease, parked in rows
        ]

    def next_due(self, now: datetime) -> datetime | None:
        """When the next job can be claimed, caps aside, or None when there is none."""
        return next_due(self._connection, now)

    def payload(self, key: str) -> Payload | None:
        """Octets kept under a key."""
        return find_payload(self._connection, self._payloads, key)

    def _payload(self, key: str, size: int, sha256: bytes, octets: bytes | None) -> Payload:
        return self._payloads.open(key, size, sha256) if octets is None else BytesPayload(octets)

    # --- plumbing: fetching all ends the read, so that no checkpoint has to wait for it ---

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def _row(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        rows = self._rows(sql, *values)
        return rows[0] if rows else None


def _listed(row: tuple[Any, ...]) -> Listed:
    """A process from LISTED_COLUMNS."""
    kenmerk, berichtsoort, *numbers = row
    return Listed(
        kenmerk, berichtsoort, Identiteit(*numbers[:2]), None if numbers[2] is None else Identiteit(*numbers[2:])
    )


def _status(row: tuple[Any, ...]) -> Status:
    code, at, *rest = row
    return Status(code, from_stored(at), *rest)


def _delivery(row: tuple[Any, ...]) -> Delivery:
    """A delivery from DELIVERY_COLUMNS, which stand in the order of its fields."""
    berichtkenmerk, kenmerk, recipient, is_copy, documents, state, version, started_at, *rest = row
    keys = tuple(json.loads(documents))
    started = None if started_at is None else from_stored(started_at)
    return Delivery(berichtkenmerk, kenmerk, recipient, bool(is_copy), keys, state, version, started, *rest)


def registered(folder: Path) -> list[Register]:
    """The entries of all registers of a store, in the order made; none where there is no store yet.

    Raises:
        ConfigError: the store cannot be read.
    """
    if not (folder / DATABASE).exists():
        return []
    try:
        with open_view(folder) as view:
            return [entry for name in registers.REGISTERS for entry in view.register(name)]
    except sqlite3.Error as error:
        raise ConfigError(f"{folder}: the registers cannot be read: {error}") from error


@contextmanager
def open_view(folder: Path) -> Iterator[View]:
    """Look into a SqliteStore's folder from another process, whether its owner runs or not; cannot write.

    Raises:
        ConfigError: there is no store in this folder.
    """
    if not (folder / DATABASE).exists():
        raise ConfigError(f"{folder} holds no store: {DATABASE} is not there")
    uri = f"{(folder / DATABASE).resolve().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=PATIENCE)
    try:
        yield View(connection, Payloads(folder / PAYLOADS))
    finally:
        connection.close()
