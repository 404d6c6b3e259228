"""An agency's outbox: each dropped message reaches the hub once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers_agency import AANLEVEREN, Running, World, answer_of, now, octets_of

from digipoort_as4 import agency
from digipoort_as4.payload import read_all
from digipoort_as4.storage.agency_book import AgencyBook, Dispatch
from digipoort_as4.storage.outbox import Outbox
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wus import services

BELASTINGDIENST = "00000099000000012000"
ENVELOPE: dict[str, Any] = {
    "berichtsoort": "SBA",
    "aanleverkenmerk": "SBA-1",
    "eerderAanleverkenmerk": "Happyflow",
    "identiteitBelanghebbende": {"nummer": "001000044B37", "type": "Fi"},
    "rolBelanghebbende": "Bedrijf",
    "documents": [
        {"file": "sba.xml", "mimeType": "text/xml", "bestandsnaam": "aanslag.xml"},
        {"file": "sba.pdf", "mimeType": "application/pdf", "bestandsnaam": "aanslag.pdf"},
    ],
}
FILES = {"sba.xml": b"<sba/>", "sba.pdf": b"%PDF" + bytes(range(256)) * 1_000}


def drop(home: Path, name: str, envelope: object = ENVELOPE, files: dict[str, bytes] = FILES) -> None:
    """As a back end does: write beside the outbox, show by one rename."""
    place = home / f"{name}.being-written"
    place.mkdir(parents=True)
    for file, octets in files.items():
        (place / file).write_bytes(octets)
    text = envelope if isinstance(envelope, str) else json.dumps(envelope)
    (place / "envelope.json").write_text(text, encoding="utf-8")
    (home / "outbox").mkdir(exist_ok=True)
    place.rename(home / "outbox" / name)


class Bureau:
    """The Belastingdienst without its loops: a test says when it sends; `die` leaves it as a kill would."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.settings = world.settings("belastingdienst", {})
        self.home = self.settings.base.folder
        world.agencies[BELASTINGDIENST] = "https://localhost:1/"
        self.agency: agency.Agency
        self.book: AgencyBook
        self.rise()

    def rise(self) -> None:
        world = self.world
        self.book = AgencyBook.open(self.home)
        self.peers = world.new_peers("belastingdienst")
        rest = (self.peers, world.journal, asyncio.Event())
        self.agency = agency.open_agency(self.settings, self.book, lambda: world.trust, *rest)

    async def die(self) -> None:
        await self.peers.close()
        await self.book.close()

    def point_at(self, handler_port: int) -> None:
        self.agency.desk = replace(self.agency.desk, aanleveren_url=f"https://localhost:{handler_port}{AANLEVEREN}")

    def at(self, clock: Callable[[], Any]) -> None:
        self.agency.desk = replace(self.agency.desk, now=clock)

    def names(self, where: str) -> list[str]:
        return sorted(path.name for path in (self.home / where).iterdir() if not path.name.startswith("."))

    def told(self, where: str, name: str) -> dict[str, Any]:
        return json.loads((self.home / where / name / "answer.json").read_text(encoding="utf-8"))

    def kenmerken(self) -> list[str]:
        """Of everything in sent/."""
        return [self.told("sent", name)["kenmerk"] for name in self.names("sent")]


@pytest.fixture
async def bureau(world: World) -> Any:
    one = Bureau(world)
    yield one
    await one.die()


async def stored(world: World) -> int:
    """Processes at the hub."""
    return len(world.store._view.processes())


# --- sent -------------------------------------------------------------------------------------------------------------


async def test_a_dropped_message_reaches_the_hub(world: World, bureau: Bureau) -> None:
    """All it says and both documents, one of them large; the receipt beside it in sent/; nothing left in the outbox."""
    drop(bureau.home, "aanslag-1")
    await bureau.agency.send_due()

    assert (bureau.names("outbox"), bureau.names("outbox/.taken"), bureau.names("sent")) == ([], [], ["aanslag-1"])
    told = bureau.told("sent", "aanslag-1")
    assert (told["berichtsoort"], told["aanleverkenmerk"], told["eerderAanleverkenmerk"]) == (
        "SBA",
        "SBA-1",
        "Happyflow",
    )
    receipt = (bureau.home / "sent" / "aanslag-1" / "answer.xml").read_bytes()
    assert b"SignatureValue" in receipt
    assert told["kenmerk"].encode() in receipt
    process = await world.store.process(told["kenmerk"])
    assert process is not None
    assert process.aanlevering.sender_oin == BELASTINGDIENST
    assert [(d.part, d.mime_type, d.bestandsnaam, read_all(d.payload)) for d in process.aanlevering.documents] == [
        ("inhoud", "text/xml", "aanslag.xml", FILES["sba.xml"]),
        ("bijlage", "application/pdf", "aanslag.pdf", FILES["sba.pdf"]),
    ]
    assert bureau.book.dispatches() == []


