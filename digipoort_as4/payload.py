"""Handles on octets: small ones in memory, large ones in a spool file, read in chunks.

Does not decode, decompress or name anything; a file here has no final name."""

import base64
import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from digipoort_as4 import limits


class Payload(Protocol):
    """A source of octets that can be read again."""

    @property
    def size(self) -> int:
        """Octets."""

    def open(self) -> Iterator[bytes]:
        """Chunks from the start, each at most limits.CHUNK octets."""


@dataclass(frozen=True, slots=True)
class BytesPayload:
    """Octets in memory."""

    octets: bytes

    @property
    def size(self) -> int:
        """Octets."""
        return len(self.octets)

    def open(self) -> Iterator[bytes]:
        """The octets in chunks."""
        for start in range(0, len(self.octets), limits.CHUNK):
            yield self.octets[start : start + limits.CHUNK]


@dataclass(frozen=True, slots=True)
class FilePayload:
    """Octets of a file, or of a stretch of it."""

    path: Path
    start: int
    size: int

    def open(self) -> Iterator[bytes]:
        """The octets in chunks; raises OSError when the file is shorter than promised."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            left = self.size
            while left:
                chunk = file.read(min(limits.CHUNK, left))
                if not chunk:
                    raise OSError(f"{self.path.name} ends {left} octets early")
                left -= len(chunk)
                yield chunk


@dataclass(frozen=True, slots=True)
class Joined:
    """Payloads one behind the other."""

    pieces: tuple[Payload, ...]

    @property
    def size(self) -> int:
        """Octets."""
        return sum(piece.size for piece in self.pieces)

    def open(self) -> Iterator[bytes]:
        """The octets of each, in chunks."""
        for piece in self.pieces:
            yield from piece.open()


@dataclass(frozen=True, slots=True)
class Base64Text:
    """The canonical base64 text of octets, made while it is read."""

    octets: Payload

    @property
    def size(self) -> int:
        """Characters."""
        return 4 * ((self.octets.size + 2) // 3)

    def open(self) -> Iterator[bytes]:
        """The text in chunks."""
        for text in base64_of(self.octets):
            for start in range(0, len(text), limits.CHUNK):
                yield text[start : start + limits.CHUNK]


def slice_of(payload: Payload, start: int, size: int) -> Payload:
    """A stretch of a payload, from octet `start` on, as a payload of its own, without copying a file."""
    if isinstance(payload, FilePayload):
        return replace(payload, start=payload.start + start, size=size)
    return BytesPayload(read_all(payload)[start : start + size])


def read_all(payload: Payload) -> bytes:
    """All octets in memory; for payloads known to be small."""
    if isinstance(payload, BytesPayload):
        return payload.octets
    return b"".join(payload.open())


def sha256(payload: Payload) -> bytes:
    """SHA-256 of the octets, 32 octets."""
    digest = hashlib.sha256()
    for chunk in payload.open():
        digest.update(chunk)
    return digest.digest()


def base64_of(payload: Payload) -> Iterator[bytes]:
    """Canonical base64 text of the octets, without line breaks, in chunks."""
    rest = b""
    for chunk in payload.open():
        chunk = rest + chunk
        whole = len(chunk) - len(chunk) % 3
        rest = chunk[whole:]
        yield base64.b64encode(chunk[:whole])
    yield base64.b64encode(rest)


def assemble(octets: bytes, large: Mapping[str, Payload]) -> Payload:
    """A message with the base64 of its large payloads in the place of their placeholders."""
    return joined(split(octets, large))


def split(octets: bytes, large: Mapping[str, Payload]) -> list[Payload]:
    """The octets with the payloads' base64 between them, each placeholder exactly once in this order."""
    pieces: list[Payload] = []
    rest = octets
    for placeholder, payload in large.items():
        before, found, rest = rest.partition(placeholder.encode())
        if not found or placeholder.encode() in rest:
            raise ValueError(f"placeholder {placeholder} must stand there once, in the order of the payloads")
        pieces += [BytesPayload(before), Base64Text(payload)]
    return [*pieces, BytesPayload(rest)]


def joined(pieces: Sequence[Payload]) -> Payload:
    """One payload, in memory when all pieces are."""
    if all(isinstance(piece, BytesPayload) for piece in pieces):
        return BytesPayload(b"".join(map(read_all, pieces)))
    return Joined(tuple(pieces))


@dataclass(frozen=True, slots=True)
class Document:
    """One document of an envelope."""

    part: str  # `inhoud` or `bijlage`
    mime_type: str
    bestandsnaam: str  # As the sender wrote it: data, never a path
    payload: Payload
    size: int  # Octets, decoded
    sha256: bytes  # 32 octets over the decoded octets
    key: str  # Random, ours; under it the store keeps the octets


def content_digest(documents: Sequence[Document]) -> bytes:
    """SHA-256 over the SHA-256 of each document in order, 32 octets: equal for the same documents sent again."""
    return hashlib.sha256(b"".join(document.sha256 for document in documents)).digest()


class Spool:
    """A folder of quarantined files that die with the process that made them."""

    def __init__(self, folder: Path) -> None:
        """Make the folder and throw away what an earlier process left."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.iterdir():
            stale.unlink(missing_ok=True)

    def write(self, chunks: Iterable[bytes]) -> FilePayload:
        """Spool chunks to a fresh file; the file goes when writing fails."""
        path = self.fresh()
        try:
            with path.open("xb") as file:
                size = sum(map(file.write, chunks))
            return FilePayload(path, 0, size)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def fresh(self) -> Path:
        """A name in the spool that nothing has."""
        return self.folder / secrets.token_hex(16)

    @staticmethod
    def discard(payload: Payload) -> None:
        """Remove the file behind a spooled payload; nothing to do for octets in memory."""
        if isinstance(payload, FilePayload):
            payload.path.unlink(missing_ok=True)
