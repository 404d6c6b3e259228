"""Is the number inside the document the belanghebbende's?

Looks only where the route's rules say; computes no check digits and asks no register."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from lxml import etree

from digipoort_as4.hub import identities
from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.findings import Finding
from digipoort_as4.hub.routes import IdentityRule, Route, is_xml
from digipoort_as4.payload import Document
from digipoort_as4.validation.wellformed import Malformed, line_of, stream

RULE: Final = "identity"
MOST: Final = 20  # Differing numbers told of one document; an XBRL instance repeats its identifier in every context


class Found(NamedTuple):
    """One number in a document."""

    number: str
    line: int
    tag: str


def check(aanlevering: Aanlevering, route: Route) -> Iterator[Finding]:
    """Every number that the route's rules find in the inhoud is the belanghebbende's, and there is at least one."""
    belanghebbende = aanlevering.belanghebbende
    rules = tuple(rule for rule in route.identity if belanghebbende.type.casefold() in rule.types)
    if not rules:
        known = ", ".join(sorted({kind for rule in route.identity for kind in rule.types}))
        fix = f"Gebruik een type dat in een document van berichtsoort {route.berichtsoort} voorkomt."
        found, expected = f"type {belanghebbende.type}", f"een van de typen {known}"
        yield _finding("", "identity-type", "identiteitBelanghebbende", found, expected, fix)
        return
    if expected := identities.problem(belanghebbende):
        fix = "Controleer identiteitBelanghebbende."
        yield _finding("", "identity-shape", "identiteitBelanghebbende", _shown(belanghebbende), expected, fix)
        return
    for document in aanlevering.documents:
        if document.part == "inhoud":
            yield from _document(document, belanghebbende, rules)


def _document(document: Document, belanghebbende: Identiteit, rules: tuple[IdentityRule, ...]) -> Iterator[Finding]:
    if not is_xml(document.mime_type):
        fix = "Lever een XML-document aan."
        yield _finding(document.bestandsnaam, "identity-missing", "mimeType", document.mime_type, "XML", fix)
        return
    try:
        numbers = list(find_numbers(document, rules))
    except Malformed as malformed:
        yield replace(malformed.finding, column=0, document=document.bestandsnaam, rule=RULE)
        return
    if not numbers:
        yield _missing(document, belanghebbende, rules)
    wanted = identities.normalise(belanghebbende.nummer, belanghebbende.type)
    differing = [n for n in numbers if identities.normalise(n.number, belanghebbende.type) != wanted]
    expected = f"{_shown(belanghebbende)}, de identiteitBelanghebbende"
    fix = "Maak het nummer in het document en de identiteitBelanghebbende gelijk."
    for n in differing[:MOST]:
        name, where = document.bestandsnaam, f"element {n.tag}"
        yield _finding(name, "identity-differs", where, n.number, expected, fix, n.line)


def find_numbers(document: Document, rules: tuple[IdentityRule, ...]) -> Iterator[Found]:
    """The numbers that any of the rules finds in an XML document, in its order; Malformed: it cannot be read on."""
    path: list[str] = []
    for event, element, depth in stream(document.payload):
        if event == "start":
            path.append(str(element.tag))
        else:
            if any(_fits(rule, path, element) for rule in rules):
                yield Found(_text(element), line_of(element), str(element.tag))
            del path[depth - 1 :]


def _text(element: etree._Element) -> str:
    """All text of an element, a comment in its midst skipped; with elements inside it is no number, and says so."""
    text = str(element.xpath("string()")).strip()
    return f"{text} (met elementen erin)" if any(isinstance(child.tag, str) for child in element) else text


def _fits(rule: IdentityRule, path: list[str], element: etree._Element) -> bool:
    return any(
        len(names) == len(path) and all(name.matches(tag) for name, tag in zip(names, path, strict=True))
        for names in rule.paths
    ) and all(element.get(name) == value for name, value in rule.attributes)


def _missing(document: Document, belanghebbende: Identiteit, rules: tuple[IdentityRule, ...]) -> Finding:
    paths = " of ".join("/".join(name.local for name in path) for rule in rules for path in rule.paths)
    marked = {f"{name}={value}" for rule in rules for name, value in rule.attributes}
    expected = f"{_shown(belanghebbende)} in {paths}" + (f" met {', '.join(sorted(marked))}" if marked else "")
    found, fix = "geen nummer van de belanghebbende", "Neem het nummer van de belanghebbende op in het document."
    return _finding(document.bestandsnaam, "identity-missing", "het document", found, expected, fix)


def _finding(document: str, id: str, where: str, found: str, expected: str, fix: str, line: int = 0) -> Finding:
    return Finding(id, "error", where, found, expected, fix, line, 0, document, RULE)


def _shown(identiteit: Identiteit) -> str:
    return f"{identiteit.type} {identiteit.nummer}"
