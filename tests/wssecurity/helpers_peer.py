"""Requests as five known clients write them, signed by python-xmlsec: shares no code with the package.

The shapes follow digipoort.md 2.7; what differs between clients is data in `Shape`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import xmlsec
from lxml import etree

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
WSA = "http://www.w3.org/2005/08/addressing"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
DS = "http://www.w3.org/2000/09/xmldsig#"
EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"
B64 = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"
X509 = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"
ANONYMOUS = "http://www.w3.org/2005/08/addressing/anonymous"
SHA256 = ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2001/04/xmlenc#sha256")
SHA1 = (f"{DS}rsa-sha1", f"{DS}sha1")
SHA512 = ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", "http://www.w3.org/2001/04/xmlenc#sha512")

TIMESTAMP = "timestamp"


@dataclass(frozen=True)
class Shape:
    """How one client writes a request."""

    soap: str = "soapenv"
    wsu: str = "wsu"
    wsse: str = "wsse"
    wsa: str = "wsa"
    ds: str = ""
    """Prefix of the Signature; empty is the default namespace."""
    order: tuple[str, ...] = ("timestamp", "token", "signature")
    """Children of Security."""
    security_last: bool = True
    must_understand: bool = True
    action_must_understand: bool = False
    created: str = "2026-11-24T12:00:00.000Z"
    expires: str | None = "2026-11-24T12:10:00.000Z"
    signed: tuple[str, ...] = ("body", "timestamp", "action", "message_id", "to", "reply_to")
    reply_to: bool = True
    to: str = "https://localhost/wus/2.0/aanleverservice/1.2"
    action: str = "http://logius.nl/digipoort/wus/2.0/aanleverservice/1.2/AanleverService/aanleverenRequest"
    message_id: str = "urn:uuid:0d2c9c1e-9d2b-4b51-8f0a-1f1f5f0c7a55"
    addressing: tuple[str, ...] = ("reply_to", "to", "action", "message_id")
    """Order of the WS-Addressing headers."""
    prefix_lists: dict[str, str] = field(default_factory=dict)
    """PrefixList by part, `signed_info` included."""
    algorithms: tuple[str, str] = SHA256
    default_namespace: str = ""
    """Declared on the Envelope and used by nothing of SOAP."""
    cxf_ids: bool = False
    """Plain Id on Signature and KeyInfo, wsu:Id on the SecurityTokenReference."""
    c14n: str = EXC
    key_info: str = "direct"
    id_name: str = f"{{{WSU}}}Id"
    extra: Callable[[etree._Element], None] | None = None
    """Changes the tree just before signing."""

    def but(self, **changes: object) -> Shape:
        return replace(self, **changes)  # type: ignore[arg-type]


CLIENTS: dict[str, Shape] = {
    "wus-js": Shape(
        soap="s", wsu="u", wsse="o", wsa="a", order=("timestamp", "token", "signature"), action_must_understand=True
    ),
    "wus.core": Shape(soap="s", wsu="u", wsse="o", wsa="a", order=("token", "timestamp", "signature")),
    "odoo-zeep": Shape(
        soap="soap-env",
        ds="ds",
        order=("token", "signature", "timestamp"),
        must_understand=False,
        created="2026-11-24T12:00:00.123456Z",
        expires="2026-11-24T12:10:00.123456Z",
        security_last=True,
    ),
    "cxf-policy": Shape(
        soap="soap",
        ds="ds",
        security_last=False,
        order=("token", "timestamp", "signature"),
        signed=("timestamp", "body", "timestamp", "action", "message_id", "to", "reply_to"),
        prefix_lists={
            "timestamp": "wsse soap",
            "action": "soap",
            "message_id": "soap",
            "to": "soap",
            "reply_to": "soap",
            "signed_info": "soap",
        },
        cxf_ids=True,
        expires="2026-11-24T12:05:00.000Z",
    ),
    "wcf": Shape(
        soap="s",
        wsu="u",
        wsse="o",
        wsa="a",
        order=("timestamp", "token", "signature"),
        security_last=False,
        expires="2026-11-24T12:05:00.000Z",
        reply_to=False,
        signed=("body", "timestamp", "action", "message_id", "to"),
    ),
}


def request(shape: Shape, operation: bytes, key_pem: bytes, certificate_der: bytes) -> bytes:
    """A signed request as the client would send it."""
    return etree.tostring(signed_tree(shape, operation, key_pem, certificate_der), encoding="UTF-8")


def signed_tree(shape: Shape, operation: bytes, key_pem: bytes, certificate_der: bytes) -> etree._Element:
    envelope = etree.fromstring(_template(shape, operation, certificate_der))
    if shape.extra:
        shape.extra(envelope)
    context = xmlsec.SignatureContext()
    for element in envelope.iter():
        for name, namespace in (("Id", WSU), ("Id", None)):
            if element.get(f"{{{namespace}}}{name}" if namespace else name):
                context.register_id(element, name, namespace)
    context.key = xmlsec.Key.from_memory(key_pem, xmlsec.KeyFormat.PEM)
    context.sign(envelope.find(f".//{{{DS}}}Signature"))
    return envelope


def verified_by_xmlsec(octets: bytes, certificate_pem: bytes, signature_path: str = f".//{{{DS}}}Signature") -> bool:
    """The verdict of the other engine, with the given certificate's key."""
    envelope = etree.fromstring(octets)
    context = xmlsec.SignatureContext()
    for element in envelope.iter(etree.Element):
        if element.get(f"{{{WSU}}}Id"):
            context.register_id(element, "Id", WSU)
    context.key = xmlsec.Key.from_memory(certificate_pem, xmlsec.KeyFormat.CERT_PEM)
    try:
        context.verify(envelope.find(signature_path))
    except xmlsec.Error:
        return False
    return True


