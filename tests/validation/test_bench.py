"""The bench: steps in order, work in other processes, crashes and time-outs as trouble."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from helpers_validation import XBRLI, document, envelope, route, xbrl

from digipoort_as4.hub.routes import VALIDATORS
from digipoort_as4.payload import FilePayload
from digipoort_as4.validation import bench
from digipoort_as4.validation.bench import Bench, examine


def test_routes_and_bench_know_the_same_validators() -> None:
    assert set(VALIDATORS) == set(bench.VALIDATORS)


def test_all_steps_and_roots() -> None:
    found = examine(envelope(document(xbrl())), route())
    assert ([True, True], (("k1", f"{{{XBRLI}}}xbrl"),)) == ([step.good for step in found.steps], found.roots)


def test_the_first_bad_step_is_the_last() -> None:
    """What is not well-formed is not searched for numbers."""
    assert [False] == [step.good for step in examine(envelope(document("<a>")), route()).steps]
    assert [True, False] == [step.good for step in examine(envelope(document(xbrl("1"))), route()).steps]


def test_one_step_of_two_validators_is_one_verdict() -> None:
    together = replace(route(), steps=(("wellformed", "identity"),))
    assert ["not-wellformed"] == [f.id for f in examine(envelope(document("<a>")), together).steps[0].findings]
    assert ["identity-differs"] == [f.id for f in examine(envelope(document(xbrl("1"))), together).steps[0].findings]


@pytest.fixture
async def places() -> object:
    made = Bench(places=1, limit=timedelta(seconds=20))
    yield made
    await made.close()


async def test_work_in_another_process(places: Bench, tmp_path: Path) -> None:
    """Small octets travel along, large ones are read from their file; the verdict is the same as here."""
    path = tmp_path / "k1"
    path.write_text(f"xx{xbrl()}")
    stored = replace(document(xbrl()), payload=FilePayload(path, 2, len(xbrl())))
    for unit in (envelope(document(xbrl())), envelope(document(xbrl("1"))), envelope(stored)):
        assert examine(unit, route()) == await places.examine(unit, route())


async def test_payload_that_is_gone_is_trouble(places: Bench, tmp_path: Path) -> None:
    gone = replace(document(xbrl()), payload=FilePayload(tmp_path / "absent", 0, 9))
    assert "could not be read" in (await places.examine(envelope(gone), route())).trouble


@dataclass(frozen=True)
class Killing:
    """A document over which the process that reads it dies."""

    size: int = 10

    def open(self) -> Iterator[bytes]:
        os.kill(os.getpid(), signal.SIGKILL)
        yield b""


@dataclass(frozen=True)
class Endless:
    """A document that never ends."""

    size: int = 10

    def open(self) -> Iterator[bytes]:
        yield b"<a>"
        while True:
            yield b""


async def test_crash_is_trouble_and_the_next_is_examined(places: Bench) -> None:
    good = envelope(document(xbrl()))
    killed = replace(good, documents=(replace(good.documents[0], payload=Killing()),))
    assert "ended with -9" in (await places.examine(killed, route())).trouble
    assert examine(good, route()) == await places.examine(good, route())


async def test_time_out_is_trouble_and_the_next_is_examined() -> None:
    slow = Bench(places=1, limit=timedelta(seconds=3))
    good = envelope(document(xbrl()))
    endless = replace(good, documents=(replace(good.documents[0], payload=Endless()),))
    answers = await asyncio.gather(slow.examine(endless, route()), slow.examine(good, route()))
    await slow.close()
    assert ["validation took longer than 3 s", ""] == [answer.trouble for answer in answers]


async def test_closing_ends_the_processes() -> None:
    made = Bench(places=2)
    await made.start()
    pids = made.pids()
    assert 2 == len(pids)
    await made.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
