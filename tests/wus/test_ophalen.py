"""Return traffic at the hub: an agency puts messages ready, the right business finds and fetches them, once as new."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from helpers_wus import (
    BELASTINGDIENST,
    JANSEN,
    KV,
    NOW,
    Sender,
    World,
    document,
    fault_of,
    plain,
    sba,
    tree,
    vat_return,
    verified,
)
from lxml import etree

from digipoort_as4.hub import identities
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.hub.decision import Committed, Decision, MakeAvailable, Process, ReturnMessage, StartProcess
from digipoort_as4.hub.mandates import AANLEVEREN, OPHALEN, STATUS, Mandate
from digipoort_as4.limits import MIB
from digipoort_as4.payload import Joined, Spool, read_all
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wus import koppelvlak, ophalen
from digipoort_as4.wus.koppelvlak import AanleverResponse, BerichtLijstResultaat, BerichtResultaat, OpvraagRequest
from digipoort_as4.wus.office import Snapshot
from digipoort_as4.wus.scenarios import Scenarios

SHARED = Path(os.environ.get("DIGIPOORT_SHARED", Path(__file__).resolve().parents[3] / "shared"))
OFFICIAL = SHARED / "data" / "contract" / "digipoort-koppelvlak-1.2.xsd"
FI = Identiteit("001000044B37", "Fi")
DE_BOER = Identiteit("90001102", "KvK")
DAY = timedelta(days=1)
MS = timedelta(milliseconds=1)


@pytest.fixture
def de_boer(pki: Path) -> Sender:
    return Sender(pki, "installatie-deboer")


async def put_ready(world: World, sender: Sender, **changes: object) -> str:
    """A message of an agency, accepted and processed; its kenmerk."""
    opened = verified(await world.post(sender.aanleveren(sba(**changes), at=world.clock())), world)
    await world.process()
    return koppelvlak.read(AanleverResponse, opened).kenmerk


async def codes(world: World, kenmerk: str) -> list[str]:
    return [status.code for status in await world.store.statuses(kenmerk)]


async def ask(world: World, sender: Sender, operation: str, **asked: Any) -> HttpAnswer:
    answer = await world.post(sender.opvragen(operation, OpvraagRequest(**asked), at=world.clock()))
    if OFFICIAL.exists() and answer.status == 200:
        official().assertValid(tree(answer).find("{*}Body")[0])
    return answer


def official() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(OFFICIAL)))


async def listed(world: World, sender: Sender, operation: str = "getBerichtenLijst", **asked: Any) -> list[str]:
    answer = await ask(world, sender, operation, **asked)
    return [row.kenmerk for row in koppelvlak.read_results(BerichtLijstResultaat, verified(answer, world))]


async def fetched(world: World, sender: Sender, operation: str, **asked: Any) -> list[BerichtResultaat]:
    return rows(world, await ask(world, sender, operation, **asked))


def rows(world: World, answer: HttpAnswer) -> list[BerichtResultaat]:
    intake = koppelvlak.Intake(Spool(world.folder / "client"), world.office.new_id)
    return list(koppelvlak.read_results(BerichtResultaat, verified(answer, world), intake))


async def refused(world: World, answer: HttpAnswer, text: str) -> str:
    fault = fault_of(answer)
    assert (answer.status, fault.element) == (500, "ophaalFault")
    assert fault.fout is not None
    assert fault.fout.foutcode == "OHS100"
    assert text in plain(fault.cause)
    return plain(fault.cause)


def with_mandate(world: World, name: str, mandate: Mandate) -> None:
    def change(snapshot: Snapshot) -> Snapshot:
        (party,) = [one for one in snapshot.parties.by_oin.values() if one.name == name]
        party = replace(party, mandates=(*party.mandates, mandate))
        return replace(
            snapshot, parties=replace(snapshot.parties, by_oin={**snapshot.parties.by_oin, party.oin: party})
        )

    world.with_snapshot(change)


def to_collect(berichtsoort: str = "SBA", whom: Identiteit = FI) -> Mandate:
    return Mandate(whom, frozenset({berichtsoort}), NOW - DAY, NOW + DAY, OPHALEN)


# --- from agency to business ------------------------------------------------------------------------------------------


async def test_an_agency_puts_a_message_ready_and_the_business_collects_it(
    world: World, jansen: Sender, belastingdienst: Sender
) -> None:
    """Available at 405; every field arrives, the aanleverkenmerken for matching; 400 once it was handed over."""
    documents = (document(b"<sba/>"), document(b"%PDF", "bijlage", "brief.pdf", "application/pdf"))
    kenmerk = await put_ready(world, belastingdienst, documents=documents)
    assert await codes(world, kenmerk) == ["105", "100", "110", "301", "405"]

    assert await listed(world, jansen) == [kenmerk]
    (found,) = await fetched(world, jansen, "getBerichtenKenmerk", kenmerk=kenmerk)

    assert (found.kenmerk, found.berichtsoort, found.identiteit_aanleveraar) == (kenmerk, "SBA", BELASTINGDIENST)
    assert (found.aanleverkenmerk, found.eerder_aanleverkenmerk) == ("SBA-1", "Happyflow")
    assert (found.identiteit_belanghebbende, found.identiteit_ontvanger, found.tijdstempel_aangeleverd) == (FI, FI, NOW)
    assert [(d.part, d.mime_type, d.bestandsnaam, read_all(d.payload)) for d in found.documents] == [
        ("inhoud", "text/xml", "aangifte.xbrl", b"<sba/>"),
        ("bijlage", "application/pdf", "brief.pdf", b"%PDF"),
    ]
    assert await codes(world, kenmerk) == ["105", "100", "110", "301", "405", "400"]
    process = await world.store.process(kenmerk)
    assert process is not None
    assert process.state == "ended"
    assert len(found.berichtkenmerk) == 36


async def test_the_agency_follows_its_message(world: World, jansen: Sender, belastingdienst: Sender) -> None:
    """getStatussenProces is open to the body that sent it, and 400 comes once however often it is fetched."""
    kenmerk = await put_ready(world, belastingdienst)
    for _ in range(2):
        await fetched(world, jansen, "getBerichtenKenmerk", kenmerk=kenmerk)
    answer = await world.post(belastingdienst.ask(kenmerk))
    told = koppelvlak.read_results(koppelvlak.StatusResultaat, verified(answer, world))
    assert [row.statuscode for row in told] == ["105", "100", "110", "301", "405", "400"]


@pytest.mark.parametrize("name", ["bakkerij-jansen", "uwv"])
async def test_only_the_owner_of_a_retour_route_sends_on_it(world: World, pki: Path, jansen: Sender, name: str) -> None:
    """Anybody else gets 210, and nothing can be collected (decision 2)."""
    kenmerk = await put_ready(world, Sender(pki, name))
    assert await codes(world, kenmerk) == ["105", "100", "110", "210"]
    assert await listed(world, jansen) == []


async def test_an_agency_sends_on_no_other_route(world: World, belastingdienst: Sender) -> None:
    """It is in no party table."""
    opened = verified(await world.post(belastingdienst.aanleveren(vat_return())), world)
    await world.process()
    assert await codes(world, koppelvlak.read(AanleverResponse, opened).kenmerk) == ["105", "100", "110", "210"]


async def test_the_ontvanger_collects_and_not_the_belanghebbende(
    world: World, jansen: Sender, de_boer: Sender, belastingdienst: Sender
) -> None:
    """identiteitOntvanger names the business; without it the belanghebbende is meant."""
    kenmerk = await put_ready(world, belastingdienst, identiteit_ontvanger=DE_BOER)
    assert await listed(world, jansen) == []
    assert await fetched(world, jansen, "getBerichten", identiteit_belanghebbende=FI) == []
    await refused(
        world, await ask(world, jansen, "getBerichtenKenmerk", kenmerk=kenmerk), "Het kenmerk is niet bekend."
    )
    assert await listed(world, de_boer) == [kenmerk]
    (found,) = await fetched(world, de_boer, "getBerichtenKenmerk", kenmerk=kenmerk)
    assert found.identiteit_ontvanger == DE_BOER


# --- new --------------------------------------------------------------------------------------------------------------

CONTENT = [
    ("getNieuweBerichten", lambda kenmerk: {"identiteit_belanghebbende": FI}),
    ("getNieuweBerichtenKenmerk", lambda kenmerk: {"kenmerk": kenmerk}),
    ("getBerichten", lambda kenmerk: {"identiteit_belanghebbende": FI}),
    ("getBerichtenKenmerk", lambda kenmerk: {"kenmerk": kenmerk}),
]


@pytest.mark.parametrize(("operation", "asked"), CONTENT, ids=[name for name, _ in CONTENT])
async def test_handing_over_the_content_marks_and_lists_never_do(
    world: World, jansen: Sender, belastingdienst: Sender, operation: str, asked: Any
) -> None:
    """By whichever operation it was fetched (decision 16); the plain operations tell it for ever."""
    kenmerk = await put_ready(world, belastingdienst)
    for _ in range(2):
        assert await listed(world, jansen, "getNieuweBerichtenLijst") == [kenmerk]
    assert [row.kenmerk for row in await fetched(world, jansen, operation, **asked(kenmerk))] == [kenmerk]
    assert await listed(world, jansen, "getNieuweBerichtenLijst") == []
    for other, question in CONTENT:
        again = [row.kenmerk for row in await fetched(world, jansen, other, **question(kenmerk))]
        assert again == ([] if "Nieuwe" in other else [kenmerk])
    assert await listed(world, jansen) == [kenmerk]


async def test_new_is_counted_per_asker(world: World, jansen: Sender, de_boer: Sender, belastingdienst: Sender) -> None:
    """What the intermediary collected is still new for its client."""
    with_mandate(world, "Installatiebedrijf De Boer", to_collect())
    kenmerk = await put_ready(world, belastingdienst)
    assert len(await fetched(world, de_boer, "getNieuweBerichtenKenmerk", kenmerk=kenmerk)) == 1
    assert await listed(world, de_boer, "getNieuweBerichtenLijst") == []
    assert await listed(world, jansen, "getNieuweBerichtenLijst") == [kenmerk]


async def test_the_verbatim_repeat_gets_the_same_octets(world: World, jansen: Sender, belastingdienst: Sender) -> None:
    """An answer that was lost on the way is not lost: inline and large documents, after Expires and after a restart."""
    large = bytes(range(256)) * 1024
    kenmerk = await put_ready(
        world, belastingdienst, documents=(xml(large), document(b"%PDF", "bijlage", "a.pdf", "application/pdf"))
    )
    request = jansen.opvragen("getNieuweBerichtenKenmerk", OpvraagRequest(kenmerk))
    first = await world.post(request)
    assert isinstance(first.body, Joined)
    await put_ready(world, belastingdienst)
    world.clock.move(timedelta(hours=1))
    again = await world.post(request)
    assert read_all(again.body) == read_all(first.body)
    world.clock.move(-timedelta(hours=1))
    (found,) = rows(world, again)
    assert read_all(found.documents[0].payload) == read_all(xml(large).payload)


async def test_the_stored_answer_does_not_hold_large_documents(
    world: World, jansen: Sender, belastingdienst: Sender
) -> None:
    """The row of the answer has a placeholder; the octets lie where they lay."""
    kenmerk = await put_ready(world, belastingdienst, documents=(xml(b"x" * 5_000_000),))
    request = jansen.opvragen("getBerichtenKenmerk", OpvraagRequest(kenmerk))
    answer = await world.post(request)
    assert answer.body.size > 6_000_000
    opened = verified(answer, world)
    stored = await world.store.find_reply(JANSEN, opened.addressing.relates_to or "", NOW)
    assert stored is not None
    assert len(stored.octets) < 10_000
    assert len(stored.large) == 1


def xml(filling: bytes) -> Any:
    return document(b"<sba><!--" + filling.hex().encode()[: len(filling)] + b"--></sba>")


@pytest.mark.parametrize("first", [True, False], ids=["first", "after the intermediary"])
async def test_whoever_asks_many_times_at_once_gets_new_content_once(
    world: World, jansen: Sender, de_boer: Sender, belastingdienst: Sender, first: bool
) -> None:
    """Twenty different questions for the same new message: one answer has it, with 400 or after it."""
    kenmerk = await put_ready(world, belastingdienst)
    if not first:
        with_mandate(world, "Installatiebedrijf De Boer", to_collect())
        await fetched(world, de_boer, "getBerichtenKenmerk", kenmerk=kenmerk)
    answers = await asyncio.gather(
        *(ask(world, jansen, "getNieuweBerichtenKenmerk", kenmerk=kenmerk) for _ in range(20))
    )
    assert sorted(len(rows(world, answer)) for answer in answers) == [0] * 19 + [1]
    assert (await codes(world, kenmerk)).count("400") == 1


async def test_nothing_is_marked_that_was_refused(world: World, jansen: Sender, belastingdienst: Sender) -> None:
    """A question without a valid signature leaves the message as new as it was."""
    kenmerk = await put_ready(world, belastingdienst)
    request = jansen.opvragen("getNieuweBerichtenKenmerk", OpvraagRequest(kenmerk))
    broken = replace(request, body=replace(request.body, octets=read_all(request.body).replace(kenmerk.encode(), b"k")))
    stored = world.stored()
    assert (await world.post(broken)).status == 500
    assert world.stored() == stored
    assert await listed(world, jansen, "getNieuweBerichtenLijst") == [kenmerk]


# --- who sees what ----------------------------------------------------------------------------------------------------


async def test_a_foreign_kenmerk_is_like_an_unknown_one(
    world: World, jansen: Sender, de_boer: Sender, belastingdienst: Sender
) -> None:
    """The same words: for another's message, for a process that is no return message, and for nothing at all."""
    kenmerk = await put_ready(world, belastingdienst)
    aangifte = verified(await world.post(jansen.aanleveren(vat_return())), world)
    others = (kenmerk, koppelvlak.read(AanleverResponse, aangifte).kenmerk, "00000000-0000-4000-8000-000000000000")
    for operation in ("getBerichtenKenmerk", "getNieuweBerichtenKenmerk"):
        said = {
            await refused(world, await ask(world, de_boer, operation, kenmerk=other), "Het kenmerk is niet bekend.")
            for other in others
        }
        assert len(said) == 1
    assert await listed(world, de_boer) == []
    assert await listed(world, jansen, "getNieuweBerichtenLijst") == [kenmerk]


