"""Statuses on a line, as they come: one stop each, times to the millisecond, the end marked."""

from datetime import datetime, timedelta
from typing import Final

from digipoort_as4.cli import streams
from digipoort_as4.errors import TransportError
from digipoort_as4.sdk.client import DigipoortClient, conclude
from digipoort_as4.storage import tables
from digipoort_as4.wus.koppelvlak import StatusResultaat

DETAIL_LINES: Final = 12  # Lines of a foutbeschrijving or of statusdetails on a screen; --json has them all


def clock(at: datetime) -> str:
    """Local time of day with milliseconds."""
    return at.astimezone().time().isoformat("milliseconds")


def record(melding: StatusResultaat) -> dict[str, str | bool | None]:
    """A status for programs, in the names of the koppelvlak."""
    fout = melding.status_foutcode
    return {
        "statuscode": melding.statuscode,
        "tijdstempelStatus": melding.tijdstempel_status.isoformat(),
        "statusomschrijving": melding.statusomschrijving,
        "foutcode": fout.foutcode if fout else None,
        "foutbeschrijving": fout.foutbeschrijving if fout else None,
        "statusdetails": melding.statusdetails,
        "end": melding.is_end,
    }


def lines(melding: StatusResultaat, *, end: bool) -> list[str]:
    """One stop of the line, and what it carries."""
    fout = melding.status_foutcode
    code = streams.paint(melding.statuscode, "green" if melding.is_good else "red", bold=end)
    shown = [f"{code}  {clock(melding.tijdstempel_status)}  {melding.statusomschrijving}{'  END' if end else ''}"]
    for title, text in (
        (fout.foutcode, fout.foutbeschrijving) if fout else ("", ""),
        ("details", melding.statusdetails),
    ):
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
        DocumentInvalid: 311. Refused: another end that is not good. TransportError: no end in time."""
    until = ends_at(berichtsoort)
    seen: list[StatusResultaat] = []
    for melding in client.follow(kenmerk, until=until, timeout=wait):
        seen.append(melding)
        show(melding, as_json, end=melding.is_end or melding.statuscode in until)
    try:
        conclude(seen, until, wait)
    except TransportError as late:
        late.add_note("fix: digipoort status KENMERK --follow --wait SECONDS")
        raise
