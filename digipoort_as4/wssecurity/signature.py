"""One ds:Signature: its shape against an allow-list, its SignatureValue, and the digest of a reference.

Decides neither what must be signed nor whom to trust; that is open_message."""

import binascii
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from lxml import etree

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError
from digipoort_as4.pki.certificates import Certificate
from digipoort_as4.soap.message import LargeText
from digipoort_as4.soap.names import BASE64_BINARY, DS, WHITE_SPACE, WSSE, WSSE11, WSU, X509V3, has_text, local_name, q
from digipoort_as4.wssecurity.algorithms import DIGESTS, EXCLUSIVE, SIGNATURES, WEAK, hash_of
from digipoort_as4.wssecurity.c14n import DEFAULT, canonical, hash_canonical

_SIGNATURE_PARTS: Final = [q(DS, name) for name in ("SignedInfo", "SignatureValue", "KeyInfo")]
_METHODS: Final = [q(DS, name) for name in ("CanonicalizationMethod", "SignatureMethod")]
_REFERENCE_PARTS: Final = [q(DS, name) for name in ("Transforms", "DigestMethod", "DigestValue")]
_INCLUSIVE: Final = q(EXCLUSIVE, "InclusiveNamespaces")  # the URI of the algorithm is its namespace too

_IDS: Final = frozenset({"Id", q(WSU, "Id")})  # either, on Signature, KeyInfo and SecurityTokenReference (2.7)

_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@dataclass(frozen=True, slots=True)
class Reference:
    """One ds:Reference of the allowed form: `#id`, one exclusive-c14n transform, one digest."""

    uri: str
    prefixes: tuple[str, ...]
    hash_name: str
    value: bytes  # The digest that the sender claims


@dataclass(frozen=True, slots=True)
class Signature:
    """One ds:Signature of the allowed form. Nothing in it has been verified yet."""

    signed_info: etree._Element
    prefixes: tuple[str, ...]  # PrefixList of the CanonicalizationMethod
    hash_name: str
    references: tuple[Reference, ...]
    value: bytes
    token_uri: str  # `#id` of the BinarySecurityToken
    token_reference: etree._Element  # The SecurityTokenReference, which some toolkits sign as well


def read_signature(element: etree._Element) -> Signature:
    """Read a ds:Signature, refusing whatever the allow-list does not have.
    Raises PeerError: signature-shape, algorithm (one that WUS does not know), key-reference.
    Source: threats 1.1 step 5, S01-S03, S08-S16, S24-S29, W25; XMLDSig 4."""
    _allow(element, _IDS)
    signed_info, value, key_info = _children(element, _SIGNATURE_PARTS)
    prefixes, hash_name, references = _read_signed_info(signed_info)
    token_uri, token_reference = _read_key_info(key_info)
    return Signature(signed_info, prefixes, hash_name, references, _base64(value, _IDS), token_uri, token_reference)


def _read_signed_info(element: etree._Element) -> tuple[tuple[str, ...], str, tuple[Reference, ...]]:
    _allow(element, _IDS)
    count = len(element) - len(_METHODS)
    if not 1 <= count <= limits.REFERENCES:
        raise _shape("SignedInfo", f"{max(count, 0)} keer Reference", f"1 tot {limits.REFERENCES} keer")
    method, signature_method, *references = _children(element, _METHODS + [q(DS, "Reference")] * count)
    prefixes = _exclusive(method)
    _allow(signature_method, frozenset({"Algorithm"}))
    _children(signature_method, [])
    hash_name = hash_of(signature_method.get("Algorithm", ""), SIGNATURES, "SignatureMethod")
    return prefixes, hash_name, tuple(_read_reference(reference) for reference in references)


def _read_reference(element: etree._Element) -> Reference:
    _allow(element, frozenset({"URI", "Id"}))  # no Type: a Manifest is refused with it (S29)
    transforms, digest_method, digest_value = _children(element, _REFERENCE_PARTS)
    uri = element.get("URI", "")
    if not uri.startswith("#") or uri.startswith("#xpointer(") or len(uri) == 1:
        raise _shape("Reference", f"URI={uri[:60]!r}", 'URI="#id" van een element in dit bericht')
    _allow(transforms, frozenset())
    (transform,) = _children(transforms, [q(DS, "Transform")])
    prefixes = _exclusive(transform)
    _allow(digest_method, frozenset({"Algorithm"}))
    _children(digest_method, [])
    hash_name = hash_of(digest_method.get("Algorithm", ""), DIGESTS, f"DigestMethod van {uri[:60]}")
    value = _base64(digest_value, frozenset())
    if len(value) != (size := _HASHES[hash_name].digest_size):
        raise _shape(f"DigestValue van {uri[:60]}", f"{len(value)} octetten", f"{size} octetten")
    return Reference(uri, prefixes, hash_name, value)


def _exclusive(element: etree._Element) -> tuple[str, ...]:
    """The PrefixList of a CanonicalizationMethod or Transform, which must be exclusive c14n."""
    _allow(element, frozenset({"Algorithm"}))
    if element.get("Algorithm") != EXCLUSIVE:
        where = local_name(element.tag)
        raise PeerError("algorithm", where=where, found=element.get("Algorithm", "")[:120], expected=EXCLUSIVE)
    if not len(element):
        _children(element, [])
        return ()
    (inclusive,) = _children(element, [_INCLUSIVE])
    _allow(inclusive, frozenset({"PrefixList"}))
    _children(inclusive, [])
    prefixes = tuple(inclusive.get("PrefixList", "").split())
    if len(prefixes) > limits.PREFIX_LIST or any(p.startswith("#") and p != DEFAULT for p in prefixes):
        raise _shape("InclusiveNamespaces", f"{len(prefixes)} prefixen", f"hoogstens {limits.PREFIX_LIST}")
    return prefixes


