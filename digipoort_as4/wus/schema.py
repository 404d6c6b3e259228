"""Validates a body against the XSD of the koppelvlak and says in Dutch, per place, what is wrong.

Reads no values; wus.koppelvlak does that afterwards and may then rely on order, presence and lengths."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

from lxml import etree

from digipoort_as4 import config
from digipoort_as4.errors import PeerError, raise_all
from digipoort_as4.soap.message import LargeText, SoapMessage
from digipoort_as4.soap.names import KV, q

XSD: Final = "digipoort-koppelvlak-1.2.xsd"
SHORT: Final = 40  # characters of a peer's value that an error text repeats

_validating: Final = threading.Lock()  # a compiled schema has one error log; large bodies are validated in threads

_QUALIFIED: Final = re.compile(r"\{[^}]*\}")
_ELEMENT: Final = re.compile(r"^Element '([^']*)'")
_EXPECTED: Final = re.compile(r"Expected is (?:one of )?\( (.*) \)")
_LENGTH: Final = re.compile(r"has a length of '(\d+)'; this exceeds the allowed maximum length of '(\d+)'")
_TYPE: Final = re.compile(r"atomic type '([^']*)'\.?\s*$")
_ATTRIBUTE: Final = re.compile(r"attribute '([^']*)'")
_WORDS: Final = {
    "dateTime": "een tijdstip als 2026-01-05T10:00:00.000Z",
    "base64Binary": "base64",
    "inhoudType": "base64",
    "autorisatieAdresType": "een URI",
}


@cache
def compiled(name: str = XSD) -> etree.XMLSchema:
    """A schema, compiled once per process."""
    return etree.XMLSchema(etree.parse(config.data_file(f"schemas/{name}")))


def check(operation: etree._Element, large: Sequence[LargeText] = ()) -> None:
    """Validate a request, response or fault element; lines are those of the message as sent, `large` texts in it.
    Raises PeerError: schema, with all errors found, each with where, found and expected.
    Source: digipoort 1.4 to 1.6; issue 10.1 asks for all errors at once."""
    schema = compiled()
    with _validating:
        if schema.validate(operation):
            return
        log: Any = schema.error_log  # iterable, which its stub does not say
        entries = [(int(entry.line), str(entry.type_name), str(entry.message)) for entry in log]
    shift = _shift(operation, large)
    raise_all(_explain(shift(line), kind, message) for line, kind, message in entries)


def _shift(operation: etree._Element, large: Sequence[LargeText]) -> Callable[[int], int]:
    """Maps a line of the tree to the line of the message: large texts take their line breaks with them."""
    texts = {text.placeholder: text.text for text in large if not text.octets}
    inhouden: Any = operation.iter(q(KV, "inhoud"))  # its stub does not know that sourceline is a number
    moved = [(int(element.sourceline or 0), texts[element.text]) for element in inhouden if element.text in texts]

    @cache
    def breaks(number: int) -> int:
        return sum(chunk.count(b"\n") for chunk in moved[number][1].open())

    return lambda line: line + sum(breaks(number) for number, (at, _) in enumerate(moved) if at < line)


def locate(refusal: PeerError, message: SoapMessage) -> None:
    """Add the line to each finding whose place is the name of just one element of the message.
    Reads the large texts to count their lines when the element stands behind them. Nothing here need be verified: who
    sent the message is told where in it something stands."""
    line_of = _shift(message.body, message.large)
    for finding in refusal.all():
        name = finding.where.rpartition(":")[2]
        named: list[Any] = list(message.envelope.iter("{*}" + name)) if name.isalpha() else []
        if len(named) == 1:
            finding.where += f", regel {line_of(int(named[0].sourceline))}"


def _explain(line: int, kind: str, message: str) -> PeerError:
    """One error of libxml2 in our words."""
    message = _QUALIFIED.sub("", message)
    name = _ELEMENT.match(message)
    explained = _BY_TYPE.get(kind, ("iets dat het schema niet toestaat", "een waarde volgens het schema"))
    found, expected = explained(message) if callable(explained) else explained
    return PeerError(
        "schema", where=f"regel {line}, element {name[1][:80] if name else '?'}", found=found, expected=expected
    )


def _content(message: str) -> tuple[str, str]:
    expected = _EXPECTED.search(message)
    names = expected[1] if expected else "niets meer"
    if "Missing child" in message:
        return "een element ontbreekt", names
    return "dit element staat hier niet goed", names


def _too_long(message: str) -> tuple[str, str]:
    length = _LENGTH.search(message)
    if length is None:
        return "een te lange waarde", "een kortere"
    return f"{length[1]} tekens", f"hoogstens {length[2]}"


def _wrong_type(message: str) -> tuple[str, str]:
    name = _TYPE.search(message)
    local = name[1].rpartition(":")[2] if name else ""
    return "een waarde van een ander soort", _WORDS.get(local, f"een waarde van type {local or 'volgens het schema'}")


def _no_attribute(message: str) -> tuple[str, str]:
    name = _ATTRIBUTE.search(message)
    return f"attribuut {name[1][:SHORT] if name else '?'}", "geen attributen"


_BY_TYPE: Final[dict[str, Callable[[str], tuple[str, str]] | tuple[str, str]]] = {
    "SCHEMAV_ELEMENT_CONTENT": _content,
    "SCHEMAV_CVC_ELT_1": ("een onbekend element", f"een element van het koppelvlak, in {KV}"),
    "SCHEMAV_CVC_MAXLENGTH_VALID": _too_long,
    "SCHEMAV_CVC_DATATYPE_VALID_1_2_1": _wrong_type,
    "SCHEMAV_CVC_COMPLEX_TYPE_3_2_1": _no_attribute,
    "SCHEMAV_CVC_TYPE_3_1_1": _no_attribute,
    "SCHEMAV_CVC_COMPLEX_TYPE_2_3": ("tekst tussen de elementen", "alleen elementen"),
    "SCHEMAV_CVC_TYPE_3_1_2": ("elementen erin", "alleen tekst"),
}
"""How each kind of error of libxml2 reads. Any other kind is told without details."""
