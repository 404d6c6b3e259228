"""The worker: claims jobs, has each done by its path, and sees that one agency's failure delays no other (P6).

Decides nothing about a message: hub.verwerken and the channels in `CHANNELS` do, each from a claimed job to its commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from digipoort_as4 import limits
from digipoort_as4.config import Settings
from digipoort_as4.errors import StorageFailure
from digipoort_as4.hub import verwerken
from digipoort_as4.hub.aanlevering import Aanlevering
from digipoort_as4.hub.decision import Decision, Job, PostponeJob
from digipoort_as4.hub.mandates import Authority
from digipoort_as4.journal import Journal
from digipoort_as4.pki.certificates import Purpose
from digipoort_as4.storage.store import Store
from digipoort_as4.transport.peers import Judge, Peers
from digipoort_as4.validation.bench import Bench
from digipoort_as4.wus import afleveren, ausp
from digipoort_as4.wus.asking import judge_peer
from digipoort_as4.wus.office import Office

Work = Callable[[Job], Awaitable[bool]]
"""Does one job up to its commit, the job's end or postponement included. False: the destination did not answer."""

CHANNELS: Final = {"wus": afleveren.deliver}  # how an agency can be reached
POSTPONED: Final = timedelta(seconds=10)  # a job that broke our code is tried again after this, times its attempts
CROWDED: Final = timedelta(seconds=0.25)  # between claims while some destination has more due jobs than may run
HEARTBEATS: Final = 3  # in one lease: two may be lost to a busy moment
GRACE: Final = timedelta(seconds=10)
"""What is in work when the process shall stop may take this long; what is cut off is done again with the same key."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One kind of job and how many of it may run."""

    kind: str
    work: Work
    limit: int
    per_destination: int


def lanes(process: Work, deliver: Work) -> tuple[Lane, ...]:
    """The two kinds of job there are."""
    return (
        Lane("verwerken", process, limits.PROCESSING, limits.PROCESSING),
        Lane("afleveren", deliver, limits.DELIVERIES, limits.PER_DESTINATION),
    )


