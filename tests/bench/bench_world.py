"""What the bench works with: a test PKI, signed messages, the processes under measurement, and a client.

    python tests/bench/bench_world.py gateway|office|agency SETTINGS.json

is one of those processes, started by the bench. Measures nothing itself.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from digipoort_as4 import agency, gateway, limits, local
from digipoort_as4.agency import AgencySettings
from digipoort_as4.config import KeyFiles, Settings, data_file
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.journal import Journal
from digipoort_as4.payload import BytesPayload, Document, FilePayload, Payload
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.keys import FileSigner, TlsFiles
from digipoort_as4.soap import xop
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.multipart import Written
from digipoort_as4.soap.names import WSA_ANONYMOUS
from digipoort_as4.storage.sqlite import SqliteStore
from digipoort_as4.transport.tls import client_context
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wssecurity.seal_message import Sealed, seal
from digipoort_as4.wus import koppelvlak
from digipoort_as4.wus.koppelvlak import AanleverRequest
from digipoort_as4.wus.operations import AANLEVEREN

OPERATION = AANLEVEREN.operations[0]
HUB, BUSINESS, AGENCY = "00000099000000001000", "00000099000000101000", "00000099000000012000"
SHAPES = {2048: "g1", 3072: "g4"}
"""Size of the RSA keys → shape of the PKI whose end entities have it; in both, connection and messages alike."""
BODY = 10_240
"""Octets of the signed SOAP Body: 10 kB."""


# --- parties ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """A folder with a test PKI in which hub, business and agency exist in both shapes."""

    folder: Path

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @classmethod
    def make(cls, folder: Path) -> World:
        now = datetime.now(UTC)
        test_pki.make(folder / "pki", now, ca_bits=2048)
        test_pki.issue(folder / "pki", "bakkerij-jansen-g4", BUSINESS, "g4", "business", now)
        test_pki.issue(folder / "pki", "belastingdienst-g4", AGENCY, "g4", "agency", now)
        return cls(folder)

    def identity(self, name: str, bits: int) -> test_pki.Identity:
        return test_pki.find_identity(self.pki, name if SHAPES[bits] == "g1" else f"{name}-g4")

    def signer(self, name: str, bits: int) -> FileSigner:
        one = self.identity(name, bits)
        return FileSigner.load(one.signing_cert, one.signing_key)

    def client(self, name: str, bits: int) -> ssl.SSLContext:
        one = self.identity(name, bits)
        return client_context(TlsFiles(one.tls_cert, one.tls_key), test_pki.anchors(self.pki))

    def settings(self, name: str, bits: int, folder: Path, **more: Any) -> Settings:
        one = self.identity(name, bits)
        return Settings(
            folder=folder,
            tls=KeyFiles(one.tls_cert, one.tls_key),
            signing=KeyFiles(one.signing_cert, one.signing_key),
            ca=test_pki.anchors(self.pki),
            intermediates=(test_pki.intermediates(self.pki),),
            crls=tuple(test_pki.crls(self.pki)),
            **more,
        )


# --- messages ---------------------------------------------------------------------------------------------------------

RETURN = """<?xml version="1.0" encoding="UTF-8"?>
<xbrli:xbrl xmlns:xbrli="http://www.xbrl.org/2003/instance" xmlns:iso4217="http://www.xbrl.org/2003/iso4217"
            xmlns:link="http://www.xbrl.org/2003/linkbase" xmlns:xlink="http://www.w3.org/1999/xlink"
            xmlns:vb="urn:example:voorbeeld-omzetbelasting" xml:lang="nl">
  <link:schemaRef xlink:type="simple" xlink:href="voorbeeld-omzetbelasting.xsd"/>
  <xbrli:context id="kwartaal">
    <xbrli:entity>
      <xbrli:identifier scheme="www.belastingdienst.nl/omzetbelastingnummer">001000044B37</xbrli:identifier>
    </xbrli:entity>
    <xbrli:period><xbrli:startDate>2026-07-01</xbrli:startDate><xbrli:endDate>2026-09-30</xbrli:endDate></xbrli:period>
  </xbrli:context>
  <xbrli:unit id="EUR"><xbrli:measure>iso4217:EUR</xbrli:measure></xbrli:unit>
