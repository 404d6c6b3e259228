"""Telling a sender how far its message is: all statuses of a process, or those it was not told before.

Shows nothing of a process to anyone but its sender; changes no process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from digipoort_as4.errors import PeerError, StorageFailure
from digipoort_as4.hub.decision import Decision, Effect, MarkSeen, Process, Status
from digipoort_as4.payload import read_all
from digipoort_as4.storage.store import Store
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wssecurity.open_message import Opened, check_timestamp
from digipoort_as4.wssecurity.seal_message import Sealed
from digipoort_as4.wus import answers, intake, koppelvlak
from digipoort_as4.wus.faults import Hint
from digipoort_as4.wus.koppelvlak import StatusResultaat, StatussenRequest
from digipoort_as4.wus.office import Office, Snapshot, note, refuse
from digipoort_as4.wus.operations import STATUSINFORMATIE, Operation

ONLY_NEW: Final = "getNieuweStatussenProces"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the post office knows of the process asked for."""

    process: Process | None
    statuses: Sequence[Status]
    """All of it, in order."""
    seen: int
    """seq of the last status this asker was told as new; 0 when none."""


async def answer(request: HttpRequest, office: Office) -> HttpAnswer:
    """Answer a status request: parse → verify → look up facts → decide → build → commit → answer.

    Args:
        request: to the path of the statusinformatieservice.
        office: collaborators.

    Returns:
        The signed answer, or a fault.

    Source: digipoort 1.4, 1.11; decisions 5, 8, 16.
    """
    hint, opened, snapshot = Hint.before(request, STATUSINFORMATIE), None, office.snapshot()
    try:
        message = await intake.parse(request, office.new_id())
        hint = hint.of(message)
        opened = await intake.verify(message, request, snapshot, office.now())
        operation = intake.read_operation(opened, request, STATUSINFORMATIE)
        intake.check_known(opened, snapshot)
        reply = await intake.find_repeat(opened, office, operation)
        if reply is None:
            reply = await _answer_new(opened, operation, snapshot, office)
        return answers.send(reply)
    except (PeerError, StorageFailure, OSError) as trouble:
        return refuse(trouble, hint, office, opened)


async def _answer_new(opened: Opened, operation: Operation, snapshot: Snapshot, office: Office) -> bytes:
    """The steps from facts to commit, for a request that was not answered before."""
    now = office.now()
    check_timestamp(opened, snapshot.policy_of(opened.oin), now)
    asked = koppelvlak.read_statussen_request(opened)
    facts = await _look_up(asked, opened.oin, office.store)
    process, told = decide(asked, operation, opened.oin, facts)
    sealed = answers.seal_answer(build(told, process, operation), operation, opened, office, now)
    decision = build_decision(told, process, operation, opened, sealed, now)
    reply = answers.still(await answers.conclude(decision, opened, office.store))
    note("told", opened, operation, office, {"kenmerk": process.kenmerk, "statuses": len(told)})
    return reply


async def _look_up(asked: StatussenRequest, asker_oin: str, store: Store) -> Facts:
    process = await store.process(asked.kenmerk)
    if process is None:
        return Facts(None, (), 0)
    return Facts(process, await store.statuses(asked.kenmerk), await store.seen(asker_oin, asked.kenmerk))


def decide(
    asked: StatussenRequest, operation: Operation, asker_oin: str, facts: Facts
) -> tuple[Process, tuple[Status, ...]]:
    """Which statuses of which process are told.

    Args:
        asked: kenmerk and window.
        operation: getStatussenProces or getNieuweStatussenProces.
        asker_oin: signer of the request.
        facts: what is known.

    Raises:
        PeerError: kenmerk-unknown, with the same words for a kenmerk that is not there and one that is another's.

    Source: decision 16; digipoort 1.11.
    """
    process = facts.process
    if process is None or process.aanlevering.sender_oin != asker_oin:
        raise PeerError(
            "kenmerk-unknown",
            where="kenmerk",
            expected="een kenmerk uit een aanleverResponse aan u",
            fix="Neem het kenmerk over uit het antwoord op uw aanlevering.",
            detail=f"{asked.kenmerk} asked by {asker_oin}: {'not there' if process is None else 'of another sender'}",
        )
    after = facts.seen if operation.name == ONLY_NEW else 0
    return process, tuple(s for s in facts.statuses if s.seq > after and _is_inside(s.at, asked))


def _is_inside(at: datetime, asked: StatussenRequest) -> bool:
    """tijdstempelVanaf and tijdstempelTot both count as inside; the contract does not say."""
    return (asked.tijdstempel_vanaf is None or at >= asked.tijdstempel_vanaf) and (
        asked.tijdstempel_tot is None or at <= asked.tijdstempel_tot
    )


def build(told: Sequence[Status], process: Process, operation: Operation) -> bytes:
    """Write the answer, oldest status first."""
    belanghebbende = process.aanlevering.belanghebbende
    rows = [StatusResultaat.of(status, process.kenmerk, belanghebbende) for status in told]
    return koppelvlak.write_statussen_response(operation.name, rows).octets


def build_decision(
    told: Sequence[Status], process: Process, operation: Operation, opened: Opened, sealed: Sealed, now: datetime
) -> Decision:
    """What becomes durable with the answer: the answer itself and, for the new ones, that they were told.

    A window may leave out an older status that was not told; it counts as told all the same, since one number per
    asker and process is kept.
    """
    reply = read_all(sealed.payload)
    effects: tuple[Effect, ...] = (answers.build_remembering(opened, reply, now),)
    if operation.name == ONLY_NEW and told:
        effects += (MarkSeen(opened.oin, process.kenmerk, told[-1].seq),)
    return Decision(reply, effects)
