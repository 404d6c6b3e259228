"""The delivering path at the hub: one attempt to hand one delivery to its agency, in seven steps.

What an attempt means is decided in hub.delivery; when one is made, in the worker. Chooses no recipient and no document.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from digipoort_as4.clock import wire_time
from digipoort_as4.errors import PeerError, TransportError
from digipoort_as4.hub import copies
from digipoort_as4.hub import delivery as hub_delivery
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.hub.decision import Committed, Decision, Delivery, Effect, Job, KeepEvidence, Process
from digipoort_as4.hub.delivery import Attempt, Faulted, NotLearnt
from digipoort_as4.journal import Journal
from digipoort_as4.transport.http import HttpAnswer
from digipoort_as4.wssecurity.open_message import Opened
from digipoort_as4.wus import koppelvlak
from digipoort_as4.wus.asking import FaultAnswer, Post, Question, build_question, headers_of, open_answer
from digipoort_as4.wus.intake import off_loop
from digipoort_as4.wus.koppelvlak import AfleverRequest, AfleverResponse
from digipoort_as4.wus.office import Office, Snapshot
from digipoort_as4.wus.operations import AFLEVEREN

OPERATION: Final = AFLEVEREN.operations[0]

ROUNDS: Final = 5  # decisions on changed facts: a zetStatus changes them once, a lost lease always does


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What the delivering path works with."""

    office: Office  # the configuration is read anew for each attempt: a consent withdrawn a second ago counts
    post: Post


@dataclass(frozen=True, slots=True)
class Facts:
    """What one attempt rests on."""

    job: Job
    process: Process
    delivery: Delivery
    view: Snapshot

    @property
    def agency_validates(self) -> bool:
        """True when 500 or 510 follows 400 on this route."""
        return self.view.agency_validates(self.process.aanlevering.berichtsoort)

    @property
    def url(self) -> str:
        """Where the agency listens; empty when that is not known."""
        return self.view.agencies.get(self.delivery.recipient_oin, "")


@dataclass(frozen=True, slots=True)
class Result:
    """What an attempt came to, with the octets that show it."""

    attempt: Attempt
    evidence: tuple[tuple[str, bytes, str], ...] = ()  # (kind, octets, coverage), for KeepEvidence


async def deliver(job: Job, dispatch: Dispatch) -> bool:
    """Make one attempt at one delivery, whose berichtkenmerk is the subject of the claimed job.
    True when the agency answered, or nothing had to be asked; False when its answer was not learnt.
    Raises StorageFailure: the process must end.
    Source: decisions 17, 19, 22; digipoort 3.1 for 405, 400, 410 and 420."""
    facts = await look_up(job, dispatch)  # 1 facts
    early = dispatch.office.now()
    if decide_early(facts, early) is not None:
        await commit(facts, lambda latest: decide_early(latest, early), dispatch)
        return True
    facts = await start(facts, dispatch)  # 2 start: 405 is durable before an octet leaves
    call = await seal_call(facts, dispatch)  # 3 build
    answer = await send(call, facts, dispatch)  # 4 send
    result = read(answer, call, facts, dispatch)  # 5 verify
    await settle(facts, call, result, dispatch)  # 6 judge, 7 commit
    return not isinstance(result.attempt, NotLearnt)


async def look_up(job: Job, dispatch: Dispatch) -> Facts:
    """What the store and the operator's files say now."""
    delivery = await dispatch.office.store.delivery(job.subject)
    process = await dispatch.office.store.process(delivery.kenmerk) if delivery else None
    if delivery is None or process is None:
        raise LookupError(f"job {job.id}: no delivery {job.subject}")
    return Facts(job, process, delivery, dispatch.office.snapshot())


def decide_early(facts: Facts, now: datetime) -> Decision | None:
    """End the job without asking: nothing is left to send, or the consent of a copy no longer stands.
    Source: decision 17; the consent counts at the moment of sending."""
    if hub_delivery.is_done(facts.delivery):
        return hub_delivery.decide_finish(facts.job)
    if facts.delivery.copy and not copies.still_stands(facts.view.consents, facts.delivery.consent, now):
        return hub_delivery.decide_withdrawn(facts.job, facts.delivery)
    return None


async def start(facts: Facts, dispatch: Dispatch) -> Facts:
    """405 and the start of the 72 hours, once per delivery and before anything is sent."""
    now = dispatch.office.now()
    await commit(facts, lambda latest: hub_delivery.decide_start(latest.process, latest.delivery, now), dispatch)
    return await look_up(facts.job, dispatch)


def build_request(process: Process, delivery: Delivery) -> AfleverRequest:
    """The afleverRequest of a delivery: what the sender handed over, with this recipient's documents and key.
    The first document that the delivery names becomes berichtInhoud (decision 18).
    Source: digipoort 1.4, 1.6: identiteitAanleveraar is text. Constateringen come with the rule engines."""
    unit = process.aanlevering
    by_key = {document.key: document for document in unit.documents}
    return koppelvlak.about(
        AfleverRequest,
        unit,
        kenmerk=process.kenmerk,
        berichtkenmerk=delivery.berichtkenmerk,
        tijdstempel_aangeleverd=process.received_at,
        identiteit_aanleveraar=unit.sender_oin,
        identiteit_ontvanger=Identiteit(delivery.recipient_oin, "OIN"),
        # the role was written for the recipient that the sender knows of
        rol_ontvanger=None if delivery.copy else unit.rol_ontvanger,
        documents=tuple(by_key[key] for key in delivery.documents),
    )


