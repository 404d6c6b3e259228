"""The last steps that every WUS service shares: seal the answer, commit it, send what was committed.

Decides nothing; a refusal is wus.office.refuse's business.
"""

from __future__ import annotations

from datetime import datetime

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError
from digipoort_as4.hub.decision import AlreadyThere, Committed, Decision, RememberReply, StoredReply
from digipoort_as4.payload import BytesPayload
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.names import WSA_ANONYMOUS
from digipoort_as4.storage.store import Store
from digipoort_as4.transport.http import HttpAnswer
from digipoort_as4.wssecurity.open_message import Opened
from digipoort_as4.wssecurity.seal_message import Sealed, seal
from digipoort_as4.wus import intake
from digipoort_as4.wus.faults import XML_TYPE
from digipoort_as4.wus.office import Office
from digipoort_as4.wus.operations import Operation


def seal_answer(body: bytes, operation: Operation, opened: Opened, office: Office, now: datetime) -> Sealed:
    """Sign an answer in the algorithm family of its request, with a MessageID of its own.

    Args:
        body: serialised response element.
        operation: whose answer it is.
        opened: the request.
        office: signer and fresh ids.
        now: Created.

    Source: digipoort 1.8, 1.11, 2.5; decisions 10 and 11.
    """
    addressing = Addressing(
        to=WSA_ANONYMOUS,
        action=operation.response_action,
        message_id=f"urn:uuid:{office.new_id()}",
        relates_to=opened.addressing.message_id,
    )
    return seal(body, addressing, office.signer, opened.algorithms, now, limits.TIMESTAMP_LIFE, office.new_id)


def build_remembering(opened: Opened, reply: bytes, now: datetime) -> RememberReply:
    """The effect by which a verbatim repeat gets the same octets.

    Source: decision 8.
    """
    stored = StoredReply(opened.signature_value, reply)
    return RememberReply(opened.oin, opened.addressing.message_id, stored, now + limits.REPEAT_KEPT)


async def conclude(decision: Decision, opened: Opened, store: Store) -> bytes | None:
    """Commit, and say which octets may leave now.

    Args:
        decision: holds a RememberReply of this request.
        opened: the request.
        store: executes it.

    Returns:
        The decided reply; the stored one when the same request was answered meanwhile; None when facts changed.

    Raises:
        PeerError: message-id-reused.
        StorageFailure: nothing was committed.
    """
    outcome = await store.commit(decision)
    if isinstance(outcome, Committed):
        return decision.reply
    if isinstance(outcome, AlreadyThere):
        return intake.same_reply(outcome.reply, opened)
    return None


def still(reply: bytes | None) -> bytes:
    """The reply, where facts cannot go stale or have done so too often.

    Raises:
        PeerError: unavailable.
    """
    if reply is None:
        raise PeerError("unavailable", detail="facts kept changing while deciding")
    return reply


def send(reply: bytes) -> HttpAnswer:
    """A committed answer on its way."""
    return HttpAnswer(200, {"content-type": XML_TYPE}, BytesPayload(reply))
