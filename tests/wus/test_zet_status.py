"""zetStatus: a recipient ends the sender's story with 500 or 510."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from helpers_wus import BELASTINGDIENST, NOW, Sender, World, fault_of, plain, vat_return, verified

from digipoort_as4.hub import statuses
from digipoort_as4.hub.decision import Advance, ChangeDelivery, Committed, Decision, Delivery, StartDelivery
from digipoort_as4.payload import read_all
from digipoort_as4.wus import koppelvlak
from digipoort_as4.wus.koppelvlak import AanleverResponse, Fout, ZetStatusRequest, ZetStatusResponse

BERICHTKENMERK = "11111111-2222-4333-8444-555555555502"


@pytest.fixture
async def kenmerk(world: World, jansen: Sender) -> str:
    """A VAT return that was delivered to the Belastingdienst: 105, 100, 110, 405, 400."""
    answer = await world.post(jansen.aanleveren(vat_return()))
    kenmerk = koppelvlak.read(AanleverResponse, verified(answer, world)).kenmerk
    process = await world.store.process(kenmerk)
    assert process is not None
    keys = tuple(d.key for d in process.aanlevering.documents)
    delivery = Delivery(BERICHTKENMERK, kenmerk, BELASTINGDIENST, copy=False, documents=keys)
    await commit(world, StartDelivery(delivery))
    await commit(world, ChangeDelivery(replace(delivery, state="delivered", started_at=NOW, attempts=1)))
    rows = statuses.in_order(process.last_status_at, [statuses.make(code, NOW) for code in ("405", "400")])
    await commit(world, Advance(kenmerk, process.version, "waiting", rows))
    return kenmerk


async def commit(world: World, effect: object) -> None:
    outcome = await world.store.commit(Decision(b"", (effect,)))  # type: ignore[arg-type]
    assert isinstance(outcome, Committed), outcome


def good(kenmerk: str) -> ZetStatusRequest:
    return ZetStatusRequest(kenmerk, BERICHTKENMERK, "500", NOW, None, '<Responsemessage version="2006.1"/>')


async def codes(world: World, kenmerk: str) -> list[str]:
    return [status.code for status in await world.store.statuses(kenmerk)]


async def test_a_500_ends_the_process(world: World, belastingdienst: Sender, kenmerk: str) -> None:
    """Signed zetStatusResponse; status with its details; process ended; evidence of both sides."""
    before = world.stored()["evidence"]
    opened = verified(await world.post(belastingdienst.zet_status(good(kenmerk))), world)
    assert koppelvlak.read(ZetStatusResponse, opened) == ZetStatusResponse(kenmerk, "500")
    assert opened.addressing.action.endswith("/zetstatusservice/1.2/ZetStatusService/zetStatusResponse")
    assert await codes(world, kenmerk) == ["105", "100", "110", "405", "400", "500"]
    last = (await world.store.statuses(kenmerk))[-1]
    assert last.omschrijving == "Validatie bij de uitvragende partij gelukt."
    assert last.details == '<Responsemessage version="2006.1"/>'
    process = await world.store.process(kenmerk)
    assert process is not None
    assert process.state == "ended"
    assert world.stored()["evidence"] == before + 2
    assert world.journal()[-1]["event"] == "status-set"


async def test_a_510_carries_its_foutcode(world: World, belastingdienst: Sender, kenmerk: str) -> None:
    """As the agency wrote it."""
    asked = replace(good(kenmerk), statuscode="510", status_foutcode=Fout("VB001", "voorbeeld"))
    await world.post(belastingdienst.zet_status(asked))
    last = (await world.store.statuses(kenmerk))[-1]
    assert (last.code, last.foutcode, last.foutbeschrijving) == ("510", "VB001", "voorbeeld")


async def test_a_repeat_changes_nothing(world: World, belastingdienst: Sender, kenmerk: str) -> None:
    """Verbatim: the same octets. The same status under a new MessageID: a no-op that is answered well."""
    request = belastingdienst.zet_status(good(kenmerk))
    first = await world.post(request)
    assert read_all((await world.post(request)).body) == read_all(first.body)
    assert (await world.post(belastingdienst.zet_status(good(kenmerk)))).status == 200
    assert (await codes(world, kenmerk)).count("500") == 1


async def refused(world: World, sender: Sender, asked: ZetStatusRequest, text: str, **arguments: object) -> None:
    stored = world.stored()
    answer = await world.post(sender.zet_status(asked, **arguments))  # type: ignore[arg-type]
    fault = fault_of(answer)
    assert (answer.status, fault.element) == (500, "zetStatusFault")
    assert fault.fout is not None
    assert fault.fout.foutcode == "AFS100"
    assert plain(text) in plain(fault.cause)
    assert world.stored() == stored
    assert world.journal()[-1]["event"] == "refused"


async def test_another_status_after_the_end_is_refused(world: World, belastingdienst: Sender, kenmerk: str) -> None:
    """500 stands, 510 comes."""
    await world.post(belastingdienst.zet_status(good(kenmerk)))
    await refused(
        world, belastingdienst, replace(good(kenmerk), statuscode="510"), "De status kan nu niet worden gezet."
    )


async def test_only_500_and_510_can_be_set(world: World, belastingdienst: Sender, kenmerk: str) -> None:
    """Not 400."""
    await refused(world, belastingdienst, replace(good(kenmerk), statuscode="400"), "Verwacht: 500 of 510.")


async def test_only_the_recipient_sets_a_status(world: World, jansen: Sender, kenmerk: str) -> None:
    """Another agency hears that the kenmerk is unknown; a business gets the fixed text."""
    other = Sender(jansen.pki, "uwv")
    await refused(world, other, good(kenmerk), "Het kenmerk is niet bekend.")
    await refused(world, jansen, good(kenmerk), "De beveiliging van het bericht kon niet worden vastgesteld.")
    assert world.journal()[-1]["cause"] == "party-unknown"


async def test_unknown_kenmerken_are_refused(world: World, belastingdienst: Sender, kenmerk: str) -> None:
    """A kenmerk that is not there, and a berichtkenmerk that belongs to no delivery of it."""
    await refused(world, belastingdienst, replace(good(kenmerk), kenmerk=str(uuid.uuid4())), "Waar: kenmerk.")
    await refused(world, belastingdienst, replace(good(kenmerk), berichtkenmerk="x"), "Waar: berichtkenmerk.")


async def test_an_old_request_is_refused(world: World, belastingdienst: Sender, kenmerk: str) -> None:
    """Timestamp."""
    await refused(world, belastingdienst, good(kenmerk), "(wsu:Timestamp)", at=NOW - timedelta(hours=1))


async def test_without_berichtkenmerk_the_recipients_own_delivery_is_meant(
    world: World, belastingdienst: Sender, kenmerk: str
) -> None:
    """berichtkenmerk is optional in the contract."""
    assert (await world.post(belastingdienst.zet_status(replace(good(kenmerk), berichtkenmerk=None)))).status == 200
    assert (await codes(world, kenmerk))[-1] == "500"