async def seal_call(facts: Facts, dispatch: Dispatch) -> Question:
    """Seal afresh for this attempt: own MessageID and Timestamp, the same berichtkenmerk (decision 22)."""
    office, request = dispatch.office, build_request(facts.process, facts.delivery)
    recipient, size = facts.delivery.recipient_oin, sum(document.size for document in request.documents)
    sealing = (office.signer, office.new_id, wire_time(office.now), facts.view.profile_of(recipient))
    return await off_loop(size, lambda: build_question(request, OPERATION, recipient, facts.url, *sealing))


async def send(call: Question, facts: Facts, dispatch: Dispatch) -> HttpAnswer | Attempt:
    """Post to the agency, whose TLS certificate must be the recipient's; or play that this was done."""
    scenarios, now = dispatch.office.scenarios, dispatch.office.now()
    played = await scenarios.attempt(facts.process, facts.delivery, validates=facts.agency_validates, now=now)
    if played is not None:
        return played
    if not facts.url:
        return NotLearnt("no endpoint is known", sent=False)
    recipient = facts.delivery.recipient_oin
    try:
        return await dispatch.post(recipient, facts.url, call.sealed.payload, headers_of(OPERATION))
    except TransportError as error:
        return NotLearnt(str(error), error.sent)


def read(answer: HttpAnswer | Attempt, call: Question, facts: Facts, dispatch: Dispatch) -> Result:
    """What the answer says, when it can be believed."""
    if not isinstance(answer, HttpAnswer):
        return Result(answer)
    try:
        moments = (dispatch.office.now(), wire_time(dispatch.office.now))
        opened = open_answer(answer, call, facts.view.trust, call.profile.policy, *moments)
        if isinstance(opened, FaultAnswer):
            return Result(Faulted(opened.foutcode, opened.foutbeschrijving), (("afleverFault", opened.octets, ""),))
        return Result(_read_response(opened, facts), (("afleverResponse", opened.message.octets, opened.coverage),))
    except (PeerError, TransportError) as error:
        # Decision 19: what cannot be verified is no answer. The agency may have the message: same key next time.
        return Result(NotLearnt(str(error), sent=True))


def _read_response(opened: Opened, facts: Facts) -> Attempt:
    response = koppelvlak.read(AfleverResponse, opened)
    for name, found, expected in (
        ("kenmerk", response.kenmerk, facts.process.kenmerk),
        ("berichtkenmerk", response.berichtkenmerk, facts.delivery.berichtkenmerk),
    ):
        if found != expected:
            raise PeerError("kenmerk-unknown", where=name, found=found[:60], expected=expected)
    fout = response.status_foutcode
    foutcode, foutbeschrijving = (fout.foutcode, fout.foutbeschrijving) if fout else (None, None)
    return hub_delivery.read_response(response.statuscode, foutcode, foutbeschrijving, response.statusdetails)


async def settle(facts: Facts, call: Question, result: Result, dispatch: Dispatch) -> None:
    """Judge on the newest facts and commit: statuses, delivery, evidence, end or postponement of the job."""
    now, jitter = dispatch.office.now(), random.random()

    def decide(latest: Facts) -> Decision:
        facts, validates = (latest.job, latest.process, latest.delivery), latest.agency_validates
        judged = hub_delivery.judge(*facts, result.attempt, agency_validates=validates, now=now, jitter=jitter)
        return judged.plus(*evidence(latest, call, result, now))

    await commit(facts, decide, dispatch)
    note(facts, result, dispatch.office.journal)


def evidence(facts: Facts, call: Question, result: Result, now: datetime) -> tuple[Effect, ...]:
    """Request and answer, when there was an answer: what was asked in vain stands in the journal."""
    kept = (("afleverRequest", call.sealed.skeleton, ""), *result.evidence) if result.evidence else ()
    return tuple(KeepEvidence(facts.process.kenmerk, kind, octets, coverage, now) for kind, octets, coverage in kept)


async def commit(facts: Facts, decide: Callable[[Facts], Decision | None], dispatch: Dispatch) -> None:
    """Decide (None: nothing to commit any more) and commit; when facts changed meanwhile, look up and decide again.
    Raises RuntimeError: it stays stale; another worker has the job, and this one's work on it counts for nothing."""
    for _ in range(ROUNDS):
        decision = decide(facts)
        if decision is None:
            return
        outcome = await dispatch.office.store.commit(decision)
        if isinstance(outcome, Committed):
            return
        facts = await look_up(facts.job, dispatch)
    raise RuntimeError(f"job {facts.job.id} for {facts.job.subject}: facts kept changing, or the lease is lost")


def note(facts: Facts, result: Result, journal: Journal) -> None:
    """One line for the operator."""
    attempt, delivery = result.attempt, facts.delivery
    detail = attempt.reason if isinstance(attempt, NotLearnt) else getattr(attempt, "foutcode", "")
    event = f"deliver-{type(attempt).__name__.lower()}"
    told: dict[str, Any] = {"kenmerk": delivery.kenmerk, "berichtkenmerk": delivery.berichtkenmerk, "detail": detail}
    told |= {"recipient": delivery.recipient_oin, "copy": delivery.copy, "attempt": delivery.attempts + 1}
    journal.write(event, **told)
