"""Telling a sender how far its message is: all statuses of a process, or those it was not told before.

Shows nothing of a process to anyone but its sender; changes no process. wus.services verified the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from digipoort_as4.clock import wire_time
from digipoort_as4.errors import PeerError
from digipoort_as4.hub.decision import Effect, MarkSeen, Process, Status
from digipoort_as4.storage.store import Store
from digipoort_as4.wssecurity.open_message import Opened
from digipoort_as4.wus import answers, koppelvlak
from digipoort_as4.wus.koppelvlak import StatusResultaat, StatussenRequest
from digipoort_as4.wus.office import Office, Snapshot, note
from digipoort_as4.wus.operations import Operation

ONLY_NEW: Final = "getNieuweStatussenProces"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the post office knows of the process asked for."""

    process: Process | None
    statuses: Sequence[Status]  # all of it, in order
    seen: int  # seq of the last status this asker was told as new; 0 when none


async def tell(opened: Opened, operation: Operation, snapshot: Snapshot, office: Office) -> bytes:
    """Answer a verified status request: read → look up facts → decide → build → commit.

    Returns:
        The committed answer.

    Source: digipoort 1.4, 1.11; decisions 5, 8, 16.
    """
    now = office.now()
    asked = koppelvlak.read(StatussenRequest, opened)
    facts = await _look_up(asked, opened.oin, office.store)
    process, told = decide(asked, operation, opened.oin, facts)
    unit = process.aanlevering
    await office.scenarios.meet("statusinformatie", unit.berichtsoort, unit.aanleverkenmerk)
    body = build(told, process, operation)
    sealed = answers.seal_answer(body, operation, opened, office.signer, office.new_id, wire_time(office.now))
    effects = build_effects(told, process, operation, opened.oin)
    decision = answers.build_decision(effects, operation, opened, sealed, now)
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
    return koppelvlak.write_results(operation.name, rows).octets


def build_effects(told: Sequence[Status], process: Process, operation: Operation, asker_oin: str) -> tuple[Effect, ...]:
    """That the new ones were told.

    A window may leave out an older status that was not told; it counts as told all the same, since one number per
    asker and process is kept.
    """
    return (MarkSeen(asker_oin, process.kenmerk, told[-1].seq),) if operation.name == ONLY_NEW and told else ()
