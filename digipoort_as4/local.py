"""The post office on one machine: `up` starts it and its agencies as processes, `down` stops them.

Also the entry of the post-office process itself (`python -m digipoort_as4.local serve --dir DIR`): gateway and worker
on one event loop over one SQLite file. Never for production: keys and certificates are those of the test PKI."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import http.client
import json
import logging
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from digipoort_as4 import agency, commands, config, gateway, limits
from digipoort_as4.clock import Clock, Moved
from digipoort_as4.errors import DigipoortError, StorageFailure, UsageError
from digipoort_as4.journal import Journal
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.test_pki import Identity
from digipoort_as4.sdk.office import CLOCK, FILE, PKI, record_of
from digipoort_as4.storage.sqlite import SqliteStore
from digipoort_as4.transport import control
from digipoort_as4.validation.bench import Bench
from digipoort_as4.worker import Paths, Worker, judge_tls
from digipoort_as4.wus.ausp import Ausp
from digipoort_as4.wus.scenarios import Scenarios

CONFIG: Final = "digipoort.toml"
HUB: Final = "post-office"  # Name of the hub's process
READY: Final = timedelta(seconds=30)  # From start to the first answer; two cores and eleven processes need a tenth
STOP: Final = timedelta(seconds=20)  # From SIGTERM to SIGKILL; longer than the worker's and the server's grace
PORT_PATIENCE: Final = timedelta(
    seconds=1
)  # Threads of a killed process may hold its port a moment longer than its pid
CRL_RENEWAL: Final = timedelta(hours=4)  # Decision 27

Record = dict[str, Any]  # post-office.json (decision 28)


@dataclass(frozen=True, slots=True)
class Place:
    """One process of the post office: who it is and where it listens."""

    identity: Identity
    port: int

    @property
    def name(self) -> str:
        """Of the process."""
        return HUB if self.identity.role == "hub" else self.identity.name

    @property
    def url(self) -> str:
        """Without a path; a name, as G4 certificates hold no IP addresses (decision 26)."""
        return f"https://localhost:{self.port}"


def up(folder: Path, tell: Callable[[str], None] = lambda text: None) -> Record:
    """Start what is not running yet, and return what stands in post-office.json when all of it answers.
    Data, keys and logs lie in `folder`, made when missing and used again when not; `tell` hears of each step, one line
    each.
    Raises DigipoortError: a process did not come up; what this call started is stopped again."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(folder):
        tell("certificates of the test PKI")
        test_pki.make(folder / PKI, datetime.now(UTC))
        places = _places(folder)
        if _write_config(folder, places):  # they know one another by what stands there
            _stop(running(folder))
        found = {process["name"]: process for process in running(folder)}
        processes = dict(found)
        try:
            record = _start_missing(folder, places, processes)
            while (gone := _await(folder, places, processes)) in found:  # it was dying when we looked
                del found[gone], processes[gone]
                record = _start_missing(folder, places, processes)
            if gone:
                last = _log(folder, gone).read_text(errors="replace").strip().splitlines()[-3:]
                what = f"{gone} ended at once; the last lines of {_log(folder, gone)}:"
                raise DigipoortError("\n".join([what, *last]))
        except DigipoortError:
            _stop([process for name, process in processes.items() if name not in found])
            raise
        tell(f"{len(processes) - len(found)} processes started, {len(found)} were running")
        return record


def _start_missing(folder: Path, places: Sequence[Place], processes: dict[str, Record]) -> Record:
    _write_record(folder, places, processes)  # the agencies read where the hub is
    for place in places:
        if place.name not in processes:
            processes[place.name] = _start(folder, place)
    return _write_record(folder, places, processes)


def lay_out(folder: Path) -> list[Place]:
    """Choose ports, and write digipoort.toml and post-office.json, for parts that somebody else runs; the hub first."""
    places = _places(folder)
    _write_config(folder, places)
    _write_record(folder, places, {})
    return places


