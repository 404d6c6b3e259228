"""The receiving endpoint of one government body, as a process: takes deliveries, hands them over, sets statuses.

Chooses nothing about a delivery itself: wus.ontvangen answers the hub, wus.terugmelden tells it the statuses."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from digipoort_as4 import config, gateway
from digipoort_as4.clock import Clock
from digipoort_as4.config import KeyFiles
from digipoort_as4.errors import ConfigError, PeerError, StorageFailure
from digipoort_as4.hub.mandates import BEDRIJVEN
from digipoort_as4.journal import Journal
from digipoort_as4.payload import Spool
from digipoort_as4.pki.certificates import Purpose, read_oin
from digipoort_as4.pki.keys import FileSigner
from digipoort_as4.pki.path import Trust
from digipoort_as4.sdk.office import CLOCK, FILE
from digipoort_as4.sdk.office import read as read_office
from digipoort_as4.storage import tables
from digipoort_as4.storage.agency_book import AgencyBook, Dispatch, Wish
from digipoort_as4.storage.inbox import Inbox
from digipoort_as4.storage.outbox import Outbox
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.transport.peers import Peers
from digipoort_as4.wus import faults, ontvangen, profiles, wsdl
from digipoort_as4.wus.asking import judge_peer
from digipoort_as4.wus.faults import Hint
from digipoort_as4.wus.ontvangen import Desk
from digipoort_as4.wus.operations import AANLEVEREN, AFLEVEREN, ZET_STATUS
from digipoort_as4.wus.terugmelden import tell
from digipoort_as4.wus.versturen import seal, send

OWN: Final = "agency.toml"  # in an agency's folder: what it decides itself
STATUSES: Final = ("none", "500", "510")  # what an agency may be told to set
TOLD_AT_ONCE: Final = 8  # zetStatus requests under way together
PAUSE: Final = timedelta(seconds=1)  # between two looks at the statuses that are due, when nothing wakes the loop
BROKEN_PAUSE: Final = timedelta(seconds=10)  # after a bug in the telling loop
TIDY: Final = timedelta(hours=1)  # between two sweeps of answers that are kept no longer
SERVED: Final = dict.fromkeys(AFLEVEREN.paths, AFLEVEREN)


@dataclass(frozen=True, slots=True)
class AgencySettings:
    """All that is to be known to run one agency."""

    name: str
    base: config.Settings
    """Folder, keys, trust, host and port: what an agency needs as the hub does. Its tables stay unread."""
    hub_oin: str  # the post office that may deliver, and that statuses go to
    zet_status_url: str  # of the hub's ZetStatusService; empty: no status can be set
    statuses: Mapping[str, str] = field(default_factory=dict)  # berichtsoort to 500, 510 or none; `default`: all others
    profile: str = BEDRIJVEN  # rule set of the connection with the hub, both ways
    aanleveren_url: str = ""  # of the hub's AanleverService; empty: nothing is taken out of the outbox


def local_settings(folder: Path, name: str) -> AgencySettings:
    """The settings of an agency of the local post office, from post-office.json.
    What `folder/agencies/NAME/agency.toml` says under [zet_status] counts before what the routes say; its
    agency.profile is the rule set of the connection.
    Raises ConfigError: no such agency, or a mistake in its file."""
    office = read_office(folder / FILE)
    agency = next((one for one in office.agencies if one.name == name), None)
    if agency is None:
        there = ", ".join(one.name for one in office.agencies)
        raise ConfigError(f"{folder} has no agency {name!r}; there are: {there}")
    home, own = agency.inbox.parent, office.party(name)
    base = config.Settings(
        folder=home,
        tls=KeyFiles(own.tls_cert, own.tls_key),
        signing=KeyFiles(own.signing_cert, own.signing_key),
        ca=office.ca,
        intermediates=office.cas_between,
        crls=office.crl,
        port=urlsplit(agency.url).port or 0,
        public_url=agency.url.removesuffix(AFLEVEREN.path),
        clock=folder / CLOCK,
    )
    chosen, routes = read_own(home), tables.load_routes()
    # Where the routes say that the agency looks at the message after 400, it finds it good.
    mine = [row for row in routes.rows if row.agency_validates and row.owner_oin in (None, agency.oin)]
    statuses = {**{row.berichtsoort: "500" for row in mine}, **_statuses(chosen, home / OWN)}
    zet_status, aanleveren = (office.services[service.name] for service in (ZET_STATUS, AANLEVEREN))
    profile = str(chosen.get("agency", {}).get("profile", BEDRIJVEN))
    return AgencySettings(name, base, office.hub_oin, zet_status, statuses, profile, aanleveren)


def read_own(home: Path) -> dict[str, Any]:
    """What the file agency.toml in an agency's folder says; empty without one."""
    return tables.read_toml(home / OWN) if (home / OWN).exists() else {}


