"""The last steps that every WUS service shares: seal the answer, commit it, send what was committed.

Decides nothing; a refusal is wus.faults.refuse's business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError
from digipoort_as4.hub.decision import (
    AlreadyThere,
    Committed,
    Decision,
    Effect,
    KeepEvidence,
    LargeDocument,
    RememberReply,
    StoredReply,
)
from digipoort_as4.payload import Payload, read_all
from digipoort_as4.pki.keys import Signer
from digipoort_as4.soap import xop
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.names import WSA_ANONYMOUS
from digipoort_as4.storage.store import Store
from digipoort_as4.transport.http import HttpAnswer
from digipoort_as4.wssecurity.open_message import Opened
from digipoort_as4.wssecurity.seal_message import Sealed, plain, seal
from digipoort_as4.wus import intake
from digipoort_as4.wus.faults import XML_TYPE
from digipoort_as4.wus.operations import Operation


def seal_answer(
    body: bytes,
    operation: Operation,
    opened: Opened,
    signer: Signer,
    new_id: Callable[[], str],
    now: datetime,
    large: Mapping[str, Payload] | None = None,
) -> Sealed:
    """Sign an answer in the algorithm family of its request, with a MessageID of its own, as the connection has it.

    Large texts are as for seal. Source: digipoort 1.8, 1.11, 2.5; decisions 10 and 11; DK-WUS WB014.
    """
    relates_to = opened.addressing.message_id
    addressing = Addressing(WSA_ANONYMOUS, operation.response_action, f"urn:uuid:{new_id()}", relates_to=relates_to)
    if not opened.policy.signed:
        return plain(body, addressing, large)
    confirms = opened.signature_value if opened.policy.confirmation else None
    life = limits.TIMESTAMP_LIFE
    return seal(body, addressing, signer, opened.algorithms, now, life, new_id, large, confirms=confirms)


def build_remembering(
    opened: Opened, reply: bytes, now: datetime, large: tuple[LargeDocument, ...] = ()
) -> RememberReply:
    """The effect by which a verbatim repeat gets the same octets (decision 8)."""
    stored = StoredReply(opened.signature_value, reply, large)
    return RememberReply(opened.oin, opened.addressing.message_id, stored, now + limits.REPEAT_KEPT)


def build_decision(
    effects: tuple[Effect, ...],
    operation: Operation,
    opened: Opened,
    sealed: Sealed,
    now: datetime,
    kenmerk: str = "",
    large: tuple[LargeDocument, ...] = (),
) -> Decision:
    """All that becomes durable with an answer: what the service decided, the answer itself, and the evidence.

    Request and answer are evidence of the process of this kenmerk; it is empty for a question that changes none. Large
    are the documents that stand as placeholders in the answer's skeleton.
    """
    kept: tuple[Effect, ...] = ()
    if kenmerk:
        asked = KeepEvidence(kenmerk, f"{operation.stem}Request", opened.message.octets, opened.coverage, now)
        kept = (asked, KeepEvidence(kenmerk, f"{operation.stem}Response", sealed.skeleton, "", now))
    remembering = build_remembering(opened, sealed.skeleton, now, large)
    return Decision(sealed.skeleton, (*effects, remembering, *kept))


async def conclude(decision: Decision, opened: Opened, store: Store) -> StoredReply | None:
    """Commit, and say which answer may leave now.

    That is the decided one; the stored one when the same request was answered meanwhile; none when facts changed.
    Raises PeerError: message-id-reused. Raises StorageFailure: nothing was committed.
    """
    outcome = await store.commit(decision)
    if isinstance(outcome, Committed):
        return next(effect.reply for effect in decision.effects if isinstance(effect, RememberReply))
    return intake.same_reply(outcome.reply, opened) if isinstance(outcome, AlreadyThere) else None


def still(reply: StoredReply | None) -> StoredReply:
    """The reply, where facts cannot go stale or have done so too often. Raises PeerError: unavailable."""
    if reply is None:
        raise PeerError("unavailable", detail="facts kept changing while deciding")
    return reply


def send(reply: Payload, *, mtom: bool = False) -> HttpAnswer:
    """A committed answer on its way; MTOM is answered in kind, as the policy of the WSDL says, and a repeat alike.

    Source: WS-MTOMPolicy 3.1: optional for an exchange, then for request and response both.
    """
    if mtom:
        octets = read_all(reply)
        package = xop.pack(octets, {}, hashlib.sha256(octets).hexdigest()[:32])
        return HttpAnswer(200, {"content-type": package.content_type}, package.body)
    return HttpAnswer(200, {"content-type": XML_TYPE}, reply)
