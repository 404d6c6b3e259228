"""Times as the tables hold them: whole microseconds since 1970-01-01 UTC. Looks at no clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


def to_stored(at: datetime) -> int:
    """Microseconds since the epoch; exact, unlike a float timestamp. TypeError for a time without time zone."""
    return (at - EPOCH) // MICROSECOND


def from_stored(at: int) -> datetime:
    """The UTC time it was."""
    return EPOCH + at * MICROSECOND
