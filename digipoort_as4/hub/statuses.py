"""The status table: every statuscode of the koppelvlak with its text and what it means for the sender.

Source: digipoort 3.1. Texts with a full stop are exact, from real answers; `ours` marks the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from digipoort_as4.hub.decision import Status


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One row of the table."""

    code: str
    omschrijving: str  # At most 80 characters
    end: bool  # True: nothing follows for this message
    good: bool  # False: an error or warning
    ours: bool = False  # True: the text is ours, Digipoort's is not known


TABLE: Final[dict[str, StatusRow]] = {
    row.code: row
    for row in (
        StatusRow("105", "Aanleverproces gestart.", end=False, good=True),
        StatusRow("100", "Aanleveren gelukt.", end=False, good=True),
        StatusRow("110", "Aanleverproces wordt aangeboden.", end=False, good=True),
        StatusRow("200", "Authenticatie gelukt.", end=False, good=True),
        StatusRow("210", "Authenticatie niet gelukt.", end=True, good=False, ours=True),
        StatusRow("230", "Technisch probleem bij de Autorisatie Service Provider.", end=False, good=False, ours=True),
        StatusRow("301", "Validatie gelukt.", end=False, good=True),
        StatusRow("311", "Validatie niet gelukt.", end=True, good=False, ours=True),
        StatusRow("321", "Technisch probleem bij validatie.", end=False, good=False, ours=True),
        StatusRow("405", "Afleveren naar uitvragende partij bezig...", end=False, good=True),
        StatusRow("400", "Afleveren uitvragende partij gelukt.", end=False, good=True),
        StatusRow("410", "Afleveren uitvragende partij niet gelukt.", end=True, good=False, ours=True),
        StatusRow(
            "420", "Technisch probleem bij afleveren; Digipoort blijft proberen.", end=False, good=False, ours=True
        ),
        StatusRow("500", "Validatie bij de uitvragende partij gelukt.", end=True, good=True),
        StatusRow("510", "Validatie bij de uitvragende partij niet gelukt.", end=True, good=False, ours=True),
    )
}

STEP: Final = timedelta(milliseconds=1)


def make(
    code: str,
    at: datetime,
    *,
    foutcode: str | None = None,
    foutbeschrijving: str | None = None,
    details: str | None = None,
) -> Status:
    """A status with the table's text.

    Args:
        code: a key of TABLE.
        at: UTC; cut to whole milliseconds, as the wire shows it.
        foutcode: at most 20 characters; None when nothing is wrong.
        foutbeschrijving: required with foutcode.
        details: statusdetails, at most 1,048,576 characters.
    """
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    return Status(code, at, TABLE[code].omschrijving, foutcode, foutbeschrijving, details)


def in_order(last: datetime | None, statuses: Sequence[Status]) -> tuple[Status, ...]:
    """Shift times so that each is at least 1 ms after the one before (decision 11).

    Args:
        last: time of the process's last stored status; None for a new process.
        statuses: in the order they happened.
    """
    shifted: list[Status] = []
    for status in statuses:
        at = status.at if last is None else max(status.at, last + STEP)
        last = at
        shifted.append(
            Status(status.code, at, status.omschrijving, status.foutcode, status.foutbeschrijving, status.details)
        )
    return tuple(shifted)
