"""What an attempt to deliver means: statuses, the delivery's state, and when to try again.

Sends nothing and reads no clock; wus.afleveren and wus.zet_status bring the facts and commit the decisions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError
from digipoort_as4.hub import statuses
from digipoort_as4.hub.decision import (
    ChangeDelivery,
    Decision,
    Delivery,
    Effect,
    FinishJob,
    Job,
    PostponeJob,
    Process,
    Status,
)

FIRST_PAUSE: Final = timedelta(seconds=2)  # After the first failure: an agency that is restarting is back in seconds
LONGEST_PAUSE: Final = timedelta(minutes=30)  # At most; Postfix, for the same job, grows from 5 minutes to 67
SPREAD: Final = 0.25  # Share of a pause that chance may take off, so that a returning agency is not met by all at once

FINAL_STATES: Final = frozenset({"accepted", "rejected", "expired", "withdrawn"})  # Never sent again
DONE_STATES: Final = FINAL_STATES | {"delivered"}  # Nothing is left to send
AGENCY_STATUSES: Final = {"500": "accepted", "510": "rejected"}
"""What an agency may say after receiving, and the delivery's state after it."""
GIVEN_UP: Final = (  # foutbeschrijving with AFS600. Source: digipoort 3.3 for the first sentence; the cause is ours
    "De verantwoordingsinformatie kan niet worden afgeleverd bij de betreffende uitvragende partij. "
    "De volgende fout is geconstateerd: binnen 72 uur is geen bevestiging van de uitvragende partij ontvangen."
)


