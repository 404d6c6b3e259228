"""From PEM and CRL files to a Trust. Fetches nothing; judges nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from digipoort_as4.errors import ConfigError, PeerError
from digipoort_as4.pki.certificates import PRODUCTION_POLICIES, TEST_POLICIES, Certificate, load_pem
from digipoort_as4.pki.path import Trust, build_trust, is_test_ca
from digipoort_as4.pki.revocation import CrlIndex, load_crls

T = TypeVar("T")


def trust_of(pem: Sequence[Path], crls: Sequence[Path] | None) -> Trust:
    """What these files make trusted.
    Args:
        pem: their self-issued certificates are anchors, other CAs lie between; end entities are left out.
        crls: one or more CRLs each, PEM or DER. Each CA on a path needs one, or everything below it is refused.
            None: revocation is not checked, which only looking at old messages may do.
    Raises:
        ConfigError: unreadable files, no anchor, or test and production mixed."""
    cas = [
        certificate for certificate in dict.fromkeys(read(pem, load_pem)) if certificate.is_ca or is_root(certificate)
    ]
    anchors = [ca for ca in cas if is_root(ca)]
    if not anchors:
        raise ConfigError(f"no self-issued certificate in {', '.join(map(str, pem))}; a trust anchor is one")
    index = None if crls is None else CrlIndex.from_crls(read(crls, load_crls), cas)
    between = [ca for ca in cas if not is_root(ca)]
    if any(is_test_ca(anchor) for anchor in anchors):
        return build_trust(anchors, between, index, TEST_POLICIES, "test")
    return build_trust(anchors, between, index, PRODUCTION_POLICIES, "production")


def watched(pem: Sequence[Path], crls: Sequence[Path] | None) -> Callable[[], Trust]:
    """`trust_of`, now and again whenever one of the files has changed: CRLs are renewed while a client runs."""
    files = (*pem, *(crls or ()))

    def state() -> list[tuple[int, int]]:
        return [(found.st_mtime_ns, found.st_ino) for found in (file.stat() for file in files if file.exists())]

    kept = [(state(), trust_of(pem, crls))]

    def current() -> Trust:
        seen = state()
        if seen != kept[0][0]:
            kept[0] = (seen, trust_of(pem, crls))
        return kept[0][1]

    return current


def is_root(certificate: Certificate) -> bool:
    """Subject and issuer are the same name."""
    return certificate.x509.subject == certificate.x509.issuer


def read(files: Iterable[Path], load: Callable[[bytes], Iterable[T]]) -> list[T]:
    """All that `load` finds in the files; a ConfigError names the one it cannot read."""
    found: list[T] = []
    for file in files:
        try:
            found += load(file.read_bytes())
        except (OSError, PeerError, ConfigError) as reason:
            raise ConfigError(f"{file}: {reason.strerror if isinstance(reason, OSError) else reason}") from reason
    return found
