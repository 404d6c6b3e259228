"""From a SOAP message to what its signature, or its TLS connection, was found to cover: the only way to an Opened.

Does not judge the Timestamp's freshness while opening (check_timestamp does, because a verbatim repeat is answered also
after Expires, decision 8), knows no operation, route or party, and fetches nothing."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from lxml import etree

from digipoort_as4 import limits
from digipoort_as4.errors import MOST, PeerError, raise_all, together
from digipoort_as4.pki.certificates import Certificate, Purpose, check_key, load_certificate, read_oin
from digipoort_as4.soap import addressing
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.message import SoapMessage
from digipoort_as4.soap.names import DS, SOAP11, SOAP_NEXT, WHITE_SPACE, WSA, WSSE, WSSE11, WSU, has_text, local_name, q
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wssecurity.signature import (
    Reference,
    Signature,
    check_digest,
    check_value,
    read_signature,
    read_token,
    weaknesses,
)

if TYPE_CHECKING:
    from digipoort_as4.pki.path import Trust

_T = TypeVar("_T")

_SECURITY, _TOKEN, _ACTOR = q(WSSE, "Security"), q(WSSE, "BinarySecurityToken"), q(SOAP11, "actor")
_TIMESTAMP, _CREATED, _EXPIRES = (q(WSU, name) for name in ("Timestamp", "Created", "Expires"))
_SIGNATURE, _CONFIRMATION = q(DS, "Signature"), q(WSSE11, "SignatureConfirmation")
_OURS: Final = frozenset({None, "", SOAP_NEXT})  # actors; a header for another is never looked into (W07)


@dataclass(frozen=True, slots=True)
class SignaturePolicy:
    """What a connection asks of the security of a message."""

    signed: bool = True  # False: no WS-Security at all, the TLS connection says who it is (Digikoppeling 2W-be)
    confirmation: bool = False  # Answers repeat the SignatureValue of their request (DK-WUS WB014)
    sha1: bool = False  # Accept SHA-1, for an old client, by switch and logged (decision 10)
    age: timedelta = limits.TIMESTAMP_AGE  # How old a Timestamp without Expires may be
    life: timedelta = limits.TIMESTAMP_LIFE  # How old a Timestamp may be, whatever Expires says
    future: timedelta = limits.TIMESTAMP_FUTURE  # How far Created may lie ahead of our clock
    to_required: bool = True  # False for answers, where a missing wsa:To means anonymous
    confirms: str | None = None  # SignatureValue of the request that an answer is read for; None: no answer is read


_PROOF: Final = object()  # Held by this module only: who has it has verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a signature was found to cover, and by whom. Made by open_message and open_unsigned and nowhere else."""

    message: SoapMessage  # For its large texts; elements are read from `operation`
    policy: SignaturePolicy  # Under which it was opened
    operation: etree._Element  # The single child of the signed Body
    addressing: Addressing  # From signed headers
    created: datetime | None  # None when the policy asks for no signature: then there is no Timestamp
    expires: datetime | None  # None when the Timestamp has no Expires
    signer: Certificate  # Who signed; of an unsigned message who connected
    certificate_path: tuple[Certificate, ...]  # Leaf to anchor
    oin: str  # OIN or HRN of the signer, 20 positions
    signature_value: str  # Base64 without white space; unsigned: `sha256:` and the digest in hex
    algorithms: Algorithms  # The family in which the answer is signed
    coverage: str  # JSON for the evidence: which reference covered which part, with what, and whose certificate
    proof: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse to be made by anyone but open_message."""
        if self.proof is not _PROOF:
            raise TypeError("an Opened is made by wssecurity.open_message only")


@dataclass(frozen=True, slots=True)
class ReferenceVerdict:
    """What became of one ds:Reference."""

    uri: str
    part: str  # Body, Timestamp, To, …; empty when it refers to nothing that may be signed
    digest_algorithm: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that could be found out about a signed message, for `verify`. Not a proof: no code reads it as one."""

    findings: tuple[PeerError, ...] = ()
    references: tuple[ReferenceVerdict, ...] = ()
    signature_value_ok: bool | None = None  # None when it could not be computed
    signer: Certificate | None = None
    oin: str | None = None
    addressing: Addressing | None = None
    created: datetime | None = None
    expires: datetime | None = None
    algorithms: Algorithms | None = None
    signature_value: str | None = None
    operation: etree._Element | None = None
    certificate_path: tuple[Certificate, ...] = ()


