"""Whether a certificate is trusted: its path to an anchor, in date, not revoked, of the right type.

Pure: certificates, CRLs and the moment are arguments, nothing is fetched. Does not know whether the holder of an OIN
may do something (hub.mandates)."""

import hashlib
from collections.abc import Awaitable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final, Literal

from asn1crypto import algos, keys
from asn1crypto import x509 as asn1
from cryptography.x509.oid import NameOID
from pyhanko_certvalidator import policy_decl
from pyhanko_certvalidator.context import ValidationContext
from pyhanko_certvalidator.errors import ExpiredError, NotYetValidError, PathError, ValidationError
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.policy_decl import AlgorithmUsageConstraint, PKIXValidationParams
from pyhanko_certvalidator.validate import async_validate_path

from digipoort_as4.errors import ConfigError, PeerError
from digipoort_as4.pki import certificates
from digipoort_as4.pki.certificates import CERTIFICATE_TYPES, TRIAL_ARC, Certificate, Purpose, check_key
from digipoort_as4.pki.revocation import SIGNATURE_HASHES, CrlIndex

Kind = Literal["test", "production"]

PATHS_TRIED: Final = 8  # per certificate: PKIoverheid has one, cross-signed CAs give a few; no maze gets further (P13)
VERDICTS_KEPT: Final = 10_000  # Only certificates that were found good are kept, so strangers cannot fill it


@dataclass(frozen=True, slots=True)
class Verdict:
    """A certificate is good, and for how long this holds."""

    path: tuple[Certificate, ...]  # from the certificate to the anchor
    since: datetime  # included, as `until`: dates of the certificates and of the CRLs
    until: datetime
    revocation_checked: bool


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """A frozen snapshot of whom we trust; refreshed by making a new one. Made by `build_trust`."""

    anchors: tuple[Certificate, ...] = field(repr=False)
    intermediates: tuple[Certificate, ...] = field(repr=False)
    crls: CrlIndex | None = field(repr=False)
    """None: revocation is not checked; for looking at old messages, never for a hub."""
    policies: frozenset[str]  # accepted OIDs; keys of CERTIFICATE_TYPES
    kind: Kind
    _verdicts: dict[tuple[bytes, Purpose], Verdict] = field(default_factory=dict, repr=False)

    @property
    def version(self) -> str:
        """Changes when anything of the snapshot does; kept with the evidence."""
        crls = self.crls.version if self.crls else None
        digest = hashlib.sha256(f"{self.kind} {crls} {sorted(self.policies)}".encode())
        for certificate in (*self.anchors, *self.intermediates):
            digest.update(certificate.sha256)
        return digest.hexdigest()[:16]

    def judge(self, certificate: Certificate, at: datetime, purpose: Purpose) -> Verdict:
        """A certificate of an end entity is trusted for a purpose at a moment.
        Found good once, the next judgement is one look in a table, for as long as nothing on the path changes.
        Raises PeerError: key-weak, certificate-purpose, -untrusted, -expired, -revoked or revocation-unavailable.
        Source: digipoort 6.6, points 1 to 4; RFC 5280 6.1, 6.3."""
        key = (certificate.sha256, purpose)
        if (known := self._verdicts.get(key)) is not None and known.since <= at <= known.until:
            return known
        check_key(certificate)
        certificates.check_purpose(certificate, purpose, self.policies)
        inputs = PKIXValidationParams(self.policies, initial_explicit_policy=True)
        verdict = find_path(certificate, self.anchors, self.intermediates, self.crls, at, inputs)
        if len(self._verdicts) >= VERDICTS_KEPT:
            self._verdicts.clear()
        self._verdicts[key] = verdict
        return verdict


def build_trust(
    anchors: Iterable[Certificate],
    intermediates: Iterable[Certificate],  # CAs between; they are not trusted by being here
    crls: CrlIndex | None,  # of all CAs; None: revocation is not checked
    policies: frozenset[str],  # accepted OIDs
    kind: Kind,
) -> Trust:
    """A snapshot, after looking whether it can be meant so; ConfigError lists every mistake.
    Source: digipoort 6.1: test systems hold no certificates of the real root, and the other way round (threats P07)."""
    trust = Trust(tuple(anchors), tuple(intermediates), crls, policies, kind)
    if mistakes := list(_mistakes(trust)):
        raise ConfigError("; ".join(mistakes))
    return trust


def _mistakes(trust: Trust) -> Iterator[str]:
    production = trust.kind == "production"
    if not trust.anchors:
        yield "no trust anchor given"
    for ca in (*trust.anchors, *trust.intermediates):
        if not ca.is_ca:
            yield f"{ca.subject}: not a CA"
        if production and is_test_ca(ca):
            yield f"{ca.subject}: a test CA cannot be trusted in production"
    for anchor in trust.anchors:
        if not production and not is_test_ca(anchor):
            yield f"{anchor.subject}: not recognisable as a test root; a test system trusts test roots only"
    if not trust.policies:
        yield "no policy given"
    for policy in sorted(trust.policies):
        if policy not in CERTIFICATE_TYPES:
            yield f"policy {policy}: not known; known are {', '.join(CERTIFICATE_TYPES)}"
        elif production and policy.startswith(TRIAL_ARC):
            yield f"policy {policy}: TRIAL cannot be accepted in production"


