"""What each effect of a decision does to the tables, one function per effect, joined in one table.

Decides nothing; opens, commits and rolls back nothing: the savepoint around a decision is the caller's."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial
from typing import Any, Final

from digipoort_as4 import limits
from digipoort_as4.hub import decision as words
from digipoort_as4.hub import identities
from digipoort_as4.payload import Document, content_digest
from digipoort_as4.storage.group import Undone
from digipoort_as4.storage.payloads import Payloads, inline_octets
from digipoort_as4.storage.rows import EPOCH, to_stored
from digipoort_as4.storage.view import UNIT_COLUMNS, View

NOT_HELD: Final = "job {0.job} is no longer held under token {0.token}"
REPLIES_FORGOTTEN: Final = 2  # Expired replies removed with each new one, so that the table shrinks without a job


@dataclass(frozen=True, slots=True)
class Writing:
    """What an effect works with."""

    connection: sqlite3.Connection
    payloads: Payloads
    now: datetime  # The store's clock; only the expiry of replies looks at it

    def insert(self, table: str, **values: object) -> int | None:
        """Insert one row, values by column; returns its id."""
        sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
        return self.execute(sql, *values.values()).lastrowid

    def change(self, stale: str, sql: str, *values: object) -> None:
        """Run what must find its row; Undone with Stale when it does not."""
        if not self.execute(sql, *values).rowcount:
            raise Undone(words.Stale(stale))

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        """Run one statement; times go in as microseconds."""
        return self.connection.execute(sql, [to_stored(one) if isinstance(one, datetime) else one for one in values])


def carry_out(decision: words.Decision, writing: Writing) -> words.Outcome:
    """All effects of a decision, in order. Raises Undone, with AlreadyThere or Stale, for the caller to roll back.
    Raises ValueError: an effect no decider may make, such as a large document that was not kept."""
    try:
        for effect in decision.effects:
            EFFECTS[type(effect)](effect, writing)
    except sqlite3.IntegrityError as error:
        # A key that is taken or a process that is not there: the facts are not those decided on.
        raise Undone(words.Stale(str(error))) from None
    return words.Committed()


def append(table: str, effect: words.KeepEvidence | words.QueueJob | words.Register, writing: Writing) -> None:
    """Add one row whose columns are the effect's fields."""
    writing.insert(table, **{field.name: getattr(effect, field.name) for field in fields(effect)})


def start_process(effect: words.StartProcess, writing: Writing) -> None:
    """Insert the process, its documents and its first statuses."""
    unit = effect.aanlevering
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
    _add_statuses(process, effect.kenmerk, 0, None, effect.statuses, writing)


def _row_octets(document: Document, payloads: Payloads) -> bytes | None:
    """Octets for the row, or None when a file holds them, which must be there before the row that names it."""
    if document.size <= limits.INLINE_PAYLOAD:
        return inline_octets(document)
    if not payloads.holds(document.key, document.size):
        raise ValueError(f"document {document.key} was not kept before the decision that names it")
    return None


def _add_statuses(
    process: int | None, kenmerk: str, last_seq: int, last: int | None, new: Sequence[words.Status], writing: Writing
) -> None:
    """Status times rise within a process (decision 11); the decider shifts them, here they are only refused."""
    for seq, status in enumerate(new, last_seq + 1):
        if last is not None and to_stored(status.at) <= last:
            raise Undone(words.Stale(f"status {status.code} of {kenmerk} is not later than the one before"))
        last = to_stored(status.at)
        columns = {field.name: getattr(status, field.name) for field in fields(status)}
        writing.insert("status", **{**columns, "process": process, "seq": seq})


def advance(effect: words.Advance, writing: Writing) -> None:
    """Move a process on when it is still as decided on."""
    row = writing.execute(
        "UPDATE process SET version = version + 1, state = ? WHERE kenmerk = ? AND version = ?"
        " RETURNING id, last_seq, last_status_at",
        *(effect.state, effect.kenmerk, effect.version),
    ).fetchone()
    if not row:
        raise Undone(words.Stale(f"process {effect.kenmerk} is not at version {effect.version}"))
    process, last_seq, last_status_at = row
    if effect.statuses:
        _add_statuses(process, effect.kenmerk, last_seq, last_status_at, effect.statuses, writing)
        seq, at = last_seq + len(effect.statuses), effect.statuses[-1].at
        writing.execute("UPDATE process SET last_seq = ?, last_status_at = ? WHERE id = ?", seq, at, process)


