"""Private-key operations: signing, and proving who we are in TLS. Files here; PKCS#11 fits behind the same interfaces.

Does not choose an algorithm and does not judge certificates; whoever holds a `Signer` never sees the key."""

from __future__ import annotations

import secrets
import ssl
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, pkcs12

from digipoort_as4.config import KeyFiles
from digipoort_as4.errors import ConfigError, PeerError
from digipoort_as4.pki.certificates import Certificate, check_key, load_certificate, load_pem

_HASHES: Final = {one.name: one for one in (hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512())}
"""SHA-1 only to answer a party that may still use it (decision 10)."""


class Signer(Protocol):
    """Signs octets with a private key that stays where it is."""

    @property
    def certificate(self) -> Certificate:
        """The certificate of the key."""

    def sign(self, octets: bytes, hash_name: str) -> bytes:
        """RSASSA-PKCS1-v1_5 over octets, hashed here with sha1, sha256, sha384 or sha512."""


class TlsIdentity(Protocol):
    """The certificate and key of our end of a TLS connection."""

    def load_into(self, context: ssl.SSLContext) -> None:
        """Give certificate chain and key to a context."""


@dataclass(frozen=True, slots=True, repr=False)
class FileSigner:
    """A `Signer` with an RSA key that was read from a file."""

    certificate: Certificate
    _key: rsa.RSAPrivateKey

    @classmethod
    def load(cls, certificate: Path, key: Path, password: bytes | None = None) -> FileSigner:
        """Read certificate (PEM; others than the first are ignored) and key (PEM, PKCS#8 or PKCS#1).
        The password is the key's, None when it is not encrypted. ConfigError names the file and the step that failed.
        """
        try:
            own = load_pem(_read(certificate))[0]
        except PeerError as error:
            raise _unreadable(
                certificate, "reading the certificate", error, "expected PEM (BEGIN CERTIFICATE)"
            ) from error
        try:
            found = _open_key(_read(key), password)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            # TypeError: a password where none is needed, or none where one is
            raise _unreadable(key, "opening the private key", error, _KEY_HINT) from error
        return cls._of(own, found, key)

    @classmethod
    def load_p12(cls, path: Path, password: bytes | None) -> FileSigner:
        """Read certificate and key from one PKCS#12 file (.p12, .pfx); ConfigError as `load`."""
        try:
            key, certificate, _ = pkcs12.load_key_and_certificates(_read(path), password)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise _unreadable(path, "opening the PKCS#12 file", error, _P12_HINT) from error
        if key is None or certificate is None:
            raise ConfigError(f"{path}: reading the PKCS#12 file: it holds no certificate with its private key")
        return cls._of(load_certificate(certificate.public_bytes(Encoding.DER)), key, path)

    @classmethod
    def _of(cls, certificate: Certificate, key: object, path: Path) -> FileSigner:
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ConfigError(f"{path}: reading the private key: found {type(key).__name__}, expected an RSA key")
        try:
            check_key(certificate)
        except PeerError as error:
            raise ConfigError(f"{path}: checking the certificate's key: {error}") from error
        if key.public_key() != certificate.public_key:
            found = f"{path}: comparing key and certificate: the key does not belong to {certificate.subject}"
            raise ConfigError(f"{found}; give the key that the certificate was requested with")
        return cls(certificate, key)

    def sign(self, octets: bytes, hash_name: str) -> bytes:
        """RSASSA-PKCS1-v1_5 over octets; see `Signer`."""
        return self._key.sign(octets, padding.PKCS1v15(), _HASHES[hash_name])


@dataclass(frozen=True, slots=True)
class TlsFiles(KeyFiles):
    """A `TlsIdentity` in files."""

    def load_into(self, context: ssl.SSLContext) -> None:
        """Give certificate chain and key to a context; ConfigError names the files and the step that failed."""
        try:
            # an empty password, because OpenSSL asks at the terminal when it gets None for an encrypted key
            context.load_cert_chain(self.certificate, self.key, self.password or b"")
        except OSError as error:  # ssl.SSLError is one
            files = f"{self.certificate} and {self.key}"
            raise _unreadable(files, "loading certificate and key for TLS", error, _TLS_HINT) from error


@dataclass(frozen=True, slots=True, repr=False)
class TlsP12:
    """A `TlsIdentity` in one PKCS#12 file."""

    path: Path
    password: bytes | None

    def load_into(self, context: ssl.SSLContext) -> None:
        """Give certificate, key and CAs to a context; ConfigError names the file and the step that failed.
        OpenSSL takes them from files only: one that only we can read, its key under a password that nobody knows."""
        signer, password = FileSigner.load_p12(self.path, self.password), secrets.token_hex(16).encode()
        others = pkcs12.load_pkcs12(_read(self.path), self.password).additional_certs
        sealed = serialization.BestAvailableEncryption(password)
        secret = signer._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed)
        chain = [signer.certificate.x509, *(one.certificate for one in others)]
        with tempfile.TemporaryDirectory(prefix="digipoort-") as folder:  # made with mode 0700
            pem = Path(folder) / "tls.pem"
            pem.write_bytes(b"".join([secret, *(one.public_bytes(Encoding.PEM) for one in chain)]))
            TlsFiles(pem, pem, password).load_into(context)


_KEY_HINT: Final = "check the password; convert another format with: openssl pkcs8 -topk8 -in FILE -out key.pem"
_P12_HINT: Final = (
    "check the password; a file with old ciphers (RC2, 3DES) is renewed with: "
    "openssl pkcs12 -legacy -in FILE -out all.pem, then openssl pkcs12 -export -in all.pem -out new.p12"
)
_TLS_HINT: Final = "check that both files are PEM, that they belong together, and the password"


@lru_cache(maxsize=32)
def _open_key(octets: bytes, password: bytes | None) -> PrivateKeyTypes:
    """A private key, checked once in a process: that takes OpenSSL a tenth of a second for RSA."""
    return serialization.load_pem_private_key(octets, password)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: reading the file: {error.strerror}") from error


def _unreadable(path: Path | str, step: str, error: Exception, hint: str) -> ConfigError:
    return ConfigError(f"{path}: {step}: {error}; {hint}")
