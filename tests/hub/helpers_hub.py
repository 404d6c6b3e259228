"""Envelopes, processes and an in-memory store for the tests of the hub."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.decision import (
    Advance,
    ChangeDelivery,
    Committed,
    Decision,
    Delivery,
    FinishJob,
    Job,
    MakeAvailable,
    Outcome,
    PostponeJob,
    Process,
    QueueJob,
    ReturnMessage,
    Stale,
    StartDelivery,
    Status,
)
from digipoort_as4.payload import BytesPayload, Document

NOW = datetime(2026, 3, 2, 10, 0, 0, tzinfo=UTC)
KENMERK = "11111111-2222-4333-8444-555555555501"
BAKKERIJ, DE_BOER, ZONDER = "00000099000000101000", "00000099000000102000", "00000099000000103000"
BELASTINGDIENST, CBS, HBAG = "00000099000000012000", "00000099000000013000", "00000099000000015000"
GEMEENTE = "00000099000000020000"
FI = Identiteit("001000044B37", "Fi")
XBRL = (
    '<xbrli:xbrl xmlns:xbrli="http://www.xbrl.org/2003/instance"><xbrli:context id="c"><xbrli:entity>'
    '<xbrli:identifier scheme="www.belastingdienst.nl/omzetbelastingnummer">001000044B37</xbrli:identifier>'
    "</xbrli:entity></xbrli:context></xbrli:xbrl>"
)


def document(
    text: str | bytes = XBRL, *, part: str = "inhoud", mime: str = "text/xml", name: str = "a.xbrl", key: str = "k1"
) -> Document:
    octets = text.encode() if isinstance(text, str) else text
    return Document(part, mime, name, BytesPayload(octets), len(octets), hashlib.sha256(octets).digest(), key)


def aanlevering(
    berichtsoort: str = "Omzetbelasting",
    *documents: Document,
    sender: str = BAKKERIJ,
    belanghebbende: Identiteit = FI,
    ontvanger: Identiteit | None = None,
) -> Aanlevering:
    return Aanlevering(
        sender, berichtsoort, belanghebbende, "Bedrijf", documents or (document(),), "Happyflow", ontvanger=ontvanger
    )


def process_of(unit: Aanlevering, state: str = "accepted", version: int = 1) -> Process:
    return Process(KENMERK, unit, NOW, state, version, NOW)


def job(attempts: int = 1, kind: str = "verwerken", subject: str = KENMERK) -> Job:
    return Job(7, kind, "hub", subject, attempts, 3)


@dataclass
class MemoryStore:
    """The store contract's part that processing and delivering need, for one process."""

    stored: Process
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    statuses: list[Status] = field(default_factory=list)
    queued: list[QueueJob] = field(default_factory=list)
    available: list[ReturnMessage] = field(default_factory=list)
    job: Job | None = field(default_factory=job)
    due: datetime = NOW
    commits: int = 0

    async def process(self, kenmerk: str) -> Process | None:
        return self.stored if kenmerk == self.stored.kenmerk else None

    async def commit(self, decision: Decision) -> Outcome:
        return self.apply(decision)

    def apply(self, decision: Decision) -> Outcome:
        self.commits += 1
        for effect in decision.effects:
            if stale := self.stale(effect):
                return Stale(stale)
        for effect in decision.effects:
            self.carry_out(effect)
        return Committed()

    def stale(self, effect: object) -> str:
        match effect:
            case Advance(version=version) if version != self.stored.version:
                return "process"
            case ChangeDelivery(delivery) if delivery.version != self.deliveries[delivery.berichtkenmerk].version:
                return "delivery"
            case FinishJob(token=token) | PostponeJob(token=token) if self.job is None or token != self.job.token:
                return "job"
        return ""

    def carry_out(self, effect: object) -> None:
        match effect:
            case Advance(_, version, state, told):
                last = told[-1].at if told else self.stored.last_status_at
                self.stored = replace(self.stored, version=version + 1, state=state, last_status_at=last)
                self.statuses += told
            case StartDelivery(delivery):
                self.deliveries[delivery.berichtkenmerk] = delivery
            case ChangeDelivery(delivery):
                self.deliveries[delivery.berichtkenmerk] = replace(delivery, version=delivery.version + 1)
            case MakeAvailable(message):
                self.available.append(message)
            case QueueJob():
                self.queued.append(effect)
            case FinishJob():
                self.job = None
            case PostponeJob(due=due, reset_attempts=reset):
                assert self.job is not None
                self.due, self.job = due, replace(self.job, attempts=1 if reset else self.job.attempts + 1)

    def codes(self) -> list[str]:
        return [status.code for status in self.statuses]
