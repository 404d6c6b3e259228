"""What an agency remembers, on a real database."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from digipoort_as4.errors import ConfigError, StorageFailure
from digipoort_as4.hub.decision import RememberReply, StoredReply
from digipoort_as4.storage.agency_book import AgencyBook, HandOver, Wish

NOW = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
HUB = "00000099000000001000"
TAKEN = HandOver(HUB, "bk-1", "k-1", "Omzetbelasting", "bk-1", "aa", NOW)
REPLY = RememberReply(HUB, "urn:uuid:1", StoredReply("c2ln", b"<answer/>"), NOW + timedelta(days=7))
WISH = Wish(HUB, "bk-1", "k-1", "500", NOW, details="<ok/>", due=NOW)


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[AgencyBook]:
    book = AgencyBook.open(tmp_path)
    yield book
    await book.close()


async def test_what_was_taken_is_there_after_a_restart(tmp_path: Path) -> None:
    """Hand-over, answer and status wish come back from disk as they went in."""
    book = AgencyBook.open(tmp_path)
    assert await book.take(TAKEN, REPLY, [WISH])
    await book.close()

    again = AgencyBook.open(tmp_path)
    assert TAKEN == again.find_hand_over(HUB, "bk-1")
    assert REPLY.reply == again.find_reply(HUB, "urn:uuid:1", NOW)
    assert [WISH] == again.wishes("bk-1")
    assert [TAKEN] == again.open_hand_overs()
    await again.close()


async def test_a_key_is_taken_once(book: AgencyBook) -> None:
    """The same (hub, berichtkenmerk) again changes nothing, its answer and wishes included."""
    assert await book.take(TAKEN, REPLY)

    other = RememberReply(HUB, "urn:uuid:2", StoredReply("YW5k", b"<other/>"), REPLY.until)
    assert not await book.take(replace(TAKEN, staged="bb"), other, [WISH])

    assert TAKEN == book.find_hand_over(HUB, "bk-1")
    assert book.find_reply(HUB, "urn:uuid:2", NOW) is None
    assert [] == book.wishes("bk-1")


async def test_another_hubs_key_is_another_key(book: AgencyBook) -> None:
    """Keys are per hub (decision 22)."""
    assert await book.take(TAKEN, REPLY)

    other = "00000099000000009000"
    assert await book.take(replace(TAKEN, hub_oin=other, staged="bb"), replace(REPLY, party=other))


async def test_a_message_id_is_answered_once(book: AgencyBook) -> None:
    """A MessageID that has an answer takes no second hand-over."""
    assert await book.take(TAKEN, REPLY)

    assert not await book.take(replace(TAKEN, berichtkenmerk="bk-2"), REPLY)
    assert book.find_hand_over(HUB, "bk-2") is None
    assert not await book.remember(REPLY)


async def test_a_reply_has_its_time(book: AgencyBook) -> None:
    """Until its last moment it is found, then not, and forgetting makes room for the MessageID."""
    await book.take(TAKEN, REPLY)

    assert book.find_reply(HUB, "urn:uuid:1", REPLY.until - timedelta(milliseconds=1))
    assert book.find_reply(HUB, "urn:uuid:1", REPLY.until) is None
    assert not await book.remember(REPLY)
    await book.forget_replies(REPLY.until)
    assert await book.remember(REPLY)


async def test_a_status_waits_for_the_hand_over(book: AgencyBook) -> None:
    """It is due only when the back end can see the documents, and settled without a due time."""
    await book.take(TAKEN, REPLY, [WISH])
    assert [] == book.due_wishes(NOW, 10)

    await book.done(TAKEN, NOW)
    assert [] == book.open_hand_overs()
    assert [WISH] == book.due_wishes(NOW, 10)
    assert [] == book.due_wishes(NOW - timedelta(seconds=1), 10)

    await book.note_attempt(replace(WISH, due=NOW + timedelta(seconds=5), attempts=1, note="no answer"))
    assert [] == book.due_wishes(NOW, 10)
    assert [NOW + timedelta(seconds=5)] == [wish.due for wish in book.due_wishes(NOW + timedelta(seconds=5), 10)]
    await book.note_attempt(replace(WISH, due=None, attempts=2))
    assert [] == book.due_wishes(NOW + timedelta(days=1), 10)


async def test_one_process_owns_the_folder(book: AgencyBook, tmp_path: Path) -> None:
    """A second one is refused with the way out."""
    with pytest.raises(ConfigError, match="is in use by process"):
        AgencyBook.open(tmp_path)


async def test_after_a_failure_everything_is_refused(book: AgencyBook, tmp_path: Path) -> None:
    """A database error is never followed by a commit that seems to succeed (P5)."""
    other = sqlite3.connect(tmp_path / "agency.sqlite")
    other.execute("DROP TABLE reply")
    other.close()

    with pytest.raises(StorageFailure):
        await book.take(TAKEN, REPLY)
    with pytest.raises(StorageFailure):
        await book.done(TAKEN, NOW)
    with pytest.raises(StorageFailure):
        book.find_hand_over(HUB, "bk-1")


async def test_every_commit_waits_for_the_disk(book: AgencyBook, tmp_path: Path) -> None:
    """WAL with synchronous=FULL: read back from the connection in use."""
    values = [book._read(f"PRAGMA {name}", ()) for name in ("journal_mode", "synchronous")]

    assert [[("wal",)], [(2,)]] == values
    assert (tmp_path / "agency.sqlite").exists()


async def test_a_commit_copies_no_log_pages_home(book: AgencyBook, tmp_path: Path) -> None:
    """SQLite's own checkpoint would run inside COMMIT from 1,000 pages on, and hide a failing disk from us."""
    before = (tmp_path / "agency.sqlite").stat().st_size
    long = RememberReply(HUB, "urn:uuid:1", StoredReply("c2ln", b"x" * 8_000_000), REPLY.until)
    assert await book.take(TAKEN, long)

    assert before == (tmp_path / "agency.sqlite").stat().st_size
    assert 8_000_000 < (tmp_path / "agency.sqlite-wal").stat().st_size