async def test_an_intermediary_sees_what_its_mandate_names(
    world: World, de_boer: Sender, belastingdienst: Sender
) -> None:
    """Kind, berichtsoort, belanghebbende and time; nothing more."""
    sba_one, via = await put_ready(world, belastingdienst), await put_ready(world, belastingdienst, berichtsoort="VIA")
    for kind in (AANLEVEREN, STATUS):
        with_mandate(world, "Installatiebedrijf De Boer", replace(to_collect(), kind=kind))
    assert await listed(world, de_boer) == []  # those are to send and to follow
    await refused(
        world,
        await ask(world, de_boer, "getBerichten", identiteit_belanghebbende=FI),
        "U mag dit niet opvragen voor deze belanghebbende en berichtsoort. Waar: identiteitBelanghebbende.",
    )
    with_mandate(world, "Installatiebedrijf De Boer", to_collect())
    assert await listed(world, de_boer) == [sba_one]
    assert [row.kenmerk for row in await fetched(world, de_boer, "getBerichten", identiteit_belanghebbende=FI)] == [
        sba_one
    ]
    assert [row.kenmerk for row in await fetched(world, de_boer, "getBerichtenKenmerk", kenmerk=sba_one)] == [sba_one]
    await refused(world, await ask(world, de_boer, "getBerichtenKenmerk", kenmerk=via), "Het kenmerk is niet bekend.")
    world.clock.move(2 * DAY)
    assert await listed(world, de_boer) == []
    await refused(
        world, await ask(world, de_boer, "getBerichtenKenmerk", kenmerk=sba_one), "Het kenmerk is niet bekend."
    )


