"""Statuses on a line, as they come: one stop each, times to the millisecond, the end marked."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from digipoort_as4.cli import streams
from digipoort_as4.errors import TransportError
from digipoort_as4.sdk.client import DigipoortClient, conclude
from digipoort_as4.sdk.models import StatusResultaat
from digipoort_as4.storage import tables

DETAIL_LINES: Final = 12  # Lines of a foutbeschrijving or of statusdetails on a screen; --json has them all


def clock(at: datetime) -> str:
    """Local time of day with milliseconds."""
    return at.astimezone().time().isoformat("milliseconds")


def record(melding: StatusResultaat) -> dict[str, str | bool | None]:
    """A status for programs, in the names of the koppelvlak."""
    return {
        "statuscode": melding.code,
        "tijdstempelStatus": melding.at.isoformat(),
        "statusomschrijving": melding.description,
        "foutcode": melding.error_code,
        "foutbeschrijving": melding.error_text,
        "statusdetails": melding.statusdetails,
        "end": melding.is_end,
    }


def lines(melding: StatusResultaat, *, end: bool) -> list[str]:
    """One stop of the line, and what it carries."""
    code = streams.paint(melding.code, "green" if melding.is_good else "red", bold=end)
    shown = [f"{code}  {clock(melding.at)}  {melding.description}{'  END' if end else ''}"]
    for title, text in ((melding.error_code, melding.error_text), ("details", melding.statusdetails)):
        if text:
            shown += [f"     {title or ''}  {line}" for line in text.strip().splitlines()[:DETAIL_LINES]]
    return shown


def show(melding: StatusResultaat, as_json: bool, *, end: bool) -> None:
    """To stdout."""
    streams.show(as_json, record(melding), "\n".join(lines(melding, end=end)))


def ends_at(berichtsoort: str | None) -> frozenset[str]:
    """Codes at which this kind of message (None: not known) ends besides those the table calls an end."""
    route = tables.load_routes().find(berichtsoort) if berichtsoort else None
    # Without validation by the agency a message ends when it is delivered (digipoort 3.2: the invoice flow).
    return frozenset({"400"}) if route is not None and not route.agency_validates else frozenset()


def follow(client: DigipoortClient, kenmerk: str, berichtsoort: str | None, wait: timedelta, as_json: bool) -> None:
    """Show each status until the end.

    Raises:
        DocumentInvalid: 311. Refused: another end that is not good. TransportError: no end in time.
    """
    until = ends_at(berichtsoort)
    seen: list[StatusResultaat] = []
    for melding in client.follow(kenmerk, until=until, timeout=wait):
        seen.append(melding)
        show(melding, as_json, end=melding.is_end or melding.code in until)
    try:
        conclude(seen, until, wait)
    except TransportError as late:
        late.add_note("fix: digipoort status KENMERK --follow --wait SECONDS")
        raise
