"""What each effect of a decision does to the tables, one function per effect, joined in one table.

Decides nothing; opens, commits and rolls back nothing: the savepoint around a decision is the caller's.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial
from typing import Any, Final

from digipoort_as4 import limits
from digipoort_as4.hub import identities
from digipoort_as4.hub.decision import (
    Advance,
    AlreadyThere,
    ChangeDelivery,
    Committed,
    Decision,
    FinishJob,
    KeepEvidence,
    LargeDocument,
    MakeAvailable,
    MarkCollected,
    MarkSeen,
    Outcome,
    PostponeJob,
    QueueJob,
    Register,
    RememberReply,
    Stale,
    StartDelivery,
    StartProcess,
    Status,
    StoredReply,
)
from digipoort_as4.payload import BytesPayload, Document, Payload, content_digest
from digipoort_as4.storage.group import Undone
from digipoort_as4.storage.payloads import Payloads, inline_octets
from digipoort_as4.storage.times import to_stored

REPLIES_FORGOTTEN: Final = 2  # Expired replies removed with each new one, so that the table shrinks without a job


@dataclass(frozen=True, slots=True)
class Writing:
    """What an effect works with."""

    connection: sqlite3.Connection
    payloads: Payloads
    now: datetime  # The store's clock; only the expiry of replies looks at it

    def insert(self, table: str, **values: object) -> int | None:
        """Insert one row, values by column, times as microseconds; returns its id."""
        sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
        row = [to_stored(value) if isinstance(value, datetime) else value for value in values.values()]
        return self.connection.execute(sql, row).lastrowid


def carry_out(decision: Decision, writing: Writing) -> Outcome:
    """All effects of a decision, in order.

    Raises:
        Undone: with AlreadyThere or Stale; the caller rolls back what was done so far.
        ValueError: an effect no decider may make, such as a large document that was not kept.
    """
    try:
        for effect in decision.effects:
            EFFECTS[type(effect)](effect, writing)
    except sqlite3.IntegrityError as error:
        # A key that is taken or a process that is not there: the facts are not those decided on.
        raise Undone(Stale(str(error))) from None
    return Committed()


def append(table: str, effect: KeepEvidence | QueueJob | Register, writing: Writing) -> None:
    """Add one row whose columns are the effect's fields."""
    writing.insert(table, **{field.name: getattr(effect, field.name) for field in fields(effect)})


# --- processes ------------------------------------------------------------------------------------------------------

UNIT_COLUMNS: Final = (  # of the table process: the fields of Aanlevering with the same names
    "sender_oin", "berichtsoort", "rol_belanghebbende", "aanleverkenmerk", "eerder_aanleverkenmerk", "rol_ontvanger",
    "autorisatie_adres",
)  # fmt: skip


def start_process(effect: StartProcess, writing: Writing) -> None:
    """Insert the process, its documents and its first statuses."""
    unit = effect.aanlevering
    _check_order(effect.kenmerk, None, effect.statuses)
    process = writing.insert(
        "process",
        kenmerk=effect.kenmerk,
        belanghebbende=identities.key(unit.belanghebbende),
        belanghebbende_nummer=unit.belanghebbende.nummer,
        belanghebbende_type=unit.belanghebbende.type,
        ontvanger_nummer=unit.ontvanger.nummer if unit.ontvanger else None,
        ontvanger_type=unit.ontvanger.type if unit.ontvanger else None,
        **{column: getattr(unit, column) for column in UNIT_COLUMNS},
        content=content_digest(unit.documents),
        received_at=effect.received_at,
        state="accepted",
        version=0,
        last_seq=len(effect.statuses),
        last_status_at=effect.statuses[-1].at if effect.statuses else effect.received_at,
        duplicate_of=effect.duplicate_of,
    )
    for position, one in enumerate(unit.documents):
        octets = _row_octets(one, writing.payloads)
        payload = writing.insert("payload", key=one.key, size=one.size, sha256=one.sha256, octets=octets)
        described = {"part": one.part, "mime_type": one.mime_type, "bestandsnaam": one.bestandsnaam}
        writing.insert("document", process=process, position=position, payload=payload, **described)
    _insert_statuses(process, 0, effect.statuses, writing)


def _row_octets(document: Document, payloads: Payloads) -> bytes | None:
    """Octets for the row, or None when a file holds them, which must be there before the row that names it."""
    if document.size <= limits.INLINE_PAYLOAD:
        return inline_octets(document)
    if not payloads.holds(document.key, document.size):
        raise ValueError(f"document {document.key} was not kept before the decision that names it")
    return None


