"""Registers beside the files: what stands, what fits, what the tables become."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from helpers_hub import BAKKERIJ, CBS, DE_BOER, HBAG

from digipoort_as4.errors import ConfigError
from digipoort_as4.hub import registers
from digipoort_as4.hub.copies import Consents
from digipoort_as4.hub.decision import Register
from digipoort_as4.hub.registers import CONSENT, MANDATE, ROUTE, Tables
from digipoort_as4.hub.routes import Routes
from digipoort_as4.storage import tables

AT = datetime(2026, 11, 24, tzinfo=UTC)
FILES = Tables(tables.load_routes(), tables.load_parties(), tables.load_consents())
GRANT: dict[str, Any] = {
    "party": BAKKERIJ,
    "reference": "m-1",
    "kind": "status",
    "for": {"type": "KvK", "nummer": "90001102"},
    "berichtsoorten": ["e-factuur"],
    "from": "2026-01-01",
    "until": "2026-12-31",
}
NEW: dict[str, Any] = {
    "berichtsoort": "Proefbericht",
    "owner": "CBS",
    "steps": [["wellformed"]],
    "mime_types": ["text/xml"],
}
SOORT = "Statistiek_Groothandel"
CONSENTED: dict[str, Any] = {
    "berichtsoort": SOORT,
    "owner": CBS,
    "to": HBAG,
    "documents": [{"part": "bijlage", "bestandsnaam": "hbag-*"}],
}


def entry(register: str, key: str, row: object) -> Register:
    return Register(register, key, None if row is None else json.dumps(row), "J. Bos", "proef", AT)


def mistakes(*changes: Register, kept: tuple[Register, ...] = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        registers.check(changes, kept, FILES.with_register(kept))
    return str(caught.value)


def test_the_last_entry_of_a_key_stands() -> None:
    """Set, withdrawn, set again; the other register has keys of its own."""
    first, gone, again = entry(ROUTE, "A", {"a": 1}), entry(ROUTE, "A", None), entry(ROUTE, "A", {"a": 2})
    other = entry(MANDATE, "A", {"m": 1})
    assert {"A": {"a": 1}} == registers.standing([first, other], ROUTE)
    assert {"A": None} == registers.standing([first, gone, other], ROUTE)
    assert {"A": {"a": 2}} == registers.standing([first, gone, again], ROUTE)
    assert {"A": {"m": 1}} == registers.standing([first, other], MANDATE)


def test_a_route_is_added_replaced_and_taken_away() -> None:
    """The file's other rows stay as they are."""
    added = FILES.with_register([entry(ROUTE, "Proefbericht", NEW)]).routes
    found = added.find("Proefbericht")
    assert found is not None
    assert "CBS" == found.body
    assert set(FILES.routes.rows) == set(added.rows) - {found}

    old = next(row for row in FILES.routes.table["route"] if row["berichtsoort"] == "ICP")
    changed = FILES.with_register([entry(ROUTE, "ICP", {**old, "document_limit": 1000})]).routes.find("ICP")
    before = FILES.routes.find("ICP")
    assert before is not None and changed is not None
    assert (20_971_520, 1000) == (before.document_limit, changed.document_limit)

    gone = FILES.with_register([entry(ROUTE, "ICP", None)]).routes
    assert gone.find("ICP") is None
    assert len(FILES.routes.rows) - 1 == len(gone.rows)


def test_good_entries_are_taken() -> None:
    registers.check([entry(MANDATE, "m-1", GRANT)], (), FILES)
    registers.check([entry(ROUTE, "Proefbericht", NEW)], (), FILES)
    registers.check([entry(MANDATE, "m-1", None)], (entry(MANDATE, "m-1", GRANT),), FILES)
    registers.check([entry(ROUTE, "ICP", None)], (), FILES)


def test_all_mistakes_of_a_grant_are_told_at_once() -> None:
    """A party that has no row, and a berichtsoort that is misspelt."""
    wrong = {**GRANT, "party": "00000099000000101001", "berichtsoorten": ["e-Factuur", "ICP"]}
    told = mistakes(entry(MANDATE, "m-1", wrong))
    assert "unknown party '00000099000000101001'" in told
    assert "unknown berichtsoort 'e-Factuur'; did you mean 'e-factuur'?" in told
    assert 2 == len(told.splitlines())


def test_a_reference_is_used_once() -> None:
    """Not again after its withdrawal either: the history stays readable."""
    granted, gone = entry(MANDATE, "m-1", GRANT), entry(MANDATE, "m-1", None)
    assert "used before" in mistakes(granted, kept=(granted,))
    assert "used before" in mistakes(granted, kept=(granted, gone))


