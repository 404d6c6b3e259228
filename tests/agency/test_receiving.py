"""What an agency takes, what it refuses, and that it hands over once however often it is asked."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from helpers_agency import (
    ACTION,
    HUB,
    Running,
    World,
    make_document,
    new_id,
    now,
    octets_of,
    text_of,
    until,
)

from digipoort_as4.errors import StorageFailure
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.hub.decision import Delivery
from digipoort_as4.payload import BytesPayload, read_all
from digipoort_as4.pki import test_pki
from digipoort_as4.transport.client import Client
from digipoort_as4.transport.http import HttpRequest
from digipoort_as4.wus import ontvangen


def field(answer: str, name: str) -> str:
    found = re.search(rf"<(?:\w+:)?{name}(?: [^>]*)?>([^<]*)<", answer)
    return found[1] if found else ""


async def stored(agency: Running) -> int:
    """Everything that an agency keeps of requests: rows, staged folders, inbox, spool."""
    desk = agency.agency.desk
    rows = sum(desk.book._read(f"SELECT count(*) FROM {name}", ())[0][0] for name in ("hand_over", "reply", "wish"))
    return (
        int(rows)
        + len(agency.folders())
        + len(list((agency.inbox / ".staging").iterdir()))
        + len(list(desk.spool.folder.iterdir()))
    )


async def start(world: World) -> tuple[Running, Delivery]:
    agency = await world.start_agency("belastingdienst")
    return agency, await world.queue(agency.oin)


# --- repeats ----------------------------------------------------------------------------------------------------------


async def test_a_verbatim_repeat_gets_the_same_bytes(world: World) -> None:
    """The stored octets, for days, and no second hand-over."""
    agency, delivery = await start(world)
    octets = await world.sealed(delivery)
    first = await world.post(agency, octets)
    await until(lambda: agency.folders() == [delivery.berichtkenmerk])

    again = await world.post(agency, octets)

    assert (200, 200) == (first.status, again.status)
    assert octets_of(first.body) == octets_of(again.body)
    kept = agency.agency.desk.book.find_reply(HUB, field(octets.decode(), "MessageID"), now() + timedelta(days=6))
    assert kept is not None
    assert octets_of(first.body) == kept.octets
    assert [delivery.berichtkenmerk] == agency.folders()


async def test_an_expired_repeat_is_answered_and_an_expired_message_is_not(world: World) -> None:
    """The same old octets: refused by an agency that sees them first, answered by one that answered them before."""
    agency, delivery = await start(world)
    octets = await world.sealed(delivery)
    first = await world.post(agency, octets)
    request = HttpRequest(
        "POST",
        "/wus/2.0/afleverservice/1.2",
        "",
        {"content-type": "text/xml", "soapaction": ACTION},
        BytesPayload(octets),
        world.signer_tls_der("digipoort"),
    )
    later = replace(agency.agency.desk, now=lambda: now() + timedelta(hours=2))
    other = await world.start_agency("cbs")
    strange = replace(other.agency.desk, now=later.now)

    assert octets_of(first.body) == octets_of((await ontvangen.accept(request, later)).body)
    refused = await ontvangen.accept(request, strange)
    assert 500 == refused.status
    assert "wsu:Timestamp" in text_of(refused)


async def test_a_resealed_retry_is_not_handed_over_again(world: World) -> None:
    """New MessageID, Timestamp and signature, same berichtkenmerk: a fresh answer with the first time of delivery."""
    agency, delivery = await start(world)
    first = await world.post(agency, await world.sealed(delivery))
    await until(lambda: agency.folders() == [delivery.berichtkenmerk])
    (agency.inbox / delivery.berichtkenmerk).rename(agency.inbox.parent / "collected")

    again = await world.post(agency, await world.sealed(delivery))

    assert 200 == again.status
    assert octets_of(first.body) != octets_of(again.body)
    assert field(text_of(first), "tijdstempelAfgeleverd") == field(text_of(again), "tijdstempelAfgeleverd") != ""
    await agency.agency.hand_over_all()
    assert [] == agency.folders()


async def test_a_retry_is_known_after_a_restart(world: World) -> None:
    """What an agency took is in its book, not in its memory."""
    agency, delivery = await start(world)
    first = await world.post(agency, await world.sealed(delivery))
    await until(lambda: agency.folders() == [delivery.berichtkenmerk])
    await agency.stop()

    restarted = await world.start_agency("belastingdienst")
    again = await world.post(restarted, await world.sealed(delivery))

    assert field(text_of(first), "tijdstempelAfgeleverd") == field(text_of(again), "tijdstempelAfgeleverd")
    assert [delivery.berichtkenmerk] == restarted.folders()


async def test_many_retries_at_once_hand_over_once(world: World) -> None:
    """Whoever loses the race answers as a retry."""
    agency, delivery = await start(world)
    sealed = [await world.sealed(delivery) for _ in range(8)]

    answers = await asyncio.gather(*(world.post(agency, octets) for octets in sealed))

    assert {200} == {answer.status for answer in answers}
    assert 1 == len({field(text_of(answer), "tijdstempelAfgeleverd") for answer in answers})
    await until(lambda: agency.folders() == [delivery.berichtkenmerk])
    assert [] == list((agency.inbox / ".staging").iterdir())


async def test_a_message_id_is_not_used_twice(world: World) -> None:
    """The same MessageID under another signature is refused (decision 8)."""
    agency, delivery = await start(world)
    message_id = f"urn:uuid:{new_id()}"
    assert 200 == (await world.post(agency, await world.sealed(delivery, message_id=message_id))).status

    again = await world.post(agency, await world.sealed(delivery, message_id=message_id))

    assert 500 == again.status
    assert "AFS100" == field(text_of(again), "foutcode")
    assert "MessageID is al gebruikt" in text_of(again)


async def test_the_answer_is_signed_in_the_family_of_the_request(world: World) -> None:
    """Six references, RelatesTo the request, RSA-SHA256 for RSA-SHA256 (digipoort 2.5)."""
    agency, delivery = await start(world)
    octets = await world.sealed(delivery)

    text = text_of(await world.post(agency, octets))

    assert 6 == text.count("<Reference URI=")
    assert field(octets.decode(), "MessageID") in text
    assert 'SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"' in text
    assert "AfleverService/afleverenResponse<" in text


# --- refusals ---------------------------------------------------------------------------------------------------------

Broken = Callable[[World, Delivery], Awaitable[bytes]]


async def tampered(world: World, delivery: Delivery) -> bytes:
    return (await world.sealed(delivery)).replace(b">Omzetbelasting<", b">Omzetbelastin.<")


async def truncated(world: World, delivery: Delivery) -> bytes:
    return (await world.sealed(delivery))[:-20]


async def doctype(world: World, delivery: Delivery) -> bytes:
    return (await world.sealed(delivery)).replace(b"?>\n", b"?>\n<!DOCTYPE x>\n", 1)


async def unsigned(world: World, delivery: Delivery) -> bytes:
    return re.sub(rb"<wsse:Security.*</wsse:Security>", b"", await world.sealed(delivery), flags=re.S)


async def expired(world: World, delivery: Delivery) -> bytes:
    return await world.sealed(delivery, created=now() - timedelta(minutes=11))


async def too_long(world: World, delivery: Delivery) -> bytes:
    return await world.sealed(delivery, aanleverkenmerk="x" * 41)


async def other_action(world: World, delivery: Delivery) -> bytes:
    return await world.sealed(delivery, action=ACTION.replace("afleverenRequest", "ophalenRequest"))


async def other_address(world: World, delivery: Delivery) -> bytes:
    return await world.sealed(delivery, to="https://localhost/wus/2.0/aanleverservice/1.2")


async def other_recipient(world: World, delivery: Delivery) -> bytes:
    return await world.sealed(delivery, identiteit_ontvanger=Identiteit("00000099000000013000", "OIN"))


async def other_signer(world: World, delivery: Delivery) -> bytes:
    return await world.sealed(delivery, signer="bakkerij-jansen")


UNTRUSTED = "De beveiliging van het bericht kon niet worden vastgesteld."


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (tampered, UNTRUSTED),
        (truncated, "geen welgevormde XML"),
        (doctype, "DOCTYPE"),
        (unsigned, "wsse:Security"),
        (expired, "wsu:Timestamp"),
        (too_long, "41 tekens"),
        (other_action, "Waar: wsa:Action, regel 2."),
        (other_address, "wsa:To"),
        (other_recipient, "Waar: identiteitOntvanger, regel 2."),
        (other_signer, UNTRUSTED),
    ],
)
async def test_bad_requests_are_refused_and_change_nothing(world: World, broken: Broken, told: str) -> None:
    """AFS100 with the cause, HTTP 500, in an afleverFault; nothing is stored. The same request unbroken is taken."""
    agency, delivery = await start(world)

    answer = await world.post(agency, await broken(world, delivery))

    text = text_of(answer)
    assert 500 == answer.status
    assert "AFS100" == field(text, "foutcode")
    assert "<faultstring>Algemene fout</faultstring>" in text
    assert "afleverFault" in text
    assert told in text.partition("De volgende fout is opgetreden:")[2]
    assert 0 == await stored(agency)
    assert 200 == (await world.post(agency, await world.sealed(delivery))).status


async def test_only_the_hub_may_deliver(world: World) -> None:
    """Another party's connection, with its own signature or with a stolen message of the hub, is refused."""
    agency, delivery = await start(world)
    own = await world.sealed(delivery, signer="bakkerij-jansen")
    stolen = await world.sealed(delivery)

    for octets in (own, stolen):
        answer = await world.post(agency, octets, sender="bakkerij-jansen")
        assert (500, "AFS100") == (answer.status, field(text_of(answer), "foutcode"))
        assert UNTRUSTED in text_of(answer)
    assert 0 == await stored(agency)
    assert 200 == (await world.post(agency, stolen)).status