def down(folder: Path) -> list[str]:
    """Stop the processes that post-office.json names, and no others; returns their names.
    Raises UsageError: there never was a post office here."""
    folder = folder.absolute()
    if not (folder / FILE).exists():
        raise UsageError(f"no post office at {folder}")
    with _alone(folder):
        stopped = running(folder)
        _stop(stopped)
        _write_json(folder / FILE, {**read(folder), "processes": []})
        return [process["name"] for process in stopped]


def read(folder: Path) -> Record:
    """post-office.json as it stands; empty when there is none."""
    try:
        record = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return record if isinstance(record, dict) else {}


def running(folder: Path) -> list[Record]:
    """The processes of post-office.json that still run."""
    return _alive(read(folder).get("processes", []))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _places(folder: Path) -> list[Place]:
    """Hub first, then the agencies; ports as before where they are free, so that clients need not be told anew."""
    before = read(folder)
    known = {agency["name"]: urlsplit(agency["url"]).port or 0 for agency in before.get("agencies", [])}
    known[HUB] = urlsplit(before.get("services", {}).get("aanleveren", "")).port or 0
    held = {process["name"] for process in running(folder)}
    identities = test_pki.identities(folder / PKI)
    agencies = [Place(one, 0) for one in identities if one.role == "agency"]
    hubs = [Place(one, 0) for one in identities if (one.role, one.shape) == ("hub", "g1")]
    places = [*hubs, *sorted(agencies, key=lambda place: place.name)]
    with contextlib.ExitStack() as probes:  # open until all are chosen, so that no port is chosen twice
        return [replace(place, port=_port(known.get(place.name, 0), place.name in held, probes)) for place in places]


def _port(wanted: int, held: bool, probes: contextlib.ExitStack) -> int:
    """The wanted port when we hold it or it gets free in time, else one that the system chooses."""
    if wanted and held:
        return wanted
    probe = probes.enter_context(socket.socket())
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    until = time.monotonic() + PORT_PATIENCE.total_seconds()
    while wanted and time.monotonic() < until:
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", wanted))
            return wanted
        time.sleep(0.02)
    probe.bind(("127.0.0.1", 0))
    return int(probe.getsockname()[1])


def _write_record(folder: Path, places: Sequence[Place], processes: Mapping[str, Record]) -> Record:
    pki, hub = folder / PKI, places[0]
    record = {
        "ca": str(test_pki.anchors(pki)),
        "crl": [str(path) for path in test_pki.crls(pki)],
        "services": {name: hub.url + path for name, path in gateway.SERVICES.items()},
        "identities": [record_of(one) for one in test_pki.identities(pki)],
        "agencies": [
            {"name": place.name, "oin": place.identity.oin, "url": place.url + gateway.AFLEVEREN}
            | {box: str(folder / "agencies" / place.name / box) for box in ("inbox", "outbox")}
            for place in places[1:]
        ],
        "hub": {key: str(getattr(hub.identity, key)) for key in ("oin", "tls_cert", "signing_cert")},
        "processes": [processes[place.name] for place in places if place.name in processes],
        "health": f"{hub.url}/readyz",
        "intermediates": str(test_pki.intermediates(pki)),
        "clock": str(folder / CLOCK),
        "journal": str(folder / "data" / "journal.jsonl"),
        "config": str(folder / CONFIG),
    }
    _write_json(folder / FILE, record)
    return record


