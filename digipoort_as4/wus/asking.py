"""Seals a request of our own and opens its answer: hub asks agency, agency asks hub. Believes nothing unsigned.

Sends nothing, retries nothing, and reads no operation's fields."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError, TransportError
from digipoort_as4.payload import Payload, read_all, sha256
from digipoort_as4.pki.certificates import Purpose, load_certificate, read_oin
from digipoort_as4.pki.keys import Signer
from digipoort_as4.pki.path import Trust
from digipoort_as4.soap import xml_guard
from digipoort_as4.soap.message import SoapMessage
from digipoort_as4.soap.names import WSA, q
from digipoort_as4.transport.http import HttpAnswer
from digipoort_as4.wssecurity.open_message import Opened, SignaturePolicy, check_timestamp, open_message, open_unsigned
from digipoort_as4.wssecurity.seal_message import Sealed, plain, seal
from digipoort_as4.wus import koppelvlak
from digipoort_as4.wus.koppelvlak import Fault
from digipoort_as4.wus.operations import Operation
from digipoort_as4.wus.profiles import Profile, address_request

Post = Callable[[str, str, Payload, Mapping[str, str]], Awaitable[HttpAnswer]]
"""(OIN, url, body, headers): transport.peers.Peers.post, which shows the octets to nobody else than that OIN."""

FAULT_STATUS: Final = 500  # SOAP 1.1 6.2: of a fault; any other is trouble on the way, whatever the body says


@dataclass(frozen=True, slots=True)
class Question:
    """What we ask, and what the answer must fit."""

    oin: str  # of the party asked: its certificate signs the answer
    operation: Operation
    message_id: str  # ours; the answer's RelatesTo
    sealed: Sealed
    profile: Profile  # of the connection
    large: Mapping[str, Payload] = field(default_factory=dict)  # what stands as a placeholder in the sealed skeleton


@dataclass(frozen=True, slots=True)
class FaultAnswer:
    """A fault of the koppelvlak. Not signed: that it comes from the party asked, its TLS certificate says."""

    foutcode: str
    foutbeschrijving: str
    octets: bytes


def build_question(
    message: object,
    operation: Operation,
    oin: str,
    url: str,
    signer: Signer,
    new_id: Callable[[], str],
    now: datetime,
    profile: Profile,
) -> Question:
    """Seal a request, a model of wus.koppelvlak, to the party with this OIN at this URL, as the connection has it.
    Base64 of large documents is made while sending; new_id names MessageID, wsu:Ids and placeholders."""
    message_id, written = f"urn:uuid:{new_id()}", koppelvlak.write(message, token=new_id().replace("-", ""))
    ours, life = read_oin(signer.certificate), limits.TIMESTAMP_LIFE
    addressing = address_request(profile, url, oin, ours, operation.request_action, message_id)
    if profile.policy.signed:
        sealed = seal(written.octets, addressing, signer, profile.algorithms, now, life, new_id, written.large)
    else:
        sealed = plain(written.octets, addressing, written.large)
    return Question(oin, operation, message_id, sealed, profile, written.large)


def headers_of(operation: Operation) -> dict[str, str]:
    """The HTTP headers of a request."""
    return {"content-type": "text/xml; charset=utf-8", "soapaction": f'"{operation.request_action}"'}


def judge_peer(oin: str, der: bytes, trust: Trust, at: datetime, purpose: Purpose) -> None:
    """The TLS certificate of the other end (DER; empty when it showed none) is good for this, and the party's.
    Raises PeerError: tls-certificate, certificate-…, oin-missing, oin-differs.
    Source: decision 9: the same OIN, the certificate may differ from the signing one."""
    if not der:
        raise PeerError("tls-certificate", where="TLS", found="geen certificaat", expected=f"een certificaat van {oin}")
    certificate = load_certificate(der)
    trust.judge(certificate, at, purpose)
    found = read_oin(certificate)
    if found != oin:
        raise PeerError("oin-differs", where="TLS-certificaat", found=found, expected=oin)


def open_answer(
    answer: HttpAnswer,
    question: Question,
    trust: Trust,
    policy: SignaturePolicy,
    at: datetime,
    wire: datetime,
    *,
    repeated: bool = False,
) -> Opened | FaultAnswer:
    """Verify an answer: what its signature covers, of the kind that was asked for; or the fault.
    `at`: the moment for its certificate; `wire`: for its Timestamp, which a moved clock leaves alone. `repeated`: the
    question may have been answered before, so the answer may be old; it names our question.
    Raises TransportError: an HTTP status other than 200 and 500; PeerError: all else that does not hold.
    Source: DK-WUS WB013; digipoort 2.5, 2.6."""
    if answer.status not in (200, FAULT_STATUS):
        raise TransportError(f"HTTP {answer.status}", sent=True)
    message = xml_guard.parse(read_all(answer.body))
    fault = koppelvlak.read_fault(message)
    if fault is not None:
        return _read_fault(message, fault, question)
    if answer.status == FAULT_STATUS:
        raise PeerError("envelope", where="HTTP 500", found="geen Fault", expected="een Fault of HTTP 200")
    # DK-WUS WA001: an answer without To is for whoever asked
    policy = replace(policy, to_required=False, confirms=question.sealed.signature_value)
    if policy.signed:
        opened = open_message(message, policy, trust, at)
    else:
        tls = (answer.tls_certificate or b"", Purpose.TLS_SERVER)
        opened = open_unsigned(message, policy, trust, at, tls, sha256(answer.body))
    if not repeated:
        check_timestamp(opened, policy, wire)
    _check_fit(opened, question)
    return opened


def _check_fit(opened: Opened, question: Question) -> None:
    if opened.addressing.relates_to is None:
        raise PeerError("relates-to-missing", expected=question.message_id)
    fits = (
        ("oin-differs", "certificaat van de handtekening", opened.oin, question.oin),
        ("header-value", "wsa:RelatesTo", opened.addressing.relates_to, question.message_id),
        ("header-value", "wsa:Action", opened.addressing.action, question.operation.response_action),
        ("operation-unknown", "Body", str(opened.operation.tag), question.operation.response),
    )
    for cause, where, found, expected in fits:
        if found != expected:
            raise PeerError(cause, where=where, found=found[:120], expected=expected)


def _read_fault(message: SoapMessage, fault: Fault, question: Question) -> FaultAnswer:
    relates_to = message.header.findtext(q(WSA, "RelatesTo"))
    if relates_to is not None and relates_to.strip() != question.message_id:
        raise PeerError("header-value", where="wsa:RelatesTo", found=relates_to[:120], expected=question.message_id)
    if fault.fout is None or not fault.fout.foutcode:
        raise PeerError("envelope", where="Fault", found="geen foutcode", expected="een fout van het koppelvlak")
    return FaultAnswer(fault.fout.foutcode[:20], fault.fout.foutbeschrijving, message.octets)
