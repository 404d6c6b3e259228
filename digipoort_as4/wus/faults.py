"""Refusals as SOAP faults in the exact shape of the real ones, and which foutcode each cause gets.

Signs nothing (real faults are unsigned) and decides on no refusal."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from digipoort_as4.codes import CODES
from digipoort_as4.errors import CAUSES, MOST, Cause, ConfigError, DigipoortError, PeerError
from digipoort_as4.journal import Journal
from digipoort_as4.payload import BytesPayload
from digipoort_as4.soap.message import SoapMessage
from digipoort_as4.soap.names import KV, SOAP11, WSA, WSA_ANONYMOUS, q
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wus.koppelvlak import escape
from digipoort_as4.wus.operations import AFLEVEREN, SERVICES, Operation, Service

REFUSED: Final = (
    "Het verzoek voldoet niet aan de koppelvlakspecificaties en kan hierdoor niet door Digipoort worden verwerkt."
)
"""Exact, from the real faults (digipoort 2.6)."""
REFUSED_BY_AGENCY: Final = REFUSED.replace("door Digipoort", "door de Procesinfrastructuur")
"""What known agencies write with AFS100 (digipoort 3.3)."""
FAILED: Final = (
    "Het verzoek kan door een technische storing nu niet door Digipoort worden verwerkt. Probeer het later opnieuw."
)
"""Ours: no real fault with code x400 is public."""
FOLLOWS: Final = "De volgende fout is opgetreden:"
LABELS: Final = {"where": "Waar", "found": "Gevonden", "expected": "Verwacht", "fix": "Oplossing"}  # parts of a cause
LONGEST: Final = 1_048_576  # characters of a foutbeschrijving (digipoort 1.6)
LONGEST_CODE: Final = 20
LONGEST_ID: Final = 2_048  # characters of a MessageID that RelatesTo repeats
XML_TYPE: Final = "text/xml; charset=utf-8"
RETRY_AFTER: Final = 5  # seconds: an agency in trouble says 503; 500 would end the delivery with 410 (decision 19)


@dataclass(frozen=True, slots=True)
class FaultTable:
    """Which foutcode a cause gets in a service: x100 for a refusal, x400 for a technical one, unless configured."""

    codes: Mapping[tuple[str, str], str]  # (service, cause) to foutcode, where it is not the default

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> FaultTable:
        """From configuration: one table per service, one line per cause, e.g. aanleveren.berichtsoort-unknown.
        Raises ConfigError: unknown service or cause, or a foutcode that the XSD refuses; all at once."""
        tables = {name: lines if isinstance(lines, Mapping) else {"": lines} for name, lines in table.items()}
        rows = [(service, *line) for service, lines in tables.items() for line in lines.items()]
        mistakes = [mistake for row in rows for mistake in _mistakes(*row)]
        if mistakes:
            raise ConfigError("\n".join(mistakes))
        return cls(MappingProxyType({(service, cause): str(code) for service, cause, code in rows}))

    def code(self, service: Service, cause: Cause) -> str:
        """The foutcode (decision 4; digipoort 3.3)."""
        default = f"{service.prefix}{'400' if cause.technical else '100'}"
        return self.codes.get((service.name, cause.name), default)


def _mistakes(service: str, cause: str, code: object) -> list[str]:
    where = f"foutcodes.{service}.{cause}"
    found = []
    if service not in {known.name for known in SERVICES}:
        found.append(f"{where}: there is no service {service!r}")
    if cause not in CAUSES:
        found.append(f"{where}: there is no cause {cause!r}")
    if not isinstance(code, str) or not 0 < len(code.strip()) <= LONGEST_CODE:
        found.append(f"{where}: a foutcode has 1 to {LONGEST_CODE} characters")
    return found


DEFAULT: Final = FaultTable(MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Hint:
    """What is known of a request before it is verified. Good for a fault's Action and RelatesTo and nothing else."""

    service: Service
    operation: Operation | None
    message_id: str = ""

    @classmethod
    def before(cls, request: HttpRequest, service: Service) -> Hint:
        """From path and SOAPAction alone (decision 6)."""
        return cls(service, service.by_action(soap_action(request)))

    def of(self, message: SoapMessage) -> Hint:
        """The same with what an unverified message says of itself."""
        operation = self.operation
        if operation is None and len(message.body):
            operation = self.service.by_element(message.body[0])
        found = message.header.findall(q(WSA, "MessageID"))
        text = (found[0].text or "").strip() if len(found) == 1 else ""
        return replace(self, operation=operation, message_id=text if len(text) <= LONGEST_ID else "")


def soap_action(request: HttpRequest) -> str:
    """The SOAPAction header, quoted or not; empty when it is missing or says nothing (digipoort 1.3)."""
    return request.headers.get("soapaction", "").strip().removeprefix('"').removesuffix('"').strip()


