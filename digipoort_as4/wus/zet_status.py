"""A government body sets the status of a message it received: 500 or 510.

Judges nothing itself: hub.delivery does, from what the store knows; ours by analogy, no WSDL of it is public."""

from __future__ import annotations

from datetime import datetime

from digipoort_as4.hub.decision import Effect, Process, StoredReply
from digipoort_as4.hub.delivery import AgencyStatus, judge_zet_status, unknown
from digipoort_as4.storage.store import Store
from digipoort_as4.wssecurity.open_message import Opened
from digipoort_as4.wus import koppelvlak
from digipoort_as4.wus.answers import Decided, conclude
from digipoort_as4.wus.koppelvlak import ZetStatusRequest, ZetStatusResponse
from digipoort_as4.wus.office import Office, Snapshot
from digipoort_as4.wus.operations import Operation
from digipoort_as4.wus.scenarios import AGENCY


async def accept(opened: Opened, operation: Operation, snapshot: Snapshot, office: Office) -> StoredReply:
    """Accept a verified zetStatusRequest: read → look up facts, decide → build → commit; returns what was committed.
    Decides again when the delivery's own answer came in between.
    Source: decision 21; digipoort 1.4, 12.1."""
    asked = koppelvlak.read(ZetStatusRequest, opened)
    body = koppelvlak.write(ZetStatusResponse(asked.kenmerk, asked.statuscode))
    status = await _play(asked, office)

    async def find_answer(now: datetime) -> Decided:
        effects = await _find_effects(asked, status, opened.oin, snapshot, office.store, now)
        told = {"kenmerk": asked.kenmerk, "statuscode": status.code, "effects": len(effects)}
        return Decided(body, "status-set", told, effects, asked.kenmerk)

    return await conclude(find_answer, opened, operation, office)


async def _play(asked: ZetStatusRequest, office: Office) -> AgencyStatus:
    """The status that was asked for, or the one that a scenario puts in its place. Raises Played."""
    unit = (await _find_process(asked.kenmerk, office.store)).aanlevering
    rule = await office.scenarios.meet(AGENCY, unit.berichtsoort, unit.aanleverkenmerk)
    if rule is None or not rule.code:
        fout = asked.status_foutcode
        foutcode, foutbeschrijving = (fout.foutcode, fout.foutbeschrijving) if fout else (None, None)
        return AgencyStatus(asked.statuscode, foutcode, foutbeschrijving, asked.statusdetails)
    return rule.verdict(asked.kenmerk, asked.berichtkenmerk or "", office.now())


async def _find_effects(
    asked: ZetStatusRequest, status: AgencyStatus, setter_oin: str, snapshot: Snapshot, store: Store, now: datetime
) -> tuple[Effect, ...]:
    """What setting this status does; nothing when it stands already (decision 21). Raises PeerError."""
    process = await _find_process(asked.kenmerk, store)
    return judge_zet_status(
        process,
        await store.deliveries(asked.kenmerk),
        await store.statuses(asked.kenmerk),
        setter_oin=setter_oin,
        berichtkenmerk=asked.berichtkenmerk,
        status=status,
        agency_validates=snapshot.agency_validates(process.aanlevering.berichtsoort),
        now=now,
    )


async def _find_process(kenmerk: str, store: Store) -> Process:
    process = await store.process(kenmerk)
    if process is None:
        raise unknown("kenmerk", f"{kenmerk} is not there")
    return process
