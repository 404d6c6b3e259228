"""The SQLite engine: the contract, and what is its own."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
import typing
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from contract import LARGE, LEASE, StoreContract, claim, claim_one, queue
from helpers_store import T0, Clock, X, accepted, decision, document, kenmerk, key, remembered, spooled, started

from digipoort_as4 import limits
from digipoort_as4.errors import ConfigError, StorageFailure
from digipoort_as4.hub import identities
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.hub.decision import AlreadyThere, Committed, Effect, QueueJob, Register, Search
from digipoort_as4.payload import read_all
from digipoort_as4.storage import jobs
from digipoort_as4.storage.effects import EFFECTS
from digipoort_as4.storage.sqlite import MIGRATIONS, SqliteStore
from digipoort_as4.storage.view import open_view, registered


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "store", clock)
    yield opened
    await opened.close()


class TestSqlite(StoreContract):
    """The contract, on SQLite."""


def test_every_effect_is_carried_out() -> None:
    assert set(typing.get_args(Effect)) == set(EFFECTS)


# --- the file -----------------------------------------------------------------------------------------------------


def test_commits_wait_for_the_disk(store: SqliteStore) -> None:
    """WAL with synchronous FULL (2): what a receipt rests on (P1)."""
    connection = store._writer_connection

    assert "wal" == connection.execute("PRAGMA journal_mode").fetchone()[0]
    assert 2 == connection.execute("PRAGMA synchronous").fetchone()[0]


def test_all_tables_are_strict(store: SqliteStore) -> None:
    tables = store._writer_connection.execute("SELECT name, strict FROM pragma_table_list WHERE type = 'table'")

    assert [] == [name for name, strict in tables if not strict and not name.startswith("sqlite_")]


async def test_a_second_opener_hears_who_holds_the_store(tmp_path: Path, store: SqliteStore) -> None:
    with pytest.raises(ConfigError, match=f"in use by process {os.getpid()};"):
        SqliteStore.open(tmp_path / "store", Clock())

    assert Committed() == await store.commit(accepted(1))


def test_another_process_is_refused_too(tmp_path: Path, store: SqliteStore) -> None:
    program = (
        "import sys; from pathlib import Path; from digipoort_as4.errors import ConfigError\n"
        "from digipoort_as4.storage.sqlite import SqliteStore\n"
        "try: SqliteStore.open(Path(sys.argv[1]), None)\n"
        "except ConfigError as error: print(error)"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "store")], capture_output=True, text=True, check=True
    )

    assert f"in use by process {os.getpid()};" in ran.stdout


async def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    await SqliteStore.open(tmp_path, Clock()).close()
    with sqlite3.connect(tmp_path / "store.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()

    with pytest.raises(ConfigError, match="version 999"):
        SqliteStore.open(tmp_path, Clock())


@pytest.mark.parametrize(
    ("nummer", "kind"),
    [
        ("NL0010.00.044.B.37", "BTW"), ("nl001000044b37", "btw"), ("001000044B37", "Fi"), ("001000044l01", "LHnr"),
        ("90 001 101", "KvK"), ("nl-1", "Anders"), ("00000099000000101000", "OIN"), ("123456782", "BSN"),
    ],
)  # fmt: skip
async def test_processes_of_the_first_version_are_found(tmp_path: Path, nummer: str, kind: str) -> None:
    """Their belanghebbende gets the form that is compared while the file is brought up to date."""
    connection = sqlite3.connect(tmp_path / "store.sqlite3")
    connection.executescript((MIGRATIONS / "001_initial.sql").read_text() + "PRAGMA user_version = 1;")
    connection.execute(
        "INSERT INTO process (kenmerk, sender_oin, berichtsoort, belanghebbende_nummer, belanghebbende_type,"
        " rol_belanghebbende, content, received_at, state, version, last_seq, last_status_at)"
        " VALUES ('k', '1', 'b', ?, ?, '', zeroblob(32), 0, 'ended', 0, 0, 0)",
        (nummer, kind),
    )
    connection.commit()
    connection.close()
    store = SqliteStore.open(tmp_path, Clock())
    search = Search(9, berichtsoort="b", belanghebbende=identities.key(Identiteit(nummer, kind)))
    assert ["k"] == [found.kenmerk for found in await store.search_processes(search)]
    await store.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite3").write_bytes(b"not a database, but long enough to be looked at" * 100)

    with pytest.raises(StorageFailure, match="not a database"):
        SqliteStore.open(tmp_path, Clock())


async def test_everything_is_there_after_opening_again(tmp_path: Path) -> None:
    first = SqliteStore.open(tmp_path / "store", Clock())
    kept = await first.keep(spooled(tmp_path, 1, LARGE))
    await first.commit(accepted(1, kept, document(2, b"small")))
    await first.close()

    second = SqliteStore.open(tmp_path / "store", Clock())
    process = await second.process(kenmerk(1))
    repeat = await second.commit(accepted(1, kept))
    await second.close()

    assert process is not None
    assert [LARGE, b"small"] == [read_all(d.payload) for d in process.aanlevering.documents]
    assert isinstance(repeat, AlreadyThere)
    assert b"<receipt nr='1'/>" == repeat.reply.octets


async def test_leases_of_a_dead_owner_are_free_at_once_and_still_count_as_attempts(tmp_path: Path) -> None:
    first = SqliteStore.open(tmp_path, Clock())
    await queue(first, X, 1)
    await claim_one(first)
    await first.close()

    second = SqliteStore.open(tmp_path, Clock())
    job = await claim_one(second)
    await second.close()

    assert 2 == job.attempts


async def test_a_register_is_append_only(store: SqliteStore) -> None:
    """Neither the operator's hand nor a bug of ours rewrites who granted what."""
    entry = Register("mandate", "m-1", "{}", "J. Bos", "proef", T0)
    assert Committed() == await store.commit(decision(entry))
    connection = store._writer_connection
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("UPDATE register SET by = 'x'")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("DELETE FROM register")
    assert [entry] == await store.register("mandate")


