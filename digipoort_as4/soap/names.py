"""Namespaces and QNames of the standards, written once."""

from collections.abc import Sequence
from typing import Final

from lxml import etree

SOAP11: Final = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP12: Final = "http://www.w3.org/2003/05/soap-envelope"
SOAP_NEXT: Final = "http://schemas.xmlsoap.org/soap/actor/next"  # actor that all play: for us too (SOAP 1.1 4.2.2)
WSA: Final = "http://www.w3.org/2005/08/addressing"
WSA_ANONYMOUS: Final = "http://www.w3.org/2005/08/addressing/anonymous"
WSA_NONE: Final = "http://www.w3.org/2005/08/addressing/none"
WSSE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSSE11: Final = "http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd"
WSU: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
DS: Final = "http://www.w3.org/2000/09/xmldsig#"
EC: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
XML: Final = "http://www.w3.org/XML/1998/namespace"
KV: Final = "http://logius.nl/digipoort/koppelvlakservices/1.2/"  # Requests, responses and faults of the koppelvlak
XOP: Final = "http://www.w3.org/2004/08/xop/include"
BASE64_BINARY: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"
X509V3: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"

WHITE_SPACE: Final = " \t\r\n"  # White space of XML; str.strip() would take more


def q(namespace: str, local: str) -> str:
    """A QName as lxml writes it."""
    return f"{{{namespace}}}{local}"


def local_name(tag: object) -> str:
    """The local part of an element's tag; '#comment' or '#pi' for what is no element."""
    return tag.rpartition("}")[2] if isinstance(tag, str) else "#node"


def has_text(parent: etree._Element, children: Sequence[etree._Element]) -> bool:
    """True when something other than white space stands between the children."""
    if (text := parent.text) and text.strip(WHITE_SPACE):
        return True
    for child in children:  # noqa: SIM110 - thirty calls a message: a generator costs twice the loop
        if (tail := child.tail) and tail.strip(WHITE_SPACE):
            return True
    return False
