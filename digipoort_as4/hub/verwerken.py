"""The processing path: from an accepted envelope to its deliveries, or to a refusal.

Knows no protocol, no engine and no rule: store, tables and validators are handed to it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from digipoort_as4.errors import DigipoortError, PeerError
from digipoort_as4.hub import copies, findings, identities, mandates, statuses
from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.copies import Consent
from digipoort_as4.hub.decision import (
    Advance,
    Decision,
    Delivery,
    Effect,
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
from digipoort_as4.hub.findings import Examined
from digipoort_as4.hub.mandates import Authority
from digipoort_as4.hub.registers import Tables
from digipoort_as4.hub.routes import RETOUR, CopyRule, Route, resolve_recipient, sort_documents
from digipoort_as4.payload import Document

ROUNDS: Final = 3  # How often a stale decision is taken anew; after that another worker has the job
TRIES: Final = 3  # 321 at each try, the third ends the process (decision 20)
PAUSES: Final = (timedelta(seconds=5), timedelta(seconds=60))
"""After the first and the second 321: a crashed validator is back at once, a full machine in a minute."""
OPEN_STATES: Final = frozenset({"accepted", "processing"})  # States in which verwerken still has something to decide
NO_AUTHORITY: Final = "De afzender mag dit bericht niet aanleveren voor deze belanghebbende en berichtsoort."
"""statusdetails at 210: the same for every reason; which one is in the journal."""
AUSP_SILENT: Final = "De dienst die het bericht in autorisatieAdres noemt, geeft nu geen bruikbaar antwoord."


class StorePort(Protocol):
    """The part of storage.store.Store that processing needs."""

    async def process(self, kenmerk: str) -> Process | None:
        """A process with its documents."""

    async def commit(self, decision: Decision) -> Outcome:
        """Carry out one decision."""


class Validation(Protocol):
    """validation.bench.Bench, or another way to have documents examined."""

    async def examine(self, aanlevering: Aanlevering, route: Route) -> Examined:
        """All steps of the route, within a time limit; a crash or a time-out is `Examined.trouble`."""


Journal = Callable[..., object]
"""Where the operator reads: (event, **fields); journal.Journal in a process."""
Confirm = Callable[[Aanlevering, Authority], Awaitable[Authority]]
"""What an Autorisatie Service Provider that the message names adds to what mandates say."""


async def _mandates_alone(aanlevering: Aanlevering, authority: Authority) -> Authority:
    return authority


@dataclass(frozen=True, slots=True)
class Ports:
    """All that the path reaches outside itself."""

    store: StorePort
    validation: Validation
    tables: Callable[[], Tables]  # The snapshot of this moment
    clock: Callable[[], datetime]
    new_id: Callable[[], str]  # Fresh lower-case UUIDs, for berichtkenmerken
    journal: Journal
    confirm: Confirm = _mandates_alone


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that decides what happens to one process."""

    process: Process
    route: Route | None  # None: the berichtsoort has left the table since accepting
    recipient: Identiteit | None  # Of the owner's delivery, or who may collect; None with `trouble` set
    trouble: str  # Why there is no recipient; empty when there is one
    authority: Authority
    examined: Examined  # Without authority nothing is examined
    copies: tuple[tuple[CopyRule, Consent | None], ...]  # The route's, each with the consent that stands now


async def process(job: Job, ports: Ports) -> Outcome:
    """Process one accepted envelope, whose kenmerk is the subject of a claimed job of kind verwerken.
    Returns what the last commit came to; Stale means that another worker has the job.
    Source: design 2; digipoort 3; decisions 1, 2, 17, 18, 20."""
    for _ in range(ROUNDS):
        accepted = await claimed(job, ports.store)  # 1 the claimed job's process
        tables = ports.tables()  # 2 facts: the tables of this moment
        authority = await check_authority(accepted, tables, ports)  # 3 facts: may the sender send this
        examined = await examine(accepted, tables, authority, ports.validation)  # 4 facts: what validators find
        facts = gather(accepted, tables, authority, examined, ports.clock())
        decision = decide(job, facts, ports.clock(), [ports.new_id() for _ in range(1 + len(facts.copies))])  # 5, 6
        outcome = await ports.store.commit(decision)  # 7
        if not isinstance(outcome, Stale):
            tell(facts, decision, ports.journal)
            return outcome
        await asyncio.sleep(0)  # whoever made it stale goes first
    return outcome