def _statuses(told: Mapping[str, Any], path: Path) -> Mapping[str, str]:
    statuses: Mapping[str, str] = told.get("zet_status", {})
    wrong = [name for name, code in statuses.items() if code not in STATUSES]
    if wrong:
        raise ConfigError(f"{path}: zet_status of {', '.join(wrong)}: expected one of {', '.join(STATUSES)}")
    return statuses


def read_settings(path: Path) -> AgencySettings:
    """The settings of an agency that stands by itself; ConfigError lists what is missing or wrong.
    Its [agency] has name, hub_oin, zet_status_url, aanleveren_url and settings, which names a file in the form of
    digipoort.toml, and may have profile; [zet_status] has berichtsoort = "500", "510" or "none"."""
    whole = tables.read_toml(path)
    table = whole.get("agency", {})
    missing = [key for key in ("name", "hub_oin", "settings") if not isinstance(table.get(key), str)]
    if missing:
        raise ConfigError(f"{path}: agency.{', agency.'.join(missing)}: expected a text")
    base = config.load(path.parent / table["settings"])
    zet_status, aanleveren = (str(table.get(key, "")) for key in ("zet_status_url", "aanleveren_url"))
    statuses, profile = _statuses(whole, path), str(table.get("profile", BEDRIJVEN))
    return AgencySettings(table["name"], base, table["hub_oin"], zet_status, statuses, profile, aanleveren)


class Agency:
    """One agency at work: its door, and the two loops behind it."""

    def __init__(self, settings: AgencySettings, desk: Desk, woken: asyncio.Event) -> None:
        """Of the parts that `open_agency` makes; `woken` is set when there is something to hand over or to tell."""
        self.settings, self.desk = settings, desk
        self.ready = True
        self._handing, self._telling = woken, asyncio.Event()

    async def __call__(self, request: HttpRequest) -> HttpAnswer:
        """One request."""
        health = gateway.health(request, self.ready, agency=self.settings.name)
        if told := health or wsdl.answer(request, SERVED, self.settings.base.public_url):
            return told
        if request.path not in AFLEVEREN.paths:
            refusal = PeerError("unknown-path", found=request.path[:80], expected=AFLEVEREN.path)
            rest = (faults.DEFAULT, self.desk.journal, self.desk.new_id())
            return faults.refuse(refusal, Hint(AFLEVEREN, None), *rest)
        return await ontvangen.accept(request, self.desk)

    async def start(self) -> None:
        """What a process that died left undone: hand over what was committed, throw away what was not."""
        desk = self.desk
        swept = desk.inbox.sweep(row.staged for row in desk.book.open_hand_overs())
        if swept:
            desk.journal.write("staged-swept", count=len(swept))
        await self.hand_over_all()

    async def hand_over_all(self) -> None:
        """Show the back end all that is committed; each by one rename, which may be done again after a crash.
        Raises StorageFailure: the disk does not keep its promise; the process must end."""
        desk = self.desk
        for row in desk.book.open_hand_overs():
            try:
                shown = await asyncio.to_thread(desk.inbox.hand_over, row.staged, row.folder)
            except StorageFailure as failure:
                desk.book.fail(str(failure))  # at once: until the process has ended, requests still come in
                raise
            if shown:
                await desk.book.done(row, desk.now())
                desk.journal.write("handed-over", kenmerk=row.kenmerk, berichtkenmerk=row.berichtkenmerk)
            else:
                desk.journal.write("inbox-occupied", level=logging.ERROR, folder=row.folder)
        self._telling.set()

    async def keep_handing_over(self) -> None:
        """Hand over whenever something was taken."""
        while True:
            await self._handing.wait()
            self._handing.clear()
            await self.hand_over_all()

    async def keep_telling(self) -> None:
        """Tell the hub each status when it is due."""
        while True:
            self._telling.clear()
            try:
                told = await self.tell_due()
            except StorageFailure:
                raise
            except Exception as error:
                broken = f"{type(error).__name__}: {error}"
                self.desk.journal.write("telling-broken", level=logging.ERROR, detail=broken)
                await asyncio.sleep(BROKEN_PAUSE.total_seconds())
                continue
            if not told:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._telling.wait(), PAUSE.total_seconds())

    async def tell_due(self) -> int:
        """One attempt for each status that is due; how many there were."""
        due = self.desk.book.due_wishes(self.desk.now(), TOLD_AT_ONCE)
        await asyncio.gather(*(self._tell(wish) for wish in due))
        return len(due)

    async def _tell(self, wish: Wish) -> None:
        after = await tell(wish, self.desk)
        await self.desk.book.note_attempt(after)
        event = "status-told" if after.note == "told" else "status-not-told"
        about: dict[str, Any] = {name: getattr(after, name) for name in ("berichtkenmerk", "statuscode")}
        about |= {"attempt": after.attempts, "settled": after.due is None, "detail": after.note}
        self.desk.journal.write(event, **about)

    async def keep_sending(self) -> None:
        """Send what the back end drops into the outbox."""
        while self.settings.aanleveren_url:
            await self.send_due()
            await asyncio.sleep(PAUSE.total_seconds())

    async def send_due(self) -> None:
        """Seal what is new, one attempt for each message that is due, and move what is settled.
        Each step is committed before the next: a crash at any moment repeats the same octets or the same move."""
        desk, book = self.desk, self.desk.book
        known = {one.folder for one in book.dispatches()}
        for folder in await asyncio.to_thread(desk.outbox.take):
            if folder not in known:
                await book.keep(await asyncio.to_thread(seal, folder, desk))
        due = [one for one in book.dispatches() if one.verdict or one.due <= desk.now()][:TOLD_AT_ONCE]
        await asyncio.gather(*(self._send(one) for one in due))

    async def _send(self, one: Dispatch) -> None:
        desk = self.desk
        if not one.verdict:
            one = await send(one, desk)
            await desk.book.keep(one)
            desk.journal.write("outbox", folder=one.folder, verdict=one.verdict or "later", detail=one.note)
        if one.verdict:
            mark = one.message_id.rpartition(":")[2]
            await asyncio.to_thread(desk.outbox.settle, one.folder, one.verdict, one.told, one.answer, mark)
            await desk.book.forget(one)

    async def keep_tidy(self) -> None:
        """Forget answers whose time to be kept is over."""
        while True:
            await self.desk.book.forget_replies(self.desk.now())
            await asyncio.sleep(TIDY.total_seconds())

    async def work(self) -> None:
        """All loops, until cancelled. Raises StorageFailure: the process must end (P5)."""
        kept = (self.keep_handing_over, self.keep_telling, self.keep_sending, self.keep_tidy)
        loops = [asyncio.create_task(loop()) for loop in kept]
        try:
            await asyncio.gather(*loops)
        finally:
            for loop in loops:
                loop.cancel()


