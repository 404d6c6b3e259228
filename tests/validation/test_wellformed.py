"""Well-formed under its own limits, and of the kind the route says."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from helpers_validation import SHARED, XBRLI, document, envelope, route, xbrl
from lxml import etree

from digipoort_as4.hub.findings import Finding
from digipoort_as4.hub.routes import Name
from digipoort_as4.payload import BytesPayload, Document
from digipoort_as4.validation import wellformed
from digipoort_as4.validation.wellformed import ATTRIBUTES, DEPTH, ELEMENTS, NAMESPACES, PROLOG, root_of

OPEN = replace(route(), roots=(), mime_types=frozenset({"text/xml"}))
"""A route that takes any XML."""


def findings(*documents: Document, on: object = OPEN) -> list[Finding]:
    return list(wellformed.check(envelope(*documents), on))  # type: ignore[arg-type]


def ids(octets: bytes | str) -> list[str]:
    return [finding.id for finding in findings(document(octets))]


def test_good_document() -> None:
    assert [] == findings(document(xbrl()), on=route())


# --- form -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("good", "broken", "line", "column"),
    [
        ("<a>\n<b/>\n</a>", "<a>\n<b>\n</a>", 3, 5),
        ("<a>\n&lt;</a>", "<a>\n&nope;</a>", 2, 7),
        ("<a>\n\n</a>\n", "<a>\n\n</a>\nx", 4, 1),
        ("<a/>", "<a/><b/>", 1, 5),
        ("<a>x</a>", "<a>x", 1, 5),
        ("<a b='1'/>", "<a b='1' b='2'/>", 1, 15),
        ("<a>\u00e9</a>", "<a>\udce9</a>", 1, 4),
    ],
)
def test_broken_xml_is_found_at_its_place(good: str, broken: str, line: int, column: int) -> None:
    """Line and column counted by hand, where the parser cannot go on."""
    assert [] == ids(good)
    (found,) = findings(document(broken.encode(errors="surrogateescape")))
    assert ("not-wellformed", "error") == (found.id, found.level)
    assert line == found.line
    assert abs(found.column - column) <= 1
    assert "aangifte.xbrl" == found.document


@pytest.mark.parametrize("octets", [b"", b"   \n", b"<!-- only -->", b"\xef\xbb\xbf", b"text", b"<", b"<!", b"<?xml"])
def test_no_element_at_all(octets: bytes) -> None:
    assert ["not-wellformed"] == ids(octets)


@pytest.mark.parametrize(
    "before", ["", "\n", "<!-- <!DOCTYPE a> -->", "<?p <!DOCTYPE a> ?>", '<?xml version="1.0"?>\n<!-- x -->\n<?y?>']
)
def test_doctype_is_refused_wherever_it_stands(before: str) -> None:
    """With the DOCTYPE left out the same document is good; inside comments and instructions it is only text."""
    assert [] == ids(f"{before}<a/>")
    (found,) = findings(document(f"{before}<!DOCTYPE a><a/>"))
    assert "doctype" == found.id
    assert before.count("\n") + 1 == found.line


def test_doctype_is_refused_before_the_parser_sees_it() -> None:
    """An entity in the root's attribute would be expanded with the start tag: nothing of it may reach the parser."""
    bomb = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;">]><a b="&y;"/>'
    assert ["doctype"] == ids(bomb)


@dataclass
class Trickle:
    """A payload that comes octet by octet, as no file would."""

    octets: bytes

    @property
    def size(self) -> int:
        return len(self.octets)

    def open(self) -> Iterator[bytes]:
        for at in range(len(self.octets)):
            yield self.octets[at : at + 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (xbrl(), []),
        ("<!-- - -- --> <?x?>\n<a/>".replace(" - -- ", " "), []),
        ("<!-- x --><!DOCTYPE a><a/>", ["doctype"]),
        ("<a><!-- c --><b/></a>x", ["not-wellformed"]),
    ],
)
def test_pieces_make_no_difference(text: str, expected: list[str]) -> None:
    found = findings(document(Trickle(text.encode())))
    assert expected == [finding.id for finding in found]


def test_comments_and_instructions_are_allowed() -> None:
    """A business document is not a SOAP message (decision 14)."""
    assert [] == ids("<!-- a --><?b c?><a><!-- d --><?e f?>x<!-- g --></a><!-- h -->")


# --- encoding ---------------------------------------------------------------------------------------------------------

