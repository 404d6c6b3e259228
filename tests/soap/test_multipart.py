"""multipart/related: read as a second parser reads it; what two parsers could read in two ways is refused."""

from __future__ import annotations

import email.message
import email.parser
import email.policy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError
from digipoort_as4.payload import BytesPayload, FilePayload, read_all
from digipoort_as4.soap import multipart

TYPE = 'multipart/related; type="application/xop+xml"; boundary="uuid:1-b"; start="<root>"; start-info="text/xml"'
GOOD = (
    b'\r\n--uuid:1-b\r\nContent-Type: application/xop+xml; charset=UTF-8;\r\n type="text/xml"\r\n'
    b"Content-Transfer-Encoding: binary\r\nContent-ID: <root>\r\n\r\n<a/>"
    b"\r\n--uuid:1-b\r\nContent-ID: <one@x>\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\x00\r\n--uuid:1-\r\n\xff\r\n"
    b"\r\n--uuid:1-b \t\r\ncontent-id: <two@x>\r\n\r\n"
    b"\r\n--uuid:1-b--\r\n"
)


@dataclass(frozen=True)
class Drops:
    """A payload that comes a few octets at a time, so that every boundary line is cut somewhere."""

    octets: bytes
    step: int = 1

    @property
    def size(self) -> int:
        return len(self.octets)

    def open(self) -> Iterator[bytes]:
        for start in range(0, len(self.octets), self.step):
            yield self.octets[start : start + self.step]


def parts_of(body: bytes, content_type: str = TYPE, step: int = 0) -> dict[str, bytes]:
    read = multipart.read(Drops(body, step) if step else BytesPayload(body), content_type)
    return {part.content_id: read_all(part.body) for part in (read.root, *read.others.values())}


def refused(body: bytes, content_type: str = TYPE) -> PeerError:
    with pytest.raises(PeerError) as refusal:
        multipart.read(BytesPayload(body), content_type)
    return refusal.value


@pytest.mark.parametrize("step", [0, 1, 2, 3, 7, 19])
def test_parts_are_stretches_of_the_body(step: int) -> None:
    """Octets as they are, line breaks before a boundary cut off, look-alikes and empty parts left alone."""
    expected = {"root": b"<a/>", "one@x": b"\x00\r\n--uuid:1-\r\n\xff\r\n", "two@x": b""}
    assert expected == parts_of(GOOD, step=step)


def test_headers_are_unfolded_and_their_names_lowered() -> None:
    """RFC 5322 2.2.3: a line that begins with white space goes on."""
    headers = multipart.read(BytesPayload(GOOD), TYPE).root.headers

    assert 'application/xop+xml; charset=UTF-8; type="text/xml"' == headers["content-type"]


def test_a_part_of_a_file_is_not_copied(tmp_path: Path) -> None:
    """The part is a stretch of the same file."""
    file = tmp_path / "body"
    file.write_bytes(GOOD)
    one = multipart.read(FilePayload(file, 0, len(GOOD)), TYPE).others["one@x"].body

    assert isinstance(one, FilePayload)
    assert (file, GOOD.index(b"\x00\r\n--uuid:1-\r")) == (one.path, one.start)


def test_without_start_the_first_part_is_the_root() -> None:
    """RFC 2387 3.2; start may also name a later part."""
    without = TYPE.replace('; start="<root>"', "")
    later = TYPE.replace('"<root>"', '"<two@x>"')

    assert "root" == multipart.read(BytesPayload(GOOD), without).root.content_id
    assert "two@x" == multipart.read(BytesPayload(GOOD), later).root.content_id


