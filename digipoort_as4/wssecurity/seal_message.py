"""Builds a signed SOAP message in the shape of the real answers, or an unsigned one for a fault or a profile without.

Decides nothing about content and keeps no key: the Signer signs. Large payloads are base64-encoded while sending."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from digipoort_as4.payload import BytesPayload, Payload, joined, split
from digipoort_as4.pki.keys import Signer
from digipoort_as4.soap import addressing as wsa
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.names import BASE64_BINARY, DS, SOAP11, WSSE, WSSE11, WSU, X509V3
from digipoort_as4.soap.xml_guard import parse_own
from digipoort_as4.wssecurity.algorithms import DIGEST_URIS, EXCLUSIVE, SIGNATURE_URIS, Algorithms
from digipoort_as4.wssecurity.c14n import canonical

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


@dataclass(frozen=True, slots=True)
class Sealed:
    """A message ready to send."""

    payload: Payload  # The whole message; can be sent again, octet for octet
    skeleton: bytes  # The message with its placeholders: evidence, and the same as the payload when nothing is large
    signature_value: str  # Base64


def seal(
    operation: bytes,
    addressing: Addressing,
    signer: Signer,
    algorithms: Algorithms,
    created: datetime,
    life: timedelta,
    new_id: Callable[[], str],
    large: Mapping[str, Payload] | None = None,
    confirms: str | None = None,
) -> Sealed:
    """Sign a message: Timestamp, every WS-Addressing header and Body, each by its own reference.
    Every signed element is written in its exclusive canonical form and declares its own namespaces, so the octets sent
    are the octets hashed. In `operation`, the element for the Body as UTF-8, a placeholder stands where a payload of
    `large` goes, in the same order. `life`: from Created to Expires. `new_id`, called once: a fresh NCName part.
    `confirms`: SignatureValue of the request, for a signed SignatureConfirmation; None writes none.
    Source: digipoort 2.1, 2.2, 2.5; DK-WUS WB002-WB010, WB014."""
    mark = new_id()
    ids = {name: f"{name.lower()}-{mark}" for name in ("Timestamp", "Token", "Confirmation", "Body", *wsa.HEADERS)}
    timestamp = _timestamp(ids["Timestamp"], created, life)
    headers = wsa.build(addressing, ids)
    body = _body(operation, ids["Body"])
    pieces = split(body, large or {})
    confirmation = _confirmation(confirms, ids["Confirmation"]) if confirms else ""
    written = {"Timestamp": timestamp, **({"Confirmation": confirmation} if confirms else {}), **dict(headers)}
    signed = {ids[name]: _digest([BytesPayload(text.encode())], algorithms) for name, text in written.items()}
    info = _signed_info({**signed, ids["Body"]: _digest(pieces, algorithms)}, algorithms)
    value = signer.sign(f'<SignedInfo xmlns="{DS}">{info}'.encode(), algorithms.signature)
    signature_value = base64.b64encode(value).decode()
    token = _token(signer.certificate.der, ids["Token"])
    parts = timestamp + token + confirmation + _signature(info, signature_value, ids["Token"])
    security = f'<wsse:Security xmlns:wsse="{WSSE}" soapenv:mustUnderstand="1">{parts}</wsse:Security>'
    start = _start(security + "".join(text for _, text in headers)).encode()
    return Sealed(joined([BytesPayload(start), *pieces, BytesPayload(_END)]), start + body + _END, signature_value)


def unsigned(operation: bytes, addressing: Addressing) -> bytes:
    """A message without Security header, as faults are sent (digipoort 2.5); the operation as UTF-8."""
    return plain(operation, addressing).skeleton


def plain(operation: bytes, addressing: Addressing, large: Mapping[str, Payload] | None = None) -> Sealed:
    """The same, with large payloads by placeholder: a request or an answer of Digikoppeling 2W-be."""
    headers = "".join(text for _, text in wsa.build(addressing))
    start, end = _start(headers).encode() + b"<soapenv:Body>", b"</soapenv:Body>" + _END
    pieces = [BytesPayload(start), *split(operation, large or {}), BytesPayload(end)]
    return Sealed(joined(pieces), start + operation + end, "")


_END: Final = b"</soapenv:Envelope>"


def _start(headers: str) -> str:
    return f'{_DECLARATION}<soapenv:Envelope xmlns:soapenv="{SOAP11}"><soapenv:Header>{headers}</soapenv:Header>'


def _body(operation: bytes, body_id: str) -> bytes:
    """The Body in canonical form, whatever form the operation was written in."""
    start = f'<soapenv:Body xmlns:soapenv="{SOAP11}" xmlns:wsu="{WSU}" wsu:Id="{body_id}">'
    return canonical(parse_own(start.encode() + operation + b"</soapenv:Body>"))


def _timestamp(identity: str, created: datetime, life: timedelta) -> str:
    return (
        f'<wsu:Timestamp xmlns:wsu="{WSU}" wsu:Id="{identity}"><wsu:Created>{_instant(created)}</wsu:Created>'
        f"<wsu:Expires>{_instant(created + life)}</wsu:Expires></wsu:Timestamp>"
    )


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _token(der: bytes, identity: str) -> str:
    return (
        f'<wsse:BinarySecurityToken xmlns:wsu="{WSU}" wsu:Id="{identity}" EncodingType="{BASE64_BINARY}"'
        f' ValueType="{X509V3}">{base64.b64encode(der).decode()}</wsse:BinarySecurityToken>'
    )


def _confirmation(value: str, identity: str) -> str:
    return (
        f'<wsse11:SignatureConfirmation xmlns:wsse11="{WSSE11}" xmlns:wsu="{WSU}" Value="{value}" wsu:Id="{identity}">'
        "</wsse11:SignatureConfirmation>"
    )


def _signed_info(signed: Mapping[str, bytes], algorithms: Algorithms) -> str:
    """The content of SignedInfo and its end tag, in canonical form; the start tag differs by place."""
    references = "".join(
        f'<Reference URI="#{identity}"><Transforms><Transform Algorithm="{EXCLUSIVE}"></Transform></Transforms>'
        f'<DigestMethod Algorithm="{DIGEST_URIS[algorithms.digest]}"></DigestMethod>'
        f"<DigestValue>{base64.b64encode(digest).decode()}</DigestValue></Reference>"
        for identity, digest in signed.items()
    )
    return (
        f'<CanonicalizationMethod Algorithm="{EXCLUSIVE}"></CanonicalizationMethod>'
        f'<SignatureMethod Algorithm="{SIGNATURE_URIS[algorithms.signature]}"></SignatureMethod>'
        f"{references}</SignedInfo>"
    )


def _signature(info: str, value: str, token_id: str) -> str:
    """Without a prefix: a known .NET client throws on `ds:Signature` (digipoort 2.5)."""
    return (
        f'<Signature xmlns="{DS}"><SignedInfo>{info}<SignatureValue>{value}</SignatureValue><KeyInfo>'
        f'<wsse:SecurityTokenReference><wsse:Reference URI="#{token_id}" ValueType="{X509V3}"></wsse:Reference>'
        "</wsse:SecurityTokenReference></KeyInfo></Signature>"
    )


def _digest(pieces: Sequence[Payload], algorithms: Algorithms) -> bytes:
    """Digest of the octets as they will be sent."""
    digest = hashlib.new(algorithms.digest)
    for piece in pieces:
        for chunk in piece.open():
            digest.update(chunk)
    return digest.digest()
