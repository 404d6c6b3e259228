"""WS-Addressing headers of the koppelvlak: read from elements that the caller has verified, written for signing.

Follows no address: To, ReplyTo and the others are data, and nothing is ever sent there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lxml import etree

from digipoort_as4.errors import MOST, PeerError, raise_all
from digipoort_as4.soap.names import WHITE_SPACE, WSA, WSA_ANONYMOUS, WSA_NONE, WSU, local_name, q

HEADERS: Final = ("To", "Action", "MessageID", "RelatesTo", "ReplyTo", "From", "FaultTo")
"""The WS-Addressing headers of the koppelvlak, by local name; other names in this namespace are not understood."""
_REQUIRED: Final = {"To": "to-missing", "Action": "action-missing", "MessageID": "message-id-missing"}
_REFERENCES: Final = frozenset({"ReplyTo", "From", "FaultTo"})  # Hold an address; the others are text
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Would break a line in a log or a header that the value is copied to (threats I05, I07)."""
_LONGEST: Final = 2_048  # Characters of an address or id; the longest seen is under 150


@dataclass(frozen=True, slots=True)
class Addressing:
    """Who the message says it is for, what it asks and how it is called. No promise that any of it is true."""

    to: str
    action: str  # The operation's action; empty in a fault whose operation could not be found out (decision 6)
    message_id: str
    relates_to: str | None = None
    reply_to: str | None = None  # Address of ReplyTo; None means anonymous
    from_: str | None = None  # Address of From
    fault_to: str | None = None


def find(header: etree._Element) -> tuple[dict[str, etree._Element], list[PeerError]]:
    """The WS-Addressing headers by local name, and what is wrong with them: header-doubled, header-unknown."""
    found: dict[str, etree._Element] = {}
    wrong: list[PeerError] = []
    for element in header:
        if not str(element.tag).startswith(f"{{{WSA}}}"):
            continue
        name = local_name(element.tag)
        cause = "header-unknown" if name not in HEADERS else "header-doubled" if name in found else None
        if cause is None:
            found[name] = element
        elif len(wrong) <= MOST:
            wrong.append(PeerError(cause, where=f"wsa:{name[:60]}, regel {element.sourceline}"))
    return found, wrong


def missing(elements: Mapping[str, etree._Element], *, to_required: bool = True) -> list[PeerError]:
    """Which headers must be there and are not (…-missing); an answer without To is for anonymous (DK-WUS WA001)."""
    names = [name for name in _REQUIRED if name not in elements and (to_required or name != "To")]
    return [PeerError(_REQUIRED[name]) for name in names]


def read(elements: Mapping[str, etree._Element], *, to_required: bool = True) -> Addressing:
    """Read what `find` found. Raises PeerError: all that is wrong: to-, action-, message-id-missing, header-value."""
    wrong, values = missing(elements, to_required=to_required), dict[str, str]()
    for name, element in elements.items():
        try:
            values[name] = _address(element, name) if name in _REFERENCES else _text(element)
        except PeerError as finding:
            wrong.append(finding)
    raise_all(wrong)
    to, *others = (values.get(name) for name in ("To", "RelatesTo", "ReplyTo", "From", "FaultTo"))
    return Addressing(to or WSA_ANONYMOUS, values["Action"], values["MessageID"], *others)


def _text(element: etree._Element) -> str:
    """The whole text; an element inside would make it two readings."""
    text = (element.text or "").strip(WHITE_SPACE)
    if len(element) or not text or len(text) > _LONGEST or _CONTROL.search(text):
        found = "geen tekst" if len(element) or not text else "stuurtekens of een te lange tekst"
        expected = f"een tekst van hoogstens {_LONGEST} tekens op een regel"
        raise _value(f"{local_name(element.tag)}, regel {element.sourceline}", found, expected)
    return text


def _address(element: etree._Element, name: str) -> str:
    """The Address of an endpoint reference, which may hold nothing else (DK-WUS WA001)."""
    children = list(element)
    if [child.tag for child in children] != [q(WSA, "Address")]:
        found = ", ".join(local_name(child.tag)[:60] for child in children[:3]) or "niets"
        raise _value(name, found, "alleen wsa:Address")
    address = _text(children[0])
    if name != "From" and address not in (WSA_ANONYMOUS, WSA_NONE):
        fix = "Het antwoord komt altijd op dezelfde verbinding terug."
        raise _value(name, address[:120], f"{WSA_ANONYMOUS} of {WSA_NONE}", fix)
    return address


def _value(name: str, found: str, expected: str, fix: str = "") -> PeerError:
    return PeerError("header-value", where=f"wsa:{name}", found=found, expected=expected, fix=fix)


def build(addressing: Addressing, ids: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Write the headers in the order of the real answers; an empty action and a None are left out.
    Each, by local name, is in exclusive canonical form and declares its own namespaces: octets sent are octets hashed.
    `ids` are wsu:Ids by local name; None for a message that is not signed."""
    values = {
        "To": escape(addressing.to),
        "MessageID": escape(addressing.message_id),
        "Action": escape(addressing.action) if addressing.action else None,
        "RelatesTo": escape(addressing.relates_to) if addressing.relates_to else None,
        "ReplyTo": _reference(addressing.reply_to),
        "From": _reference(addressing.from_),
        "FaultTo": _reference(addressing.fault_to),
    }
    return [(name, _element(name, value, ids)) for name, value in values.items() if value is not None]


def _reference(address: str | None) -> str | None:
    return None if address is None else f"<wsa:Address>{escape(address)}</wsa:Address>"


def _element(name: str, content: str, ids: Mapping[str, str] | None) -> str:
    identity = f' xmlns:wsu="{WSU}" wsu:Id="{ids[name]}"' if ids else ""
    return f'<wsa:{name} xmlns:wsa="{WSA}"{identity}>{content}</wsa:{name}>'


def escape(text: str) -> str:
    """Text content in canonical form (Canonical XML 1.0 2.3, text nodes)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#xD;")
