"""Telling how far messages are: berichtsoorten, processes, and statuses, all or those not told before.

Shows a process to its sender, to its belanghebbende and to whoever is authorised for him; changes no process."""

from collections.abc import Mapping, Sequence
from typing import Final

from digipoort_as4.errors import PeerError
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.hub.decision import MarkSeen, Status, StoredReply
from digipoort_as4.hub.mandates import AANLEVEREN, OPHALEN, STATUS
from digipoort_as4.hub.routes import RETOUR
from digipoort_as4.wssecurity.open_message import Opened
from digipoort_as4.wus import opvragen
from digipoort_as4.wus.koppelvlak import ProcesResultaat, StatusResultaat
from digipoort_as4.wus.office import Office, Snapshot
from digipoort_as4.wus.operations import Operation
from digipoort_as4.wus.opvragen import Find, Question, Told

MARKUP: Final = 600  # octets of a StatusResultaat beside its texts


async def tell(opened: Opened, operation: Operation, snapshot: Snapshot, office: Office) -> StoredReply:
    """Answer a verified question of the statusinformatieservice. Source: digipoort 1.4, 1.11; decision 16."""
    return await opvragen.answer(opened, operation, snapshot, office, FIND[operation.name])


async def find_statuses(question: Question) -> Told:
    """getStatussenProces and getNieuweStatussenProces: statuses of one process within the window, oldest first.
    Raises PeerError: kenmerk-unknown, with the same words for a kenmerk that is not there and one that is another's."""
    kenmerk = question.asked.kenmerk or ""
    process = await question.office.store.process(kenmerk)
    if process is None:
        raise question.unknown("not there")
    unit = process.aanlevering
    if unit.sender_oin != question.opened.oin:
        authority = await question.settle(unit.belanghebbende, unit.berichtsoort, STATUS)
        if isinstance(authority, PeerError):
            raise question.unknown(f"of another sender; {authority.detail}")
    await question.office.scenarios.meet("statusinformatie", unit.berichtsoort, unit.aanleverkenmerk)
    after = await question.office.store.seen(question.opened.oin, kenmerk) if question.operation.only_new else 0
    found = [s for s in await question.office.store.statuses(kenmerk) if s.seq > after and question.covers(s.at)]
    return tell_statuses(question, [(kenmerk, unit.belanghebbende, status) for status in found])


def tell_statuses(question: Question, found: Sequence[tuple[str, Identiteit, Status]]) -> Told:
    """The statuses that one answer holds, and that they were told when new ones were asked.
    A window may leave out an older status that was not told; it counts as told all the same, since one number per
    asker and process is kept."""
    told = opvragen.bounded(found, lambda one: MARKUP + len(one[2].foutbeschrijving or "") + len(one[2].details or ""))
    rows = tuple(StatusResultaat.of(status, kenmerk, belanghebbende) for kenmerk, belanghebbende, status in told)
    last = {kenmerk: status.seq for kenmerk, _, status in told if question.operation.only_new}
    return Told(rows, tuple(MarkSeen(question.opened.oin, kenmerk, seq) for kenmerk, seq in last.items()))


async def find_new_statuses(question: Question) -> Told:
    """getNieuweStatussen: of all processes of a belanghebbende and berichtsoort that the asker may see."""
    search = question.search(sender_oin=await _sender(question))
    found = await question.office.store.search_statuses(search)
    return tell_statuses(question, [(one.kenmerk, one.belanghebbende, status) for one, status in found])


async def find_processes(question: Question) -> Told:
    """getProcessen: the newest ones of a belanghebbende and berichtsoort that the asker may see, oldest first."""
    found = await question.office.store.search_processes(question.search(sender_oin=await _sender(question)))
    return Told(tuple(ProcesResultaat(p.kenmerk, p.berichtsoort, p.belanghebbende, p.ontvanger) for p in found))


async def _sender(question: Question) -> str | None:
    """Whose processes the asker may see: everybody's (None), or its own only.
    Raises PeerError: not-authorised, when it may not and has sent none."""
    authority = await question.settle(question.belanghebbende, question.asked.berichtsoort, STATUS)
    if not isinstance(authority, PeerError):
        return None
    if not await question.office.store.search_processes(question.search(sender_oin=question.opened.oin)):
        raise authority
    return question.opened.oin


async def find_berichtsoorten(question: Question) -> Told:
    """getBerichtsoorten: what the asker may send for this belanghebbende, or collect, as routes and mandates say."""
    whom = question.belanghebbende
    sending = await question.settle(whom, None, AANLEVEREN)
    collecting = await question.settle(whom, None, OPHALEN)
    if isinstance(sending, PeerError) and isinstance(collecting, PeerError):
        raise sending
    names = []
    for route in question.snapshot.routes.rows:
        authority = collecting if route.direction == RETOUR else sending
        covered = not isinstance(authority, PeerError) and authority.covers(route.berichtsoort)
        if covered or (route.senders == "known" and route.direction != RETOUR and question.party):
            names.append(route.berichtsoort)
    return Told(tuple(names))


FIND: Final[Mapping[str, Find]] = {
    "getBerichtsoorten": find_berichtsoorten,
    "getProcessen": find_processes,
    "getStatussenProces": find_statuses,
    "getNieuweStatussenProces": find_statuses,
    "getNieuweStatussen": find_new_statuses,
}