def _template(shape: Shape, operation: bytes, certificate_der: bytes) -> bytes:
    headers = _addressing(shape)
    security = _security(shape, certificate_der)
    parts = [*headers, security] if shape.security_last else [security, *headers]
    default = f' xmlns="{shape.default_namespace}"' if shape.default_namespace else ""
    s = shape.soap
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><{s}:Envelope xmlns:{s}="{SOAP}" xmlns:{shape.wsa}="{WSA}"{default}>'
        f"<{s}:Header>{''.join(parts)}</{s}:Header>"
        f"<{s}:Body {_id(shape, 'body')}>{operation.decode()}</{s}:Body></{s}:Envelope>"
    ).encode()


def _id(shape: Shape, part: str) -> str:
    if shape.id_name == "Id":
        return f'Id="id-{part}"'
    return f'xmlns:{shape.wsu}="{WSU}" {shape.wsu}:Id="id-{part}"'


def _plain_id(shape: Shape, identity: str) -> str:
    return f' Id="{identity}"' if shape.cxf_ids else ""


def _addressing(shape: Shape) -> list[str]:
    must, a = f' {shape.soap}:mustUnderstand="1"' if shape.action_must_understand else "", shape.wsa
    headers = {
        "reply_to": f"<{a}:ReplyTo {_id(shape, 'reply_to')}><{a}:Address>{ANONYMOUS}</{a}:Address></{a}:ReplyTo>",
        "to": f"<{a}:To {_id(shape, 'to')}>{shape.to}</{a}:To>",
        "action": f"<{a}:Action {_id(shape, 'action')}{must}>{shape.action}</{a}:Action>",
        "message_id": f"<{a}:MessageID {_id(shape, 'message_id')}>{shape.message_id}</{a}:MessageID>",
    }
    return [headers[name] for name in shape.addressing if shape.reply_to or name != "reply_to"]


def _security(shape: Shape, certificate_der: bytes) -> str:
    u, o = shape.wsu, shape.wsse
    expires = f"<{u}:Expires>{shape.expires}</{u}:Expires>" if shape.expires else ""
    children = {
        "timestamp": f"<{u}:Timestamp {_id(shape, 'timestamp')}><{u}:Created>{shape.created}</{u}:Created>"
        f"{expires}</{u}:Timestamp>",
        "token": f'<{o}:BinarySecurityToken {_id(shape, "token")} EncodingType="{B64}" ValueType="{X509}">'
        f"{base64.encodebytes(certificate_der).decode()}</{o}:BinarySecurityToken>",
        "signature": _signature(shape),
    }
    must = f' {shape.soap}:mustUnderstand="1"' if shape.must_understand else ""
    wanted = "".join(children[name] for name in shape.order)
    return f'<{o}:Security xmlns:{o}="{WSSE}" xmlns:{u}="{WSU}"{must}>{wanted}</{o}:Security>'


def _signature(shape: Shape) -> str:
    p = f"{shape.ds}:" if shape.ds else ""
    declaration = f'xmlns:{shape.ds}="{DS}"' if shape.ds else f'xmlns="{DS}"'
    references = "\n".join(_reference(shape, part) for part in shape.signed)
    return (
        f"<{p}Signature {declaration}{_plain_id(shape, 'SIG-1')}><{p}SignedInfo>"
        f'<{p}CanonicalizationMethod Algorithm="{shape.c14n}">{_prefixes(shape, "signed_info")}'
        f'</{p}CanonicalizationMethod><{p}SignatureMethod Algorithm="{shape.algorithms[0]}"/>{references}'
        f"</{p}SignedInfo><{p}SignatureValue/><{p}KeyInfo{_plain_id(shape, 'KI-1')}>"
        f"{_key_info(shape, p)}</{p}KeyInfo></{p}Signature>"
    )


def _reference(shape: Shape, part: str) -> str:
    p = f"{shape.ds}:" if shape.ds else ""
    return (
        f'<{p}Reference URI="#id-{part}"><{p}Transforms><{p}Transform Algorithm="{shape.c14n}">'
        f"{_prefixes(shape, part)}</{p}Transform></{p}Transforms>"
        f'<{p}DigestMethod Algorithm="{shape.algorithms[1]}"/><{p}DigestValue/></{p}Reference>'
    )


def _prefixes(shape: Shape, part: str) -> str:
    if part not in shape.prefix_lists:
        return ""
    return f'<ec:InclusiveNamespaces xmlns:ec="{EXC}" PrefixList="{shape.prefix_lists[part]}"/>'


def _key_info(shape: Shape, p: str) -> str:
    o = shape.wsse
    if shape.key_info == "key-name":
        return f"<{p}KeyName>bakkerij</{p}KeyName>"
    if shape.key_info == "issuer-serial":
        inner = (
            f"<{p}X509Data><{p}X509IssuerSerial><{p}X509IssuerName>CN=TEST</{p}X509IssuerName>"
            f"<{p}X509SerialNumber>1</{p}X509SerialNumber></{p}X509IssuerSerial></{p}X509Data>"
        )
    else:
        uri = "id-token" if shape.key_info == "direct" else "id-body"
        inner = f'<{o}:Reference URI="#{uri}" ValueType="{X509}"/>'
    identity = f' {shape.wsu}:Id="STR-1"' if shape.cxf_ids else ""
    return f"<{o}:SecurityTokenReference{identity}>{inner}</{o}:SecurityTokenReference>"