@pytest.mark.parametrize(("version", "opens"), [(2, True), (3, False)])
async def test_a_newer_programs_database_is_refused(tmp_path: Path, version: int, opens: bool) -> None:
    """What this version wrote opens again, with what it knew; what a later one wrote is not guessed at."""
    book = AgencyBook.open(tmp_path)
    await book.take(TAKEN, REPLY)
    await book.close()
    with sqlite3.connect(tmp_path / "agency.sqlite") as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()

    if not opens:
        with pytest.raises(ConfigError, match="use a newer program"):
            AgencyBook.open(tmp_path)
        return
    again = AgencyBook.open(tmp_path)
    assert TAKEN == again.find_hand_over(HUB, "bk-1")
    await again.close()


async def test_the_database_of_an_older_program_is_brought_up_to_date(tmp_path: Path) -> None:
    """Version 1 knew no outbox; what it took is still there."""
    book = AgencyBook.open(tmp_path)
    await book.take(TAKEN, REPLY)
    await book.close()
    with sqlite3.connect(tmp_path / "agency.sqlite") as connection:
        connection.executescript("DROP TABLE dispatch; PRAGMA user_version = 1;")
    connection.close()

    again = AgencyBook.open(tmp_path)
    assert TAKEN == again.find_hand_over(HUB, "bk-1")
    assert [] == again.dispatches()
    await again.close()


async def test_a_failed_read_ends_the_book_too(book: AgencyBook, tmp_path: Path) -> None:
    """It says as little good of the disk as a failed write: nothing is promised afterwards (P5)."""
    await book.take(TAKEN, REPLY)
    other = sqlite3.connect(tmp_path / "agency.sqlite")
    other.execute("DROP TABLE wish")
    other.close()

    with pytest.raises(StorageFailure, match="reading failed"):
        book.wishes("bk-1")
    with pytest.raises(StorageFailure, match="reading failed"):
        await book.done(TAKEN, NOW)
