"""Reading what the post office remembers: for the store itself, and read-only for another process while the owner runs.

Writes nothing."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from digipoort_as4.errors import ConfigError
from digipoort_as4.hub import decision as words
from digipoort_as4.hub import registers
from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.payload import BytesPayload, Document, Payload
from digipoort_as4.storage.jobs import next_due
from digipoort_as4.storage.payloads import Payloads
from digipoort_as4.storage.rows import Model, Row, from_stored, made, to_stored

DATABASE: Final = "store.sqlite3"
PAYLOADS: Final = "payloads"

PATIENCE: Final = 5.0  # Seconds to wait for a lock that another connection holds for a moment, as at a checkpoint

UNIT_COLUMNS: Final = (  # of the table process: the fields of Aanlevering with the same names
    "sender_oin", "berichtsoort", "rol_belanghebbende", "aanleverkenmerk", "eerder_aanleverkenmerk", "rol_ontvanger",
    "autorisatie_adres",
)  # fmt: skip
PROCESS_COLUMNS: Final = f"""id, kenmerk, received_at, state, version, last_status_at, duplicate_of,
    belanghebbende_nummer, belanghebbende_type, ontvanger_nummer, ontvanger_type, {", ".join(UNIT_COLUMNS)}"""
LISTED_COLUMNS: Final = """process.kenmerk, process.berichtsoort, belanghebbende_nummer, belanghebbende_type,
    ontvanger_nummer, ontvanger_type"""
STATUS_COLUMNS: Final = "code, at, omschrijving, foutcode, foutbeschrijving, details, status.seq"
ABOUT: Final = """process.berichtsoort = :berichtsoort AND process.belanghebbende = :belanghebbende
    AND sender_oin = ifnull(:sender_oin, sender_oin)"""
WINDOW: Final = "at >= ifnull(:since, at) AND at <= ifnull(:until, at)"
DELIVERY_COLUMNS: Final = """berichtkenmerk, kenmerk, recipient_oin, is_copy, documents, delivery.state,
    delivery.version, started_at, attempts, consent, note"""
AS_READ: Final[Mapping[str, Callable[[Any], Any]]] = {  # how a column becomes the field of this name
    **dict.fromkeys(("at", "due", "started_at"), from_stored), **dict.fromkeys(("copy", "held", "parked"), bool),
    "documents": lambda text: tuple(json.loads(text)),
}  # fmt: skip


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

    def process(self, kenmerk: str) -> words.Process | None:
        """A process with its documents, payloads readable."""
        row = self._row(f"SELECT {PROCESS_COLUMNS} FROM process WHERE kenmerk = ?", kenmerk)
        return self._process(row) if row else None

    def processes(self, limit: int = 100) -> list[words.Process]:
        """The newest processes, newest first."""
        rows = self._rows(f"SELECT {PROCESS_COLUMNS} FROM process ORDER BY id DESC LIMIT ?", limit)
        return [self._process(row) for row in rows]

    def _process(self, row: Row) -> words.Process:
        process, kenmerk, received_at, state, version, last_status_at, duplicate_of, about, its_type, *to = row[:11]
        unit = Aanlevering(
            belanghebbende=Identiteit(about, its_type),
            ontvanger=Identiteit(*to) if to[0] is not None else None,
            documents=self._documents(process),
            **dict(zip(UNIT_COLUMNS, row[11:], strict=True)),
        )
        last = from_stored(last_status_at)
        return words.Process(kenmerk, unit, from_stored(received_at), state, version, last, duplicate_of)

    def _documents(self, process: int) -> tuple[Document, ...]:
        rows = self._rows(
            "SELECT part, mime_type, bestandsnaam, key, size, sha256, octets FROM document"
            " JOIN payload ON payload.id = document.payload WHERE process = ? ORDER BY position",
            process,
        )
        return tuple(
            Document(part, mime_type, name, self._payload(key, *stored), stored[0], stored[1], key)
            for part, mime_type, name, key, *stored in rows
        )

    def statuses(self, kenmerk: str) -> list[words.Status]:
        """All statuses of a process in order."""
        known = "process = (SELECT id FROM process WHERE kenmerk = ?)"
        return self._all(words.Status, f"SELECT {STATUS_COLUMNS} FROM status WHERE {known} ORDER BY seq", kenmerk)

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

    def search_processes(self, search: words.Search) -> list[words.Listed]:
        """The newest processes that fit berichtsoort, belanghebbende and sender, oldest of them first."""
        sql = f"SELECT {LISTED_COLUMNS} FROM process WHERE {ABOUT} ORDER BY id DESC LIMIT :limit"
        return [_listed(row) for row in reversed(self._found(sql, search))]

    def search_statuses(self, search: words.Search) -> list[tuple[words.Listed, words.Status]]:
        """Statuses of those processes that the asker was not told, within the window, oldest first."""
        rows = self._found(
            f"SELECT {LISTED_COLUMNS}, {STATUS_COLUMNS} FROM process JOIN status ON status.process = process.id"
            " LEFT JOIN seen ON seen.kenmerk = process.kenmerk AND seen.asker_oin = :asker_oin"
            f" WHERE {ABOUT} AND last_seq > ifnull(seen.seq, 0) AND status.seq > ifnull(seen.seq, 0) AND {WINDOW}"
            " ORDER BY at, process.id, status.seq LIMIT :limit",
            search,
        )
        statuses = made(words.Status, (row[6:] for row in rows), AS_READ)
        return [(_listed(row), status) for row, status in zip(rows, statuses, strict=True)]

    def search_returned(self, search: words.Search) -> list[words.Listed]:
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
        return [_listed(row) for row in rows]

    def return_message(self, kenmerk: str) -> words.ReturnMessage | None:
        """The return message of a process, when it has one."""
        sql = "SELECT kenmerk, berichtkenmerk, recipient, at FROM retour JOIN process ON process.id = retour.process"
        return next(iter(self._all(words.ReturnMessage, f"{sql} WHERE kenmerk = ?", kenmerk)), None)

    def _found(self, sql: str, search: words.Search) -> list[Row]:
        values = {field.name: getattr(search, field.name) for field in fields(search)}
        times = {name: to_stored(at) for name, at in values.items() if isinstance(at, datetime)}
        return self._connection.execute(sql, {**values, **times, "reach": json.dumps(search.reach)}).fetchall()

    def delivery(self, berichtkenmerk: str) -> words.Delivery | None:
        """One delivery."""
        joined = "delivery JOIN process ON process.id = delivery.process"
        sql = f"SELECT {DELIVERY_COLUMNS} FROM {joined} WHERE berichtkenmerk = ?"
        return next(iter(self._all(words.Delivery, sql, berichtkenmerk)), None)

    def deliveries(self, kenmerk: str) -> list[words.Delivery]:
        """All deliveries of a process, the owner's first, then copies in the order made."""
        joined = "process JOIN delivery ON delivery.process = process.id"
        order = "ORDER BY is_copy, delivery.id"
        return self._all(words.Delivery, f"SELECT {DELIVERY_COLUMNS} FROM {joined} WHERE kenmerk = ? {order}", kenmerk)

    def reply(self, party: str, message_id: str, now: datetime) -> words.StoredReply | None:
        """The answer given, unless its time to be kept is over."""
        sql = "SELECT signature_value, octets, large FROM reply WHERE party = ? AND message_id = ? AND until > ?"
        row = self._row(sql, party, message_id, to_stored(now))
        if row is None:
            return None
        large = []
        for placeholder, key in json.loads(row[2] or "[]"):
            if (payload := self.payload(key)) is None:
                raise OSError(f"payload {key} of a kept answer is gone")
            large.append(words.LargeDocument(placeholder, key, payload))
        return words.StoredReply(row[0], row[1], tuple(large))

    def evidence(self, kenmerk: str) -> list[Evidence]:
        """All evidence about a process in the order kept."""
        sql = "SELECT kenmerk, kind, at, coverage, octets FROM evidence WHERE kenmerk = ? ORDER BY id"
        return self._all(Evidence, sql, kenmerk)

    def register(self, name: str) -> list[words.Register]:
        """All entries of a register in the order made."""
        sql = "SELECT register, key, value, by, reason, at FROM register WHERE register = ? ORDER BY id"
        return self._all(words.Register, sql, name)

    def jobs(self, subject: str | None = None) -> list[WaitingJob]:
        """Jobs in the order queued: all, or those about one kenmerk or berichtkenmerk."""
        columns = "kind, destination, subject, due, attempts, lease_until, parked"
        sql = f"SELECT {columns} FROM job WHERE ?1 IS NULL OR subject = ?1 ORDER BY id"
        return self._all(WaitingJob, sql, subject)

    def next_due(self, now: datetime) -> datetime | None:
        """When the next job can be claimed, caps aside, or None when there is none."""
        return next_due(self._connection, now)

    def payload(self, key: str) -> Payload | None:
        """Octets kept under a key."""
        row = self._row("SELECT size, sha256, octets FROM payload WHERE key = ?", key)
        return self._payload(key, *row) if row else None

    def _payload(self, key: str, size: int, sha256: bytes, octets: bytes | None) -> Payload:
        return self._payloads.open(key, size, sha256) if octets is None else BytesPayload(octets)

    # Fetching all ends the read, so that no checkpoint has to wait for it.

    def _all(self, model: type[Model], sql: str, *values: Any) -> list[Model]:
        return made(model, self._rows(sql, *values), AS_READ)

    def _rows(self, sql: str, *values: Any) -> list[Row]:
        return self._connection.execute(sql, values).fetchall()

    def _row(self, sql: str, *values: Any) -> Row | None:
        return next(iter(self._rows(sql, *values)), None)


def _listed(row: Row) -> words.Listed:
    """A process from LISTED_COLUMNS, which stand first."""
    kenmerk, berichtsoort, about, its_type, *to = row[:6]
    return words.Listed(
        kenmerk, berichtsoort, Identiteit(about, its_type), Identiteit(*to) if to[0] is not None else None
    )


def registered(folder: Path) -> list[words.Register]:
    """The entries of all registers of a store, in the order made; none where there is no store. Raises ConfigError."""
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
    Raises ConfigError: there is no store in this folder."""
    if not (folder / DATABASE).exists():
        raise ConfigError(f"{folder} holds no store: {DATABASE} is not there")
    uri = f"{(folder / DATABASE).resolve().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=PATIENCE)
    try:
        yield View(connection, Payloads(folder / PAYLOADS))
    finally:
        connection.close()