async def test_registers_are_read_from_the_folder_while_the_store_is_open(tmp_path: Path, store: SqliteStore) -> None:
    """As gateway reads its tables; nothing where there is no store yet."""
    assert [] == registered(tmp_path / "elsewhere")
    entries = [Register(name, "k", None, "J. Bos", "proef", T0) for name in ("mandate", "route")]
    for entry in entries:
        await store.commit(decision(entry))
    assert entries == registered(tmp_path / "store")


def test_evidence_is_append_only(store: SqliteStore) -> None:
    connection = store._writer_connection
    connection.execute("INSERT INTO evidence (kenmerk, kind, at, coverage, octets) VALUES ('k', 'x', 0, '', x'00')")

    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("UPDATE evidence SET octets = x'01'")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("DELETE FROM evidence")


async def test_expired_replies_are_forgotten_as_new_ones_come(store: SqliteStore, clock: Clock) -> None:
    await store.commit_many([decision(remembered(n, b"old", T0 + timedelta(days=1))) for n in range(4)])
    clock.now = T0 + timedelta(days=2)

    await store.commit_many([decision(remembered(n, b"new", T0 + timedelta(days=9))) for n in (10, 11)])

    assert 2 == store._writer_connection.execute("SELECT count(*) FROM reply").fetchone()[0]


# --- groups and wakes -----------------------------------------------------------------------------------------------


async def test_commits_that_wait_share_a_transaction(store: SqliteStore) -> None:
    statements: list[str] = []
    store._writer_connection.set_trace_callback(statements.append)

    await asyncio.gather(*(store.commit(accepted(number)) for number in range(32)))

    assert 1 == statements.count("COMMIT")


