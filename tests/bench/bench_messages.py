"""What a message costs: CPU of accepting it, CPU of its whole life, beside the bare cryptography, as ratios.

    python tests/bench/bench_messages.py [--messages N] [--rounds N] [--bits 2048 3072] [--out FILE] [--profile DIR]

Accepting: the gateway in a process of its own over a real store, mutual TLS kept alive, every receipt durable; the
client is this process. Whole life: post office and one agency as processes, up to the agency's answer (status 400).
CPU is user and system time of the processes, all threads, divided by messages; each round has its floor beside it, and
the medians over the rounds count, so that other work on the machine disturbs little. Linux only. Asserts nothing but
that every message was accepted and delivered.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import os
import platform
import shutil
import signal
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import bench_world as world
from bench_world import Answered, World
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from digipoort_as4 import limits
from digipoort_as4.payload import FilePayload
from digipoort_as4.pki.keys import FileSigner
from digipoort_as4.storage.view import DATABASE
from digipoort_as4.wus.operations import AFLEVEREN, ZET_STATUS

OUT = Path(__file__).parents[2] / "build" / "results" / "bench.json"
CONCURRENT = (1, 8)
FLOOR_TURNS = 60
"""Turns of sign and verify in one measurement of the floor: 0.02 to 0.2 s."""
WARM_UP = 40
"""Messages before the first round: connections, caches of certificates and schema, SQLite's pages."""
LIFE_FLOOR = 3
"""Signed and verified messages in a whole life: aanlever receipt, afleverRequest, afleverResponse sign; the agency
verifies one of them, the hub the sender's and the agency's."""
LIFE_HASHED = 2
"""Times that the document's octets must be hashed: accepting and at the agency."""
SAMPLED_ROUNDS = 5
PATIENCE = 60.0
"""Seconds for a round of messages to be delivered."""


# --- the floor --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Floor:
    """Bare cryptography, CPU seconds."""

    sign: float
    verify: float
    sha256: float
    """Of a Body."""

    @property
    def accept(self) -> float:
        """Verify a request and sign its receipt."""
        return self.sign + self.verify + self.sha256

    @property
    def life(self) -> float:
        """See LIFE_FLOOR."""
        return LIFE_FLOOR * (self.sign + self.verify) + LIFE_HASHED * self.sha256


def measure_floor(signer: FileSigner) -> Floor:
    """RSA of the messages' key size, PKCS#1 v1.5 with SHA-256, and one Body hashed."""
    key, octets, body = signer.certificate.public_key, b"x" * 1500, b"x" * world.BODY
    assert isinstance(key, rsa.RSAPublicKey)
    signature = signer.sign(octets, "sha256")
    return Floor(
        per_turn(lambda: signer.sign(octets, "sha256")),
        per_turn(lambda: key.verify(signature, octets, padding.PKCS1v15(), hashes.SHA256())),
        per_turn(lambda: hashlib.sha256(body).digest()),
    )


def per_turn(work: Callable[[], object]) -> float:
    start = time.process_time()
    for _ in range(FLOOR_TURNS):
        work()
    return (time.process_time() - start) / FLOOR_TURNS


# --- accepting --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Round:
    """One round: CPU seconds per message, its floor, how long each message waited for its answer."""

    cpu: float
    floor: float
    waits: tuple[float, ...]


def accepting(place: World, bits: int, count: int, rounds: int, profile: Path | None) -> dict[str, Any]:
    """Rounds at each number of connections, against one gateway process."""
    folder, (port,) = place.folder / f"gateway-{bits}", world.free_ports(1)
    settings = place.settings("digipoort", bits, folder, port=port, agencies={world.AGENCY: "https://localhost:1/"})
    signer, tls = place.signer("bakkerij-jansen", bits), place.client("bakkerij-jansen", bits)
    more = {} if profile is None else {"profile": str(profile / f"accept-{bits}.pstats")}
    found: dict[int, list[Round]] = {connections: [] for connections in CONCURRENT}
    with world.running("gateway", settings, place.folder / f"gateway-{bits}.log", **more) as process:
        post(sign_many(signer, WARM_UP), port, tls, max(CONCURRENT))
        for _ in range(rounds):
            for connections in CONCURRENT:
                messages = sign_many(signer, count)
                before = measure_floor(signer).accept
                start = world.cpu(process.pid)
                got = post(messages, port, tls, connections)
                spent = (world.cpu(process.pid) - start) / count
                floor = (before + measure_floor(signer).accept) / 2
                found[connections].append(Round(spent, floor, tuple(one.seconds for one in got)))
    return {str(connections): summary(found[connections]) for connections in CONCURRENT}


def sign_many(signer: FileSigner, count: int) -> list[bytes]:
    return [b"".join(world.sign(signer, number).open()) for number in range(count)]