async def run(settings: AgencySettings, stop: asyncio.Event) -> None:
    """Receive, hand over and tell until `stop` is set.
    Raises ConfigError: a setting cannot be used; StorageFailure: the disk broke its promise, the process must end (P5).
    """
    base, woken = settings.base, asyncio.Event()
    base.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    clock = Clock(base.clock)
    journal = Journal(base.folder / "journal.jsonl", now=clock)
    book = AgencyBook.open(base.folder, stop.set)
    trust = gateway.watch_trust(base, journal, clock)
    peers = gateway.open_peers(base, lambda oin, der: judge_peer(oin, der, trust(), clock(), Purpose.TLS_SERVER))
    try:
        agency = open_agency(settings, book, trust, peers, journal, woken, clock)
        await agency.start()
        server = await gateway.listen(agency, base, agency.desk.spool, journal)
        journal.write("started", agency=settings.name, port=server.port, oin=agency.desk.oin)
        working = asyncio.create_task(agency.work())
        working.add_done_callback(lambda _: stop.set())  # a loop that cannot go on ends all
        await stop.wait()
        agency.ready = False
        await server.close(gateway.GRACE)
        if working.done():
            working.result()  # raises what ended it
        working.cancel()
        await asyncio.wait([working])
        journal.write("stopped", agency=settings.name)
        book.check()
    finally:
        await peers.close()
        await book.close()
        journal.close()


def open_agency(
    settings: AgencySettings,
    book: AgencyBook,
    trust: Callable[[], Trust],
    peers: Peers,
    journal: Journal,
    woken: asyncio.Event,
    clock: Clock | None = None,
) -> Agency:
    """The agency of its parts."""
    base, clock = settings.base, clock or Clock(settings.base.clock)
    signer = FileSigner.load(base.signing.certificate, base.signing.key, base.signing.password)
    desk = Desk(
        oin=read_oin(signer.certificate),
        hub_oin=settings.hub_oin,
        trust=trust,
        profile=profiles.load(base.profiles).find(settings.profile, f"agency {settings.name}"),
        signer=signer,
        book=book,
        inbox=Inbox(base.folder / "inbox"),
        outbox=Outbox(base.folder / "outbox"),
        spool=Spool(base.folder / "spool"),
        wanted=lambda berichtsoort: wanted(settings, berichtsoort),
        taken=woken.set,
        url=lambda: settings.zet_status_url,
        aanleveren_url=settings.aanleveren_url,
        post=peers.post,
        now=clock,
        new_id=gateway.new_id,
        journal=journal,
    )
    return Agency(settings, desk, woken)


def wanted(settings: AgencySettings, berichtsoort: str) -> str:
    """The statuscode that follows a hand-over; empty for none."""
    code = settings.statuses.get(berichtsoort, settings.statuses.get("default", "none"))
    return "" if code == "none" else code