def _insert_statuses(process: int | None, last_seq: int, statuses: Sequence[Status], writing: Writing) -> None:
    writing.connection.executemany(
        "INSERT INTO status (process, seq, code, at, omschrijving, foutcode, foutbeschrijving, details)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (process, seq, s.code, to_stored(s.at), s.omschrijving, s.foutcode, s.foutbeschrijving, s.details)
            for seq, s in enumerate(statuses, last_seq + 1)
        ],
    )


def _check_order(kenmerk: str, last: int | None, statuses: Sequence[Status]) -> None:
    """Status times rise within a process (decision 11); the decider shifts them, here they are only refused."""
    for status in statuses:
        at = to_stored(status.at)
        if last is not None and at <= last:
            raise Undone(Stale(f"status {status.code} of {kenmerk} is not later than the one before"))
        last = at


def advance(effect: Advance, writing: Writing) -> None:
    """Move a process on when it is still as decided on."""
    row = writing.connection.execute(
        "UPDATE process SET version = version + 1, state = ? WHERE kenmerk = ? AND version = ?"
        " RETURNING id, last_seq, last_status_at",
        (effect.state, effect.kenmerk, effect.version),
    ).fetchone()
    if not row:
        raise Undone(Stale(f"process {effect.kenmerk} is not at version {effect.version}"))
    process, last_seq, last_status_at = row
    if effect.statuses:
        _check_order(effect.kenmerk, last_status_at, effect.statuses)
        _insert_statuses(process, last_seq, effect.statuses, writing)
        writing.connection.execute(
            "UPDATE process SET last_seq = ?, last_status_at = ? WHERE id = ?",
            (last_seq + len(effect.statuses), to_stored(effect.statuses[-1].at), process),
        )


# --- replies, evidence, what an asker was told ----------------------------------------------------------------------


def remember_reply(effect: RememberReply, writing: Writing) -> None:
    """Keep the answer, in the place of an expired one if need be; an answer that still counts wins over this one."""
    now, reply = to_stored(writing.now), effect.reply
    asked = (effect.party, effect.message_id)
    large = json.dumps([(one.placeholder, one.key) for one in reply.large]) if reply.large else None
    row = writing.connection.execute(
        "INSERT INTO reply (party, message_id, signature_value, octets, large, until) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (party, message_id) DO UPDATE SET signature_value = excluded.signature_value,"
        " octets = excluded.octets, large = excluded.large, until = excluded.until"
        " WHERE reply.until <= ? RETURNING id",
        (*asked, reply.signature_value, reply.octets, large, to_stored(effect.until), now),
    ).fetchone()
    if not row:
        earlier = find_reply(writing.connection, writing.payloads, *asked, after=0)
        if earlier is None:
            raise ValueError(f"reply to {effect.message_id} is there and is not")
        raise Undone(AlreadyThere(earlier))
    writing.connection.execute(
        "DELETE FROM reply WHERE id IN (SELECT id FROM reply WHERE until <= ? ORDER BY until LIMIT ?)",
        (now, REPLIES_FORGOTTEN),
    )


def find_reply(
    connection: sqlite3.Connection, payloads: Payloads, party: str, message_id: str, *, after: int
) -> StoredReply | None:
    """The answer kept for a party's MessageID until later than `after` (as stored), its large documents readable."""
    sql = "SELECT signature_value, octets, large FROM reply WHERE party = ? AND message_id = ? AND until > ?"
    row = connection.execute(sql, (party, message_id, after)).fetchone()
    if row is None:
        return None
    large = []
    for placeholder, key in json.loads(row[2] or "[]"):
        payload = find_payload(connection, payloads, key)
        if payload is None:
            raise OSError(f"payload {key} of a kept answer is gone")
        large.append(LargeDocument(placeholder, key, payload))
    return StoredReply(row[0], row[1], tuple(large))