def post(messages: Sequence[bytes], port: int, tls: Any, connections: int) -> list[Answered]:
    got = asyncio.run(world.post_all(messages, port, tls, connections))
    refused = [one for one in got if one.status != 200 or b"<aanleverResponse" not in one.body]
    if refused or len(got) != len(messages):
        raise RuntimeError(f"{len(refused)} of {len(messages)} refused: {refused[:1]}")
    return got


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """Medians over the rounds; the ratio is the median of the rounds' own ratios."""
    waits = sorted(wait for one in rounds for wait in one.waits)
    return {
        "cpu_ms": ms(statistics.median(one.cpu for one in rounds)),
        "floor_ms": ms(statistics.median(one.floor for one in rounds)),
        "ratio": round(statistics.median(one.cpu / one.floor for one in rounds), 2),
        "ratios": [round(one.cpu / one.floor, 2) for one in rounds],
        "p50_ms": ms(waits[len(waits) // 2]) if waits else None,
        "p99_ms": ms(waits[int(len(waits) * 0.99)]) if waits else None,
        "messages": len(waits),
    }


def ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)


# --- the whole life ---------------------------------------------------------------------------------------------------


def living(place: World, bits: int, count: int, rounds: int, profile: Path | None) -> dict[str, Any]:
    """Accepted, validated, delivered and answered: CPU of post office, its validators and the agency."""
    folder, (port, other) = place.folder / f"office-{bits}", world.free_ports(2)
    agencies = {world.AGENCY: f"https://localhost:{other}{AFLEVEREN.path}"}
    office = place.settings("digipoort", bits, folder, port=port, agencies=agencies)
    agency = place.settings("belastingdienst", bits, place.folder / f"agency-{bits}", port=other)
    told = {"hub_oin": world.HUB, "zet_status_url": f"https://localhost:{port}{ZET_STATUS.path}"}
    more = {} if profile is None else {"profile": str(profile / f"life-{bits}.pstats")}
    signer, tls = place.signer("bakkerij-jansen", bits), place.client("bakkerij-jansen", bits)
    found: list[tuple[float, float, float]] = []
    logs = place.folder / f"office-{bits}.log", place.folder / f"agency-{bits}.log"
    with (
        world.running("office", office, logs[0], **more) as hub,
        world.running("agency", agency, logs[1], **told) as body,
    ):
        parts = (world.family(hub.pid), [body.pid])
        done = WARM_UP
        live(sign_many(signer, WARM_UP), port, tls, folder, done)
        for _ in range(rounds):
            messages, done = sign_many(signer, count), done + count
            before, start = measure_floor(signer).life, [sum(map(world.cpu, part)) for part in parts]
            live(messages, port, tls, folder, done)
            spent = [(sum(map(world.cpu, part)) - was) / count for part, was in zip(parts, start, strict=True)]
            found.append((spent[0], spent[1], (before + measure_floor(signer).life) / 2))
    whole = summary([Round(hub_cpu + agency_cpu, floor, ()) for hub_cpu, agency_cpu, floor in found])
    whole["messages"] = count * rounds
    whole["hub_ms"] = ms(statistics.median(hub_cpu for hub_cpu, _, _ in found))
    whole["agency_ms"] = ms(statistics.median(agency_cpu for _, agency_cpu, _ in found))
    return whole


def live(messages: Sequence[bytes], port: int, tls: Any, folder: Path, until: int) -> None:
    """Post, and wait until so many messages in all have been delivered."""
    post(messages, port, tls, max(CONCURRENT))
    await_delivered(folder, until)


def await_delivered(folder: Path, until: int) -> None:
    """Wait until so many messages in all have been delivered."""
    patience = time.monotonic() + PATIENCE
    looking = sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True)
    try:
        while (there := delivered(looking)) < until:
            if time.monotonic() > patience:
                raise RuntimeError(f"{there} of {until} messages were delivered")
            time.sleep(0.05)
    finally:
        looking.close()


def delivered(store: sqlite3.Connection) -> int:
    return int(store.execute("SELECT count(*) FROM status WHERE code = '400'").fetchone()[0])


# --- where it goes ----------------------------------------------------------------------------------------------------


def where(place: World, bits: int, count: int) -> dict[str, float]:
    """CPU of accepting by part of the house, ms per message, sampled in a gateway under load; transport also alone."""
    folder, (port,) = place.folder / f"sampled-{bits}", world.free_ports(1)
    settings = place.settings("digipoort", bits, folder, port=port, agencies={world.AGENCY: "https://localhost:1/"})
    signer, tls = place.signer("bakkerij-jansen", bits), place.client("bakkerij-jansen", bits)
    samples = place.folder / f"samples-{bits}.json"
    with world.running("gateway", settings, place.folder / f"sampled-{bits}.log", samples=str(samples)) as process:
        post(sign_many(signer, WARM_UP), port, tls, max(CONCURRENT))
        process.send_signal(signal.SIGUSR1)
        for _ in range(SAMPLED_ROUNDS):
            post(sign_many(signer, count), port, tls, max(CONCURRENT))
    spent: dict[str, float] = json.loads(samples.read_text())
    return {name: ms(seconds / (count * SAMPLED_ROUNDS)) for name, seconds in spent.items()}


