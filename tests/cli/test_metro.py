"""What a line of statuses means for the exit code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from digipoort_as4.cli import metro
from digipoort_as4.errors import DocumentInvalid, Refused, TransportError
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.sdk.client import conclude
from digipoort_as4.wus.koppelvlak import StatusResultaat

AT = datetime(2026, 11, 24, 12, 0, 0, 12000, tzinfo=UTC)
WAIT = timedelta(seconds=1)


def seen(*codes: str) -> list[StatusResultaat]:
    who = Identiteit("001000044B37", "BTW")
    return [
        StatusResultaat("k", who, code, AT, f"tekst {code}", None, "reden" if code == "510" else None) for code in codes
    ]


@pytest.mark.parametrize(
    ("codes", "berichtsoort"), [(("105", "400", "500"), "Omzetbelasting"), (("105", "301", "400"), "e-factuur")]
)
def test_a_good_end_is_no_error(codes: tuple[str, ...], berichtsoort: str) -> None:
    """500 ends a tax flow, 400 an invoice flow (digipoort 3.2)."""
    conclude(seen(*codes), metro.ends_at(berichtsoort), WAIT)


@pytest.mark.parametrize(
    ("codes", "error"),
    [
        (("105", "311"), DocumentInvalid),
        (("105", "210"), Refused),
        (("105", "405", "410"), Refused),
        (("105", "400", "510"), Refused),
        (("105", "400"), TransportError),
        (("105", "420"), TransportError),
        ((), TransportError),
    ],
)
def test_any_other_end_is_its_own_error(codes: tuple[str, ...], error: type[Exception]) -> None:
    """311: the document; other bad ends: refused; no end in time: network."""
    with pytest.raises(error):
        conclude(seen(*codes), metro.ends_at("Omzetbelasting"), WAIT)


def test_a_stop_shows_time_text_end_and_details() -> None:
    """One line, and one for what it carries."""
    assert ["510  12:00:00.012  tekst 510  END", "     details  reden"] == [
        line.replace(f"{AT.astimezone():%H:%M}", "12:00") for line in metro.lines(seen("510")[0], end=True)
    ]


def test_an_unknown_berichtsoort_ends_by_the_table_only() -> None:
    """Nothing is guessed for a route we do not have."""
    assert frozenset() == metro.ends_at("Onbekend") == metro.ends_at(None)
