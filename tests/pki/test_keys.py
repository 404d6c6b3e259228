"""Private keys in files: what they sign is what others verify, and a wrong file says which and why."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from helpers_pki import leaf_of

from digipoort_as4.errors import ConfigError
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.keys import FileSigner, TlsFiles
from digipoort_as4.pki.test_pki import Identity

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="the openssl program is not here")


@pytest.fixture
def identity(pki: Path) -> Identity:
    return test_pki.find_identity(pki, "bakkerij-jansen")


@needs_openssl
@pytest.mark.parametrize("hash_name", ["sha1", "sha256", "sha384", "sha512"])
def test_openssl_verifies_what_a_signer_signs(identity: Identity, tmp_path: Path, hash_name: str) -> None:
    """PKCS#1 v1.5 over the hash that was asked for; with an octet changed it does not."""
    signer = FileSigner.load(identity.signing_cert, identity.signing_key)
    public = signer.certificate.x509.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(public)
    (tmp_path / "signature").write_bytes(signer.sign(b"octets", hash_name))
    command = [str(OPENSSL), "dgst", f"-{hash_name}", "-verify", "key.pem", "-signature", "signature"]
    good = subprocess.run(command, cwd=tmp_path, input=b"octets", capture_output=True, check=False)
    bad = subprocess.run(command, cwd=tmp_path, input=b"octetz", capture_output=True, check=False)
    assert (b"Verified OK\n", 0) == (good.stdout, good.returncode)
    assert bad.returncode != 0


def test_a_signer_shows_its_certificate_and_no_key(identity: Identity) -> None:
    """The first certificate of the file; nothing private in its text."""
    signer = FileSigner.load(identity.signing_cert, identity.signing_key)
    assert leaf_of(identity.signing_cert) == signer.certificate
    assert "RSAPrivateKey" not in repr(signer)


def encrypted(identity: Identity, path: Path, password: bytes) -> Path:
    key = load_pem_private_key(identity.signing_key.read_bytes(), None)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)))
    return path


def test_an_encrypted_key_needs_its_password(identity: Identity, tmp_path: Path) -> None:
    """The right one opens it; none, or another, says so with the file's name and the step."""
    key = encrypted(identity, tmp_path / "locked.pem", b"geheim")
    assert FileSigner.load(identity.signing_cert, key, b"geheim").sign(b"x", "sha256")
    for password in (None, b"", b"fout"):
        with pytest.raises(ConfigError, match=r"locked\.pem: opening the private key: .*check the password"):
            FileSigner.load(identity.signing_cert, key, password)


def test_a_pkcs1_key_is_read(identity: Identity, tmp_path: Path) -> None:
    """BEGIN RSA PRIVATE KEY, as older tools write it."""
    key = load_pem_private_key(identity.signing_key.read_bytes(), None)
    old = tmp_path / "old.pem"
    old.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    assert b"BEGIN RSA PRIVATE KEY" in old.read_bytes()
    signature = FileSigner.load(identity.signing_cert, old).sign(b"x", "sha256")
    public = leaf_of(identity.signing_cert).public_key
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(signature, b"x", padding.PKCS1v15(), hashes.SHA256())


def test_wrong_files_say_which_and_why(pki: Path, identity: Identity, tmp_path: Path) -> None:
    """Missing, no PEM, somebody else's key, a key of another kind, a weak key."""
    cert, key = identity.signing_cert, identity.signing_key
    text, other = tmp_path / "text.pem", test_pki.find_identity(pki, "uwv")
    text.write_bytes(b"hello")
    curve = tmp_path / "curve.pem"
    curve.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    weak = test_pki.issue(pki, "weak", identity.oin, "g1", "business", _now(identity), weak_key=True)
    for certificate, private, expected in (
        (tmp_path / "none.pem", key, r"none\.pem: reading the file: No such file"),
        (cert, tmp_path / "none.pem", r"none\.pem: reading the file: No such file"),
        (text, key, r"text\.pem: reading the certificate: .*expected PEM"),
        (cert, text, r"text\.pem: opening the private key"),
        (cert, other.signing_key, r"signing\.key: comparing key and certificate: the key does not belong"),
        (cert, curve, r"curve\.pem: reading the private key: .*expected an RSA key"),
        (weak.signing_cert, weak.signing_key, r"signing\.key: checking the certificate's key: key-weak"),
    ):
        with pytest.raises(ConfigError, match=expected):
            FileSigner.load(certificate, private)


def _now(identity: Identity):  # type: ignore[no-untyped-def]
    return leaf_of(identity.signing_cert).not_before


def test_p12_is_read_with_its_password(identity: Identity) -> None:
    """The same signer as from the PEM files."""
    password = identity.p12_password.read_bytes()
    signer = FileSigner.load_p12(identity.p12, password)
    assert signer.sign(b"x", "sha256") == FileSigner.load(identity.signing_cert, identity.signing_key).sign(
        b"x", "sha256"
    )
    for wrong in (None, password + b"x"):
        with pytest.raises(ConfigError, match=r"signing\.p12: opening the PKCS#12 file: .*check the password"):
            FileSigner.load_p12(identity.p12, wrong)


@needs_openssl
def test_a_p12_without_key_is_named(identity: Identity, tmp_path: Path) -> None:
    """A trust store is no identity."""
    bare = tmp_path / "bare.p12"
    command = [str(OPENSSL), "pkcs12", "-export", "-nokeys", "-in", str(identity.signing_cert), "-out", str(bare)]
    subprocess.run([*command, "-passout", "pass:x"], check=True, capture_output=True)
    with pytest.raises(ConfigError, match="no certificate with its private key"):
        FileSigner.load_p12(bare, b"x")


@needs_openssl
def test_a_legacy_p12_is_read_or_says_how_to_renew_it(identity: Identity, tmp_path: Path) -> None:
    """RC2 and 3DES, as Windows exports wrote them: read where the library still can, else the command to convert it."""
    old = tmp_path / "old.pfx"
    command = [str(OPENSSL), "pkcs12", "-export", "-legacy", "-inkey", str(identity.signing_key), "-out", str(old)]
    done = subprocess.run(
        [*command, "-in", str(identity.signing_cert), "-passout", "pass:x"], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("this openssl has no legacy ciphers")
    try:
        assert FileSigner.load_p12(old, b"x").certificate == leaf_of(identity.signing_cert)
    except ConfigError as error:
        assert "openssl pkcs12 -legacy" in str(error)


def test_tls_files_load(identity: Identity, tmp_path: Path) -> None:
    """Good ones are taken; a wrong pair, a wrong password or a missing file is named, and nobody is asked for input."""
    TlsFiles(identity.tls_cert, identity.tls_key).load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    locked = encrypted(identity, tmp_path / "locked.pem", b"geheim")
    TlsFiles(identity.tls_cert, locked, b"geheim").load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    curve = tmp_path / "curve.pem"
    curve.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    for files in (
        TlsFiles(identity.tls_cert, locked),
        TlsFiles(identity.tls_cert, locked, b"fout"),
        TlsFiles(identity.tls_cert, curve),
        TlsFiles(tmp_path / "none.pem", identity.tls_key),
    ):
        with pytest.raises(ConfigError, match="loading certificate and key for TLS"):
            files.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
