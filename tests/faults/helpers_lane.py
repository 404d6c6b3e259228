"""One lane: a hub and one agency as real processes over one data folder, and the business and back end at its ends.

The business posts signed octets and posts the very same again; the back end collects each folder of the inbox as soon
as it sees it, so that a second hand-over would be a second folder and is never hidden by the first.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from helpers_strace import wait_until

from digipoort_as4 import limits, local
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.payload import BytesPayload, Document, read_all
from digipoort_as4.payload import sha256 as sha256_of
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.keys import FileSigner
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.storage.view import open_view
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wssecurity.seal_message import seal
from digipoort_as4.wus import koppelvlak
from digipoort_as4.wus.koppelvlak import AanleverRequest, AfleverRequest, OpvraagRequest
from digipoort_as4.wus.operations import AANLEVEREN, AFLEVEREN, OPHALEN, Operation

STARTER = Path(__file__).with_name("process_starter.py")
AGENCY = "belastingdienst"
SENDER = "bakkerij-jansen"
TAX_FLOW = ["105", "100", "110", "200", "301", "301", "405", "400", "500"]
"""Issue 3, item 7."""
TRY_AGAIN = {"321": ("110", "200"), "420": ("405", "400")}
"""Told at most once, and between these: a try that met a dead validator or agency (digipoort 3.2)."""
SIZES = {"small": 2_000, "large": 200_000, "huge": 1_500_000}
"""Octets of the document: in the row, in a file, and in a spool file that is moved."""
READY = 20
LIFE = 30
"""Seconds; a message takes well under one, and up to four when an attempt failed."""
INSTANCE = """<xbrli:xbrl xmlns:xbrli="http://www.xbrl.org/2003/instance"><xbrli:context id="c"><xbrli:entity>
<xbrli:identifier scheme="www.belastingdienst.nl/omzetbelastingnummer">001000044B37</xbrli:identifier>
</xbrli:entity></xbrli:context><!-- {filling} --></xbrli:xbrl>"""


# --- processes --------------------------------------------------------------------------------------------------------


class Starter:
    """The parent of a lane's processes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(STARTER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, log: Path, *words: str) -> int:
        return int(self._ask({"words": list(words), "log": str(log)}))

    def ended(self, pid: int) -> int | None:
        """How a process ended, -9 for SIGKILL; None while it runs."""
        answer = self._ask({"pid": pid})
        return None if answer is None else int(answer)

    def _ask(self, asked: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=10)


@dataclass
class Victim:
    """One process of a lane, started again under the same port after each end."""

    name: str
    port: int
    start: Callable[[], int]
    look: Callable[[int], int | None]
    context: ssl.SSLContext
    pid: int = 0
    code: int | None = None

    def up(self) -> None:
        """Start, and return when it answers."""
        self.pid, self.code = self.start(), None
        wait_until(self._answers, READY, f"{self.name} is not ready")

    def ended(self) -> bool:
        if self.code is None:
            self.code = self.look(self.pid)
        return self.code is not None

    def _answers(self) -> bool:
        assert not self.ended(), f"{self.name} ended with {self.code} while starting"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=5, context=self.context)
        with closing(connection):
            try:
                connection.request("GET", "/readyz", headers={"Connection": "close"})
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False


# --- messages ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """Signed octets, and what must come of them."""

    key: str
    """aanleverkenmerk of an aanleverRequest, berichtkenmerk of an afleverRequest."""
    octets: bytes
    sha256: str
    size: int


