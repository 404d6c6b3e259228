"""`digipoort send --raw`: an envelope as it is, and the answer as it is, judged. Changes no octet."""

from __future__ import annotations

import sys
from datetime import timedelta

from digipoort_as4.cli import streams
from digipoort_as4.errors import PeerError, UsageError
from digipoort_as4.payload import BytesPayload
from digipoort_as4.sdk.connection import Connection
from digipoort_as4.sdk.wus_transport import parse_answer, post, refusal, verify
from digipoort_as4.soap import inhoud, xml_guard
from digipoort_as4.soap.names import SOAP11, WSA, q


def hints(octets: bytes, token: str) -> tuple[str, str]:
    """wsa:Action and wsa:MessageID as the envelope has them; empty for what is not an envelope.

    Only to address the request: nothing is decided on them.
    """
    try:
        skeleton, large = inhoud.extract(BytesPayload(octets), token)
        header = xml_guard.parse(skeleton, large).header
    except PeerError:
        return "", ""
    return (header.findtext(q(WSA, "Action")) or "").strip(), (header.findtext(q(WSA, "MessageID")) or "").strip()


def post_envelope(connection: Connection, octets: bytes, service: str) -> int:
    """Post octets untouched; answer on stdout, what it is on stderr.

    Raises:
        Refused: a fault. SignatureError: an answer that must not be used. TransportError: no answer.
    """
    if service not in connection.services:
        raise streams.failure(UsageError, f"no service '{service}'", expected=", ".join(connection.services))
    action, message_id = hints(octets, connection.new_id().rpartition(":")[2])
    url, now = connection.services[service], connection.clock()
    answer = post(connection, url, BytesPayload(octets), action, now + timedelta(seconds=60))
    sys.stdout.buffer.write(answer.content)
    sys.stdout.buffer.flush()
    streams.note(f"answer    HTTP {answer.status_code}, {len(answer.content)} octets from {url}")
    message = parse_answer(answer)
    fault = message.body.find(q(SOAP11, "Fault"))
    if fault is not None:
        raise refusal(fault)
    opened = verify(connection, message, message_id, action)
    streams.note(f"receipt   signature valid, by OIN {opened.oin}")
    return 0