# --- large messages ---------------------------------------------------------------------------------------------------

FORMS = ("inline", "mtom")
PACE = 0.04
"""Seconds between small messages while large ones are sent: 25 a second, which leaves an idle hub nine tenths idle."""
AT_MOST = 1_000
"""Small messages that are signed beforehand, for a hub that needs long for the large ones."""


def large(place: World, size: int) -> dict[str, Any]:
    """What one large message costs the gateway, and what small ones wait meanwhile: inhoud and three bijlagen."""
    folder, (port,) = place.folder / "gateway-large", world.free_ports(1)
    settings = place.settings("digipoort", 2048, folder, port=port, agencies={world.AGENCY: "https://localhost:1/"})
    signer, tls = place.signer("bakkerij-jansen", 2048), place.client("bakkerij-jansen", 2048)
    with world.running("gateway", settings, place.folder / "gateway-large.log") as process:
        post(sign_many(signer, WARM_UP), port, tls, 1)
        found: dict[str, Any] = {"document_mib": round(size / limits.MIB, 1)}
        for form in FORMS:
            found[form] = one_large(large_file(place, size, form), process.pid, port, tls)
        found["floor_ms_per_mib"] = ms(large_floor(place, size))
        usual = waits_of(sign_many(signer, 250), port, tls, lambda: False)
        small = sign_many(signer, AT_MOST)
        files = [large_file(place, size, form) for form in FORMS * 3]
        given = [[str(file), content_type] for file, content_type in files]
        business = place.settings("bakkerij-jansen", 2048, place.folder, port=port, agencies={})
        sender = world.start("sender", business, place.folder / "sender.log", files=given)
        meanwhile = waits_of(small, port, tls, lambda: sender.poll() is not None)
        if sender.wait(60):
            raise RuntimeError((place.folder / "sender.log").read_text())
        found["small"] = {"usual": quantiles(usual), "meanwhile": quantiles(meanwhile)}
    return found


def one_large(message: tuple[Path, str], pid: int, port: int, tls: Any) -> dict[str, Any]:
    """Growth and CPU of the process for one message that lies in a file."""
    file, content_type = message
    whole = FilePayload(file, 0, file.stat().st_size)
    idle = world.resident(pid, "VmRSS")
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # VmHWM starts anew
    start, wall = world.cpu(pid), time.perf_counter()
    status = asyncio.run(world.stream(whole, port, tls, content_type))
    spent, wall = world.cpu(pid) - start, time.perf_counter() - wall
    if status != 200:
        raise RuntimeError(f"the large message was answered with {status}")
    file.unlink()
    return {
        "request_mib": round(whole.size / limits.MIB, 1),
        "idle_mib": round(idle / limits.MIB, 1),
        "growth_mib": round((world.resident(pid, "VmHWM") - idle) / limits.MIB, 1),
        "cpu_s": round(spent, 2),
        "wall_s": round(wall, 2),
    }


def large_file(place: World, size: int, form: str) -> tuple[Path, str]:
    """A signed message of four documents of so many octets in a file, and its Content-Type; each call another one."""
    path = place.folder / "large-document"
    if not path.exists():
        path.write_bytes(world.invoice(size))
    payload, signer = FilePayload(path, 0, size), place.signer("bakkerij-jansen", 2048)
    documents = [world.document("inhoud", "factuur.xml", payload)]
    documents += [world.document("bijlage", f"{n}.pdf", payload, "application/pdf") for n in range(3)]
    content_type, body = world.XML_TYPE, world.sign(signer, 1_000_000, documents)
    if form == "mtom":
        written = world.sign_mtom(signer, 1_000_000, documents)
        content_type, body = written.content_type, written.body
    file = place.folder / f"large-{uuid.uuid4()}"
    with file.open("wb") as out:
        out.writelines(body.open())
    return file, content_type


def large_floor(place: World, size: int) -> float:
    """CPU seconds per MiB of document for nothing but its base64 and the SHA-256 of that."""
    octets = (place.folder / "large-document").read_bytes()[:size]
    start, digest = time.process_time(), hashlib.sha256()
    for at in range(0, size, limits.CHUNK):
        digest.update(base64.b64encode(octets[at : at + limits.CHUNK]))
    return (time.process_time() - start) / (size / limits.MIB)