def open_message(message: SoapMessage, policy: SignaturePolicy, trust: Trust, at: datetime) -> Opened:
    """Verify a signed message and return what was signed, with a certificate that is valid at this moment.
    The steps, cheapest and most decisive first (design 7), as `_steps` takes them:
    1. headers: which are there, each once, none that we do not understand
    2. Security: one Timestamp, one BinarySecurityToken, one Signature, nothing else
       (what is wrong in 1 and 2 is told in one go: nothing has been computed yet)
    3. SignedInfo against the allow-list; when an algorithm is refused, what 6 finds is told with it
    4. the key: referred to directly, strict DER, type and size
    5. SignatureValue, so that a stranger's certificate buys no path validation and no hashing
    6. coverage: every reference is a known part of this very tree, every part is referred to
    7. path, policy, revocation, OIN
    8. digests
    9. reading of the signed Timestamp, addressing and operation
    Raises PeerError: what the first step that refuses found, all of it at once (errors.PeerError.others).
    Source: digipoort 2.1-2.4, 6.6; DK-WUS WB002-WB013; threats 1.1."""
    steps = _steps(message, policy, trust, at)
    try:
        finding = next(steps)
    except StopIteration as done:
        return _opened(message, policy, done.value)
    raise finding


def open_unsigned(
    message: SoapMessage, policy: SignaturePolicy, trust: Trust, at: datetime, tls: tuple[bytes, Purpose], digest: bytes
) -> Opened:
    """Read a message of a connection without WS-Security: what it says, the holder of the TLS certificate said.
    `tls`: DER of the certificate that the other end proved, and what it must be good for. `digest`: SHA-256 of the
    message.
    Raises PeerError: the first finding; a signature that nobody verifies must not look verified, so it is one.
    TypeError: the policy asks for a signature; our own mistake.
    Source: DK-WUS 3.8.1, profile Digikoppeling 2W-be."""
    if policy.signed:
        raise TypeError("this connection asks for a signature")
    securities, elements, wrong = _split_headers(message.header)
    if securities:
        expected = "geen: deze aansluiting is zonder WS-Security (2W-be)"
        wrong.append(PeerError("header-unknown", where="wsse:Security", found="een header", expected=expected))
    raise_all(wrong + addressing.missing(elements, to_required=policy.to_required))
    certificate, purpose = load_certificate(tls[0]), tls[1]
    seen = Examination(
        signer=certificate,
        certificate_path=trust.judge(certificate, at, purpose).path,
        oin=read_oin(certificate),
        addressing=addressing.read(elements, to_required=policy.to_required),
        operation=_read_operation(message.body),
        signature_value=f"sha256:{digest.hex()}",
        algorithms=Algorithms(),
    )
    return _made(message, policy, seen, {"tls": purpose.name, "message": digest.hex()})


def examine(message: SoapMessage, policy: SignaturePolicy, trust: Trust | None, at: datetime) -> Examination:
    """Take the same steps, but go on after a finding as far as the message allows, and judge the Timestamp as well.
    Without `trust` the certificate's path is left unjudged."""
    steps = _steps(message, policy, trust, at)
    findings: list[PeerError] = []
    while True:
        try:
            findings += next(steps).all()
        except StopIteration as done:
            seen: Examination = done.value
            break
    if seen.created:
        findings += _untimely(seen.created, seen.expires, policy, at)
    return replace(seen, findings=tuple(findings))


def check_timestamp(opened: Opened, policy: SignaturePolicy, now: datetime) -> None:
    """Judge the freshness, where there is a Timestamp. Raises PeerError: timestamp (decision 7; DK-WUS WB002)."""
    if opened.created is not None:
        raise_all(_untimely(opened.created, opened.expires, policy, now))


_Steps = Generator[PeerError, None, _T]  # Yields findings, returns what was found out


