"""The processing path over the real store: one job, one commit, once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from helpers_hub import BELASTINGDIENST, KENMERK, NOW, XBRL, aanlevering, document

from digipoort_as4.hub import statuses
from digipoort_as4.hub.decision import Committed, Decision, Job, QueueJob, Stale, StartProcess
from digipoort_as4.hub.registers import Tables
from digipoort_as4.hub.verwerken import Ports, process
from digipoort_as4.storage import tables
from digipoort_as4.storage.sqlite import SqliteStore
from digipoort_as4.validation.bench import Bench

LEASE = NOW + timedelta(seconds=90)
BERICHT = "11111111-2222-4333-8444-555555555502"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore.open(tmp_path, lambda: NOW)
    yield made
    await made.close()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench(places=1)
    yield made
    await made.close()


async def accepted(store: SqliteStore, text: str) -> Job:
    """An envelope as accepting leaves it, and its claimed job."""
    kept = await store.keep(document(text, key="k1-k1-k1"))
    told = statuses.in_order(None, [statuses.make(code, NOW) for code in ("105", "100", "110")])
    unit = aanlevering("Omzetbelasting", kept)
    decision = Decision(b"", (StartProcess(KENMERK, unit, NOW, told), QueueJob("verwerken", "hub", KENMERK, NOW)))
    assert Committed() == await store.commit(decision)
    (job,) = await store.claim(["verwerken"], NOW, LEASE, 5, 5)
    return job


def ports(store: SqliteStore, bench: Bench) -> Ports:
    routes = tables.load_routes()
    at = Tables(routes, tables.load_parties(), tables.load_consents(), frozenset(routes.bodies.values()))
    return Ports(store, bench, lambda: at, lambda: NOW, lambda: BERICHT, lambda event, **fields: None)


@pytest.mark.parametrize("filling", ["", "x" * 200_000], ids=["in the row", "in a file"])
async def test_accepted_to_delivering(store: SqliteStore, bench: Bench, filling: str) -> None:
    """Statuses in order, the delivery, its job; small documents and those above 64 KiB."""
    job = await accepted(store, XBRL.replace("<xbrli:context", f"<!--{filling}--><xbrli:context"))
    assert Committed() == await process(job, ports(store, bench))
    told = await store.statuses(KENMERK)
    assert ["105", "100", "110", "200", "301", "301"] == [status.code for status in told]
    assert sorted({status.at for status in told}) == [status.at for status in told]
    (delivery,) = await store.deliveries(KENMERK)
    assert (BERICHT, BELASTINGDIENST, ("k1-k1-k1",), "queued") == (
        delivery.berichtkenmerk,
        delivery.recipient_oin,
        delivery.documents,
        delivery.state,
    )
    assert [] == await store.claim(["verwerken"], NOW, LEASE, 5, 5)
    (queued,) = await store.claim(["afleveren"], NOW, LEASE, 5, 5)
    assert (BELASTINGDIENST, BERICHT) == (queued.destination, queued.subject)


async def test_the_same_job_twice_is_processed_once(store: SqliteStore, bench: Bench) -> None:
    """The second run of a job whose lease is over finds the work done, and its commit is stale."""
    job = await accepted(store, XBRL)
    await process(job, ports(store, bench))
    assert isinstance(await process(job, ports(store, bench)), Stale)
    assert 6 == len(await store.statuses(KENMERK))
    assert 1 == len(await store.deliveries(KENMERK))


async def test_a_lost_lease_writes_nothing(store: SqliteStore, bench: Bench) -> None:
    job = await accepted(store, XBRL)
    assert isinstance(await process(replace(job, token=job.token + 1), ports(store, bench)), Stale)
    assert 3 == len(await store.statuses(KENMERK))
    assert [] == await store.deliveries(KENMERK)
