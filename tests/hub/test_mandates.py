"""Authority out of the party table."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime, timedelta

import pytest
from helpers_hub import BAKKERIJ, DE_BOER, FI, GEMEENTE, NOW, ZONDER, aanlevering

from digipoort_as4.errors import ConfigError
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.hub.mandates import Authority, Parties, authorise, is_own, weigh
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


# --- kinds, and mandates of the register ------------------------------------------------------------------------------

CLIENT = Identiteit("123456782", "RSIN")
ROW = {
    "party": DE_BOER,
    "reference": "m-1",
    "kind": "ophalen",
    "for": {"type": "RSIN", "nummer": "123456782"},
    "berichtsoorten": ["ICP", "OBSUP"],
    "from": "2026-01-01",
    "until": "2026-03-31",
}
JANUARY = datetime(2026, 1, 15, tzinfo=UTC)


def fetching(
    berichtsoort: str | None = "ICP", at: datetime = JANUARY, kind: str = "ophalen", whom: Identiteit = CLIENT
) -> Authority:
    return weigh(PARTIES.with_mandates([ROW]).knows(DE_BOER), whom, berichtsoort, kind, at)


def test_no_kind_implies_another() -> None:
    """A mandate to fetch lets nobody send or follow, nor the other way round."""
    assert [True, False, False] == [fetching("ICP", kind=kind).ok for kind in ("ophalen", "status", "aanleveren")]


def test_a_mandate_without_a_kind_is_to_send() -> None:
    """As it was before there were kinds."""
    (mandate,) = Parties.of(tomllib.loads(ONE)).by_oin[DE_BOER].mandates
    assert "aanleveren" == mandate.kind


def test_a_mandate_of_the_register_has_days_like_those_of_the_file() -> None:
    """From the first moment of the first day to the last moment of the last, UTC; a time with its zone is exact."""
    first, over = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    tick = timedelta(microseconds=1)
    assert [False, True, True, False] == [fetching(at=at).ok for at in (first - tick, first, over - tick, over)]
    exact = PARTIES.with_mandates([{**ROW, "until": "2026-01-15T12:00:00+01:00"}]).knows(DE_BOER)
    noon = datetime(2026, 1, 15, 11, 0, tzinfo=UTC)
    assert [True, False] == [weigh(exact, CLIENT, "ICP", "ophalen", at).ok for at in (noon - tick, noon)]


def test_asking_for_any_berichtsoort_names_those_that_are_allowed() -> None:
    """What the mandates name, for a mandated party; everything, for oneself."""
    mandated = fetching(None)
    assert [True, True, False] == [mandated.covers(name) for name in ("ICP", "OBSUP", "Omzetbelasting")]
    assert not fetching("Omzetbelasting").ok
    own = weigh(PARTIES.knows(BAKKERIJ), FI, None, "ophalen", JANUARY)
    assert own.ok
    assert own.covers("whatever")
    assert not fetching(None, whom=FI).covers("ICP")


def test_a_party_is_its_own_oin() -> None:
    """Agencies are named by it in identiteitBelanghebbende and identiteitOntvanger."""
    assert is_own(PARTIES.knows(BAKKERIJ), Identiteit(BAKKERIJ, "OIN"))
    assert not is_own(PARTIES.knows(BAKKERIJ), Identiteit(DE_BOER, "OIN"))
    assert not is_own(None, Identiteit(BAKKERIJ, "OIN"))


def test_a_row_of_a_party_that_has_left_gives_nobody_anything() -> None:
    """And the tables can still be read."""
    parties = PARTIES.with_mandates([{**ROW, "party": "00000099000000999000"}])
    assert PARTIES.by_oin == parties.by_oin


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "ophaal"}, "did you mean 'ophalen'"),
        ({"from": "gisteren"}, "from must be a date"),
        ({"until": "2025-12-31"}, "until is before from"),
        ({"until": "2026-01-15T12:00:00"}, "until must be a date, or a time with its zone"),
        ({"berichtsoorten": ["*"]}, "there is no wildcard"),
        ({"for": {"type": "RSIN", "nummer": "123456783"}}, "elfproef"),
        ({"voor": "x"}, "unknown key 'voor'"),
        ({"reference": ""}, "reference must be a text"),
    ],
)
def test_a_wrong_row_is_refused(change: dict[str, object], told: str) -> None:
    """Each mistake by the reader of the file's mandates; the row without it is good (above)."""
    with pytest.raises(ConfigError, match=re.escape(told)):
        PARTIES.with_mandates([{**ROW, **change}])


def test_thousands_of_mandates_cost_one_look_up() -> None:
    """An intermediary's ten thousandth client is found as fast as its first: no row but the client's is looked at."""
    rows = [{**ROW, "reference": f"m-{n}", "for": {"type": "KvK", "nummer": f"{n:08}"}} for n in range(10_000)]
    party = PARTIES.with_mandates(rows).knows(DE_BOER)
    assert party is not None
    last = Identiteit("00009999", "KvK")
    assert ["m-9999"] == [one.reference for one in party.by_whom["ophalen", "kvk 00009999"]]
    assert weigh(party, last, "ICP", "ophalen", JANUARY).ok
