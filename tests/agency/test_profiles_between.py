"""Hub and agency under each Digikoppeling profile, over real sockets: deliveries there, statuses back."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from helpers_agency import HUB, World, answer_of, make_document, new_id, now, octets_of
from test_answers import Asked, body

from digipoort_as4 import limits
from digipoort_as4.payload import read_all
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.names import WSA_ANONYMOUS
from digipoort_as4.storage.agency_book import Wish
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wssecurity.seal_message import seal, unsigned
from digipoort_as4.wus import terugmelden

SIGNED, PLAIN = "overheden-2W-be-S", "overheden-2W-be"
RESPONSE = "http://logius.nl/digipoort/wus/2.0/afleverservice/1.2/AfleverService/afleverenResponse"


@pytest.mark.parametrize("profile", ["bedrijven", SIGNED, PLAIN])
async def test_a_delivery_and_its_status_go_by_the_profile(world: World, profile: str) -> None:
    """A large document arrives whole; 405, 400 and the 500 that the agency sets afterwards."""
    document = make_document(b"<aangifte>" + b"x" * 300_000 + b"</aangifte>")
    agency = await world.start_agency("belastingdienst", profile=profile)
    delivery = await world.queue(agency.oin, documents=(document,))

    assert await world.attempt()
    wish = Wish(HUB, delivery.berichtkenmerk, delivery.kenmerk, "500", now(), details="<ok/>", due=now())
    told = await terugmelden.tell(wish, agency.agency.desk)
    await agency.agency.hand_over_all()

    assert (None, "told") == (told.due, told.note)
    assert ["405", "400", "500"] == await world.codes(delivery)
    (folder,) = agency.folders()
    (row,) = agency.envelope(folder)["documents"]
    assert read_all(document.payload) == (agency.inbox / folder / row["file"]).read_bytes()


@pytest.mark.parametrize(("profile", "security", "oins"), [(SIGNED, True, True), (PLAIN, False, True)])
async def test_what_the_hub_sends_is_what_the_profile_asks(
    world: World, profile: str, security: bool, oins: bool
) -> None:
    """To and From with both OINs; WS-Security or none."""
    heard: list[bytes] = []

    async def listen(request: HttpRequest) -> HttpAnswer:
        heard.append(octets_of(request.body))
        return answer_of(b"", 503)

    oin = await world.start_script("belastingdienst", listen)
    world.agency_profiles[oin] = profile
    await world.queue(oin)
    await world.attempt()

    (octets,) = heard
    assert security == (b"Security" in octets)
    assert re.search(rb"<wsa:To [^>]*>[^<]*/afleverservice/1.2\?OIN=%s<" % oin.encode(), octets)
    assert re.search(rb"<wsa:Address>%s\?OIN=%s<" % (WSA_ANONYMOUS.encode(), HUB.encode()), octets)


Answer = Callable[[World, Asked, bytes], bytes]


def signed(world: World, asked: Asked, confirms: str | None) -> bytes:
    addressing = Addressing(WSA_ANONYMOUS, RESPONSE, f"urn:uuid:{new_id()}", asked.message_id)
    signer, life = world.signer("belastingdienst"), limits.TIMESTAMP_LIFE
    return seal(body(asked), addressing, signer, Algorithms(), now(), life, new_id, confirms=confirms).skeleton


def plain(world: World, asked: Asked, octets: bytes) -> bytes:
    return unsigned(body(asked), Addressing(WSA_ANONYMOUS, RESPONSE, f"urn:uuid:{new_id()}", asked.message_id))


def value_of(octets: bytes) -> str:
    return octets.partition(b"<SignatureValue>")[2].partition(b"<")[0].decode()


ANSWERS: dict[str, tuple[str, Answer, str]] = {
    "2W-be-S, confirmed": (SIGNED, lambda w, a, o: signed(w, a, value_of(o)), "delivered"),
    "2W-be-S, not confirmed": (SIGNED, lambda w, a, o: signed(w, a, None), "unknown"),
    "2W-be-S, another request confirmed": (SIGNED, lambda w, a, o: signed(w, a, value_of(o)[::-1]), "unknown"),
    "2W-be-S, unsigned": (SIGNED, plain, "unknown"),
    "2W-be, unsigned": (PLAIN, plain, "delivered"),
    "2W-be, signed": (PLAIN, lambda w, a, o: signed(w, a, None), "unknown"),
    "bedrijven, not confirmed": ("bedrijven", lambda w, a, o: signed(w, a, None), "delivered"),
    "bedrijven, another request confirmed": ("bedrijven", lambda w, a, o: signed(w, a, value_of(o)[::-1]), "unknown"),
    "bedrijven, unsigned": ("bedrijven", plain, "unknown"),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_is_believed_by_the_profile(world: World, name: str) -> None:
    """WB013 and WB014 as a client: what does not fit is no answer, and the delivery is tried again (decision 19)."""
    profile, make, state = ANSWERS[name]

    async def script(request: HttpRequest) -> HttpAnswer:
        return answer_of(make(world, Asked.of(request), octets_of(request.body)))

    oin = await world.start_script("belastingdienst", script)
    world.agency_profiles[oin] = profile
    delivery = await world.queue(oin)
    await world.attempt()

    assert state == await world.state(delivery)


async def test_two_ends_with_different_profiles_refuse_each_other(world: World) -> None:
    """WB011: the profile is agreed; neither end guesses."""
    agency = await world.start_agency("belastingdienst", profile=PLAIN)
    world.agency_profiles[agency.oin] = SIGNED
    delivery = await world.queue(agency.oin)
    await world.attempt()

    assert "delivered" != await world.state(delivery)
    assert [] == agency.folders()
