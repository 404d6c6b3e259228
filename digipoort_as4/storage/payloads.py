"""Large documents as files: durable under their final name before any row names them.

Knows no database; who refers to which file is told by the caller."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from digipoort_as4 import limits
from digipoort_as4.payload import BytesPayload, Document, FilePayload, Payload, read_all

KEY: Final = re.compile(r"[0-9a-z][0-9a-z_-]{7,63}")  # It becomes a file name; two characters choose the folder
UNFINISHED: Final = ".part"  # Suffix of a file that is still being written; never the end of a key


@dataclass(frozen=True, slots=True)
class KeptFile:
    """Octets under their final name, proved while they are read."""

    path: Path
    size: int
    sha256: bytes

    def open(self) -> Iterator[bytes]:
        """The octets in chunks, the last one only after the digest over all of them held.
        Raises OSError: the file is gone, too short, or its octets changed on disk."""
        digest, held = hashlib.sha256(), b""
        for chunk in FilePayload(self.path, 0, self.size).open():
            if held:
                yield held
            digest.update(chunk)
            held = chunk
        if digest.digest() != self.sha256:
            raise OSError(f"payload {self.path.name} is damaged: its octets are not those that were kept")
        yield held


class Payloads:
    """The folder of large documents, `payloads/ab/cdef…` for key `abcdef…`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._durable: set[str] = set()  # Folders below it whose own entries are known to be on the disk

    def path(self, key: str) -> Path:
        """Where a key's octets lie, if they lie in a file; ValueError for a key that could not be a file name."""
        if not KEY.fullmatch(key):
            raise ValueError(f"payload key {key!r} is not eight to 64 of 0-9 a-z _ -")
        return self.folder / key[:2] / key[2:]

    def holds(self, key: str, size: int) -> bool:
        """True when a file of this size lies under the key's final name."""
        try:
            return self.path(key).stat().st_size == size
        except FileNotFoundError:
            return False

    def open(self, key: str, size: int, sha256: bytes) -> KeptFile:
        """A handle on kept octets."""
        return KeptFile(self.path(key), size, sha256)

    def keep(self, document: Document) -> Document:
        """Make a document's octets durable; small ones come back in memory and wait for their row.
        A spool file that is exactly this document is moved, not copied: the handle given is of no use afterwards.
        Raises OSError: the disk refused, nothing new lies under the final name; ValueError: not what the document says.
        """
        if document.size <= limits.INLINE_PAYLOAD:
            return replace(document, payload=BytesPayload(inline_octets(document)))
        final = self.path(document.key)
        if not self.holds(document.key, document.size):
            self._make_folder(final.parent)
            (self._move if self._movable(document.payload) else self._copy)(document, final)
        return replace(document, payload=self.open(document.key, document.size, document.sha256))

    def _movable(self, payload: Payload) -> bool:
        """True for a whole file on this filesystem that is not already somebody's kept document."""
        if not isinstance(payload, FilePayload) or self.folder in payload.path.parents:
            return False
        found = payload.path.stat()
        return payload.start == 0 and payload.size == found.st_size and found.st_dev == self.folder.stat().st_dev

    def _move(self, document: Document, final: Path) -> None:
        """Sync, then rename: the final name never stands for octets that a power cut could take."""
        if not isinstance(document.payload, FilePayload) or document.payload.size != document.size:
            raise ValueError(f"document {document.key} is not {document.size} octets")
        source = document.payload.path
        sync(source)
        source.rename(final)
        sync(final.parent)
        sync(source.parent)  # or a power cut could leave the octets under both names

    def _copy(self, document: Document, final: Path) -> None:
        """Write beside the final name, sync, then rename."""
        part = final.with_name(final.name + UNFINISHED)
        try:
            if write(part, document.payload.open(), "wb") != (document.size, document.sha256):
                raise ValueError(f"document {document.key} is not the {document.size} octets with the digest it names")
            part.rename(final)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync(final.parent)

    def _make_folder(self, folder: Path) -> None:
        """A file in a folder whose own entry is not durable would be lost with it.
        That the folder is there proves nothing: another thread may have made it and be waiting for the disk."""
        if folder.name not in self._durable:
            folder.mkdir(exist_ok=True)
            sync(self.folder)
            self._durable.add(folder.name)

    def sweep(self, known: Callable[[str], bool], older_than: datetime) -> int:
        """Remove files whose key is not `known` to a row: left by an upload that died before its commit.
        Younger files stay, but an unfinished one goes whatever its age: its writer is gone.
        Returns how many went."""
        gone = 0
        for path in list(self.folder.glob("*/*")):
            young = datetime.fromtimestamp(path.stat().st_mtime, UTC) >= older_than
            if path.name.endswith(UNFINISHED) or not (young or known(path.parent.name + path.name)):
                path.unlink()
                gone += 1
        return gone


def inline_octets(document: Document) -> bytes:
    """A small document's octets; ValueError when they are not as many as the document says."""
    octets = read_all(document.payload)
    if len(octets) != document.size:
        raise ValueError(f"document {document.key} has {len(octets)} octets, not {document.size}")
    return octets


def write(path: Path, chunks: Iterable[bytes], mode: str = "xb") -> tuple[int, bytes]:
    """Write a fresh file and wait for the disk; how many octets, and their SHA-256."""
    digest, size = hashlib.sha256(), 0
    with path.open(mode) as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return size, digest.digest()


def make_folder(folder: Path) -> None:
    """Make a folder and make its entry in the parent durable."""
    if not folder.exists():
        folder.mkdir(parents=True)
        sync(folder.parent)


def sync(path: Path) -> None:
    """Wait until a file's octets, or a folder's entries, are on the disk: a rename is durable only then."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
