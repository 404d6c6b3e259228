"""The only XML parser and serialiser of messages: octets in, one guarded tree out, or a refusal.

Trusts nothing it reads and verifies no signature. Business documents have a guard of their own (decision 14)."""

import re
from collections.abc import Sequence
from typing import Final

from lxml import etree

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError
from digipoort_as4.soap.message import LargeText, SoapMessage
from digipoort_as4.soap.names import KV, SOAP11, SOAP12, WSU, XML, has_text, local_name, q

_ENVELOPE, _HEADER, _BODY = (q(SOAP11, name) for name in ("Envelope", "Header", "Body"))
_ID_ATTRIBUTES: Final = frozenset({q(WSU, "Id"), q(XML, "id"), "Id", "ID", "id"})
"""Whatever any toolkit takes for an Id: one value may occur once over all of them (threats W04)."""
_BOM: Final = b"\xef\xbb\xbf"
_DECLARED_ENCODING: Final = re.compile(rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([^"'>]*)["']""")
_MAYBE_RELATIVE: Final = re.compile(
    rb"""xmlns(?::[^\s=:]++)?[ \t\r\n]*+=[ \t\r\n]*+["'](?![A-Za-z][A-Za-z0-9+.\-]*:|["'])"""
)
# A namespace declaration whose value does not start with a scheme; also found in text, so a parser is asked next.
# Linear: no two matches of `xmlns` can run over the same octets, because a prefix holds no colon.
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_WHITE_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_TOO_DEEP: Final = etree.XPath("boolean(" + "/*" * (limits.DEPTH + 1) + ")")
_RESOURCE_ERRORS: Final = {etree.ErrorTypes.ERR_NAME_TOO_LONG, etree.ErrorTypes.ERR_ENTITY_LOOP, 114}  # libxml2's limit
_FEED: Final = 4 * limits.KIB  # Octets between two looks at the count of namespace declarations


def parse(
    octets: bytes, large: Sequence[LargeText] = (), *, headless: bool = False, most: int = limits.TREE
) -> SoapMessage:
    """Turn octets, large texts replaced by placeholders (soap.inhoud.extract), into the one tree that all code reads.
    `large`: the texts that were taken out. `headless`: an envelope without Header (SOAP 1.1 4.2) gets an empty one.
    Raises PeerError: body-too-large (above `most`), not-utf8, doctype, not-xml, xml-limit, comment, envelope,
    signature-shape (an Id that occurs twice), inhoud (a placeholder that is not the whole text of one inhoud).
    Source: SOAP 1.1 4 and 3 (no DTD); threats 1.1 steps 3 and 4."""
    _check_octets(octets, most)
    envelope = _build_tree(octets)
    if envelope.tag != _ENVELOPE:
        found = "een SOAP 1.2-envelop" if envelope.tag == q(SOAP12, "Envelope") else f"element {_name(envelope)}"
        raise _envelope(envelope, found, f"Envelope in {SOAP11}")
    ids = _check_nodes(envelope)
    if headless and [part.tag for part in envelope] == [_BODY]:
        envelope.insert(0, envelope.makeelement(_HEADER))
    header, body = _header_and_body(envelope)
    _check_placeholders(octets, body, large)
    return SoapMessage(envelope, header, body, octets, tuple(large), ids)


def parse_own(octets: bytes) -> etree._Element:
    """Parse octets that this program wrote itself, with the same parser and no other check."""
    return etree.fromstring(octets, _parser())


def serialise(element: etree._Element) -> bytes:
    """UTF-8 octets of an element, without XML declaration and without what follows the element."""
    return etree.tostring(element, encoding="UTF-8", with_tail=False)


def _parser() -> etree.XMLParser:
    # never collect_ids=False: libxml2 then opens an external DTD on disk (stack.md 3)
    return etree.XMLParser(**_HARDENED)  # type: ignore[arg-type]


_HARDENED: Final = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "dtd_validation": False,
    "attribute_defaults": False,
    "huge_tree": False,
    "recover": False,
    "decompress": False,
}


def _check_octets(octets: bytes, most: int) -> None:
    """Everything that can be refused by counting, so that no tree is built for it."""
    if len(octets) > most:
        raise PeerError("body-too-large", found=f"{len(octets)} octetten", expected=f"hoogstens {most}")
    _check_encoding(octets)
    check_no_doctype(octets)
    # counting one octet is far cheaper than counting five, and is enough for nearly every message
    if len(octets) > limits.ELEMENTS and octets.count(b"<") - octets.count(b"</") > limits.ELEMENTS:
        raise _limit("meer elementen", f"hoogstens {limits.ELEMENTS}")
    many = octets.count(b"=") > limits.NAMESPACES and octets.count(b"xmlns") > limits.NAMESPACES
    if many or _MAYBE_RELATIVE.search(octets):
        _check_declarations(octets)


def _check_encoding(octets: bytes) -> None:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise _not_utf8(f"regel {line}", f"octet 0x{octets[error.start]:02X}") from error
    declared = _DECLARED_ENCODING.match(octets, len(_BOM) if octets.startswith(_BOM) else 0)
    if declared and declared[1].lower() != b"utf-8":
        raise _not_utf8("XML-declaratie", f"encoding {declared[1].decode()[:20]!r}")


def check_no_doctype(octets: bytes) -> None:
    """Refuse a DOCTYPE (PeerError doctype) in the prolog: comments, PIs and white space may stand before it."""
    at = _white_space_end(octets, len(_BOM) if octets.startswith(_BOM) else 0)
    while True:
        opening, closing = (b"<?", b"?>") if octets.startswith(b"<?", at) else (b"<!--", b"-->")
        end = octets.find(closing, at + len(opening)) if octets.startswith(opening, at) else -1
        if end < 0:
            break
        at = _white_space_end(octets, end + len(closing))
    if octets.startswith(b"<!", at) and not octets.startswith(b"<!--", at):
        line = octets.count(b"\n", 0, at) + 1
        raise PeerError("doctype", where=f"regel {line}", found="<!DOCTYPE", fix="Verwijder de DOCTYPE.")


def _white_space_end(octets: bytes, at: int) -> int:
    match = _WHITE_SPACE.match(octets, at)
    return match.end() if match else at


def _check_declarations(octets: bytes) -> None:
    """Count and read every namespace declaration: only for messages in which a cheap look found reason to.
    A relative URI has no canonical form (threats S19), and libxml2 warns of the unprefixed ones only."""
    parser = etree.XMLPullParser(events=("start-ns",), **_HARDENED)  # type: ignore[arg-type]
    declarations = 0
    try:
        for start in range(0, len(octets), _FEED):
            parser.feed(octets[start : start + _FEED])
            for _, declared in parser.read_events():
                uri = str(declared[1])  # type: ignore[index]
                declarations += 1
                if declarations > limits.NAMESPACES:
                    raise _limit("meer naamruimtedeclaraties", f"hoogstens {limits.NAMESPACES}")
                if uri and not _ABSOLUTE.match(uri):
                    raise PeerError("not-xml", found=f"naamruimte {uri[:60]!r}", expected="een absolute URI")
    except etree.XMLSyntaxError as error:
        raise _not_xml(error) from error


def _build_tree(octets: bytes) -> etree._Element:
    parser = _parser()
    try:
        envelope = etree.fromstring(octets, parser)
    except etree.XMLSyntaxError as error:
        raise _not_xml(error) from error
    except ValueError as error:
        raise PeerError("not-xml", found=str(error)[:100]) from error
    for entry in parser.error_log:  # XML 1.1 has another alphabet, a relative URI no canonical form: only warnings
        where, found, fix = f"regel {entry.line}", entry.message[:120], "Herstel de declaratie die hier genoemd wordt."
        raise PeerError("not-xml", where=where, found=found, expected="XML 1.0 met absolute naamruimte-URI's", fix=fix)
    document = envelope.getroottree().docinfo
    if document.internalDTD is not None:
        raise PeerError("doctype", found="<!DOCTYPE", expected="geen DOCTYPE")
    if str(document.encoding).lower() != "utf-8":
        raise _not_utf8("XML-declaratie", f"encoding {str(document.encoding)[:20]!r}")
    return envelope


def _not_xml(error: etree.XMLSyntaxError) -> PeerError:
    name = "xml-limit" if getattr(error, "code", 0) in _RESOURCE_ERRORS else "not-xml"
    where, found, fix = f"regel {error.lineno}", str(error.msg)[:120], "Controleer het bericht met een XML-parser."
    return PeerError(name, where=where, found=found, expected="welgevormde XML 1.0", fix=fix)


def _check_nodes(envelope: etree._Element) -> dict[str, etree._Element]:
    """No comment, no PI, few attributes, every Id once."""
    if _TOO_DEEP(envelope):
        raise _limit("diepere nesting", f"hoogstens {limits.DEPTH} diep")
    ids: dict[str, etree._Element] = {}
    for node in envelope.iter(etree.Comment, etree.PI, etree.Entity):
        kind = "commentaar" if isinstance(node, etree._Comment) else "een processing instruction of entiteit"
        where, expected = f"regel {node.sourceline}", "alleen elementen en tekst in de Envelope"
        fix = "Laat commentaar en processing instructions weg."
        raise PeerError("comment", where=where, found=kind, expected=expected, fix=fix)
    for element in envelope.iter():
        names = element.keys()
        if not names:
            continue
        if len(names) > limits.ATTRIBUTES:
            raise _limit(f"{len(names)} attributen op {_name(element)}", f"hoogstens {limits.ATTRIBUTES}")
        for name in names:
            if name in _ID_ATTRIBUTES:
                _add_id(ids, str(element.get(name)), element)
    return ids


def _add_id(ids: dict[str, etree._Element], value: str, element: etree._Element) -> None:
    if value in ids:
        found, fix = f"Id {value[:60]!r} komt meer dan eens voor", "Geef elk element een eigen Id."
        raise PeerError("signature-shape", where=_place(element), found=found, expected="elke Id eenmaal", fix=fix)
    ids[value] = element


def _header_and_body(envelope: etree._Element) -> tuple[etree._Element, etree._Element]:
    """The Envelope holds one Header and then one Body, and nothing else."""
    parts = list(envelope)
    tags = [part.tag for part in parts]
    if tags != [_HEADER, _BODY]:
        found = ", ".join(_name(part) for part in parts[:5]) or "niets"
        raise _envelope(envelope, found, "een Header en daarna een Body")
    header, body = parts
    for parent, name in ((envelope, "Envelope"), (header, "Header")):
        if has_text(parent, list(parent)):
            raise _envelope(parent, f"tekst in {name}", "alleen elementen")
    if envelope.getnext() is not None:
        raise _envelope(envelope, "commentaar of een processing instruction achter de Envelope", "niets")
    return header, body


def _check_placeholders(octets: bytes, body: etree._Element, large: Sequence[LargeText]) -> None:
    """Each placeholder is the whole text of exactly one inhoud in the Body and stands nowhere else."""
    if not large:
        return
    texts = [element.text for element in body.iter(q(KV, "inhoud")) if not len(element)]
    for number, text in enumerate(large, 1):
        if texts.count(text.placeholder) != 1 or octets.count(text.placeholder.encode()) != 1:
            where, found = f"grote inhoud {number}", "een grote tekst die niet de hele tekst van een inhoud is"
            expected = f"inhoud in {KV} met alleen base64"
            fix = "Schrijf de inhoud als een base64-tekst, zonder CDATA of markup."
            raise PeerError("inhoud", where=where, found=found, expected=expected, fix=fix)


def _name(element: etree._Element) -> str:
    return local_name(element.tag)[:60]


def _place(element: etree._Element) -> str:
    return f"{_name(element)}, regel {element.sourceline}"


def _limit(found: str, expected: str) -> PeerError:
    return PeerError("xml-limit", found=found, expected=expected)


def _not_utf8(where: str, found: str) -> PeerError:
    return PeerError("not-utf8", where=where, found=found, expected="UTF-8", fix="Verstuur het bericht in UTF-8.")


def _envelope(element: etree._Element, found: str, expected: str) -> PeerError:
    return PeerError("envelope", where=_place(element), found=found, expected=expected)