def test_only_what_stands_is_withdrawn() -> None:
    granted, gone = entry(MANDATE, "m-1", GRANT), entry(MANDATE, "m-1", None)
    assert "unknown mandate 'm-1'" in mistakes(gone)
    assert "m-1: this mandate was withdrawn at 2026-11-24" in mistakes(gone, kept=(granted, gone))
    assert "unknown route 'Omzetbelastng'; did you mean 'Omzetbelasting'?" in mistakes(
        entry(ROUTE, "Omzetbelastng", None)
    )


def test_a_wrong_route_is_told_by_the_reader_of_the_file() -> None:
    """All mistakes of all rows."""
    told = mistakes(
        entry(ROUTE, "Proefbericht", {**NEW, "owner": "CSB", "mime_types": []}),
        entry(ROUTE, "icp", {**NEW, "berichtsoort": "icp"}),
    )
    assert "unknown owner 'CSB'; did you mean 'CBS'?" in told
    assert "mime_types is missing" in told
    assert "route icp: berichtsoort occurs twice" in told


def test_a_route_that_a_consent_rests_on_is_not_taken_away() -> None:
    """The consent would hang in the air; once it is withdrawn the route can go."""
    (consent,) = FILES.consents.rows
    gone = entry(ROUTE, consent.berichtsoort, None)
    withdrawn = entry(CONSENT, consent.reference, None)
    given = entry(CONSENT, "c-1", CONSENTED)
    assert f"unknown berichtsoort {consent.berichtsoort!r}" in mistakes(gone)
    assert "consent c-1: unknown berichtsoort" in mistakes(gone, kept=(withdrawn, given))
    registers.check([gone], (withdrawn,), FILES.with_register((withdrawn,)))


def test_a_consent_of_the_register_whose_route_left_the_file_keeps_nobody_from_starting() -> None:
    """One of consents.toml does: there the operator can mend it."""
    bodies, others = FILES.routes.table, [row for row in FILES.routes.rows if row.berichtsoort != SOORT]
    rows = [row for row in bodies["route"] if row["berichtsoort"] != SOORT]
    files = replace(FILES, routes=Routes.of({**bodies, "route": rows}))
    with pytest.raises(ConfigError, match="consent CBS-HBAG-1: unknown berichtsoort"):
        files.with_register(())
    started = replace(files, consents=Consents()).with_register((entry(CONSENT, "c-1", CONSENTED),))
    assert len(others) == len(started.routes.rows)
    assert ["c-1"] == [row.reference for row in started.consents.rows]


def test_a_consent_is_granted_once_and_withdrawn_once() -> None:
    """A reference of the file is taken too; what is withdrawn must stand."""
    given, gone = entry(CONSENT, "c-1", CONSENTED), entry(CONSENT, "c-1", None)
    registers.check([given], (), FILES)
    registers.check([gone], (given,), FILES.with_register((given,)))
    assert "c-1: this reference was used before" in mistakes(given, kept=(given,))
    assert "c-1: this reference was used before" in mistakes(given, kept=(given, gone))
    assert "used before" in mistakes(entry(CONSENT, "CBS-HBAG-1", CONSENTED))
    assert "c-1: this consent was withdrawn at 2026-11-24" in mistakes(gone, kept=(given, gone))
    assert "unknown consent 'c-1'; known: CBS-HBAG-1" in mistakes(gone)
    off = entry(CONSENT, "CBS-HBAG-1", None)
    registers.check([off], (), FILES)
    assert "this consent was withdrawn at" in mistakes(off, kept=(off,))


def test_only_rows_of_consents_are_filled_in() -> None:
    """A withdrawal has nothing to fill in, and a mandate stays as it came."""
    asked = {"berichtsoort": SOORT, "to": HBAG}
    assert {"c-1": CONSENTED, "c-2": None} == registers.filled_in(CONSENT, {"c-1": asked, "c-2": None}, FILES)
    assert {"m-1": GRANT} == registers.filled_in(MANDATE, {"m-1": GRANT}, FILES)


def test_the_list_shows_file_and_register() -> None:
    """Each mandate with where it stands and whether it does."""
    now = FILES.with_register([entry(MANDATE, "m-1", GRANT), entry(ROUTE, "Proefbericht", NEW)])
    rows = registers.listed(MANDATE, now, AT)
    assert {("m-1", BAKKERIJ, "status"), ("parties.toml", DE_BOER, "aanleveren")} == {
        (row["reference"], row["party"], row["kind"]) for row in rows
    }
    assert all(row["stands"] for row in rows)
    later = registers.listed(MANDATE, now, AT.replace(year=2027))
    assert {"m-1": False, "parties.toml": True} == {row["reference"]: row["stands"] for row in later}
    assert NEW in registers.listed(ROUTE, now, AT)
    assert [
        {
            **CONSENTED,
            "reference": "CBS-HBAG-1",
            "by": "CBS, afdeling berichtenstromen",
            "grantedAt": "2026-01-05T09:00:00+00:00",
        }
    ] == registers.listed(CONSENT, now, AT)
