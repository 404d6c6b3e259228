"""MTOM: puts the parts of a XOP package back as base64 before anything is verified, and makes such packages.

The whole envelope is restored, not only `inhoud`: toolkits move out the BinarySecurityToken as well, and a signature is
over what was restored. Restores nothing from elsewhere: only parts of the same body can be meant (threats I02)."""

import base64
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from lxml import etree

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError
from digipoort_as4.payload import Base64Text, BytesPayload, Payload, read_all
from digipoort_as4.soap import inhoud, multipart, xml_guard
from digipoort_as4.soap.message import LargeText
from digipoort_as4.soap.multipart import Part
from digipoort_as4.soap.names import KV, XOP, local_name, q

XOP_XML: Final = "application/xop+xml"
SOAP_XML: Final = "text/xml"  # SOAP 1.1, in `start-info` and in the root's `type`
_INCLUDE: Final = q(XOP, "Include")
_INLINE: Final = limits.INHOUD_IN_TREE // 4 * 3  # Octets whose base64 may stand in the tree
_ROOT: Final = "root@digipoort"


def is_package(content_type: str) -> bool:
    """True for a multipart/related body."""
    return content_type.partition(";")[0].strip().lower() == multipart.MEDIA_TYPE


def extract(body: Payload, content_type: str, token: str) -> tuple[bytes, tuple[LargeText, ...]]:
    """Take large texts out of a SOAP body, whether it is a XOP package or plain XML; see soap.inhoud.extract.
    Raises PeerError: as soap.inhoud.extract; of a package also multipart, xop, and all of soap.xml_guard."""
    return unpack(body, content_type, token) if is_package(content_type) else inhoud.extract(body, token)


def unpack(body: Payload, content_type: str, token: str) -> tuple[bytes, tuple[LargeText, ...]]:
    """Restore the envelope of a XOP package: each xop:Include becomes the canonical base64 of the part it names.
    Texts too large to stand in it come beside it, in the order of the document; their base64 is made while it is read.
    Raises PeerError: content-type, multipart, xop, inhoud-too-large, and what soap.inhoud and soap.xml_guard refuse.
    Source: XOP 1.0 3.2; MTOM SOAP 1.1 binding 2; digipoort 1.7."""
    package = multipart.read(body, content_type)
    _check_types(package.parameters, package.root)
    skeleton, inline = inhoud.extract(package.root.body, token)
    envelope = xml_guard.parse(skeleton, inline).envelope
    unused, waiting, large = dict(package.others), list(inline), []
    for element in list(envelope.iter(_INCLUDE, q(KV, "inhoud"))):
        if element.tag != _INCLUDE:
            if waiting and element.text == waiting[0].placeholder:
                large.append(waiting.pop(0))
        elif text := _restore(element, unused, f"{token}:part {len(unused)}"):
            large.append(text)
    if unused:
        found = f"{len(unused)} delen waar niets naar verwijst, het eerste is {next(iter(unused))[:80]!r}"
        raise _broken("MIME", found, "bij elk deel een xop:Include")
    return xml_guard.serialise(envelope), tuple(large)


def _check_types(parameters: Mapping[str, str], root: Part) -> None:
    """The package says that it is XOP around SOAP 1.1 (digipoort 1.7)."""
    media_type, own = multipart.read_content_type(root.headers.get("content-type", ""))
    for where, found, expected in (
        ("Content-Type, type", parameters.get("type", ""), XOP_XML),
        ("Content-Type, start-info", parameters.get("start-info", SOAP_XML), SOAP_XML),
        ("Content-Type van het eerste deel", media_type, XOP_XML),
        ("Content-Type van het eerste deel, type", own.get("type", SOAP_XML), SOAP_XML),
        ("Content-Type van het eerste deel, charset", own.get("charset", "utf-8"), "utf-8"),
    ):
        if found.partition(";")[0].strip().lower() != expected:
            raise PeerError("content-type", where=where, found=found[:60] or "geen", expected=expected)


def _restore(include: etree._Element, unused: dict[str, Part], word: str) -> LargeText | None:
    """Put a part's base64 in the place of an Include; when it is large, a placeholder and the text."""
    parent, part = _parent_of(include), _find_part(include, unused)
    if part.body.size > limits.INHOUD:
        raise inhoud.inhoud_too_large(_place(parent))
    parent.remove(include)
    if part.body.size <= _INLINE:
        parent.text = base64.b64encode(read_all(part.body)).decode("ascii")
        return None
    parent.text = inhoud.placeholder(word)
    return LargeText(parent.text, Base64Text(part.body), part.body)


def _parent_of(include: etree._Element) -> etree._Element:
    """The element whose whole content the Include stands for."""
    parent = include.getparent()
    if parent is None or len(parent) != 1 or parent.text or include.tail:
        raise _broken(_place(include), "tekst of elementen naast xop:Include", "alleen xop:Include")
    if len(include) or include.text or include.keys() != ["href"]:
        raise _broken(_place(include), "inhoud of andere attributen", "alleen href")
    return parent


def _find_part(include: etree._Element, unused: dict[str, Part]) -> Part:
    """The part that href names, which nothing named before."""
    href = str(include.get("href"))
    scheme, _, name = href.partition(":")
    if scheme.lower() != "cid":
        raise _broken(_place(include), f"href {href[:80]!r}", "cid: en de Content-ID van een deel van dit verzoek")
    part = unused.pop(unquote(name), None)
    if part is None:
        found = f"href {href[:80]!r}: geen deel, of een deel dat al gebruikt is"
        raise _broken(_place(include), found, "de Content-ID van een eigen deel van dit verzoek")
    return part


def _place(element: etree._Element) -> str:
    return f"{local_name(element.tag)[:60]}, regel {element.sourceline}"


def _broken(where: str, found: str, expected: str) -> PeerError:
    fix = "Controleer hoe uw software MTOM schrijft, of verstuur text/xml met base64."
    return PeerError("xop", where=where, found=found, expected=expected, fix=fix)


def pack(skeleton: bytes, large: Mapping[str, Payload], mark: str) -> multipart.Written:
    """Make a XOP package of a Sealed.skeleton and its decoded payloads by placeholder.
    The mark, 1 to 60 letters and digits, occurs in no payload (multipart.write). What is signed does not change: it is
    the base64 that XOP restores.
    Source: XOP 1.0 3.1; MTOM SOAP 1.1 binding 2."""
    parts: list[tuple[Mapping[str, str], Payload]] = []
    for number, (placeholder, payload) in enumerate(large.items(), 1):
        name = f"{number}.{mark}@digipoort"
        include = f'<xop:Include xmlns:xop="{XOP}" href="cid:{name}"/>'
        skeleton = skeleton.replace(placeholder.encode(), include.encode())
        parts.append((_headers("application/octet-stream", name), payload))
    root = _headers(f'{XOP_XML}; charset=UTF-8; type="{SOAP_XML}"', _ROOT), BytesPayload(skeleton)
    return multipart.write([root, *parts], f"mime-{mark}", type=XOP_XML, start=f"<{_ROOT}>", start_info=SOAP_XML)


def _headers(content_type: str, name: str) -> dict[str, str]:
    return {"Content-Type": content_type, "Content-Transfer-Encoding": "binary", "Content-ID": f"<{name}>"}
