"""Collecting and following for somebody else, by the word of a real AuSP on loopback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from helpers_wus import Sender, World, fault_of
from test_ausp import asking as registered
from test_ausp import pki, says, served, today, verdict
from test_ophalen import FI, fetched, listed, put_ready, refused
from test_ophalen import ask as ask_ophalen
from test_opvragen import OB, processes
from test_opvragen import ask as ask_status

__all__ = ["pki", "today"]
"""Fixtures of test_ausp: TLS goes by the machine's clock."""

CONTENT: dict[str, Callable[[str], dict[str, Any]]] = {
    "getBerichten": lambda kenmerk: {"identiteit_belanghebbende": FI},
    "getBerichtenKenmerk": lambda kenmerk: {"kenmerk": kenmerk},
}


@pytest.fixture
def stranger(pki: Any) -> Sender:
    """A party without any mandate."""
    return Sender(pki, "zonder-machtiging")


@pytest.mark.parametrize("operation", CONTENT)
async def test_content_by_the_word_of_an_ausp(
    world: World, pki: Any, stranger: Sender, belastingdienst: Sender, operation: str
) -> None:
    """Yes: the message. No, no address, or nothing to ask for: as if there were no AuSP. Down: a technical fault."""
    kenmerk = await put_ready(world, belastingdienst)
    asked = CONTENT[operation](kenmerk)
    no = "Het kenmerk is niet bekend." if "kenmerk" in asked else "U mag dit niet opvragen"
    async with served(pki) as provider, registered(world, provider):
        provider.answer = verdict("false")
        named = {**asked, "autorisatie_adres": provider.url}
        await refused(world, await ask_ophalen(world, stranger, operation, **named), no)
        await refused(world, await ask_ophalen(world, stranger, operation, **asked), no)
        provider.answer = verdict("true")
        assert [row.kenmerk for row in await fetched(world, stranger, operation, **named)] == [kenmerk]
        assert await listed(world, stranger, autorisatie_adres=provider.url) == []
        assert {one.findtext("{*}berichtsoort") for one in provider.asked} <= {None, "SBA"}


async def test_a_failing_ausp_is_a_technical_fault(
    world: World, pki: Any, stranger: Sender, belastingdienst: Sender
) -> None:
    """OHS400 and STS400: worth asking again; nothing was marked or told."""
    kenmerk = await put_ready(world, belastingdienst)
    async with served(pki) as provider, registered(world, provider):
        provider.answer = says(500, "")
        named = {"identiteit_belanghebbende": FI, "autorisatie_adres": provider.url}
        fault = fault_of(await ask_ophalen(world, stranger, "getNieuweBerichten", **named))
        assert fault.fout and fault.fout.foutcode == "OHS400"
        fault = fault_of(await ask_status(world, stranger, "getProcessen", berichtsoort="SBA", **named))
        assert fault.fout and fault.fout.foutcode == "STS400"
    assert [status.code for status in await world.store.statuses(kenmerk)][-1] == "405"


async def test_processes_by_the_word_of_an_ausp(world: World, pki: Any, stranger: Sender, jansen: Sender) -> None:
    """getProcessen of a belanghebbende that confirmed it there."""
    await world.post(jansen.aanleveren(at=world.clock()))
    async with served(pki) as provider, registered(world, provider):
        assert len(await processes(world, stranger, **OB, autorisatie_adres=provider.url)) == 1
        assert [one.findtext("{*}berichtsoort") for one in provider.asked] == ["Omzetbelasting"]
