"""What the hub makes of an agency's answer: good ones, refusals, and what must count as none (decision 19)."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from helpers_agency import BASE, World, answer_of, new_id, now, octets_of

from digipoort_as4 import limits
from digipoort_as4.errors import TransportError
from digipoort_as4.hub.decision import Decision, Delivery, PostponeJob, Register
from digipoort_as4.payload import BytesPayload, Payload
from digipoort_as4.pki import test_pki
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.names import WSA_ANONYMOUS
from digipoort_as4.storage.view import DATABASE
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wssecurity.seal_message import seal, unsigned
from digipoort_as4.wus import afleveren

KV = "http://logius.nl/digipoort/koppelvlakservices/1.2/"


@dataclass(frozen=True)
class Asked:
    """What a script sees of the hub's request."""

    message_id: str
    kenmerk: str
    berichtkenmerk: str

    @classmethod
    def of(cls, request: HttpRequest) -> Asked:
        text = octets_of(request.body).decode()

        def find(name: str) -> str:
            found = re.search(rf"<(?:\w+:)?{name}(?: [^>]*)?>([^<]*)<", text)
            return found[1] if found else ""

        return cls(find("MessageID"), find("kenmerk"), find("berichtkenmerk"))


def body(asked: Asked, **extra: str) -> bytes:
    """An afleverResponse, written here and not by our writer."""
    fields = {
        "kenmerk": asked.kenmerk,
        "berichtkenmerk": asked.berichtkenmerk,
        "tijdstempelAfgeleverd": "2026-01-05T10:00:05.000Z",
        **extra,
    }
    text = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items() if value)
    return f'<afleverResponse xmlns="{KV}">{text}</afleverResponse>'.encode()


def signed(
    world: World,
    asked: Asked,
    operation: bytes,
    signer: str = "belastingdienst",
    action: str = BASE + "afleverenResponse",
    created: datetime | None = None,
) -> bytes:
    addressing = Addressing(WSA_ANONYMOUS, action, f"urn:uuid:{new_id()}", asked.message_id)
    at = created or now()
    sealed = seal(operation, addressing, world.signer(signer), Algorithms(), at, limits.TIMESTAMP_LIFE, new_id)
    return octets_of(sealed.payload)


def fault(asked: Asked, code: str = "AFS100", relates_to: str | None = None) -> bytes:
    """A fault in the shape of the real ones (digipoort 2.6)."""
    detail = f'<f:afleverFault xmlns:f="{KV}"><f:foutcode>{code}</f:foutcode>'
    operation = (
        '<soapenv:Fault xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><faultcode>soapenv:Client</faultcode>'
        "<faultstring>Algemene fout</faultstring><faultactor>Verantwoordingsplichtige</faultactor><detail>"
        f"{detail}<f:foutbeschrijving>niet goed</f:foutbeschrijving></f:afleverFault></detail></soapenv:Fault>"
    )
    action = BASE + "afleveren/Fault/"
    related = asked.message_id if relates_to is None else relates_to
    return unsigned(operation.encode(), Addressing(WSA_ANONYMOUS, action, f"urn:uuid:{new_id()}", related))


Script = Callable[[World, Asked], HttpAnswer]


async def attempt(world: World, script: Script) -> tuple[Delivery, bool]:
    """One attempt at an agency that answers as the script says."""

    async def handle(request: HttpRequest) -> HttpAnswer:
        return script(world, Asked.of(request))

    delivery = await world.queue(await world.start_script("belastingdienst", handle))
    return delivery, await world.attempt()


# --- answers ----------------------------------------------------------------------------------------------------------

FOUT = "<foutcode>VB001</foutcode><foutbeschrijving>voorbeeld</foutbeschrijving>"

LEARNT: Mapping[str, tuple[Script, list[str], str]] = {
    "good": (lambda w, a: answer_of(signed(w, a, body(a))), ["405", "400"], "delivered"),
    "500 inside": (
        lambda w, a: answer_of(signed(w, a, body(a, statuscode="500", statusdetails="ok"))),
        ["405", "400", "500"],
        "accepted",
    ),
    "510 inside": (
        lambda w, a: answer_of(signed(w, a, body(a, statuscode="510", statusFoutcode=FOUT))),
        ["405", "400", "510"],
        "rejected",
    ),
    "foutcode inside": (
        lambda w, a: answer_of(signed(w, a, body(a, statusFoutcode=FOUT))),
        ["405", "410"],
        "rejected",
    ),
    "fault": (lambda w, a: answer_of(fault(a), 500), ["405", "410"], "rejected"),
    "fault without RelatesTo": (lambda w, a: answer_of(fault(a, relates_to=""), 500), ["405", "410"], "rejected"),
}


