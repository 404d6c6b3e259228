"""An agency's inbox: one folder per hand-over, whole from the moment it can be seen.

Does not know what was handed over before (storage.agency_book), and never uses a name that a peer chose."""

import errno
import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from digipoort_as4.errors import StorageFailure
from digipoort_as4.payload import Document
from digipoort_as4.storage.payloads import sync, write

STAGING: Final = ".staging"
"""Inside the inbox, so that the hand-over is a rename within one file system; hidden, so that nobody collects there."""

ENVELOPE: Final = "envelope.json"

SAFE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A berichtkenmerk that may name a folder: every UUID does. No separator, no hidden name, nothing a shell minds."""

RESERVED: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""Names that are devices where the back end runs Windows and collects over a share."""

EXTENSIONS: Final[Mapping[str, str]] = {
    "text/xml": "xml", "application/xml": "xml", "application/xbrl+xml": "xbrl",
    "application/xbrl-instance+xml": "xbrl", "application/xhtml+xml": "xhtml", "text/html": "html",
    "text/plain": "txt", "text/csv": "csv", "application/json": "json", "application/pdf": "pdf",
    "application/zip": "zip", "application/gzip": "gz", "image/jpeg": "jpg", "image/png": "png", "image/tiff": "tif",
}  # fmt: skip
"""How a file ends, by its mimeType; any other type gets `bin`. bestandsnaam stays data in envelope.json."""


def folder_name(berichtkenmerk: str) -> str:
    """The folder of a hand-over: the berichtkenmerk itself (256 characters of anybody's choice), or else its digest."""
    if SAFE_NAME.fullmatch(berichtkenmerk) and not RESERVED.fullmatch(berichtkenmerk):
        return berichtkenmerk
    return "sha256-" + hashlib.sha256(berichtkenmerk.encode()).hexdigest()


def file_name(number: int, mime_type: str) -> str:
    """The file of a document, numbered from 1: `document-1.xml`; parameters of the mimeType do not count."""
    return f"document-{number}.{EXTENSIONS.get(mime_type.partition(';')[0].strip().lower(), 'bin')}"


class Inbox:
    """The folder that an agency's back end collects from."""

    def __init__(self, folder: Path) -> None:
        """Make the folder and its staging place when they are not there."""
        self.folder = folder
        self._staging = folder / STAGING
        self._staging.mkdir(parents=True, exist_ok=True)
        sync(folder)
        sync(folder.parent)

    def stage(self, envelope: Mapping[str, object], documents: Sequence[Document]) -> str:
        """Write one hand-over where nobody looks yet, durable when this returns the name by which `hand_over` knows it.
        `envelope` has the elements of the afleverRequest by their XSD names without the documents, which come with the
        berichtInhoud first.
        Raises StorageFailure: the disk did not take it, or a document has other octets than promised; nothing is left.
        """
        name = secrets.token_hex(16)
        place = self._staging / name
        try:
            place.mkdir()
            entries = [_write_document(place, number, document) for number, document in enumerate(documents, 1)]
            text = json.dumps({**envelope, "documents": entries}, ensure_ascii=False, indent=2) + "\n"
            write(place / ENVELOPE, [text.encode()])
            sync(place)
            sync(self._staging)
        except BaseException as error:
            self.discard(name)
            if isinstance(error, OSError):
                raise StorageFailure(f"inbox {self.folder}: {error}") from error
            raise
        return name

    def hand_over(self, staged: str, folder: str) -> bool:
        """Show one staged hand-over to the back end by a single rename; safe to do again after a crash.
        True when it is, or was before, handed over; False when something else occupies the folder.
        Raises StorageFailure: the rename or its fsync failed."""
        try:
            with suppress(FileNotFoundError):  # renamed before a crash; the back end may have taken it away since
                (self._staging / staged).rename(self.folder / folder)
            sync(self.folder)
            sync(self._staging)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                return False
            raise StorageFailure(f"inbox {self.folder}: {error}") from error
        return True

    def discard(self, staged: str) -> None:
        """Remove a staged hand-over that shall not take place."""
        shutil.rmtree(self._staging / staged, ignore_errors=True)

    def sweep(self, keep: Iterable[str]) -> list[str]:
        """At start: remove what was staged and not in `keep`, the names that rows know; returns what was removed."""
        orphans = sorted({entry.name for entry in self._staging.iterdir()} - set(keep))
        for name in orphans:
            self.discard(name)
        return orphans


def _write_document(place: Path, number: int, document: Document) -> dict[str, object]:
    name = file_name(number, document.mime_type)
    size, sha256 = write(place / name, document.payload.open())
    if (size, sha256) != (document.size, document.sha256):
        # The spool was cut short or changed under our hands: a receipt would vouch for other octets than were signed.
        raise StorageFailure(f"document {number} has {size} octets on disk, {document.size} were received, or differs")
    told = {"file": name, "mimeType": document.mime_type, "bestandsnaam": document.bestandsnaam}
    return {**told, "sha256": sha256.hex(), "size": size}