async def claimed(job: Job, store: StorePort) -> Process:
    """The process a job is about."""
    found = await store.process(job.subject)
    if found is None:
        raise DigipoortError(f"job {job.id} is about {job.subject}, which the store does not have")
    return found


async def check_authority(accepted: Process, tables: Tables, ports: Ports) -> Authority:
    """What identities and mandates say of this sender and message, and the AuSP that it names."""
    aanlevering = accepted.aanlevering
    route = tables.routes.find(aanlevering.berichtsoort)
    if route is None:
        return Authority(False, f"berichtsoort {aanlevering.berichtsoort} is in no route")
    party = tables.parties.knows(aanlevering.sender_oin)
    authority = mandates.authorise(party, route, aanlevering, ports.clock())
    return await ports.confirm(aanlevering, authority) if party and accepted.state in OPEN_STATES else authority


async def examine(accepted: Process, tables: Tables, authority: Authority, validation: Validation) -> Examined:
    """What validators find; nothing is examined for a sender without authority, or twice."""
    route = tables.routes.find(accepted.aanlevering.berichtsoort)
    if route is None or not authority.ok or accepted.state not in OPEN_STATES:
        return Examined()
    return await validation.examine(accepted.aanlevering, route)


def gather(accepted: Process, tables: Tables, authority: Authority, examined: Examined, now: datetime) -> Facts:
    """Facts as one value: recipient and consents beside what was found before."""
    route = tables.routes.find(accepted.aanlevering.berichtsoort)
    if route is None:
        return Facts(accepted, None, None, authority.reason, authority, examined, ())
    try:
        recipient = resolve_recipient(route, accepted.aanlevering, tables.agencies)
    except PeerError as error:
        return Facts(accepted, route, None, str(error), authority, examined, ())
    consented = tuple(
        (rule, copies.standing(tables.consents, route.berichtsoort, recipient.nummer, rule.to_oin, now))
        for rule in route.copies
        if rule.to_oin != recipient.nummer
    )
    return Facts(accepted, route, recipient, "", authority, examined, consented)


def tell(facts: Facts, decision: Decision, journal: Journal) -> None:
    """One journal line for what was decided, after it is durable."""
    told = [status.code for effect in decision.effects if isinstance(effect, Advance) for status in effect.statuses]
    if not told:
        return
    fields = {}
    if told[0] in ("210", "230"):
        fields["reason"] = facts.authority.reason
    elif "321" in told:
        fields["reason"] = facts.trouble or facts.examined.trouble or "a recipient's selectors match no document"
    journal("verwerken", kenmerk=facts.process.kenmerk, statuses=" ".join(told), **fields)


def decide(job: Job, facts: Facts, now: datetime, ids: list[str]) -> Decision:
    """Decide what happens to the process; fresh ids, one for the owner's delivery and one for each of facts.copies.
    Source: digipoort 3.1; decisions 1, 2, 17, 18, 20."""
    if facts.process.state == "parked":
        return Decision(b"", (PostponeJob(job.id, job.token, now, parked=True),))
    if facts.process.state not in OPEN_STATES:
        return Decision(b"", (FinishJob(job.id, job.token),))
    if facts.route is None:
        return _trouble(job, facts, now, "De verwerking van deze berichtsoort is niet ingericht.")
    if facts.authority.trouble:
        return _again(job, facts, now, statuses.make("230", now, details=AUSP_SILENT))
    if not facts.authority.ok:
        return _end(job, facts, [statuses.make("210", now, details=NO_AUTHORITY)])
    if facts.examined.trouble:
        return _trouble(job, facts, now, "De validatie kon niet worden uitgevoerd.")
    if not all(step.good for step in facts.examined.steps):
        return _end(job, facts, _validated(facts, facts.route, now))
    return _deliver(job, facts, facts.route, now, ids)


