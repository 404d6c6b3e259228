"""zetStatus from an agency to the hub: told once, retried while the hub cannot answer, settled when it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from helpers_agency import HUB, ZET_STATUS, Running, World, answer_of, new_id, now, octets_of

from digipoort_as4 import limits
from digipoort_as4.errors import TransportError
from digipoort_as4.hub.decision import Delivery
from digipoort_as4.payload import Payload
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.names import WSA_ANONYMOUS
from digipoort_as4.storage.agency_book import Wish
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wssecurity.seal_message import seal, unsigned
from digipoort_as4.wus import terugmelden

KV = "http://logius.nl/digipoort/koppelvlakservices/1.2/"
BASE = "http://logius.nl/digipoort/wus/2.0/zetstatusservice/1.2/ZetStatusService/"


async def delivered(world: World) -> tuple[Running, Delivery, Wish]:
    """A delivery that the hub has seen arrive, and the wish to set 500 for it."""
    agency = await world.start_agency("belastingdienst")
    delivery = await world.queue(agency.oin)
    assert await world.attempt()
    wish = Wish(HUB, delivery.berichtkenmerk, delivery.kenmerk, "500", now(), details="<ok/>", due=now())
    return agency, delivery, wish


async def test_told_once_and_again(world: World) -> None:
    """The same status twice is answered the same and written once (decision 21)."""
    agency, delivery, wish = await delivered(world)

    first = await terugmelden.tell(wish, agency.agency.desk)
    again = await terugmelden.tell(wish, agency.agency.desk)

    assert (None, "told", 1) == (first.due, first.note, first.attempts)
    assert (None, "told") == (again.due, again.note)
    assert ["405", "400", "500"] == await world.codes(delivery)
    assert "<ok/>" == (await world.store.statuses(delivery.kenmerk))[-1].details


async def test_a_refusal_settles_the_wish(world: World) -> None:
    """After an end status the hub refuses another one, and the agency asks no more."""
    agency, delivery, wish = await delivered(world)
    await terugmelden.tell(wish, agency.agency.desk)

    after = await terugmelden.tell(replace(wish, statuscode="510"), agency.agency.desk)

    assert after.due is None
    assert "AFS100" in after.note
    assert ["405", "400", "500"] == await world.codes(delivery)


async def test_a_hub_that_is_away_is_asked_again(world: World) -> None:
    """1, 2, 4 … seconds, at most a quarter of an hour, and 72 hours long."""
    agency, _, wish = await delivered(world)

    async def away(oin: str, url: str, octets: Payload, headers: Mapping[str, str]) -> HttpAnswer:
        raise TransportError("down", sent=False)

    at = now()
    line = replace(agency.agency.desk, post=away, now=lambda: at)
    first = await terugmelden.tell(wish, line)
    second = await terugmelden.tell(first, line)
    tenth = await terugmelden.tell(replace(wish, attempts=19), line)
    last = await terugmelden.tell(replace(wish, at=at - timedelta(hours=72)), line)

    assert [1, 2, 900] == [(one.due - at).total_seconds() for one in (first, second, tenth) if one.due]
    assert (None, True) == (last.due, last.note.startswith("given up"))


async def test_without_an_address_it_waits(world: World) -> None:
    """A setting that lacks the hub's URL loses nothing."""
    agency, _, wish = await delivered(world)

    after = await terugmelden.tell(wish, replace(agency.agency.desk, url=lambda: ""))

    assert after.due is not None
    assert "address" in after.note


def signed(world: World, request: HttpRequest, signer: str, body: str) -> bytes:
    found = re.search(r"<wsa:MessageID[^>]*>([^<]*)<", octets_of(request.body).decode())
    addressing = Addressing(
        WSA_ANONYMOUS, BASE + "zetStatusResponse", f"urn:uuid:{new_id()}", found[1] if found else ""
    )
    operation = f'<zetStatusResponse xmlns="{KV}">{body}</zetStatusResponse>'.encode()
    key = world.signer(signer)
    sealed = seal(operation, addressing, key, Algorithms(), now(), limits.TIMESTAMP_LIFE, new_id)
    return octets_of(sealed.payload)


def fault(code: str) -> bytes:
    operation = (
        '<s:Fault xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><faultcode>s:Client</faultcode>'
        f'<faultstring>Algemene fout</faultstring><detail><zetStatusFault xmlns="{KV}"><foutcode>{code}</foutcode>'
        "<foutbeschrijving>x</foutbeschrijving></zetStatusFault></detail></s:Fault>"
    )
    return unsigned(operation.encode(), Addressing(WSA_ANONYMOUS, BASE + "zetStatus/Fault/", "urn:x"))


Answer = Callable[[World, HttpRequest, Wish], HttpAnswer]

GOOD = "<kenmerk>{wish.kenmerk}</kenmerk><statuscode>500</statuscode>"


def by(signer: str, body: str) -> Answer:
    return lambda world, request, wish: answer_of(signed(world, request, signer, body.format(wish=wish)))


@pytest.mark.parametrize(
    ("answer", "settled", "noted"),
    [
        (by("digipoort", GOOD), True, "told"),
        (by("douane", GOOD), False, "oin-differs"),
        (by("digipoort", "<kenmerk>x</kenmerk><statuscode>500</statuscode>"), False, "kenmerk"),
        (by("digipoort", GOOD.replace("500", "510")), False, "kenmerk"),
        (lambda w, r, i: answer_of(fault("AFS100"), 500), True, "AFS100"),
        (lambda w, r, i: answer_of(fault("AFS400"), 500), False, "AFS400"),
        (lambda w, r, i: answer_of(b"", 503), False, "HTTP 503"),
    ],
)
async def test_what_the_hubs_answer_means(world: World, answer: Answer, settled: bool, noted: str) -> None:
    """Told only by a signed answer of the hub for this very status; a passing trouble is tried again."""
    agency = await world.start_agency("belastingdienst")
    wish = Wish(HUB, new_id(), new_id(), "500", now(), due=now())

    async def handle(request: HttpRequest) -> HttpAnswer:
        return answer(world, request, wish)

    server = await world.serve("digipoort", handle)
    line = replace(agency.agency.desk, url=lambda: f"https://localhost:{server.port}{ZET_STATUS}")

    after = await terugmelden.tell(wish, line)

    assert settled == (after.due is None)
    assert noted in after.note


async def test_another_partys_door_hears_nothing(world: World) -> None:
    """The hub is known by the OIN of its TLS certificate."""
    agency = await world.start_agency("belastingdienst")
    seen: list[HttpRequest] = []

    async def handle(request: HttpRequest) -> HttpAnswer:
        seen.append(request)
        return answer_of(b"")

    server = await world.serve("douane", handle)
    line = replace(agency.agency.desk, url=lambda: f"https://localhost:{server.port}{ZET_STATUS}")

    after = await terugmelden.tell(Wish(HUB, new_id(), new_id(), "500", now(), due=now()), line)

    assert [] == seen
    assert after.due is not None
