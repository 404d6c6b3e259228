"""The store contract: what every engine promises, tested by tests/storage/contract.py.

An engine executes decisions; it takes none. A second engine (PostgreSQL) comes under the same suite."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from digipoort_as4.hub import decision as words
from digipoort_as4.payload import Document, Payload


class Store(Protocol):
    """What the post office remembers.
    After any StorageFailure the engine refuses everything until the process is started anew (P5): a commit whose fsync
    failed must never be followed by one that seems to succeed."""

    async def commit(self, decision: words.Decision) -> words.Outcome:
        """Carry out one decision; may share a transaction with others that wait (group commit).
        Returns only after the effects are on disk: file fsync, directory fsync, WAL commit with synchronous=FULL.
        Raises StorageFailure: disk full, I/O error, engine closed."""

    async def commit_many(self, decisions: Sequence[words.Decision]) -> list[words.Outcome]:
        """One transaction, one outcome per decision in order; a duplicate or stale one never spoils its neighbours."""

    async def keep(self, document: Document) -> Document:
        """Make a document's octets durable under its key, before the decision that names it; returns a readable one.
        Octets up to limits.INLINE_PAYLOAD stay in the handle and enter the row at commit; larger ones are moved or
        copied to their final name (write, fsync, rename, fsync of the folder)."""

    async def find_reply(self, party: str, message_id: str, now: datetime) -> words.StoredReply | None:
        """The answer given to this party's MessageID, unless its time to be kept is over."""

    async def find_duplicate(self, sender_oin: str, aanleverkenmerk: str, content: bytes) -> str | None:
        """kenmerk of the newest process of this sender with the same aanleverkenmerk and content digest (32 octets)."""

    async def process(self, kenmerk: str) -> words.Process | None:
        """A process with its documents, payloads readable."""

    async def statuses(self, kenmerk: str) -> list[words.Status]:
        """All statuses of a process in order."""

    async def seen(self, asker_oin: str, kenmerk: str) -> int:
        """The last seq this asker was told by a getNieuwe operation; 0 when none."""

    async def search_processes(self, search: words.Search) -> list[words.Listed]:
        """The newest processes that fit berichtsoort, belanghebbende and sender_oin, oldest of them first."""

    async def search_statuses(self, search: words.Search) -> list[tuple[words.Listed, words.Status]]:
        """Statuses of those processes that the asker was not told, within the window, oldest first."""

    async def search_returned(self, search: words.Search) -> list[words.Listed]:
        """Return messages within the asker's reach that fit, in the order in which they became available."""

    async def return_message(self, kenmerk: str) -> words.ReturnMessage | None:
        """What can be collected under a kenmerk."""

    async def delivery(self, berichtkenmerk: str) -> words.Delivery | None:
        """One delivery."""

    async def deliveries(self, kenmerk: str) -> list[words.Delivery]:
        """All deliveries of a process, the owner's first, then copies in the order made."""

    async def register(self, name: str) -> list[words.Register]:
        """All entries of a register, in the order made."""

    async def claim(
        self, kinds: Sequence[str], now: datetime, lease_until: datetime, limit: int, per_destination: int
    ) -> list[words.Job]:
        """Take due jobs under a lease: oldest due first within a destination, destinations taking turns.
        A job is due when its due time is at or before `now` and no lease on it is running; the claim lapses at
        `lease_until`. At most `limit` in all, and `per_destination` of one, those under a running lease included."""

    async def extend(self, job: words.Job, lease_until: datetime) -> bool:
        """Heartbeat: lengthen a lease; False when it was lost."""

    async def next_due(self, now: datetime) -> datetime | None:
        """When the next job can be claimed, or None when there is none."""

    async def payload(self, key: str) -> Payload | None:
        """Octets kept under a key."""

    async def close(self) -> None:
        """Wait for the running commit and close."""