async def test_an_unregistered_autorisatie_adres_is_refused(world: World, jansen: Sender) -> None:
    """In every operation, also for whoever would not need one."""
    for operation, asked in (*CONTENT, ("getBerichtenLijst", lambda kenmerk: {})):
        answer = await ask(world, jansen, operation, autorisatie_adres="http://ausp.example", **asked("k"))
        await refused(world, answer, "Het autorisatieAdres is niet geregistreerd.")
        answer = await ask(world, jansen, "getBerichtenLijst", autorisatie_adres="http://geenausp.nl")
        assert answer.status == 200


# --- windows and berichtsoort -----------------------------------------------------------------------------------------

WINDOWS: list[tuple[Mapping[str, datetime], int]] = [
    ({}, 1),
    ({"tijdstempel_vanaf": NOW + 4 * MS}, 1),
    ({"tijdstempel_vanaf": NOW + 5 * MS}, 0),
    ({"tijdstempel_tot": NOW + 4 * MS}, 1),
    ({"tijdstempel_tot": NOW + 3 * MS}, 0),
    ({"tijdstempel_vanaf": NOW, "tijdstempel_tot": NOW + DAY}, 1),
]


@pytest.mark.parametrize(("window", "count"), WINDOWS, ids=str)
async def test_windows(
    world: World, jansen: Sender, belastingdienst: Sender, window: Mapping[str, datetime], count: int
) -> None:
    """Both ends inclusive, over the moment of 405: the fifth status, 4 ms after the first (decision 11)."""
    kenmerk = await put_ready(world, belastingdienst)
    assert len(await fetched(world, jansen, "getNieuweBerichtenKenmerk", kenmerk=kenmerk, **window)) == count
    assert len(await listed(world, jansen, **window)) == count
    assert len(await fetched(world, jansen, "getBerichten", identiteit_belanghebbende=FI, **window)) == count
    assert len(await fetched(world, jansen, "getBerichtenKenmerk", kenmerk=kenmerk, **window)) == count


