"""The operator's tables as files: reads routes, parties and consents, and adds entries to the consents.

Judges nothing: the hub's readers say what is wrong in a table.
"""

from __future__ import annotations

import fcntl
import os
import tomllib
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from digipoort_as4 import hub
from digipoort_as4.errors import ConfigError
from digipoort_as4.hub import copies, mandates, routes
from digipoort_as4.hub.copies import Consent, Consents
from digipoort_as4.hub.mandates import Parties
from digipoort_as4.hub.routes import Routes
from digipoort_as4.storage.payloads import sync_folder

SHIPPED: Final = Path(hub.__file__).parent  # Where the tables of the local post office lie


def load_routes(path: Path = SHIPPED / routes.FILE) -> Routes:
    """The route table of a file; ConfigError lists all mistakes."""
    return Routes.of(_table(path))


def load_parties(path: Path = SHIPPED / mandates.FILE) -> Parties:
    """The party table of a file; ConfigError lists all mistakes."""
    return Parties.of(_table(path))


def load_consents(path: Path = SHIPPED / copies.FILE) -> Consents:
    """The consents of a file; ConfigError lists all mistakes."""
    return Consents.of(_table(path))


def _table(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


class ConsentFile:
    """The file of consents as the operator changes it; whoever reads it finds the old or the new one, never half."""

    def __init__(self, path: Path) -> None:
        self.path = path  # read at each change

    def grant(self, consent: Consent) -> None:
        """Add a consent; durable when this returns. UsageError when its reference is taken."""
        self._change(lambda text: copies.grant(text, consent))

    def withdraw(self, reference: str, by: str, at: datetime) -> None:
        """Add a withdrawal; durable when this returns. UsageError when no such consent stands."""
        self._change(lambda text: copies.withdraw(text, reference, by, at))

    def _change(self, change: Callable[[str], str]) -> None:
        """Replace the file in one rename; a lock keeps two writers from undoing each other."""
        lock = os.open(self.path.with_name(f".{self.path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _replace(self.path, change(_text(self.path)))
        finally:
            os.close(lock)


def _replace(path: Path, text: str) -> None:
    """Write, fsync, rename, fsync the folder: the old file or the new one, never half."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)