async def test_a_post_without_client_certificate_is_refused(world: World) -> None:
    """GET of health needs none, a POST does (decision 9)."""
    agency, delivery = await start(world)
    context = ssl.create_default_context(cafile=str(test_pki.anchors(world.pki)))
    async with Client(context) as client:
        answer = await client.post(
            agency.url, BytesPayload(await world.sealed(delivery)), {"content-type": "text/xml", "soapaction": ACTION}
        )

    assert (500, "AFS100") == (answer.status, field(text_of(answer), "foutcode"))
    assert 0 == await stored(agency)


async def test_other_paths_and_methods(world: World) -> None:
    """404 for another path, 405 for another method, health without a message."""
    agency, _ = await start(world)

    def request(method: str, path: str) -> HttpRequest:
        return HttpRequest(method, path, "", {}, BytesPayload(b""))

    assert 404 == (await agency.agency(request("POST", "/wus/2.0/aanleverservice/1.2"))).status
    assert 405 == (await agency.agency(request("GET", "/wus/2.0/afleverservice/1.2"))).status
    described = replace(request("GET", "/cpl/afleverservice/1.2"), query="wsdl", origin="https://x.example")
    assert b"AfleverService_V1_2" in read_all((await agency.agency(described)).body)
    assert 200 == (await agency.agency(request("GET", "/readyz"))).status
    agency.agency.ready = False
    assert 503 == (await agency.agency(request("GET", "/readyz"))).status
    assert 200 == (await agency.agency(request("GET", "/livez"))).status


