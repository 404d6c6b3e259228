"""A client's standing with one post office: its keys, whom it trusts, how long it waits. Sends nothing."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

import requests

from digipoort_as4.clock import Clock
from digipoort_as4.pki.keys import FileSigner, Signer
from digipoort_as4.pki.path import Trust
from digipoort_as4.sdk import anchors
from digipoort_as4.sdk.office import CLOCK, Party, PostOffice
from digipoort_as4.wssecurity.algorithms import Algorithms

CONNECT_TIMEOUT: Final = timedelta(seconds=10)
READ_TIMEOUT: Final = timedelta(seconds=60)
"""A post office that is busy answers within seconds; real clients wait 30 s (digipoort 2.7, MSAL)."""
PATIENCE: Final = timedelta(seconds=60)
"""How long the same signed octets are tried again, at most while they are valid (decision 36)."""
LIFE: Final = timedelta(minutes=5)  # Created to Expires of a request; what WCF and others send (digipoort 2.2)
SHA256: Final = Algorithms()


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


def fresh_id() -> str:
    """A wsa:MessageID."""
    return f"urn:uuid:{uuid.uuid4()}"


@dataclass(frozen=True)
class Connection:
    """Everything a call needs; made once, used for many calls. Frozen, but not slotted: the session is made once."""

    services: Mapping[str, str]  # aanleveren and statusinformatie to URL
    ca: Path  # PEM bundle that the server's TLS certificate must lead to
    tls: tuple[Path, Path]  # Client certificate (leaf and intermediates) and key, PEM
    signer: Signer
    trust: Trust  # For the signature of answers
    hub_oin: str  # Only answers signed by this OIN are read
    algorithms: Algorithms = SHA256
    mtom: bool = False  # Aanleveren as MTOM: large documents travel as octets, a quarter smaller than base64
    patience: timedelta = PATIENCE
    clock: Callable[[], datetime] = utc_now
    new_id: Callable[[], str] = fresh_id
    sleep: Callable[[float], None] = time.sleep

    @cached_property
    def session(self) -> requests.Session:
        """One pool of mutual TLS connections; proxy variables and .netrc of the machine are not looked at."""
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.ca)
        session.cert = (str(self.tls[0]), str(self.tls[1]))
        return session


def connect(office: PostOffice, party: Party) -> Connection:
    """The standing of one identity with one post office; a ConfigError when a file of theirs cannot be read."""
    signer = FileSigner.load(party.signing_cert, party.signing_key)
    trust = anchors.trust_of((office.ca, *office.cas_between, office.hub_signing_cert), office.crl)
    tls, clock = (party.tls_cert, party.tls_key), Clock(office.folder / CLOCK).wire
    return Connection(office.services, office.ca, tls, signer, trust, office.hub_oin, clock=clock)
