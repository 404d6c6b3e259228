"""A client's standing with one post office: its keys, whom it trusts, how long it waits. Sends nothing."""

import ssl
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter

from digipoort_as4.clock import Clock
from digipoort_as4.errors import UsageError, failure
from digipoort_as4.hub.mandates import BEDRIJVEN
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.keys import FileSigner, Signer, TlsFiles, TlsIdentity, TlsP12
from digipoort_as4.pki.path import Trust
from digipoort_as4.sdk import anchors
from digipoort_as4.sdk.office import CLOCK, FILE, PKI, Party, PostOffice, default_dir, read
from digipoort_as4.transport.tls import client_context
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wus import profiles
from digipoort_as4.wus.operations import AANLEVEREN, OPHALEN, STATUSINFORMATIE
from digipoort_as4.wus.profiles import Profile

CONNECT_TIMEOUT: Final = timedelta(seconds=10)
READ_TIMEOUT: Final = timedelta(seconds=60)
"""A post office that is busy answers within seconds; real clients wait 30 s (digipoort 2.7, MSAL)."""
PATIENCE: Final = timedelta(seconds=60)
"""How long the same signed octets are tried again, at most while they are valid (decision 36)."""
LIFE: Final = timedelta(minutes=5)  # Created to Expires of a request; what WCF and others send (digipoort 2.2)
SHA256: Final = Algorithms()
AT_ONCE: Final = 16  # TLS connections that one client keeps open


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


def fresh_id() -> str:
    """A wsa:MessageID."""
    return f"urn:uuid:{uuid.uuid4()}"


@dataclass(frozen=True)
class Connection:
    """Everything a call needs; made once, used for many calls. Frozen, but not slotted: the session is made once."""

    services: Mapping[str, str]  # aanleveren, statusinformatie and ophalen to URL
    ca: Path  # PEM bundle that the server's TLS certificate must lead to
    tls: TlsIdentity  # Client certificate (leaf and intermediates) and key
    signer: Signer
    anchors: Callable[[], Trust]  # For the signature of answers, as it is now: revocation lists are renewed
    hub_oin: str  # Only answers signed by this OIN are read
    algorithms: Algorithms = SHA256
    profile: Profile = field(default_factory=lambda: profiles.load().find(BEDRIJVEN))  # Signed ones only
    mtom: bool = False  # Aanleveren as MTOM: large documents travel as octets, a quarter smaller than base64
    patience: timedelta = PATIENCE
    timeout: timedelta = READ_TIMEOUT  # Without an octet of the answer
    clock: Callable[[], datetime] = utc_now
    new_id: Callable[[], str] = fresh_id
    sleep: Callable[[float], None] = time.sleep

    @property
    def trust(self) -> Trust:
        """Whom we trust now."""
        return self.anchors()

    @cached_property
    def session(self) -> requests.Session:
        """One pool of mutual TLS connections; proxy variables and .netrc of the machine are not looked at."""
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.ca)  # else requests adds the public roots to those of the context
        session.mount("https://", _Mutual(client_context(self.tls, self.ca)))
        return session


class _Mutual(HTTPAdapter):
    """Connections with a TLS context of ours."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_maxsize=AT_ONCE)

    def init_poolmanager(self, *sizes: Any, **more: Any) -> None:
        """As requests does it, with our context."""
        super().init_poolmanager(*sizes, ssl_context=self._context, **more)


def party_of(place: PostOffice, name: str | None) -> Party:
    """Who acts: one of post-office.json, or made since by `digipoort pki issue`; without a name the first business."""
    if name is None:
        return place.businesses()[0]
    for made in test_pki.identities(place.folder / PKI):
        if made.name == name:
            return Party(name, made.role, made.oin, made.tls_cert, made.tls_key, made.signing_cert, made.signing_key)
    return place.party(name)


def connect_local(folder: Path | None = None, identity: str | None = None) -> Connection:
    """The standing of an identity with the post office that `digipoort up` keeps in a folder; None: the usual one."""
    place = read((folder or default_dir()) / FILE)
    return connect(place, party_of(place, identity))


def connect(office: PostOffice, party: Party) -> Connection:
    """The standing of one identity with one post office; a ConfigError when a file of theirs cannot be read."""
    signer = FileSigner.load(party.signing_cert, party.signing_key)
    trust = anchors.watched((office.ca, *office.cas_between, office.hub_signing_cert), office.crl)
    tls, clock = TlsFiles(party.tls_cert, party.tls_key), Clock(office.folder / CLOCK).wire
    return Connection(office.services, office.ca, tls, signer, trust, office.hub_oin, clock=clock)


def connect_to(
    url: str | Mapping[str, str],
    *,
    hub_oin: str,
    ca: Path,
    crl: Sequence[Path] | None,
    between: Sequence[Path] = (),
    p12: Path | None = None,
    pem: tuple[Path, Path] | None = None,
    password: bytes | None = None,
    tls: TlsIdentity | None = None,
    **settings: Any,
) -> Connection:
    """The standing of a business with any post office.
    Args:
        url: https://HOST, to which the paths of the koppelvlak are added, or each service's own URL by its name.
        hub_oin: of the certificate that signs the answers.
        ca: PEM of the roots: the server's TLS certificate and the signature of answers lead to one of them.
        crl: revocation lists, read again when the files change; None does not look at revocation.
        between: PEM of the CAs below the roots that signed answers do not bring along.
        p12: signing certificate and key in one file; else `pem`, certificate and key.
        password: of the key.
        tls: another certificate for the connection; the signing certificate when not given.
        settings: further fields of Connection.
    Raises:
        ConfigError: a file cannot be read. UsageError: no key is named."""
    own: TlsIdentity
    if p12 is not None:
        signer, own = FileSigner.load_p12(p12, password), TlsP12(p12, password)
    elif pem is not None:
        signer, own = FileSigner.load(*pem, password), TlsFiles(*pem, password)
    else:
        raise failure(UsageError, "no key to sign with", expected="p12=FILE, or pem=(CERTIFICATE, KEY)")
    paths = {service.name: service.path for service in (AANLEVEREN, STATUSINFORMATIE, OPHALEN)}
    services = {name: url.rstrip("/") + path for name, path in paths.items()} if isinstance(url, str) else url
    trust = anchors.watched((ca, *between), crl)
    return Connection(services, ca, tls or own, signer, trust, hub_oin, **settings)
