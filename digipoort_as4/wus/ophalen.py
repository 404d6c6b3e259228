"""Collecting: a business lists and fetches what agencies put ready for it, or for whom it is authorised.

Lists never mark anything; a message is collected when its content leaves, in the commit of that answer (decision 16).
"""

from collections.abc import Iterable, Mapping
from typing import Final

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError
from digipoort_as4.hub import identities, mandates, statuses
from digipoort_as4.hub.decision import Effect, KeepEvidence, Listed, MarkCollected, Process, ReturnMessage, StoredReply
from digipoort_as4.hub.mandates import OPHALEN
from digipoort_as4.wssecurity.open_message import Opened
from digipoort_as4.wus import koppelvlak, opvragen
from digipoort_as4.wus.koppelvlak import BerichtLijstResultaat, BerichtResultaat
from digipoort_as4.wus.office import Office, Snapshot
from digipoort_as4.wus.operations import Operation
from digipoort_as4.wus.opvragen import Find, Question, Told

MARKUP: Final = 2_000  # octets of a BerichtResultaat beside its documents, and of each of those beside its inhoud


async def fetch(opened: Opened, operation: Operation, snapshot: Snapshot, office: Office) -> StoredReply:
    """Answer a verified question of the ophaalservice. Source: digipoort 1.4, 4.6; decision 16."""
    return await opvragen.answer(opened, operation, snapshot, office, FIND[operation.name])


async def find_list(question: Question) -> Told:
    """getBerichtenLijst and getNieuweBerichtenLijst: all that the asker may collect, for itself and by mandate."""
    reach = mandates.reach(question.party, question.now)
    found = await question.office.store.search_returned(question.search(reach=reach))
    return Told(tuple(BerichtLijstResultaat(one.berichtsoort, one.belanghebbende, one.kenmerk) for one in found))


async def find_of_belanghebbende(question: Question) -> Told:
    """The content of the messages about one belanghebbende, as many as fit. Raises PeerError: not-authorised."""
    whom = question.belanghebbende
    authority = await question.settle(whom, question.asked.berichtsoort, OPHALEN)
    if isinstance(authority, PeerError):
        raise authority
    names = [None] if authority.berichtsoorten is None else sorted(authority.berichtsoorten)
    reach = (*((identities.key(whom), name) for name in names), *mandates.reach(question.party, question.now))
    return await hand_over(question, await question.office.store.search_returned(question.search(reach=reach)))


async def find_one(question: Question) -> Told:
    """getBerichtenKenmerk and getNieuweBerichtenKenmerk: the content of one message; none outside the window.
    Raises PeerError: kenmerk-unknown, with the same words for a kenmerk that is not there and one that is another's."""
    kenmerk = question.asked.kenmerk or ""
    process, message = await question.office.store.process(kenmerk), await question.office.store.return_message(kenmerk)
    if process is None or message is None:
        raise question.unknown("no message to collect")
    unit = process.aanlevering
    authority = await question.settle(unit.ontvanger or unit.belanghebbende, unit.berichtsoort, OPHALEN)
    if isinstance(authority, PeerError):
        raise question.unknown(f"for somebody else; {authority.detail}")
    await question.office.scenarios.meet("ophalen", unit.berichtsoort, unit.aanleverkenmerk)
    search = question.search(reach=((message.recipient, unit.berichtsoort),))
    return await hand_over(question, await question.office.store.search_returned(search))


async def hand_over(question: Question, found: Iterable[Listed]) -> Told:
    """The content of as many messages as one answer holds, oldest first; the others stay as new as they were."""
    rows: list[BerichtResultaat] = []
    effects: list[Effect] = []
    room = Room()
    for listed in found:
        process = await question.office.store.process(listed.kenmerk)
        message = await question.office.store.return_message(listed.kenmerk)
        if process is None or message is None:
            raise LookupError(f"{listed.kenmerk} was listed and is not there")
        if not room.take(process):
            break
        rows.append(build(process, message))
        effects += collect(question, process)
    return Told(tuple(rows), tuple(effects))


class Room:
    """How much one answer still holds: what a reader takes that guards itself as we do, and limits.ANSWER_CONTENT."""

    def __init__(self) -> None:
        self._tree, self._content, self._large = limits.ANSWER_TREE, limits.ANSWER_CONTENT, limits.DOCUMENTS
        self._empty = True

    def take(self, process: Process) -> bool:
        """True when the message is in; the first always is."""
        documents = process.aanlevering.documents
        inline = [document for document in documents if document.size <= koppelvlak.INLINE]
        self._tree -= MARKUP * (1 + len(documents)) + sum(document.size * 4 // 3 for document in inline)
        self._content -= sum(document.size for document in documents)
        self._large -= len(documents) - len(inline)
        fits, self._empty = self._empty or min(self._tree, self._content, self._large) >= 0, False
        return fits


def build(process: Process, message: ReturnMessage) -> BerichtResultaat:
    """The message as its collector gets it. Source: digipoort 1.5; identiteitAanleveraar is the sender's OIN."""
    unit = process.aanlevering
    own = {
        "kenmerk": process.kenmerk,
        "berichtkenmerk": message.berichtkenmerk,
        "identiteit_aanleveraar": unit.sender_oin,
    }
    return koppelvlak.about(BerichtResultaat, unit, tijdstempel_aangeleverd=process.received_at, **own)


def collect(question: Question, process: Process) -> list[Effect]:
    """That the content left: marked for the asker, with its signed request as evidence; 400 at the first time."""
    now, opened = question.now, question.opened
    kind = f"{question.operation.stem}Request"
    effects: list[Effect] = [
        MarkCollected(opened.oin, process.kenmerk, now, question.operation.only_new),
        KeepEvidence(process.kenmerk, kind, opened.message.octets, opened.coverage, now),
    ]
    if process.state != "ended":
        effects.append(statuses.advance(process, "ended", [statuses.make("400", now)]))
    return effects


FIND: Final[Mapping[str, Find]] = {
    "getBerichten": find_of_belanghebbende,
    "getNieuweBerichten": find_of_belanghebbende,
    "getBerichtenLijst": find_list,
    "getNieuweBerichtenLijst": find_list,
    "getBerichtenKenmerk": find_one,
    "getNieuweBerichtenKenmerk": find_one,
}