def waits_of(messages: Sequence[bytes], port: int, tls: Any, until: Callable[[], bool]) -> list[float]:
    """How long each small message waited for its answer, one sent every PACE seconds."""
    got = asyncio.run(world.post_paced(messages, port, tls, PACE, until))
    if any(one.status != 200 for one in got):
        raise RuntimeError("a small message was refused")
    return sorted(one.seconds for one in got)


def quantiles(waits: Sequence[float]) -> dict[str, Any]:
    at = [waits[int(len(waits) * part)] for part in (0.5, 0.99)]
    return {"p50_ms": ms(at[0]), "p99_ms": ms(at[1]), "messages": len(waits)}


# --- what is told -----------------------------------------------------------------------------------------------------


def run(given: argparse.Namespace) -> dict[str, Any]:
    place = World.make(Path(given.folder))
    results: dict[str, Any] = {"machine": machine(), "floor": {}, "accept": {}, "life": {}, "where": {}}
    for bits in given.bits:
        floor = measure_floor(place.signer("digipoort", bits))
        results["floor"][str(bits)] = {name: ms(value) for name, value in asdict(floor).items()}
        results["accept"][str(bits)] = accepting(place, bits, given.messages, given.rounds, given.profile)
        results["life"][str(bits)] = living(place, bits, given.messages, given.rounds, given.profile)
        results["where"][str(bits)] = where(place, bits, given.messages)
    results["large"] = large(place, limits.MIB if given.small else limits.INHOUD)
    return results


def machine() -> dict[str, str]:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": names[0].partition(":")[2].strip() if names else platform.processor(),
        "cores": str(len(names)),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def told(results: dict[str, Any]) -> Iterator[str]:
    at = results["machine"]
    yield f"{at['cpu']}, {at['cores']} cores, Python {at['python']}, SQLite {at['sqlite']}, load at start {at['load']}"
    yield f"{world.BODY} octets of SOAP Body, mutual TLS kept alive, durable; CPU per message, medians of rounds"
    yield f"{'':34}{'CPU ms':>9}{'floor ms':>10}{'ratio':>7}{'p50 ms':>9}{'p99 ms':>9}"
    for bits, by in results["accept"].items():
        for connections, row in by.items():
            yield line(f"accepting, RSA-{bits}, {connections} at once", row)
    for bits, row in results["life"].items():
        yield line(f"whole life, RSA-{bits}, 8 at once", row) + f"   hub {row['hub_ms']}, agency {row['agency_ms']}"
    for bits, spent in results["where"].items():
        whole = sum(spent.values())
        yield f"\nwhere accepting goes, RSA-{bits}, 8 at once, sampled: ms of CPU per message"
        yield from (f"  {name:44}{value:9.3f}{value / whole:7.0%}" for name, value in spent.items())
        yield f"  {'sum':44}{whole:9.3f}"
    big = results["large"]
    yield f"\none message with an inhoud and three bijlagen of {big['document_mib']} MiB each"
    for form in FORMS:
        row, mib = big[form], 4 * big["document_mib"]
        yield (
            f"  {form:8}{row['request_mib']:7.1f} MiB on the wire, {row['growth_mib']:.1f} MiB above "
            f"{row['idle_mib']} MiB, {row['cpu_s']} s of CPU: {row['cpu_s'] * 1e3 / mib:.1f} ms per MiB of document"
        )
    yield f"  base64 and SHA-256 alone: {big['floor_ms_per_mib']:.1f} ms per MiB"
    for name, row in big["small"].items():
        yield f"  small messages, {name:10} p50 {row['p50_ms']:.1f} ms, p99 {row['p99_ms']:.1f} ms ({row['messages']})"


def line(name: str, row: dict[str, Any]) -> str:
    waits = "".join(f"{row[key]:9.2f}" if row[key] is not None else f"{'':9}" for key in ("p50_ms", "p99_ms"))
    return f"{name:34}{row['cpu_ms']:9.3f}{row['floor_ms']:10.3f}{row['ratio']:7.2f}{waits}"


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=200, help="of one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bits", type=int, nargs="+", default=list(world.SHAPES), choices=list(world.SHAPES))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured; must not exist")
    parser.add_argument("--profile", type=Path, help="folder for profiles of the server; the figures are then wrong")
    parser.add_argument("--small", action="store_true", help="a large message of 4 MiB instead of 80: for a test")
    given = parser.parse_args(words)
    own = None if given.folder else tempfile.mkdtemp(prefix="digipoort-bench-")
    given.folder = given.folder or own
    try:
        results = run(given)
    finally:
        if own:
            shutil.rmtree(own)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(results, indent=2) + "\n")
    for text in told(results):
        print(text)
    print(f"\n{given.out}")


if __name__ == "__main__":
    main()
