"""A test PKI in a folder: G1 and G4 shaped CAs, certificates of the parties, CRLs, and broken certificates for tests.

Fetches nothing and serves nothing; the keys lie beside the certificates, which only a test PKI may do.

    FOLDER/ca.pem              the roots, to be trusted
    FOLDER/intermediates.pem   the CAs between
    FOLDER/crls/NAME.pem       one CRL for each CA
    FOLDER/ca/NAME.pem         certificate and key of a CA; NAME.revoked: what it has revoked
    FOLDER/identities/NAME/    certificates, keys and PKCS#12 file of a party"""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from digipoort_as4.config import data_file
from digipoort_as4.errors import UsageError
from digipoort_as4.pki import issuing
from digipoort_as4.pki.certificates import TEST_POLICIES, load_pem
from digipoort_as4.pki.issuing import BACKDATED, CA_BITS, Authority, Kind, Party, Recipe
from digipoort_as4.pki.path import Trust, build_trust
from digipoort_as4.pki.revocation import CrlIndex, load_crls

CRL_LIFE: Final = timedelta(hours=48)  # as PKIoverheid G4 (digipoort 6.2)
CRL_RENEWED_BEFORE: Final = timedelta(hours=24)  # `make` renews a CRL that has less than this to live
RENEWED_BEFORE: Final = timedelta(days=30)  # so a certificate
EXPONENT: Final = 65_537  # of the RSA keys


@dataclass(frozen=True, slots=True)
class Identity:
    """A party with its files."""

    name: str  # lower case, digits and hyphens
    role: str  # `hub`, `business` or `agency`
    oin: str  # 20 positions as asked for; a certificate with the flaw `no_oin` does not carry it
    shape: str  # `g1` (one certificate for all) or `g4` (one for the connection, one for signing)
    tls_cert: Path  # PEM: its certificate, then the CAs above it without the root; so signing_cert
    tls_key: Path  # PEM, PKCS#8, not encrypted, mode 0600; so signing_key
    signing_cert: Path  # in g1 the same file as tls_cert, unless the signing certificate was asked to be broken
    signing_key: Path
    p12: Path  # signing certificate, key and CAs
    p12_password: Path  # file with the password of p12, nothing else in it


@dataclass(frozen=True, slots=True)
class Broken:
    """What is wrong, on purpose, with a signing certificate; all the rest is right."""

    expired: bool = False  # ended yesterday
    revoked: bool = False  # on the CRL
    no_oin: bool = False  # no Subject.serialNumber
    untrusted: bool = False  # issued by a root that is not in ca.pem
    wrong_purpose: bool = False  # key usage without digitalSignature
    weak_key: bool = False  # RSA of 1024 bits
    tls: bool = False  # that of the connection is broken too; by default it is good, so that a message gets through


def make(folder: Path, now: datetime, *, ca_bits: int = CA_BITS) -> None:
    """Make what is missing or soon to expire of the PKI of certs/test-pki.toml; the second time nothing changes.
    The folder has mode 0700, lives start `now`, and CA keys of 2048 `ca_bits` take a third of the time."""
    recipe, made_from = _read_recipe(ca_bits)
    with _locked(folder), ThreadPoolExecutor(os.cpu_count()) as pool:
        for stale in (*folder.glob("identities/.*"), *folder.glob(".*-????????"), *folder.glob("*/.*-????????")):
            _remove(stale)  # what a process that was killed left half done
        record = folder / "made-from"
        same = record.exists() and record.read_text() == made_from
        if not (same and all(_lives(path, now) for path in _authority_files(folder))):
            _make_authorities(folder, recipe, now, ca_bits, pool)
            _write(record, made_from.encode())
        ours = [one for one in identities(folder) if Party(one.name, one.role, one.oin, one.shape) in recipe.parties]
        alive = {one.name for one in ours if _lives(one.tls_cert, now) and _lives(one.signing_cert, now)}
        missing = [party for party in recipe.parties if party.name not in alive]
        for party, started in [(party, _start(recipe, party, Broken(), pool)) for party in missing]:
            _issue(folder, recipe, party, now, started)
        if not all(_is_fresh(path, now) for path in crls(folder)):
            _renew_crls(folder, now, CRL_LIFE)


