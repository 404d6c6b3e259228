"""The accepting side of the post office: its tables, the collaborators of its services, and the door for HTTP.

Reads no message itself: wus.services answers requests."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final, Generic, TypeVar

from digipoort_as4 import limits
from digipoort_as4.clock import Clock
from digipoort_as4.config import Settings
from digipoort_as4.errors import ConfigError, DigipoortError, PeerError
from digipoort_as4.hub.registers import Tables
from digipoort_as4.journal import Journal
from digipoort_as4.payload import BytesPayload, Spool
from digipoort_as4.pki.certificates import PRODUCTION_POLICIES, TEST_POLICIES, load_pem, read_oin
from digipoort_as4.pki.keys import FileSigner, TlsFiles
from digipoort_as4.pki.path import Trust, build_trust
from digipoort_as4.pki.revocation import CrlIndex, load_crls
from digipoort_as4.storage import tables
from digipoort_as4.storage.store import Store
from digipoort_as4.storage.view import registered
from digipoort_as4.transport.client import client_context, server_context
from digipoort_as4.transport.guard import Guard
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.transport.peers import Judge, Peers
from digipoort_as4.transport.server import Handler, Server, serve
from digipoort_as4.wus import operations, profiles, services, wsdl
from digipoort_as4.wus.faults import FaultTable
from digipoort_as4.wus.office import Office, Snapshot
from digipoort_as4.wus.scenarios import Scenarios

LIVE: Final = "/livez"  # answers while the process can answer at all
READY: Final = "/readyz"  # answers 200 while requests can be accepted: the store holds, the tables are read
TABLES: Final = ("routes", "parties", "consents")  # names of the operator's tables, in Settings and as files
SERVICES: Final = {service.name: service.path for service in operations.SERVICES if service != operations.AFLEVEREN}
"""The hub's services and where they answer."""
AFLEVEREN: Final = operations.AFLEVEREN.path  # where an agency's AfleverService answers
LOOK_AGAIN: Final = timedelta(seconds=1)  # at most this old is what we know of the files' times
GRACE: Final = timedelta(seconds=10)  # requests in work may take this long once the process shall stop

T = TypeVar("T")
Files = tuple[bytes, ...]  # the octets of each


class Watched(Generic[T]):
    """What some files say, as one frozen value: read anew when a file changes, swapped as a whole.
    A file that became wrong is told in the journal, and the value before it stays."""

    def __init__(
        self,
        name: str,
        files: Iterable[Path],
        read: Callable[[], T],
        version: Callable[[T], str],
        journal: Journal,
        clock: Clock | None,
    ) -> None:
        """Read everything once, or raise what `read` does; the journal hears of NAME-read and NAME-refused."""
        self._name, self._files, self._read, self._version, self._journal = name, tuple(files), read, version, journal
        self.look_again = LOOK_AGAIN
        self._looked, self._stamps, self._refusal = time.monotonic(), self._look(), ""
        self._clock = clock or Clock()
        self._moved = self._clock.moved()
        self._value = read()

    def refresh(self) -> str:
        """Read anew at once, because something beside the files changed; why that is refused, or empty."""
        self._read_again(self._look())
        return self._refusal

    def __call__(self) -> T:
        """The value of this moment."""
        moved = self._clock.moved()  # with a clock that was moved come CRLs that were renewed
        if moved != self._moved or time.monotonic() - self._looked >= self.look_again.total_seconds():
            self._looked, self._moved = time.monotonic(), moved
            if (stamps := self._look()) != self._stamps:
                self._read_again(stamps)
        return self._value

    def _read_again(self, stamps: list[object]) -> None:
        try:
            self._value = self._read()
        except (ConfigError, PeerError, OSError, ValueError) as error:  # half written, perhaps: look again
            if str(error) != self._refusal:
                self._journal.write(f"{self._name}-refused", level=logging.ERROR, detail=str(error))
            self._refusal = str(error)
        else:
            self._stamps, self._refusal = stamps, ""
            self._journal.write(f"{self._name}-read", trust=self._version(self._value))

    def _look(self) -> list[object]:
        return [_stamp(path) for path in self._files]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def watch_tables(settings: Settings, journal: Journal, clock: Clock | None = None) -> Watched[Snapshot]:
    """Trust and the operator's tables."""
    own = settings.profiles or profiles.FILE
    files = (*_trust_files(settings), *(_table(settings, name) for name in TABLES), own)
    return Watched("tables", files, lambda: read_snapshot(settings), lambda one: one.trust.version, journal, clock)


def watch_trust(settings: Settings, journal: Journal, clock: Clock | None = None) -> Watched[Trust]:
    """Anchors and CRLs alone, which is all that an agency needs: CRLs are renewed every few hours."""
    files = _trust_files(settings)
    return Watched("trust", files, lambda: read_trust(settings), lambda one: one.version, journal, clock)


def _trust_files(settings: Settings) -> tuple[Path, ...]:
    return (settings.ca, *settings.intermediates, *settings.crls)


def _table(settings: Settings, name: str) -> Path:
    own: Path | None = getattr(settings, name)
    return own or tables.SHIPPED / f"{name}.toml"