async def test_trouble_of_its_own_is_no_refusal(world: World) -> None:
    """When the book cannot be written: AFS400 with HTTP 503, no receipt, nothing in the inbox (P5); the hub retries."""
    agency, delivery = await start(world)
    with sqlite3.connect(agency.inbox.parent / "agency.sqlite") as other:
        other.execute("DROP TABLE reply")

    answer = await world.post(agency, await world.sealed(delivery))

    assert (503, "AFS400") == (answer.status, field(text_of(answer), "foutcode"))
    assert "5" == answer.headers["retry-after"]
    assert [] == agency.folders()
    assert not await world.attempt()
    assert ["405", "420"] == await world.codes(delivery)


async def test_a_disk_that_takes_nothing_is_no_receipt(world: World) -> None:
    """The staging place is gone: HTTP 503, and nothing more until the process starts anew; then all is as before."""
    agency, delivery = await start(world)
    octets = await world.sealed(delivery)
    staging = agency.inbox / ".staging"
    staging.rmdir()

    answer = await world.post(agency, octets)

    assert (503, "AFS400") == (answer.status, field(text_of(answer), "foutcode"))
    staging.mkdir()
    assert 503 == (await world.post(agency, octets)).status
    assert [] == agency.folders()
    await agency.stop()
    restarted = await world.start_agency("belastingdienst")
    assert 0 == await stored(restarted)
    assert 200 == (await world.post(restarted, octets)).status
    await until(lambda: restarted.folders() == [delivery.berichtkenmerk])


