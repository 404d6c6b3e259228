"""A post office in memory: real PKI, real store in a folder, real signatures; only the sockets are missing."""

from __future__ import annotations

import base64
import itertools
import json
import re
import sqlite3
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lxml import etree

from digipoort_as4.hub import verwerken
from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.decision import Committed
from digipoort_as4.hub.findings import Examined
from digipoort_as4.hub.routes import Route
from digipoort_as4.journal import Journal
from digipoort_as4.payload import BytesPayload, Document, Spool, read_all
from digipoort_as4.payload import sha256 as sha256_of
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.certificates import load_pem
from digipoort_as4.pki.keys import FileSigner
from digipoort_as4.soap import inhoud, xml_guard
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.storage.sqlite import SqliteStore
from digipoort_as4.storage.tables import load_consents, load_parties, load_routes
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.validation import bench
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wssecurity.open_message import Opened, SignaturePolicy, open_message
from digipoort_as4.wssecurity.seal_message import seal
from digipoort_as4.wus import koppelvlak, services
from digipoort_as4.wus.koppelvlak import AanleverRequest, OpvraagRequest, ZetStatusRequest
from digipoort_as4.wus.office import Office, Snapshot
from digipoort_as4.wus.operations import AANLEVEREN, OPHALEN, STATUSINFORMATIE, ZET_STATUS, Operation, Service

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
WSA = "http://www.w3.org/2005/08/addressing"
KV = "http://logius.nl/digipoort/koppelvlakservices/1.2/"
DS = "http://www.w3.org/2000/09/xmldsig#"

BELASTINGDIENST = "00000099000000012000"
JANSEN = "00000099000000101000"
AGENCIES = {f"000000990000000{number}000": "" for number in range(11, 21)}


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def move(self, by: timedelta) -> None:
        self.at += by


class InProcess:
    """The validators without processes of their own."""

    async def examine(self, aanlevering: Aanlevering, route: Route) -> Examined:
        return bench.examine(aanlevering, route)


@dataclass
class World:
    """The post office and what surrounds it."""

    folder: Path
    pki: Path
    clock: Clock
    store: SqliteStore
    office: Office
    closed: bool = False

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
            await self.store.close()

    @classmethod
    def open(cls, folder: Path, pki: Path) -> World:
        clock = Clock()
        store = SqliteStore.open(folder / "store", clock)
        identity = test_pki.find_identity(pki, "digipoort")
        snapshot = Snapshot(test_pki.trust(pki), load_routes(), load_parties(), load_consents(), AGENCIES)
        office = Office(
            store=store,
            snapshot=lambda: snapshot,
            signer=FileSigner.load(identity.signing_cert, identity.signing_key),
            oin=identity.oin,
            now=clock,
            new_id=lambda: str(uuid.uuid4()),
            spool=Spool(folder / "spool"),
            journal=Journal(folder / "journal.jsonl", now=clock),
        )
        return cls(folder, pki, clock, store, office)

    def with_snapshot(self, change: Callable[[Snapshot], Snapshot]) -> None:
        changed = change(self.office.snapshot())
        self.office = replace(self.office, snapshot=lambda: changed)

    def with_trust(self) -> None:
        """Read the PKI again, after issuing or revoking."""
        self.with_snapshot(lambda snapshot: replace(snapshot, trust=test_pki.trust(self.pki)))

    async def post(self, request: HttpRequest) -> HttpAnswer:
        return await services.answer(request, self.office)

    async def process(self) -> None:
        """What the worker does with all that was accepted, the real validators in this process."""
        ports = verwerken.Ports(
            self.store, InProcess(), self._tables, self.clock, self.office.new_id, lambda event, **fields: None
        )
        while jobs := await self.store.claim(["verwerken"], self.clock(), self.clock() + timedelta(minutes=1), 9, 9):
            for job in jobs:
                assert isinstance(await verwerken.process(job, ports), Committed)

    def _tables(self) -> verwerken.Tables:
        at = self.office.snapshot()
        return verwerken.Tables(at.routes, at.parties, at.consents, frozenset(at.agencies))

    def stored(self) -> dict[str, int]:
        """Rows per table, and files: all zero when nothing was stored."""
        with sqlite3.connect(f"file:{self.folder / 'store' / 'store.sqlite3'}?mode=ro", uri=True) as connection:
            tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            counts = {t: connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables}
        counts["payload files"] = sum(1 for p in (self.folder / "store" / "payloads").rglob("*") if p.is_file())
        counts["spool files"] = sum(1 for _ in (self.folder / "spool").iterdir())
        return {name: count for name, count in counts.items() if count}

    def journal(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.folder / "journal.jsonl").read_text().splitlines()]


