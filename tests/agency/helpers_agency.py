"""A hub's delivering side and real agencies, joined over real sockets with mutual TLS."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from digipoort_as4 import agency, config, limits
from digipoort_as4.config import KeyFiles
from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.copies import Consents
from digipoort_as4.hub.decision import Committed, Decision, Delivery, Job, QueueJob, StartDelivery, StartProcess, Status
from digipoort_as4.journal import Journal
from digipoort_as4.payload import BytesPayload, Document, Payload, Spool
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.certificates import Purpose, load_pem
from digipoort_as4.pki.keys import FileSigner, TlsFiles
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.storage import tables
from digipoort_as4.storage.agency_book import AgencyBook
from digipoort_as4.storage.sqlite import SqliteStore
from digipoort_as4.transport.client import client_context, server_context
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.transport.peers import Peers
from digipoort_as4.transport.server import Server, serve
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wssecurity.seal_message import seal
from digipoort_as4.wus import afleveren, koppelvlak, services
from digipoort_as4.wus.asking import judge_peer
from digipoort_as4.wus.koppelvlak import AfleverRequest
from digipoort_as4.wus.office import Office, Snapshot

HUB = "00000099000000001000"
SENDER = "00000099000000101000"
AANLEVEREN = "/wus/2.0/aanleverservice/1.2"
AFLEVEREN = "/wus/2.0/afleverservice/1.2"
ZET_STATUS = "/wus/2.0/zetstatusservice/1.2"
BASE = "http://logius.nl/digipoort/wus/2.0/afleverservice/1.2/AfleverService/"
ACTION = BASE + "afleverenRequest"
HEADERS = {"content-type": "text/xml; charset=utf-8", "soapaction": f'"{ACTION}"'}

Handler = Callable[[HttpRequest], Awaitable[HttpAnswer]]


def now() -> datetime:
    return datetime.now(UTC)


def new_id() -> str:
    return str(uuid.uuid4())


def make_document(
    octets: bytes, part: str = "inhoud", name: str = "aangifte.xbrl", mime_type: str = "text/xml"
) -> Document:
    return Document(
        part, mime_type, name, BytesPayload(octets), len(octets), hashlib.sha256(octets).digest(), secrets.token_hex(16)
    )


@dataclass
class Running:
    """An agency at work in this process."""

    agency: agency.Agency
    server: Server
    oin: str
    url: str
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def inbox(self) -> Path:
        return self.agency.desk.inbox.folder

    def folders(self) -> list[str]:
        return sorted(path.name for path in self.inbox.iterdir() if not path.name.startswith("."))

    def envelope(self, name: str) -> dict[str, Any]:
        return json.loads((self.inbox / name / "envelope.json").read_text(encoding="utf-8"))

    async def stop(self) -> None:
        await self.server.close(timedelta(seconds=1))
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.agency.desk.book.close()


class World:
    """The hub's store, door and delivering side, and the agencies that were asked for."""

    def __init__(self, pki: Path, folder: Path) -> None:
        self.pki, self.folder = pki, folder
        self.trust = test_pki.trust(pki)
        self.routes, self.parties = tables.load_routes(), tables.load_parties()
        self.consents: Consents = tables.load_consents()
        self.agencies: dict[str, str] = {}
        self.agency_profiles: dict[str, str] = {}
        self.running: dict[str, Running] = {}
        self.servers: list[Server] = []
        self.journal = Journal(folder / "journal.jsonl")
        self.store = SqliteStore.open(folder / "hub", now)
        self.peers = self.new_peers("digipoort")
        self.clock: Callable[[], datetime] = now
        self.hub_url = ""

    def identity(self, name: str) -> test_pki.Identity:
        return test_pki.find_identity(self.pki, name)

    def signer(self, name: str) -> FileSigner:
        return FileSigner.load(self.identity(name).signing_cert, self.identity(name).signing_key)

    def tls(self, name: str) -> TlsFiles:
        return TlsFiles(self.identity(name).tls_cert, self.identity(name).tls_key)

    def signer_tls_der(self, name: str) -> bytes:
        """DER of somebody's TLS certificate, as the transport shows it."""
        return load_pem(self.identity(name).tls_cert.read_bytes())[0].der

    def new_peers(self, name: str) -> Peers:
        """Connections that show somebody's certificate."""
        return Peers(
            lambda: client_context(self.tls(name), test_pki.anchors(self.pki)),
            lambda oin, der: judge_peer(oin, der, self.trust, now(), Purpose.TLS_SERVER),
        )

    # --- the hub ------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        server = await self.serve("digipoort", partial(services.answer, office=self.office))
        self.hub_url = f"https://localhost:{server.port}"

    async def serve(self, name: str, handler: Handler) -> Server:
        """A door that shows somebody's TLS certificate."""
        context = server_context(self.tls(name), test_pki.anchors(self.pki))
        server = await serve(handler, context, Spool(self.folder / f"spool-{name}-{len(self.servers)}"))
        self.servers.append(server)
        return server

    @property
    def dispatch(self) -> afleveren.Dispatch:
        return afleveren.Dispatch(replace(self.office, now=lambda: self.clock()), self.peers.post)

    @property
    def office(self) -> Office:
        return Office(
            store=self.store,
            snapshot=lambda: Snapshot(
                self.trust, self.routes, self.parties, self.consents, self.agencies, self.agency_profiles
            ),
            signer=self.signer("digipoort"),
            oin=HUB,
            now=now,
            new_id=new_id,
            spool=Spool(self.folder / "spool"),
            journal=self.journal,
        )

    async def queue(
        self,
        recipient: str,
        berichtsoort: str = "Omzetbelasting",
        documents: tuple[Document, ...] | None = None,
        **changes: Any,
    ) -> Delivery:
        """A process that was accepted and processed, with one delivery waiting."""
        found = documents or (make_document(b"<aangifte/>"),)
        kept = tuple([await self.store.keep(document) for document in found])
        aanlevering = Aanlevering(
            SENDER, berichtsoort, Identiteit("001000044B37", "Fi"), "Bedrijf", kept, aanleverkenmerk="A-1"
        )
        kenmerk, at = new_id(), now()
        delivery = Delivery(new_id(), kenmerk, recipient, False, tuple(document.key for document in kept))
        delivery = replace(delivery, **changes)
        done = await self.store.commit(
            Decision(
                b"",
                (
                    StartProcess(kenmerk, aanlevering, at, (Status("105", at, "Aanleverproces gestart."),)),
                    StartDelivery(delivery),
                    QueueJob("afleveren", recipient, delivery.berichtkenmerk, at),
                ),
            )
        )
        assert done == Committed()
        return delivery

    async def claim(self, ahead: timedelta = timedelta()) -> Job:
        at = now() + ahead
        (job,) = await self.store.claim(["afleveren"], at, at + limits.CALL * 2, 1, 1)
        return job

    async def attempt(self, ahead: timedelta = timedelta()) -> bool:
        """Claim the one job that is due and make one attempt."""
        return await afleveren.deliver(await self.claim(ahead), self.dispatch)

    async def codes(self, delivery: Delivery) -> list[str]:
        return [status.code for status in await self.store.statuses(delivery.kenmerk)][1:]

    async def state(self, delivery: Delivery) -> str:
        found = await self.store.delivery(delivery.berichtkenmerk)
        return "" if found is None else found.state

    async def note(self, delivery: Delivery) -> str:
        found = await self.store.delivery(delivery.berichtkenmerk)
        return "" if found is None else found.note

    async def until_codes(self, delivery: Delivery, codes: list[str], seconds: float = 5) -> None:
        """Wait until the statuses after 105 are these."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while codes != await self.codes(delivery):
                    await asyncio.sleep(0.01)
        assert codes == await self.codes(delivery)

    async def request(self, delivery: Delivery, **changes: Any) -> AfleverRequest:
        """What the hub asks for a delivery."""
        process = await self.store.process(delivery.kenmerk)
        assert process is not None
        return replace(afleveren.build_request(process, delivery), **changes)

    async def sealed(
        self,
        delivery: Delivery,
        *,
        signer: str = "digipoort",
        message_id: str = "",
        created: datetime | None = None,
        to: str = "",
        action: str = ACTION,
        tail: bytes = b"",
        **changes: Any,
    ) -> bytes:
        """An afleverRequest as the hub would send it, but for what the arguments say."""
        written = koppelvlak.write(await self.request(delivery, **changes), secrets.token_hex(16))
        addressing = Addressing(to or f"https://localhost{AFLEVEREN}", action, message_id or f"urn:uuid:{new_id()}")
        life, at = limits.TIMESTAMP_LIFE, created or now()
        body = written.octets.replace(b"</afleverRequest>", tail + b"</afleverRequest>")
        sealed = seal(body, addressing, self.signer(signer), Algorithms(), at, life, new_id, written.large)
        return octets_of(sealed.payload)

    async def post(self, running: Running, octets: bytes, sender: str = "digipoort", **headers: str) -> HttpAnswer:
        """Post octets to an agency with somebody's TLS certificate."""
        peers = self.peers if sender == "digipoort" else self.new_peers(sender)
        try:
            return await peers.post(running.oin, running.url, BytesPayload(octets), {**HEADERS, **headers})
        finally:
            if peers is not self.peers:
                await peers.close()

    # --- agencies -----------------------------------------------------------------------------------------------------

    def settings(self, name: str, statuses: Mapping[str, str]) -> agency.AgencySettings:
        identity = self.identity(name)
        base = config.Settings(
            folder=self.folder / "agencies" / name,
            tls=KeyFiles(identity.tls_cert, identity.tls_key),
            signing=KeyFiles(identity.signing_cert, identity.signing_key),
            ca=test_pki.anchors(self.pki),
            intermediates=(test_pki.intermediates(self.pki),),
            crls=tuple(test_pki.crls(self.pki)),
        )
        aanleveren = self.hub_url + AANLEVEREN
        return agency.AgencySettings(
            name, base, HUB, self.hub_url + ZET_STATUS, dict(statuses), aanleveren_url=aanleveren
        )

    async def start_agency(
        self, name: str, statuses: Mapping[str, str] | None = None, profile: str = "bedrijven"
    ) -> Running:
        """A real agency: its own folder, book, door and loops; both ends know the profile of the connection."""
        settings, woken = replace(self.settings(name, statuses or {}), profile=profile), asyncio.Event()
        self.agency_profiles[self.identity(name).oin] = profile
        book = AgencyBook.open(settings.base.folder)
        one = agency.open_agency(settings, book, lambda: self.trust, self.new_peers(name), self.journal, woken)
        await one.start()
        server = await self.serve(name, one)
        oin = self.identity(name).oin
        running = Running(one, server, oin, f"https://localhost:{server.port}{AFLEVEREN}")
        running.tasks.append(asyncio.create_task(one.work()))
        self.agencies[oin] = running.url
        self.running[name] = running
        return running

    async def start_script(self, name: str, handler: Handler) -> str:
        """A door of an agency with a script behind it instead of our code; its OIN."""
        server = await self.serve(name, handler)
        oin = self.identity(name).oin
        self.agencies[oin] = f"https://localhost:{server.port}{AFLEVEREN}"
        return oin

    async def close(self) -> None:
        for running in self.running.values():
            await running.stop()
        for server in self.servers:
            await server.close(timedelta(seconds=1))
        await self.peers.close()
        await self.store.close()


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Wait for something that another task does."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def answer_of(octets: bytes, status: int = 200) -> HttpAnswer:
    return HttpAnswer(status, {"content-type": "text/xml; charset=utf-8"}, BytesPayload(octets))


def text_of(answer: HttpAnswer) -> str:
    return octets_of(answer.body).decode()


def octets_of(payload: Payload) -> bytes:
    return b"".join(payload.open())
