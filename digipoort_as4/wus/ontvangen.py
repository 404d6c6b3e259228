"""The receiving path at an agency: takes an afleverRequest once, however often the hub sends it.

Hands nothing to the back end (agency does, after the answer) and sets no status (wus.terugmelden does, later still).
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from lxml import etree

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError, StorageFailure
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.hub.decision import StoredReply
from digipoort_as4.journal import Journal
from digipoort_as4.payload import Spool
from digipoort_as4.pki.keys import Signer
from digipoort_as4.pki.path import Trust
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.message import SoapMessage
from digipoort_as4.soap.names import KV, WHITE_SPACE, WSA_ANONYMOUS, local_name, q
from digipoort_as4.storage.agency_book import AgencyBook, HandOver, KeptReply, Wish
from digipoort_as4.storage.inbox import Inbox, folder_name
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wssecurity.open_message import Opened, SignaturePolicy, check_timestamp, open_message
from digipoort_as4.wssecurity.seal_message import seal
from digipoort_as4.wus import answers, antwoordbericht, faults, intake, koppelvlak
from digipoort_as4.wus.faults import Hint
from digipoort_as4.wus.koppelvlak import AfleverRequest, AfleverResponse, Intake, write_moment
from digipoort_as4.wus.operations import AFLEVEREN

OPERATION: Final = AFLEVEREN.operations[0]

RETRY_AFTER: Final = 5
"""Seconds, in the answer to trouble of our own: HTTP 503, so that the hub tries again. A fault with HTTP 500 would end
the delivery with 410 (decision 19)."""

ROUNDS: Final = 3
"""Look-ups after a lost race: two retries of one delivery at the same moment need one."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the receiving path works with."""

    oin: str
    """Of the agency."""
    hub_oin: str
    """Of the one post office that may deliver here."""
    trust: Callable[[], Trust]
    policy: SignaturePolicy
    signer: Signer
    book: AgencyBook
    inbox: Inbox
    spool: Spool
    wanted: Callable[[str], str]
    """berichtsoort -> statuscode to set after the hand-over; empty: none."""
    taken: Callable[[], None]
    """Called after a commit: there is something to hand over."""
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    """A fresh lower-case UUID."""
    journal: Journal


async def accept(request: HttpRequest, desk: Desk) -> HttpAnswer:
    """Answer one request: a signed afleverResponse once everything is durable, or a fault.

    Args:
        request: as the transport read it.
        desk: collaborators.

    Source: decisions 8, 9, 19, 22; threats P1, P4, P5.
    """
    hint = Hint.before(request, AFLEVEREN)
    try:
        message = await intake.parse(request, desk.new_id())  # parse
        hint = hint.of(message)
        opened = await verify(message, request, desk)  # verify
        return await answer(opened, request, desk)  # facts, decide, build, commit, answer
    except PeerError as refusal:
        return refuse(refusal, hint, desk)
    except (StorageFailure, OSError) as failure:  # OSError: of the spool, where no promise lies
        if isinstance(failure, StorageFailure):
            desk.book.fail(str(failure))  # the process ends: a failed fsync may be told once and then forgotten
        return refuse(PeerError("storage", detail=str(failure)), hint, desk)


# --- verify -----------------------------------------------------------------------------------------------------------


async def verify(message: SoapMessage, request: HttpRequest, desk: Desk) -> Opened:
    """Sent by the hub, signed by the hub, meant for this service. Freshness comes later: a repeat may be old.

    Raises:
        PeerError: tls-certificate, oin-differs, the first finding of open_message, soap-action, header-value.

    Source: decision 9.
    """
    trust, now = desk.trust(), desk.now()
    check_hub(intake.read_tls_party(request.tls_certificate, trust, now), "TLS", desk.hub_oin)
    opened = await intake.off_loop(request.body.size, open_message, message, desk.policy, trust, now)
    check_hub(opened.oin, "handtekening", desk.hub_oin)
    intake.read_operation(opened, request, AFLEVEREN)
    return opened


def check_hub(found: str, where: str, hub_oin: str) -> None:
    """Nobody but the hub delivers here."""
    if found != hub_oin:
        raise PeerError("oin-differs", where=where, found=found, expected=hub_oin)