def _write_config(folder: Path, places: Sequence[Place]) -> bool:
    """Write digipoort.toml for the hub's process; True when it differs from what was there."""
    pki, hub, one = folder / PKI, places[0], places[0].identity
    between, crls = [test_pki.intermediates(pki)], test_pki.crls(pki)
    chosen = {place.identity.oin: agency.read_own(folder / "agencies" / place.name) for place in places[1:]}
    profiles = {oin: own["agency"]["profile"] for oin, own in chosen.items() if "profile" in own.get("agency", {})}
    rows: list[tuple[str, dict[str, object]]] = [
        ("", {"profile": "local", "folder": folder / "data"}),
        ("[listen]", {"host": "127.0.0.1", "port": hub.port, "public_url": hub.url}),
        ("[tls]", {"certificate": one.tls_cert, "key": one.tls_key}),
        ("[signing]", {"certificate": one.signing_cert, "key": one.signing_key}),
        ("[trust]", {"ca": test_pki.anchors(pki), "intermediates": between, "crls": crls, "test_pki": pki}),
        ("[data]", {"clock": folder / CLOCK}),
        ("[agencies]", {place.identity.oin: place.url + gateway.AFLEVEREN for place in places[1:]}),
        ("[agency_profiles]", profiles),
    ]
    lines = ["# Written by `digipoort up` at each start; changes are lost."]
    for table, values in rows:
        # JSON's strings, numbers and arrays of strings are TOML's.
        lines += [table, *(f"{key} = {json.dumps(value, default=str)}" for key, value in values.items()), ""]
    octets, path = "\n".join(lines).encode(), folder / CONFIG
    if path.exists() and path.read_bytes() == octets:
        return False
    _write(path, octets)
    return True


def _write_json(path: Path, record: Record) -> None:
    _write(path, json.dumps(record, indent=2).encode() + b"\n")


