"""What a belanghebbende has: berichtsoorten, processes and new statuses, for whoever may see them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from helpers_wus import BELASTINGDIENST, NOW, Sender, World, document, fault_of, plain, sba, tree, vat_return, verified
from test_ophalen import DAY, FI, OFFICIAL, official, put_ready, to_collect, with_mandate

from digipoort_as4.hub import statuses
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.hub.decision import Advance, Committed, Decision, StartProcess
from digipoort_as4.hub.mandates import AANLEVEREN, STATUS, Mandate
from digipoort_as4.transport.http import HttpAnswer
from digipoort_as4.wus import koppelvlak
from digipoort_as4.wus.koppelvlak import AanleverResponse, OpvraagRequest, ProcesResultaat, StatusResultaat

KVK = Identiteit("90001101", "KvK")
OB = {"berichtsoort": "Omzetbelasting", "identiteit_belanghebbende": FI}
MS = timedelta(milliseconds=1)


@pytest.fixture
def de_boer(jansen: Sender) -> Sender:
    return replace(jansen, name="installatie-deboer")


@pytest.fixture
def stranger(jansen: Sender) -> Sender:
    return replace(jansen, name="zonder-machtiging")


async def send(world: World, sender: Sender, **changes: object) -> str:
    answer = await world.post(sender.aanleveren(vat_return(**changes), at=world.clock()))
    return koppelvlak.read(AanleverResponse, verified(answer, world)).kenmerk


async def ask(world: World, sender: Sender, operation: str, **asked: Any) -> HttpAnswer:
    answer = await world.post(sender.opvragen(operation, OpvraagRequest(**asked), at=world.clock()))
    if OFFICIAL.exists() and answer.status == 200:
        official().assertValid(tree(answer).find("{*}Body")[0])
    return answer


async def processes(world: World, sender: Sender, **asked: Any) -> list[str]:
    answer = await ask(world, sender, "getProcessen", **(asked or OB))
    return [row.kenmerk for row in koppelvlak.read_results(ProcesResultaat, verified(answer, world))]


async def new(world: World, sender: Sender, **asked: Any) -> list[tuple[str, str]]:
    answer = await ask(world, sender, "getNieuweStatussen", **{**OB, **asked})
    return [(row.kenmerk, row.statuscode) for row in koppelvlak.read_results(StatusResultaat, verified(answer, world))]


async def berichtsoorten(world: World, sender: Sender, whom: Identiteit = FI) -> list[str]:
    answer = await ask(world, sender, "getBerichtsoorten", identiteit_belanghebbende=whom)
    return list(koppelvlak.read_results(str, verified(answer, world)))


def refused(answer: HttpAnswer, text: str) -> None:
    fault = fault_of(answer)
    assert (answer.status, fault.element) == (500, "statusinformatieFault")
    assert fault.fout is not None
    assert fault.fout.foutcode == "STS100"
    assert text in plain(fault.cause)


FIRST = ("105", "100", "110")
MAY_NOT = "U mag dit niet opvragen voor deze belanghebbende en berichtsoort. Waar: identiteitBelanghebbende."


# --- getProcessen -----------------------------------------------------------------------------------------------------


async def test_processes_of_a_belanghebbende(world: World, jansen: Sender, de_boer: Sender) -> None:
    """All that anybody sent for it, oldest first, of one berichtsoort; with the resolved ontvanger."""
    first, second = await send(world, jansen), await send(world, de_boer)
    icp = await send(world, jansen, berichtsoort="ICP")
    assert await processes(world, jansen) == [first, second]
    assert await processes(world, jansen, berichtsoort="ICP", identiteit_belanghebbende=FI) == [icp]
    assert await processes(world, jansen, berichtsoort="Omzetbelasting", identiteit_belanghebbende=KVK) == []
    (row, _) = koppelvlak.read_results(ProcesResultaat, verified(await ask(world, jansen, "getProcessen", **OB), world))
    assert row == ProcesResultaat(first, "Omzetbelasting", FI, Identiteit(BELASTINGDIENST, "OIN"))


async def test_a_sender_sees_its_own_and_a_stranger_nothing(
    world: World, jansen: Sender, de_boer: Sender, stranger: Sender
) -> None:
    """Without a mandate for statuses: what it sent itself; who sent nothing is told that it may not ask."""
    refused(await ask(world, de_boer, "getProcessen", **OB), MAY_NOT)
    first, second = await send(world, jansen), await send(world, de_boer)
    assert await processes(world, de_boer) == [second]
    refused(await ask(world, stranger, "getProcessen", **OB), MAY_NOT)
    mandate = Mandate(FI, frozenset({"Omzetbelasting"}), NOW - DAY, NOW + DAY, STATUS)
    with_mandate(world, "Installatiebedrijf De Boer", mandate)
    assert await processes(world, de_boer) == [first, second]


async def test_the_newest_processes_when_there_are_many(world: World, jansen: Sender) -> None:
    """1,000 at most, and no window in this operation: the oldest are left out."""
    unit = vat_return().aanlevering("00000099000000101000")
    kenmerken = [f"00000000-0000-4000-8000-{number:012d}" for number in range(1_002)]
    decisions = [
        Decision(b"", (StartProcess(kenmerk, replace(unit, documents=(document(b"<x/>"),)), NOW, ()),))
        for kenmerk in kenmerken
    ]
    assert await world.store.commit_many(decisions) == [Committed()] * 1_002
    assert await processes(world, jansen) == kenmerken[2:]


# --- getNieuweStatussen -----------------------------------------------------------------------------------------------


async def test_new_statuses_of_all_processes_once(world: World, jansen: Sender) -> None:
    """In order of time over processes; the operation for one process counts along, the plain one does not."""
    first = await send(world, jansen)
    world.clock.move(MS)
    second = await send(world, jansen)
    # 105 of the second comes in the same millisecond as 100 of the first, which was there before
    assert await new(world, jansen) == [
        (first, "105"), (first, "100"), (second, "105"), (first, "110"), (second, "100"), (second, "110")
    ]  # fmt: skip
    assert await new(world, jansen) == []
    third = await send(world, jansen)
    await world.post(jansen.ask(third, "getStatussenProces", at=world.clock()))
    assert [code for _, code in await new(world, jansen)] == list(FIRST)
    fourth = await send(world, jansen)
    await world.post(jansen.ask(fourth, "getNieuweStatussenProces", at=world.clock()))
    assert await new(world, jansen) == []


async def test_new_statuses_count_per_asker(world: World, jansen: Sender, de_boer: Sender, stranger: Sender) -> None:
    """The intermediary was told; the belanghebbende was not."""
    kenmerk = await send(world, de_boer)
    assert await new(world, de_boer) == [(kenmerk, code) for code in FIRST]
    assert await new(world, de_boer) == []
    assert await new(world, jansen) == [(kenmerk, code) for code in FIRST]
    refused(await ask(world, stranger, "getNieuweStatussen", **OB), MAY_NOT)


async def test_a_window_of_new_statuses(world: World, jansen: Sender) -> None:
    """Inclusive; backwards and without a zone refused."""
    kenmerk = await send(world, jansen)
    assert await new(world, jansen, tijdstempel_tot=NOW + MS) == [(kenmerk, "105"), (kenmerk, "100")]
    assert await new(world, jansen, tijdstempel_vanaf=NOW + 3 * MS) == []
    assert await new(world, jansen, tijdstempel_vanaf=NOW) == [(kenmerk, "110")]
    backwards = {**OB, "tijdstempel_vanaf": NOW, "tijdstempel_tot": NOW - MS}
    refused(await ask(world, jansen, "getNieuweStatussen", **backwards), "Het tijdvak")
    asked = OpvraagRequest(**OB, tijdstempel_vanaf=NOW)
    without = jansen.opvragen("getNieuweStatussen", asked, lambda body: body.replace(b".000Z", b""))
    refused(await world.post(without), "zonder tijdzone")
    refused(await world.post(jansen.ask(kenmerk, vanaf=NOW, tot=NOW - MS)), "Het tijdvak")


async def test_thousands_of_statuses_are_told_in_parts(world: World, jansen: Sender) -> None:
    """1,000 in an answer, oldest first; the rest is still new. All of them by a window."""
    kenmerk = await send(world, jansen)
    process = await world.store.process(kenmerk)
    assert process is not None
    added = statuses.in_order(process.last_status_at, [statuses.make("321", NOW) for _ in range(2_400)])
    await world.store.commit(Decision(b"", (Advance(kenmerk, process.version, process.state, added),)))
    assert [len(await new(world, jansen)) for _ in range(4)] == [1_000, 1_000, 403, 0]
    told = koppelvlak.read_results(StatusResultaat, verified(await world.post(jansen.ask(kenmerk)), world))
    assert (len(told), told[0].statuscode, told[-1].tijdstempel_status) == (1_000, "105", NOW + 999 * MS)
    last = await world.post(jansen.ask(kenmerk, vanaf=NOW + 1_000 * MS))
    assert koppelvlak.read_results(StatusResultaat, verified(last, world))[0].tijdstempel_status == NOW + 1_000 * MS


async def test_long_details_make_fewer_statuses(world: World, jansen: Sender) -> None:
    """768 KiB in one answer, or a reader that guards itself as we do could not read it."""
    kenmerk = await send(world, jansen)
    process = await world.store.process(kenmerk)
    assert process is not None
    rows = [statuses.make("321", NOW, details="x" * 300_000) for _ in range(4)]
    added = statuses.in_order(process.last_status_at, rows)
    await world.store.commit(Decision(b"", (Advance(kenmerk, process.version, process.state, added),)))
    assert [len(await new(world, jansen)) for _ in range(3)] == [5, 2, 0]


# --- one process ------------------------------------------------------------------------------------------------------


async def test_the_belanghebbende_and_the_mandated_see_a_process_of_another_sender(
    world: World, jansen: Sender, de_boer: Sender, stranger: Sender
) -> None:
    """With a mandate of kind status, not one to send; anybody else hears that the kenmerk is not known."""
    for_itself, by_another = await send(world, jansen), await send(world, de_boer)
    for sender, kenmerk in ((jansen, for_itself), (de_boer, by_another), (jansen, by_another)):
        assert (await world.post(sender.ask(kenmerk))).status == 200
    for sender in (de_boer, stranger):
        refused(await world.post(sender.ask(for_itself)), "Het kenmerk is niet bekend. Waar: kenmerk.")
    mandate = Mandate(FI, frozenset({"Omzetbelasting"}), NOW - DAY, NOW + DAY, STATUS)
    with_mandate(world, "Installatiebedrijf De Boer", mandate)
    assert (await world.post(de_boer.ask(for_itself))).status == 200


# --- getBerichtsoorten ------------------------------------------------------------------------------------------------


async def test_berichtsoorten_of_the_belanghebbende_itself(world: World, jansen: Sender) -> None:
    """Every route: those on which it may send, and those on which it may collect."""
    assert await berichtsoorten(world, jansen) == [row.berichtsoort for row in world.office.snapshot().routes.rows]


async def test_berichtsoorten_by_mandate(world: World, de_boer: Sender, stranger: Sender) -> None:
    """To send: those of its mandate, and what is open to all. To collect: those of that mandate."""
    assert await berichtsoorten(world, de_boer) == ["Omzetbelasting", "ICP", "OBSUP", "e-factuur"]
    with_mandate(world, "Installatiebedrijf De Boer", to_collect("VIA"))
    assert await berichtsoorten(world, de_boer) == ["Omzetbelasting", "ICP", "OBSUP", "e-factuur", "VIA"]
    refused(await ask(world, stranger, "getBerichtsoorten", identiteit_belanghebbende=FI), MAY_NOT)
    refused(await ask(world, de_boer, "getBerichtsoorten", identiteit_belanghebbende=KVK), MAY_NOT)
    later = Mandate(KVK, frozenset({"Jaarrekening"}), NOW + DAY, NOW + 2 * DAY, AANLEVEREN)
    with_mandate(world, "Installatiebedrijf De Boer", later)
    refused(await ask(world, de_boer, "getBerichtsoorten", identiteit_belanghebbende=KVK), MAY_NOT)


# --- all of them ------------------------------------------------------------------------------------------------------

QUESTIONS = {
    "getBerichtsoorten": {"identiteit_belanghebbende": FI},
    "getProcessen": OB,
    "getStatussenProces": {"kenmerk": "k"},
    "getNieuweStatussenProces": {"kenmerk": "k"},
    "getNieuweStatussen": OB,
}


@pytest.mark.parametrize("operation", QUESTIONS)
async def test_an_unregistered_autorisatie_adres_is_refused(world: World, jansen: Sender, operation: str) -> None:
    """Whoever asks; the value for none is good."""
    answer = await ask(world, jansen, operation, autorisatie_adres="http://ausp.example", **QUESTIONS[operation])
    refused(answer, "Het autorisatieAdres is niet geregistreerd.")
    good = await ask(world, jansen, operation, autorisatie_adres="http://geenausp.nl", **QUESTIONS[operation])
    assert (good.status == 200) == ("kenmerk" not in QUESTIONS[operation])


@pytest.mark.parametrize("operation", ["getProcessen", "getNieuweStatussen"])
async def test_an_unknown_berichtsoort_is_refused(world: World, jansen: Sender, operation: str) -> None:
    """A typing error must not look like an empty answer."""
    answer = await ask(world, jansen, operation, berichtsoort="OB", identiteit_belanghebbende=FI)
    refused(answer, "De berichtsoort is niet bekend. Waar: berichtsoort. Gevonden: OB.")


async def test_all_mistakes_of_a_question_are_told_at_once(world: World, jansen: Sender) -> None:
    """Window, address, berichtsoort and number; each of them alone is above."""
    wrong = {"berichtsoort": "OB", "identiteit_belanghebbende": Identiteit("1", "KvK"), "autorisatie_adres": "urn:x"}
    answer = await ask(world, jansen, "getNieuweStatussen", **wrong, tijdstempel_vanaf=NOW, tijdstempel_tot=NOW - MS)
    for text in (
        "Het tijdvak", "Het autorisatieAdres is niet", "De berichtsoort is niet", "Het nummer van een identiteit"
    ):  # fmt: skip
        refused(answer, text)


async def test_an_agency_sees_what_it_sent(world: World, belastingdienst: Sender, jansen: Sender) -> None:
    """Its return messages; nothing of what businesses sent to it."""
    kenmerk = await put_ready(world, belastingdienst)
    await send(world, jansen)
    assert await processes(world, belastingdienst, berichtsoort="SBA", identiteit_belanghebbende=FI) == [kenmerk]
    refused(await ask(world, belastingdienst, "getProcessen", **OB), MAY_NOT)
    assert sba().eerder_aanleverkenmerk == "Happyflow"