def is_test_ca(ca: Certificate) -> bool:
    """Whether a CA says in its name that it is for tests: TRIAL or TEST first, or "not for Production use"."""
    said = (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
    names = [str(name.value).upper() for oid in said for name in ca.x509.subject.get_attributes_for_oid(oid)]
    return any(name.startswith(("TRIAL ", "TEST ")) or "NOT FOR PRODUCTION" in name for name in names)


def find_path(
    certificate: Certificate,
    anchors: Iterable[Certificate],
    intermediates: Iterable[Certificate],
    crls: CrlIndex | None,  # None: revocation is not checked
    at: datetime,
    inputs: PKIXValidationParams,  # the policy inputs of RFC 5280 6.1.1
) -> Verdict:
    """The first path from a certificate to an anchor on which everything holds at a moment.
    Raises PeerError: what is wrong with the first path; certificate-untrusted when there is none.
    Source: RFC 5280 6.1 (by pyhanko-certvalidator), 6.3 (CrlIndex)."""
    roots = [asn1.Certificate.load(anchor.der) for anchor in anchors]
    if not roots:  # the library would look for those of the machine
        raise _untrusted(certificate, "no anchors", "")
    context = ValidationContext(
        trust_roots=roots,
        other_certs=[asn1.Certificate.load(ca.der) for ca in intermediates],
        moment=at,
        allow_fetching=False,
        revinfo_policy=policy_decl.CertRevTrustPolicy(policy_decl.NO_REVOCATION),  # ours: CrlIndex, after the path
        time_tolerance=timedelta(0),
        algorithm_usage_policy=_Algorithms(),
    )
    candidates = context.path_builder.async_build_paths_lazy(asn1.Certificate.load(certificate.der))
    refused: PeerError | None = None
    try:
        for _ in range(PATHS_TRIED):
            candidate = _finish(candidates.__anext__())
            try:
                return _check(candidate, context, certificate, crls, at, inputs)
            except PeerError as error:
                refused = refused or error
    except (StopAsyncIteration, PathError):
        pass  # there are no more
    except (ValueError, TypeError, NotImplementedError) as error:  # an extension that the path library cannot read
        raise _untrusted(certificate, "something unreadable", f"{type(error).__name__}: {error}") from error
    raise refused or _untrusted(certificate, "no path to an anchor", certificate.x509.issuer.rfc4514_string())


_SIGNATURES: Final = {"rsassa_pkcs1v15": {"rsa"}, "rsassa_pss": {"rsa", "rsassa_pss"}, "ecdsa": {"ec"}}
"""Signatures, each with the keys that can make them."""


class _Algorithms(policy_decl.AlgorithmUsagePolicy):
    """RSA and ECDSA over SHA-2; keys are judged by `check_key`."""

    def digest_algorithm_allowed(
        self, algo: algos.DigestAlgorithm, moment: datetime | None
    ) -> AlgorithmUsageConstraint:
        return AlgorithmUsageConstraint(algo["algorithm"].native in SIGNATURE_HASHES)

    def signature_algorithm_allowed(
        self, algo: algos.SignedDigestAlgorithm, moment: datetime | None, public_key: keys.PublicKeyInfo | None
    ) -> AlgorithmUsageConstraint:
        try:
            fits = _names_fit(algo) and (public_key is None or public_key.algorithm in _SIGNATURES[algo.signature_algo])
        except (ValueError, TypeError, KeyError):  # an algorithm or parameters that the library has no name for
            fits = False
        return AlgorithmUsageConstraint(fits)


def _names_fit(algorithm: algos.SignedDigestAlgorithm) -> bool:
    """Signature and hash are of ours; with PSS the mask is MGF1 with the same hash, as PKIoverheid G4 has it."""
    if algorithm.signature_algo not in _SIGNATURES or algorithm.hash_algo not in SIGNATURE_HASHES:
        return False
    if algorithm.signature_algo != "rsassa_pss":
        return True
    mask = algorithm["parameters"]["mask_gen_algorithm"]
    return (mask["algorithm"].native, mask["parameters"]["algorithm"].native) == ("mgf1", algorithm.hash_algo)


def _check(
    candidate: ValidationPath,
    context: ValidationContext,
    certificate: Certificate,
    crls: CrlIndex | None,
    at: datetime,
    inputs: PKIXValidationParams,
) -> Verdict:
    """1 signatures, dates, constraints, policies; 2 the anchor's dates; 3 keys; 4 revocation."""
    # 1
    try:
        _finish(async_validate_path(context, candidate, inputs))
    except (ExpiredError, NotYetValidError) as error:
        raise _expired(certificate, str(error)) from error
    except ValidationError as error:
        raise _untrusted(certificate, "a path that does not hold", str(error)) from error
    path = tuple(certificates.load_certificate(step.dump()) for step in reversed(list(candidate)))
    # 2: RFC 5280 leaves them to us
    if not path[-1].not_before <= at <= path[-1].not_after:
        raise _expired(certificate, f"anchor {path[-1].subject} is not in date")
    # 3
    for step in path:
        check_key(step)
    # 4: nobody revokes an anchor
    windows = [(step.not_before, step.not_after) for step in path]
    if crls is not None:
        windows += [crls.check(step, issuer, at) for step, issuer in pairwise(path)]
    return Verdict(path, max(since for since, _ in windows), min(until for _, until in windows), crls is not None)


def _finish(awaitable: Awaitable[Any]) -> Any:
    """Run something that never waits (nothing is fetched), with or without an event loop around us."""
    try:
        awaitable.__await__().send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("the path library waits for something although fetching is off")


def _untrusted(certificate: Certificate, found: str, detail: str) -> PeerError:
    expected = "a path to a trusted root"
    return PeerError("certificate-untrusted", where=certificate.subject, found=found, expected=expected, detail=detail)


def _expired(certificate: Certificate, detail: str) -> PeerError:
    found = f"valid {certificate.not_before:%F %T}Z to {certificate.not_after:%F %T}Z"
    expected = "a certificate and CAs that are in date"
    return PeerError("certificate-expired", where=certificate.subject, found=found, expected=expected, detail=detail)