async def test_what_comes_while_the_disk_is_waited_for_goes_together(store: SqliteStore) -> None:
    statements: list[str] = []
    store._writer_connection.set_trace_callback(statements.append)

    first = asyncio.create_task(store.commit(accepted(0)))
    while "COMMIT" not in statements:
        await asyncio.sleep(0)
    await asyncio.gather(first, *(store.commit(accepted(number)) for number in range(1, 32)))

    assert 2 == statements.count("COMMIT")


async def test_a_commit_that_queued_a_job_wakes_the_worker(store: SqliteStore) -> None:
    wakes: list[int] = []
    store.on_commit = lambda: wakes.append(1)

    await store.commit(decision(started(1)))
    assert [] == wakes
    await store.commit(decision(QueueJob("afleveren", X, "1", T0)))
    assert [1] == wakes


async def test_a_caller_that_gives_up_loses_nobody_elses_commit(store: SqliteStore) -> None:
    given_up = asyncio.create_task(store.commit(accepted(1)))
    other = asyncio.create_task(store.commit(accepted(2)))
    await asyncio.sleep(0)
    given_up.cancel()

    assert Committed() == await other
    assert await store.process(kenmerk(2)) is not None


async def test_the_log_is_copied_home_as_it_grows(tmp_path: Path, store: SqliteStore) -> None:
    """1000 messages of 20 kB: the WAL is used again instead of growing with each."""
    for batch in range(10):
        octets = bytes(20_000)
        await store.commit_many(
            [accepted(number, document(number, octets)) for number in range(batch * 100, batch * 100 + 100)]
        )

    assert (tmp_path / "store" / "store.sqlite3-wal").stat().st_size < 1000 * 20_000
    assert (tmp_path / "store" / "store.sqlite3").stat().st_size > 400 * 20_000


async def test_claiming_costs_the_same_with_a_long_backlog(store: SqliteStore) -> None:
    """Steps of SQLite's machine for a claim and a next_due, with 50 jobs of one destination and with 5,000."""

    def steps() -> int:
        done = [0]
        connection = store._writer_connection
        connection.set_progress_handler(lambda: done.__setitem__(0, done[0] + 1), 1)
        jobs.claim(connection, jobs.Turns(), ["afleveren"], T0, LEASE, 8, 4)
        jobs.next_due(connection, T0)
        connection.set_progress_handler(None, 1)
        connection.execute("UPDATE job SET lease_until = 0 WHERE lease_until > 0")
        return done[0]

    async def queued(count: int) -> None:
        await queue(store, X, count)
        if writer := store._group._writer:  # a checkpoint in its thread and our handler would wait for one another
            await asyncio.wait([writer])

    await queued(50)
    few = steps()
    await queued(4950)

    assert steps() < few * 1.1


# --- payload files ---------------------------------------------------------------------------------------------------


async def test_a_whole_spool_file_is_moved_and_not_copied(tmp_path: Path, store: SqliteStore) -> None:
    spool = spooled(tmp_path, 1, LARGE)
    inode = (tmp_path / "spool-1").stat().st_ino

    await store.keep(spool)

    assert inode == (tmp_path / "store" / "payloads" / key(1)[:2] / key(1)[2:]).stat().st_ino
    assert not (tmp_path / "spool-1").exists()


async def test_a_damaged_payload_is_noticed_before_its_last_octets_leave(tmp_path: Path, store: SqliteStore) -> None:
    octets = bytes(limits.CHUNK * 2)
    kept = await store.keep(document(1, octets))
    path = tmp_path / "store" / "payloads" / key(1)[:2] / key(1)[2:]
    path.write_bytes(b"\1" + octets[1:])

    left = bytearray()
    with pytest.raises(OSError, match="damaged"):
        for chunk in kept.payload.open():
            left += chunk

    assert len(left) == limits.CHUNK


