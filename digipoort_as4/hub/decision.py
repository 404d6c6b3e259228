"""The words between protocols and store: what the store knows, what shall happen, what came of it.

Data only; `Store.commit` carries effects out, and nothing leaves the process before it has returned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.payload import Payload, assemble


@dataclass(frozen=True, slots=True)
class Status:
    """One StatusResultaat of a process."""

    code: str  # As hub.statuses names it, e.g. 105
    at: datetime  # Strictly increasing within a process by at least 1 ms (decision 11)
    omschrijving: str
    foutcode: str | None = None
    foutbeschrijving: str | None = None
    details: str | None = None
    seq: int = 0  # 1, 2, 3 … within the process; given by the store, 0 before


@dataclass(frozen=True, slots=True)
class Process:
    """One verwerkingsproces as the store has it."""

    kenmerk: str  # Lower-case UUID, 36 characters
    aanlevering: Aanlevering
    received_at: datetime
    state: str  # accepted, processing, delivering, waiting (for the agency's verdict), parked, or ended
    version: int  # Rises by one with each Advance; what an effect was decided on
    last_status_at: datetime
    duplicate_of: str | None = None
    """kenmerk of an earlier process with the same sender, aanleverkenmerk and content (decision 8 of design 5.5)."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One agency's share of a process, owner's or copy."""

    berichtkenmerk: str  # UUID, constant over retries and reseals (decision 22)
    kenmerk: str
    recipient_oin: str
    copy: bool  # True: a copy that the sender does not see (decision 17)
    documents: tuple[str, ...]  # Keys of what this recipient gets; the first becomes berichtInhoud (decision 18)
    state: str = "queued"  # queued, retrying, unknown, delivered, accepted (500), rejected, expired or withdrawn
    version: int = 0
    started_at: datetime | None = None  # When the first attempt began; 72 hours count from here
    attempts: int = 0
    consent: str = ""  # For a copy: which consent it rests on, as copies.Consent.reference
    note: str = ""  # For the operator: what the last attempt met


@dataclass(frozen=True, slots=True)
class ReturnMessage:
    """A message of an agency that a business can collect: the retour counterpart of a Delivery."""

    kenmerk: str
    berichtkenmerk: str  # UUID
    recipient: str  # hub.identities.key of whoever may collect it
    at: datetime  # When it became available: that of its status 405


@dataclass(frozen=True, slots=True)
class Listed:
    """A process as a list shows it."""

    kenmerk: str
    berichtsoort: str
    belanghebbende: Identiteit
    ontvanger: Identiteit | None


@dataclass(frozen=True, slots=True)
class Search:
    """Which processes, statuses or return messages an asker looks for; None does not matter."""

    limit: int
    asker_oin: str = ""
    kenmerk: str | None = None
    only_new: bool = False  # True: only what this asker was not told, or did not collect
    berichtsoort: str | None = None
    belanghebbende: str | None = None  # hub.identities.key
    sender_oin: str | None = None
    since: datetime | None = None  # Inclusive, of the moment of the status or of becoming available
    until: datetime | None = None  # Inclusive
    reach: tuple[tuple[str, str | None], ...] = ()
    """Return messages only: (key of a recipient, berichtsoort, or None for every one) that the asker may collect."""


@dataclass(frozen=True, slots=True)
class Job:
    """Work claimed by a worker."""

    id: int
    kind: str  # verwerken or afleveren
    destination: str  # Fairness key: recipient OIN for afleveren, 'hub' for verwerken
    subject: str  # kenmerk for verwerken, berichtkenmerk for afleveren
    attempts: int  # How often it was claimed, this claim included
    token: int  # Fencing token of this lease; checked at commit


@dataclass(frozen=True, slots=True)
class StoredReply:
    """The answer once given to a signed request."""

    signature_value: str  # Base64 without white space, as it stood in the request
    octets: bytes  # With a placeholder where a large document stands
    large: tuple[LargeDocument, ...] = ()  # In the order of the octets

    @property
    def payload(self) -> Payload:
        """The whole answer, the same octets each time."""
        return assemble(self.octets, {one.placeholder: one.payload for one in self.large})


@dataclass(frozen=True, slots=True)
class LargeDocument:
    """A document of which a stored answer has a placeholder only."""

    placeholder: str
    key: str  # Under which the store keeps the octets
    payload: Payload


