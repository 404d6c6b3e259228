"""An agency tells the hub a status of a message it took: zetStatus, one attempt at a time.

Decides no status; keeps none (storage.agency_book does).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError, TransportError
from digipoort_as4.pki.keys import Signer
from digipoort_as4.pki.path import Trust
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.storage.agency_book import Wish
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wssecurity.open_message import Opened, SignaturePolicy
from digipoort_as4.wssecurity.seal_message import Sealed, seal
from digipoort_as4.wus import koppelvlak
from digipoort_as4.wus.afleveren import Post
from digipoort_as4.wus.asking import FaultAnswer, Question, headers_of, open_answer
from digipoort_as4.wus.koppelvlak import Fout, ZetStatusRequest
from digipoort_as4.wus.operations import ZET_STATUS

OPERATION: Final = ZET_STATUS.operations[0]
FIRST_PAUSE: Final = timedelta(seconds=1)
LONGEST_PAUSE: Final = timedelta(minutes=15)
TECHNICAL: Final = "400"
"""How the foutcode of a passing trouble ends (digipoort 3.3); any other refusal is for good."""


@dataclass(frozen=True, slots=True)
class Line:
    """What telling works with."""

    url: Callable[[], str]
    """Of the hub's ZetStatusService; empty while it is not known."""
    trust: Callable[[], Trust]
    policy: SignaturePolicy
    """For the hub's answers."""
    signer: Signer
    post: Post
    now: Callable[[], datetime]
    new_id: Callable[[], str]


async def tell(wish: Wish, line: Line) -> Wish:
    """Make one attempt.

    Args:
        wish: due.
        line: collaborators.

    Returns:
        The same with its attempt counted: settled (due None) when the hub took or refused it, else due again. The same
        status twice is no harm: the hub answers it the same (decision 21).
    """
    wish = replace(wish, attempts=wish.attempts + 1)
    message_id, url = f"urn:uuid:{line.new_id()}", line.url()
    try:
        if not url:
            raise TransportError("the address of the ZetStatusService is not known")
        sealed = build_request(wish, url, message_id, line.signer, line.new_id, line.now())
        answer = await line.post(wish.hub_oin, url, sealed.payload, headers_of(OPERATION))
        question = Question(wish.hub_oin, OPERATION, message_id)
        opened = open_answer(answer, question, line.trust(), line.policy, line.now())
        return judge(wish, opened, line.now())
    except (PeerError, TransportError) as error:
        return later(wish, str(error), line.now())


def build_request(
    wish: Wish, url: str, message_id: str, signer: Signer, new_id: Callable[[], str], now: datetime
) -> Sealed:
    """The sealed zetStatusRequest."""
    fout = None if wish.foutcode is None else Fout(wish.foutcode, wish.foutbeschrijving or "")
    written = koppelvlak.write_zet_status_request(
        ZetStatusRequest(wish.kenmerk, wish.berichtkenmerk, wish.statuscode, wish.at, fout, wish.details)
    )
    addressing = Addressing(to=url, action=OPERATION.request_action, message_id=message_id)
    return seal(written.octets, addressing, signer, Algorithms(), now, limits.TIMESTAMP_LIFE, new_id)


def judge(wish: Wish, opened: Opened | FaultAnswer, now: datetime) -> Wish:
    """What the hub's answer means.

    Raises:
        PeerError: it answers for another message or status.
    """
    if isinstance(opened, FaultAnswer):
        note = f"refused with {opened.foutcode}: {opened.foutbeschrijving}"
        return later(wish, note, now) if opened.foutcode.endswith(TECHNICAL) else replace(wish, due=None, note=note)
    response = koppelvlak.read_zet_status_response(opened)
    if (response.kenmerk, response.statuscode) != (wish.kenmerk, wish.statuscode):
        raise PeerError("kenmerk-unknown", where="zetStatusResponse", found=response.kenmerk, expected=wish.kenmerk)
    return replace(wish, due=None, note="told")


def later(wish: Wish, note: str, now: datetime) -> Wish:
    """Due again after 1, 2, 4 … seconds, at most 15 minutes; given up after 72 hours, as the hub gives up."""
    if now - wish.at >= limits.RETRY_FOR:
        return replace(wish, due=None, note=f"given up: {note}")
    pause = min(FIRST_PAUSE * 2 ** min(wish.attempts - 1, 20), LONGEST_PAUSE)
    return replace(wish, due=now + pause, note=note)