BACKWARDS = {"tijdstempel_vanaf": NOW, "tijdstempel_tot": NOW - MS}


async def test_a_window_that_ends_before_it_begins_is_refused(world: World, jansen: Sender) -> None:
    """With both moments; equal ones are a window of one moment."""
    for operation, asked in (*CONTENT, ("getBerichtenLijst", lambda kenmerk: {})):
        answer = await ask(world, jansen, operation, **asked("k"), **BACKWARDS)
        await refused(
            world,
            answer,
            "Het tijdvak van tijdstempelVanaf en tijdstempelTot klopt niet. Waar: tijdstempelTot. "
            "Gevonden: 2026-11-24T11:59:59.999Z, voor tijdstempelVanaf 2026-11-24T12:00:00.000Z.",
        )
    assert await listed(world, jansen, tijdstempel_vanaf=NOW, tijdstempel_tot=NOW) == []


async def test_a_moment_without_a_time_zone_is_refused(world: World, jansen: Sender) -> None:
    """Valid by the XSD, but nobody knows which hour is meant; the same with +01:00 is good."""

    def window(zone: bytes) -> HttpRequest:
        asked = OpvraagRequest(tijdstempel_vanaf=datetime(2026, 1, 5, 10, 0, tzinfo=UTC))
        return jansen.opvragen("getBerichtenLijst", asked, lambda body: body.replace(b".000Z", zone))

    await refused(
        world,
        await world.post(window(b"")),
        "Waar: tijdstempelVanaf. Gevonden: 2026-01-05T10:00:00, zonder tijdzone. "
        "Verwacht: een tijdstip met Z of +01:00. Oplossing: Zet een Z achter een tijd in UTC.",
    )
    assert (await world.post(window(b"+01:00"))).status == 200