def public_text(refusal: PeerError, journal_number: str) -> str:
    """What the peer hears: never empty, never more than it may know (decision 5); several findings on numbered lines.
    Where the cause is not explained, the journal number (8 hex digits) lets the operator look it up."""
    if not _is_told(refusal):
        return f"{refusal.cause.text} Vermeld bij navraag journaalnummer {journal_number}.{_dk_bp(refusal.cause)}"
    told = [_explained(finding) for finding in refusal.all() if _is_told(finding)]
    if len(told) == 1:
        return told[0]
    more = ["Er zijn er nog meer."] if len(told) > MOST else []
    return "\n".join([*(f"({number}) {text}" for number, text in enumerate(told[:MOST], 1)), *more])


def _is_told(finding: PeerError) -> bool:
    return finding.cause.explained and not finding.cause.technical


def _explained(finding: PeerError) -> str:
    """All that is known of one finding, on one line."""
    parts = ((label, getattr(finding, name)) for name, label in LABELS.items())
    told = (f"{label}: {_one_line(text).rstrip('.')}." for label, text in parts if text)
    return f"{' '.join((finding.cause.text, *told))}{_dk_bp(finding.cause)}"


def _dk_bp(cause: Cause) -> str:
    return f" DK-BP {cause.dk_bp}: {CODES[cause.dk_bp].text}." if cause.dk_bp else ""


def _one_line(text: str) -> str:
    """Control characters become spaces: a peer's words cannot forge a line of ours."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def foutbeschrijving(refusal: PeerError, journal_number: str, service: Service) -> str:
    """The fixed sentences and the cause behind them, as digipoort 2.6 has them."""
    refused = REFUSED_BY_AGENCY if service == AFLEVEREN else REFUSED
    opening = FAILED if refusal.cause.technical else refused
    return f"{opening}\n\n{FOLLOWS} \n{public_text(refusal, journal_number)}\n"[:LONGEST]


def build(refusal: PeerError, hint: Hint, foutcode: str, journal_number: str, message_id: str) -> bytes:
    """The fault in UTF-8 with XML declaration; header order To, MessageID, Action, RelatesTo; no Security.
    Source: digipoort 1.11, 2.6; real faults of the Aansluit Suite."""
    headers = f"<wsa:To>{WSA_ANONYMOUS}</wsa:To><wsa:MessageID>{escape(message_id)}</wsa:MessageID>"
    if hint.operation is not None:
        headers += f"<wsa:Action>{hint.operation.fault_action}</wsa:Action>"
        headers += f"<wsa:RelatesTo>{escape(hint.message_id)}</wsa:RelatesTo>" if hint.message_id else ""
    side = "Server" if refusal.cause.technical else "Client"
    element = hint.service.fault
    text = escape(foutbeschrijving(refusal, journal_number, hint.service))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<soapenv:Envelope xmlns:soapenv="{SOAP11}" xmlns:wsa="{WSA}"><soapenv:Header>'
        f"{headers}</soapenv:Header><soapenv:Body><soapenv:Fault>"
        f"<faultcode>soapenv:{side}</faultcode><faultstring>Algemene fout</faultstring>"
        "<faultactor>Verantwoordingsplichtige</faultactor>"
        f'<detail><fault:{element} xmlns:fault="{KV}"><fault:foutcode>{escape(foutcode)}</fault:foutcode>'
        f"<fault:foutbeschrijving>{text}</fault:foutbeschrijving></fault:{element}></detail>"
        "</soapenv:Fault></soapenv:Body></soapenv:Envelope>"
    ).encode()


def refuse(
    trouble: DigipoortError | OSError,
    hint: Hint,
    table: FaultTable,
    journal: Journal,
    message_id: str,
    oin: str | None = None,
) -> HttpAnswer:
    """Write the one journal line of a refusal and answer with the fault, under message_id, a fresh UUID.
    Any trouble but a PeerError is ours and becomes cause `storage`; message_id is a fresh UUID, the OIN a verified one.
    """
    refusal = trouble if isinstance(trouble, PeerError) else PeerError("storage", detail=str(trouble))
    cause = refusal.cause
    foutcode = refusal.foutcode or table.code(hint.service, cause)
    about: dict[str, Any] = {"service": hint.service.name, "operation": hint.operation.name if hint.operation else None}
    told = {name: getattr(refusal, name) for name in ("where", "found", "expected", "detail")}
    others = "; ".join(f"{other.cause.name} {other.where}" for other in refusal.others[:MOST]) or None
    about |= {"cause": cause.name, "foutcode": foutcode, **told, "others": others}
    level = logging.ERROR if cause.technical else logging.WARNING
    number = journal.write("refused", level=level, **about, message_id=hint.message_id, oin=oin)
    octets = build(refusal, hint, foutcode, number, f"urn:uuid:{message_id}")
    status, headers = refusal.http or cause.http, {"content-type": XML_TYPE}
    if status == 405:
        headers["allow"] = "POST"
    if cause.technical and hint.service == AFLEVEREN:
        status = 503
    if status == 503:
        headers["retry-after"] = str(RETRY_AFTER)
    return HttpAnswer(status, headers, BytesPayload(octets))
