"""Statuses on a line, as they come: one stop each, times to the millisecond, the end marked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from digipoort_as4.cli import streams
from digipoort_as4.errors import DocumentInvalid, Refused, TransportError, failure
from digipoort_as4.sdk.connection import Connection
from digipoort_as4.sdk.status import Melding
from digipoort_as4.sdk.status import follow as follow_statuses
from digipoort_as4.storage import tables

DETAIL_LINES: Final = 12  # Lines of a foutbeschrijving or of statusdetails on a screen; --json has them all


def clock(at: datetime) -> str:
    """Local time of day with milliseconds."""
    return at.astimezone().time().isoformat("milliseconds")


def record(melding: Melding) -> dict[str, str | bool | None]:
    """A status for programs, in the names of the koppelvlak."""
    return {
        "statuscode": melding.code,
        "tijdstempelStatus": melding.at.isoformat(),
        "statusomschrijving": melding.omschrijving,
        "foutcode": melding.foutcode,
        "foutbeschrijving": melding.foutbeschrijving,
        "statusdetails": melding.details,
        "end": melding.is_end,
    }


def lines(melding: Melding, *, end: bool) -> list[str]:
    """One stop of the line, and what it carries."""
    code = streams.paint(melding.code, "green" if melding.is_good else "red", bold=end)
    shown = [f"{code}  {clock(melding.at)}  {melding.omschrijving}{'  END' if end else ''}"]
    for title, text in ((melding.foutcode, melding.foutbeschrijving), ("details", melding.details)):
        if text:
            shown += [f"     {title or ''}  {line}" for line in text.strip().splitlines()[:DETAIL_LINES]]
    return shown


def show(melding: Melding, as_json: bool, *, end: bool) -> None:
    """To stdout."""
    streams.show(as_json, record(melding), "\n".join(lines(melding, end=end)))


def ends_at(berichtsoort: str | None) -> frozenset[str]:
    """Codes at which this kind of message (None: not known) ends besides those the table calls an end."""
    route = tables.load_routes().find(berichtsoort) if berichtsoort else None
    # Without validation by the agency a message ends when it is delivered (digipoort 3.2: the invoice flow).
    return frozenset({"400"}) if route is not None and not route.agency_validates else frozenset()


def follow(connection: Connection, kenmerk: str, berichtsoort: str | None, wait: timedelta, as_json: bool) -> None:
    """Show each status until the end.

    Raises:
        DocumentInvalid: 311. Refused: another end that is not good. TransportError: no end in time.
    """
    until = ends_at(berichtsoort)
    seen: list[Melding] = []
    for melding in follow_statuses(connection, kenmerk, until, wait):
        seen.append(melding)
        show(melding, as_json, end=melding.is_end or melding.code in until)
    judge(seen, until, wait)


def judge(seen: Sequence[Melding], until: frozenset[str], wait: timedelta) -> None:
    """Raise what the last status means."""
    last = seen[-1] if seen else None
    if last is None or not (last.is_end or last.code in until):
        what, found = (
            f"no end within {wait.total_seconds():g} s",
            f"the last status is {last.code if last else 'nothing'}",
        )
        raise failure(TransportError, what, found=found, fix="digipoort status KENMERK --follow --wait SECONDS")
    if last.code == "311":
        raise failure(DocumentInvalid, last.omschrijving, fix="mend the document and send it again")
    if not last.is_good:
        raise Refused(last.omschrijving, code=last.foutcode or "", status=last.code)
