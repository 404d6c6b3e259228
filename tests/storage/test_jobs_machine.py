"""Jobs and leases against a model, in orders nobody thought of."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from helpers_store import T0, Clock, decision
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from digipoort_as4.hub.decision import Committed, FinishJob, Job, PostponeJob, QueueJob, Stale
from digipoort_as4.storage.sqlite import SqliteStore

SECONDS = st.integers(0, 30).map(lambda seconds: timedelta(seconds=seconds))
DESTINATIONS = st.sampled_from(["X", "Y", "Z"])


@dataclass
class Known:
    """What the model knows of a job."""

    destination: str
    due: datetime
    lease_until: datetime | None = None
    holder: int = 0
    attempts: int = 0
    parked: bool = False

    def claimable(self, now: datetime) -> bool:
        return not self.parked and self.due <= now and not self.leased(now)

    def leased(self, now: datetime) -> bool:
        return self.lease_until is not None and self.lease_until > now


class Jobs(RuleBasedStateMachine):
    """Queue, claim, finish, postpone, extend, wait and restart."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.model: dict[str, Known] = {}
        self.queued = 0
        self.open()

    def open(self) -> None:
        async def opened() -> SqliteStore:
            return SqliteStore.open(Path(self.folder.name), self.clock)

        self.store = self.runner.run(opened())

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    def commit(self, *effects: QueueJob | FinishJob | PostponeJob) -> object:
        return self.runner.run(self.store.commit(decision(*effects)))

    @rule(destination=DESTINATIONS, delay=SECONDS)
    def queue(self, destination: str, delay: timedelta) -> None:
        self.queued += 1
        due = self.clock.now + delay
        assert Committed() == self.commit(QueueJob("afleveren", destination, str(self.queued), due))
        self.model[str(self.queued)] = Known(destination, due)

    @rule(target=leases, limit=st.integers(1, 5), cap=st.integers(1, 3), length=SECONDS)
    def claim(self, limit: int, cap: int, length: timedelta) -> object:
        now = self.clock.now
        until = now + length + timedelta(seconds=1)
        taken = self.runner.run(self.store.claim(["afleveren"], now, until, limit, cap))

        room = {
            name: min(
                max(0, cap - sum(k.leased(now) for k in self.model.values() if k.destination == name)),
                sum(k.claimable(now) for k in self.model.values() if k.destination == name),
            )
            for name in "XYZ"
        }
        assert min(limit, sum(room.values())) == len(taken)
        for job in taken:
            known = self.model[job.subject]
            assert known.claimable(now)
            known.lease_until, known.holder, known.attempts = until, job.token, known.attempts + 1
            assert known.attempts == job.attempts
        counts = {name: sum(job.destination == name for job in taken) for name in "XYZ"}
        assert all(counts[name] <= room[name] for name in "XYZ")
        waiting_longer = [counts[name] for name in "XYZ" if counts[name] < room[name]]
        assert not waiting_longer or max(counts.values()) - min(waiting_longer) <= 1
        return multiple(*taken)

    def holds(self, job: Job) -> bool:
        known = self.model.get(job.subject)
        return known is not None and known.lease_until is not None and known.holder == job.token

    @rule(job=leases)
    def finish(self, job: Job) -> None:
        held = self.holds(job)
        outcome = self.commit(FinishJob(job.id, job.token))
        assert (Committed if held else Stale) is type(outcome)
        if held:
            del self.model[job.subject]

    @rule(job=leases, delay=SECONDS, parked=st.booleans(), reset=st.booleans())
    def postpone(self, job: Job, delay: timedelta, parked: bool, reset: bool) -> None:
        held = self.holds(job)
        due = self.clock.now + delay
        outcome = self.commit(PostponeJob(job.id, job.token, due, parked, reset))
        assert (Committed if held else Stale) is type(outcome)
        if held:
            known = self.model[job.subject]
            known.due, known.lease_until, known.parked = due, None, parked
            known.attempts = 0 if reset else known.attempts

    @rule(job=leases, length=SECONDS)
    def extend(self, job: Job, length: timedelta) -> None:
        until = self.clock.now + length
        assert self.holds(job) is self.runner.run(self.store.extend(job, until))
        if self.holds(job):
            self.model[job.subject].lease_until = until

    @rule(time=SECONDS)
    def wait(self, time: timedelta) -> None:
        self.clock.now += time

    @rule()
    def restart(self) -> None:
        self.runner.run(self.store.close())
        self.open()
        for known in self.model.values():
            known.lease_until = None

    @invariant()
    def next_due_is_when_the_next_can_be_claimed(self) -> None:
        times = [max(k.due, k.lease_until or T0) for k in self.model.values() if not k.parked]
        expected = max(self.clock.now, min(times)) if times else None
        assert expected == self.runner.run(self.store.next_due(self.clock.now))


TestJobs = Jobs.TestCase
TestJobs.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
