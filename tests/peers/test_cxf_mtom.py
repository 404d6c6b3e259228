"""A signed message that CXF 4.2.3 and WSS4J sent with MTOM switched on, as it was on the wire.

Made from our WSDL (SHA-256 suite) with a throwaway test certificate: `inhoud` of 3000, 100 and 5 octets, and the token,
in parts. The way there is not part of these tests; tests/interop runs such a client against a hub.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from digipoort_as4.payload import BytesPayload
from digipoort_as4.soap import xml_guard, xop
from digipoort_as4.soap.names import KV, WSSE, q
from digipoort_as4.wssecurity.open_message import Examination, SignaturePolicy, examine

FILE = Path(__file__).parent / "cxf-4.2.3-mtom.mime"


def examined(octets: bytes) -> tuple[Examination, list[int]]:
    """What our verification finds, certificate path aside, and the sizes of the restored documents."""
    head, _, body = octets.partition(b"\r\n\r\n")
    content_type = head.decode().removeprefix("Content-Type: ")
    message = xml_guard.parse(*xop.unpack(BytesPayload(body), content_type, "token-for-tests"))
    documents = [len(element.text or "") // 4 * 3 for element in message.body.iter(q(KV, "inhoud"))]
    assert (message.header.findtext(f".//{q(WSSE, 'BinarySecurityToken')}") or "").startswith("MII")
    return examine(message, SignaturePolicy(), None, datetime(2026, 11, 24, 22, 14, tzinfo=UTC)), documents


def test_what_cxf_signed_is_what_xop_restores() -> None:
    """All seven references hold: CXF hashes the canonical base64, without line breaks, and not the xop:Include."""
    found, documents = examined(FILE.read_bytes())

    parts = ["Timestamp", "Body", "To", "Action", "MessageID", "ReplyTo", "Timestamp"]
    assert [(part, True) for part in parts] == [(verdict.part, verdict.ok) for verdict in found.references]
    assert found.signature_value_ok
    assert "00000099000000101000" == found.oin
    assert [3000, 102, 6] == documents  # a base64 group of three for each octet or two that are left over


@pytest.mark.parametrize("size", [3000, 100, 5])
def test_one_octet_of_a_part_changed_breaks_the_digest_of_the_body(size: int) -> None:
    """In each document's part; the other references still hold."""
    octets = FILE.read_bytes()
    number = {3000: 1, 100: 2, 5: 3}[size]
    part = octets.index(b"-%d@logius.nl>\r\n\r\n" % number) + len(b"-1@logius.nl>\r\n\r\n")
    changed = octets[:part] + bytes([octets[part] ^ 1]) + octets[part + 1 :]

    found, _ = examined(changed)

    assert ["Body"] == [verdict.part for verdict in found.references if not verdict.ok]
    assert ["digest"] == [finding.cause.name for finding in found.findings]