def _write(path: Path, octets: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(octets)
    part.replace(path)


def _start(folder: Path, place: Place) -> Record:
    """Start one process of its own session, which outlives this one."""
    log = _log(folder, place.name)
    log.parent.mkdir(exist_ok=True)
    words = ["serve"] if place.name == HUB else ["agency", "--name", place.name]
    # -P: what lies in the folder where somebody typed `digipoort up` is not imported.
    command = [sys.executable, "-P", "-m", "digipoort_as4.local", *words, "--dir", str(folder)]
    environment = {**os.environ}
    home = str(Path(__file__).absolute().parent.parent)
    if home != sysconfig.get_path("purelib"):
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
    streams = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    pid = os.posix_spawn(sys.executable, command, environment, file_actions=streams, setsid=True)
    return {"name": place.name, "pid": pid, "started": started(pid)}


def started(pid: int) -> str | None:
    """When a process started, as the system tells it; None when it is gone or a zombie.
    With the pid it names a process for good: a pid that was given out again has another start."""
    if not Path("/proc/self/stat").exists():
        shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return shown.stdout.strip() or None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def _alive(processes: Iterable[Record]) -> list[Record]:
    return [one for one in processes if one["started"] and started(one["pid"]) == one["started"]]


def _stop(processes: Sequence[Record]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for process in _alive(processes):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process["pid"], sign)
        until = time.monotonic() + STOP.total_seconds()
        while _alive(processes) and time.monotonic() < until:
            time.sleep(0.02)


def _await(folder: Path, places: Sequence[Place], processes: Mapping[str, Record]) -> str:
    """Return when every process answers: with the name of one that has ended instead, or empty."""
    context = ssl.create_default_context(cafile=test_pki.anchors(folder / PKI))
    until = time.monotonic() + READY.total_seconds()
    for place in places:
        while not answers(place, context):
            if not _alive([processes[place.name]]):
                return place.name
            if time.monotonic() > until:
                raise DigipoortError(f"{place.name} does not answer at {place.url}; see {_log(folder, place.name)}")
            time.sleep(0.02)
    return ""


def answers(place: Place, context: ssl.SSLContext) -> bool:
    """True when it is ready for requests."""
    connection = http.client.HTTPSConnection("localhost", place.port, timeout=5, context=context)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    return False


def _log(folder: Path, name: str) -> Path:
    return folder / "logs" / f"{name}.log"


def main(words: Sequence[str] | None = None) -> int:
    """Entry of the processes that `up` starts; returns the exit code of the error's class."""
    parser = argparse.ArgumentParser(prog="python -m digipoort_as4.local", description="Processes of `digipoort up`.")
    parser.add_argument("what", choices=["serve", "agency"])
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--name", default="")
    given = parser.parse_args(words)
    raise_file_limit()
    if given.what == "serve":
        return gateway.run_until_told(lambda stop: serve(given.dir, stop))
    return gateway.run_until_told(lambda stop: agency.run(agency.local_settings(given.dir, given.name), stop))


def raise_file_limit() -> None:
    """Let the process have as many open files as it may: each connection is one, and the usual 1,024 are few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = 8 * limits.CONNECTIONS
    if soft != resource.RLIM_INFINITY and soft < enough:
        most = enough if hard == resource.RLIM_INFINITY else min(enough, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def serve(folder: Path, stop: asyncio.Event) -> None:
    """Run gateway and worker until told to stop, with CRLs of the test PKI that stay fresh."""
    settings = config.load(folder / CONFIG, {})
    clock = Clock(settings.clock)
    renewal = asyncio.create_task(keep_renewing(settings, clock))
    try:
        await run(settings, stop, clock)
    finally:
        renewal.cancel()


async def run(
    settings: config.Settings,
    stop: asyncio.Event,
    clock: Clock | None = None,
    scenarios: Scenarios | None = None,
    bench: Bench | None = None,  # of somebody who closes it
) -> None:
    """Accept, process and deliver until `stop` is set or the store fails; then what is in work ends.
    Raises ConfigError: a setting cannot be used; StorageFailure: the store failed, and the process must end (P5)."""
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    clock = clock or Clock(settings.clock)
    clock.before.append(lambda moved: renew_crls(settings, clock, moved))
    journal = Journal(settings.folder / "journal.jsonl", now=clock)
    store = SqliteStore.open(settings.folder, clock)
    office = gateway.open_office(settings, store, journal, clock, scenarios)
    peers = gateway.open_peers(settings, judge_tls(office))
    office = replace(office, ask_ausp=Ausp(office, peers.post).ask)
    own = Bench()
    try:
        await own.start() if bench is None else None
        await _run(settings, Paths(office, settings, peers, bench or own), store, stop)
    finally:
        await peers.close()
        await own.close()
        await store.close()
        journal.close()


async def _run(settings: config.Settings, paths: Paths, store: SqliteStore, stop: asyncio.Event) -> None:
    office, door = paths.office, gateway.Gateway(paths.office, settings.public_url)
    loop = Worker(store, paths.lanes(), office.now, office.journal)
    store.on_commit = loop.wake
    if isinstance(office.now, Clock):
        office.now.after.append(partial(asyncio.get_running_loop().call_soon_threadsafe, loop.wake))

    def failed() -> None:
        door.ready = False
        stop.set()

    store.on_failure = failed
    server = await gateway.listen(door, settings, office.spool, office.journal)
    desk = await control.listen(settings.folder, commands.commands_of(office))
    office.journal.write("started", url=settings.public_url or f"https://localhost:{server.port}", oin=office.oin)
    working = asyncio.create_task(loop.run())
    working.add_done_callback(lambda _: stop.set())
    await stop.wait()
    loop.stop()
    desk.close()
    await server.close(gateway.GRACE)
    await working
    office.journal.write("stopped")
    if not door.ready:
        raise StorageFailure("the store failed; see the journal")


def renew_crls(settings: config.Settings, clock: Clock, moved: Moved) -> None:
    """New CRLs of the test PKI, good by the machine's clock and by the one that is (to be) moved; frozen, none.
    Those who look at the one, clients outside, and those who look at the other need no two lists (decision 25)."""
    if settings.test_pki is None or moved.crl == "frozen":
        return
    at = clock.machine()
    first, last = min(at, at + moved.shift, clock()), max(at, at + moved.shift, clock())
    test_pki.renew_crls(settings.test_pki, first, last - first + test_pki.CRL_LIFE)


async def keep_renewing(settings: config.Settings, clock: Clock) -> None:
    """Keep the test PKI's CRLs fresh, now and for as long as the post office runs (decision 27)."""

    def renew() -> None:
        with clock.lock:  # nobody moves it meanwhile
            renew_crls(settings, clock, clock.moved())

    while settings.test_pki is not None:
        try:
            await asyncio.to_thread(renew)
        except OSError as error:  # the old ones hold for 48 hours
            logging.getLogger("digipoort").error("CRLs not renewed: %s", error)
        await asyncio.sleep(CRL_RENEWAL.total_seconds())


if __name__ == "__main__":
    sys.exit(main())