def test_preamble_and_epilogue_say_nothing() -> None:
    """RFC 2046 5.1.1."""
    assert parts_of(GOOD) == parts_of(b"This is a multi-part message.\r\n" + GOOD + b"\r\n--uuid:1-b\r\nbye")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ((b"\r\n--uuid:1-b--\r\n", b""), "geen afsluitende boundary-regel"),
        ((b"\r\n--uuid:1-b--\r\n", b"\r\n--uuid:1-b-"), "een regel die met de boundary begint en verder gaat"),
        ((b"\r\n--uuid:1-b--\r\n", b"\r\n--uuid:1-b"), "een regel die met de boundary begint en verder gaat"),
        ((b"\x00\r\n--uuid:1-\r", b"\x00\r\n--uuid:1-bc\r"), "een regel die met de boundary begint en verder gaat"),
        (
            (b"--uuid:1-b \t\r", b"--uuid:1-b" + b" " * 65 + b"\r"),
            "een regel die met de boundary begint en verder gaat",
        ),
        ((b"\r\n", b"\n"), "geen afsluitende boundary-regel"),
        ((b"<two@x>", b"<one@x>"), "Content-ID 'one@x'"),
        ((b"<two@x>", b"<root>"), "Content-ID 'root'"),
        ((b"content-id: <two@x>", b"content-x: y"), "Content-ID ''"),
        ((b"Content-ID: <root>", b"Content-ID: <else>"), "start 'root'"),
        ((b"8bit", b"base64"), "Content-Transfer-Encoding base64"),
        ((b"8bit", b"quoted-printable"), "Content-Transfer-Encoding quoted-printable"),
        ((b"8bit\r\n", b"8bit\r\nCONTENT-ID: <three>\r\n"), "tweemaal CONTENT-ID"),
        ((b"Content-ID: <one@x>", b"Content-ID <one@x>"), "een regel die geen header is: 'Content-ID <one@x>'"),
        (
            (b"<one@x>", b"<one@x>\nContent-ID: <x>"),
            "een regel die geen header is: 'Content-ID: <one@x>\\nContent-ID: <x>'",
        ),
        ((b"content-id: <two@x>\r\n\r\n", b"content-id: <two@x>\r\n"), "geen einde van de headers"),
        (
            (b"Content-ID: <one@x>", b"Content-ID: <one@x>\r\nX: " + b"x" * limits.PART_HEADERS),
            "geen einde van de headers",
        ),
    ],
)
def test_one_thing_broken_is_refused(change: tuple[bytes, bytes], found: str) -> None:
    """GOOD is read (above); GOOD with one change is not, and the refusal says what was found."""
    refusal = refused(GOOD.replace(*change))

    assert ("multipart", found) == (refusal.cause.name, refusal.found)


@pytest.mark.parametrize(
    ("content_type", "cause"),
    [
        ("multipart/related", "multipart"),
        ('multipart/related; boundary=""', "multipart"),
        (f'multipart/related; boundary="{"b" * 71}"', "multipart"),
        ('multipart/related; boundary="b "', "multipart"),
        ('multipart/related; boundary="b\\"c"', "multipart"),
        ('multipart/related; boundary="é"', "multipart"),
        ('multipart/related; boundary="uuid:1-b"; BOUNDARY="x"', "content-type"),
        ('multipart/related; boundary="uuid:1-b', "content-type"),
        ("multipart/related; boundary=uuid:1-b; ; ;=x", "content-type"),
    ],
)
def test_a_content_type_that_cannot_be_trusted(content_type: str, cause: str) -> None:
    """No boundary, no legal boundary, two boundaries, or no list of parameters."""
    assert cause == refused(GOOD, content_type).cause.name


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("text/xml", ("text/xml", {})),
        ("Text/XML ;Charset=UTF-8", ("text/xml", {"charset": "UTF-8"})),
        ("text/xml; charset=utf-8;", ("text/xml", {"charset": "utf-8"})),
        ('a/b; x="y;z=\\"q\\""; w=application/xop+xml', ("a/b", {"x": 'y;z="q"', "w": "application/xop+xml"})),
    ],
)
def test_parameters_of_a_content_type(header: str, expected: tuple[str, dict[str, str]]) -> None:
    """RFC 2045 5.1, and an unquoted slash as some toolkits write it."""
    assert expected == multipart.read_content_type(header)


