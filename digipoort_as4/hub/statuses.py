"""Statuses of a process: the table of statuscodes as codes.toml has it, and how a new status follows the last.

Knows no process's rules; hub.verwerken and hub.delivery decide which status comes. Source: digipoort 3.1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from digipoort_as4 import codes
from digipoort_as4.hub.decision import Advance, Process, Status


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One row of the table."""

    code: str
    omschrijving: str  # At most 80 characters
    severity: str  # good, warning or error
    end: bool = False  # True: nothing follows for this message
    ours: bool = False  # True: the text is ours, Digipoort's is not known

    @property
    def good(self) -> bool:
        """Neither an error nor a warning."""
        return self.severity == "good"


TABLE: Final[Mapping[str, StatusRow]] = {
    row.code: StatusRow(row.code, row.text, ours=row.ours, **row.more) for row in codes.TABLES["status"].values()
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
    A foutcode has at most 20 characters and comes with foutbeschrijving; details are statusdetails, at most 1,048,576.
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
