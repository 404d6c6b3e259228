"""Large texts leave the octets before the tree; base64 is read strictly."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers_wire import TOKEN
from hypothesis import given
from hypothesis import strategies as st

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError
from digipoort_as4.payload import BytesPayload, FilePayload, Payload, read_all
from digipoort_as4.soap.inhoud import decode, extract


@dataclass(frozen=True)
class Windows:
    """A payload that comes in windows of a chosen size, to put every border everywhere."""

    octets: bytes
    window: int

    @property
    def size(self) -> int:
        return len(self.octets)

    def open(self) -> Iterator[bytes]:
        for start in range(0, len(self.octets), self.window):
            yield self.octets[start : start + self.window]


def cause(body: Payload) -> str:
    with pytest.raises(PeerError) as refusal:
        extract(body, TOKEN)
    return refusal.value.cause.name


def base64_text(size: int) -> bytes:
    return base64.b64encode(os.urandom(size // 4 * 3))


LARGE = base64_text(limits.INHOUD_IN_TREE + 4)


def test_a_small_body_is_left_alone() -> None:
    octets = b"<a><inhoud>QUJD</inhoud></a>"
    assert (octets, ()) == extract(BytesPayload(octets), TOKEN)


def test_64_kib_stays_and_one_group_more_leaves() -> None:
    """The limit is on the text, to the octet."""
    stays = b"<a><inhoud>" + b"A" * limits.INHOUD_IN_TREE + b"</inhoud></a>"
    leaves = b"<a><inhoud>" + b"A" * (limits.INHOUD_IN_TREE + 1) + b"</inhoud></a>"

    assert (stays, ()) == extract(BytesPayload(stays), TOKEN)
    skeleton, (large,) = extract(BytesPayload(leaves), TOKEN)
    assert b"<a><inhoud>" + large.placeholder.encode() + b"</inhoud></a>" == skeleton
    assert b"A" * (limits.INHOUD_IN_TREE + 1) == read_all(large.text)


@pytest.mark.parametrize("window", [1_000, 65_537, 100_003])
def test_windows_may_end_anywhere(window: int) -> None:
    """Two large texts with small ones between, whatever the borders of the reads."""
    octets = b"".join(
        [
            b"<k:a xmlns:k='urn:k'><k:inhoud a='1'\n>",
            LARGE,
            b"</k:inhoud><inhoud>QUJD</inhoud><inhouden>",
            b"!" * 70_000,
            b"</inhouden><inhoud>\r\n",
            LARGE[:200_000],
            b"</inhoud></k:a>",
        ]
    )
    skeleton, (first, second) = extract(Windows(octets, window), TOKEN)

    assert octets == skeleton.replace(first.placeholder.encode(), LARGE).replace(
        second.placeholder.encode(), b"\r\n" + LARGE[:200_000]
    )


@given(cut=st.integers(0, 40), window=st.integers(1, 60))
def test_a_border_inside_a_tag(cut: int, window: int) -> None:
    """The windows around a start tag may be as small as they like."""
    octets = b" " * cut + b"<x:inhoud y='z' ><b>" + b"x" * limits.INHOUD_IN_TREE + b"</b></x:inhoud>"

    assert (octets, ()) == extract(Windows(octets, window * 997), TOKEN)


def test_a_slice_of_a_file_is_not_read(tmp_path: Path) -> None:
    """A text of a spooled body is a stretch of the same file."""
    path = tmp_path / "body"
    path.write_bytes(b"<inhoud>" + LARGE + b"</inhoud>")

    _, (large,) = extract(FilePayload(path, 0, path.stat().st_size), TOKEN)

    assert FilePayload(path, 8, len(LARGE)) == large.text


@pytest.mark.parametrize(
    "middle",
    [b"&#65;", b"-", b"_", b"!", b"\xc3\xa9", b"\x00", b"<!-- x -->" + b"-" * 70_000],
    ids=["entity", "url base64", "underscore", "exclamation", "not ASCII", "NUL", "comment"],
)
def test_a_large_text_is_base64_only(middle: bytes) -> None:
    good = b"<inhoud>" + LARGE + b"\r\n\t " + LARGE + b"</inhoud>"
    bad = b"<inhoud>" + LARGE + middle + LARGE + b"</inhoud>"

    assert 1 == len(extract(BytesPayload(good), TOKEN)[1])
    if middle.startswith(b"<"):
        skeleton, (large,) = extract(BytesPayload(bad), TOKEN)
        assert large.placeholder.encode() + middle in skeleton
    else:
        assert "inhoud" == cause(BytesPayload(bad))


def test_too_much_outside_the_inhouden_is_refused() -> None:
    assert "body-too-large" == cause(BytesPayload(b"<a>" + b"x" * limits.TREE))
    assert "body-too-large" == cause(Windows(b"<" + b"x" * 2 * limits.TREE, limits.CHUNK))


def test_too_many_large_inhouden_are_refused() -> None:
    one = b"<inhoud>" + LARGE + b"</inhoud>"
    assert limits.DOCUMENTS == len(extract(BytesPayload(one * limits.DOCUMENTS), TOKEN)[1])
    assert "xml-limit" == cause(BytesPayload(one * (limits.DOCUMENTS + 1)))


def test_more_than_the_largest_inhoud_is_refused_while_reading() -> None:
    """One group of base64 above that of 20,971,520 octets."""
    most = 4 * ((20_971_520 + 2) // 3)
    assert 1 == len(extract(BytesPayload(b"<inhoud>" + b"A" * most + b"</inhoud>"), TOKEN)[1])
    assert "inhoud-too-large" == cause(BytesPayload(b"<inhoud>" + b"A" * (most + 1) + b"</inhoud>"))


def test_placeholders_are_base64_and_follow_from_the_token() -> None:
    octets = b"<inhoud>" + LARGE + b"</inhoud>"
    (one,) = extract(BytesPayload(octets * 1), TOKEN)[1]
    (other,) = extract(BytesPayload(octets), "another token")[1]

    assert 24 == len(base64.b64decode(one.placeholder, validate=True))
    assert one.placeholder != other.placeholder


# --- decoding ---------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200), st.integers(1, 9))
def test_decoding_gives_what_was_encoded(octets: bytes, window: int) -> None:
    """Whatever the windows, with line breaks."""
    text = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    assert octets == b"".join(decode(Windows(text, window)))


@pytest.mark.parametrize(
    "text",
    [b"QQ", b"QQ=", b"Q", b"QQ==Q", b"QQ==QUJD", b"QQ==QQ==", b"QR==", b"QUJ=", b"=", b"====", b"QU-D", b"Q\xa0UJD"],
)
@pytest.mark.parametrize("window", [1, 3, 4, 100])
def test_what_is_not_strict_base64_is_refused(text: bytes, window: int) -> None:
    """Missing padding, something behind it, bits that encode nothing, another alphabet."""
    with pytest.raises(PeerError) as refusal:
        list(decode(Windows(text, window)))
    assert "inhoud" == refusal.value.cause.name


def test_20971520_octets_decode_and_one_more_does_not() -> None:
    """maxLength of the XSD, to the octet."""
    largest = base64.b64encode(bytes(20_971_520))
    assert 20_971_520 == sum(len(chunk) for chunk in decode(BytesPayload(largest)))
    with pytest.raises(PeerError) as refusal:
        list(decode(BytesPayload(base64.b64encode(bytes(20_971_521)))))
    assert "inhoud-too-large" == refusal.value.cause.name
