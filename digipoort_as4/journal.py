"""One line of JSON for each thing that happened, for the operator. Never a payload, never a control character.

Does not rotate its file, and is no evidence: a line that cannot be written stops nothing."""

import json
import logging
import os
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

LONGEST: Final = 2_000
"""Characters of one value; a peer's words are cut there, so that nobody fills the disk through the journal."""

Fact = str | int | float | bool | None

_console = logging.getLogger("digipoort")
_encode: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode  # leaves only DEL unescaped


class Journal:
    """The journal of one process: the file DIR/journal.jsonl, appended to, or None, and the `digipoort` logger."""

    def __init__(
        self,
        path: Path | None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_number: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self._now, self._new_number = now, new_number
        self._file = None if path is None else os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    def write(self, event: str, *, level: int = logging.INFO, number: str = "", **facts: Fact) -> str:
        """Write one line, and return its journal number, 8 hex digits, which a peer may be told.
        The `event` is lower case with hyphens, e.g. `refused`; an empty `number` makes one; `facts` are kenmerk,
        berichtsoort, oin, cause, detail, …, never octets of a message."""
        number = number or self._new_number()
        told = {"at": self._now().isoformat(timespec="milliseconds"), "number": number, "event": event, **facts}
        cut = {name: value[:LONGEST] if isinstance(value, str) else value for name, value in told.items()}
        line = _encode(cut).replace("\x7f", "\\u007f")
        _console.log(level, "%s", line)
        if self._file is not None:
            try:  # one write of one line: with O_APPEND the lines of several processes do not mix
                os.write(self._file, line.encode("ascii") + b"\n")
            except OSError as error:
                _console.error("journal not written: %s", error.strerror)
        return number

    def close(self) -> None:
        """Close the file; later lines go to the logger only."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