# --- facts, decide, build, commit, answer -----------------------------------------------------------------------------


async def answer(opened: Opened, request: HttpRequest, desk: Desk) -> HttpAnswer:
    """The stored bytes for a verbatim repeat, else an answer of its own."""
    repeated = find_repeat(opened, desk)
    if repeated is not None:
        return answers.send(repeated)
    check_timestamp(opened, desk.policy, desk.now())
    with intake.Quarantine(desk.spool) as quarantine:
        receiving = Intake(quarantine, desk.new_id)
        asked = await intake.off_loop(request.body.size, koppelvlak.read_aflever_request, opened, receiving)
        check_recipient(asked, desk.oin)
        return await take_or_retry(asked, opened, desk)


def find_repeat(opened: Opened, desk: Desk) -> bytes | None:
    """The answer that this very message had before.

    Raises:
        PeerError: message-id-reused.

    Source: decision 8.
    """
    earlier = desk.book.find_reply(opened.oin, opened.addressing.message_id, desk.now())
    return None if earlier is None else intake.same_reply(earlier, opened)


def check_recipient(asked: AfleverRequest, oin: str) -> None:
    """An identiteitOntvanger that is an OIN is ours."""
    named = asked.identiteit_ontvanger
    if named is not None and named.type.casefold() == "oin" and named != Identiteit(oin, named.type):
        raise PeerError("ontvanger-unknown", where="identiteitOntvanger", found=named.nummer, expected=oin)


async def take_or_retry(asked: AfleverRequest, opened: Opened, desk: Desk) -> HttpAnswer:
    """Take a delivery, or answer for one that is taken already; whoever loses a race looks again."""
    for _ in range(ROUNDS):
        known = desk.book.find_hand_over(opened.oin, asked.berichtkenmerk)
        octets = await (again(known, asked, opened, desk) if known else take(asked, opened, desk))
        if octets is not None:
            return answers.send(octets)
        repeated = find_repeat(opened, desk)
        if repeated is not None:
            return answers.send(repeated)
        await desk.book.forget_replies(desk.now())  # an answer whose time is over still holds its MessageID
    raise PeerError("unavailable", detail=f"no answer for {asked.berichtkenmerk} could be kept")


async def again(known: HandOver, asked: AfleverRequest, opened: Opened, desk: Desk) -> bytes | None:
    """A retry of the hub: a fresh answer with the first tijdstempelAfgeleverd, no second hand-over (decision 22)."""
    octets = build_reply(asked, known.delivered_at, opened, desk.signer, desk.new_id, desk.now())
    if not await desk.book.remember(kept(octets, opened, desk.now())):
        return None
    desk.journal.write("delivery-repeated", berichtkenmerk=asked.berichtkenmerk, kenmerk=asked.kenmerk)
    return octets


async def take(asked: AfleverRequest, opened: Opened, desk: Desk) -> bytes | None:
    """Documents to the staging place, then one commit: from here on a crash loses nothing (P1)."""
    now = desk.now()
    octets = build_reply(asked, now, opened, desk.signer, desk.new_id, now)
    envelope = build_envelope(asked, opened.operation)
    staged = await asyncio.to_thread(desk.inbox.stage, envelope, asked.documents)
    hand_over = build_hand_over(asked, opened.oin, staged, now)
    if not await desk.book.take(
        hand_over, kept(octets, opened, now), build_wishes(hand_over, desk.wanted, desk.new_id())
    ):
        desk.inbox.discard(staged)
        return None
    desk.journal.write("delivery-taken", berichtkenmerk=asked.berichtkenmerk, kenmerk=asked.kenmerk)
    desk.taken()
    return octets


def kept(octets: bytes, opened: Opened, now: datetime) -> KeptReply:
    """The answer, for the verbatim repeat."""
    reply = StoredReply(opened.signature_value, octets)
    return KeptReply(opened.oin, opened.addressing.message_id, reply, now + limits.REPEAT_KEPT)


def build_hand_over(asked: AfleverRequest, hub_oin: str, staged: str, now: datetime) -> HandOver:
    """The row of a delivery."""
    key = asked.berichtkenmerk
    return HandOver(hub_oin, key, asked.kenmerk, asked.berichtsoort, folder_name(key), staged, now)