async def test_a_berichtsoort_narrows_and_an_unknown_one_is_refused(
    world: World, jansen: Sender, belastingdienst: Sender
) -> None:
    """A typing error must not look like an empty letter box."""
    sba_one, via = await put_ready(world, belastingdienst), await put_ready(world, belastingdienst, berichtsoort="VIA")
    assert await listed(world, jansen) == [sba_one, via]
    assert await listed(world, jansen, berichtsoort="VIA") == [via]
    found = await fetched(world, jansen, "getBerichten", identiteit_belanghebbende=FI, berichtsoort="SBA")
    assert [row.kenmerk for row in found] == [sba_one]
    answer = await ask(world, jansen, "getBerichtenLijst", berichtsoort="sba")
    await refused(world, answer, "De berichtsoort is niet bekend. Waar: berichtsoort. Gevonden: sba.")


async def test_the_belanghebbende_is_the_same_however_it_is_written(
    world: World, jansen: Sender, belastingdienst: Sender
) -> None:
    """Type without regard to case, number without dots and country (digipoort 4.2)."""
    kenmerk = await put_ready(world, belastingdienst)
    written = Identiteit("NL0010.00.044.B.37", "fI")
    (found,) = await fetched(world, jansen, "getBerichten", identiteit_belanghebbende=written)
    assert found.kenmerk == kenmerk


