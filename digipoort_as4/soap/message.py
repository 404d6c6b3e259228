"""One SOAP message as one tree plus the large texts that were kept out of it. Carries no trust."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree

from digipoort_as4.payload import Payload


@dataclass(frozen=True, slots=True)
class LargeText:
    """Base64 text of one large inhoud, taken from the octets before the tree was built (decision 13)."""

    placeholder: str  # Unguessable text of this message that stands in the tree instead
    text: Payload  # The octets as received, or as XOP restores them: base64 alphabet, '=' and white space only
    octets: Payload | None = None  # What the text stands for, when it came as a MIME part (soap.xop)


@dataclass(frozen=True, slots=True)
class SoapMessage:
    """The tree that all later code reads, and no other."""

    envelope: etree._Element
    header: etree._Element
    body: etree._Element
    octets: bytes  # The guarded octets the tree was built from, placeholders included: evidence
    large: tuple[LargeText, ...] = ()
    ids: Mapping[str, etree._Element] = field(default_factory=dict)
    """Elements by wsu:Id, Id, ID, id or xml:id; each value occurs once in the message."""