async def test_the_loop_of_a_running_agency_sends(world: World) -> None:
    """Within a second or two, without being told."""
    running: Running = await world.start_agency("belastingdienst")
    home = running.inbox.parent
    drop(home, "aanslag-1")
    async with asyncio.timeout(10):
        while not (home / "sent" / "aanslag-1").exists():
            await asyncio.sleep(0.05)
    assert await stored(world) == 1


async def test_size_and_sha256_are_checked_when_given(bureau: Bureau) -> None:
    """As the inbox writes them; right ones go, one wrong digit does not."""
    right = {"size": 6, "sha256": hashlib.sha256(b"<sba/>").hexdigest()}
    wrong = {**right, "sha256": hashlib.sha256(b"<sba>").hexdigest()}
    for name, digests in (("right", right), ("wrong", wrong)):
        drop(bureau.home, name, {**ENVELOPE, "documents": [{**ENVELOPE["documents"][0], **digests}]})
    await bureau.agency.send_due()
    assert (bureau.names("sent"), bureau.names("refused")) == (["right"], ["wrong"])
    assert "sba.xml is not what size and sha256 say" in bureau.told("refused", "wrong")["reason"]


async def test_a_name_may_come_again(world: World, bureau: Bureau) -> None:
    """The second folder gets its MessageID behind its name; both are processes."""
    for _ in range(2):
        drop(bureau.home, "aanslag")
        await bureau.agency.send_due()
    first, second = bureau.names("sent")
    assert first == "aanslag"
    assert second.startswith("aanslag-")
    assert len(second) == len("aanslag-") + 36
    assert await stored(world) == 2


# --- refused ----------------------------------------------------------------------------------------------------------


async def test_what_the_hub_refuses_is_set_aside_with_the_fault(world: World, bureau: Bureau) -> None:
    """foutcode and text; sent once."""
    drop(bureau.home, "aanslag-1", {**ENVELOPE, "berichtsoort": "SBX"})
    for _ in range(2):
        await bureau.agency.send_due()
    told = bureau.told("refused", "aanslag-1")
    assert told["foutcode"] == "ALS100"
    assert "Gevonden: SBX." in told["foutbeschrijving"]
    assert b"aanleverFault" in (bureau.home / "refused" / "aanslag-1" / "answer.xml").read_bytes()
    assert await stored(world) == 0


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in ENVELOPE.items() if name != key}


def document(**changes: object) -> dict[str, Any]:
    return {**ENVELOPE, "documents": [{**ENVELOPE["documents"][0], **changes}]}