def _steps(message: SoapMessage, policy: SignaturePolicy, trust: Trust | None, at: datetime) -> _Steps[Examination]:
    headers = _read_headers(message.header, to_required=policy.to_required)
    yield from _all_of(headers.wrong)
    security = headers.security
    signature = (yield from _found(lambda: read_signature(security.signature))) if security else None
    if security is None or signature is None:
        return Examination()
    parts, uncovered = _cover(message, headers, security, signature)
    weak = list(weaknesses(signature, sha1=policy.sha1))
    if weak:
        yield from _all_of(weak + uncovered)
    signer = yield from _found(lambda: _read_signer(message, signature, security.token))
    value_ok = (yield from _judged(lambda: check_value(signature, signer))) if signer else None
    yield from _all_of([] if weak else uncovered)
    yield from _all_of(_confirmed(security.confirmations, parts, policy))
    trusted = (yield from _found(lambda: trust.judge(signer, at, Purpose.SIGNING))) if signer and trust else None
    oin = (yield from _found(lambda: read_oin(signer))) if signer else None
    verdicts = yield from _digests(message, parts)
    created, expires = (yield from _found(lambda: _read_timestamp(security.timestamp))) or (None, None)
    return Examination(
        references=verdicts,
        signature_value_ok=value_ok,
        signer=signer,
        oin=oin,
        addressing=None
        if headers.wrong
        else (yield from _found(lambda: addressing.read(headers.addressing, to_required=policy.to_required))),
        created=created,
        expires=expires,
        algorithms=_family(signature, parts),
        signature_value=base64.b64encode(signature.value).decode(),
        operation=(yield from _found(lambda: _read_operation(message.body))),
        certificate_path=trusted.path if trusted else (),
    )


def _found(step: Callable[[], _T]) -> _Steps[_T | None]:
    """The value of a step, or its finding and None."""
    try:
        return step()
    except PeerError as finding:
        yield finding
        return None


def _all_of(findings: Iterable[PeerError]) -> _Steps[None]:
    """All findings of one step, as one."""
    finding = together(findings)
    if finding:
        yield finding


def _judged(step: Callable[[], None]) -> _Steps[bool]:
    """True when a check holds, or its finding and False."""
    try:
        step()
    except PeerError as finding:
        yield finding
        return False
    return True


# 1 and 2: headers and Security
@dataclass(frozen=True, slots=True)
class _Headers:
    security: _Security | None  # None when it is missing, doubled or incomplete
    addressing: Mapping[str, etree._Element]
    wrong: list[PeerError]  # Everything that is missing, doubled or not understood


@dataclass(frozen=True, slots=True)
class _Security:
    timestamp: etree._Element
    token: etree._Element
    signature: etree._Element
    confirmations: tuple[etree._Element, ...]


def _read_headers(header: etree._Element, *, to_required: bool) -> _Headers:
    """Direct children of Header only: one Security for us, WS-Addressing, nothing else for us (WS007)."""
    securities, found, wrong = _split_headers(header)
    security, lacking = _read_security(securities)
    wrong += lacking + addressing.missing(found, to_required=to_required)
    return _Headers(security, found, wrong)


def _split_headers(header: etree._Element) -> tuple[list[etree._Element], dict[str, etree._Element], list[PeerError]]:
    """The Security headers for us, the WS-Addressing headers by local name, and what is wrong with any header."""
    securities, wrong = [], list[PeerError]()
    for element in header:
        if str(element.tag).startswith(f"{{{WSA}}}") or element.get(_ACTOR) not in _OURS:
            continue
        if element.tag == _SECURITY:
            securities.append(element)
        elif len(wrong) <= MOST:
            where = f"{local_name(element.tag)[:60]}, regel {element.sourceline}"
            wrong.append(PeerError("header-unknown", where=where))
    found, unfit = addressing.find(header)
    return securities, found, wrong + unfit


_ONCE: Final = {_TIMESTAMP: "wsu:Timestamp", _TOKEN: "wsse:BinarySecurityToken", _SIGNATURE: "ds:Signature"}


def _read_security(securities: list[etree._Element]) -> tuple[_Security | None, list[PeerError]]:
    """The children of the one Security in any order, each once (digipoort 2.2); or what is wrong with them."""
    if len(securities) != 1:
        where, found = "wsse:Security", f"{len(securities)} keer"
        return None, [PeerError("header-doubled", where=where, found=found) if securities else _missing(where)]
    found_by: dict[object, list[etree._Element]] = {tag: [] for tag in (*_ONCE, _CONFIRMATION)}
    wrong: list[PeerError] = []
    for child in securities[0]:
        if child.tag in found_by:
            found_by[child.tag].append(child)
        elif len(wrong) <= MOST:
            expected = "Timestamp, BinarySecurityToken, Signature"
            wrong.append(_shape("wsse:Security", local_name(child.tag)[:60], expected))
    for tag, name in _ONCE.items():
        if not found_by[tag]:
            wrong.append(_missing(name))
        elif len(found_by[tag]) > 1:
            wrong.append(_shape("wsse:Security", f"{len(found_by[tag])} keer {name}", "eenmaal"))
    if wrong:
        return None, wrong
    (timestamp,), (token,), (signature,) = (found_by[tag] for tag in _ONCE)
    return _Security(timestamp, token, signature, tuple(found_by[_CONFIRMATION])), []