# --- bounds -----------------------------------------------------------------------------------------------------------


async def many(world: World, count: int) -> list[str]:
    """Return messages as processing leaves them, without the ten milliseconds that each takes."""
    kenmerken = [f"00000000-0000-4000-8000-{number:012d}" for number in range(count)]
    unit = sba().aanlevering(BELASTINGDIENST)
    decisions = []
    for kenmerk in kenmerken:
        one = replace(unit, documents=(document(b"<sba/>"),))
        ready = MakeAvailable(ReturnMessage(kenmerk, f"b-{kenmerk}", identities.key(FI), NOW))
        decisions.append(Decision(b"", (StartProcess(kenmerk, one, NOW, ()), ready)))
    assert await world.store.commit_many(decisions) == [Committed()] * count
    return kenmerken


async def test_a_list_is_bounded_and_the_rest_is_asked_after_collecting(world: World, jansen: Sender) -> None:
    """The oldest 1,000 of 1,200; what was collected makes room for the others."""
    kenmerken = await many(world, 1_200)
    assert await listed(world, jansen) == kenmerken[:1_000]
    got: list[str] = []
    while found := await fetched(world, jansen, "getNieuweBerichten", identiteit_belanghebbende=FI):
        assert len(found) <= 1_000
        got += [row.kenmerk for row in found]
    assert got == kenmerken
    assert await listed(world, jansen) == kenmerken[:1_000]
    assert await listed(world, jansen, "getNieuweBerichtenLijst") == []


async def test_the_last_of_many_is_found_by_its_kenmerk(world: World, jansen: Sender) -> None:
    """However many older ones there are."""
    kenmerken = await many(world, 1_100)
    (found,) = await fetched(world, jansen, "getBerichtenKenmerk", kenmerk=kenmerken[-1])
    assert found.kenmerk == kenmerken[-1]


def sized(*sizes: int) -> Process:
    documents = tuple(replace(document(b"", "bijlage"), size=size) for size in sizes)
    return Process("k", replace(sba().aanlevering(BELASTINGDIENST), documents=documents), NOW, "delivering", 0, NOW)


@pytest.mark.parametrize(
    ("messages", "fit"),
    [
        ([(MIB * 50,)] * 3, 2),  # 100 MiB of content (the contract of issue 4)
        ([(MIB * 60, MIB * 60), (1,)], 1),  # the first goes always, or nobody could ever fetch it
        ([(100_000,)] * 60, 50),  # large texts, of which a reader like ours takes 50
        ([(40_000,)] * 30, 13),  # 768 KiB of tree: 40,000 octets are 53,333 characters, and 4,000 go with each
        ([(1,)] * 400, 196),  # 786,432 by 4,001
    ],
)
def test_room_of_an_answer(messages: list[tuple[int, ...]], fit: int) -> None:
    """How many messages are in before the first that is not."""
    room = ophalen.Room()
    taken = [room.take(sized(*sizes)) for sizes in messages]
    assert taken.index(False) == fit


