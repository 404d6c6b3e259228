"""Is each document well-formed under its own limits, and of the kind that the route says?

Builds no tree: a document streams by, and what has passed is dropped. Knows no schema and no rule pack."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, cast

from lxml import etree

from digipoort_as4.hub.aanlevering import Aanlevering
from digipoort_as4.hub.findings import Finding
from digipoort_as4.hub.routes import Route, essence, is_xml
from digipoort_as4.payload import Document, Payload

RULE: Final = "wellformed"

DEPTH: Final = 128  # UBL is about 10 deep, XBRL with nested tuples about 20; libxml2 itself stops at 2,048
ATTRIBUTES: Final = 256  # Of one element
NAMESPACES: Final = 1024  # Declarations in a document; an XBRL instance has some forty
ELEMENTS: Final = 2_000_000  # An invoice of 1,000 lines has about 40,000; 20 MiB of smallest ones would be five million
PROLOG: Final = 64 * 1024  # Octets before the root element: comments and processing instructions live there
FEED: Final = 64 * 1024  # Octets given to the parser at once; as much may stand in memory as a tree

_DECLARATION: Final = re.compile(rb"<\?xml\s[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']", re.ASCII)
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ENCODINGS: Final = frozenset({b"utf-8", b"utf8", b"us-ascii", b"ascii"})  # that we read as a declaration names them


class Malformed(Exception):
    """A document cannot be read on; carries the one finding that says why."""

    def __init__(
        self, id: str, where: str, found: str, expected: str, fix: str, line: int = 0, column: int = 0
    ) -> None:
        # the document's name comes later
        self.finding = Finding(id, "error", where, found, expected, fix, line, column, rule=RULE)
        super().__init__(f"{id}: {where}: {found}")


def check(aanlevering: Aanlevering, route: Route) -> Iterator[Finding]:
    """Every document has a mimeType, size and root element that the route accepts; every XML one is well-formed."""
    for document in aanlevering.documents:
        yield from _kind(document, route)
        if document.size <= route.document_limit and is_xml(document.mime_type):
            yield from _form(document, route)


def _kind(document: Document, route: Route) -> Iterator[Finding]:
    accepted = route.mime_types if document.part == "inhoud" else route.bijlage_mime_types
    if document.part == "bijlage" and not accepted:
        yield _finding(document, "bijlage-refused", "bijlage", "een bijlage", "geen bijlagen", "Laat de bijlagen weg.")
    elif essence(document.mime_type) not in accepted:
        wanted, fix = ", ".join(sorted(accepted)), "Lever het document aan in een van deze soorten."
        yield _finding(document, "mime-type", "mimeType", document.mime_type, wanted, fix)
    if document.size > route.document_limit:
        found, wanted = f"{document.size} octetten", f"ten hoogste {route.document_limit} octetten"
        yield _finding(document, "document-size", "het document", found, wanted, "Splits het document.")


def _form(document: Document, route: Route) -> Iterator[Finding]:
    try:
        events = stream(document.payload)
        _, element, _ = next(events)
        root, line = str(element.tag), line_of(element)
        for _ in events:  # to its end
            pass
    except Malformed as malformed:
        yield replace(malformed.finding, document=document.bestandsnaam)
        return
    if document.part == "inhoud" and route.roots and not any(name.matches(root) for name in route.roots):
        wanted = " of ".join(str(name) for name in route.roots)
        fix = f"Controleer of dit document bij berichtsoort {route.berichtsoort} hoort."
        yield replace(_finding(document, "root-element", "het eerste element", root, wanted, fix), line=line)


def root_of(document: Document) -> str:
    """Root element of an XML document as {namespace}local; empty when it is no readable XML."""
    if not is_xml(document.mime_type):
        return ""
    try:
        return next((str(element.tag) for _, element, _ in stream(document.payload)), "")
    except Malformed:
        return ""


def _finding(document: Document, id: str, where: str, found: str, expected: str, fix: str) -> Finding:
    return Finding(id, "error", where, found, expected, fix, document=document.bestandsnaam, rule=RULE)


def stream(payload: Payload) -> Iterator[tuple[str, etree._Element, int]]:
    """Events of a document: ("start" or "end", element, depth from 1).
    An element has its text only at its end, and children only until their own end; what has passed is gone.
    Raises Malformed at the first thing that is wrong. A DOCTYPE is refused before the parser sees any of it."""
    # resolve_entities: no DOCTYPE comes this far, so there is no entity to resolve; with False lxml 6.1 stops at an
    # undefined one without saying where
    # huge_tree: a base64 attachment inside an invoice may be longer than libxml2's 10 MB; the limits here are ours
    parser = etree.XMLPullParser(
        events=("start-ns", "start", "end"),
        resolve_entities="internal",  # type: ignore[arg-type]  # lxml-stubs are behind
        no_network=True,
        load_dtd=False,
        huge_tree=True,
        encoding="utf-8",
    )
    guard = _Guard()
    try:
        for octets in _utf8(payload):
            parser.feed(octets)
            yield from guard.events(parser)
        parser.close()
    except etree.XMLSyntaxError as error:
        raise _syntax(error) from error
    yield from guard.events(parser)
    if guard.elements == 0:
        raise _syntax(None)


def _syntax(error: etree.XMLSyntaxError | None) -> Malformed:
    line, column = (error.position if error else None) or (0, 0)
    found = (error.msg if error else None) or "geen enkel element"
    wanted, fix = "welgevormde XML", "Herstel de XML op deze plaats."
    return Malformed("not-wellformed", "het document", found, wanted, fix, line or 0, column or 0)


class _Guard:
    """Counts what passes, and drops an element that has ended with what stands before it in its parent."""

    def __init__(self) -> None:
        self.depth = self.elements = self.namespaces = 0

    def events(self, parser: etree.XMLPullParser) -> Iterator[tuple[str, etree._Element, int]]:
        for event, subject in parser.read_events():
            if event == "start-ns":
                self.namespaces += 1
                _limit(None, self.namespaces, "namespace-declaraties", NAMESPACES)
                continue
            element = cast(etree._Element, subject)
            if event == "start":
                self.count(element)
            yield event, element, self.depth
            if event == "end":
                self.depth -= 1
                element.clear(keep_tail=True)  # type: ignore[call-arg]  # lxml-stubs are behind
                if (parent := element.getparent()) is not None:
                    while element.getprevious() is not None:
                        del parent[0]

    def count(self, element: etree._Element) -> None:
        self.depth += 1
        self.elements += 1
        _limit(element, self.depth, "elementen diep", DEPTH)
        _limit(element, self.elements, "elementen", ELEMENTS)
        _limit(element, len(element.attrib), "attributen in een element", ATTRIBUTES)


def _limit(element: etree._Element | None, count: int, what: str, most: int) -> None:
    if count > most:
        where, line = ("het document", 0) if element is None else (f"element {element.tag}", line_of(element))
        fix = "Vereenvoudig het document."
        raise Malformed("xml-limit", where, f"{count} {what}", f"ten hoogste {most}", fix, line)


def line_of(element: etree._Element) -> int:
    """Line of an element's start tag, from 1; 0 when the parser did not count."""
    line: object = element.sourceline
    return line if isinstance(line, int) else 0


