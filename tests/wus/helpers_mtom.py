"""XOP packages as clients write them and as clients read them: by regular expressions and `email`, without soap.xop."""

from __future__ import annotations

import base64
import email.parser
import email.policy
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from digipoort_as4.payload import BytesPayload, read_all
from digipoort_as4.transport.http import HttpAnswer, HttpRequest

XOP = "http://www.w3.org/2004/08/xop/include"
EVERYTHING = ("inhoud", "BinarySecurityToken", "SignatureValue", "DigestValue")
"""Whatever holds base64 in an aanleverRequest."""


@dataclass(frozen=True)
class Package:
    """A package in its pieces, so that a test can break one."""

    root: bytes
    parts: tuple[tuple[str, bytes], ...]  # Content-ID and octets
    content_type: str = (
        'multipart/related; type="application/xop+xml"; boundary="uuid:5644c51c"; '
        'start="<root.message@client>"; start-info="text/xml"'
    )
    root_type: str = 'application/xop+xml; charset=UTF-8; type="text/xml"'

    @property
    def octets(self) -> bytes:
        pieces = [head("root.message@client", self.root_type) + self.root]
        pieces += [head(name, "application/octet-stream") + octets for name, octets in self.parts]
        return b"".join(pieces) + b"\r\n--uuid:5644c51c--"

    def of(self, request: HttpRequest) -> HttpRequest:
        """The request that carries this package instead."""
        headers = {**request.headers, "content-type": self.content_type}
        return replace(request, headers=headers, body=BytesPayload(self.octets))


def head(name: str, content_type: str) -> bytes:
    return (
        f"\r\n--uuid:5644c51c\r\nContent-Type: {content_type}\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: <{name}>\r\n\r\n"
    ).encode()


def pack(octets: bytes, elements: Iterable[str] = ("inhoud",)) -> Package:
    """Move the base64 text of these elements into parts, as toolkits do, in the order of the document."""
    parts: list[tuple[str, bytes]] = []

    def moved(found: re.Match[bytes]) -> bytes:
        parts.append((f"{len(parts) + 1}@client", base64.b64decode(found[3])))
        # percent-encoded, as RFC 2392 allows and CXF does for an id that is a URL
        return found[1] + f'<xop:Include xmlns:xop="{XOP}" href="cid:{len(parts)}%40client"/>'.encode() + found[4]

    names = "|".join(elements).encode()
    pattern = rb"(<((?:\w+:)?(?:%s))(?:\s[^>]*)?>)([^<]+)(</\2>)" % names
    return Package(re.sub(pattern, moved, octets), tuple(parts))


def package_of(request: HttpRequest, elements: Iterable[str] = ("inhoud",)) -> Package:
    return pack(read_all(request.body), elements)


def unpacked(answer: HttpAnswer) -> HttpAnswer:
    """The root of an answer that is a package of one part, as `email` reads it."""
    content_type = answer.headers["content-type"]
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        f"Content-Type: {content_type}\r\n\r\n".encode() + read_all(answer.body)
    )
    assert not message.defects
    assert ("multipart/related", "application/xop+xml") == (message.get_content_type(), message.get_param("type"))
    assert "text/xml" == message.get_param("start-info")
    (root,) = message.iter_parts()  # type: ignore[attr-defined]
    assert message.get_param("start") == root["Content-ID"]
    assert ("application/xop+xml", "text/xml") == (root.get_content_type(), root.get_param("type"))
    return HttpAnswer(answer.status, {"content-type": "text/xml"}, BytesPayload(root.get_payload(decode=True)))
