"""The last steps that every WUS service shares: seal the answer, commit it, send what was committed.

Decides nothing; a refusal is wus.faults.refuse's business."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from digipoort_as4 import limits
from digipoort_as4.clock import wire_time
from digipoort_as4.errors import PeerError
from digipoort_as4.hub import decision
from digipoort_as4.hub.decision import Effect, KeepEvidence, LargeDocument, RememberReply, StoredReply
from digipoort_as4.payload import Payload, read_all
from digipoort_as4.pki.keys import Signer
from digipoort_as4.soap import xop
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.names import WSA_ANONYMOUS
from digipoort_as4.transport.http import HttpAnswer
from digipoort_as4.wssecurity.open_message import Opened
from digipoort_as4.wssecurity.seal_message import Sealed, plain, seal
from digipoort_as4.wus import intake
from digipoort_as4.wus.faults import XML_TYPE
from digipoort_as4.wus.koppelvlak import Written
from digipoort_as4.wus.office import Office, note
from digipoort_as4.wus.operations import Operation

ROUNDS: Final = 5  # looks at facts that others change meanwhile, e.g. by collecting the same messages


def seal_answer(
    body: Written, operation: Operation, opened: Opened, signer: Signer, new_id: Callable[[], str], now: datetime
) -> Sealed:
    """Sign an answer in the algorithm family of its request, with a MessageID of its own, as the connection has it.
    Source: digipoort 1.8, 1.11, 2.5; decisions 10 and 11; DK-WUS WB014."""
    relates_to = opened.addressing.message_id
    addressing = Addressing(WSA_ANONYMOUS, operation.response_action, f"urn:uuid:{new_id()}", relates_to=relates_to)
    if not opened.policy.signed:
        return plain(body.octets, addressing, body.large)
    confirms = opened.signature_value if opened.policy.confirmation else None
    sealing = (signer, opened.algorithms, now, limits.TIMESTAMP_LIFE, new_id, body.large)
    return seal(body.octets, addressing, *sealing, confirms=confirms)


def build_remembering(
    opened: Opened, reply: bytes, now: datetime, large: tuple[LargeDocument, ...] = ()
) -> RememberReply:
    """The effect by which a verbatim repeat gets the same octets (decision 8)."""
    stored = StoredReply(opened.signature_value, reply, large)
    return RememberReply(opened.oin, opened.addressing.message_id, stored, now + limits.REPEAT_KEPT)


@dataclass(frozen=True, slots=True)
class Decided:
    """What a service decided on a request."""

    body: Written  # of the answer
    event: str  # what the journal calls it, with `told`
    told: Mapping[str, Any]
    effects: tuple[Effect, ...]  # what becomes durable with the answer
    kenmerk: str = ""  # of the process whose evidence request and answer are; empty for a question that changes none


async def conclude(
    find: Callable[[datetime], Awaitable[Decided]], opened: Opened, operation: Operation, office: Office
) -> StoredReply:
    """Find what to answer, seal it, commit both, and say which answer may leave; again when facts changed meanwhile.
    Returns the decided answer, or the stored one when the same request was answered meanwhile.
    Raises PeerError: message-id-reused, unavailable, what `find` refuses. StorageFailure: nothing was committed."""
    for _ in range(ROUNDS):
        now = office.now()
        decided = await find(now)
        body = decided.body
        size = len(body.octets) + sum(payload.size for payload in body.large.values())
        sealing = (body, operation, opened, office.signer, office.new_id, wire_time(office.now))
        sealed = await intake.off_loop(size, partial(seal_answer, *sealing))
        large = tuple(LargeDocument(mark, key, p) for key, (mark, p) in zip(body.keys, body.large.items(), strict=True))
        remembering, kept = build_remembering(opened, sealed.skeleton, now, large), tuple[Effect, ...]()
        if kenmerk := decided.kenmerk:
            asked = KeepEvidence(kenmerk, f"{operation.stem}Request", opened.message.octets, opened.coverage, now)
            kept = (asked, KeepEvidence(kenmerk, f"{operation.stem}Response", sealed.skeleton, "", now))
        outcome = await office.store.commit(decision.Decision(sealed.skeleton, (*decided.effects, remembering, *kept)))
        if isinstance(outcome, decision.Committed):
            note(decided.event, opened, operation, office, decided.told)
            return remembering.reply
        if isinstance(outcome, decision.AlreadyThere):
            reply = intake.same_reply(outcome.reply, opened)
            note("repeated", opened, operation, office)
            return reply
    raise PeerError("unavailable", detail="facts kept changing while deciding")


def send(reply: Payload, *, mtom: bool = False) -> HttpAnswer:
    """A committed answer on its way; MTOM is answered in kind, as the policy of the WSDL says, and a repeat alike.
    Source: WS-MTOMPolicy 3.1: optional for an exchange, then for request and response both."""
    if mtom:
        octets = read_all(reply)
        package = xop.pack(octets, {}, hashlib.sha256(octets).hexdigest()[:32])
        return HttpAnswer(200, {"content-type": package.content_type}, package.body)
    return HttpAnswer(200, {"content-type": XML_TYPE}, reply)
