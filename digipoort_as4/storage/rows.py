"""Rows of the tables as our values; times stand there as whole microseconds since 1970-01-01 UTC. Looks at no clock."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)

Row = tuple[Any, ...]
Model = TypeVar("Model")


def to_stored(at: datetime) -> int:
    """Microseconds since the epoch; exact, unlike a float timestamp. TypeError for a time without time zone."""
    return (at - EPOCH) // MICROSECOND


def from_stored(at: int) -> datetime:
    """The UTC time it was."""
    return EPOCH + at * MICROSECOND


def made(model: type[Model], rows: Iterable[Row], as_read: Mapping[str, Callable[[Any], Any]]) -> list[Model]:
    """One dataclass per row, whose columns stand in the order of its fields; `as_read` by field, None stays None."""
    readers = [as_read.get(field.name) for field in fields(model)]  # type: ignore[arg-type]  # a dataclass
    return [
        model(*(read(one) if read and one is not None else one for read, one in zip(readers, row, strict=True)))
        for row in rows
    ]
