"""The accepting side of the post office: its tables, the collaborators of its services, and the door for HTTP.

Reads no message itself: wus.services answers requests.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from digipoort_as4.config import KeyFiles, Settings
from digipoort_as4.errors import ConfigError, PeerError
from digipoort_as4.hub import copies
from digipoort_as4.journal import Journal
from digipoort_as4.payload import BytesPayload, Spool
from digipoort_as4.pki.certificates import (
    PRODUCTION_POLICIES,
    TEST_POLICIES,
    load_pem,
    read_oin,
)
from digipoort_as4.pki.keys import FileSigner
from digipoort_as4.pki.path import Trust, build_trust
from digipoort_as4.pki.revocation import CrlIndex, load_crls
from digipoort_as4.storage import tables
from digipoort_as4.storage.store import Store
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wus import operations, services
from digipoort_as4.wus.faults import FaultTable
from digipoort_as4.wus.office import Office, Snapshot

LIVE: Final = "/livez"
"""Answers while the process can answer at all."""
READY: Final = "/readyz"
"""Answers 200 while requests can be accepted: the store holds, the tables are read."""
TABLES: Final = ("routes", "parties", "consents")
"""Names of the operator's tables, in Settings and as files."""
SERVICES: Final = {
    service.name: service.path for service in operations.SERVICES if service.offered and service.name != "afleveren"
}
"""The hub's services and where they answer."""
AFLEVEREN: Final = operations.AFLEVEREN.path
"""Where an agency's AfleverService answers."""
LOOK_AGAIN: Final = timedelta(seconds=1)
"""At most this old is what we know of the files' times."""
GRACE: Final = timedelta(seconds=10)
"""Requests in work may take this long once the process shall stop."""


# --- tables -----------------------------------------------------------------------------------------------------------


class Tables:
    """The operator's files as frozen snapshots: read anew when one changes, swapped as a whole.

    A file that became wrong is told in the journal, and the snapshot before it stays.
    """

    def __init__(self, settings: Settings, journal: Journal) -> None:
        """Read everything once.

        Raises:
            ConfigError: a file is wrong or missing.
        """
        self._settings, self._journal = settings, journal
        self._stamps = self._look()
        self._looked = time.monotonic()
        self._snapshot = read_snapshot(settings)

    def __call__(self) -> Snapshot:
        """The snapshot of this moment."""
        if time.monotonic() - self._looked >= LOOK_AGAIN.total_seconds():
            self._looked = time.monotonic()
            if (stamps := self._look()) != self._stamps:
                self._stamps = stamps
                self._read_again()
        return self._snapshot

    def _read_again(self) -> None:
        try:
            self._snapshot = read_snapshot(self._settings)
        except (ConfigError, PeerError, ValueError) as error:  # also a file that is half written; its end is seen next
            self._journal.write("tables-refused", level=logging.ERROR, detail=str(error))
        else:
            self._journal.write("tables-read", trust=self._snapshot.trust.version)

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(_stamp(path) for path in _files(self._settings))


def _files(settings: Settings) -> tuple[Path, ...]:
    return (settings.ca, *settings.intermediates, *settings.crls, *(_table(settings, name) for name in TABLES))


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _table(settings: Settings, name: str) -> Path:
    own: Path | None = getattr(settings, name)
    return own or tables.SHIPPED / f"{name}.toml"


def read_snapshot(settings: Settings) -> Snapshot:
    """Read trust, routes, parties and consents.

    Raises:
        ConfigError: names the file and the mistakes.
    """
    routes = tables.load_routes(_table(settings, "routes"))
    parties = tables.load_parties(_table(settings, "parties"))
    consents = tables.load_consents(_table(settings, "consents"))
    copies.check_against(consents, routes)
    return Snapshot(read_trust(settings), routes, parties, consents, settings.agencies)


def read_trust(settings: Settings) -> Trust:
    """Anchors, intermediates and CRLs of the profile: test certificates never count in production, nor the reverse."""
    production = settings.profile == "production"
    try:
        roots = load_pem(settings.ca.read_bytes())
        between = [one for path in settings.intermediates for one in load_pem(path.read_bytes())]
        lists = [der for path in settings.crls for der in load_crls(path.read_bytes())]
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from error
    crls = CrlIndex.from_crls(lists, (*roots, *between))
    policies = settings.policies or (PRODUCTION_POLICIES if production else TEST_POLICIES)
    return build_trust(roots, between, crls, policies, "production" if production else "test")


# --- the door ---------------------------------------------------------------------------------------------------------


class Gateway:
    """Hands requests to the services by path, and answers for the process's health."""

    def __init__(self, office: Office) -> None:
        """Ready until told otherwise."""
        self._office = office
        self.ready = True

    async def __call__(self, request: HttpRequest) -> HttpAnswer:
        """One request."""
        if request.path in (LIVE, READY) and request.method in ("GET", "HEAD"):
            return self._health(request.path)
        return await services.answer(request, self._office)

    def _health(self, path: str) -> HttpAnswer:
        good = self.ready or path == LIVE
        text = json.dumps({"status": "ok" if good else "unavailable"}) + "\n"
        return HttpAnswer(200 if good else 503, {"content-type": "application/json"}, BytesPayload(text.encode()))


def open_office(settings: Settings, store: Store, journal: Journal) -> Office:
    """The collaborators of the services.

    Raises:
        ConfigError: keys, trust or tables cannot be used.
    """
    signer = _signer(settings.signing)
    return Office(
        store=store,
        snapshot=Tables(settings, journal),
        signer=signer,
        oin=read_oin(signer.certificate),
        now=now,
        new_id=new_id,
        spool=Spool(settings.folder / "spool"),
        journal=journal,
        foutcodes=FaultTable.of(settings.foutcodes),
    )


def now() -> datetime:
    """The clock of the process."""
    return datetime.now(UTC)


def new_id() -> str:
    """A fresh lower-case UUID."""
    return str(uuid.uuid4())


def _signer(files: KeyFiles) -> FileSigner:
    return FileSigner.load(files.certificate, files.key, files.password)