%s</xbrli:xbrl>
"""
FACT = '  <vb:Omzet contextRef="kwartaal" unitRef="EUR" decimals="INF">{}</vb:Omzet>\n'


def vat_return(size: int, number: int) -> bytes:
    """An XBRL instance of about so many octets, like no other number's."""
    facts = max(1, (size - len(RETURN)) // len(FACT.format(10_000_000)))
    return (RETURN % "".join(FACT.format(10_000_000 + number * 1000 + fact) for fact in range(facts))).encode()


def document(part: str, name: str, payload: Payload, mime_type: str = "text/xml") -> Document:
    return Document(part, mime_type, name, payload, payload.size, b"", name)


def invoice(size: int) -> bytes:
    """The e-factuur of the samples, filled up with white space to so many octets."""
    return data_file("digipoort_as4/cli/samples/factuur.xml").read_bytes().ljust(size)


def aanlever_request(number: int, documents: Sequence[Document]) -> AanleverRequest:
    return AanleverRequest(
        kenmerk=None,
        berichtsoort="Omzetbelasting",
        aanleverkenmerk=f"bench-{number}",
        eerder_aanleverkenmerk=None,
        identiteit_belanghebbende=Identiteit("001000044B37", "BTW"),
        rol_belanghebbende="Bedrijf",
        identiteit_ontvanger=None,
        rol_ontvanger=None,
        documents=tuple(documents),
        autorisatie_adres="http://geenausp.nl",
    )


def invoice_request(number: int, documents: Sequence[Document]) -> AanleverRequest:
    """An e-factuur for the agency: the kind of message that may have bijlagen."""
    changes: dict[str, Any] = {
        "berichtsoort": "e-factuur",
        "identiteit_belanghebbende": Identiteit("90001102", "KvK"),
        "identiteit_ontvanger": Identiteit(AGENCY, "OIN"),
    }
    return replace(aanlever_request(number, documents), **changes)


def sign(signer: FileSigner, number: int, documents: Sequence[Document] = ()) -> Payload:
    """A signed aanleverRequest with six references, ready to post; by default with a Body of about BODY octets."""
    return seal_request(signer, number, documents)[0].payload


def sign_mtom(signer: FileSigner, number: int, documents: Sequence[Document]) -> Written:
    """The same as a XOP package, its large documents as parts."""
    sealed, large = seal_request(signer, number, documents)
    return xop.pack(sealed.skeleton, large, uuid.uuid4().hex)


def seal_request(
    signer: FileSigner, number: int, documents: Sequence[Document]
) -> tuple[Sealed, Mapping[str, Payload]]:
    """A signed aanleverRequest, and its large documents by placeholder."""
    if not documents:
        octets = vat_return(BODY * 3 // 4 - 600, number)
        documents = [document("inhoud", "aangifte.xbrl", BytesPayload(octets))]
    build = invoice_request if len(documents) > 1 else aanlever_request
    written = koppelvlak.write(build(number, documents), uuid.uuid4().hex)
    addressing = Addressing(
        to=f"https://localhost{AANLEVEREN.path}",
        action=OPERATION.request_action,
        message_id=f"urn:uuid:{uuid.uuid4()}",
        reply_to=WSA_ANONYMOUS,
    )
    life, now = timedelta(minutes=5), datetime.now(UTC)
    sealed = seal(written.octets, addressing, signer, Algorithms(), now, life, lambda: uuid.uuid4().hex, written.large)
    return sealed, written.large


XML_TYPE = "text/xml; charset=utf-8"


def http_request(size: int, path: str = AANLEVEREN.path, content_type: str = XML_TYPE) -> bytes:
    """The head of a POST."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
        f'SOAPAction: "{OPERATION.request_action}"\r\nContent-Length: {size}\r\n\r\n'
    ).encode()


# --- a client ---------------------------------------------------------------------------------------------------------

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Answered:
    """What came back for one message."""

    status: int
    body: bytes
    seconds: float


async def post_all(messages: Sequence[bytes], port: int, context: ssl.SSLContext, connections: int) -> list[Answered]:
    """Post messages over a few connections that stay open, each as soon as the one before it was answered."""
    waiting, answered = list(reversed(messages)), []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("localhost", port, ssl=context, limit=limits.MIB)
        while waiting:
            message = waiting.pop()
            start = time.perf_counter()
            writer.write(http_request(len(message)) + message)
            head = await reader.readuntil(b"\r\n\r\n")
            found = _LENGTH.search(head)
            body = await reader.readexactly(int(found[1]) if found else 0)
            answered.append(Answered(int(head.split(b" ", 2)[1]), body, time.perf_counter() - start))
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return answered


async def post_paced(
    messages: Sequence[bytes], port: int, context: ssl.SSLContext, every: float, until: Callable[[], bool]
) -> list[Answered]:
    """Post a message each so many seconds over connections that stay open, until told, or until all are posted."""
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    answered: list[Answered] = []

    async def one(message: bytes) -> None:
        start = time.perf_counter()
        reader, writer = idle.pop() if idle else await asyncio.open_connection("localhost", port, ssl=context)
        writer.write(http_request(len(message)) + message)
        head = await reader.readuntil(b"\r\n\r\n")
        found = _LENGTH.search(head)
        body = await reader.readexactly(int(found[1]) if found else 0)
        answered.append(Answered(int(head.split(b" ", 2)[1]), body, time.perf_counter() - start))
        idle.append((reader, writer))

    async with asyncio.TaskGroup() as group:
        for message in messages:
            if until():
                break
            group.create_task(one(message))
            await asyncio.sleep(every)
    for _, writer in idle:
        writer.close()
    return answered


async def stream(message: Payload, port: int, context: ssl.SSLContext, content_type: str = XML_TYPE) -> int:
    """Post one message that is too large for memory; the status that came back."""
    reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
    writer.write(http_request(message.size, content_type=content_type))
    for chunk in message.open():
        writer.write(chunk)
        await writer.drain()
    status = int((await reader.readuntil(b"\r\n")).split(b" ", 2)[1])
    writer.close()
    return status


# --- processes --------------------------------------------------------------------------------------------------------


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used, user and system, all its threads, also those that have ended."""
    return time.clock_gettime(~pid << 3 | 2)  # what clock_getcpuclockid(3) makes of a pid on Linux


def family(pid: int) -> list[int]:
    """A process and its children."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *(int(child) for task in tasks for child in task.read_text().split())]


def resident(pid: int, what: str) -> int:
    """Octets: VmRSS, or VmHWM for the highest since it was last reset."""
    found = re.search(rf"^{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) * limits.KIB if found else 0


@contextmanager
def running(what: str, settings: Settings, log: Path, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """One of the processes of `main`, from its first answer to its end.

    Args:
        what: gateway, office or agency.
        settings: its own.
        log: its output; beside it lie its settings.
        more: for the agency: `hub_oin`, `zet_status_url`; for others `profile` or `samples`, a file.
    """
    process = start(what, settings, log, **more)
    try:
        _await(process, settings.port, log)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def start(what: str, settings: Settings, log: Path, **more: Any) -> subprocess.Popen[bytes]:
    """Start one of the processes of `main`; arguments as for `running`."""
    given = log.with_suffix(".json")
    given.write_text(json.dumps(_plain({**_as_dict(settings), "more": more})))
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, __file__, what, str(given)]
    with log.open("wb") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "PYTHONPATH": path})


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{log.name} did not come up:\n{log.read_text()[-2000:]}") from None
            time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _as_dict(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in Settings.__slots__}


def _plain(value: Any) -> Any:
    if isinstance(value, KeyFiles):
        return {"certificate": str(value.certificate), "key": str(value.key)}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple | frozenset) else value


def _settings(given: dict[str, Any]) -> Settings:
    keys = {name: KeyFiles(Path(given[name]["certificate"]), Path(given[name]["key"])) for name in ("tls", "signing")}
    lists = {name: tuple(Path(one) for one in given[name]) for name in ("intermediates", "crls")}
    paths = {name: Path(given[name]) for name in ("folder", "ca")}
    return Settings(**keys, **lists, **paths, port=given["port"], agencies=given["agencies"])


# --- what runs in them ------------------------------------------------------------------------------------------------


async def run_gateway(settings: Settings, stop: asyncio.Event, more: dict[str, Any]) -> None:
    """The accepting side as `digipoort up` runs it, without the worker: what it accepts waits in the store."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(settings.folder / "journal.jsonl")
    store = SqliteStore.open(settings.folder, gateway.now)
    office = gateway.open_office(settings, store, journal)
    server = await gateway.listen(gateway.Gateway(office), settings, office.spool, journal)
    samplers: list[Sampler] = []
    if "samples" in more:  # begins when told to, so that it sees no warming up
        wanted = Path(more["samples"])
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: samplers.append(Sampler(wanted)))
    await stop.wait()
    for sampler in samplers:
        sampler.end()
    await server.close()
    await store.close()


async def run_office(settings: Settings, stop: asyncio.Event, more: dict[str, Any]) -> None:
    """The whole post office."""
    await local.run(settings, stop)


async def run_agency(settings: Settings, stop: asyncio.Event, more: dict[str, Any]) -> None:
    """One agency that takes deliveries and sets no status."""
    await agency.run(AgencySettings("belastingdienst", settings, more["hub_oin"], more["zet_status_url"]), stop)


async def run_sender(settings: Settings, stop: asyncio.Event, more: dict[str, Any]) -> None:
    """A business that posts large messages which lie ready in files, one after another, and ends."""
    os.nice(19)  # it would have a processor of its own; here it takes what the others leave
    context = client_context(TlsFiles(settings.tls.certificate, settings.tls.key), settings.ca)
    for file, content_type in more["files"]:
        message = FilePayload(Path(file), 0, Path(file).stat().st_size)
        if (status := await stream(message, settings.port, context, content_type)) != 200:
            raise RuntimeError(f"a large message was answered with {status}")


class Sampler:
    """Where the CPU of a process goes: its main thread's stack is looked at after every few ms of CPU.

    What other threads use (COMMIT waits for the disk in one) is a row of its own.
    """

    ROWS = (
        ("sign the receipt: RSA", "pki/keys.py:sign"),
        ("build and seal the receipt: the rest", "wssecurity/seal_message.py"),
        ("verify: RSA and the form of SignedInfo", "wssecurity/signature.py:check_value"),
        ("schema (XSD)", "wus/schema.py"),
        ("reading and writing the koppelvlak", "wus/koppelvlak.py"),
        ("journal", "digipoort_as4/journal.py"),
        ("store: statements and look-ups", "digipoort_as4/storage/"),
        ("parse and guard", "soap/xml_guard.py"),
        ("parse and guard", "soap/inhoud.py"),
        ("verify: all else", "digipoort_as4/wssecurity/"),
        ("verify: all else", "digipoort_as4/pki/"),
        ("services: the rest", "digipoort_as4/wus/"),
        ("services: the rest", "digipoort_as4/gateway.py"),
    )
    """The first row counts that some function on the stack belongs to."""
    OTHER, THREADS = "TLS, HTTP, event loop", "store: COMMIT, in its thread"
    EVERY = 0.004
    """Seconds of CPU; Linux counts no finer here."""

    def __init__(self, path: Path) -> None:
        """Begin."""
        self.path, self.spent = path, dict.fromkeys([*(name for name, _ in self.ROWS), self.OTHER, self.THREADS], 0.0)
        self.own, self.all = time.thread_time(), time.process_time()
        signal.signal(signal.SIGPROF, self.look)
        signal.setitimer(signal.ITIMER_PROF, self.EVERY, self.EVERY)

    def look(self, number: int, frame: FrameType | None) -> None:
        """Give the CPU used since the last look to what the main thread does now."""
        stack = []
        while frame is not None:
            stack.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")
            frame = frame.f_back
        row = next((name for name, part in self.ROWS if any(part in line for line in stack)), self.OTHER)
        own, everything = time.thread_time(), time.process_time()
        self.spent[row] += own - self.own
        self.spent[self.THREADS] += max(0.0, everything - self.all - (own - self.own))
        self.own, self.all = own, everything

    def end(self) -> None:
        """Write what was found."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        self.path.write_text(json.dumps(self.spent))


Run = Callable[[Settings, asyncio.Event, dict[str, Any]], Awaitable[None]]
PROCESSES: dict[str, Run] = {
    "gateway": run_gateway,
    "office": run_office,
    "agency": run_agency,
    "sender": run_sender,
}


def main(what: str, given: dict[str, Any]) -> None:
    """Run until SIGTERM, with logging as the processes of `digipoort up` have it."""
    logging.basicConfig(format="%(message)s")
    settings, more = _settings(given), given["more"]

    async def run() -> None:
        await PROCESSES[what](settings, gateway.stop_signal(), more)

    if "profile" not in more:
        asyncio.run(run())
        return
    profiler = cProfile.Profile(time.thread_time)
    profiler.runcall(asyncio.run, run())
    profiler.dump_stats(more["profile"])


if __name__ == "__main__":
    main(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()))
