"""The receiving path at an agency: takes an afleverRequest once, however often the hub sends it.

Hands nothing to the back end (agency does, after the answer) and sets no status (wus.terugmelden does, later still)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from digipoort_as4.clock import wire_time
from digipoort_as4.errors import PeerError, StorageFailure
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.journal import Journal
from digipoort_as4.payload import BytesPayload, Spool
from digipoort_as4.pki.keys import Signer
from digipoort_as4.pki.path import Trust
from digipoort_as4.soap.message import SoapMessage
from digipoort_as4.storage.agency_book import AgencyBook, HandOver, Wish
from digipoort_as4.storage.inbox import Inbox, folder_name
from digipoort_as4.storage.outbox import Outbox
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wssecurity.open_message import Opened, check_timestamp
from digipoort_as4.wus import answers, antwoordbericht, faults, intake, koppelvlak
from digipoort_as4.wus.asking import Post
from digipoort_as4.wus.faults import Hint
from digipoort_as4.wus.koppelvlak import AfleverRequest, AfleverResponse, Intake, write_moment
from digipoort_as4.wus.operations import AFLEVEREN
from digipoort_as4.wus.profiles import Profile

OPERATION: Final = AFLEVEREN.operations[0]

ROUNDS: Final = 3  # look-ups after a lost race: two retries of one delivery at the same moment need one


@dataclass(frozen=True, slots=True)
class Desk:
    """What an agency works with, receiving and telling."""

    oin: str  # of the agency
    hub_oin: str  # of the one post office that may deliver here
    trust: Callable[[], Trust]
    profile: Profile  # of the connection with the hub, both ways
    signer: Signer
    book: AgencyBook
    inbox: Inbox
    outbox: Outbox
    spool: Spool
    wanted: Callable[[str], str]  # berichtsoort → statuscode to set after the hand-over; empty: none
    taken: Callable[[], None]  # called after a commit: there is something to hand over
    url: Callable[[], str]  # of the hub's ZetStatusService; empty while it is not known
    aanleveren_url: str  # of the hub's AanleverService; empty: nothing is taken out of the outbox
    post: Post
    now: Callable[[], datetime]
    new_id: Callable[[], str]  # a fresh lower-case UUID
    journal: Journal


async def accept(request: HttpRequest, desk: Desk) -> HttpAnswer:
    """Answer one request: a signed afleverResponse once everything is durable, or a fault.
    AFS100 for what is wrong with the request, for good; AFS400 with HTTP 503 for our own trouble, to be retried.
    Source: decisions 8, 9, 19, 22; threats P1, P4, P5."""
    hint, message = Hint.before(request, AFLEVEREN), None
    try:
        message = await intake.parse(request, desk.new_id())  # parse
        hint = hint.of(message)
        opened = await verify(message, request, desk)  # verify
        return answers.send(BytesPayload(await answer(opened, desk)))  # facts, decide, build, commit, answer
    except (PeerError, StorageFailure, OSError) as trouble:  # OSError: of the spool, where no promise lies
        if isinstance(trouble, StorageFailure):
            desk.book.fail(str(trouble))  # the process ends: a failed fsync may be told once and then forgotten
        await intake.locate(trouble, message, request)
        return faults.refuse(trouble, hint, faults.DEFAULT, desk.journal, desk.new_id())


async def verify(message: SoapMessage, request: HttpRequest, desk: Desk) -> Opened:
    """Sent by the hub, signed by the hub, meant for this service. Freshness comes later: a repeat may be old.
    Raises PeerError: tls-certificate, oin-differs, the first finding of open_message, soap-action, header-value.
    Source: decision 9."""
    trust, now = desk.trust(), desk.now()
    check_hub(intake.read_tls_party(request.tls_certificate, trust, now), "TLS", desk.hub_oin)
    opened = await intake.open_request(message, request, desk.profile.policy, trust, now)
    check_hub(opened.oin, "handtekening", desk.hub_oin)
    intake.read_operation(opened, request, AFLEVEREN, desk.profile, desk.oin)
    return opened


def check_hub(found: str, where: str, hub_oin: str) -> None:
    """Nobody but the hub delivers here."""
    if found != hub_oin:
        raise PeerError("oin-differs", where=where, found=found, expected=hub_oin)


async def answer(opened: Opened, desk: Desk) -> bytes:
    """The stored bytes for a verbatim repeat, else an answer of its own."""
    repeated = find_repeat(opened, desk)
    if repeated is not None:
        return repeated
    check_timestamp(opened, desk.profile.policy, wire_time(desk.now))
    with intake.Quarantine(desk.spool) as quarantine:
        asked = await intake.read_documents(AfleverRequest, opened, Intake(quarantine, desk.new_id))
        check_recipient(asked, desk.oin)
        return await take_or_retry(asked, opened, desk)


def find_repeat(opened: Opened, desk: Desk) -> bytes | None:
    """The answer that this very message had before. Raises PeerError: message-id-reused. Source: decision 8."""
    earlier = desk.book.find_reply(opened.oin, opened.addressing.message_id, desk.now())
    return None if earlier is None else intake.same_reply(earlier, opened).octets


def check_recipient(asked: AfleverRequest, oin: str) -> None:
    """An identiteitOntvanger that is an OIN is ours."""
    named = asked.identiteit_ontvanger
    if named is not None and named.type.casefold() == "oin" and named != Identiteit(oin, named.type):
        raise PeerError("ontvanger-unknown", where="identiteitOntvanger", found=named.nummer, expected=oin)


async def take_or_retry(asked: AfleverRequest, opened: Opened, desk: Desk) -> bytes:
    """Take a delivery, or answer for one that is taken already; whoever loses a race looks again."""
    for _ in range(ROUNDS):
        known = desk.book.find_hand_over(opened.oin, asked.berichtkenmerk)
        octets = await (again(known, asked, opened, desk) if known else take(asked, opened, desk))
        if octets is None:
            octets = find_repeat(opened, desk)
        if octets is not None:
            return octets
        await desk.book.forget_replies(desk.now())  # an answer whose time is over still holds its MessageID
    raise PeerError("unavailable", detail=f"no answer for {asked.berichtkenmerk} could be kept")


async def again(known: HandOver, asked: AfleverRequest, opened: Opened, desk: Desk) -> bytes | None:
    """A retry of the hub: a fresh answer with the first tijdstempelAfgeleverd, no second hand-over (decision 22)."""
    octets = seal_reply(asked, known.delivered_at, opened, desk)
    if not await desk.book.remember(answers.build_remembering(opened, octets, desk.now())):
        return None
    desk.journal.write("delivery-repeated", berichtkenmerk=asked.berichtkenmerk, kenmerk=asked.kenmerk)
    return octets


async def take(asked: AfleverRequest, opened: Opened, desk: Desk) -> bytes | None:
    """Documents to the staging place, then one commit: from here on a crash loses nothing (P1)."""
    now = desk.now()
    octets = seal_reply(asked, now, opened, desk)
    staged = await asyncio.to_thread(desk.inbox.stage, build_envelope(replace(asked, documents=())), asked.documents)
    key, kept = asked.berichtkenmerk, answers.build_remembering(opened, octets, now)
    hand_over = HandOver(opened.oin, key, asked.kenmerk, asked.berichtsoort, folder_name(key), staged, now)
    if not await desk.book.take(hand_over, kept, build_wishes(hand_over, desk.wanted, desk.new_id())):
        desk.inbox.discard(staged)
        return None
    desk.journal.write("delivery-taken", berichtkenmerk=asked.berichtkenmerk, kenmerk=asked.kenmerk)
    desk.taken()
    return octets


def build_wishes(hand_over: HandOver, wanted: Callable[[str], str], own_id: str) -> tuple[Wish, ...]:
    """The status that shall follow, as the agency's settings say for this berichtsoort."""
    code = wanted(hand_over.berichtsoort)
    if not code:
        return ()
    at = hand_over.delivered_at
    details = antwoordbericht.write(code, hand_over.kenmerk, hand_over.berichtkenmerk, own_id, at)
    key = (hand_over.hub_oin, hand_over.berichtkenmerk, hand_over.kenmerk)
    return (Wish(*key, code, at, details=details, due=at),)


def seal_reply(asked: AfleverRequest, delivered_at: datetime, opened: Opened, desk: Desk) -> bytes:
    """The signed afleverResponse."""
    body = koppelvlak.write(AfleverResponse(asked.kenmerk, asked.berichtsoort, asked.berichtkenmerk, delivered_at))
    return answers.seal_answer(body, OPERATION, opened, desk.signer, desk.new_id, wire_time(desk.now)).skeleton


def build_envelope(message: object) -> dict[str, object]:
    """What stands in envelope.json beside the documents, by the XSD's element names (decision 29)."""
    return {name: _plain(value) for name, value in koppelvlak.values(message)}


def _plain(value: Any) -> object:
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return write_moment(value)
    if isinstance(value, tuple):
        return [_plain(row) for row in value]
    return {name: _plain(inner) for name, inner in koppelvlak.values(value)}
