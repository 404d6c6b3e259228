"""From PEM and CRL files to a Trust. Fetches nothing; judges nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from digipoort_as4.errors import ConfigError, PeerError
from digipoort_as4.pki.certificates import PRODUCTION_POLICIES, TEST_POLICIES, Certificate, load_pem
from digipoort_as4.pki.path import Trust, build_trust
from digipoort_as4.pki.revocation import CrlIndex, load_crls

TEST_MARKS: Final = ("TEST", "TRIAL")
"""Words in the subject of every CA of a test tree; a PKIoverheid root has neither."""


def read_certificates(file: Path) -> tuple[Certificate, ...]:
    """All certificates of a PEM file.

    Raises:
        ConfigError: unreadable, or no certificate in it.
    """
    try:
        return load_pem(file.read_bytes())
    except OSError as reason:
        raise ConfigError(f"{file}: {reason.strerror}") from reason
    except PeerError as reason:
        raise ConfigError(f"{file}: {reason}") from reason


def is_root(certificate: Certificate) -> bool:
    """Subject and issuer are the same name."""
    return certificate.x509.subject == certificate.x509.issuer


def trust_of(pem: Sequence[Path], crls: Sequence[Path] | None) -> Trust:
    """What these files make trusted.

    Args:
        pem: their self-issued certificates are anchors, other CAs lie between; end entities are left out.
        crls: one or more CRLs each, PEM or DER. Each CA on a path needs one, or everything below it is refused.
            None: revocation is not checked, which only looking at old messages may do.

    Raises:
        ConfigError: unreadable files, no anchor, or test and production mixed.
    """
    all_of_them = unique(certificate for file in pem for certificate in read_certificates(file))
    anchors = tuple(certificate for certificate in all_of_them if is_root(certificate))
    between = tuple(certificate for certificate in all_of_them if certificate.is_ca and not is_root(certificate))
    if not anchors:
        raise ConfigError(f"no self-issued certificate in {', '.join(map(str, pem))}; a trust anchor is one")
    test = any(mark in anchor.subject for anchor in anchors for mark in TEST_MARKS)
    index = None if crls is None else CrlIndex.from_crls(read_crls(crls), (*anchors, *between))
    policies = TEST_POLICIES if test else PRODUCTION_POLICIES
    return build_trust(anchors, between, index, policies, "test" if test else "production")


def read_crls(files: Iterable[Path]) -> list[bytes]:
    """DER of every CRL in the files.

    Raises:
        ConfigError: unreadable, or not a CRL.
    """
    found: list[bytes] = []
    for file in files:
        try:
            found += load_crls(file.read_bytes())
        except OSError as reason:
            raise ConfigError(f"{file}: {reason.strerror}") from reason
        except PeerError as reason:
            raise ConfigError(f"{file}: {reason}") from reason
    return found


def unique(certificates: Iterable[Certificate]) -> tuple[Certificate, ...]:
    """Each once, in order."""
    return tuple(dict.fromkeys(certificates))