class Circuit:
    """The door to one destination: some at a time, one at a time while it does not answer."""

    def __init__(self, width: int) -> None:
        # closed, as electricians say: everything passes
        self._width, self._failures, self._inside = width, 0, 0
        self._changed = asyncio.Condition()

    @property
    def open(self) -> bool:
        """True while the destination is only probed."""
        return self._failures >= limits.CIRCUIT

    async def pass_through(self, work: Work, job: Job) -> None:
        """Wait for a place, do the work, note whether it was answered."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._inside < (1 if self.open else self._width))
            self._inside += 1
        try:
            answered = await work(job)
            self._failures = 0 if answered else self._failures + 1
        finally:
            self._inside -= 1
            async with self._changed:
                self._changed.notify_all()


class Worker:
    """Runs the lanes over one store until told to stop."""

    def __init__(
        self,
        store: Store,
        lanes: tuple[Lane, ...],
        now: Callable[[], datetime],  # the clock, also of leases
        journal: Journal,
        *,
        lease: timedelta = limits.LEASE,  # how long a claimed job is ours without a heartbeat
    ) -> None:
        self._store, self._lanes, self._now, self._journal, self._lease = store, lanes, now, journal, lease
        self._circuits: dict[str, Circuit] = {}
        self._running: dict[str, dict[int, Job]] = {lane.kind: {} for lane in lanes}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake, self._seen = asyncio.Event(), now()
        self._stopping = False
        self._failure: StorageFailure | None = None

    def wake(self) -> None:
        """There may be something to do; called after each commit that queues."""
        self._wake.set()

    def stop(self) -> None:
        """Claim no more; `run` returns when what is in work is done or GRACE is over."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Claim and do, until `stop`. Raises StorageFailure: the store refuses; the process must end (P5)."""
        heart = asyncio.create_task(self._beat())
        try:
            while not self._stopping:
                self._wake.clear()
                now = self._now()
                if now - self._seen > self._lease / HEARTBEATS:  # the clock was moved: a claim must not take what runs
                    await self._hold()
                self._seen = now
                await asyncio.gather(*(self._claim(lane, now) for lane in self._lanes))
                await self._rest(now)
                if self._failure is not None:
                    raise self._failure
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=GRACE.total_seconds())
        finally:
            heart.cancel()
            for task in self._tasks:
                task.cancel()

    async def _claim(self, lane: Lane, now: datetime) -> None:
        free = lane.limit - len(self._running[lane.kind])
        if free <= 0:
            return
        jobs = await self._store.claim([lane.kind], now, now + self._lease, free, lane.per_destination)
        for job in jobs:
            self._running[lane.kind][job.id] = job
            task = asyncio.create_task(self._do(lane, job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _rest(self, now: datetime) -> None:
        due = await self._store.next_due(now)
        if due is None:
            pause = limits.WORKER_PAUSE
        elif due > now:
            pause = min(due - self._now(), limits.WORKER_PAUSE)
        else:  # what is due already belongs to a destination that is full, and hides when the next of others is due
            pause = CROWDED
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause.total_seconds()):
                await self._wake.wait()

    async def _do(self, lane: Lane, job: Job) -> None:
        # The worker's outermost loop: whatever breaks in a path costs one try of one job.
        try:
            if job.attempts > limits.CRASHES:
                raise RuntimeError(f"claimed {job.attempts} times without an end")
            circuit = self._circuits.setdefault(job.destination, Circuit(lane.per_destination))
            await circuit.pass_through(lane.work, job)
        except StorageFailure as failure:
            self._failure = failure
        except Exception as error:
            await self._set_aside(job, error)
        finally:
            self._running[lane.kind].pop(job.id, None)
            self._wake.set()

    async def _set_aside(self, job: Job, error: Exception) -> None:
        parked = job.attempts >= limits.POISON
        about: dict[str, Any] = {name: getattr(job, name) for name in ("kind", "subject", "destination", "attempts")}
        about["detail"] = f"{type(error).__name__}: {error}"
        self._journal.write("job-parked" if parked else "job-broken", level=logging.ERROR, **about)
        logging.getLogger("digipoort").debug("job %s", job.subject, exc_info=error)
        again = PostponeJob(job.id, job.token, self._now() + POSTPONED * job.attempts, parked=parked)
        try:
            await self._store.commit(Decision(b"", (again,)))
        except StorageFailure as failure:
            self._failure = failure

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / HEARTBEATS)
            if not await self._hold():
                return

    async def _hold(self) -> bool:
        """Lengthen every lease of ours; False when the store failed."""
        for job in [job for running in self._running.values() for job in running.values()]:
            try:
                held = await self._store.extend(job, self._now() + self._lease)
            except StorageFailure as failure:
                self._failure = failure
                self._wake.set()
                return False
            if not held:  # its commit will be stale: whoever has the lease now does the work
                self._journal.write("lease-lost", kind=job.kind, subject=job.subject)
        return True


@dataclass(frozen=True, slots=True)
class Paths:
    """The worker's paths over one office: processing, and delivering by each channel."""

    office: Office
    settings: Settings
    peers: Peers
    bench: Bench

    def lanes(self) -> tuple[Lane, ...]:
        """For the worker's loop."""
        office, dispatch = self.office, afleveren.Dispatch(self.office, self.peers.post)

        def tell(event: str, **fields: str) -> object:
            return office.journal.write(event, level=logging.INFO, number="", **fields)

        async def confirm(aanlevering: Aanlevering, authority: Authority) -> Authority:
            return await ausp.confirm(aanlevering, authority, office)

        rest = (office.now, office.new_id, tell, confirm)
        ports = verwerken.Ports(office.store, self.bench, lambda: office.snapshot().tables(), *rest)

        async def process(job: Job) -> bool:
            await verwerken.process(job, ports)
            return True

        async def deliver(job: Job) -> bool:
            return await CHANNELS["wus"](job, dispatch)  # the only channel an agency can have yet

        return lanes(process, deliver)


def judge_tls(office: Office) -> Judge:
    """Judges the certificate that an agency's endpoint shows: trusted, for servers, and of the OIN we want to reach."""
    return lambda oin, der: judge_peer(oin, der, office.snapshot().trust, office.now(), Purpose.TLS_SERVER)