def document(size: int, filling: str) -> Document:
    octets = INSTANCE.format(filling=(filling + " ") * (size // (len(filling) + 1))).encode()
    return document_of(octets, "aangifte.xbrl")


def document_of(octets: bytes, name: str) -> Document:
    payload = BytesPayload(octets)
    return Document("inhoud", "text/xml", name, payload, len(octets), sha256_of(payload), uuid.uuid4().hex)


def sealed(signer: FileSigner, body: koppelvlak.Written, operation: Operation, to: str) -> bytes:
    addressing = Addressing(to, operation.request_action, f"urn:uuid:{uuid.uuid4()}")
    ids = iter(range(1000))
    made = seal(
        body.octets,
        addressing,
        signer,
        Algorithms(),
        datetime.now(UTC),
        limits.TIMESTAMP_LIFE,
        lambda: f"id{next(ids)}",
        body.large,
    )
    return read_all(made.payload)


def kenmerk_of(answer: bytes) -> str:
    found = re.search(rb"<kenmerk>([^<]+)</kenmerk>", answer)
    assert found, answer[:300]
    return found[1].decode()


# --- the lane ---------------------------------------------------------------------------------------------------------


@dataclass
class Lane:
    """Hub, agency, business and back end."""

    folder: Path
    pki: Path
    sets_status: bool = True
    """False: the agency sets no status, so it is tested without a hub; the test plays the hub."""
    collected: dict[str, list[Path]] = field(default_factory=dict)
    """berichtkenmerk to the folders handed over under it."""
    messages: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "pki").symlink_to(self.pki)
        identities = {one: test_pki.find_identity(self.pki, one) for one in ("digipoort", AGENCY, SENDER)}
        self.identities = identities
        places = [local.Place(identities[name], free_port()) for name in ("digipoort", AGENCY)]
        # what `up` writes, with one agency instead of ten
        local._write_config(self.folder, places)
        local._write_record(self.folder, places, {})
        home = self.folder / "agencies" / AGENCY
        home.mkdir(parents=True)
        if not self.sets_status:
            (home / "agency.toml").write_text('[zet_status]\nOmzetbelasting = "none"\n')
        self.inbox, self.data, self.home = home / "inbox", self.folder / "data", home
        (self.folder / "collected").mkdir()
        self.starter = Starter()
        plain = ssl.create_default_context(cafile=str(test_pki.anchors(self.pki)))
        words = {"hub": ("serve",), "agency": ("agency", "--name", AGENCY)}
        self.hub, self.agency = (
            Victim(role, place.port, self._start(role, *words[role]), self.starter.ended, plain)
            for role, place in zip(words, places, strict=True)
        )
        self.url = {"hub": f"https://localhost:{places[0].port}{AANLEVEREN.path}"}
        self.url["agency"] = f"https://localhost:{places[1].port}{AFLEVEREN.path}"
        names = {"hub": SENDER, "agency": "digipoort", "sending": AGENCY}
        self.contexts = {role: self._client(name) for role, name in names.items()}
        self.signers = {name: FileSigner.load(one.signing_cert, one.signing_key) for name, one in identities.items()}

    def _start(self, role: str, *words: str) -> Callable[[], int]:
        return lambda: self.starter.start(self.folder / f"{role}.log", *words, "--dir", str(self.folder))

    def _client(self, name: str) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(test_pki.anchors(self.pki)))
        made.load_cert_chain(self.identities[name].tls_cert, self.identities[name].tls_key)
        return made

    def up(self) -> None:
        self.agency.up()
        if self.sets_status:
            self.hub.up()

    def close(self) -> None:
        self.starter.close()

    # --- the business, and the test as the hub ---

    def aanlevering(self, size: str) -> Message:
        """A VAT return, signed by the business."""
        self.messages += 1
        key = f"{self.folder.name}-{self.messages}"
        one = document(SIZES[size], key)
        asked = AanleverRequest(
            kenmerk=None,
            berichtsoort="Omzetbelasting",
            aanleverkenmerk=key,
            eerder_aanleverkenmerk=None,
            identiteit_belanghebbende=Identiteit("001000044B37", "BTW"),
            rol_belanghebbende="Bedrijf",
            identiteit_ontvanger=None,
            rol_ontvanger=None,
            documents=(one,),
            autorisatie_adres="http://geenausp.nl",
        )
        body = koppelvlak.write(asked, uuid.uuid4().hex)
        octets = sealed(self.signers[SENDER], body, AANLEVEREN.operations[0], self.url["hub"])
        return Message(key, octets, one.sha256.hex(), one.size)

    def aflevering(self, size: str) -> tuple[Message, AfleverRequest]:
        """A delivery, signed by the hub's key."""
        self.messages += 1
        one = document(SIZES[size], f"{self.folder.name}-{self.messages}")
        asked = AfleverRequest(
            kenmerk=str(uuid.uuid4()),
            berichtsoort="Omzetbelasting",
            berichtkenmerk=str(uuid.uuid4()),
            aanleverkenmerk=None,
            tijdstempel_aangeleverd=datetime.now(UTC),
            identiteit_belanghebbende=Identiteit("001000044B37", "BTW"),
            rol_belanghebbende="Bedrijf",
            identiteit_aanleveraar=self.identities[SENDER].oin,
            identiteit_ontvanger=Identiteit(self.identities[AGENCY].oin, "OIN"),
            rol_ontvanger=None,
            documents=(one,),
        )
        return Message(asked.berichtkenmerk, self.seal_aflevering(asked), one.sha256.hex(), one.size), asked

    def seal_aflevering(self, asked: AfleverRequest) -> bytes:
        """Sealed afresh: another MessageID, the same berichtkenmerk."""
        body = koppelvlak.write(asked, uuid.uuid4().hex)
        return sealed(self.signers["digipoort"], body, AFLEVEREN.operations[0], self.url["agency"])

    def connection(self, role: str) -> http.client.HTTPSConnection:
        """To the hub as the business, to the agency as the hub; connects with the first request."""
        port = (self.agency if role == "agency" else self.hub).port
        return http.client.HTTPSConnection("localhost", port, timeout=LIFE, context=self.contexts[role])

    def ask(self, role: str, connection: http.client.HTTPSConnection, octets: bytes) -> tuple[int, bytes]:
        service, operation = (AANLEVEREN if role == "hub" else AFLEVEREN), None
        if b"getNieuweBerichtenKenmerkRequest" in octets:
            service, operation = OPHALEN, OPHALEN.operations[-1]
        action = f'"{(operation or service.operations[0]).request_action}"'
        connection.request(
            "POST", service.path, octets, {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": action}
        )
        answer = connection.getresponse()
        return answer.status, answer.read()

    def post(self, role: str, octets: bytes) -> tuple[int, bytes] | None:
        """Post; None when no whole answer came."""
        with closing(self.connection(role)) as connection:
            try:
                return self.ask(role, connection, octets)
            except (OSError, http.client.HTTPException):
                return None

    def receipt(self, role: str, octets: bytes) -> bytes | None:
        """The signed answer; None when none came, or a refusal."""
        answer = self.post(role, octets)
        return answer[1] if answer is not None and answer[0] == 200 else None

    # --- return traffic ---

    def sba(self, size: str) -> AanleverRequest:
        """A message of the agency for the business."""
        self.messages += 1
        key = f"{self.folder.name}-{self.messages}"
        business = Identiteit("001000044B37", "BTW")
        one = document(SIZES[size], key)
        return AanleverRequest(None, "SBA", key, None, business, "Bedrijf", None, None, (one,), None)

    def collecting(self, size: str) -> Message:
        """The business's signed question for a message that the agency put ready and nobody collected."""
        asked = self.sba(size)
        octets = sealed(
            self.signers[AGENCY], koppelvlak.write(asked, uuid.uuid4().hex), AANLEVEREN.operations[0], self.url["hub"]
        )
        with closing(self.connection("sending")) as connection:
            status, answer = self.ask("hub", connection, octets)
        assert status == 200, answer
        kenmerk = kenmerk_of(answer)
        wait_until(lambda: "405" in self.codes(kenmerk), LIFE, f"{kenmerk} is not available")
        (operation,) = [one for one in OPHALEN.operations if one.name == "getNieuweBerichtenKenmerk"]
        body = koppelvlak.write(OpvraagRequest(kenmerk), element=f"{operation.name}Request")
        question = sealed(self.signers[SENDER], body, operation, self.url["hub"].replace(AANLEVEREN.path, OPHALEN.path))
        return Message(kenmerk, question, asked.documents[0].sha256.hex(), asked.documents[0].size)

    def codes(self, kenmerk: str) -> list[str]:
        sql = "SELECT code FROM status JOIN process ON process.id = process WHERE kenmerk = ? ORDER BY seq"
        return [row[0] for row in self._query(self.data / "store.sqlite3", sql, kenmerk)]

    def check_collected(self, message: Message, answer: bytes) -> None:
        """The whole content; marked, answered, told and proved once each: all with the answer, or none."""
        content = base64.b64decode(answer.partition(b"<inhoud>")[2].partition(b"<")[0])
        assert (message.sha256, message.size) == (hashlib.sha256(content).hexdigest(), len(content))
        assert ["105", "100", "110", "301", "405", "400"] == self.codes(message.key)
        for table in ("collected", "evidence"):
            where = " AND kind = 'getNieuweBerichtenKenmerkRequest'" if table == "evidence" else ""
            sql = f"SELECT count(*) FROM {table} WHERE kenmerk = ?{where}"
            assert [(1,)] == self._query(self.data / "store.sqlite3", sql, message.key)

    def dropping(self, size: str) -> Message:
        """A message that the agency's back end is about to drop into the outbox: the folder is written, not shown."""
        asked = self.sba(size)
        (one,) = asked.documents
        place = self.home / f"{asked.aanleverkenmerk}.being-written"
        place.mkdir()
        (place / "sba.xml").write_bytes(read_all(one.payload))
        entry = {"file": "sba.xml", "mimeType": one.mime_type, "bestandsnaam": one.bestandsnaam}
        envelope = {
            "berichtsoort": "SBA",
            "aanleverkenmerk": asked.aanleverkenmerk,
            "identiteitBelanghebbende": {"nummer": "001000044B37", "type": "BTW"},
            "rolBelanghebbende": "Bedrijf",
            "documents": [entry],
        }
        (place / "envelope.json").write_text(json.dumps(envelope))
        return Message(asked.aanleverkenmerk or "", b"", one.sha256.hex(), one.size)

    def drop(self, key: str) -> bytes | None:
        """Show the folder to the agency, once; the hub's answer when it comes while the agency lives."""
        place = self.home / f"{key}.being-written"
        if place.exists():
            place.rename(self.home / "outbox" / key)
        wait_until(lambda: self.sent(key) or self.agency.ended(), LIFE, f"{key} was not sent")
        return (self.home / "sent" / key / "answer.xml").read_bytes() if self.sent(key) else None

    def sent(self, key: str) -> bool:
        return (self.home / "sent" / key).exists() and not self._query(
            self.home / "agency.sqlite", "SELECT 1 FROM dispatch WHERE folder = ?", key
        )

    def check_sent_once(self, message: Message, answer: bytes) -> None:
        """One process with these octets, one folder in sent/, nothing left in the outbox."""
        sql = "SELECT kenmerk FROM process WHERE aanleverkenmerk = ?"
        assert [(kenmerk_of(answer),)] == self._query(self.data / "store.sqlite3", sql, message.key)
        with open_view(self.data) as view:
            process = view.process(kenmerk_of(answer))
            assert process is not None
            (one,) = process.aanlevering.documents
            assert (message.sha256, message.size) == (one.sha256.hex(), one.size)
        assert [] == [path for path in (self.home / "outbox").rglob("*") if message.key in path.name]
        assert [message.key] == [path.name for path in (self.home / "sent").iterdir() if message.key in path.name]

    # --- the back end ---

    def collect(self) -> None:
        """Take away what the agency handed over."""
        if not self.inbox.exists():
            return
        for folder in self.inbox.iterdir():
            if not folder.name.startswith("."):
                found = self.collected.setdefault(folder.name, [])
                # the envelope is there from the first moment, or the hand-over was not whole
                json.loads((folder / "envelope.json").read_text())
                found.append(folder.rename(self.folder / "collected" / f"{folder.name}-{len(found)}"))

    def check_handed_over_once(self, berichtkenmerk: str, message: Message) -> None:
        """One folder, with the octets that were signed."""
        self.collect()
        (folder,) = self.collected[berichtkenmerk]
        (entry,) = json.loads((folder / "envelope.json").read_text())["documents"]
        octets = (folder / entry["file"]).read_bytes()
        assert (message.sha256, message.size) == (hashlib.sha256(octets).hexdigest(), len(octets))
        assert (message.sha256, message.size) == (entry["sha256"], entry["size"])

    # --- what hub and agency remember ---

    def settled(self, key: str) -> bool:
        """True when the message that the business gave this aanleverkenmerk is at its end everywhere."""
        self.collect()
        codes = self._query(
            self.data / "store.sqlite3",
            "SELECT code FROM status JOIN process ON process.id = status.process WHERE aanleverkenmerk = ?",
            key,
        )
        if ("500",) not in codes:
            return False
        delivered = self._query(
            self.data / "store.sqlite3",
            "SELECT berichtkenmerk FROM delivery JOIN process ON process.id = process WHERE aanleverkenmerk = ?"
            " AND NOT EXISTS (SELECT 1 FROM job WHERE subject = berichtkenmerk)",
            key,
        )
        return bool(delivered) and all(self.told(row[0]) for row in delivered)

    def told(self, berichtkenmerk: str) -> bool:
        """True when the agency has nothing left to do for this delivery."""
        rows = self._query(
            self.home / "agency.sqlite",
            "SELECT 1 FROM hand_over WHERE berichtkenmerk = ?1 AND done_at IS NOT NULL AND NOT EXISTS"
            " (SELECT 1 FROM wish WHERE wish.berichtkenmerk = ?1 AND due IS NOT NULL)",
            berichtkenmerk,
        )
        return bool(rows)

    @staticmethod
    def _query(path: Path, sql: str, *values: str) -> list[tuple[Any, ...]]:
        if not path.exists():
            return []
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
            return connection.execute(sql, values).fetchall()

    def check_life(self, message: Message, answer: bytes) -> None:
        """Nothing lost, nothing twice: one process with each status once and in order, one hand-over, no job left."""
        kenmerk = kenmerk_of(answer)
        started = self._query(
            self.data / "store.sqlite3", "SELECT kenmerk FROM process WHERE aanleverkenmerk = ?", message.key
        )
        assert [(kenmerk,)] == started
        with open_view(self.data) as view:
            statuses = view.statuses(kenmerk)
            codes = [status.code for status in statuses]
            for again, around in TRY_AGAIN.items():
                if again in codes:
                    place = codes.index(again)
                    assert around == (codes[place - 1], codes[place + 1])
                    codes.remove(again)
            assert TAX_FLOW == codes
            times = [status.at for status in statuses]
            assert sorted(set(times)) == times
            (delivery,) = view.deliveries(kenmerk)
            assert "accepted" == delivery.state
            assert [] == [*view.jobs(kenmerk), *view.jobs(delivery.berichtkenmerk)]
            kept = [one.octets for one in view.evidence(kenmerk) if one.kind == "aanleverResponse"]
            assert [answer] == kept
        self.check_handed_over_once(delivery.berichtkenmerk, message)

    def check_sound(self) -> None:
        """At the end of a lane: every hand-over was one, nothing is staged, both databases are whole."""
        self.collect()
        assert [] == [key for key, folders in self.collected.items() if len(folders) != 1]
        wait_until(lambda: not list((self.inbox / ".staging").iterdir()), 5, "something is staged and not handed over")
        for path in (self.data / "store.sqlite3", self.home / "agency.sqlite"):
            if path.exists():
                assert [("ok",)] == self._query(path, "PRAGMA integrity_check")
                assert [] == self._query(path, "PRAGMA foreign_key_check")

    def wait_settled(self, key: str) -> None:
        wait_until(lambda: self.settled(key), LIFE, f"{key} has not come to its end")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def seconds(since: float) -> str:
    return f"{time.monotonic() - since:.1f} s"