def test_no_more_parts_than_the_limit() -> None:
    """limits.PARTS are read; one more is refused, and so are ten thousand."""

    def body(count: int) -> bytes:
        return b"".join(b"\r\n--b\r\nContent-ID: <%d>\r\n\r\nx" % n for n in range(count)) + b"\r\n--b--"

    assert limits.PARTS == len(parts_of(body(limits.PARTS), "multipart/related; boundary=b"))
    for count in (limits.PARTS + 1, 10_000):
        refusal = refused(body(count), "multipart/related; boundary=b")
        assert f"meer dan {limits.PARTS} delen" == refusal.found


BOMBS = {
    "beginnings of a boundary": (b"\r\n-", b"b" * 70),
    "nearly a boundary": (b"\r\n--" + b"b" * 69, b"b" * 70),
    "dashes": (b"-", b"-" * 70),
    "line breaks": (b"\r\n", b"b"),
    "one part of white space": (b"\r\n--b\r\n" + b" " * 200, b"b"),
    "boundary behind boundary": (b"\r\n--b\r\n\r\n", b"b"),
    "headers without end": (b"A: b\r\n", b"b"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_no_megabyte_is_dear(name: str) -> None:
    """8 MiB of what makes a careless scanner walk back and forth are refused within a second of CPU."""
    unit, boundary = BOMBS[name]
    body = b"--" + boundary + b"\r\n" + unit * (8 * limits.MIB // len(unit))
    started = time.process_time()
    refusal = refused(body, f'multipart/related; boundary="{boundary.decode()}"')

    assert "multipart" == refusal.cause.name
    assert time.process_time() - started < 1.0


# --- a second parser --------------------------------------------------------------------------------------------------

TOKENS = st.text("abcdefghij0123456789", min_size=1, max_size=12)
BODIES = st.lists(st.sampled_from([b"\r\n", b"--", b"-", b"\x00", b"\xff", b"abc", b": ", b"\r", b"\n"]), max_size=30)


@st.composite
def packages(draw: st.DrawFn) -> tuple[str, list[tuple[str, bytes]]]:
    boundary = "=_" + draw(TOKENS)  # RFC 2045 6.7 recommends it: it occurs in no text
    names = draw(st.lists(TOKENS, min_size=1, max_size=5, unique=True))
    return boundary, [(name, b"".join(draw(BODIES))) for name in names]


@settings(max_examples=150, deadline=None)
@given(packages(), st.sampled_from(["", " ", "\t "]), st.integers(1, 40))
def test_stdlib_email_reads_the_same_parts(
    package: tuple[str, list[tuple[str, bytes]]], padding: str, step: int
) -> None:
    """Ids and octets of every well-formed package, whatever the chunks; `email` is the second parser."""
    boundary, parts = package
    lines = [
        f"--{boundary}{padding}\r\nContent-ID: <{name}>\r\nContent-Transfer-Encoding: binary\r\n\r\n".encode() + octets
        for name, octets in parts
    ]
    body = b"\r\n".join([*lines, f"--{boundary}--\r\n".encode()])
    content_type = f'multipart/related; boundary="{boundary}"'

    assert second_parser(body, content_type) == list(parts_of(body, content_type, step).items())


@settings(max_examples=50, deadline=None)
@given(packages())
def test_what_is_written_is_read_by_both(package: tuple[str, list[tuple[str, bytes]]]) -> None:
    """write, then read by us and by `email`."""
    boundary, parts = package
    headers = [{"Content-ID": f"<{name}>", "Content-Transfer-Encoding": "binary"} for name, _ in parts]
    payloads = [BytesPayload(octets) for _, octets in parts]
    written = multipart.write(list(zip(headers, payloads, strict=True)), boundary, type="text/plain")
    body = read_all(written.body)

    assert len(body) == written.body.size
    assert parts == list(parts_of(body, written.content_type).items()) == second_parser(body, written.content_type)


def second_parser(body: bytes, content_type: str) -> list[tuple[str, bytes]]:
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        f"Content-Type: {content_type}\r\n\r\n".encode() + body
    )
    parts = message.get_payload()
    assert isinstance(parts, list)
    return [
        (str(part["Content-ID"]).strip("<>"), octets_of(part))
        for part in parts
        if isinstance(part, email.message.Message)
    ]


def octets_of(part: email.message.Message) -> bytes:
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    return octets
