"""Reads and writes multipart/related bodies: parts are stretches of the body, so none is ever held in memory.

Stricter than `email` on purpose: what two parsers could read in two ways is refused. Decodes nothing, and knows neither
XML nor what a part is for (soap.xop does)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError
from digipoort_as4.payload import BytesPayload, Joined, Payload, read_all, slice_of

MEDIA_TYPE: Final = "multipart/related"

_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")  # RFC 2046 5.1.1
_PADDING: Final = 64  # White space that may follow a boundary on its line
_LINE_END: Final = re.compile(rb"(--)?[ \t]{0,%d}(\r\n|\Z)" % _PADDING)
_PARAMETER: Final = re.compile(
    r"""[ \t]*(?:([^\s;=",]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*)))?[ \t]*(?:;|\Z)"""
)
_HEADER: Final = re.compile(r"([0-9A-Za-z!#$%&'*+.^_`|~-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_FOLDED: Final = re.compile(r"\r\n[ \t]+")
_UNENCODED: Final = frozenset({"", "7bit", "8bit", "binary"})
"""HTTP carries octets as they are, so a transfer encoding has no use; its text would need a canonical form first."""


@dataclass(frozen=True, slots=True)
class Part:
    """One body part."""

    headers: Mapping[str, str]  # Names in lower case, each once
    body: Payload  # A stretch of the whole body

    @property
    def content_id(self) -> str:
        """Without its angle brackets; empty when it has none."""
        return _bare(self.headers.get("content-id", ""))


@dataclass(frozen=True, slots=True)
class Multipart:
    """A multipart/related body."""

    parameters: Mapping[str, str]  # Of its Content-Type
    root: Part
    others: Mapping[str, Part]  # By Content-ID, in their order


@dataclass(frozen=True, slots=True)
class Written:
    """A body to send."""

    content_type: str
    body: Payload


def read_content_type(header: str) -> tuple[str, dict[str, str]]:
    """Media type in lower case, and parameters by their names in lower case.
    Raises PeerError: content-type, for parameters that are no list of names and values, or that name one twice.
    Source: RFC 2045 5.1."""
    media_type, _, rest = header.partition(";")
    parameters: dict[str, str] = {}
    at = 0
    while at < len(rest):
        match = _PARAMETER.match(rest, at)
        name = match[1].lower() if match and match[1] else ""
        if match is None or name in parameters:
            found = f"tweemaal {name[:40]}" if name else f"{rest[at:][:40]!r}"
            expected = "naam=waarde, elke naam eenmaal"
            raise PeerError("content-type", where="Content-Type", found=found, expected=expected)
        if name:
            parameters[name] = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
        at = match.end()
    return media_type.strip().lower(), parameters


def read(body: Payload, content_type: str) -> Multipart:
    """Find the parts of a multipart/related body.
    1. the boundary; 2. where its lines are, up to the closing one; 3. the headers of each part; 4. Content-IDs, each
    once; 5. the root: the part that `start` names, else the first.
    Raises PeerError: content-type, multipart.
    Source: RFC 2046 5.1.1, RFC 2387 3. Preamble and epilogue say nothing, and are skipped."""
    _, parameters = read_content_type(content_type)
    boundary = parameters.get("boundary", "")  # 1
    if not _BOUNDARY.fullmatch(boundary):
        raise _broken("Content-Type", f"boundary {boundary[:40]!r}", "een boundary van 1 tot 70 tekens (RFC 2046)")
    parts: dict[str, Part] = {}
    for number, (at, size) in enumerate(_stretches(body, b"\r\n--" + boundary.encode("ascii")), 1):  # 2
        part = _part(slice_of(body, at, size), f"deel {number}")  # 3
        if part.content_id in parts or (parts and not part.content_id):  # 4
            raise _broken(f"deel {number}", f"Content-ID {part.content_id[:80]!r}", "een eigen Content-ID bij elk deel")
        parts[part.content_id] = part
    start = _bare(parameters.get("start", "")) or next(iter(parts))
    root = parts.pop(start, None)  # 5
    if root is None:
        raise _broken("Content-Type", f"start {start[:60]!r}", "de Content-ID van een deel")
    return Multipart(parameters, root, parts)


def _stretches(body: Payload, delimiter: bytes) -> list[tuple[int, int]]:
    """Start and size of each part: what lies between two boundary lines, the last of which closes."""
    stretches: list[tuple[int, int]] = []
    start = -1
    for at, end, closing in _lines(body, delimiter):
        if start >= 0:
            stretches.append((start, at - start))
        if closing:
            if not stretches:
                break
            return stretches
        if len(stretches) == limits.PARTS:
            raise _broken("MIME", f"meer dan {limits.PARTS} delen", f"hoogstens {limits.PARTS}")
        start = end
    where, found = f"na {len(stretches)} delen", "geen afsluitende boundary-regel"
    fix = "Controleer of het verzoek compleet is en of de boundary van het Content-Type erin staat."
    raise _broken(where, found, "een regel met --boundary-- achter het laatste deel", fix)


def _lines(body: Payload, delimiter: bytes) -> Iterator[tuple[int, int, bool]]:
    """Each boundary line: where it starts (its own line break included), where it ends, whether it closes.
    A line that only begins like one is refused: RFC 2046 takes it for a boundary, most parsers do not."""
    longest = len(delimiter) + len(b"--\r\n") + _PADDING
    window, offset = b"\r\n", -2  # The first line needs no break before it
    chunks = body.open()
    ended = False
    while not ended:
        chunk = next(chunks, b"")
        ended = not chunk
        window += chunk
        at = 0
        while (found := window.find(delimiter, at)) >= 0 and (ended or found + longest <= len(window)):
            end = _LINE_END.match(window, found + len(delimiter), found + longest)
            if end is None or (end[2] == b"" and not (end[1] and ended and end.end() == len(window))):
                found_text = "een regel die met de boundary begint en verder gaat"
                raise _broken("MIME", found_text, "een boundary die nergens anders staat")
            yield offset + found, offset + end.end(), bool(end[1])
            at = end.end()
        keep = found if found >= 0 else max(at, len(window) - len(delimiter) + 1)
        window, offset = window[keep:], offset + keep


def _part(whole: Payload, where: str) -> Part:
    """Headers and body of one part."""
    head = b"\r\n" + read_all(slice_of(whole, 0, min(whole.size, limits.PART_HEADERS)))
    end = head.find(b"\r\n\r\n")
    if end < 0:
        expected = f"headers van samen hoogstens {limits.PART_HEADERS} octetten en daarna een lege regel"
        raise _broken(where, "geen einde van de headers", expected)
    headers: dict[str, str] = {}
    for line in _FOLDED.sub(" ", head[2:end].decode("utf-8", "replace")).split("\r\n") if end else ():
        match = _HEADER.fullmatch(line)
        if match is None or match[1].lower() in headers:
            found = f"tweemaal {match[1][:40]}" if match else f"een regel die geen header is: {line[:40]!r}"
            raise _broken(where, found, "headers als Naam: waarde, elke naam eenmaal")
        headers[match[1].lower()] = match[2].strip()
    encoding = headers.get("content-transfer-encoding", "").lower()
    if encoding not in _UNENCODED:
        fix = "Stuur het deel ongecodeerd, met Content-Transfer-Encoding: binary."
        raise _broken(where, f"Content-Transfer-Encoding {encoding[:40]}", "binary, 8bit of 7bit", fix)
    body = end + len(b"\r\n\r\n") - len(b"\r\n")  # in the part, which lacks the break we put before it
    return Part(headers, slice_of(whole, body, whole.size - body))


def _bare(content_id: str) -> str:
    return content_id.strip().removeprefix("<").removesuffix(">")


def _broken(
    where: str, found: str, expected: str, fix: str = "Controleer hoe uw software multipart/related schrijft."
) -> PeerError:
    return PeerError("multipart", where=where, found=found, expected=expected, fix=fix)


def write(parts: Sequence[tuple[Mapping[str, str], Payload]], boundary: str, **parameters: str) -> Written:
    """Write a multipart/related body of parts (headers, octets), the root first.
    The boundary, 1 to 70 characters, is unguessable, or of octets that nobody else chose, so that it occurs in no part.
    Parameters are those of the Content-Type, e.g. type; an underscore stands for a hyphen."""
    pieces: list[Payload] = []
    for headers, payload in parts:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        pieces += [BytesPayload(f"\r\n--{boundary}\r\n{lines}\r\n".encode()), payload]
    pieces.append(BytesPayload(f"\r\n--{boundary}--\r\n".encode()))
    named = "".join(
        f'; {name.replace("_", "-")}="{value}"' for name, value in {**parameters, "boundary": boundary}.items()
    )
    return Written(f"{MEDIA_TYPE}{named}", Joined(tuple(pieces)))