async def test_a_disk_that_fails_at_the_hand_over_is_the_end_of_receipts(world: World) -> None:
    """From the failed hand-over on every request is refused, also before the process has ended."""
    agency, delivery = await start(world)
    for task in agency.tasks:
        task.cancel()  # the test hands over itself
    octets = await world.sealed(delivery)
    assert 200 == (await world.post(agency, octets)).status
    shutil.rmtree(agency.inbox)

    with pytest.raises(StorageFailure):
        await agency.agency.hand_over_all()

    (agency.inbox / ".staging").mkdir(parents=True)
    later = await world.sealed(await world.queue("belastingdienst"))
    assert 503 == (await world.post(agency, later)).status


async def test_what_the_hub_found_reaches_the_back_end(world: World) -> None:
    """constateringen and additionele elementen stand in envelope.json under the XSD's names, white space collapsed."""
    agency, delivery = await start(world)
    tail = (
        b"<constateringenLijst><constatering><code>C1</code><beschrijving> let\n op </beschrijving></constatering>"
        b"</constateringenLijst><additioneleElementenLijst><element><naam>soort</naam><waarde>VA</waarde></element>"
        b"<element><naam>middel</naam><waarde>OB</waarde></element></additioneleElementenLijst>"
    )

    assert 200 == (await world.post(agency, await world.sealed(delivery, tail=tail))).status

    await until(lambda: agency.folders() == [delivery.berichtkenmerk])
    envelope = agency.envelope(delivery.berichtkenmerk)
    assert [{"code": "C1", "beschrijving": "let op"}] == envelope["constateringenLijst"]
    assert [
        {"naam": "soort", "waarde": "VA"},
        {"naam": "middel", "waarde": "OB"},
    ] == envelope["additioneleElementenLijst"]


# --- a process that died ----------------------------------------------------------------------------------------------


async def test_a_hand_over_that_was_committed_happens_at_the_next_start(world: World) -> None:
    """Killed between commit and rename: done at start, and what was never committed is swept away."""
    agency, delivery = await start(world)
    for task in agency.tasks:
        task.cancel()  # the loops stand still, as if the process died after its answer
    assert 200 == (await world.post(agency, await world.sealed(delivery))).status
    orphan = agency.agency.desk.inbox.stage({}, [make_document(b"<nooit/>")])
    assert [] == agency.folders()
    await agency.stop()

    restarted = await world.start_agency("belastingdienst")

    assert [delivery.berichtkenmerk] == restarted.folders()
    assert [] == list((restarted.inbox / ".staging").iterdir()), orphan
    assert [] == restarted.agency.desk.book.open_hand_overs()


async def test_a_hand_over_that_was_renamed_is_not_done_twice(world: World) -> None:
    """Killed between rename and mark: the mark follows at start, also when the back end has collected the folder."""
    agency, delivery = await start(world)
    for task in agency.tasks:
        task.cancel()
    assert 200 == (await world.post(agency, await world.sealed(delivery))).status
    (row,) = agency.agency.desk.book.open_hand_overs()
    agency.agency.desk.inbox.hand_over(row.staged, row.folder)
    (agency.inbox / row.folder).rename(agency.inbox.parent / "collected")
    await agency.stop()

    restarted = await world.start_agency("belastingdienst")

    assert [] == restarted.folders()
    assert [] == restarted.agency.desk.book.open_hand_overs()
