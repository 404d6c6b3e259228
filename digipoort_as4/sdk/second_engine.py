"""A second opinion on a WS-Security signature, from xmlsec: an engine nobody here wrote, in a process of its own.

Judges SignatureValue and each digest, and nothing else: no path, no time, no coverage. Only messages whose XML and
SignedInfo keep to our narrow shape reach it (`why_not`): others could make it open files or burn minutes."""

import base64
import contextlib
import copy
import importlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from lxml import etree

from digipoort_as4 import limits
from digipoort_as4.errors import DigipoortError
from digipoort_as4.payload import BytesPayload
from digipoort_as4.soap import inhoud, xml_guard
from digipoort_as4.soap.message import SoapMessage
from digipoort_as4.soap.names import DS, EC, WSSE, WSU, q

SIGNATURE: Final = f"{q(WSSE, 'Security')}/{q(DS, 'Signature')}"
TIMEOUT: Final = 20  # seconds; a message inside our limits takes milliseconds, starting Python and xmlsec about 500
CPU_SECONDS: Final = 15

_MORE, _XMLENC = "http://www.w3.org/2001/04/xmldsig-more#", "http://www.w3.org/2001/04/xmlenc#"
SIGNATURES: Final = {
    f"{DS}rsa-sha1": "TransformRsaSha1",
    f"{_MORE}rsa-sha256": "TransformRsaSha256",
    f"{_MORE}rsa-sha384": "TransformRsaSha384",
    f"{_MORE}rsa-sha512": "TransformRsaSha512",
}  # SignatureMethod to xmlsec's name for it. Written anew here: the second engine shares no table with the first
DIGESTS: Final = (f"{DS}sha1", f"{_XMLENC}sha256", f"{_MORE}sha384", f"{_XMLENC}sha512")


class NoSecondOpinion(DigipoortError):
    """The second engine was not asked, or gave no answer; says why."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the second engine found."""

    engine: str  # Name and version
    signature_value: bool  # SignatureValue holds over the canonical SignedInfo with the key of the BinarySecurityToken
    digests: tuple[tuple[str, bool], ...]  # (URI, equal) per Reference, in the order of SignedInfo
    whole: bool  # The engine's own verdict on the whole ds:Signature in one call

    def agrees_with(self, signature_value: bool | None, digests: tuple[tuple[str, bool], ...]) -> bool:
        """Same verdict as ours on SignatureValue and on each digest (decision 31); with None nothing agrees."""
        consistent = self.whole == (self.signature_value and all(ok for _, ok in self.digests))
        return consistent and self.signature_value == signature_value and self.digests == digests


def ask(octets: bytes) -> Opinion:
    """Let xmlsec judge a message, as received and at most limits.WUS_BODY octets, in a process of its own.
    Raises PeerError: the XML does not pass our guard; NoSecondOpinion: unsigned, outside our narrow shape, or the
    engine is absent or died."""
    if reason := why_not(_read(octets)):
        raise NoSecondOpinion(f"not shown to the second engine: {reason}")
    command = [sys.executable, "-m", "digipoort_as4.sdk.second_engine"]
    # The child finds the same package, wherever this one was started.
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    try:
        done = subprocess.run(command, input=octets, capture_output=True, timeout=TIMEOUT, env=env, check=False)
    except subprocess.TimeoutExpired:
        raise NoSecondOpinion(f"the second engine gave no answer within {TIMEOUT} s") from None
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
        raise NoSecondOpinion(f"the second engine ended with {done.returncode}: {last[0]}")
    answer = json.loads(done.stdout)
    return Opinion(**{**answer, "digests": tuple((uri, bool(ok)) for uri, ok in answer["digests"])})


def _read(octets: bytes) -> SoapMessage:
    """Through our guard, large texts put back: this engine knows one tree only."""
    skeleton, large = inhoud.extract(BytesPayload(octets), token=secrets.token_hex(16))
    message = xml_guard.parse(skeleton, large)
    texts = {part.placeholder: part.text for part in large}
    for element in message.envelope.iter():
        if (payload := texts.get(element.text or "")) is not None:
            # As a parser would have read it: line ends become one LF (XML 1.0, 2.11).
            element.text = b"".join(payload.open()).decode("ascii").replace("\r\n", "\n").replace("\r", "\n")
    return message


def why_not(message: SoapMessage) -> str:
    """Why a message must not reach the second engine; empty when it may.
    Only what WS-Security of this koppelvlak needs passes: one Signature below one Security, exclusive C14N, references
    to wsu:Id of this document with that one transform, a key from a BinarySecurityToken."""
    signatures = message.header.findall(SIGNATURE)
    if not signatures:
        return "unsigned"
    if len(signatures) > 1 or len(list(message.envelope.iter(q(DS, "Signature")))) > 1:
        return "more than one ds:Signature"
    signature = signatures[0]
    info = signature.find(q(DS, "SignedInfo"))
    if info is None or signature.find(q(DS, "Object")) is not None:
        return "ds:SignedInfo is missing, or a ds:Object is there"
    if _token_of(message) is None:
        return "no single wsse:BinarySecurityToken"
    return next((reason for reason in _objections(info) if reason), "")


