"""Scenarios by aanleverkenmerk and rules set meanwhile, at the hub's own counters; real processes are elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from helpers_wus import NOW, Sender, World, fault_of, vat_return, verified

from digipoort_as4.errors import UsageError
from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.decision import Delivery, Process
from digipoort_as4.hub.delivery import Accepted, AgencyStatus, Faulted, NotLearnt
from digipoort_as4.payload import read_all
from digipoort_as4.wus import koppelvlak
from digipoort_as4.wus.scenarios import NAMED, STAGES, Scenarios

ELEVEN = {
    "Happyflow",
    "AanleverFault",
    "StatusInformatieFault",
    "Afleverfout",
    "Foutuitvragendepartij",
    "TechnischProbleemAfleveren",
    "MaximaalAantalAfleverpogingen",
    "ZwaarbelastAanleveren",
    "OverbelastAanleveren",
    "ZwaarbelastStatusInformatie",
    "OverbelastStatusInformatie",
}
"""digipoort 1.9, from a public client."""


class Slept:
    """Waits for nothing and remembers how long."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds += [seconds] if seconds else []


@pytest.fixture
def slept() -> Slept:
    return Slept()


@pytest.fixture
def played(world: World, slept: Slept) -> Scenarios:
    """The rules of a post office that plays."""
    scenarios = Scenarios(sleep=slept)
    world.office = replace(world.office, scenarios=scenarios)
    return scenarios


def process(aanleverkenmerk: str = "A-1", berichtsoort: str = "Omzetbelasting") -> Process:
    return Process("k", unit(aanleverkenmerk, berichtsoort), NOW, "delivering", 1, NOW)


async def attempt(played: Scenarios, delivery: Delivery, aanleverkenmerk: str = "A-1", validates: bool = True) -> Any:
    return await played.attempt(process(aanleverkenmerk), delivery, validates=validates, now=NOW)


def unit(aanleverkenmerk: str | None = "A-1", berichtsoort: str = "Omzetbelasting") -> Aanlevering:
    return Aanlevering("0", berichtsoort, Identiteit("1", "Fi"), "Bedrijf", (), aanleverkenmerk=aanleverkenmerk)


async def hand_over(world: World, sender: Sender, aanleverkenmerk: str) -> str:
    answer = await world.post(sender.aanleveren(vat_return(aanleverkenmerk=aanleverkenmerk)))
    return koppelvlak.read(koppelvlak.AanleverResponse, verified(answer, world)).kenmerk


def test_there_are_eleven_names() -> None:
    """As the client spells them."""
    assert ELEVEN == set(NAMED)


async def test_aanleveren_is_refused_and_nothing_stored(world: World, jansen: Sender, played: Scenarios) -> None:
    """AanleverFault: ALS100, and the fault says that it is a scenario; a name off by one letter is nobody's."""
    answer = await world.post(jansen.aanleveren(vat_return(aanleverkenmerk="AanleverFault")))
    fault = fault_of(answer)
    assert (500, "ALS100") == (answer.status, fault.fout and fault.fout.foutcode)
    assert fault.fout and "scenario AanleverFault" in fault.fout.foutbeschrijving
    assert {} == {name: count for name, count in world.stored().items() if name in ("process", "reply", "payload")}
    for near in ("aanleverfault", "AanleverFault ", "AanleverFaul"):
        await hand_over(world, jansen, near.strip() + "x" * near.endswith(" "))


async def test_a_real_mistake_is_told_before_the_scenario(world: World, jansen: Sender, played: Scenarios) -> None:
    """What is wrong with the message anyway is not hidden."""
    message = vat_return(aanleverkenmerk="AanleverFault", berichtsoort="Omzetbelastingen")
    fault = fault_of(await world.post(jansen.aanleveren(message)))
    assert fault.fout and "berichtsoort" in fault.fout.foutbeschrijving


@pytest.mark.parametrize("operation", ["getStatussenProces", "getNieuweStatussenProces"])
async def test_statuses_are_refused_each_time(world: World, jansen: Sender, played: Scenarios, operation: str) -> None:
    """StatusInformatieFault: accepted like any other, then STS100 at every question; new ones stay new."""
    kenmerk = await hand_over(world, jansen, "StatusInformatieFault")
    for _ in range(2):
        fault = fault_of(await world.post(jansen.ask(kenmerk, operation)))
        assert fault.fout and "STS100" == fault.fout.foutcode
    assert 0 == await world.store.seen("00000099000000101000", kenmerk)
    world.office = replace(world.office, scenarios=Scenarios(enabled=False))
    assert 200 == (await world.post(jansen.ask(kenmerk, operation))).status


