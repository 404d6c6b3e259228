"""An agency tells the hub a status of a message it took: zetStatus, one attempt at a time.

Decides no status; keeps none (storage.agency_book does)."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from digipoort_as4 import limits
from digipoort_as4.clock import wire_time
from digipoort_as4.errors import PeerError, TransportError
from digipoort_as4.storage.agency_book import Wish
from digipoort_as4.wssecurity.open_message import Opened
from digipoort_as4.wus import koppelvlak
from digipoort_as4.wus.asking import FaultAnswer, build_question, headers_of, open_answer
from digipoort_as4.wus.koppelvlak import Fout, ZetStatusRequest, ZetStatusResponse
from digipoort_as4.wus.ontvangen import Desk
from digipoort_as4.wus.operations import ZET_STATUS

OPERATION: Final = ZET_STATUS.operations[0]
FIRST_PAUSE: Final = timedelta(seconds=1)
LONGEST_PAUSE: Final = timedelta(minutes=15)
TECHNICAL: Final = "400"  # how the foutcode of a passing trouble ends (digipoort 3.3); any other refusal is for good


async def tell(wish: Wish, desk: Desk) -> Wish:
    """Make one attempt: settled (due None) when the hub took or refused it, else due again.
    The same status twice is no harm: the hub answers it the same (decision 21)."""
    wish, url = replace(wish, attempts=wish.attempts + 1), desk.url()
    try:
        if not url:
            raise TransportError("the address of the ZetStatusService is not known")
        keys = (desk.signer, desk.new_id, wire_time(desk.now), desk.profile)
        question = build_question(build_request(wish), OPERATION, wish.hub_oin, url, *keys)
        answer = await desk.post(wish.hub_oin, url, question.sealed.payload, headers_of(OPERATION))
        now, policy = desk.now(), desk.profile.policy
        return judge(wish, open_answer(answer, question, desk.trust(), policy, now, wire_time(desk.now)), now)
    except (PeerError, TransportError) as error:
        return later(wish, str(error), desk.now())


def build_request(wish: Wish) -> ZetStatusRequest:
    """The zetStatusRequest."""
    fout = None if wish.foutcode is None else Fout(wish.foutcode, wish.foutbeschrijving or "")
    return ZetStatusRequest(wish.kenmerk, wish.berichtkenmerk, wish.statuscode, wish.at, fout, wish.details)


def judge(wish: Wish, opened: Opened | FaultAnswer, now: datetime) -> Wish:
    """What the hub's answer means. Raises PeerError: it answers for another message or status."""
    if isinstance(opened, FaultAnswer):
        note = f"refused with {opened.foutcode}: {opened.foutbeschrijving}"
        return later(wish, note, now) if opened.foutcode.endswith(TECHNICAL) else replace(wish, due=None, note=note)
    response = koppelvlak.read(ZetStatusResponse, opened)
    if response != ZetStatusResponse(wish.kenmerk, wish.statuscode):
        raise PeerError("kenmerk-unknown", where="zetStatusResponse", found=response.kenmerk, expected=wish.kenmerk)
    return replace(wish, due=None, note="told")


def later(wish: Wish, note: str, now: datetime) -> Wish:
    """Due again after 1, 2, 4 … seconds, at most 15 minutes; given up after 72 hours, as the hub gives up."""
    if now - wish.at >= limits.RETRY_FOR:
        return replace(wish, due=None, note=f"given up: {note}")
    return replace(wish, due=now + pause(wish.attempts), note=note)


def pause(attempts: int) -> timedelta:
    """How long to wait after so many attempts, from 1."""
    grown: timedelta = min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)
    return grown
