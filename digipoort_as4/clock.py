"""The clock of one local post office: the machine's, moved by what stands in a file that all its processes read.

Never the clock of a production post office (config refuses it), and waits for nothing: who sleeps does so in real time.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from digipoort_as4.errors import UsageError, failure

FARTHEST: Final = timedelta(days=36_525)  # a hundred years either way: datetime ends at the year 9999
CRL: Final = ("renewed", "frozen")  # what the CA of the local post office does with its CRLs when the clock moves
UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}  # in seconds
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_duration(text: str) -> timedelta:
    """A length of time as people write it: 72h, 3s, 500ms, 1h30m, 2d; with a minus before it, back."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text)
    parts = _PART.findall(rest)
    if not parts or "".join(map("".join, parts)) != rest:
        raise failure(UsageError, f"{text!r} is no length of time", expected="such as 72h, 90s, 500ms, 1h30m or 2d")
    with suppress(OverflowError):
        if (length := timedelta(seconds=sum(float(n) * UNITS[unit] for n, unit in parts))) <= FARTHEST:
            return sign * length
    raise failure(UsageError, f"{text!r} is too long", expected=f"at most {FARTHEST.days} days")


def parse_moment(text: str) -> datetime:
    """A moment as ISO 8601 writes it, in UTC; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise failure(UsageError, f"{text!r} is no moment", expected="such as 2027-01-01T12:00:00Z") from error


@dataclass(frozen=True, slots=True)
class Moved:
    """How a clock differs from the machine's."""

    shift: timedelta = timedelta()  # added to the machine's time
    strict: bool = False  # True: Timestamps of messages, too, are made and judged by the moved clock (decision 25)
    crl: str = CRL[0]  # one of CRL; frozen: the CRLs stay as they are, and expire

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Moved:
        """From what `record` wrote. Raises ValueError, KeyError, TypeError: it is something else."""
        return cls(timedelta(seconds=record["shift"]), bool(record["strict"]), CRL[CRL.index(record["crl"])])

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {"shift": self.shift.total_seconds(), "strict": self.strict, "crl": self.crl}


class Clock:
    """Tells the time of the post office when called: aware UTC. What another process writes to its file counts at once.
    `before` is called with the new state before it counts and `after` when it does, both in the thread that moves it.
    """

    def __init__(self, file: Path | None = None, machine: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """The clock of the post office whose processes share `file`; None: of this object alone."""
        self._file, self.machine = file, machine
        self._path = "" if file is None else str(file)
        self._moved, self._stamp = Moved(), (0, 0)
        self.lock = threading.RLock()  # of whoever moves it, or signs CRLs for where it stands
        self.before: list[Callable[[Moved], None]] = []
        self.after: list[Callable[[], object]] = []

    def __call__(self) -> datetime:
        """The post office's time: of statuses, retries, leases, mandates, certificates and CRLs."""
        return self.machine() + self.moved().shift

    def wire(self) -> datetime:
        """The time of Timestamps in messages: the machine's, as outside clients have it, unless strict."""
        return self() if self.moved().strict else self.machine()

    def moved(self) -> Moved:
        """What counts at this moment; one look at the file's times, and a reading when they changed."""
        if self._path:
            try:
                found = os.stat(self._path)  # noqa: PTH116 - a microsecond, several times a message
                stamp = found.st_ino, found.st_mtime_ns
            except FileNotFoundError:
                stamp = 0, 0
            if stamp != self._stamp:
                self._read(stamp)
        return self._moved

    def _read(self, stamp: tuple[int, int]) -> None:
        try:
            self._moved = Moved.of(json.loads(Path(self._path).read_bytes())) if stamp[0] else Moved()
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return  # not ours: the state before it stays, and the next look tries again
        self._stamp = stamp

    def move(self, **changes: Any) -> Moved:
        """Change fields of `Moved`; those not named stay. Raises UsageError: farther than a hundred years."""
        with self.lock:
            moved = replace(self.moved(), **changes)
            if moved.crl not in CRL:
                raise failure(UsageError, f"crl cannot be {moved.crl!r}", expected=" or ".join(CRL))
            if abs(moved.shift) > FARTHEST:
                raise failure(UsageError, f"the clock moves at most {FARTHEST.days} days", fix="digipoort clock reset")
            for prepare in self.before:
                prepare(moved)
            if self._file is not None:
                part = self._file.with_name(f"{self._file.name}.{os.getpid()}.part")
                part.write_text(json.dumps(moved.record()) + "\n", encoding="ascii")
                part.replace(self._file)
            self._moved = moved
        for tell in self.after:
            tell()
        return moved

    def advance(self, by: timedelta) -> Moved:
        """Let so much time pass at once; a negative one takes it back."""
        return self.move(shift=self.moved().shift + by)

    def set(self, at: datetime) -> Moved:
        """Make it this moment (aware); time goes on from there."""
        return self.move(shift=at - self.machine())

    def reset(self) -> Moved:
        """The machine's time again, not strict, CRLs renewed."""
        return self.move(shift=timedelta(), strict=False, crl=CRL[0])


def wire_time(now: Callable[[], datetime]) -> datetime:
    """The time of Timestamps by the clock of an office or a desk: where it can be moved, `Clock.wire`."""
    return now.wire() if isinstance(now, Clock) else now()