TEXT = '<?xml version="1.0" encoding="{}"?>\n<a>\u00e9</a>'


@pytest.mark.parametrize(
    "octets",
    [
        TEXT.format("UTF-8").encode(),
        b"\xef\xbb\xbf" + TEXT.format("utf-8").encode(),
        "<a>\u00e9</a>".encode(),
        TEXT.format("UTF-16").encode("utf-16"),
        "\ufeff<a>\u00e9</a>".encode("utf-16-be"),
    ],
)
def test_utf8_and_marked_utf16_are_read(octets: bytes) -> None:
    assert [] == ids(octets)


@pytest.mark.parametrize(
    "octets",
    [
        TEXT.format("ISO-8859-1").encode("latin-1"),
        TEXT.format("UTF-7").encode(),
        TEXT.format("UTF-16").encode(),
        TEXT.format("windows-1252").encode("cp1252"),
    ],
)
def test_other_encodings_are_refused(octets: bytes) -> None:
    """One reading only: what the declaration says and what the octets are must agree on UTF-8."""
    assert ["encoding"] == ids(octets)


def test_utf16_that_breaks_off() -> None:
    assert ["encoding"] == ids("\ufeff<a>x</a>".encode("utf-16-le") + b"\x00")


def test_utf16_without_mark_is_not_read() -> None:
    assert ["not-wellformed"] == ids("<a/>".encode("utf-16-le"))


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("most", "make"),
    [
        (DEPTH, lambda n: "<a>" * n + "</a>" * n),
        (ATTRIBUTES, lambda n: "<a " + " ".join(f'b{i}=""' for i in range(n)) + "/>"),
        (NAMESPACES, lambda n: "<a>" + "".join(f'<b xmlns:p="urn:{i}"/>' for i in range(n)) + "</a>"),
    ],
)
def test_limits_hold_exactly(most: int, make: object) -> None:
    """At the limit all is well, one above it is refused."""
    assert [] == ids(make(most))  # type: ignore[operator]
    assert ["xml-limit"] == ids(make(most + 1))  # type: ignore[operator]


def test_element_limit() -> None:
    """Two million empty elements are 8 MB; the count is told without reading further."""
    found = findings(document(b"<a>" + b"<b/>" * ELEMENTS + b"</a>"))
    assert ["xml-limit"] == [finding.id for finding in found]
    assert "2000001 elementen" == found[0].found


def test_prolog_limit() -> None:
    assert [] == ids(f"<!--{'x' * (PROLOG // 2)}--><a/>")
    assert ["xml-limit"] == ids(f"<!--{'x' * PROLOG * 2}--><a/>")