def _objections(info: etree._Element) -> Iterator[str]:
    """What is outside our shape in one SignedInfo; empty strings where nothing is."""
    yield _algorithm_objection(info.find(q(DS, "CanonicalizationMethod")), {EC})
    yield _algorithm_objection(info.find(q(DS, "SignatureMethod")), SIGNATURES)
    references = info.findall(q(DS, "Reference"))
    if not 0 < len(references) <= limits.REFERENCES:
        yield f"{len(references)} references"
    for reference in references:
        uri = reference.get("URI") or ""
        if not uri.startswith("#") or "(" in uri:
            yield f"reference to '{uri[:60]}'"
        transforms = reference.findall(f"{q(DS, 'Transforms')}/{q(DS, 'Transform')}")
        if len(transforms) != 1:
            yield f"{len(transforms)} transforms in {uri}"
        yield _algorithm_objection(transforms[0] if transforms else None, {EC})
        yield _algorithm_objection(reference.find(q(DS, "DigestMethod")), DIGESTS)


def _algorithm_objection(element: etree._Element | None, allowed: Any) -> str:
    """Empty when the element names an allowed algorithm and carries at most a short PrefixList."""
    algorithm = "" if element is None else element.get("Algorithm") or ""
    if element is None or algorithm not in allowed:
        return f"algorithm '{algorithm[:80]}'"
    if any(child.tag != q(EC, "InclusiveNamespaces") for child in element):
        return f"parameters inside {algorithm}"
    prefixes = [prefix for child in element for prefix in (child.get("PrefixList") or "").split()]
    return "a long PrefixList" if len(prefixes) > limits.PREFIX_LIST else ""


def _token_of(message: SoapMessage) -> etree._Element | None:
    tokens = message.header.findall(f"{q(WSSE, 'Security')}/{q(WSSE, 'BinarySecurityToken')}")
    return tokens[0] if len(tokens) == 1 else None


def judge(octets: bytes) -> Opinion:
    """The engine's verdicts; runs in the subprocess only, for xmlsec shares libxml2's memory with lxml."""
    xmlsec: Any = importlib.import_module("xmlsec")  # here only: the parent must not load it
    xmlsec.cleanup_callbacks()  # no file, no network: what is not a fragment of this document cannot be opened
    message = _read(octets)
    reason, token, signature = why_not(message), _token_of(message), message.header.find(SIGNATURE)
    if reason or token is None or signature is None:
        raise NoSecondOpinion(reason)
    key = xmlsec.Key.from_memory(base64.b64decode(token.text or ""), xmlsec.constants.KeyDataFormatCertDer)
    return Opinion(
        f"xmlsec {xmlsec.__version__} (libxmlsec {'.'.join(map(str, xmlsec.get_libxmlsec_version()))})",
        _signature_value(xmlsec, key, signature),
        tuple(_digests(xmlsec, message.envelope, signature)),
        _holds(xmlsec, lambda: _context(xmlsec, message.envelope, key).verify(signature)),
    )


def _context(xmlsec: Any, envelope: etree._Element, key: Any) -> Any:
    """A context that knows the elements with a wsu:Id and no others."""
    ctx = xmlsec.SignatureContext()
    ctx.key = key
    for element in envelope.iter(etree.Element):
        if element.get(q(WSU, "Id")) is not None:
            ctx.register_id(element, "Id", WSU)
    return ctx


def _holds(xmlsec: Any, verify: Any) -> bool:
    try:
        verify()
    except xmlsec.Error:
        return False
    return True


def _signature_value(xmlsec: Any, key: Any, signature: etree._Element) -> bool:
    """SignatureValue by itself: the engine stops at a wrong digest before it comes to the value."""
    info, method = (
        signature.find(q(DS, "SignedInfo")),
        signature.find(f"{q(DS, 'SignedInfo')}/{q(DS, 'SignatureMethod')}"),
    )
    if info is None or method is None:
        return False
    listed = info.iterfind(f"{q(DS, 'CanonicalizationMethod')}/{q(EC, 'InclusiveNamespaces')}")
    prefixes = " ".join(element.get("PrefixList") or "" for element in listed).split()
    canonical = etree.tostring(info, method="c14n", exclusive=True, inclusive_ns_prefixes=prefixes or None)
    transform = getattr(xmlsec.constants, SIGNATURES[method.get("Algorithm") or ""])
    value = base64.b64decode(signature.findtext(q(DS, "SignatureValue")) or "")
    ctx = xmlsec.SignatureContext()
    ctx.key = key
    return _holds(xmlsec, lambda: ctx.verify_binary(canonical, transform, value))


def _digests(xmlsec: Any, envelope: etree._Element, signature: etree._Element) -> Iterator[tuple[str, bool]]:
    """Each Reference by itself: the engine computes its digest anew inside a throw-away signature."""
    constants = xmlsec.constants
    for reference in signature.iterfind(f"{q(DS, 'SignedInfo')}/{q(DS, 'Reference')}"):
        template = xmlsec.template.create(envelope, constants.TransformExclC14N, constants.TransformHmacSha256)
        again = copy.deepcopy(reference)
        value = again.find(q(DS, "DigestValue"))
        info = template.find(q(DS, "SignedInfo"))
        if value is None or info is None:
            raise NoSecondOpinion("a reference without a digest")
        claimed, value.text = "".join((value.text or "").split()), ""
        info.append(again)
        envelope.append(template)  # after the Body: inside no signed part
        throw_away = xmlsec.Key.from_binary_data(constants.KeyDataHmac, bytes(32))
        computed = _holds(xmlsec, lambda t=template, k=throw_away: _context(xmlsec, envelope, k).sign(t))
        yield reference.get("URI") or "", computed and "".join((value.text or "").split()) == claimed
        envelope.remove(template)


if __name__ == "__main__":  # message on stdin, opinion on stdout
    with contextlib.suppress(ImportError):  # not on Windows; the parent's time-out stays
        resource: Any = importlib.import_module("resource")
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    json.dump(asdict(judge(sys.stdin.buffer.read(limits.WUS_BODY + 1))), sys.stdout)