def issue(folder: Path, name: str, oin: str, shape: str, role: str, now: datetime, **broken: bool) -> Identity:
    """Give a party certificates, in place of those that it had; the old ones stay valid.
    `name`, `oin`, `shape` and `role` as in `Identity`, the OIN of shape g4 in the TRIAL pattern; `now`: start of the
    certificates' lives; `broken`: fields of `Broken`.
    Raises UsageError: one makes no sense, or no PKI is here."""
    flaws = Broken(**broken)
    recipe, _ = _read_recipe(0)
    shapes = {kind.shape for kind in recipe.kinds}
    if not name or name.strip("abcdefghijklmnopqrstuvwxyz0123456789-") or name.startswith("-"):
        raise UsageError(f"name {name!r}: use lower case letters, digits and hyphens")
    if shape not in shapes:
        raise UsageError(f"shape {shape!r}: use one of {', '.join(sorted(shapes))}")
    if len(oin) != 20 or not (oin.isascii() and oin.isalnum()):
        raise UsageError(f"OIN {oin!r}: 20 positions, such as 00000099000000104000")
    party = Party(name, role, oin, shape)
    if not (folder / "made-from").exists():
        raise UsageError(f"{folder}: there is no test PKI here; make it first")
    with _locked(folder), ThreadPoolExecutor(os.cpu_count()) as pool:
        identity = _issue(folder, recipe, party, now, _start(recipe, party, flaws, pool))
        if flaws.revoked:
            _revoke(folder, [identity.signing_cert, *([identity.tls_cert] if flaws.tls else [])], now)
    return identity


def revoke(folder: Path, name: str, now: datetime) -> None:
    """Revoke all certificates that a party has now, and renew the CRLs."""
    identity = find_identity(folder, name)
    with _locked(folder):
        _revoke(folder, [identity.tls_cert, identity.signing_cert], now)


def renew_crls(folder: Path, now: datetime, lifetime: timedelta = CRL_LIFE) -> None:
    """Sign a new CRL for every CA; nextUpdate is `lifetime` from now, a negative one makes a CRL that has expired."""
    with _locked(folder):
        _renew_crls(folder, now, lifetime)


def identities(folder: Path) -> list[Identity]:
    """All parties, by name."""
    return [_read_identity(path.parent) for path in sorted(folder.glob("identities/[!.]*/identity.json"))]


def find_identity(folder: Path, name: str) -> Identity:
    """A party by name; UsageError lists those that there are."""
    known = {identity.name: identity for identity in identities(folder)}
    if name not in known:
        raise UsageError(f"no identity {name!r} in {folder}; there are: {', '.join(known) or 'none'}")
    return known[name]


def anchors(folder: Path) -> Path:
    """PEM file with the roots."""
    return folder / "ca.pem"


def intermediates(folder: Path) -> Path:
    """PEM file with the CAs between roots and parties."""
    return folder / "intermediates.pem"


def crls(folder: Path) -> list[Path]:
    """PEM files, one CRL each; every CA has one."""
    return [folder / "crls" / path.name for path in _authority_files(folder)]


def trust(folder: Path) -> Trust:
    """A snapshot of the PKI as it is on disk, CRLs included."""
    roots = load_pem(anchors(folder).read_bytes())
    between = load_pem(intermediates(folder).read_bytes())
    lists = [der for path in crls(folder) for der in load_crls(path.read_bytes())]
    return build_trust(roots, between, CrlIndex.from_crls(lists, (*roots, *between)), TEST_POLICIES, "test")


def _read_recipe(ca_bits: int) -> tuple[Recipe, str]:
    """The recipe, and a text that changes when the recipe or the size of the keys does."""
    text = data_file("certs/test-pki.toml").read_bytes()
    return issuing.read_recipe(tomllib.loads(text.decode())), f"{hashlib.sha256(text).hexdigest()} {ca_bits}\n"