def _read_key_info(element: etree._Element) -> tuple[str, etree._Element]:
    """The one allowed form: a SecurityTokenReference that refers directly to the token (DK-WUS WB010)."""
    try:
        _allow(element, _IDS)
        (token_reference,) = _children(element, [q(WSSE, "SecurityTokenReference")])
        _allow(token_reference, _IDS | {q(WSSE11, "TokenType")})
        (link,) = _children(token_reference, [q(WSSE, "Reference")])
        _allow(link, frozenset({"URI", "ValueType"}))
        _children(link, [])
    except PeerError as error:
        raise _key_reference(error.found) from error
    if link.get("ValueType", X509V3) != X509V3:
        raise _key_reference(link.get("ValueType", "")[:120])
    return link.get("URI", ""), token_reference


def _key_reference(found: str) -> PeerError:
    expected = "SecurityTokenReference/Reference naar het BinarySecurityToken (X509v3)"
    fix = "Stuur het certificaat mee als BinarySecurityToken en verwijs er direct naar."
    return PeerError("key-reference", where="KeyInfo", found=found, expected=expected, fix=fix)


def read_token(element: etree._Element) -> bytes:
    """The DER octets of a BinarySecurityToken.
    Raises PeerError: key-reference for another type, signature-shape for text that is not base64.
    Source: WSS X.509 Token Profile 1.0 3.1; threats S27."""
    value_type, encoding = element.get("ValueType"), element.get("EncodingType")
    if value_type != X509V3 or encoding != BASE64_BINARY:
        raise _key_reference(f"ValueType {str(value_type)[:80]}, EncodingType {str(encoding)[:80]}")
    return _base64(element, _IDS | {"ValueType", "EncodingType"})


def weaknesses(signature: Signature, *, sha1: bool) -> Iterator[PeerError]:
    """SHA-1 in a signature, where the policy does not allow it: a finding per kind of use."""
    uses = {("SignatureMethod", signature.hash_name): None}
    uses |= {("DigestMethod", reference.hash_name): None for reference in signature.references}
    for where, hash_name in uses:
        if hash_name in WEAK and not sha1:
            expected = "SHA-256, SHA-384 of SHA-512"
            fix = "Onderteken met SHA-256, of laat SHA-1 voor deze aansluiting aanzetten."
            yield PeerError("algorithm", where=where, found="SHA-1", expected=expected, fix=fix)


def check_value(signature: Signature, certificate: Certificate) -> None:
    """Verify SignatureValue over SignedInfo with the key of the token.
    Raises PeerError: algorithm for a key that is not RSA, signature-value.
    Source: XMLDSig 3.2.2; before any digest, so that a forger buys no hashing (threats S28)."""
    key = certificate.public_key
    if not isinstance(key, rsa.RSAPublicKey):
        raise PeerError("algorithm", where="BinarySecurityToken", found="geen RSA-sleutel", expected="RSA")
    signed, hash_algorithm = canonical(signature.signed_info, signature.prefixes), _HASHES[signature.hash_name]
    try:
        key.verify(signature.value, signed, padding.PKCS1v15(), hash_algorithm)
    except InvalidSignature as error:
        raise PeerError("signature-value", where="SignatureValue", found="een andere waarde") from error


def check_digest(reference: Reference, target: etree._Element, part: str, large: Sequence[LargeText]) -> None:
    """Verify one digest over the element it refers to. Raises PeerError: digest."""
    found = hash_canonical(target, reference.prefixes, reference.hash_name, large)
    if not hmac.compare_digest(found, reference.value):
        raise PeerError("digest", where=f"Reference {reference.uri} ({part})", found="een andere digest")


def _children(parent: etree._Element, tags: list[str]) -> list[etree._Element]:
    """The children, which must have exactly these tags and no text between them."""
    children = list(parent)
    if [child.tag for child in children] != tags:
        found = ", ".join(local_name(child.tag)[:40] for child in children[:6]) or "niets"
        expected = ", ".join(local_name(tag) for tag in tags) or "niets"
        raise _shape(local_name(parent.tag), found, expected)
    if has_text(parent, children):
        raise _shape(local_name(parent.tag), "tekst tussen de elementen", "alleen elementen")
    return children


def _allow(element: etree._Element, names: frozenset[str]) -> None:
    for name in element.keys():  # noqa: SIM118 - half the time of `in element.attrib`
        if name not in names:
            raise _shape(local_name(element.tag), f"attribuut {local_name(name)[:60]}", "geen ander attribuut")


def _base64(element: etree._Element, attributes: frozenset[str]) -> bytes:
    """Octets of an element with base64 text: white space anywhere, nothing else (threats S23, W26)."""
    _allow(element, attributes)
    text = b"" if len(element) else (element.text or "").encode().translate(None, WHITE_SPACE.encode())
    try:
        octets = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise _not_base64(element) from error
    if not octets or binascii.b2a_base64(octets, newline=False) != text:
        raise _not_base64(element)
    return octets


def _not_base64(element: etree._Element) -> PeerError:
    return _shape(local_name(element.tag), "tekst die geen base64 is", "base64, met alleen witruimte ertussen")


def _shape(where: str, found: str, expected: str) -> PeerError:
    return PeerError("signature-shape", where=where, found=found, expected=expected)