BAD: dict[str, tuple[object, str]] = {
    "no json": ("{", "envelope.json: "),
    "a list": ([1], "envelope.json: "),
    "no berichtsoort": (without("berichtsoort"), "berichtsoort: expected a text"),
    "no belanghebbende": (without("identiteitBelanghebbende"), "identiteitBelanghebbende: expected nummer and type"),
    "half a belanghebbende": (
        {**ENVELOPE, "identiteitBelanghebbende": {"nummer": "1"}},
        "identiteitBelanghebbende: expected nummer and type",
    ),
    "a number": ({**ENVELOPE, "rolBelanghebbende": 1}, "rolBelanghebbende: expected a text"),
    "kenmerk": ({**ENVELOPE, "kenmerk": "k"}, "kenmerk does not belong here"),
    "unknown": ({**ENVELOPE, "berichtsort": "SBA"}, "berichtsort does not belong here"),
    "no documents": (without("documents"), "'documents' is missing"),
    "documents empty": ({**ENVELOPE, "documents": []}, "documents: expected one at least"),
    "no mimeType": (document(mimeType=None) | {"documents": [{"file": "sba.xml"}]}, "'mimeType' is missing"),
    "file that is not there": (document(file="sba.txt"), "'sba.txt' is no file of this folder"),
    "path": (document(file="../../../../agency.sqlite"), "is no file of this folder"),
    "absolute path": (document(file="/etc/hostname"), "is no file of this folder"),
    "link": (document(file="link.xml"), "'link.xml' is no file of this folder"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_envelope_is_set_aside_with_its_reason(world: World, bureau: Bureau, name: str) -> None:
    """Nothing is sent, and nothing outside the folder is read."""
    envelope, reason = BAD[name]
    drop(bureau.home, "slecht", envelope)
    (bureau.home / "outbox" / "slecht" / "link.xml").symlink_to(bureau.home / "agency.sqlite")
    await bureau.agency.send_due()
    assert reason in bureau.told("refused", "slecht")["reason"]
    assert await stored(world) == 0
    assert bureau.book.dispatches() == []


async def test_what_is_no_folder_stays(bureau: Bureau) -> None:
    """A file, and a folder that is still being written under a hidden name."""
    (bureau.home / "outbox" / "note.txt").write_text("x")
    (bureau.home / "outbox" / ".new").mkdir()
    await bureau.agency.send_due()
    assert bureau.names("outbox") == ["note.txt"]
    assert (bureau.home / "outbox" / ".new").exists()


# --- the same octets until answered -----------------------------------------------------------------------------------


class Lossy:
    """The hub behind a line that loses answers: the first `lost` requests reach it and their answers do not come."""

    def __init__(self, world: World, lost: int) -> None:
        self.answer, self.lost = partial(services.answer, office=world.office), lost
        self.seen: list[bytes] = []

    async def __call__(self, request: HttpRequest) -> HttpAnswer:
        self.seen.append(octets_of(request.body))
        answer = await self.answer(request)
        return answer_of(b"busy", 503) if len(self.seen) <= self.lost else answer


async def test_the_same_octets_are_repeated_until_they_are_answered(world: World, bureau: Bureau) -> None:
    """Two answers lost: three equal requests, one process, its kenmerk in sent/."""
    line = Lossy(world, 2)
    bureau.point_at((await world.serve("digipoort", line)).port)
    drop(bureau.home, "aanslag-1")
    for minutes in range(1, 5):
        await bureau.agency.send_due()
        bureau.at(partial(later, timedelta(minutes=minutes)))
    assert len(line.seen) == 3
    assert len(set(line.seen)) == 1
    assert await stored(world) == 1
    assert bureau.names("sent") == ["aanslag-1"]


def later(by: timedelta) -> Any:
    return now() + by


async def test_a_pause_after_a_failure(world: World, bureau: Bureau) -> None:
    """Not due at once: a hub that is away is not called without end."""
    line = Lossy(world, 9)
    bureau.point_at((await world.serve("digipoort", line)).port)
    drop(bureau.home, "aanslag-1")
    await bureau.agency.send_due()
    await bureau.agency.send_due()
    assert len(line.seen) == 1
    (one,) = bureau.book.dispatches()
    assert one.note
    assert timedelta(0) < one.due - now() <= timedelta(seconds=1)


async def test_a_repeat_is_answered_long_after_it_expired(world: World, bureau: Bureau) -> None:
    """The hub has it since eleven minutes; the stored receipt is as good as a fresh one."""
    line = Lossy(world, 1)
    bureau.point_at((await world.serve("digipoort", line)).port)
    drop(bureau.home, "aanslag-1")
    await bureau.agency.send_due()
    line.answer = partial(services.answer, office=replace(world.office, now=partial(later, timedelta(minutes=11))))
    bureau.at(partial(later, timedelta(minutes=11)))
    await bureau.agency.send_due()
    assert line.seen[0] == line.seen[1]
    assert (bureau.names("sent"), await stored(world)) == (["aanslag-1"], 1)


async def test_octets_that_expired_before_anybody_took_them_are_sealed_anew(world: World, bureau: Bureau) -> None:
    """Sealed while the hub was away for eleven minutes: its fault proves that it never had them."""
    bureau.point_at(1)
    bureau.at(partial(later, timedelta(minutes=-11)))
    drop(bureau.home, "aanslag-1")
    await bureau.agency.send_due()
    (old,) = bureau.book.dispatches()
    assert old.attempts == 1
    bureau.at(now)
    bureau.point_at(int(world.hub_url.rpartition(":")[2]))
    await bureau.agency.send_due()
    (new,) = bureau.book.dispatches()
    assert new.message_id != old.message_id
    await bureau.agency.send_due()
    assert (bureau.names("sent"), await stored(world)) == (["aanslag-1"], 1)


async def test_an_answer_by_another_than_the_hub_does_not_count(world: World, bureau: Bureau) -> None:
    """A receipt that somebody else signed is no receipt: the message waits."""
    office = replace(world.office, signer=world.signer("uwv"))
    server = await world.serve("digipoort", partial(services.answer, office=office))
    bureau.point_at(server.port)
    drop(bureau.home, "aanslag-1")
    await bureau.agency.send_due()
    (one,) = bureau.book.dispatches()
    assert "oin-differs" in one.note
    assert bureau.names("sent") == []


# --- killed -----------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone: nobody catches this."""


def kill(target: Any, name: str, skip: int, *, after: bool) -> list[int]:
    """Let a step of a real object be the last thing that this process does: before it takes effect, or after."""
    real, calls = getattr(target, name), []

    def step(*values: Any) -> Any:
        calls.append(1)
        if len(calls) <= skip:
            return real(*values)
        if not after:
            raise Killed
        done = real(*values)
        return die_after(done) if asyncio.iscoroutine(done) else die(done)

    setattr(target, name, step)
    return calls


def die(_: object) -> None:
    raise Killed


async def die_after(step: Any) -> None:
    die(await step)


POINTS = [(part, step, after) for part, step in (
    ("outbox", "take"), ("book", "keep"), ("post", "post"), ("outbox", "settle"), ("book", "forget")
) for after in (False, True)]  # fmt: skip


@pytest.mark.parametrize(("part", "step", "after"), POINTS, ids=lambda value: str(value))
@pytest.mark.parametrize("skip", [0, 1], ids=["first", "second"])
async def test_killed_at_any_step_neither_lost_nor_twice(
    world: World, bureau: Bureau, part: str, step: str, after: bool, skip: int
) -> None:
    """Before or after each step that leaves something behind; then the next process finds what to do."""
    drop(bureau.home, "aanslag-1")
    target: Any = {"outbox": bureau.agency.desk.outbox, "book": bureau.book}.get(part)
    if part == "post":
        target = Line(bureau.agency.desk.post)
        bureau.agency.desk = replace(bureau.agency.desk, post=lambda *values: target.post(*values))
    calls = kill(target, step, skip, after=after)
    try:
        await bureau.agency.send_due()
    except Killed:
        assert len(calls) == skip + 1
    await bureau.die()
    bureau.rise()
    await bureau.agency.send_due()
    assert (bureau.names("outbox"), bureau.names("outbox/.taken")) == ([], [])
    assert bureau.names("sent") == ["aanslag-1"]
    assert await stored(world) == 1
    assert bureau.book.dispatches() == []


class Line:
    """Something with a method `post`, which a test can break."""

    def __init__(self, post: Any) -> None:
        self.post = post


# --- the parts --------------------------------------------------------------------------------------------------------


async def test_the_book_keeps_a_dispatch(tmp_path: Path) -> None:
    """Every column, also after opening again; kept again it replaces; forgotten it is gone."""
    book = AgencyBook.open(tmp_path)
    one = Dispatch("f", "urn:uuid:1", now(), now(), b"<x/>", "c2ln", '{"m": "a.pdf"}', 2, "note", "sent", "{}", b"<a/>")
    await book.keep(one)
    await book.close()
    book = AgencyBook.open(tmp_path)
    assert book.dispatches() == [one]
    await book.keep(replace(one, attempts=3))
    assert [row.attempts for row in book.dispatches()] == [3]
    await book.forget(one)
    assert book.dispatches() == []
    await book.close()


def test_a_move_may_be_done_again(tmp_path: Path) -> None:
    """After a crash in the middle: half an answer is written anew, and what is moved stays."""
    outbox = Outbox(tmp_path / "outbox")
    drop(tmp_path, "a")
    assert outbox.take() == ["a"]
    (tmp_path / "outbox" / ".taken" / "a" / "answer.json").write_text("{")
    for _ in range(2):
        outbox.settle("a", "sent", "{}", b"<x/>", "mark")
    assert (tmp_path / "sent" / "a" / "answer.json").read_text() == "{}"
    assert (tmp_path / "sent" / "a" / "answer.xml").read_bytes() == b"<x/>"
    assert outbox.take() == []