@pytest.mark.parametrize("name", LEARNT)
async def test_answers_that_say_something(world: World, name: str) -> None:
    """Statuses and state as decision 19 has them; the job is done."""
    script, codes, state = LEARNT[name]

    delivery, answered = await attempt(world, script)

    assert (True, codes, state) == (answered, await world.codes(delivery), await world.state(delivery))
    assert await world.store.next_due(now()) is None
    kinds = sqlite3.connect(world.folder / "hub" / DATABASE).execute("SELECT kind FROM evidence").fetchall()
    kind = "afleverFault" if name.startswith("fault") else "afleverResponse"
    assert ["afleverRequest", kind] == [row[0] for row in kinds]


async def test_a_refusal_carries_the_agencys_foutcode(world: World) -> None:
    """410 shows what the fault said."""
    delivery, _ = await attempt(world, lambda w, a: answer_of(fault(a, "AFS400"), 500))

    last = (await world.store.statuses(delivery.kenmerk))[-1]
    assert ("410", "AFS400", "niet goed") == (last.code, last.foutcode, last.foutbeschrijving)


def tampered(world: World, asked: Asked) -> HttpAnswer:
    octets = signed(world, asked, body(asked))
    return answer_of(octets.replace(b"2026-01-05T10:00:05", b"2026-01-05T10:00:06"))


NOT_LEARNT: Mapping[str, tuple[Script, str]] = {
    "garbage": (lambda w, a: answer_of(b"OK"), "not-xml"),
    "nothing": (lambda w, a: answer_of(b""), "not-xml"),
    "HTTP 503": (lambda w, a: answer_of(b"", 503), "HTTP 503"),
    "HTTP 503 with a fault": (lambda w, a: answer_of(fault(a, "AFS400"), 503), "HTTP 503"),
    "HTTP 302": (lambda w, a: HttpAnswer(302, {"location": "https://localhost/"}, BytesPayload(b"")), "HTTP 302"),
    "fault without foutcode": (lambda w, a: answer_of(fault(a, ""), 500), "foutcode"),
    "fault for another message": (lambda w, a: answer_of(fault(a, relates_to="urn:x"), 500), "RelatesTo"),
    "HTTP 500 without a fault": (lambda w, a: answer_of(signed(w, a, body(a)), 500), "envelope"),
    "unsigned": (
        lambda w, a: answer_of(
            unsigned(body(a), Addressing(WSA_ANONYMOUS, BASE + "afleverenResponse", "urn:x", a.message_id))
        ),
        "security-missing",
    ),
    "tampered": (tampered, "digest"),
    "another agency's signature": (lambda w, a: answer_of(signed(w, a, body(a), "douane")), "oin-differs"),
    "expired": (
        lambda w, a: answer_of(signed(w, a, body(a), created=now() - timedelta(minutes=11))),
        "timestamp",
    ),
    "for another request": (
        lambda w, a: answer_of(signed(w, replace(a, message_id="urn:uuid:x"), body(a))),
        "RelatesTo",
    ),
    "without RelatesTo": (  # DK-BP 0008
        lambda w, a: answer_of(
            octets_of(
                seal(
                    body(a),
                    Addressing(WSA_ANONYMOUS, BASE + "afleverenResponse", f"urn:uuid:{new_id()}"),
                    w.signer("belastingdienst"),
                    Algorithms(),
                    now(),
                    limits.TIMESTAMP_LIFE,
                    new_id,
                ).payload
            )
        ),
        "relates-to-missing",
    ),
    "for another delivery": (
        lambda w, a: answer_of(signed(w, a, body(replace(a, berichtkenmerk=new_id())))),
        "berichtkenmerk",
    ),
    "for another process": (lambda w, a: answer_of(signed(w, a, body(replace(a, kenmerk=new_id())))), "kenmerk"),
    "another action": (
        lambda w, a: answer_of(signed(w, a, body(a), action=BASE + "afleverenRequest")),
        "wsa:Action",
    ),
    "another element": (
        lambda w, a: answer_of(signed(w, a, body(a).replace(b"afleverResponse", b"aanleverResponse"))),
        "Body",
    ),
    "schema": (lambda w, a: answer_of(signed(w, a, body(a, statuscode="x" * 21))), "schema"),
}


