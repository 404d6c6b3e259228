"""The bounded bench: validators at work in processes of their own, each piece of work under a time limit.

Decides nothing: a crash or a time-out is reported as trouble, and the hub decides what that means."""

import asyncio
import multiprocessing
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import Final, cast

from digipoort_as4.hub.aanlevering import Aanlevering
from digipoort_as4.hub.findings import Examined, Finding, StepVerdict
from digipoort_as4.hub.routes import Route
from digipoort_as4.validation import identity, wellformed

Validator = Callable[[Aanlevering, Route], Iterable[Finding]]  # What is wrong with the documents; nothing: all is well
VALIDATORS: Final[Mapping[str, Validator]] = {"wellformed": wellformed.check, "identity": identity.check}
"""By the names that routes.toml uses."""
TIME_LIMIT: Final = timedelta(seconds=60)  # Of one envelope. 20 MiB of small elements take about two seconds
PLACES: Final = 2  # Processes at most; more envelopes wait their turn
MOST: Final = 500  # Findings kept of one step; a document wrong in every line tells enough with these


def examine(aanlevering: Aanlevering, route: Route) -> Examined:
    """All steps of the route up to the first that is not good, here and now; the payloads must be readable."""
    steps: list[StepVerdict] = []
    for step in route.steps:
        steps.append(_step(aanlevering, route, step))
        if not steps[-1].good:
            break
    roots = ((document.key, wellformed.root_of(document)) for document in aanlevering.documents)
    return Examined(tuple(steps), tuple((key, root) for key, root in roots if root))


def _step(aanlevering: Aanlevering, route: Route, names: tuple[str, ...]) -> StepVerdict:
    """Validators in order; after one that refuses the others would only stumble over the same thing."""
    found: list[Finding] = []
    for name in names:
        for finding in VALIDATORS[name](aanlevering, route):
            found.append(finding)
            if len(found) == MOST:
                return StepVerdict(tuple(found))
        if any(finding.refuses for finding in found):
            break
    return StepVerdict(tuple(found))


class Bench:
    """At most so many places where an envelope is examined, each a process that dies with its time limit."""

    def __init__(self, places: int = PLACES, limit: timedelta = TIME_LIMIT) -> None:
        self._limit = limit
        self._free: SimpleQueue[_Place] = SimpleQueue()
        self._places = [_Place() for _ in range(places)]
        for place in self._places:
            self._free.put(place)
        self._threads = ThreadPoolExecutor(places, thread_name_prefix="validation")

    async def examine(self, aanlevering: Aanlevering, route: Route) -> Examined:
        """All steps of the route; what goes wrong with the work itself is `trouble`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._work, aanlevering, route)

    def _work(self, aanlevering: Aanlevering, route: Route) -> Examined:
        place = self._free.get()  # never waits: there are as many threads as places
        try:
            return place.work(aanlevering, route, self._limit)
        finally:
            self._free.put(place)

    async def start(self) -> None:
        """Start all processes now, so that the first message does not wait for one."""
        await asyncio.to_thread(lambda: [place.start() for place in self._places])

    def pids(self) -> list[int]:
        """Process ids of the places that run."""
        return [pid for place in self._places if (pid := place.pid()) is not None]

    async def close(self) -> None:
        """Let running work end, then the processes."""
        await asyncio.to_thread(self._threads.shutdown)
        for place in self._places:
            place.stop()


class _Place:
    """One process and the pipe to it."""

    def __init__(self) -> None:
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def work(self, aanlevering: Aanlevering, route: Route, limit: timedelta) -> Examined:
        pipe = self.start()
        try:
            pipe.send((aanlevering, route))
            if not pipe.poll(limit.total_seconds()):
                self.stop()
                return Examined(trouble=f"validation took longer than {limit.total_seconds():g} s")
            return cast(Examined, pipe.recv())
        except (EOFError, OSError) as error:
            process = self._process
            self.stop()
            ended = process.exitcode if process else None
            return Examined(trouble=f"the validation process ended with {ended}: {type(error).__name__}")

    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.is_alive() else None

    def start(self) -> Connection:
        if self._process is None or self._pipe is None or not self._process.is_alive():
            self.stop()
            # spawn: a fork of a process with threads may hold their locks for ever
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs,), name="validation", daemon=True)
            self._process.start()
            theirs.close()
        return self._pipe

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None


def _serve(pipe: Connection) -> None:
    """The life of a place's process: work comes in, what was examined goes out, until the other end is gone."""
    try:
        while True:
            work = pipe.recv()
            try:
                found = examine(*work)
            except OSError as error:  # any other exception ends the process
                found = Examined(trouble=f"a document could not be read: {error}")
            pipe.send(found)
    except (EOFError, OSError, KeyboardInterrupt):
        return