async def test_a_busy_counter_answers_late(world: World, jansen: Sender, played: Scenarios, slept: Slept) -> None:
    """Zwaarbelast…: ten seconds, then as always; a rule that names it says otherwise."""
    await hand_over(world, jansen, "ZwaarbelastAanleveren")
    assert [10.0] == slept.seconds
    kenmerk = await hand_over(world, jansen, "ZwaarbelastStatusInformatie")
    assert [10.0] == slept.seconds
    assert 200 == (await world.post(jansen.ask(kenmerk))).status
    assert [10.0, 10.0] == slept.seconds
    played.set(stage="aanleveren", aanleverkenmerk="ZwaarbelastAanleveren", delay="2s")
    await hand_over(world, jansen, "ZwaarbelastAanleveren")
    assert 2.0 == slept.seconds[-1]


async def test_an_overloaded_counter_says_503(world: World, jansen: Sender, played: Scenarios) -> None:
    """Overbelast…: HTTP 503, Retry-After, and the technical foutcode of the service."""
    answer = await world.post(jansen.aanleveren(vat_return(aanleverkenmerk="OverbelastAanleveren")))
    fault = fault_of(answer)
    assert (503, "ALS400") == (answer.status, fault.fout and fault.fout.foutcode)
    assert answer.headers["retry-after"].isdigit()
    assert b"soapenv:Server" in read_all(answer.body)
    kenmerk = await hand_over(world, jansen, "OverbelastStatusInformatie")
    answer = await world.post(jansen.ask(kenmerk))
    fault = fault_of(answer)
    assert (503, "STS400") == (answer.status, fault.fout and fault.fout.foutcode)
    assert answer.headers["retry-after"].isdigit()


async def test_without_scenarios_the_names_are_just_names(world: World, jansen: Sender) -> None:
    """As in production: an Office plays nothing unless told to, and no rule can be set."""
    for name in ("AanleverFault", "OverbelastAanleveren"):
        await hand_over(world, jansen, name)
    with pytest.raises(UsageError, match="plays no scenarios"):
        world.office.scenarios.set(stage="aanleveren", http=503)


async def test_another_party_hears_of_no_scenario(world: World, jansen: Sender, played: Scenarios, pki: Any) -> None:
    """A kenmerk that is not yours stays unknown, whatever its aanleverkenmerk plays."""
    kenmerk = await hand_over(world, jansen, "StatusInformatieFault")
    fault = fault_of(await world.post(Sender(pki, "installatie-deboer").ask(kenmerk)))
    assert fault.fout and "Het kenmerk is niet bekend" in fault.fout.foutbeschrijving


# --- rules ------------------------------------------------------------------------------------------------------------


async def test_a_rule_plays_for_its_berichtsoort_and_so_often(world: World, jansen: Sender, played: Scenarios) -> None:
    """HTTP 502 twice for Omzetbelasting, then never; ICP is not meant."""
    played.set(stage="aanleveren", berichtsoort="Omzetbelasting", http=502, times=2)
    statuses = []
    for berichtsoort in ("Omzetbelasting", "ICP", "Omzetbelasting", "Omzetbelasting"):
        message = vat_return(aanleverkenmerk="A-1", berichtsoort=berichtsoort)
        statuses.append((await world.post(jansen.aanleveren(message))).status)
    assert [502, 200, 502, 200] == statuses
    assert () == played.rules


async def test_happyflow_is_never_touched(world: World, jansen: Sender, played: Scenarios) -> None:
    """Nor is another of the eleven, but by a rule that names it."""
    played.set(stage="aanleveren", fault="ALS120")
    await hand_over(world, jansen, "Happyflow")
    fault = fault_of(await world.post(jansen.aanleveren(vat_return(aanleverkenmerk="A-1"))))
    assert fault.fout and "ALS120" == fault.fout.foutcode
    played.set(stage="aanleveren", aanleverkenmerk="Happyflow", http=503)
    assert 503 == (await world.post(jansen.aanleveren(vat_return(aanleverkenmerk="Happyflow")))).status


def test_the_newest_rule_that_fits_plays(played: Scenarios) -> None:
    """Cleared by number, the one before it plays again; cleared all, none."""
    first = played.set(stage="aanleveren", delay="1s")
    second = played.set(stage="aanleveren", delay="2s")
    other = played.set(stage="afleveren", delay="3s")
    assert second == played.find("aanleveren", "Omzetbelasting", "A-1")
    assert (1, first) == (played.clear(second.number), played.find("aanleveren", "Omzetbelasting", "A-1"))
    assert (first, other) == played.rules
    assert 0 == played.clear(second.number)
    assert (2, None) == (played.clear(), played.find("aanleveren", "Omzetbelasting", "A-1"))