# 4: the key
def _read_signer(message: SoapMessage, signature: Signature, token: etree._Element) -> Certificate:
    """The certificate in the token that KeyInfo names, which must be the only token there is (threats W10, S26)."""
    if not signature.token_uri.startswith("#") or message.ids.get(signature.token_uri[1:]) is not token:
        raise PeerError(
            "key-reference",
            where="KeyInfo",
            found=f"URI={signature.token_uri[:60]!r}",
            expected="de Id van het BinarySecurityToken in wsse:Security",
        )
    certificate = load_certificate(read_token(token))
    check_key(certificate)
    return certificate


# 6: coverage
@dataclass(frozen=True, slots=True)
class _Part:
    """What a reference leads to."""

    reference: Reference
    name: str  # Empty when it leads to nothing that may be signed
    node: etree._Element | None


def _cover(
    message: SoapMessage, headers: _Headers, security: _Security, signature: Signature
) -> tuple[tuple[_Part, ...], list[PeerError]]:
    """Every reference leads to a part at its fixed place, by identity of the node, and every part is referred to."""
    required = {message.body: "Body", security.timestamp: "Timestamp"}
    required |= {element: name for name, element in headers.addressing.items()}
    optional = {security.token: "BinarySecurityToken", signature.token_reference: "SecurityTokenReference"}
    optional |= dict.fromkeys(security.confirmations, "SignatureConfirmation")
    known = required | optional
    parts, wrong = [], []
    for reference in signature.references:
        node = message.ids.get(reference.uri[1:])
        if node is None or node not in known:
            found = "verwijst nergens naar" if node is None else f"verwijst naar {local_name(node.tag)[:60]}"
            expected = "Body, Timestamp of een wsa-header op zijn plaats"
            wrong.append(_shape(f"Reference {reference.uri[:60]}", found, expected))
            node = None
        parts.append(_Part(reference, known[node] if node is not None else "", node))
    nodes = [part.node for part in parts]
    for node, name in known.items():
        if nodes.count(node) > limits.SAME_TARGET:
            found, expected = f"{nodes.count(node)} keer {name}", f"hoogstens {limits.SAME_TARGET} keer"
            wrong.append(_shape("SignedInfo", found, expected))
        if nodes.count(node) == 0 and node in required:
            wrong.append(PeerError("not-covered", where=name, fix=f"Onderteken ook {name}."))
    return tuple(parts), wrong


def _confirmed(
    confirmations: tuple[etree._Element, ...], parts: tuple[_Part, ...], policy: SignaturePolicy
) -> Iterator[PeerError]:
    """An answer repeats the SignatureValue of its request, signed, and no other (WSS 1.1 8.5, DK-WUS WB014)."""
    if policy.confirms is None:
        return
    name, nodes = "wsse11:SignatureConfirmation", [part.node for part in parts]
    if len(confirmations) > 1 or (policy.confirmation and not confirmations):
        yield _shape("wsse:Security", f"{len(confirmations)} keer {name}", "eenmaal")
    for element in confirmations:
        if element not in nodes:
            yield PeerError("not-covered", where=name, found="geen Reference", fix=f"Onderteken ook {name}.")
        if "".join(element.get("Value", "").split()) != policy.confirms:
            yield _shape(name, "een andere Value", "de SignatureValue van het verzoek")


# 8: digests
def _digests(message: SoapMessage, parts: tuple[_Part, ...]) -> _Steps[tuple[ReferenceVerdict, ...]]:
    """A verdict on each reference, also on one that leads nowhere."""
    verdicts = []
    for part in parts:
        reference, node = part.reference, part.node
        ok = node is not None and (yield from _judged(partial(check_digest, reference, node, part.name, message.large)))
        verdicts.append(ReferenceVerdict(reference.uri, part.name, reference.hash_name, ok))
    return tuple(verdicts)


