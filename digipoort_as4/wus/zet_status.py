"""A government body sets the status of a message it received: 500 or 510.

Judges nothing itself: hub.delivery does, from what the store knows; ours by analogy, no WSDL of it is public.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from digipoort_as4.errors import PeerError, StorageFailure
from digipoort_as4.hub.decision import Decision, Delivery, Effect, KeepEvidence, Process, Status
from digipoort_as4.hub.delivery import AgencyStatus, judge_zet_status
from digipoort_as4.hub.routes import Routes
from digipoort_as4.payload import read_all
from digipoort_as4.storage.store import Store
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wssecurity.open_message import Opened, check_timestamp
from digipoort_as4.wssecurity.seal_message import Sealed
from digipoort_as4.wus import answers, intake, koppelvlak
from digipoort_as4.wus.faults import Hint
from digipoort_as4.wus.koppelvlak import ZetStatusRequest, ZetStatusResponse
from digipoort_as4.wus.office import Office, Snapshot, note, refuse
from digipoort_as4.wus.operations import ZET_STATUS

OPERATION: Final = ZET_STATUS.operations[0]
ROUNDS: Final = 5
"""How often facts may change between looking up and commit; a delivery's own answer is the only rival."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the post office knows of the process whose status is set."""

    process: Process
    deliveries: Sequence[Delivery]
    statuses: Sequence[Status]
    routes: Routes


async def accept(request: HttpRequest, office: Office) -> HttpAnswer:
    """Answer a zetStatusRequest: parse → verify → look up facts → decide → build → commit → answer.

    Args:
        request: to the path of the zetstatusservice.
        office: collaborators.

    Returns:
        The signed zetStatusResponse, or a fault; after a fault no status is set.

    Source: decision 21; digipoort 1.4, 12.1.
    """
    hint, opened, snapshot = Hint.before(request, ZET_STATUS), None, office.snapshot()
    try:
        message = await intake.parse(request, office.new_id())
        hint = hint.of(message)
        opened = await intake.verify(message, request, snapshot, office.now())
        intake.read_operation(opened, request, ZET_STATUS)
        check_agency(opened, snapshot)
        reply = await intake.find_repeat(opened, office, OPERATION)
        if reply is None:
            reply = await _set(opened, snapshot, office)
        return answers.send(reply)
    except (PeerError, StorageFailure, OSError) as trouble:
        return refuse(trouble, hint, office, opened)


def check_agency(opened: Opened, snapshot: Snapshot) -> None:
    """Only a body that has an endpoint here sets statuses.

    Raises:
        PeerError: party-unknown.
    """
    if opened.oin not in snapshot.agencies:
        raise PeerError("party-unknown", detail=f"{opened.oin} is no agency")


async def _set(opened: Opened, snapshot: Snapshot, office: Office) -> bytes:
    """The steps from facts to commit; goes round when the delivery's own answer came in between."""
    check_timestamp(opened, snapshot.policy_of(opened.oin), office.now())
    asked = koppelvlak.read_zet_status_request(opened)
    for _ in range(ROUNDS):
        now = office.now()
        facts = await _look_up(asked, snapshot.routes, office.store)
        effects = decide(asked, opened.oin, facts, now)
        sealed = answers.seal_answer(build(asked), OPERATION, opened, office, now)
        decision = build_decision(asked, effects, opened, sealed, now)
        reply = await answers.conclude(decision, opened, office.store)
        if reply is not None:
            told = {"kenmerk": asked.kenmerk, "statuscode": asked.statuscode, "effects": len(effects)}
            note("status-set", opened, OPERATION, office, told)
            return reply
    return answers.still(None)


async def _look_up(asked: ZetStatusRequest, routes: Routes, store: Store) -> Facts:
    process = await store.process(asked.kenmerk)
    if process is None:
        raise PeerError(
            "kenmerk-unknown",
            where="kenmerk",
            expected="een kenmerk van een bericht dat aan u is afgeleverd",
            fix="Neem kenmerk en berichtkenmerk over uit het afleververzoek.",
            detail=f"{asked.kenmerk} is not there",
        )
    return Facts(process, await store.deliveries(asked.kenmerk), await store.statuses(asked.kenmerk), routes)


def decide(asked: ZetStatusRequest, setter_oin: str, facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """What setting this status does; nothing when it stands already.

    Raises:
        PeerError: kenmerk-unknown, status-refused.

    Source: decision 21.
    """
    route = facts.routes.find(facts.process.aanlevering.berichtsoort)
    fout = asked.status_foutcode
    return judge_zet_status(
        facts.process,
        facts.deliveries,
        facts.statuses,
        setter_oin=setter_oin,
        berichtkenmerk=asked.berichtkenmerk,
        status=AgencyStatus(
            asked.statuscode,
            fout.foutcode if fout else None,
            fout.foutbeschrijving if fout else None,
            asked.statusdetails,
        ),
        agency_validates=route is not None and route.agency_validates,
        now=now,
    )


def build(asked: ZetStatusRequest) -> bytes:
    """Write the zetStatusResponse."""
    return koppelvlak.write_zet_status_response(ZetStatusResponse(asked.kenmerk, asked.statuscode)).octets


def build_decision(
    asked: ZetStatusRequest, effects: tuple[Effect, ...], opened: Opened, sealed: Sealed, now: datetime
) -> Decision:
    """The status, the answer and the evidence, all or nothing."""
    reply = read_all(sealed.payload)
    return Decision(
        reply,
        (
            *effects,
            answers.build_remembering(opened, reply, now),
            KeepEvidence(asked.kenmerk, "zetStatusRequest", opened.message.octets, opened.coverage, now),
            KeepEvidence(asked.kenmerk, "zetStatusResponse", sealed.skeleton, "", now),
        ),
    )
