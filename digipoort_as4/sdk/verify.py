"""Everything that can be found out about a stored WUS message: every finding, not the first. Accepts nothing.

The hub stops at the first finding and answers with a fault; this is for people who want to know why."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from lxml import etree

from digipoort_as4.errors import PeerError, Refused
from digipoort_as4.payload import BytesPayload
from digipoort_as4.pki.path import Trust
from digipoort_as4.sdk import second_engine
from digipoort_as4.sdk.second_engine import NoSecondOpinion, Opinion
from digipoort_as4.sdk.wus_transport import refusal
from digipoort_as4.soap import inhoud, xml_guard
from digipoort_as4.soap.names import DS, SOAP11, WSA, WSSE, local_name, q
from digipoort_as4.wssecurity.open_message import Examination, SignaturePolicy, examine

RECORDED: Final = "recorded"  # The message's own wsu:Created as the moment that counts
Moment = datetime | Literal["recorded"]


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` has to say."""

    element: str  # Local name of the Body's child
    message_id: str
    size: int  # Octets
    at: datetime  # The moment that was judged by
    fault: Refused | None  # Set when the message is a SOAP fault
    signed: bool
    examination: Examination
    trusted: Trust | None
    opinion: Opinion | None  # Of the second engine; None when it was not asked or gave none
    no_opinion: str  # Why there is none although it was asked; else empty

    @property
    def agrees(self) -> bool | None:
        """Whether the second engine comes to the same verdict on SignatureValue and each digest; None: no opinion."""
        if self.opinion is None:
            return None
        ours = tuple((reference.uri, reference.ok) for reference in self.examination.references)
        return self.opinion.agrees_with(self.examination.signature_value_ok, ours)

    @property
    def holds(self) -> bool:
        """Signed, nothing found, and the second engine does not object."""
        return self.signed and not self.examination.findings and self.agrees is not False and not self.no_opinion


def verify(
    octets: bytes, *, moment: Moment, now: datetime, sha1: bool, trust: Trust | None, second: bool = False
) -> Report:
    """Examine one message as it was on the wire, without HTTP headers.
    Args:
        moment: at which certificate and Timestamp must be valid, or `recorded`.
        now: what counts when `recorded` is asked and there is no Timestamp.
        sha1: do not report SHA-1.
        trust: None leaves the certificate's path unjudged.
    Raises:
        PeerError: this is not even a SOAP message."""
    skeleton, large = inhoud.extract(BytesPayload(octets), secrets.token_hex(16))
    message = xml_guard.parse(skeleton, large)
    child = next(message.body.iterchildren(etree.Element), None)
    element = "" if child is None else local_name(child.tag)
    # In a response or a fault a missing wsa:To means anonymous.
    policy = SignaturePolicy(sha1=sha1, to_required=not element.endswith(("Response", "Fault")))
    at = moment if isinstance(moment, datetime) else (examine(message, policy, None, now).created or now)
    fault = message.body.find(q(SOAP11, "Fault"))
    opinion, reason = second_opinion(octets) if second else (None, "")
    return Report(
        element,
        (message.header.findtext(q(WSA, "MessageID")) or "").strip(),
        len(octets),
        at,
        refusal(fault) if fault is not None else None,
        message.header.find(f"{q(WSSE, 'Security')}/{q(DS, 'Signature')}") is not None,
        examine(message, policy, trust, at),
        trust,
        opinion,
        reason,
    )


def second_opinion(octets: bytes) -> tuple[Opinion | None, str]:
    """The second engine's opinion, or why there is none."""
    try:
        return second_engine.ask(octets), ""
    except (NoSecondOpinion, PeerError) as reason:
        return None, str(reason)