@pytest.mark.parametrize("name", NOT_LEARNT)
async def test_answers_that_count_as_none(world: World, name: str) -> None:
    """420 once, the delivery unknown and due again; a good answer to the next attempt gives 400 (P3)."""
    script, noted = NOT_LEARNT[name]
    good = {"now": False}

    def answer(world: World, asked: Asked) -> HttpAnswer:
        return answer_of(signed(world, asked, body(asked))) if good["now"] else script(world, asked)

    delivery, answered = await attempt(world, answer)
    assert (False, ["405", "420"], "unknown") == (answered, await world.codes(delivery), await world.state(delivery))
    assert noted in await world.note(delivery)

    assert not await world.attempt(ahead=timedelta(seconds=10))
    assert ["405", "420"] == await world.codes(delivery)

    good["now"] = True
    assert await world.attempt(ahead=timedelta(hours=1))
    assert ["405", "420", "400"] == await world.codes(delivery)


async def test_an_untrusted_signer_is_no_answer(world: World) -> None:
    """An agency whose signing certificate nobody trusts has not answered."""
    stranger = test_pki.issue(world.pki, "vreemde", "00000099000000012000", "g1", "agency", now(), untrusted=True)
    assert "00000099000000012000" == stranger.oin

    delivery, answered = await attempt(world, lambda w, a: answer_of(signed(w, a, body(a), "vreemde")))

    assert (False, "unknown") == (answered, await world.state(delivery))
    assert "certificate-untrusted" in await world.note(delivery)


# --- connections ------------------------------------------------------------------------------------------------------


async def test_another_partys_endpoint_gets_nothing(world: World) -> None:
    """A door with another OIN's certificate at the agency's address is found out before an octet of the message."""
    seen: list[HttpRequest] = []

    async def handle(request: HttpRequest) -> HttpAnswer:
        seen.append(request)
        return answer_of(b"")

    await world.start_script("douane", handle)
    url = world.agencies.pop("00000099000000014000")
    world.agencies["00000099000000012000"] = url
    delivery = await world.queue("00000099000000012000")

    assert not await world.attempt()

    assert [] == seen
    assert (["405", "420"], "retrying") == (await world.codes(delivery), await world.state(delivery))
    assert "oin-differs" in await world.note(delivery)


async def test_nobody_listens(world: World) -> None:
    """A refused connection: the agency cannot have it, so the delivery is retrying and not unknown."""
    server = await world.serve("belastingdienst", lambda request: asyncio.sleep(0, answer_of(b"")))
    world.agencies["00000099000000012000"] = f"https://localhost:{server.port}/wus/2.0/afleverservice/1.2"
    await server.close(timedelta())
    delivery = await world.queue("00000099000000012000")

    assert not await world.attempt()

    assert (["405", "420"], "retrying") == (await world.codes(delivery), await world.state(delivery))


async def test_no_endpoint_is_known(world: World) -> None:
    """An agency that lost its line in the configuration: tried again until it has one."""
    delivery = await world.queue("00000099000000012000")

    assert not await world.attempt()

    assert ("retrying", "no endpoint is known") == (await world.state(delivery), await world.note(delivery))


async def test_a_lost_answer_is_no_second_hand_over(world: World) -> None:
    """The agency took it, the hub never heard: unknown, then 400, and one folder with the first time of delivery."""
    agency = await world.start_agency("belastingdienst")
    delivery = await world.queue(agency.oin)

    async def lose(oin: str, url: str, octets: Payload, headers: Mapping[str, str]) -> HttpAnswer:
        await world.peers.post(oin, url, octets, headers)
        raise TransportError("the connection broke", sent=True)

    assert not await afleveren.deliver(await world.claim(), replace(world.dispatch, post=lose))
    assert (["405", "420"], "unknown") == (await world.codes(delivery), await world.state(delivery))

    assert await world.attempt(ahead=timedelta(seconds=10))
    assert (["405", "420", "400"], "delivered") == (await world.codes(delivery), await world.state(delivery))
    assert [delivery.berichtkenmerk] == agency.folders()


# --- time and copies --------------------------------------------------------------------------------------------------


