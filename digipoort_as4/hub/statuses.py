"""The status table: every statuscode of the koppelvlak with its text and what it means for the sender.

Source: digipoort 3.1. Texts with a full stop are exact, from real answers; `ours` marks the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from digipoort_as4.hub.decision import Advance, Process, Status


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
        StatusRow("105", "Aanleverproces gestart.", False, True),
        StatusRow("100", "Aanleveren gelukt.", False, True),
        StatusRow("110", "Aanleverproces wordt aangeboden.", False, True),
        StatusRow("200", "Authenticatie gelukt.", False, True),
        StatusRow("210", "Authenticatie niet gelukt.", True, False, True),
        StatusRow("230", "Technisch probleem bij de Autorisatie Service Provider.", False, False, True),
        StatusRow("301", "Validatie gelukt.", False, True),
        StatusRow("311", "Validatie niet gelukt.", True, False, True),
        StatusRow("321", "Technisch probleem bij validatie.", False, False, True),
        StatusRow("405", "Afleveren naar uitvragende partij bezig...", False, True),
        StatusRow("400", "Afleveren uitvragende partij gelukt.", False, True),
        StatusRow("410", "Afleveren uitvragende partij niet gelukt.", True, False, True),
        StatusRow("420", "Technisch probleem bij afleveren; Digipoort blijft proberen.", False, False, True),
        StatusRow("500", "Validatie bij de uitvragende partij gelukt.", True, True),
        StatusRow("510", "Validatie bij de uitvragende partij niet gelukt.", True, False, True),
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
    """A status with the table's text and a time in whole milliseconds, as the wire shows it.

    Args:
        foutcode: at most 20 characters, with foutbeschrijving; None when nothing is wrong.
        details: statusdetails, at most 1,048,576 characters.
    """
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    return Status(code, at, TABLE[code].omschrijving, foutcode, foutbeschrijving, details)


def in_order(last: datetime | None, statuses: Sequence[Status]) -> tuple[Status, ...]:
    """Shift times so that each is at least 1 ms after the one before (decision 11); `last` is None at the start."""
    shifted: list[Status] = []
    for status in statuses:
        last = status.at if last is None else max(status.at, last + STEP)
        shifted.append(replace(status, at=last))
    return tuple(shifted)


def advance(process: Process, state: str, told: Sequence[Status]) -> Advance:
    """The effect that moves a process on, its new statuses in order after the last one."""
    return Advance(process.kenmerk, process.version, state, in_order(process.last_status_at, told))
