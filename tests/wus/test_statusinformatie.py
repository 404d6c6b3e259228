"""Statuses: to the sender only, in order, and new ones once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from helpers_wus import NOW, SOAP, Sender, World, fault_of, plain, tree, vat_return, verified

from digipoort_as4.hub import statuses
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.hub.decision import Advance, Committed, Decision
from digipoort_as4.payload import read_all
from digipoort_as4.wus import koppelvlak
from digipoort_as4.wus.koppelvlak import AanleverResponse, StatusResultaat

MS = timedelta(milliseconds=1)
NEW = "getNieuweStatussenProces"


async def start(world: World, sender: Sender) -> str:
    response = koppelvlak.read(AanleverResponse, verified(await world.post(sender.aanleveren(vat_return())), world))
    return response.kenmerk


async def told(world: World, sender: Sender, kenmerk: str, operation: str, **window: object) -> list[StatusResultaat]:
    answer = await world.post(sender.ask(kenmerk, operation, **window))  # type: ignore[arg-type]
    return list(koppelvlak.read_results(StatusResultaat, verified(answer, world)))


async def add(world: World, kenmerk: str, *rows: statuses.Status) -> None:
    process = await world.store.process(kenmerk)
    assert process is not None
    added = statuses.in_order(process.last_status_at, rows)
    outcome = await world.store.commit(Decision(b"", (Advance(kenmerk, process.version, process.state, added),)))
    assert isinstance(outcome, Committed)


async def test_all_statuses_in_order_with_their_exact_texts(world: World, jansen: Sender) -> None:
    """Every time the full list; a refusal with its foutcode and XML inside."""
    kenmerk = await start(world, jansen)
    xml = '<results xmlns="http://nlvalidatie.nl/batavia"><a>&</a></results>'
    await add(world, kenmerk, statuses.make("311", NOW, foutcode="VAS500", foutbeschrijving=xml))
    for _ in range(2):
        rows = await told(world, jansen, kenmerk, "getStatussenProces")
        assert [(row.statuscode, row.statusomschrijving) for row in rows] == [
            ("105", "Aanleverproces gestart."),
            ("100", "Aanleveren gelukt."),
            ("110", "Aanleverproces wordt aangeboden."),
            ("311", "Validatie niet gelukt."),
        ]
        assert [row.tijdstempel_status for row in rows] == [NOW, NOW + MS, NOW + 2 * MS, NOW + 3 * MS]
        assert {row.identiteit_belanghebbende for row in rows} == {Identiteit("001000044B37", "Fi")}
        assert rows[3].status_foutcode is not None
        assert (rows[3].status_foutcode.foutcode, rows[3].status_foutcode.foutbeschrijving) == ("VAS500", xml)


async def test_the_answer_is_signed_and_has_its_own_message_id(world: World, jansen: Sender) -> None:
    """Action of the operation, RelatesTo of the request."""
    kenmerk = await start(world, jansen)
    request = jansen.ask(kenmerk, NEW)
    opened = verified(await world.post(request), world)
    assert opened.oin == world.office.oin
    assert opened.addressing.action.endswith("/StatusinformatieService/getNieuweStatussenProcesResponse")
    asked = read_all(request.body).decode()
    assert opened.addressing.relates_to in asked
    assert opened.addressing.message_id not in asked


async def test_new_statuses_are_told_once(world: World, jansen: Sender) -> None:
    """All, then none, then what came since; the plain operation does not count."""
    kenmerk = await start(world, jansen)
    await told(world, jansen, kenmerk, "getStatussenProces")
    assert [row.statuscode for row in await told(world, jansen, kenmerk, NEW)] == ["105", "100", "110"]
    assert await told(world, jansen, kenmerk, NEW) == []
    await add(world, kenmerk, statuses.make("200", NOW))
    assert [row.statuscode for row in await told(world, jansen, kenmerk, NEW)] == ["200"]
    assert len(await told(world, jansen, kenmerk, "getStatussenProces")) == 4


async def test_a_verbatim_repeat_of_new_gets_the_same_octets(world: World, jansen: Sender) -> None:
    """The answer that was lost on the way can be asked for again (decision 16), also after Expires."""
    kenmerk = await start(world, jansen)
    request = jansen.ask(kenmerk, NEW)
    first = await world.post(request)
    await add(world, kenmerk, statuses.make("200", NOW))
    world.clock.move(timedelta(hours=1))
    assert read_all((await world.post(request)).body) == read_all(first.body)


@pytest.mark.parametrize(
    ("window", "codes"),
    [
        ({"vanaf": NOW + MS}, ["100", "110"]),
        ({"tot": NOW + MS}, ["105", "100"]),
        ({"vanaf": NOW + MS, "tot": NOW + MS}, ["100"]),
        ({"vanaf": NOW + 3 * MS}, []),
        ({"tot": NOW - MS}, []),
    ],
)
async def test_a_window(world: World, jansen: Sender, window: dict[str, object], codes: list[str]) -> None:
    """tijdstempelVanaf and tijdstempelTot, both inclusive, in both operations."""
    kenmerk = await start(world, jansen)
    assert [row.statuscode for row in await told(world, jansen, kenmerk, "getStatussenProces", **window)] == codes
    assert [row.statuscode for row in await told(world, jansen, kenmerk, NEW, **window)] == codes


async def refused(world: World, request: object, text: str) -> str:
    stored = world.stored()
    before = len(world.journal())
    answer = await world.post(request)  # type: ignore[arg-type]
    fault = fault_of(answer)
    assert (answer.status, fault.element) == (500, "statusinformatieFault")
    assert fault.fout is not None
    assert fault.fout.foutcode == "STS100"
    assert plain(text) in plain(fault.cause)
    assert world.stored() == stored
    assert len(world.journal()) == before + 1
    return plain(fault.cause)


async def test_a_kenmerk_that_is_not_yours_is_like_one_that_is_not_there(
    world: World, jansen: Sender, belastingdienst: Sender
) -> None:
    """The same words for both, so nobody can find out which kenmerken exist."""
    kenmerk = await start(world, jansen)
    other = Sender(jansen.pki, "zonder-machtiging")
    anothers = await refused(world, other.ask(kenmerk), "Het kenmerk is niet bekend. Waar: kenmerk.")
    assert anothers == await refused(world, other.ask("00000000-0000-4000-8000-000000000000"), "niet bekend")
    await refused(world, other.ask(kenmerk, NEW), "Het kenmerk is niet bekend.")
    assert len(await told(world, jansen, kenmerk, "getStatussenProces")) == 3


async def test_an_old_question_is_refused(world: World, jansen: Sender) -> None:
    """Unless it was answered before."""
    kenmerk = await start(world, jansen)
    await refused(world, jansen.ask(kenmerk, at=NOW - timedelta(seconds=301)), "(wsu:Timestamp) klopt niet")


async def test_an_unknown_asker_is_refused(world: World, jansen: Sender) -> None:
    """A trusted certificate of no party: the fixed text."""
    kenmerk = await start(world, jansen)
    nobody = Sender(jansen.pki, "digipoort")
    await refused(world, nobody.ask(kenmerk), "De beveiliging van het bericht kon niet worden vastgesteld.")


async def test_a_schema_error_in_a_question(world: World, jansen: Sender) -> None:
    """kenmerk of 41 characters."""
    await refused(world, jansen.ask("k" * 41), "element kenmerk. Gevonden: 41 tekens. Verwacht: hoogstens 40.")


async def test_a_fault_of_a_question_is_unsigned(world: World, jansen: Sender) -> None:
    """No Security header, as real ones."""
    answer = await world.post(replace(jansen.ask("k"), tls_certificate=None))
    root = tree(answer)
    assert [element.tag.rpartition("}")[2] for element in root.find(f"{{{SOAP}}}Header")] == [
        "To",
        "MessageID",
        "Action",
        "RelatesTo",
    ]