async def test_after_72_hours_the_hub_gives_up(world: World) -> None:
    """A last 420 with AFS600, and nothing is due any more (digipoort 3.1)."""
    delivery = await world.queue("00000099000000012000")
    assert not await world.attempt()

    world.clock = lambda: now() + timedelta(hours=72, minutes=1)
    assert not await world.attempt(ahead=timedelta(hours=72, minutes=1))

    last = (await world.store.statuses(delivery.kenmerk))[-1]
    assert (["405", "420", "420"], "AFS600") == (await world.codes(delivery), last.foutcode)
    assert "expired" == await world.state(delivery)
    assert await world.store.next_due(now()) is None


async def test_a_copy_leaves_while_the_consent_stands(world: World) -> None:
    """The sender sees nothing of it, and the agency gets its documents."""
    agency = await world.start_agency("hbag")
    delivery = await world.queue(agency.oin, "Statistiek_Groothandel", copy=True, consent="CBS-HBAG-1")

    assert await world.attempt()

    assert ([], "delivered") == (await world.codes(delivery), await world.state(delivery))


async def test_a_copy_stops_when_the_consent_is_withdrawn(world: World) -> None:
    """Withdrawn between queueing and sending: nothing leaves, the delivery says so, the job is done."""
    agency = await world.start_agency("hbag")
    delivery = await world.queue(agency.oin, "Statistiek_Groothandel", copy=True, consent="CBS-HBAG-1")
    world.consents = world.consents.with_entries([Register("consent", "CBS-HBAG-1", None, "CBS", "proef", now())])

    assert await world.attempt()

    assert ([], "withdrawn") == (await world.codes(delivery), await world.state(delivery))
    assert await world.store.next_due(now()) is None
    assert [] == agency.folders()


# --- races ------------------------------------------------------------------------------------------------------------


async def test_a_status_before_the_answer(world: World) -> None:
    """The agency sets 500 while the hub still waits for its afleverResponse: 400 and 500, each once."""
    agency = await world.start_agency("belastingdienst", {"Omzetbelasting": "500"})
    delivery = await world.queue(agency.oin)

    async def slowly(oin: str, url: str, octets: Payload, headers: Mapping[str, str]) -> HttpAnswer:
        answer = await world.peers.post(oin, url, octets, headers)
        await world.until_codes(delivery, ["405", "400", "500"])
        return answer

    assert await afleveren.deliver(await world.claim(), replace(world.dispatch, post=slowly))

    assert (["405", "400", "500"], "accepted") == (await world.codes(delivery), await world.state(delivery))


async def test_405_is_there_before_anything_is_sent(world: World) -> None:
    """The status and the start of the 72 hours are durable when the first octet leaves, and written once."""
    agency = await world.start_agency("belastingdienst")
    delivery = await world.queue(agency.oin)
    seen: list[list[str]] = []

    async def look(oin: str, url: str, octets: Payload, headers: Mapping[str, str]) -> HttpAnswer:
        seen.append(await world.codes(delivery))
        raise TransportError("down", sent=False)

    for ahead in (timedelta(), timedelta(seconds=10)):
        await afleveren.deliver(await world.claim(ahead), replace(world.dispatch, post=look))

    assert [["405"], ["405", "420"]] == seen


async def test_a_delivery_that_is_done_is_not_sent_again(world: World) -> None:
    """A job that was left behind ends without a call."""
    agency = await world.start_agency("belastingdienst")
    delivery = await world.queue(agency.oin, state="delivered")

    assert await world.attempt()

    assert ([], []) == (await world.codes(delivery), agency.folders())
    assert await world.store.next_due(now()) is None


async def test_a_lost_lease_changes_nothing(world: World) -> None:
    """Another worker has the job by now: this one's judgement is stale and is not committed."""
    agency = await world.start_agency("belastingdienst")
    delivery = await world.queue(agency.oin)
    job = await world.claim()
    await world.store.commit(Decision(b"", (PostponeJob(job.id, job.token, now()),)))
    other = await world.claim()

    with pytest.raises(RuntimeError, match="lease is lost"):
        await afleveren.deliver(job, world.dispatch)

    assert ["405"] == await world.codes(delivery)
    assert await afleveren.deliver(other, world.dispatch)
    assert ["405", "400"] == await world.codes(delivery)
    assert [delivery.berichtkenmerk] == agency.folders()