async def test_a_shortened_payload_is_noticed(tmp_path: Path, store: SqliteStore) -> None:
    kept = await store.keep(document(1, LARGE))
    (tmp_path / "store" / "payloads" / key(1)[:2] / key(1)[2:]).write_bytes(LARGE[:-1])

    with pytest.raises(OSError, match="early"):
        read_all(kept.payload)


@pytest.mark.parametrize("bad", ["../../etc/passwd", "ab", "a/b/c/d/e/f", "ABCDEFGHIJ", "", "abcdefgh\n"])
async def test_a_key_that_could_be_a_path_is_refused(store: SqliteStore, bad: str) -> None:
    with pytest.raises(ValueError, match="key"):
        await store.keep(replace(document(1, LARGE), key=bad))


async def test_old_files_without_a_row_are_swept_at_start(tmp_path: Path) -> None:
    """Left by uploads that died between the file and the commit; a younger one and one with a row stay."""
    clock = Clock()
    store = SqliteStore.open(tmp_path, clock)
    named, *_ = [await store.keep(document(number, LARGE)) for number in (1, 2, 3)]
    await store.commit(accepted(1, named))
    await store.close()
    files = {number: tmp_path / "payloads" / key(number)[:2] / key(number)[2:] for number in (1, 2, 3)}
    for number, hours in ((1, 48), (2, 25), (3, 23)):
        written = (T0 - timedelta(hours=hours)).timestamp()
        os.utime(files[number], (written, written))
    unfinished = files[1].with_name("ffff.part")
    unfinished.write_bytes(b"half")

    await SqliteStore.open(tmp_path, clock).close()

    assert [True, False, True] == [files[number].exists() for number in (1, 2, 3)]
    assert not unfinished.exists()


# --- a store that failed (P5) ----------------------------------------------------------------------------------------


async def test_after_a_failed_write_everything_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    """No file may grow: the write of the commit fails as on a full disk, for real."""
    store = SqliteStore.open(tmp_path, Clock())
    failures: list[str] = []
    store.on_failure = lambda: failures.append("stop")
    await store.commit(accepted(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (tmp_path / "store.sqlite3-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        outcomes = await asyncio.gather(
            *(store.commit(accepted(number)) for number in range(2, 12)), return_exceptions=True
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert [StorageFailure] * 10 == [type(outcome) for outcome in outcomes]
    assert ["stop"] == failures
    assert store.failure is not None
    for refused in (
        store.commit(accepted(20)),
        store.process(kenmerk(1)),
        claim(store),
        store.keep(document(1, b"small")),
    ):
        with pytest.raises(StorageFailure):
            await refused
    await store.close()
    await accepted_is_there(tmp_path)


async def accepted_is_there(folder: Path) -> None:
    again = SqliteStore.open(folder, Clock())
    assert await again.process(kenmerk(1)) is not None
    assert Committed() == await again.commit(accepted(20))
    await again.close()


async def test_a_document_that_can_not_be_kept_ends_the_store(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path, Clock())
    await store.commit(accepted(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.INLINE_PAYLOAD, hard))
    try:
        with pytest.raises(StorageFailure):
            await store.keep(document(2, LARGE))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    with pytest.raises(StorageFailure):
        await store.commit(accepted(3))
    await store.close()
    assert not list((tmp_path / "payloads").rglob("*.part"))
    await accepted_is_there(tmp_path)


async def test_a_closed_store_refuses(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path, Clock())
    last = asyncio.create_task(store.commit(accepted(1)))
    await asyncio.sleep(0)
    await store.close()

    assert Committed() == await last
    with pytest.raises(StorageFailure, match="closed"):
        await store.commit(accepted(2))
    with open_view(tmp_path) as view:
        assert [kenmerk(1)] == [process.kenmerk for process in view.processes()]


async def test_the_lease_of_a_claim_is_on_disk_before_the_work(tmp_path: Path, store: SqliteStore) -> None:
    await queue(store, X, 1)
    await claim(store, T0, LEASE)

    with open_view(tmp_path / "store") as view:
        (job,) = view.jobs()
    assert job.held