def read_snapshot(settings: Settings) -> Snapshot:
    """Read trust, routes, parties and consents, and the registers of the store; ConfigError names the mistakes."""
    routes = tables.load_routes(_table(settings, "routes"))
    parties = tables.load_parties(_table(settings, "parties"))
    consents = tables.load_consents(_table(settings, "consents"))
    now = Tables(routes, parties, consents).with_register(registered(settings.folder))
    known = profiles.load(settings.profiles)
    known.check(parties.by_oin.values(), settings.agency_profiles)
    rest = (settings.agencies, settings.agency_profiles, known, settings.ausp)
    return Snapshot(read_trust(settings), now.routes, now.parties, now.consents, *rest)


def read_trust(settings: Settings) -> Trust:
    """Anchors, intermediates and CRLs of the profile: test certificates never count in production, nor the reverse."""
    files = ((settings.ca,), settings.intermediates, settings.crls)
    try:
        roots, between, lists = (tuple(path.read_bytes() for path in paths) for paths in files)
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from error
    return _trust_of(roots, between, lists, settings.policies, settings.profile)


@lru_cache(maxsize=2)
def _trust_of(roots: Files, between: Files, lists: Files, policies: frozenset[str], profile: str) -> Trust:
    """The same files are the same trust, with the verdicts on certificates that it has found: agencies share it."""
    anchors, cas = ([one for octets in pems for one in load_pem(octets)] for pems in (roots, between))
    crls = CrlIndex.from_crls([der for octets in lists for der in load_crls(octets)], (*anchors, *cas))
    if profile == "production":
        return build_trust(anchors, cas, crls, policies or PRODUCTION_POLICIES, "production")
    return build_trust(anchors, cas, crls, policies or TEST_POLICIES, "test")


class Gateway:
    """Hands requests to the services by path, shows their descriptions, and answers for the process's health."""

    def __init__(self, office: Office, public_url: str = "") -> None:
        self._office, self._public_url = office, public_url
        self.ready = True  # until told otherwise

    async def __call__(self, request: HttpRequest) -> HttpAnswer:
        """One request."""
        told = health(request, self.ready) or wsdl.answer(request, services.SERVED, self._public_url)
        return told or await services.answer(request, self._office)


def health(request: HttpRequest, ready: bool, **facts: str) -> HttpAnswer | None:
    """200 or 503, and why in JSON; None when nobody asks for the health of the process."""
    if request.path not in (LIVE, READY) or request.method not in ("GET", "HEAD"):
        return None
    good = ready or request.path == LIVE
    text = json.dumps({"status": "ok" if good else "unavailable", **facts}) + "\n"
    return HttpAnswer(200 if good else 503, {"content-type": "application/json"}, BytesPayload(text.encode()))


def open_office(
    settings: Settings, store: Store, journal: Journal, clock: Clock | None = None, scenarios: Scenarios | None = None
) -> Office:
    """The collaborators of the services; ConfigError when keys, trust or tables cannot be used."""
    clock, files = clock or Clock(settings.clock), settings.signing
    signer = FileSigner.load(files.certificate, files.key, files.password)
    snapshot = watch_tables(settings, journal, clock)
    return Office(
        store=store,
        snapshot=snapshot,
        refresh=snapshot.refresh,
        signer=signer,
        oin=read_oin(signer.certificate),
        now=clock,
        scenarios=scenarios or scenarios_of(settings.profile),
        new_id=new_id,
        spool=Spool(settings.folder / "spool"),
        journal=journal,
        foutcodes=FaultTable.of(settings.foutcodes),
    )


def open_peers(settings: Settings, judge: Judge) -> Peers:
    """Calls to others with our certificate."""
    return Peers(lambda: client_context(_tls(settings), settings.ca), judge)


def _tls(settings: Settings) -> TlsFiles:
    return TlsFiles(settings.tls.certificate, settings.tls.key, settings.tls.password)


async def listen(door: Handler, settings: Settings, spool: Spool, journal: Journal) -> Server:
    """Open the door of this process."""
    sys.setswitchinterval(limits.SWITCH.total_seconds())
    context = server_context(_tls(settings), settings.ca, settings.intermediates)
    guard = Guard(session=timedelta(seconds=settings.tls_session), proxies=settings.trusted_proxies)
    return await serve(door, context, spool, settings.host, settings.port, journal=journal, guard=guard)


def stop_signal() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def run_until_told(work: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run in the foreground until SIGTERM or SIGINT; returns the exit code, that of the error's class."""

    async def run() -> None:
        await work(stop_signal())

    logging.basicConfig(format="%(message)s")  # what is no warning has its line in the journal's file
    try:
        asyncio.run(run())
    except DigipoortError as error:
        logging.getLogger("digipoort").error("%s: %s", type(error).__name__, error)
        return error.exit_code
    return 0


def scenarios_of(profile: str) -> Scenarios:
    """What may be played: nothing in production."""
    return Scenarios(enabled=profile != "production")


def now() -> datetime:
    """The clock of the process."""
    return datetime.now(UTC)


def new_id() -> str:
    """A fresh lower-case UUID."""
    return str(uuid.uuid4())
