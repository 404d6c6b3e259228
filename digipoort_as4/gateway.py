"""The post office as a process: the door for HTTP, its tables, and the worker beside it on the same event loop.

Reads no message itself: wus.services answers requests, wus.afleveren and hub.verwerken do the worker's jobs.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
import tomllib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from digipoort_as4 import hub, limits, worker
from digipoort_as4.config import KeyFiles, Settings
from digipoort_as4.errors import ConfigError, PeerError, StorageFailure
from digipoort_as4.hub import copies, verwerken
from digipoort_as4.hub.copies import Consents
from digipoort_as4.hub.decision import Job
from digipoort_as4.hub.mandates import Parties
from digipoort_as4.hub.routes import Routes
from digipoort_as4.journal import Journal
from digipoort_as4.payload import BytesPayload, Spool
from digipoort_as4.pki.certificates import (
    PRODUCTION_POLICIES,
    TEST_POLICIES,
    Purpose,
    load_certificate,
    load_pem,
    read_oin,
)
from digipoort_as4.pki.keys import FileSigner, TlsFiles
from digipoort_as4.pki.path import Trust, build_trust
from digipoort_as4.pki.revocation import CrlIndex, load_crls
from digipoort_as4.storage.sqlite import SqliteStore
from digipoort_as4.transport.client import client_context, server_context
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.transport.peers import Peers
from digipoort_as4.transport.server import serve
from digipoort_as4.validation.bench import Bench
from digipoort_as4.wus import afleveren, operations, services
from digipoort_as4.wus.faults import FaultTable
from digipoort_as4.wus.office import Office, Snapshot

LIVE: Final = "/livez"
"""Answers while the process can answer at all."""
READY: Final = "/readyz"
"""Answers 200 while requests can be accepted: the store holds, the tables are read."""
SHIPPED: Final = {name: Path(hub.__file__).parent / f"{name}.toml" for name in ("routes", "parties", "consents")}
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
        except ConfigError as error:
            self._journal.write("tables-refused", level=logging.ERROR, detail=str(error))
        else:
            self._journal.write("tables-read", trust=self._snapshot.trust.version)

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(_stamp(path) for path in _files(self._settings))


def _files(settings: Settings) -> tuple[Path, ...]:
    return (settings.ca, *settings.intermediates, *settings.crls, *(_table_path(settings, name) for name in SHIPPED))


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _table_path(settings: Settings, name: str) -> Path:
    own: Path | None = getattr(settings, name)
    return own or SHIPPED[name]


def read_snapshot(settings: Settings) -> Snapshot:
    """Read trust, routes, parties and consents.

    Raises:
        ConfigError: names the file and the mistakes.
    """
    try:
        routes = Routes.of(_toml(settings, "routes"))
        consents = Consents.of(_toml(settings, "consents"))
        copies.check_against(consents, routes)
        parties = Parties.of(_toml(settings, "parties"))
        return Snapshot(read_trust(settings), routes, parties, consents, frozenset(settings.agencies))
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from error


def _toml(settings: Settings, name: str) -> Mapping[str, Any]:
    path = _table_path(settings, name)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def read_trust(settings: Settings) -> Trust:
    """Anchors, intermediates and CRLs of the profile: test certificates never count in production, nor the reverse."""
    production = settings.profile == "production"
    roots = load_pem(settings.ca.read_bytes())
    between = [one for path in settings.intermediates for one in load_pem(path.read_bytes())]
    lists = [der for path in settings.crls for der in load_crls(path.read_bytes())]
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


def open_office(settings: Settings, store: SqliteStore, journal: Journal) -> Office:
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


# --- the worker's paths -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Paths:
    """The two paths of the worker over one office."""

    office: Office
    settings: Settings
    peers: Peers
    bench: Bench

    def lanes(self) -> tuple[worker.Lane, ...]:
        """For the worker's loop."""
        processing, delivering = self._processing(), self._delivering()

        async def process(job: Job) -> bool:
            await verwerken.process(job, processing)
            return True

        async def deliver(job: Job) -> bool:
            return await afleveren.deliver(job, delivering)

        return worker.lanes(process, deliver)

    def _processing(self) -> verwerken.Ports:
        office = self.office

        def tables() -> verwerken.Tables:
            at = office.snapshot()
            return verwerken.Tables(at.routes, at.parties, at.consents, at.agencies)

        def tell(event: str, **fields: str) -> object:
            return office.journal.write(event, level=logging.INFO, number="", **fields)

        return verwerken.Ports(
            store=office.store,
            validation=self.bench,
            tables=tables,
            clock=office.now,
            new_id=office.new_id,
            journal=tell,
        )

    def _delivering(self) -> afleveren.Dispatch:
        office, agencies = self.office, self.settings.agencies

        def view() -> afleveren.View:
            at = office.snapshot()
            return afleveren.View(at.trust, at.routes, at.consents, agencies)

        return afleveren.Dispatch(
            store=office.store,
            view=view,
            signer=office.signer,
            policy=office.snapshot().policy,
            post=self.peers.post,
            now=office.now,
            new_id=office.new_id,
            journal=office.journal,
        )


def judge_tls(office: Office) -> Callable[[str, bytes], None]:
    """Judges the certificate that an agency's endpoint shows: trusted, for servers, and of the OIN we want to reach."""

    def judge(oin: str, der: bytes) -> None:
        certificate = load_certificate(der)
        office.snapshot().trust.judge(certificate, office.now(), Purpose.TLS_SERVER)
        if read_oin(certificate) != oin:
            raise PeerError("oin-differs", where="TLS", found=read_oin(certificate), expected=oin)

    return judge


# --- the process ------------------------------------------------------------------------------------------------------


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Accept, process and deliver until `stop` is set or the store fails.

    Args:
        settings: of digipoort.toml.
        stop: set by a signal; then nobody new is let in and what is in work ends.

    Raises:
        ConfigError: something of the settings cannot be used.
        StorageFailure: the store broke its promise; the process must end (P5).
    """
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    journal = Journal(settings.folder / "journal.jsonl")
    store = SqliteStore.open(settings.folder, now)
    office = open_office(settings, store, journal)
    tls = TlsFiles(settings.tls.certificate, settings.tls.key, settings.tls.password)
    peers = Peers(lambda: client_context(tls, settings.ca), judge_tls(office))
    bench = Bench()
    try:
        await _run(settings, Paths(office, settings, peers, bench), store, server_context(tls, settings.ca), stop)
    finally:
        await peers.close()
        await bench.close()
        await store.close()
        journal.close()


async def _run(
    settings: Settings, paths: Paths, store: SqliteStore, context: ssl.SSLContext, stop: asyncio.Event
) -> None:
    office, gateway = paths.office, Gateway(paths.office)
    loop = worker.Worker(store, paths.lanes(), office.now, office.journal)
    store.on_commit = loop.wake

    def failed() -> None:
        gateway.ready = False
        stop.set()

    store.on_failure = failed
    server = await serve(
        gateway, context, office.spool, settings.host, settings.port, limits.WUS_BODY, journal=office.journal
    )
    office.journal.write("started", url=settings.public_url, oin=office.oin)
    working = asyncio.create_task(loop.run())
    working.add_done_callback(lambda _: stop.set())
    await stop.wait()
    await server.close(GRACE)
    loop.stop()
    await working
    office.journal.write("stopped")
    if not gateway.ready:
        raise StorageFailure("the store failed; see the journal")
