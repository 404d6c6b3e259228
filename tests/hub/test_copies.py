"""Consents: when one stands, how it is recorded and withdrawn, and what is wrong in a file."""

from __future__ import annotations

import tomllib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from helpers_hub import BELASTINGDIENST, CBS, HBAG, NOW

from digipoort_as4.errors import ConfigError, UsageError
from digipoort_as4.hub import copies
from digipoort_as4.hub.copies import Consent, Consents, standing, still_stands
from digipoort_as4.hub.routes import Selector
from digipoort_as4.storage import tables

SOORT = "Statistiek_Groothandel"
SHIPPED = (tables.SHIPPED / copies.FILE).read_text(encoding="utf-8")
SECOND = timedelta(seconds=1)


def consent(reference: str = "R-1", granted_at: datetime = NOW) -> Consent:
    return Consent(reference, SOORT, CBS, HBAG, (Selector("bijlage", "hbag-*"),), 'A "B" \\ C', granted_at)


def test_a_consent_stands_from_grant_to_withdrawal() -> None:
    """Inclusive at the grant, no longer at the withdrawal."""
    text = copies.withdraw(copies.grant("", consent()), "R-1", "CBS", NOW + SECOND)
    consents = Consents.of(tomllib.loads(text))
    moments = [NOW - SECOND, NOW, NOW + SECOND]
    assert [None, "R-1", None] == [
        (found := standing(consents, SOORT, CBS, HBAG, at)) and found.reference for at in moments
    ]
    assert [False, True, False] == [still_stands(consents, "R-1", at) for at in moments]


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


def test_entries_are_only_added() -> None:
    """History stays: the old text is the beginning of the new, comments included."""
    granted = copies.grant(SHIPPED, consent())
    withdrawn = copies.withdraw(granted, "R-1", "CBS", NOW + SECOND)
    assert granted.startswith(SHIPPED.rstrip())
    assert withdrawn.startswith(granted.rstrip())
    kept = Consents.of(tomllib.loads(withdrawn)).find("R-1")
    assert kept is not None
    assert ('A "B" \\ C', "CBS", NOW + SECOND) == (kept.by, kept.withdrawn_by, kept.withdrawn_at)
    assert consent().documents == kept.documents


def test_granting_again_needs_a_new_reference() -> None:
    with pytest.raises(UsageError, match="exists already"):
        copies.grant(copies.grant("", consent()), consent())


def test_withdrawing_needs_a_standing_consent() -> None:
    text = copies.withdraw(copies.grant("", consent()), "R-1", "CBS", NOW)
    with pytest.raises(UsageError, match="was withdrawn at"):
        copies.withdraw(text, "R-1", "CBS", NOW)
    with pytest.raises(UsageError, match="there is no consent R-2"):
        copies.withdraw(text, "R-2", "CBS", NOW)


def test_after_a_withdrawal_a_new_consent_stands() -> None:
    text = copies.withdraw(copies.grant("", consent()), "R-1", "CBS", NOW)
    text = copies.grant(text, consent("R-2", NOW + SECOND))
    found = standing(Consents.of(tomllib.loads(text)), SOORT, CBS, HBAG, NOW + SECOND)
    assert found is not None and "R-2" == found.reference


def test_file_is_changed_in_one_go(tmp_path: Path) -> None:
    """Grant and withdrawal are in the file when the call returns, and nothing but the lock is left beside it."""
    path = tmp_path / copies.FILE
    path.write_text(SHIPPED, encoding="utf-8")
    file = tables.ConsentFile(path)
    file.withdraw("CBS-HBAG-1", "CBS", NOW)
    assert not still_stands(tables.load_consents(path), "CBS-HBAG-1", NOW)
    file.grant(consent())
    assert still_stands(tables.load_consents(path), "R-1", NOW)
    assert {".consents.toml.lock", "consents.toml"} == {file.name for file in tmp_path.iterdir()}


def test_refused_change_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / copies.FILE
    path.write_text(SHIPPED, encoding="utf-8")
    with pytest.raises(UsageError):
        tables.ConsentFile(path).withdraw("nobody", "CBS", NOW)
    assert SHIPPED == path.read_text(encoding="utf-8")


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    """Forty grants by four writers at once are forty consents."""
    path = tmp_path / copies.FILE
    path.write_text("", encoding="utf-8")
    with ThreadPoolExecutor(4) as writers:
        for done in [writers.submit(tables.ConsentFile(path).grant, consent(f"R-{n}")) for n in range(40)]:
            done.result()
    assert {f"R-{n}" for n in range(40)} == {row.reference for row in tables.load_consents(path).rows}


def test_shipped_consents_fit_the_shipped_routes() -> None:
    copies.check_against(tables.load_consents(), tables.load_routes())


BROKEN = {
    "unknown key": ("by =", "who =", "unknown key 'who'"),
    "no documents": ('documents = [{ part = "bijlage", bestandsnaam = "hbag-*" }]', "", "documents is missing"),
    "root in a selector": ('part = "bijlage"', 'root = "x"', "unknown key 'root'"),
    "no OIN": (f'to = "{HBAG}"', 'to = "HBAG"', "is no OIN"),
    "time without zone": ("09:00:00Z", "09:00:00", "granted_at must be a time with its zone"),
    "withdrawal of nothing": (
        "[[consent]]",
        '[[withdrawal]]\nreference = "X"\nby = "Y"\nat = 2026-01-01T00:00:00Z\n[[consent]]',
        "there is no consent 'X'",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_mistake_is_found(name: str) -> None:
    old, new, told = BROKEN[name]
    with pytest.raises(ConfigError) as refused:
        Consents.of(
            tomllib.loads(
                SHIPPED.replace(f"\n{old}", f"\n{new}") if old == "[[consent]]" else SHIPPED.replace(old, new)
            )
        )
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
        copies.check_against(Consents.of(tomllib.loads(SHIPPED.replace(old, new))), tables.load_routes())
    assert told in str(refused.value)


def test_granted_time_is_utc() -> None:
    assert datetime(2026, 1, 5, 9, tzinfo=UTC) == tables.load_consents().rows[0].granted_at
