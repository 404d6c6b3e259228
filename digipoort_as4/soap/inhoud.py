"""Takes large `inhoud` texts out of the octets before a tree is built, and decodes base64 (decision 13).

Purely textual: it neither parses XML nor judges what surrounds a text. soap.xml_guard checks afterwards that every
placeholder became the whole text of one element, so a text that only looked like an inhoud is refused there."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from typing import Final

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError
from digipoort_as4.payload import Payload, read_all, slice_of
from digipoort_as4.soap.message import LargeText

_START_TAG: Final = re.compile(rb"""<(?:[^\s<>:/!?="']+:)?inhoud(?:[ \t\r\n][^<>]*)?>""")
_WHITE_SPACE: Final = b" \t\r\n"
_BASE64_TEXT: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=" + _WHITE_SPACE
_MOST_CHARACTERS: Final = 4 * ((limits.INHOUD + 2) // 3)  # Base64 characters, white space aside, of the largest inhoud


def extract(
    body: Payload, token: str, *, most: int = limits.TREE, documents: int = limits.DOCUMENTS
) -> tuple[bytes, tuple[LargeText, ...]]:
    """Replace the text of each large inhoud by a placeholder, and return the texts too, in order (decision 13).
    Placeholders are derived from `token`, which is fresh and secret, at least 128 bits: nobody can write one himself.
    At most `most` octets are left, at most `documents` texts taken out.
    Raises PeerError: inhoud (something other than base64 and white space), inhoud-too-large, body-too-large (of what is
    left), xml-limit (too many large texts)."""
    if body.size <= limits.INHOUD_IN_TREE:
        return read_all(body), ()
    scanner = _Scanner(body, token, most, documents)
    for chunk in body.open():
        scanner.feed(chunk)
    return scanner.finish()


class _Scanner:
    """Reads windows of octets; is either in markup or in the text after an inhoud start tag."""

    def __init__(self, body: Payload, token: str, most: int, documents: int) -> None:
        self.body, self.token, self.most, self.documents = body, token, most, documents
        self.skeleton = bytearray()
        self.large: list[LargeText] = []
        self.rest = b""  # Start of a tag whose end is in the next window
        self.offset = 0  # Where the window starts in the body
        self.text: _Text | None = None

    def feed(self, chunk: bytes) -> None:
        window, at = self.rest + chunk, 0
        while True:
            if self.text:
                at = self._read_text(self.text, window, at)
                if self.text:
                    break
            tag = _START_TAG.search(window, at)
            if tag is None:
                at = self._keep(window[at : _complete(window, at)]) + at
                break
            self._keep(window[at : tag.end()])
            at = tag.end()
            self.text = _Text(self.offset + at, len(self.large) + 1)
        self.rest = window[at:]
        self.offset += at
        if len(self.rest) > self.most:
            raise _too_large(self.most)

    def finish(self) -> tuple[bytes, tuple[LargeText, ...]]:
        if self.text:
            self._end_text(self.text)
        self._keep(self.rest)
        return bytes(self.skeleton), tuple(self.large)

    def _read_text(self, text: _Text, window: bytes, at: int) -> int:
        end = window.find(b"<", at)
        stop = len(window) if end < 0 else end
        text.add(window[at:stop])
        if end >= 0:
            self._end_text(text)
        return stop

    def _end_text(self, text: _Text) -> None:
        self.text = None
        if not text.is_large:
            self._keep(text.held)
            return
        if len(self.large) == self.documents:
            expected = f"hoogstens {self.documents}"
            raise PeerError("xml-limit", where="inhoud", found="meer documenten", expected=expected)
        word = placeholder(f"{self.token}:{len(self.large)}")
        self.large.append(LargeText(word, slice_of(self.body, text.start, text.size)))
        self._keep(word.encode())

    def _keep(self, octets: bytes) -> int:
        self.skeleton += octets
        if len(self.skeleton) > self.most:
            raise _too_large(self.most)
        return len(octets)


class _Text:
    """The text after one inhoud start tag: held while it may stay in the tree, only counted and checked above that."""

    def __init__(self, start: int, number: int) -> None:
        self.start, self.number = start, number
        self.size = self.characters = 0
        self.held = b""
        self.is_large = False

    def add(self, octets: bytes) -> None:
        self.size += len(octets)
        if self.size <= limits.INHOUD_IN_TREE:
            self.held += octets
            return
        self._check(octets if self.is_large else self.held + octets)
        self.held, self.is_large = b"", True

    def _check(self, octets: bytes) -> None:
        foreign = octets.translate(None, _BASE64_TEXT)
        if foreign:
            where, found = f"grote inhoud {self.number}", f"octet 0x{foreign[0]:02X}"
            fix = "Schrijf de inhoud als base64, zonder entiteiten, CDATA of commentaar."
            raise PeerError("inhoud", where=where, found=found, expected="alleen base64-tekens en witruimte", fix=fix)
        self.characters += len(octets) - sum(octets.count(white) for white in _WHITE_SPACE)
        if self.characters > _MOST_CHARACTERS or self.size > limits.INHOUD_TEXT:
            raise inhoud_too_large(f"grote inhoud {self.number}")


def _complete(window: bytes, at: int) -> int:
    """Where the last tag starts that this window leaves open, or the window's end."""
    last = window.rfind(b"<", at)
    return len(window) if last < 0 or window.find(b">", last) >= 0 else last


def placeholder(token: str) -> str:
    """32 base64 characters, so that the tree still validates against the XSD."""
    return base64.b64encode(hashlib.sha256(token.encode()).digest()[:24]).decode()


def _too_large(most: int) -> PeerError:
    found = f"meer dan {most} octetten buiten de inhouden"
    return PeerError("body-too-large", found=found, expected="documenten als base64 in inhoud")


def inhoud_too_large(where: str) -> PeerError:
    """Refusal of a document above limits.INHOUD octets."""
    return PeerError("inhoud-too-large", where=where, expected=f"hoogstens {limits.INHOUD} octetten")


def octets_of(text: LargeText) -> Iterator[bytes]:
    """The octets that a large text stands for: decoded, unless they came as they are. Raises PeerError: as decode."""
    return decode(text.text) if text.octets is None else text.octets.open()


def decode(text: Payload) -> Iterator[bytes]:
    """Decode base64 text strictly, in chunks; nothing may stand behind the padding.
    Raises PeerError: inhoud, or inhoud-too-large as soon as more than limits.INHOUD octets came out.
    Source: XSD base64Binary: white space is allowed, the unused bits of the last group are zero."""
    rest, size = b"", 0
    for chunk in text.open():
        if b"=" in rest:
            rest += chunk.translate(None, _WHITE_SPACE)
            continue
        characters = rest + chunk.translate(None, _WHITE_SPACE)
        # the last group is kept back: only it may be padded
        whole = max(0, (len(characters) - 1) // 4 * 4)
        rest = characters[whole:]
        octets = _decode_group(characters[:whole], padded=False)
        size += len(octets)
        if size > limits.INHOUD:
            raise inhoud_too_large("inhoud")
        yield octets
    last = _decode_group(rest, padded=True)
    if size + len(last) > limits.INHOUD:
        raise inhoud_too_large("inhoud")
    yield last


def _decode_group(characters: bytes, *, padded: bool) -> bytes:
    """Decode complete base64 without white space; refuses what does not encode back to the same characters."""
    try:
        octets = binascii.a2b_base64(characters, strict_mode=True)
    except binascii.Error as error:
        raise _not_base64() from error
    # strict mode leaves two things: padding where more follows, and bits set in what padding cuts off
    if binascii.b2a_base64(octets, newline=False) != characters if padded else b"=" in characters:
        raise _not_base64()
    return octets


def _not_base64() -> PeerError:
    found, fix = "tekst die geen base64 is", "Codeer het document opnieuw als base64."
    expected = "base64 met alleen witruimte ertussen en niets achter de opvulling"
    return PeerError("inhoud", where="inhoud", found=found, expected=expected, fix=fix)