def _utf8(payload: Payload) -> Iterator[bytes]:
    """The octets as UTF-8 in small pieces, once encoding and prolog are found to be in order."""
    pieces = _decoded(chunk[start : start + FEED] for chunk in payload.open() for start in range(0, len(chunk), FEED))
    prolog = b""
    for piece in pieces:
        prolog += piece
        if _root_begins(prolog):
            break
        if len(prolog) > PROLOG:
            found, fix = f"meer dan {PROLOG} octetten", "Verwijder commentaar voor het eerste element."
            raise Malformed("xml-limit", "de proloog", found, f"ten hoogste {PROLOG}", fix)
    yield prolog
    yield from pieces


def _decoded(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """UTF-8 as it is, UTF-16 with its mark turned into UTF-8; every other encoding is refused."""
    first = next(pieces, b"")
    while len(first) < 4 and (more := next(pieces, b"")):
        first += more
    if not first.startswith(_UTF16):
        first = first.removeprefix(codecs.BOM_UTF8)
        declared = _DECLARATION.match(first)
        if declared and declared[1].lower() not in _ENCODINGS:
            raise _encoding(declared[1].decode("ascii"))
        yield first
        yield from pieces
        return
    decoder = codecs.getincrementaldecoder("utf-16")()
    try:
        yield decoder.decode(first).encode()
        for piece in pieces:
            yield decoder.decode(piece).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise _encoding("octetten die geen UTF-16 zijn") from error


def _encoding(found: str) -> Malformed:
    wanted, fix = "UTF-8, of UTF-16 met byte order mark", "Sla het document op in UTF-8."
    return Malformed("encoding", "de XML-declaratie", found, wanted, fix, 1)


def _root_begins(prolog: bytes) -> bool:
    """True when the root element's start tag, or something that is no prolog at all, has been reached.
    Raises Malformed: a DOCTYPE comes first; nothing of it has been given to the parser."""
    at = 0
    while True:
        at += len(prolog) - at - len(prolog[at:].lstrip(b" \t\r\n"))
        rest = prolog[at : at + 9]
        if rest.startswith(b"<!--"):
            end, closed = prolog.find(b"-->", at + 4), 3
        elif rest.startswith(b"<?"):
            end, closed = prolog.find(b"?>", at + 2), 2
        elif rest.startswith(b"<!DOCTYPE"):
            line, fix = prolog[:at].count(b"\n") + 1, "Verwijder de DOCTYPE uit het document."
            raise Malformed("doctype", "de proloog", "een DOCTYPE", "geen DOCTYPE", fix, line)
        else:
            return bool(rest) and not b"<!DOCTYPE".startswith(rest) and not b"<!--".startswith(rest)
        if end < 0:
            return False
        at = end + closed
