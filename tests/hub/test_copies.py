"""Consents: when one stands, what the register grants and withdraws, and what is wrong in a file."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from helpers_hub import BELASTINGDIENST, CBS, HBAG, NOW

from digipoort_as4.errors import ConfigError
from digipoort_as4.hub import copies
from digipoort_as4.hub.copies import Consent, Consents, standing, still_stands
from digipoort_as4.hub.decision import Register
from digipoort_as4.hub.routes import Name, Selector
from digipoort_as4.storage import tables

SOORT = "Statistiek_Groothandel"
SHIPPED = (tables.SHIPPED / copies.FILE).read_text(encoding="utf-8")
SECOND = timedelta(seconds=1)
ROW: dict[str, Any] = {
    "berichtsoort": SOORT,
    "owner": CBS,
    "to": HBAG,
    "documents": [{"part": "bijlage", "bestandsnaam": "hbag-*"}],
}
BY = 'A "B" \\ C'


def consent(reference: str = "R-1", granted_at: datetime = NOW) -> Consent:
    return Consent(reference, SOORT, CBS, HBAG, (Selector("bijlage", "hbag-*"),), BY, granted_at)


def granted(reference: str = "R-1", at: datetime = NOW, row: dict[str, Any] = ROW) -> Register:
    return Register("consent", reference, json.dumps(row), BY, "proef", at)


def withdrawn(reference: str = "R-1", at: datetime = NOW) -> Register:
    return Register("consent", reference, None, "CBS", "proef", at)


def test_a_consent_stands_from_the_grant_on() -> None:
    """Inclusive at the grant."""
    consents = Consents().with_entries([granted()])
    assert (consent(),) == consents.rows
    moments = [NOW - SECOND, NOW, NOW + SECOND]
    assert [False, True, True] == [standing(consents, SOORT, CBS, HBAG, at) is not None for at in moments]
    assert [False, True, True] == [still_stands(consents, "R-1", at) for at in moments]


def test_a_consent_stands_until_the_withdrawal() -> None:
    """One of the register, and one of the file, which itself stays as it is."""
    consents = Consents().with_entries([granted(), withdrawn()])
    assert standing(consents, SOORT, CBS, HBAG, NOW) is None
    assert not still_stands(consents, "R-1", NOW)
    file = tables.load_consents()
    assert still_stands(file, "CBS-HBAG-1", NOW)
    assert not still_stands(file.with_entries([withdrawn("CBS-HBAG-1")]), "CBS-HBAG-1", NOW)


def test_the_consent_granted_last_counts() -> None:
    """Whatever the order of the rows."""
    consents = Consents().with_entries([granted("R-2", NOW), granted("R-1", NOW - SECOND)])
    found = standing(consents, SOORT, CBS, HBAG, NOW)
    assert found is not None and "R-2" == found.reference


@pytest.mark.parametrize(
    ("soort", "owner", "to"),
    [("Handelsopgave", CBS, HBAG), (SOORT, BELASTINGDIENST, HBAG), (SOORT, CBS, BELASTINGDIENST)],
)
def test_consent_holds_for_one_stream_owner_and_recipient(soort: str, owner: str, to: str) -> None:
    """Nobody else's consent counts, nor for another stream or recipient."""
    assert standing(Consents((consent(),)), SOORT, CBS, HBAG, NOW) is not None
    assert standing(Consents((consent(),)), soort, owner, to, NOW) is None


def test_consent_that_is_not_recorded_does_not_stand() -> None:
    assert not still_stands(Consents(), "R-1", NOW)
    assert not still_stands(Consents((consent(),)), "", NOW)


def test_after_a_withdrawal_a_new_consent_stands() -> None:
    entries = [granted(), withdrawn(), granted("R-2", NOW + SECOND)]
    found = standing(Consents().with_entries(entries), SOORT, CBS, HBAG, NOW + SECOND)
    assert found is not None and "R-2" == found.reference


def test_who_and_when_are_those_of_the_entry() -> None:
    """A row cannot say otherwise."""
    told = {**ROW, "by": "de minister", "granted_at": "1999-01-01T00:00:00Z", "reference": "R-9"}
    assert (consent(),) == Consents().with_entries([granted(row=told)]).rows