@dataclass(frozen=True, slots=True)
class StartProcess:
    """Insert a process with its documents (their octets kept by Payloads before or inline) and first statuses."""

    kenmerk: str
    aanlevering: Aanlevering
    received_at: datetime
    statuses: tuple[Status, ...]
    duplicate_of: str | None = None


@dataclass(frozen=True, slots=True)
class Advance:
    """Move a process on: add statuses, set the state. Stale when the version is no longer the one decided on."""

    kenmerk: str
    version: int
    state: str
    statuses: tuple[Status, ...] = ()


@dataclass(frozen=True, slots=True)
class RememberReply:
    """Keep the answer for the verbatim repeat; a conflict on (party, message_id) yields AlreadyThere."""

    party: str  # OIN of the signer of the request
    message_id: str
    reply: StoredReply
    until: datetime


@dataclass(frozen=True, slots=True)
class KeepEvidence:
    """Append one evidence row, unchained."""

    kenmerk: str
    kind: str  # aanleverRequest, aanleverResponse, afleverRequest, afleverResponse, zetStatusRequest …
    octets: bytes  # Envelope without large inhoud
    coverage: str  # JSON: the coverage record of wssecurity.Opened, or empty for our own messages
    at: datetime


@dataclass(frozen=True, slots=True)
class QueueJob:
    """Add a job."""

    kind: str
    destination: str
    subject: str
    due: datetime


@dataclass(frozen=True, slots=True)
class FinishJob:
    """Remove a claimed job. Stale when the lease's token is no longer valid."""

    job: int
    token: int


@dataclass(frozen=True, slots=True)
class PostponeJob:
    """Give a claimed job back until `due`. Stale when the token is no longer valid."""

    job: int
    token: int
    due: datetime
    parked: bool = False  # True: never claimed again until an operator releases it
    reset_attempts: bool = False  # True: no sign of poison (an agency was away): attempts start at 0 again


@dataclass(frozen=True, slots=True)
class StartDelivery:
    """Insert a delivery row."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class ChangeDelivery:
    """Replace a delivery's changeable fields. Stale when its stored version differs from `delivery.version`."""

    delivery: Delivery  # As it shall be, with the version it was decided on; the store adds one


@dataclass(frozen=True, slots=True)
class MarkSeen:
    """Note that an asker has been told statuses up to `seq` (decision 16)."""

    asker_oin: str
    kenmerk: str
    seq: int


@dataclass(frozen=True, slots=True)
class MakeAvailable:
    """Insert a return message: from here on it can be collected."""

    message: ReturnMessage


@dataclass(frozen=True, slots=True)
class MarkCollected:
    """Note that an asker got the content. Stale when it asked for what is new only and had it already."""

    asker_oin: str
    kenmerk: str
    at: datetime
    only_new: bool


@dataclass(frozen=True, slots=True)
class Register:
    """Append one entry to a register; the last one of a key is what stands. Also the row as it is read again."""

    register: str  # One of hub.registers.REGISTERS
    key: str
    value: str | None  # JSON of a row as the tables have them; None: withdrawn
    by: str  # Who decided it, for people
    reason: str
    at: datetime


JobEffect = QueueJob | FinishJob | PostponeJob
Message = StartDelivery | ChangeDelivery | MakeAvailable | MarkCollected
Notes = RememberReply | KeepEvidence | MarkSeen | Register
Effect = StartProcess | Advance | Notes | JobEffect | Message


@dataclass(frozen=True, slots=True)
class Decision:
    """What shall happen, all or nothing."""

    reply: bytes  # Octets for the peer; empty where nobody waits
    effects: tuple[Effect, ...]

    def plus(self, *effects: Effect) -> Decision:
        """The same with more effects at the end."""
        return replace(self, effects=self.effects + effects)


@dataclass(frozen=True, slots=True)
class Committed:
    """All effects are durable."""


@dataclass(frozen=True, slots=True)
class AlreadyThere:
    """The request was answered before; nothing changed."""

    reply: StoredReply


@dataclass(frozen=True, slots=True)
class Stale:
    """Facts changed meanwhile; nothing changed. Look up again and decide again."""

    what: str


Outcome = Committed | AlreadyThere | Stale
