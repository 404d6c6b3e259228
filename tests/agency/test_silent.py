"""P6 over real sockets: an agency that accepts connections and says nothing delays nobody else's messages."""

from __future__ import annotations

import asyncio
import statistics
import time
from datetime import timedelta

from helpers_agency import World, answer_of, now

from digipoort_as4.hub.decision import Job
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.worker import Worker, lanes
from digipoort_as4.wus import afleveren

QUEUED = 500
MEASURED = 15


async def process(job: Job) -> bool:
    raise NotImplementedError("no job of this kind is queued here")


async def time_to_400(world: World, recipient: str) -> float:
    """Median seconds from queueing to 400, one message after another."""
    times = []
    for _ in range(MEASURED):
        start = time.perf_counter()
        delivery = await world.queue(recipient)
        while await world.state(delivery) != "delivered":
            await asyncio.sleep(0.001)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


async def test_a_silent_agency_delays_no_other(world: World) -> None:
    """With 500 messages queued for a silent agency, another's take at most twice the usual time to 400."""
    dispatch = world.dispatch
    worker = Worker(world.store, lanes(process, lambda job: afleveren.deliver(job, dispatch)), now, world.journal)
    world.store.on_commit = worker.wake
    working = asyncio.create_task(worker.run())
    held = asyncio.Event()

    async def silent(request: HttpRequest) -> HttpAnswer:
        await held.wait()
        return answer_of(b"")

    try:
        other = (await world.start_agency("uwv")).oin
        await time_to_400(world, other)  # connections, caches
        usual = await time_to_400(world, other)

        dumb = await world.start_script("aid", silent)
        await asyncio.gather(*(world.queue(dumb) for _ in range(QUEUED)))
        beside = await time_to_400(world, other)

        assert beside <= 2 * usual
    finally:
        held.set()
        working.cancel()
        await asyncio.wait([working], timeout=timedelta(seconds=5).total_seconds())