@dataclass(frozen=True)
class Sender:
    """Somebody who signs and connects."""

    pki: Path
    name: str
    tls_name: str = ""
    algorithms: Algorithms = field(default_factory=Algorithms)

    @property
    def signer(self) -> FileSigner:
        identity = test_pki.find_identity(self.pki, self.name)
        return FileSigner.load(identity.signing_cert, identity.signing_key)

    @property
    def tls(self) -> bytes:
        identity = test_pki.find_identity(self.pki, self.tls_name or self.name)
        return load_pem(identity.tls_cert.read_bytes())[0].der

    def seal(
        self,
        operation: Operation,
        service: Service,
        body: koppelvlak.Written,
        *,
        at: datetime = NOW,
        life: timedelta = timedelta(minutes=5),
        **addressing: str,
    ) -> bytes:
        values = {
            "to": f"https://localhost{service.path}",
            "action": operation.request_action,
            "message_id": f"urn:uuid:{uuid.uuid4()}",
        } | addressing
        ids = (f"id{number}" for number in itertools.count())
        sealed = seal(
            body.octets, Addressing(**values), self.signer, self.algorithms, at, life, lambda: next(ids), body.large
        )
        return read_all(sealed.payload)

    def request(self, service: Service, operation: Operation, octets: bytes, **changes: object) -> HttpRequest:
        headers = {"content-type": "text/xml; charset=utf-8", "soapaction": f'"{operation.request_action}"'}
        request = HttpRequest("POST", service.path, "", headers, BytesPayload(octets), self.tls)
        return replace(request, **changes)  # type: ignore[arg-type]

    def aanleveren(self, message: AanleverRequest | bytes | None = None, **addressing: str) -> HttpRequest:
        if not isinstance(message, bytes):
            written = koppelvlak.write(message or vat_return(), "token-for-tests-")
            message = self.seal(AANLEVEREN.operations[0], AANLEVEREN, written, **addressing)
        return self.request(AANLEVEREN, AANLEVEREN.operations[0], message)

    def ask(
        self, kenmerk: str, operation: str = "getStatussenProces", at: datetime = NOW, **window: datetime
    ) -> HttpRequest:
        asked = OpvraagRequest(kenmerk, tijdstempel_vanaf=window.get("vanaf"), tijdstempel_tot=window.get("tot"))
        return self.opvragen(operation, asked, at=at)

    def opvragen(
        self, operation: str, asked: OpvraagRequest, change: Callable[[bytes], bytes] = bytes, at: datetime = NOW
    ) -> HttpRequest:
        """Any question of the status and the ophaalservice; `change` spoils its body before it is signed."""
        ((service, row),) = [(s, o) for s in (STATUSINFORMATIE, OPHALEN) for o in s.operations if o.name == operation]
        written = koppelvlak.write(asked, element=f"{operation}Request")
        written = replace(written, octets=change(written.octets))
        return self.request(service, row, self.seal(row, service, written, at=at))

    def zet_status(self, asked: ZetStatusRequest, at: datetime = NOW) -> HttpRequest:
        row = ZET_STATUS.operations[0]
        written = koppelvlak.write(asked)
        return self.request(ZET_STATUS, row, self.seal(row, ZET_STATUS, written, at=at))


def document(octets: bytes, part: str = "inhoud", name: str = "aangifte.xbrl", mime: str = "text/xml") -> Document:
    payload = BytesPayload(octets)
    return Document(part, mime, name, payload, len(octets), sha256_of(payload), str(uuid.uuid4()))


def vat_return(**changes: object) -> AanleverRequest:
    """A VAT return of Bakkerij Jansen."""
    request = AanleverRequest(
        kenmerk=None,
        berichtsoort="Omzetbelasting",
        aanleverkenmerk="Happyflow",
        eerder_aanleverkenmerk=None,
        identiteit_belanghebbende=Identiteit("001000044B37", "Fi"),
        rol_belanghebbende="Bedrijf",
        identiteit_ontvanger=None,
        rol_ontvanger=None,
        documents=(document(b"<xbrl/>"),),
        autorisatie_adres="http://geenausp.nl",
    )
    return replace(request, **changes)  # type: ignore[arg-type]


def sba(**changes: object) -> AanleverRequest:
    """A message of the Belastingdienst for Bakkerij Jansen, about its VAT return Happyflow."""
    changes = {"berichtsoort": "SBA", "eerder_aanleverkenmerk": "Happyflow", "aanleverkenmerk": "SBA-1", **changes}
    return vat_return(autorisatie_adres=None, **changes)


def resign(octets: bytes, signer: FileSigner, change: Callable[[bytes], bytes]) -> bytes:
    """Change a message that we sealed and compute its SignatureValue again over its SignedInfo, not its digests.

    SignedInfo stands there in canonical form but for its namespace, so no canonicaliser is needed.
    """
    changed = change(octets)
    info = re.search(rb"<SignedInfo>(.*</SignedInfo>)", changed, re.DOTALL)
    assert info is not None
    value = base64.b64encode(signer.sign(f'<SignedInfo xmlns="{DS}">'.encode() + info[1], "sha256"))
    return re.sub(rb"<SignatureValue>[^<]*", b"<SignatureValue>" + value, changed)


def without_reference(octets: bytes, identity: str) -> bytes:
    """SignedInfo without the Reference to one part."""
    less = re.sub(rb'<Reference URI="#%s-id\d+">.*?</Reference>' % identity.encode(), b"", octets)
    assert less != octets
    return less


def tree(answer: HttpAnswer) -> etree._Element:
    return etree.fromstring(read_all(answer.body))


def fault_of(answer: HttpAnswer) -> koppelvlak.Fault:
    message = xml_guard.parse(read_all(answer.body))
    fault = koppelvlak.read_fault(message)
    assert fault is not None
    return fault


def explained(fault: koppelvlak.Fault) -> None:
    """Every cause of a fault that may say so says where, found, expected and the way out (issue 4.8)."""
    for cause in fault.causes:
        if "journaalnummer" not in cause and cause != "Er zijn er nog meer.":
            missing = [label for label in ("Waar", "Gevonden", "Verwacht", "Oplossing") if f" {label}: " not in cause]
            assert [] == missing, cause


def plain(cause: str) -> str:
    """What a fault says, without the lines of the message it names: those have tests of their own."""
    return re.sub(r", regel \d+(?=[.:])", "", cause)


def verified(answer: HttpAnswer, world: World) -> Opened:
    """The answer as a careful client reads it."""
    assert answer.status == 200, read_all(answer.body).decode()
    skeleton, large = inhoud.extract(answer.body, "client-token")
    trust = world.office.snapshot().trust
    return open_message(
        xml_guard.parse(skeleton, large), SignaturePolicy(sha1=True, to_required=False), trust, world.clock()
    )