def find_payload(connection: sqlite3.Connection, payloads: Payloads, key: str) -> Payload | None:
    """Octets kept under a key, in their row or in a file."""
    row = connection.execute("SELECT size, sha256, octets FROM payload WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    size, sha256, octets = row
    return payloads.open(key, size, sha256) if octets is None else BytesPayload(octets)


def mark_seen(effect: MarkSeen, writing: Writing) -> None:
    """Note the furthest an asker was told; a slower answer never takes it back."""
    writing.connection.execute(
        "INSERT INTO seen (asker_oin, kenmerk, seq) VALUES (?, ?, ?)"
        " ON CONFLICT (asker_oin, kenmerk) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seen.seq",
        (effect.asker_oin, effect.kenmerk, effect.seq),
    )


def make_available(effect: MakeAvailable, writing: Writing) -> None:
    """Insert a return message of a process that is there."""
    new, columns = effect.message, "process, berichtkenmerk, recipient, berichtsoort, at"
    writing.connection.execute(
        f"INSERT INTO retour ({columns}) SELECT id, ?, ?, berichtsoort, ? FROM process WHERE kenmerk = ?",
        (new.berichtkenmerk, new.recipient, to_stored(new.at), new.kenmerk),
    )


def mark_collected(effect: MarkCollected, writing: Writing) -> None:
    """Note the first time; whoever asks for new ones twice at once gets the content once."""
    sql = "INSERT INTO collected (asker_oin, kenmerk, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    values = (effect.asker_oin, effect.kenmerk, to_stored(effect.at))
    if not writing.connection.execute(sql, values).rowcount and effect.only_new:
        raise Undone(Stale(f"{effect.kenmerk} was collected meanwhile"))


# --- jobs -----------------------------------------------------------------------------------------------------------


def finish_job(effect: FinishJob, writing: Writing) -> None:
    """Remove a job; only its latest holder can, even when his lease has run out but nobody took over."""
    found = writing.connection.execute(
        "DELETE FROM job WHERE id = ? AND token = ? AND lease_until > 0", (effect.job, effect.token)
    ).rowcount
    _check_token(found, effect)


def postpone_job(effect: PostponeJob, writing: Writing) -> None:
    """Give a job back; the token is of no use afterwards."""
    found = writing.connection.execute(
        "UPDATE job SET due = ?, lease_until = 0, parked = ?, attempts = iif(?, 0, attempts)"
        " WHERE id = ? AND token = ? AND lease_until > 0",
        (to_stored(effect.due), int(effect.parked), int(effect.reset_attempts), effect.job, effect.token),
    ).rowcount
    _check_token(found, effect)


def _check_token(found: int, effect: FinishJob | PostponeJob) -> None:
    if not found:
        raise Undone(Stale(f"job {effect.job} is no longer held under token {effect.token}"))


# --- deliveries -----------------------------------------------------------------------------------------------------


def start_delivery(effect: StartDelivery, writing: Writing) -> None:
    """Insert a delivery of a process that is there."""
    new = effect.delivery
    process = writing.connection.execute("SELECT id FROM process WHERE kenmerk = ?", (new.kenmerk,)).fetchone()
    if not process:
        raise Undone(Stale(f"process {new.kenmerk} is not there"))
    writing.insert(
        "delivery",
        berichtkenmerk=new.berichtkenmerk,
        process=process[0],
        recipient_oin=new.recipient_oin,
        is_copy=int(new.copy),
        documents=json.dumps(new.documents),
        **{name: getattr(new, name) for name in ("state", "version", "started_at", "attempts", "consent", "note")},
    )


def change_delivery(effect: ChangeDelivery, writing: Writing) -> None:
    """Replace state, start, attempts, consent and note; recipient and documents stay as they were started."""
    new = effect.delivery
    started = to_stored(new.started_at) if new.started_at else None
    found = writing.connection.execute(
        "UPDATE delivery SET version = version + 1, state = ?, started_at = ?, attempts = ?, consent = ?, note = ?"
        " WHERE berichtkenmerk = ? AND version = ?",
        (new.state, started, new.attempts, new.consent, new.note, new.berichtkenmerk, new.version),
    ).rowcount
    if not found:
        raise Undone(Stale(f"delivery {new.berichtkenmerk} is not at version {new.version}"))


EFFECTS: Final[dict[type, Callable[[Any, Writing], None]]] = {
    StartProcess: start_process,
    Advance: advance,
    RememberReply: remember_reply,
    KeepEvidence: partial(append, "evidence"),
    MarkSeen: mark_seen,
    MakeAvailable: make_available,
    MarkCollected: mark_collected,
    Register: partial(append, "register"),
    QueueJob: partial(append, "job"),
    FinishJob: finish_job,
    PostponeJob: postpone_job,
    StartDelivery: start_delivery,
    ChangeDelivery: change_delivery,
}
"""Effect → what carries it out; a test holds it against hub.decision.Effect."""