def test_large_document_is_never_a_tree() -> None:
    """19 MiB of small elements: what the validator holds stays far below the document (a tree would be 300 MB)."""
    row = b'<row nr="1"><bedrag>12345678</bedrag></row>\n'
    big = BytesPayload(b"<a>" + row * (19 * 1024 * 1024 // len(row)) + b"</a>")
    began = time.process_time()
    etree.clear_error_log()
    tracemalloc.start()
    assert [] == findings(document(big))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 1024 * 1024
    assert time.process_time() - began < 30


def test_one_large_text() -> None:
    """An invoice may carry a base64 attachment longer than libxml2's own 10 MB."""
    assert [] == ids(b"<a><b>" + b"QUJD" * (19 * 1024 * 1024 // 4) + b"</b></a>")


# --- kind -------------------------------------------------------------------------------------------------------------


def test_root_element() -> None:
    """The same local name in another namespace is another kind of document; the finding names both."""
    (found,) = findings(document(xbrl().replace(XBRLI, "urn:other")), on=route())
    assert ("root-element", "{urn:other}xbrl", 3) == (found.id, found.found, found.line)
    assert f"{{{XBRLI}}}xbrl" in found.expected


def test_any_of_several_root_elements() -> None:
    two = replace(OPEN, roots=(Name("", "a"), Name("", "b")))
    assert [[], [], ["root-element"]] == [
        [finding.id for finding in findings(document(f"<{name}/>"), on=two)] for name in ("a", "b", "c")
    ]


@pytest.mark.parametrize(
    ("mime", "expected"),
    [("text/xml", []), ("Text/XML; charset=utf-8", []), ("application/json", ["mime-type"]), ("", ["mime-type"])],
)
def test_mime_type(mime: str, expected: list[str]) -> None:
    assert expected == [finding.id for finding in findings(document(xbrl(), mime=mime))]


def test_bijlagen_as_the_route_says() -> None:
    """Allowed kinds pass unread unless they are XML; others, or any where none is allowed, are refused."""
    takes_pdf = replace(OPEN, bijlage_mime_types=frozenset({"application/pdf", "text/xml"}))
    pdf = document(b"%PDF-1.7 \x00", part="bijlage", mime="application/pdf", name="a.pdf", key="k2")
    png = replace(pdf, mime_type="image/png")
    broken = document("<a>", part="bijlage", key="k3")
    inhoud = document("<a/>")
    assert [] == findings(inhoud, pdf, on=takes_pdf)
    assert ["mime-type"] == [finding.id for finding in findings(inhoud, png, on=takes_pdf)]
    assert ["not-wellformed"] == [finding.id for finding in findings(inhoud, broken, on=takes_pdf)]
    assert ["bijlage-refused"] == [finding.id for finding in findings(inhoud, pdf)]


def test_size_by_route() -> None:
    text = xbrl()
    assert [] == findings(document(text), on=replace(OPEN, document_limit=len(text)))
    (found,) = findings(document(text), on=replace(OPEN, document_limit=len(text) - 1))
    assert ("document-size", f"{len(text)} octetten") == (found.id, found.found)


def test_root_of_a_document() -> None:
    assert f"{{{XBRLI}}}xbrl" == root_of(document(xbrl()))
    assert "a" == root_of(document("<a><b>"))
    assert ["", ""] == [root_of(document("")), root_of(document(b"%PDF", mime="application/pdf"))]


# --- supplied data ----------------------------------------------------------------------------------------------------

NOT_FOR_DOCUMENTS = {
    "xml/schemalocation-ssrf.xml",
    "xml/xbrl-schemaref-ssrf.xml",
    "xml/xinclude.xml",
    "xml/xml-stylesheet-pi.xml",
    "xml/relative-ns.xml",
    "xml/ns-flood-2000x2000.xml",
    "xml/depth-255.xml",
    "xml/overlong-name.xml",
}
"""Hostile where something follows references or canonicalises, or by a limit of the SOAP guard; as a document judged
by the next test's own table."""


@pytest.mark.skipif(not SHARED.exists(), reason="the supplied data is not beside this checkout")
def test_hostile_files() -> None:
    """Each file that no parser may accept is refused in a tenth of a second; those that only point elsewhere are read
    without following anything."""
    manifest = json.loads((SHARED / "suites/hostile/manifest.json").read_text(encoding="utf-8"))
    names = [row["file"] for row in manifest if row["file"].startswith("xml/")]
    assert len(names) >= 29
    for name in names:
        octets = (SHARED / "suites/hostile" / name).read_bytes()
        costs = []
        for _ in range(3):  # the best of three: a collection of this process's garbage is not the file's cost
            began = time.process_time()
            found = ids(octets)
            costs.append(time.process_time() - began)
        assert min(costs) < 0.1, name
        if name not in NOT_FOR_DOCUMENTS:
            assert found, name


@pytest.mark.skipif(not SHARED.exists(), reason="the supplied data is not beside this checkout")
@pytest.mark.parametrize("name", ["schemalocation-ssrf", "xbrl-schemaref-ssrf", "xinclude", "xml-stylesheet-pi"])
def test_references_are_not_followed(name: str) -> None:
    """A document may name other files; reading it opens none (the parser knows no network and no files)."""
    assert [] == ids((SHARED / "suites/hostile/xml" / f"{name}.xml").read_bytes())


@pytest.mark.skipif(not SHARED.exists(), reason="the supplied data is not beside this checkout")
def test_real_documents() -> None:
    """VAT instances and invoices of others are of the kind that their routes say; a Schematron file is not."""
    for path in [*(SHARED / "xbrl").glob("*.xbrl")]:
        assert [] == findings(document(path.read_bytes()), on=route()), path.name
    invoices = [*(SHARED / "invoices/basisfactuur").glob("*.xml"), *(SHARED / "invoices/en16931").rglob("*.xml")]
    assert len(invoices) > 15
    for path in invoices:
        assert [] == findings(document(path.read_bytes()), on=route("e-factuur")), path.name
    schematron = next((SHARED / "invoices/basisfactuur").glob("*.sch")).read_bytes()
    assert ["root-element"] == [finding.id for finding in findings(document(schematron), on=route("e-factuur"))]