def remember_reply(effect: words.RememberReply, writing: Writing) -> None:
    """Keep the answer, in the place of an expired one if need be; an answer that still counts wins over this one."""
    reply, asked = effect.reply, (effect.party, effect.message_id)
    large = json.dumps([(one.placeholder, one.key) for one in reply.large]) if reply.large else None
    row = writing.execute(
        "INSERT INTO reply (party, message_id, signature_value, octets, large, until) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (party, message_id) DO UPDATE SET signature_value = excluded.signature_value,"
        " octets = excluded.octets, large = excluded.large, until = excluded.until"
        " WHERE reply.until <= ? RETURNING id",
        *(*asked, reply.signature_value, reply.octets, large, effect.until, writing.now),
    ).fetchone()
    if not row:
        earlier = View(writing.connection, writing.payloads).reply(*asked, EPOCH)
        if earlier is None:
            raise ValueError(f"reply to {effect.message_id} is there and is not")
        raise Undone(words.AlreadyThere(earlier))
    expired = "SELECT id FROM reply WHERE until <= ? ORDER BY until LIMIT ?"
    writing.execute(f"DELETE FROM reply WHERE id IN ({expired})", writing.now, REPLIES_FORGOTTEN)


def mark_seen(effect: words.MarkSeen, writing: Writing) -> None:
    """Note the furthest an asker was told; a slower answer never takes it back."""
    sql = "INSERT INTO seen (asker_oin, kenmerk, seq) VALUES (?, ?, ?) ON CONFLICT (asker_oin, kenmerk)"
    further = "DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seen.seq"
    writing.execute(f"{sql} {further}", effect.asker_oin, effect.kenmerk, effect.seq)


def make_available(effect: words.MakeAvailable, writing: Writing) -> None:
    """Insert a return message of a process that is there."""
    new, columns = effect.message, "process, berichtkenmerk, recipient, berichtsoort, at"
    sql = f"INSERT INTO retour ({columns}) SELECT id, ?, ?, berichtsoort, ? FROM process WHERE kenmerk = ?"
    writing.execute(sql, new.berichtkenmerk, new.recipient, new.at, new.kenmerk)


def mark_collected(effect: words.MarkCollected, writing: Writing) -> None:
    """Note the first time; whoever asks for new ones twice at once gets the content once."""
    sql = "INSERT INTO collected (asker_oin, kenmerk, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    found = writing.execute(sql, effect.asker_oin, effect.kenmerk, effect.at).rowcount
    if not found and effect.only_new:
        raise Undone(words.Stale(f"{effect.kenmerk} was collected meanwhile"))


def finish_job(effect: words.FinishJob, writing: Writing) -> None:
    """Remove a job; only its latest holder can, even when his lease has run out but nobody took over."""
    sql = "DELETE FROM job WHERE id = ? AND token = ? AND lease_until > 0"
    writing.change(NOT_HELD.format(effect), sql, effect.job, effect.token)


def postpone_job(effect: words.PostponeJob, writing: Writing) -> None:
    """Give a job back; the token is of no use afterwards."""
    writing.change(
        NOT_HELD.format(effect),
        "UPDATE job SET due = ?, lease_until = 0, parked = ?, attempts = iif(?, 0, attempts)"
        " WHERE id = ? AND token = ? AND lease_until > 0",
        *(effect.due, effect.parked, effect.reset_attempts, effect.job, effect.token),
    )


def start_delivery(effect: words.StartDelivery, writing: Writing) -> None:
    """Insert a delivery of a process that is there."""
    new = effect.delivery
    process = writing.execute("SELECT id FROM process WHERE kenmerk = ?", new.kenmerk).fetchone()
    if not process:
        raise Undone(words.Stale(f"process {new.kenmerk} is not there"))
    columns = {field.name: getattr(new, field.name) for field in fields(new) if field.name not in ("kenmerk", "copy")}
    columns["documents"] = json.dumps(new.documents)
    writing.insert("delivery", process=process[0], is_copy=new.copy, **columns)


def change_delivery(effect: words.ChangeDelivery, writing: Writing) -> None:
    """Replace state, start, attempts, consent and note; recipient and documents stay as they were started."""
    new = effect.delivery
    writing.change(
        f"delivery {new.berichtkenmerk} is not at version {new.version}",
        "UPDATE delivery SET version = version + 1, state = ?, started_at = ?, attempts = ?, consent = ?, note = ?"
        " WHERE berichtkenmerk = ? AND version = ?",
        *(new.state, new.started_at, new.attempts, new.consent, new.note, new.berichtkenmerk, new.version),
    )


EFFECTS: Final[dict[type, Callable[[Any, Writing], None]]] = {
    words.StartProcess: start_process,
    words.Advance: advance,
    words.RememberReply: remember_reply,
    words.KeepEvidence: partial(append, "evidence"),
    words.MarkSeen: mark_seen,
    words.MakeAvailable: make_available,
    words.MarkCollected: mark_collected,
    words.Register: partial(append, "register"),
    words.QueueJob: partial(append, "job"),
    words.FinishJob: finish_job,
    words.PostponeJob: postpone_job,
    words.StartDelivery: start_delivery,
    words.ChangeDelivery: change_delivery,
}
"""Effect → what carries it out; a test holds it against hub.decision.Effect."""