def _family(signature: Signature, parts: tuple[_Part, ...]) -> Algorithms:
    """The digest of the Body stands for all: no client mixes them."""
    named = [part.reference.hash_name for part in parts if part.name == "Body"]
    return Algorithms(signature.hash_name, named[0] if named else signature.references[0].hash_name)


_INSTANT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)
"""xsd:dateTime in UTC; an offset or none is not a UTC designation (DK-WUS WB002)."""


def _read_timestamp(timestamp: etree._Element) -> tuple[datetime, datetime | None]:
    """Created, and Expires when it is there. Raises PeerError timestamp."""
    children = list(timestamp)
    tags = [child.tag for child in children]
    if tags not in ([_CREATED], [_CREATED, _EXPIRES]) or has_text(timestamp, children):
        found = ", ".join(local_name(tag)[:40] for tag in tags[:4]) or "niets"
        raise PeerError("timestamp", where="wsu:Timestamp", found=found, expected="Created en hoogstens een Expires")
    created, *expires = [_read_instant(child) for child in children]
    return created, expires[0] if expires else None


def _read_instant(element: etree._Element) -> datetime:
    text = (element.text or "").strip(WHITE_SPACE)
    match = _INSTANT.fullmatch(text)
    try:
        if match is None or len(element) or element.keys():
            raise ValueError
        microseconds = int((match[2] or "").ljust(6, "0")[:6])
        return datetime.fromisoformat(match[1]).replace(microsecond=microseconds, tzinfo=UTC)
    except ValueError as error:
        where = f"wsu:{local_name(element.tag)}"
        raise PeerError("timestamp", where=where, found=text[:60], expected="UTC met Z") from error


def _untimely(
    created: datetime, expires: datetime | None, policy: SignaturePolicy, now: datetime
) -> Iterator[PeerError]:
    """What decision 7 has against this moment. Differences only: a sum could pass the year 9999."""
    age = now - created
    if expires and expires <= created:
        yield _time("Expires niet na Created", "Expires na Created", "Zet Expires enkele minuten na Created.")
    elif (expires and now > expires) or age > (policy.life if expires else policy.age):
        yield _time(f"verlopen: Created {_shown(created)}", "een geldig bericht", "Onderteken het bericht opnieuw.")
    if -age > policy.future:
        seconds = int(policy.future.total_seconds())
        yield _time(f"Created {_shown(created)}", f"hoogstens {seconds} s vooruit", "Zet de klok gelijk.")


def _shown(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _time(found: str, expected: str, fix: str) -> PeerError:
    return PeerError("timestamp", where="wsu:Timestamp", found=found, expected=expected, fix=fix)


def _read_operation(body: etree._Element) -> etree._Element:
    """The one element in the Body (DK-WUS WW003)."""
    children = list(body)
    if len(children) != 1 or has_text(body, children):
        raise PeerError("envelope", where="Body", found=f"{len(children)} elementen", expected="een element")
    return children[0]


def _opened(message: SoapMessage, policy: SignaturePolicy, seen: Examination) -> Opened:
    """An Opened from an examination without findings, in which therefore nothing is missing."""
    references = seen.references
    if not (seen.signature_value_ok and seen.created and references and all(verdict.ok for verdict in references)):
        raise TypeError("a step let through what it had not verified")
    shown = [[verdict.uri, verdict.part, verdict.digest_algorithm] for verdict in references]
    signature = seen.algorithms.signature if seen.algorithms else ""
    return _made(message, policy, seen, {"signature": signature, "references": shown})


def _made(message: SoapMessage, policy: SignaturePolicy, seen: Examination, covered: Mapping[str, object]) -> Opened:
    names = ("operation", "addressing", "signer", "oin", "signature_value", "algorithms", "certificate_path")
    verified: dict[str, Any] = {name: getattr(seen, name) for name in names}
    if any(value is None or value == () for value in verified.values()):
        raise TypeError("a step let through what it had not verified")
    record = {"certificate": verified["signer"].sha256.hex(), **covered}
    coverage = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    verified |= {"created": seen.created, "expires": seen.expires}  # None in a message without WS-Security
    return Opened(message=message, policy=policy, coverage=coverage, proof=_PROOF, **verified)


def _missing(what: str) -> PeerError:
    return PeerError("security-missing", where=what)


def _shape(where: str, found: str, expected: str) -> PeerError:
    return PeerError("signature-shape", where=where, found=found, expected=expected)