@dataclass(frozen=True, slots=True)
class AgencyStatus:
    """A statuscode that an agency set, in its afleverResponse or by zetStatus."""

    code: str
    foutcode: str | None = None
    foutbeschrijving: str | None = None
    details: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A verified afleverResponse without a fault."""

    status: AgencyStatus | None = None  # 500 or 510 when the response carried it; None otherwise
    played: bool = False  # True: of a scenario, and counts although no verdict follows on this route


@dataclass(frozen=True, slots=True)
class Faulted:
    """An afleverFault, or an afleverResponse that carries a statusFoutcode: the agency refuses for good."""

    foutcode: str
    text: str


@dataclass(frozen=True, slots=True)
class NotLearnt:
    """No answer, a time-out, an HTTP error, an unreadable or unverifiable answer."""

    reason: str  # For the operator
    sent: bool  # True: octets left, so the agency may have it; False: it cannot have it
    final: bool = False  # True: as though the 72 hours were over (a scenario)


Attempt = Accepted | Faulted | NotLearnt


def read_response(
    statuscode: str | None, foutcode: str | None, foutbeschrijving: str | None, details: str | None
) -> Attempt:
    """What a verified afleverResponse means (decision 19).
    A 510 comes with a statusFoutcode: the statuscode decides. Codes but 500 and 510 say no more than the response."""
    if statuscode in AGENCY_STATUSES:
        return Accepted(AgencyStatus(statuscode, foutcode, foutbeschrijving, details))
    if foutcode is not None:
        return Faulted(foutcode, foutbeschrijving or "")
    return Accepted()


def is_done(delivery: Delivery) -> bool:
    """True when nothing is left to send."""
    return delivery.state in DONE_STATES


def decide_start(process: Process, delivery: Delivery, now: datetime) -> Decision | None:
    """What the first attempt leaves behind before it sends: started_at, and 405 for the owner's delivery.
    None when an earlier attempt did it already: 405 comes once per delivery (decision 19), and the 72 hours count on.
    """
    if delivery.started_at is not None:
        return None
    started = ChangeDelivery(replace(delivery, started_at=now))
    return _decision(process, delivery, [statuses.make("405", now)], process.state, started)


def decide_finish(job: Job) -> Decision:
    """End a job whose delivery is done already."""
    return Decision(b"", (FinishJob(job.id, job.token),))


def decide_withdrawn(job: Job, delivery: Delivery) -> Decision:
    """A copy whose consent no longer stands does not leave."""
    withdrawn = replace(delivery, state="withdrawn", note=f"consent {delivery.consent or '-'} does not stand")
    return Decision(b"", (ChangeDelivery(withdrawn), FinishJob(job.id, job.token)))


def judge(
    job: Job,
    process: Process,
    delivery: Delivery,
    attempt: Attempt,
    *,
    agency_validates: bool,
    now: datetime,
    jitter: float,
) -> Decision:
    """Decide what one attempt means for the job, its process and its started delivery, all as stored.
    Of the route: agency_validates, so 500 or 510 follows. Brought by the caller: jitter, chance from 0 up to 1.
    Source: decisions 17 and 19."""
    if is_done(delivery):  # zetStatus was quicker than the response
        return decide_finish(job)
    delivery = replace(delivery, attempts=delivery.attempts + 1)
    match attempt:
        case Accepted(status, played):
            changed, told, state = _accepted(delivery, status, agency_validates or played, now)
        case Faulted(foutcode, text):
            changed = replace(delivery, state="rejected", note=f"fault {foutcode}")
            told, state = [statuses.make("410", now, foutcode=foutcode[:20], foutbeschrijving=text)], "ended"
        case NotLearnt():
            return _try_again(job, process, delivery, attempt, now, jitter)
    return _decision(process, delivery, told, state, ChangeDelivery(changed), FinishJob(job.id, job.token))


def _accepted(
    delivery: Delivery, status: AgencyStatus | None, agency_validates: bool, now: datetime
) -> tuple[Delivery, list[Status], str]:
    told = [statuses.make("400", now)]
    if status is not None and (agency_validates or delivery.copy):
        changed = replace(delivery, state=AGENCY_STATUSES[status.code], note=f"status {status.code}")
        return changed, [*told, _of_agency(status, now)], "ended"
    return replace(delivery, state="delivered", note=""), told, "waiting" if agency_validates else "ended"


def _of_agency(status: AgencyStatus, now: datetime) -> Status:
    text = status.foutbeschrijving or "" if status.foutcode else None
    return statuses.make(status.code, now, foutcode=status.foutcode, foutbeschrijving=text, details=status.details)


def _try_again(
    job: Job, process: Process, delivery: Delivery, attempt: NotLearnt, now: datetime, jitter: float
) -> Decision:
    deadline = (delivery.started_at or now) + limits.RETRY_FOR
    told = [statuses.make("420", now)] if delivery.attempts == 1 else []
    if now >= deadline or attempt.final:
        expired = ChangeDelivery(replace(delivery, state="expired", note=attempt.reason))
        last = statuses.make("420", now, foutcode="AFS600", foutbeschrijving=GIVEN_UP)
        return _decision(process, delivery, [*told, last], "ended", expired, FinishJob(job.id, job.token))
    state = "unknown" if attempt.sent else "retrying"
    due = min(now + pause(delivery.attempts, jitter), deadline)
    changed = ChangeDelivery(replace(delivery, state=state, note=attempt.reason))
    postponed = PostponeJob(job.id, job.token, due, reset_attempts=True)
    return _decision(process, delivery, told, process.state, changed, postponed)


def _decision(process: Process, delivery: Delivery, told: list[Status], state: str, *effects: Effect) -> Decision:
    """Effects, and what the sender is told: nothing about a copy (decision 17)."""
    shown = () if delivery.copy or not told else (statuses.advance(process, state, told),)
    return Decision(b"", (*effects, *shown))


def pause(attempts: int, jitter: float) -> timedelta:
    """How long to wait after so many failed attempts, from 1: 2, 4, 8 … seconds, at most 30 minutes.
    The jitter, from 0 up to 1, takes off up to a quarter."""
    grown: timedelta = min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)
    return timedelta(seconds=grown.total_seconds() * (1 - SPREAD * jitter))


def judge_zet_status(
    process: Process,
    deliveries: Sequence[Delivery],
    stored: Sequence[Status],
    *,
    setter_oin: str,
    berichtkenmerk: str | None,
    status: AgencyStatus,
    agency_validates: bool,
    now: datetime,
) -> tuple[Effect, ...]:
    """Effects of an agency's zetStatus, signed by setter_oin; none when the same status stands already (decision 21).
    Deliveries and stored statuses are all of the process; the request may name the berichtkenmerk of one delivery.
    Raises PeerError: kenmerk-unknown when the signer is no recipient; status-refused for another statuscode, for a
    delivery that never began, and after an end status."""
    delivery = _delivery_of(deliveries, setter_oin, berichtkenmerk)
    if status.code not in AGENCY_STATUSES:
        raise _not_now(f"statuscode {status.code}", "500 of 510", "Zet status 500 of 510.")
    if delivery.started_at is None:
        raise _not_now("een bericht dat nog niet is afgeleverd", "een afgeleverd bericht", "Wacht op de aflevering.")
    stands = delivery.note == f"status {status.code}" if delivery.copy else any(s.code == status.code for s in stored)
    if stands:
        return ()
    if delivery.state in FINAL_STATES or (not delivery.copy and process.state == "ended"):
        raise _not_now("een proces met een eindstatus", "een lopend proces", "Zet geen status na een eindstatus.")
    told = [] if delivery.state == "delivered" else [statuses.make("400", now)]
    shown = agency_validates or delivery.copy
    state = AGENCY_STATUSES[status.code] if shown else "delivered"
    changed = ChangeDelivery(replace(delivery, state=state, note=f"status {status.code}"))
    if delivery.copy:  # the sender does not see copies: decision 17
        return (changed,)
    return changed, statuses.advance(process, "ended", [*told, _of_agency(status, now)] if shown else told)


def _delivery_of(deliveries: Sequence[Delivery], setter_oin: str, berichtkenmerk: str | None) -> Delivery:
    for delivery in deliveries:
        if delivery.recipient_oin == setter_oin and berichtkenmerk in (None, delivery.berichtkenmerk):
            return delivery
    raise unknown("kenmerk" if berichtkenmerk is None else "berichtkenmerk", f"zetStatus by {setter_oin}")


def unknown(where: str, detail: str) -> PeerError:
    """The refusal of a kenmerk that is not there or not the setter's, in the same words."""
    expected = "een kenmerk van een bericht dat aan u is afgeleverd"
    fix = "Neem kenmerk en berichtkenmerk over uit het afleververzoek."
    return PeerError("kenmerk-unknown", where=where, expected=expected, fix=fix, detail=detail)


def _not_now(found: str, expected: str, fix: str) -> PeerError:
    return PeerError("status-refused", where="statuscode", found=found, expected=expected, fix=fix)
