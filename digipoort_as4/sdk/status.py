"""Statusinformatie as a business asks for it: a kenmerk in, verified statuses out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from digipoort_as4.hub import statuses
from digipoort_as4.sdk.connection import Connection
from digipoort_as4.sdk.submit import GEEN_AUSP, call

POLL: Final = timedelta(milliseconds=300)
"""Between two questions while following on this machine; a real post office is asked every few minutes."""


@dataclass(frozen=True, slots=True)
class Melding:
    """One StatusResultaat."""

    code: str
    at: datetime
    omschrijving: str
    foutcode: str | None = None
    foutbeschrijving: str | None = None
    details: str | None = None

    @property
    def is_end(self) -> bool:
        """Nothing follows for this message, by the table of statuses."""
        row = statuses.TABLE.get(self.code)
        return row is not None and row.end

    @property
    def is_good(self) -> bool:
        """Neither an error nor a warning."""
        row = statuses.TABLE.get(self.code)
        return row is not None and row.good


def ask(connection: Connection, kenmerk: str, *, only_new: bool = False) -> tuple[Melding, ...]:
    """getStatussenProces, or getNieuweStatussenProces.

    Args:
        connection: as which business, to which post office.
        kenmerk: of the receipt.
        only_new: only what this business has not been told before.

    Raises:
        Refused: a fault; a kenmerk that is not yours looks like one that does not exist.
        SignatureError, TransportError, OutcomeUnknown: as `submit`.
    """
    operation = "getNieuweStatussenProces" if only_new else "getStatussenProces"
    answer, _ = call(connection, "statusinformatie", operation, {"kenmerk": kenmerk, "autorisatieAdres": GEEN_AUSP}, {})
    rows = getattr(answer, "StatusResultaat", answer)  # zeep hands over the array, or None for an empty one
    return tuple(melding(row) for row in rows or ())


def melding(row: Any) -> Melding:
    """The typed form of a StatusResultaat."""
    fault = row.statusFoutcode
    code, text = (fault.foutcode, fault.foutbeschrijving) if fault is not None else (None, None)
    return Melding(row.statuscode, row.tijdstempelStatus, row.statusomschrijving, code, text, row.statusdetails)


def follow(connection: Connection, kenmerk: str, until: frozenset[str], wait: timedelta) -> Iterator[Melding]:
    """Each status once, in order, as it comes, until an end; stops quietly when `wait` is over.

    Args:
        connection: as which business, to which post office.
        kenmerk: of the receipt.
        until: codes that end it besides those the table calls an end (an invoice ends at 400).
        wait: how long at most.
    """
    give_up, told = connection.clock() + wait, 0
    while True:
        rows = ask(connection, kenmerk)
        yield from rows[told:]
        told = len(rows)
        if any(row.is_end or row.code in until for row in rows) or connection.clock() >= give_up:
            return
        connection.sleep(POLL.total_seconds())
