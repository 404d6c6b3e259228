"""A pytest plug-in: the fixture `digipoort_hub` is a whole post office in the test's own process.

    def test_our_vat_return_arrives(digipoort_hub):
        our_erp.file_vat_return(digipoort_hub.services["aanleveren"], digipoort_hub.party())
        assert ["Omzetbelasting"] == [one.berichtsoort for one in digipoort_hub.received(wait=1)]

Keeps nothing between tests but the test PKI, which a machine makes once. Independent, not Logius."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:  # imported when a test asks for the fixture: other test suites wait for nothing
    from digipoort_as4.sdk.client import DigipoortClient
    from digipoort_as4.sdk.office import Party, PostOffice
    from digipoort_as4.validation.bench import Bench

READY: Final = 10.0  # seconds from start to the first answer; two cores need 0.3
GLANCE: Final = 0.005  # between two looks


@dataclass(frozen=True, slots=True)
class Received:
    """One message that an agency was handed."""

    agency: str  # its name, as in post-office.json
    envelope: Mapping[str, Any]  # in the element names of the XSD (decision 29)
    documents: Mapping[str, bytes]  # octets by bestandsnaam, the berichtInhoud first

    @property
    def kenmerk(self) -> str:
        """Of the process it belongs to."""
        return str(self.envelope["kenmerk"])

    @property
    def berichtsoort(self) -> str:
        """What kind of message it is."""
        return str(self.envelope["berichtsoort"])


class Hub:
    """A post office with all its agencies, on an event loop in a thread of its own."""

    def __init__(self, folder: Path, pki: Path, bench: Bench) -> None:
        """Nothing runs yet; `folder` is its own, the PKI and the validators are shared with others."""
        from digipoort_as4.clock import Clock
        from digipoort_as4.sdk.office import CLOCK, PKI
        from digipoort_as4.wus.scenarios import Scenarios

        self.folder, self._bench = folder, bench
        self.scenarios, self.clock = Scenarios(), Clock(folder / CLOCK)
        self._clients: list[DigipoortClient] = []
        (folder / PKI).symlink_to(pki)

    # --- what a test asks -------------------------------------------------------------------------------------------

    @property
    def office(self) -> PostOffice:
        """post-office.json: addresses, identities and certificates for any client."""
        from digipoort_as4.sdk import office

        return office.read(self.folder / office.FILE)

    @property
    def services(self) -> Mapping[str, str]:
        """URLs by service: aanleveren, statusinformatie, ophalen."""
        return self.office.services

    def party(self, name: str = "bakkerij-jansen") -> Party:
        """The certificate and key files of a business."""
        return self.office.party(name)

    def client(self, name: str = "bakkerij-jansen") -> DigipoortClient:
        """A client of ours that acts as this business; closed with the post office."""
        from digipoort_as4.sdk.client import DigipoortClient

        self._clients.append(DigipoortClient.local(self.folder, identity=name))
        return self._clients[-1]

    def received(self, *, wait: int = 0, timeout: float = 10) -> list[Received]:
        """All that agencies were handed, in the order of arrival.
        Args:
            wait: come back when there are so many; TimeoutError when that takes longer than `timeout` seconds."""
        until = time.monotonic() + timeout
        while len(found := self._look()) < wait:
            self._check()
            if time.monotonic() > until:
                raise TimeoutError(f"{len(found)} messages were handed over in {timeout:g} s, expected {wait}")
            time.sleep(GLANCE)
        return found

    def scenario(self, name: str = "", **words: Any) -> None:
        """Play one of the eleven names for every message from now on, or a rule in words of `digipoort scenario set`.
        Raises UsageError: unknown words. A message whose aanleverkenmerk is one of the names plays it anyhow."""
        if name:
            from digipoort_as4.errors import UsageError, failure
            from digipoort_as4.wus.scenarios import NAMED

            if name not in NAMED:
                raise failure(UsageError, f"no scenario {name!r}", expected=", ".join(NAMED))
            words = {key: value for key, value in NAMED[name].record().items() if key != "aanleverkenmerk"} | words
        if words:
            self.scenarios.set(**words)

    def reset(self) -> None:
        """Forget all messages, rules and what the clock was moved by; addresses and keys stay."""
        self.scenarios.clear()
        self.clock.reset()
        self.stop()
        for stale in ("data", "agencies"):
            shutil.rmtree(self.folder / stale, ignore_errors=True)
        self.start()

    def _look(self) -> list[Received]:
        found = []
        for agency in self.office.agencies:
            for file in agency.inbox.glob("[!.]*/envelope.json"):
                envelope = json.loads(file.read_text(encoding="utf-8"))
                names = {row["bestandsnaam"]: (file.parent / row["file"]).read_bytes() for row in envelope["documents"]}
                found.append((file.stat().st_mtime_ns, Received(agency.name, envelope, names)))
        return [one for _, one in sorted(found, key=lambda pair: pair[0])]

    # --- running ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Come back when every part answers."""
        from digipoort_as4 import local
        from digipoort_as4.pki import test_pki
        from digipoort_as4.sdk.office import PKI

        places = local.lay_out(self.folder)
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        self._running = ThreadPoolExecutor(1, "digipoort-hub").submit(self._work, places)
        trusting = ssl.create_default_context(cafile=test_pki.anchors(self.folder / PKI))
        until = time.monotonic() + READY
        while waiting := [place.name for place in places if not local.answers(place, trusting)]:
            self._check()
            if time.monotonic() > until:
                raise TimeoutError(f"no answer from {', '.join(waiting)}; see {self.folder}")
            time.sleep(GLANCE)

    def stop(self) -> None:
        """End what is in work, then everything."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        with suppress(RuntimeError):  # it ended by itself
            self._loop.call_soon_threadsafe(self._stop.set)
        self._running.exception()  # waits for its end
        for hooks in (self.clock.before, self.clock.after):  # what ended need not be told
            del hooks[:]
        self._check()

    def _check(self) -> None:
        """Raise what ended it, where it ended in any other way than by `stop`."""
        if self._running.done() and (failure := self._running.exception()) is not None:
            raise RuntimeError(f"the post office ended: {failure}") from failure

    def _work(self, places: list[Any]) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(places))

    async def _serve(self, places: list[Any]) -> None:
        from digipoort_as4 import agency, config, local

        settings = config.load(self.folder / local.CONFIG, {})
        hub = local.run(settings, self._stop, self.clock, self.scenarios, self._bench)
        agencies = [agency.run(agency.local_settings(self.folder, one.name), self._stop) for one in places[1:]]
        await asyncio.gather(hub, *agencies)


@pytest.fixture(scope="session")
def _digipoort_shared() -> Iterator[tuple[Path, Bench]]:
    """The test PKI of this machine, and validators: both are dear to start, and have no memory."""
    from digipoort_as4.pki import test_pki
    from digipoort_as4.sdk.office import data_home
    from digipoort_as4.validation.bench import Bench

    pki, bench = data_home() / "pytest" / "pki", Bench()
    test_pki.make(pki, datetime.now(UTC))
    asyncio.run(bench.start())
    yield pki, bench
    asyncio.run(bench.close())


@pytest.fixture
def digipoort_hub(tmp_path_factory: pytest.TempPathFactory, _digipoort_shared: tuple[Path, Bench]) -> Iterator[Hub]:
    """A fresh post office on ports of loopback that the system chooses."""
    hub = Hub(tmp_path_factory.mktemp("digipoort-hub"), *_digipoort_shared)
    hub.start()
    try:
        yield hub
    finally:
        hub.stop()