def build_wishes(hand_over: HandOver, wanted: Callable[[str], str], own_id: str) -> tuple[Wish, ...]:
    """The status that shall follow, as the agency's settings say for this berichtsoort."""
    code = wanted(hand_over.berichtsoort)
    if not code:
        return ()
    at = hand_over.delivered_at
    details = antwoordbericht.write(code, hand_over.kenmerk, hand_over.berichtkenmerk, own_id, at)
    key = (hand_over.hub_oin, hand_over.berichtkenmerk, hand_over.kenmerk)
    return (Wish(*key, code, at, details=details, due=at),)


def build_reply(
    asked: AfleverRequest,
    delivered_at: datetime,
    opened: Opened,
    signer: Signer,
    new_id: Callable[[], str],
    now: datetime,
) -> bytes:
    """The signed afleverResponse, in the algorithm family of the request (decision 11)."""
    written = koppelvlak.write_aflever_response(
        AfleverResponse(asked.kenmerk, asked.berichtsoort, asked.berichtkenmerk, delivered_at)
    )
    addressing = Addressing(
        to=WSA_ANONYMOUS,
        action=OPERATION.response_action,
        message_id=f"urn:uuid:{new_id()}",
        relates_to=opened.addressing.message_id,
    )
    return seal(written.octets, addressing, signer, opened.algorithms, now, limits.TIMESTAMP_LIFE, new_id).skeleton


def build_envelope(asked: AfleverRequest, operation: etree._Element) -> dict[str, object]:
    """What stands in envelope.json beside the documents: the XSD's element names (decision 29).

    Args:
        asked: the request.
        operation: its verified element, for the lists that the hub may add about the message.
    """
    fields: dict[str, object] = {
        "kenmerk": asked.kenmerk,
        "berichtsoort": asked.berichtsoort,
        "berichtkenmerk": asked.berichtkenmerk,
        "aanleverkenmerk": asked.aanleverkenmerk,
        "tijdstempelAangeleverd": write_moment(asked.tijdstempel_aangeleverd),
        "identiteitBelanghebbende": _identiteit(asked.identiteit_belanghebbende),
        "rolBelanghebbende": asked.rol_belanghebbende,
        "identiteitAanleveraar": asked.identiteit_aanleveraar,
        "identiteitOntvanger": _identiteit(asked.identiteit_ontvanger),
        "rolOntvanger": asked.rol_ontvanger,
        **{name: _rows(operation, name) for name in ("constateringenLijst", "additioneleElementenLijst")},
    }
    return {name: value for name, value in fields.items() if value is not None}


def _identiteit(value: Identiteit | None) -> dict[str, str] | None:
    return None if value is None else {"nummer": value.nummer, "type": value.type}


def _rows(operation: etree._Element, name: str) -> list[dict[str, str]] | None:
    found = operation.find(q(KV, name))
    if found is None:
        return None
    return [{local_name(child.tag): _one_line(child.text or "") for child in row} for row in found]


def _one_line(text: str) -> str:
    """whiteSpace=collapse, which every text of the koppelvlak has."""
    return re.sub(f"[{WHITE_SPACE}]+", " ", text.strip(WHITE_SPACE))


def refuse(refusal: PeerError, hint: Hint, desk: Desk) -> HttpAnswer:
    """AFS100 for what is wrong with the request, for good; AFS400 with HTTP 503 for our own trouble, to be retried."""
    cause = refusal.cause
    foutcode = faults.DEFAULT.code(AFLEVEREN, cause)
    number = desk.journal.write(
        "refused",
        level=logging.ERROR if cause.technical else logging.WARNING,
        cause=cause.name,
        foutcode=foutcode,
        where=refusal.where,
        found=refusal.found,
        expected=refusal.expected,
        detail=refusal.detail,
        message_id=hint.message_id,
    )
    octets = faults.build(refusal, hint, foutcode, number, f"urn:uuid:{desk.new_id()}")
    plain = faults.answer(cause, octets)
    if not cause.technical:
        return plain
    return replace(plain, status=503, headers={**plain.headers, "retry-after": str(RETRY_AFTER)})