async def test_small_documents_are_bounded_too(world: World, jansen: Sender, belastingdienst: Sender) -> None:
    """They stand in the tree of whoever reads: 20 messages of 48 KB make no answer that our own reader refuses."""
    kenmerken = [await put_ready(world, belastingdienst, documents=(xml(b"x" * 48_000),)) for _ in range(20)]
    first = await fetched(world, jansen, "getNieuweBerichten", identiteit_belanghebbende=FI)
    rest = await fetched(world, jansen, "getNieuweBerichten", identiteit_belanghebbende=FI)
    assert 5 < len(first) < 20
    assert [row.kenmerk for row in (*first, *rest)] == kenmerken


# --- the contract -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not OFFICIAL.exists(), reason="the official contract (shared/data/contract) is not beside us")
async def test_every_answer_is_valid_by_the_official_xsd(world: World, jansen: Sender, belastingdienst: Sender) -> None:
    """With none, one and two messages; and the schema does refuse one with something missing."""
    kenmerk = ""
    for count in range(3):
        for operation, asked in (
            *CONTENT,
            ("getBerichtenLijst", lambda _: {}),
            ("getNieuweBerichtenLijst", lambda _: {}),
        ):
            if count or "kenmerk" not in asked("k"):
                body = tree(await ask(world, jansen, operation, **asked(kenmerk))).find("{*}Body")[0]
                assert len(body[0]) or not count or "Nieuwe" in operation
                assert body.tag == f"{{{KV}}}{operation}Response"
        kenmerk = await put_ready(world, belastingdienst, rol_ontvanger="Bedrijf")
    await fetched(world, jansen, "getNieuweBerichtenKenmerk", kenmerk=kenmerk)
    body = tree(await ask(world, jansen, "getBerichtenKenmerk", kenmerk=kenmerk)).find("{*}Body")[0]
    body[0][0].remove(body[0][0][0])
    assert not official().validate(body)


async def test_both_paths_and_the_action(world: World, jansen: Sender) -> None:
    """Production and Aansluit Suite (digipoort 1.9)."""
    request = jansen.opvragen("getBerichtenLijst", OpvraagRequest())
    assert request.path == "/wus/2.0/ophaalservice/1.2"
    opened = verified(await world.post(request), world)
    base = "http://logius.nl/digipoort/wus/2.0/ophaalservice/1.2/OphaalService/"
    assert opened.addressing.action == base + "getBerichtenLijstResponse"
    other = replace(
        jansen.opvragen("getBerichtenLijst", OpvraagRequest()), path="/cpl/ophaalservice/services/OphaalService_V1_2"
    )
    assert (await world.post(other)).status == 200


async def test_the_evidence_of_collecting_is_the_signed_question(
    world: World, jansen: Sender, belastingdienst: Sender
) -> None:
    """Kept with the message, once for each time its content left."""
    kenmerk = await put_ready(world, belastingdienst)
    before = world.stored()["evidence"]
    await listed(world, jansen)
    assert world.stored()["evidence"] == before
    await fetched(world, jansen, "getBerichtenKenmerk", kenmerk=kenmerk)
    assert world.stored()["evidence"] == before + 1


async def test_collecting_plays_scenarios_too(world: World, jansen: Sender, belastingdienst: Sender) -> None:
    """A rule for ophalen refuses lists and content; nothing is marked by that."""
    kenmerk = await put_ready(world, belastingdienst)
    scenarios = Scenarios()
    world.office = replace(world.office, scenarios=scenarios)
    scenarios.set(stage="ophalen", http=503)
    for operation, asked in (("getBerichtenLijst", {}), ("getNieuweBerichtenKenmerk", {"kenmerk": kenmerk})):
        answer = await ask(world, jansen, operation, **asked)
        assert (503, "OHS400") == (answer.status, fault_of(answer).fout.foutcode)  # type: ignore[union-attr]
    scenarios.clear()
    assert 1 == len(await fetched(world, jansen, "getNieuweBerichtenKenmerk", kenmerk=kenmerk))