def _deliver(job: Job, facts: Facts, route: Route, now: datetime, ids: list[str]) -> Decision:
    """Statuses so far, and a delivery for the owner and for each copy."""
    if facts.recipient is None:
        return _trouble(job, facts, now, "De ontvanger kon niet worden vastgesteld.")
    if route.direction == RETOUR:
        return _make_available(job, facts, route, facts.recipient, now, ids[0])
    roots = dict(facts.examined.roots)
    documents = facts.process.aanlevering.documents
    owner = sort_documents(route.owner_selectors, documents, roots)
    shares = [sort_documents(rule.selectors, documents, roots) for rule, _ in facts.copies]
    if not owner or not all(shares):
        return _trouble(job, facts, now, "Geen enkel document is bestemd voor een van de ontvangers.")
    effects = _start(Delivery(ids[0], facts.process.kenmerk, facts.recipient.nummer, False, _keys(owner)), now)
    for (rule, consent), share, berichtkenmerk in zip(facts.copies, shares, ids[1:], strict=True):
        copy = Delivery(berichtkenmerk, facts.process.kenmerk, rule.to_oin, True, ())
        effects += _start(_consented(copy, consent, share, roots), now)
    told = statuses.advance(facts.process, "delivering", _validated(facts, route, now))
    return Decision(b"", (*effects, told, FinishJob(job.id, job.token)))


def _make_available(
    job: Job, facts: Facts, route: Route, recipient: Identiteit, now: datetime, berichtkenmerk: str
) -> Decision:
    """A message for a business waits from 405 on until it is collected (decision 23; the statuses are ours)."""
    told = statuses.advance(facts.process, "delivering", [*_validated(facts, route, now), statuses.make("405", now)])
    key, at = identities.key(recipient), told.statuses[-1].at
    message = ReturnMessage(facts.process.kenmerk, berichtkenmerk, key, at)
    return Decision(b"", (MakeAvailable(message), told, FinishJob(job.id, job.token)))


def _consented(
    copy: Delivery, consent: Consent | None, share: tuple[Document, ...], roots: Mapping[str, str]
) -> Delivery:
    """A copy with what the consent covers; with nothing it is recorded as withdrawn, not dropped unseen."""
    if consent is None:
        return replace(copy, state="withdrawn", note="no consent stands")
    copy = replace(copy, documents=_keys(sort_documents(consent.documents, share, roots)), consent=consent.reference)
    if copy.documents:
        return copy
    return replace(copy, state="withdrawn", note=f"consent {consent.reference} covers none of the documents")


def _start(delivery: Delivery, now: datetime) -> list[Effect]:
    effects: list[Effect] = [StartDelivery(delivery)]
    if delivery.state == "queued":
        effects.append(QueueJob("afleveren", delivery.recipient_oin, delivery.berichtkenmerk, now))
    return effects


def _validated(facts: Facts, route: Route, now: datetime) -> list[Status]:
    """200 where the route shows it, then 301 for each good step and 311 for the one that was not."""
    told = [statuses.make("200", now)] if route.shows_200 else []
    for step in facts.examined.steps:
        if step.good:
            told.append(statuses.make("301", now))
        else:
            text = findings.as_results([finding for finding in step.findings if finding.refuses])
            told.append(statuses.make("311", now, foutcode="VAS500", foutbeschrijving=text))
    return told


def _trouble(job: Job, facts: Facts, now: datetime, text: str) -> Decision:
    return _again(job, facts, now, statuses.make("321", now, foutcode="VAS400", foutbeschrijving=text))


def _again(job: Job, facts: Facts, now: datetime, status: Status) -> Decision:
    """A status of trouble now; again after a pause, or the end at the third try (decision 20)."""
    if job.attempts >= TRIES:
        return _end(job, facts, [status])
    due = now + PAUSES[max(job.attempts, 1) - 1]
    told = statuses.advance(facts.process, "processing", [status])
    return Decision(b"", (told, PostponeJob(job.id, job.token, due)))


def _end(job: Job, facts: Facts, told: list[Status]) -> Decision:
    return Decision(b"", (statuses.advance(facts.process, "ended", told), FinishJob(job.id, job.token)))


def _keys(documents: tuple[Document, ...]) -> tuple[str, ...]:
    return tuple(document.key for document in documents)