def _make_authorities(folder: Path, recipe: Recipe, now: datetime, ca_bits: int, pool: Executor) -> None:
    """New CAs; everything issued by older ones goes."""
    for stale in ("made-from", "ca", "crls", "identities"):
        _remove(folder / stale)
    keys = {spec.name: pool.submit(rsa.generate_private_key, EXPONENT, ca_bits) for spec in recipe.cas}
    made: dict[str, Authority] = {}
    for spec in recipe.cas:
        key, above = keys[spec.name].result(), made.get(spec.issuer)
        made[spec.name] = new = issuing.issue_ca(spec, key, above, x509.random_serial_number(), now)
        _write(folder / "ca" / f"{spec.name}.pem", _pem([new.certificate]) + _key_pem(key))
    _write(anchors(folder), _pem(made[spec.name].certificate for spec in recipe.cas if not spec.issuer), public=True)
    _write(intermediates(folder), _pem(made[spec.name].certificate for spec in recipe.cas if spec.issuer), public=True)


def _authority_files(folder: Path) -> list[Path]:
    return sorted((folder / "ca").glob("[!.]*.pem"))


def _read_authority(path: Path) -> Authority:
    text = path.read_bytes()
    # the key is ours: checking it again takes OpenSSL a tenth of a second
    key = serialization.load_pem_private_key(text, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise UsageError(f"{path}: a test CA has an RSA key")
    return Authority(path.stem, path.stem.partition("-")[0], x509.load_pem_x509_certificate(text), key)


def _stranger(shape: str, recipe: Recipe, now: datetime) -> Authority:
    """A root that nobody trusts; kept apart from the CAs."""
    root = next(spec for spec in recipe.cas if spec.shape == shape and not spec.issuer)
    spec = replace(root, name=f"{shape}-stranger", cn="TEST Stranger Root CA")
    return issuing.issue_ca(spec, rsa.generate_private_key(EXPONENT, 2048), None, x509.random_serial_number(), now)


_Started = Mapping[str, tuple[Kind, Broken, Future[rsa.RSAPrivateKey]]]  # by use: `tls` and `signing`, or `signing`


def _start(recipe: Recipe, party: Party, flaws: Broken, pool: Executor) -> _Started:
    """Each kind to issue, with its flaws and its key in the making; one where one certificate serves both uses."""
    kinds = {use: kind for kind in recipe.kinds if kind.shape == party.shape for use in kind.uses}
    if kinds["tls"].name == kinds["signing"].name and (flaws.tls or flaws == Broken()):
        del kinds["tls"]
    started = {}
    for use, kind in kinds.items():
        own = flaws if use == "signing" or flaws.tls else Broken()
        usages = ("key_encipherment",) if own.wrong_purpose else kind.usages
        flawed = replace(kind, usages=usages, bits=1024 if own.weak_key else kind.bits)
        started[use] = (flawed, own, pool.submit(rsa.generate_private_key, EXPONENT, flawed.bits))
    return started


def _issue(folder: Path, recipe: Recipe, party: Party, now: datetime, started: _Started) -> Identity:
    """Certificates for keys, and the party's folder in one rename."""
    target = folder / "identities" / party.name
    fresh = target.with_name(f".{party.name}-{secrets.token_hex(4)}")
    for use, (kind, broken, coming) in started.items():
        key, home = coming.result(), folder / "ca" / f"{kind.issuer}.pem"
        issuer = _stranger(kind.shape, recipe, now) if broken.untrusted else _read_authority(home)
        name, serial = issuing.subject_of(party, with_oin=not broken.no_oin), x509.random_serial_number()
        start = now - timedelta(days=kind.days + 1) if broken.expired else now - BACKDATED
        period = (start, start + timedelta(days=kind.days))
        leaf = issuing.issue_end_entity(kind, name, key.public_key(), issuer, serial, period)
        chain = _chain(folder, recipe, issuer)
        _write(fresh / f"{use}.pem", _pem([leaf, *chain]), public=True)
        _write(fresh / f"{use}.key", _key_pem(key))
        if use == "signing":
            password = secrets.token_urlsafe(18).encode()
            sealed = serialization.BestAvailableEncryption(password)
            p12 = pkcs12.serialize_key_and_certificates(party.name.encode(), key, leaf, chain, sealed)
            _write(fresh / "signing.p12", p12)
            _write(fresh / "p12.password", password)
    _write(fresh / "identity.json", _json(asdict(party)))
    old = target.with_name(f".{party.name}-old-{secrets.token_hex(4)}")
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    _remove(old)
    return _read_identity(target)


def _chain(folder: Path, recipe: Recipe, issuer: Authority) -> list[x509.Certificate]:
    """The CAs from the issuer up, without the root."""
    above = {spec.name: spec.issuer for spec in recipe.cas}
    chain, name = [], issuer.name
    while above.get(name):
        chain.append(_first(folder / "ca" / f"{name}.pem"))
        name = above[name]
    return chain


def _read_identity(folder: Path) -> Identity:
    record = json.loads((folder / "identity.json").read_bytes())
    tls = "tls" if (folder / "tls.pem").exists() else "signing"
    names = (f"{tls}.pem", f"{tls}.key", "signing.pem", "signing.key", "signing.p12", "p12.password")
    return Identity(*(record[key] for key in ("name", "role", "oin", "shape")), *(folder / name for name in names))


def _revoke(folder: Path, paths: Iterable[Path], now: datetime) -> None:
    """Write down what is revoked under its CA, then renew the CRLs. A certificate of an unknown CA is left out."""
    by_subject = {_first(path).subject: path for path in _authority_files(folder)}
    for path in paths:
        leaf = _first(path)
        if leaf.issuer in by_subject:
            record = by_subject[leaf.issuer].with_suffix(".revoked")
            serials = {f"{leaf.serial_number:x}": now.isoformat(), **_read_revoked(record)}
            _write(record, _json(serials))
    ends = [x509.load_pem_x509_crl(path.read_bytes()).next_update_utc for path in crls(folder) if path.exists()]
    # no CRL ends before the one that it replaces: the post office's clock may be ahead of ours
    _renew_crls(folder, now, max([CRL_LIFE, *(end - now for end in ends if end)]))


def _read_revoked(record: Path) -> dict[str, str]:
    """Serial numbers in hex, lower case, with the time of revocation."""
    return dict(json.loads(record.read_bytes())) if record.exists() else {}


def _renew_crls(folder: Path, now: datetime, lifetime: timedelta) -> None:
    for path in _authority_files(folder):
        revoked = _read_revoked(path.with_suffix(".revoked"))
        entries = [(int(serial, 16), datetime.fromisoformat(when)) for serial, when in revoked.items()]
        target = folder / "crls" / path.name
        old = _read_crl(target)  # one that revokes nothing is falsy
        number = old.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number + 1 if old is not None else 1
        start = min(now, now + lifetime) - BACKDATED
        crl = issuing.make_crl(_read_authority(path), entries, number, (start, now + lifetime))
        _write(target, crl.public_bytes(Encoding.PEM), public=True)


def _read_crl(path: Path) -> x509.CertificateRevocationList | None:
    return x509.load_pem_x509_crl(path.read_bytes()) if path.exists() else None


def _is_fresh(path: Path, now: datetime) -> bool:
    if (crl := _read_crl(path)) is None or crl.next_update_utc is None:
        return False
    return crl.last_update_utc <= now and now + CRL_RENEWED_BEFORE < crl.next_update_utc


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time works in the folder."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, octets: bytes, *, public: bool = False) -> None:
    """A file that is there whole or not at all; only the owner reads it unless it is public."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644 if public else 0o600), "wb") as file:  # noqa: PTH123
        file.write(octets)
    fresh.replace(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _key_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _pem(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def _first(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _lives(path: Path, now: datetime) -> bool:
    certificate = _first(path)
    return certificate.not_valid_before_utc <= now and now + RENEWED_BEFORE < certificate.not_valid_after_utc


def _json(record: Mapping[str, str]) -> bytes:
    return json.dumps(record, indent=2).encode() + b"\n"