def test_chance_is_repeatable(slept: Slept) -> None:
    """The same seed chooses the same messages, about as many as asked; another seed chooses others."""

    def chosen(seed: int) -> list[bool]:
        scenarios = Scenarios(sleep=slept)
        scenarios.set(stage="aanleveren", http=503, probability=0.25, seed=seed)
        return [scenarios.find("aanleveren", "", None) is not None for _ in range(400)]

    assert chosen(1) == chosen(1) != chosen(2)
    assert 70 < sum(chosen(1)) < 130


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"fault": "AFS100"}, Faulted("AFS100", "Gespeeld door de oefenomgeving.")),
        ({"code": "410"}, Faulted("AFS400", "Gespeeld door de oefenomgeving.")),
        ({"code": "420"}, NotLearnt("scenario-regel 1", sent=True)),
        ({"http": 503}, NotLearnt("scenario-regel 1: HTTP 503", sent=True)),
        ({"fault": "AFS600"}, NotLearnt("scenario-regel 1", sent=True, final=True)),
        ({"delay": "3s"}, None),
    ],
)
async def test_what_an_attempt_comes_to(played: Scenarios, slept: Slept, words: Any, expected: Any) -> None:
    """410, 420, the last 420, or a real attempt after a while; copies are always sent."""
    delivery = Delivery("b", "k", "0", False, ())
    played.set(stage="afleveren", **words)
    assert expected == await attempt(played, delivery)
    assert ([3.0] if expected is None else []) == slept.seconds
    assert await attempt(played, replace(delivery, copy=True)) is None


async def test_only_the_first_attempts(played: Scenarios) -> None:
    """TechnischProbleemAfleveren: once for each message; a rule may say how often."""
    delivery = Delivery("b", "k", "0", False, ())
    assert isinstance(await attempt(played, delivery, "TechnischProbleemAfleveren"), NotLearnt)
    assert await attempt(played, replace(delivery, attempts=1), "TechnischProbleemAfleveren") is None
    played.set(stage="afleveren", http=503, attempts=2)
    found = [await attempt(played, replace(delivery, attempts=number)) is not None for number in range(4)]
    assert [True, True, False, False] == found


GOOD = {"stage": "afleveren", "berichtsoort": "Omzetbelasting", "delay": "3s", "http": 503, "times": 2, "seed": 7}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"stage": "aanlevren"}, "did you mean 'aanleveren'"),
        ({"stage": "x"}, "known: aanleveren, afleveren"),
        ({"delay": "3"}, "no length of time"),
        ({"delay": "11m"}, "not from 0s to 10m"),
        ({"delay": "-3s"}, "not from 0s to 10m"),
        ({"http": 200}, "400 to 599"),
        ({"http": 600}, "http must be a whole number from 1 to 599"),
        ({"http": "503"}, "http must be"),
        ({"http": True}, "http must be"),
        ({"times": 0}, "times must be a whole number from 1"),
        ({"probability": 0}, "above 0 and at most 1"),
        ({"probability": 1.5}, "above 0 and at most 1"),
        ({"probability": "half"}, "above 0 and at most 1"),
        ({"fault": ""}, "fault must be a text"),
        ({"fault": "F" * 21}, "at most 20 characters"),
        ({"code": "500"}, "afleveren has 410 or 420"),
        ({"stage": "aanleveren", "code": "410"}, "aanleveren has none"),
        ({"stage": "aanleveren", "attempts": 1}, "only deliveries"),
        ({"kans": 1}, "unknown key 'kans'"),
        ({"delay": None, "http": None}, "nothing would happen"),
        ({"stage": None}, "unknown stage ''"),
    ],
)
def test_a_rule_that_makes_no_sense_is_explained(played: Scenarios, change: dict[str, Any], told: str) -> None:
    """The good one is taken; with one word changed it is not, and nothing is set."""
    words = {key: value for key, value in (GOOD | change).items() if value is not None}
    with pytest.raises(UsageError, match=told):
        played.set(**words)
    assert () == played.rules
    played.set(**GOOD)
    assert {**GOOD, "number": 1} == played.rules[0].record()


def test_all_mistakes_are_told_at_once(played: Scenarios) -> None:
    """Two words wrong, both named."""
    with pytest.raises(UsageError, match=r"times must[\s\S]*1 is no refusal"):
        played.set(stage="afleveren", http=1, times=0)


def test_every_stage_has_an_example() -> None:
    """The eleven together show four of the five stages; ophalen has none of its own."""
    assert set(STAGES) - {"ophalen"} == {rule.stage for rule in NAMED.values() if rule.stage}


async def test_a_verdict_is_played_at_once_only_where_none_would_follow(played: Scenarios, slept: Slept) -> None:
    """Elsewhere the message is delivered, and the agency's own zetStatus is turned into it."""
    delivery = Delivery("b", "k", "0", False, ())
    assert await attempt(played, delivery, "Foutuitvragendepartij") is None
    found = await attempt(played, delivery, "Foutuitvragendepartij", validates=False)
    assert isinstance(found, Accepted) and found.played and found.status is not None
    assert ("510", None) == (found.status.code, found.status.foutcode)
    assert "<RefersToMessageId>k</RefersToMessageId>" in (found.status.details or "")
    copy = replace(delivery, copy=True)
    assert await attempt(played, copy, "Foutuitvragendepartij", validates=False) is None
    played.set(stage="uitvragende-partij", code="510", fault="X1", delay="2s")
    found = await attempt(played, delivery, validates=False)
    assert isinstance(found.status, AgencyStatus) and "X1" == found.status.foutcode
    assert [2.0] == slept.seconds
