"""An agency's outbox: messages for businesses, one folder each as its back end drops them, and what became of each.

Seals and sends nothing (wus.versturen does), and trusts no name that a folder or an envelope brings."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from digipoort_as4.errors import StorageFailure, UsageError
from digipoort_as4.payload import Document, FilePayload, sha256
from digipoort_as4.storage.inbox import ENVELOPE
from digipoort_as4.storage.payloads import sync, write

TAKEN: Final = ".taken"  # Inside the outbox: what is being sent, out of the back end's hands and hidden from it
SENT, REFUSED = "sent", "refused"  # folders beside the outbox
ANSWER: Final = "answer.json"


class Outbox:
    """The folder that an agency's back end drops into; a folder in it appears whole, by one rename (decision 29)."""

    def __init__(self, folder: Path) -> None:
        """Make `folder` and, beside it, the folders for what was sent and what was refused."""
        self.folder, self._taken = folder, folder / TAKEN
        for each in (self._taken, folder.parent / SENT, folder.parent / REFUSED):
            each.mkdir(parents=True, exist_ok=True)
            sync(each.parent)

    def take(self) -> list[str]:
        """Take what was dropped; a name that is under way already waits. Names of all that are under way."""
        for entry in sorted(self.folder.iterdir()):
            if not entry.name.startswith(".") and entry.is_dir() and not (self._taken / entry.name).exists():
                with suppress(OSError):  # what cannot be taken stays where it was dropped, for its owner to see
                    entry.rename(self._taken / entry.name)
                    sync(self._taken)
                    sync(self.folder)
        return sorted(entry.name for entry in self._taken.iterdir())

    def read(self, name: str) -> tuple[Mapping[str, Any], tuple[Document, ...]]:
        """The envelope without its `documents`, and these. Raises UsageError: what is wrong, for the back end."""
        try:
            envelope = dict(json.loads((self._taken / name / ENVELOPE).read_text(encoding="utf-8")))
            rows = envelope.pop("documents")
            documents = tuple(self._document(name, number, dict(row)) for number, row in enumerate(rows))
        except KeyError as error:
            raise UsageError(f"{ENVELOPE}: {error} is missing") from error
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(f"{ENVELOPE}: {error}") from error
        return envelope, documents

    def _document(self, name: str, number: int, row: dict[str, Any]) -> Document:
        payload = self.file(name, row["file"])
        digest = sha256(payload)
        if (row.get("size", payload.size), row.get("sha256", digest.hex())) != (payload.size, digest.hex()):
            raise ValueError(f"{row['file']} is not what size and sha256 say")
        part, names = "bijlage" if number else "inhoud", (str(row["mimeType"]), str(row["bestandsnaam"]))
        return Document(part, *names, payload, payload.size, digest, f"document-{number}")

    def file(self, name: str, file: str) -> FilePayload:
        """A file of a taken folder. ValueError for a name that is a path or no regular file."""
        path = self._taken / name / file
        if path.parent != self._taken / name or path.is_symlink() or not path.is_file():
            raise ValueError(f"{file!r} is no file of this folder")
        return FilePayload(path, 0, path.stat().st_size)

    def settle(self, name: str, where: str, told: str, answer: bytes, mark: str) -> None:
        """Move a folder to `where` with answer.json and the answer itself; safe to do again after a crash.
        `mark` is unique and ends the name when the place has such a folder already.
        Raises StorageFailure: the disk did not take it."""
        place, target = self._taken / name, self.folder.parent / where / name
        if not place.exists():  # moved before a crash
            return
        try:
            for file, octets in ((ANSWER, told.encode()), ("answer.xml", answer)):
                (place / file).unlink(missing_ok=True)
                if octets:
                    write(place / file, [octets])
            sync(place)
            place.rename(target.with_name(f"{name}-{mark}") if target.exists() else target)
            sync(target.parent)
            sync(self._taken)
        except OSError as error:
            raise StorageFailure(f"outbox {self.folder}: {error}") from error
