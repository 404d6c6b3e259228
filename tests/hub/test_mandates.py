"""Authority out of the party table."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta

import pytest
from helpers_hub import BAKKERIJ, DE_BOER, FI, GEMEENTE, NOW, ZONDER, aanlevering

from digipoort_as4.errors import ConfigError
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.hub.mandates import Authority, Parties, authorise
from digipoort_as4.storage import tables

PARTIES, ROUTES = tables.load_parties(), tables.load_routes()

ONE = """
[[party]]
oin = "00000099000000102000"
name = "Kantoor"
role = "intermediair"
identities = [{ type = "KvK", nummer = "90001102" }]
[[party.mandate]]
for = { type = "Fi", nummer = "001000044B37" }
berichtsoorten = ["ICP"]
from = 2026-01-01
until = 2026-03-31
"""


def may(berichtsoort: str, sender: str, belanghebbende: Identiteit = FI, parties: Parties = PARTIES) -> Authority:
    route = ROUTES.find(berichtsoort)
    assert route is not None
    unit = aanlevering(berichtsoort, sender=sender, belanghebbende=belanghebbende)
    return authorise(parties.knows(sender), route, unit, NOW)


def test_a_business_sends_for_itself() -> None:
    """Any of its own numbers, whatever the case and the country prefix."""
    assert may("Omzetbelasting", BAKKERIJ).ok
    assert may("Omzetbelasting", BAKKERIJ, Identiteit("NL001000044B37", "btw")).ok
    assert may("Statistiek_Groothandel", BAKKERIJ, Identiteit("90001101", "KvK")).ok


def test_not_for_somebody_else() -> None:
    """A known party without a mandate is refused, and the journal's reason says for whom."""
    refused = may("Omzetbelasting", ZONDER)
    assert not refused.ok
    assert "no mandate for Fi 001000044B37" in refused.reason


def test_number_of_another_type_is_another_party() -> None:
    assert not may("Omzetbelasting", BAKKERIJ, Identiteit("001000044B37", "RSIN")).ok


def test_a_mandate_names_whom_and_which() -> None:
    """The intermediary may send the berichtsoorten of its mandate and no other, for this party and no other."""
    assert may("Omzetbelasting", DE_BOER).ok
    assert not may("Ziekmelding", DE_BOER).ok
    assert not may("Omzetbelasting", DE_BOER, Identiteit("001000066B39", "Fi")).ok


def test_open_route_wants_a_known_party() -> None:
    """An e-factuur may come from any party of the table, and from nobody else."""
    assert may("e-factuur", ZONDER).ok
    assert not may("e-factuur", GEMEENTE).ok


@pytest.mark.parametrize(
    ("at", "ok"),
    [
        (datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC), False),
        (datetime(2026, 1, 1, tzinfo=UTC), True),
        (datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC), True),
        (datetime(2026, 4, 1, tzinfo=UTC), False),
    ],
)
def test_mandate_runs_from_first_to_last_day(at: datetime, ok: bool) -> None:
    route = ROUTES.find("ICP")
    assert route is not None
    party = Parties.of(tomllib.loads(ONE)).knows(DE_BOER)
    assert ok == authorise(party, route, aanlevering("ICP", sender=DE_BOER), at).ok


def test_mandate_with_times() -> None:
    """A time is taken as it stands: the moment of `until` is outside."""
    text = ONE.replace("until = 2026-03-31", "until = 2026-03-31T12:00:00+02:00")
    mandate = Parties.of(tomllib.loads(text)).by_oin[DE_BOER].mandates[0]
    assert datetime(2026, 3, 31, 10, tzinfo=UTC) == mandate.end


BROKEN = {
    "unknown key": ("name =", "naam =", "did you mean 'name'?"),
    "no OIN": ("00000099000000102000", "000000990000001020", "is no OIN"),
    "wrong own number": ('nummer = "90001102"', 'nummer = "9000110"', "expected 8 cijfers"),
    "unknown role": ("intermediair", "tussenpersoon", "role is 'tussenpersoon'"),
    "no berichtsoorten": ('berichtsoorten = ["ICP"]', "", "berichtsoorten is missing"),
    "wildcard": ('["ICP"]', '["*"]', "no wildcard"),
    "no until": ("until = 2026-03-31", "", "until must be a date"),
    "time without zone": ("until = 2026-03-31", "until = 2026-03-31T12:00:00", "until must be a date"),
    "until before from": ("until = 2026-03-31", "until = 2025-03-31", "until is before from"),
    "sha1 is a word": ("role =", 'sha1 = "yes"\nrole =', "sha1 must be true or false"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_mistake_is_found(name: str) -> None:
    old, new, told = BROKEN[name]
    with pytest.raises(ConfigError) as refused:
        Parties.of(tomllib.loads(ONE.replace(old, new)))
    assert told in str(refused.value)


def test_two_parties_with_one_oin() -> None:
    with pytest.raises(ConfigError, match="occurs twice"):
        Parties.of(tomllib.loads(ONE + ONE))


def test_sha1_is_off_unless_said() -> None:
    assert not any(party.sha1 for party in PARTIES.by_oin.values())
    assert Parties.of(tomllib.loads(ONE.replace("role =", "sha1 = true\nrole ="))).by_oin[DE_BOER].sha1
    assert timedelta(0) < PARTIES.by_oin[DE_BOER].mandates[0].end - NOW