def test_a_wrong_row_of_the_register_is_told() -> None:
    with pytest.raises(ConfigError, match="register of consents: consent R-1: documents is missing"):
        Consents().with_entries([granted(row={**ROW, "documents": []})])


def test_a_consent_is_pinned_to_the_documents_of_the_copy_rule() -> None:
    """Those of routes.toml on the day it is given; the root element as lxml writes it, read back as the same."""
    routes = tables.load_routes()
    assert ROW == copies.pinned({"berichtsoort": SOORT, "to": HBAG}, routes, "R-1")

    rows = [row for row in routes.table["route"] if row["berichtsoort"] == SOORT]
    copy = {"to": "HBAG", "documents": [{"part": "inhoud", "root": "xbrli:xbrl"}]}
    changed = routes.with_rows({SOORT: {**rows[0], "copy": [copy]}})
    row = copies.pinned({"berichtsoort": SOORT, "to": HBAG}, changed, "R-1")
    root = Name("http://www.xbrl.org/2003/instance", "xbrl")
    kept = Consents().with_entries([granted(row=json.loads(json.dumps(row)))]).rows[0]
    assert (Selector("inhoud", root=root),) == kept.documents


def test_what_the_asker_says_of_owner_and_documents_does_not_count() -> None:
    wide = {"berichtsoort": SOORT, "to": HBAG, "owner": BELASTINGDIENST, "documents": [{"bestandsnaam": "*"}]}
    assert ROW == copies.pinned(wide, tables.load_routes(), "R-1")


@pytest.mark.parametrize(
    ("soort", "to", "told"),
    [
        ("Statistiek_Groothandl", HBAG, "unknown berichtsoort 'Statistiek_Groothandl'; did you mean"),
        (SOORT, BELASTINGDIENST, f"route {SOORT} has no copy to {BELASTINGDIENST}"),
        ("Omzetbelasting", HBAG, f"route Omzetbelasting has no copy to {HBAG}"),
        (SOORT, "HBAG", "is no OIN"),
    ],
)
def test_only_a_copy_of_a_route_can_be_consented_to(soort: str, to: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        copies.pinned({"berichtsoort": soort, "to": to}, tables.load_routes(), "R-1")
    assert told in str(refused.value)


def test_shipped_consents_fit_the_shipped_routes() -> None:
    copies.check_against(tables.load_consents().rows, tables.load_routes())


DOCUMENTS = 'documents = [{ part = "bijlage", bestandsnaam = "hbag-*" }]'
BROKEN = {
    "unknown key": ("by =", "who =", "unknown key 'who'"),
    "no documents": (DOCUMENTS, "", "documents is missing"),
    "everything": (DOCUMENTS, "documents = [{}]", "an empty selector selects everything"),
    "unknown selector": ('part = "bijlage"', 'soort = "x"', "unknown key 'soort'"),
    "no OIN": (f'to = "{HBAG}"', 'to = "HBAG"', "is no OIN"),
    "time without zone": ("09:00:00Z", "09:00:00", "granted_at must be a time with its zone"),
    "a withdrawal": (
        "[[consent]]\nref",
        '[[withdrawal]]\nreference = "X"\n[[consent]]\nref',
        "unknown key 'withdrawal'",
    ),
    "twice": (SHIPPED, SHIPPED + SHIPPED, "a reference occurs twice"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_mistake_is_found(name: str) -> None:
    old, new, told = BROKEN[name]
    assert old in SHIPPED
    with pytest.raises(ConfigError) as refused:
        Consents.of(tomllib.loads(SHIPPED.replace(old, new)))
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (f'"{SOORT}"', '"Statistiek_Groothandl"', "did you mean 'Statistiek_Groothandel'?"),
        (f'owner = "{CBS}"', f'owner = "{BELASTINGDIENST}"', "does not own"),
        (f'to = "{HBAG}"', f'to = "{BELASTINGDIENST}"', "has no copy to"),
    ],
)
def test_consent_must_fit_a_route(old: str, new: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        copies.check_against(Consents.of(tomllib.loads(SHIPPED.replace(old, new))).rows, tables.load_routes())
    assert told in str(refused.value)


def test_granted_time_is_utc() -> None:
    assert datetime(2026, 1, 5, 9, tzinfo=UTC) == tables.load_consents().rows[0].granted_at
