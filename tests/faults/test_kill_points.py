"""Hub and agency under SIGKILL and under a failing disk, on the accept, process and deliver paths.

Whatever call it comes at: after a restart and a retry of the same octets nothing is lost, nothing is handed over twice,
and the verbatim repeat gets the same bytes. strace makes the fault; the processes are those that `up` starts.

`make test` takes a slice of the calls of each kind, `make faults` every one and larger messages.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from helpers_lane import LIFE, Lane, Message, Victim, kenmerk_of, seconds
from helpers_strace import (
    CALLS,
    NAMES,
    Call,
    attached,
    calls,
    died_at,
    failing,
    first_after,
    killing,
    most_calls,
    spread,
    strace_works,
    wait_until,
    was_injected,
)

from digipoort_as4.errors import StorageFailure
from digipoort_as4.pki import test_pki

FULL = os.environ.get("DIGIPOORT_FAULTS") == "full"
SIZES = ("small", "large", "huge") if FULL else ("small", "large")
LEAST = 200
"""Kill points that really killed (issue 3, item 11)."""
PER_KIND = 10_000 if FULL else 32
"""Kill points of one kind in one lane. Only writes to the log are more, 120 for a message: each third is taken."""
FEW = 10_000 if FULL else 6
"""The same for return traffic, where each point takes a message of its own and the outbox waits a second."""
LEAST_RETOUR = 8
"""Of each of its two courses."""
BEYOND = 3
"""Calls past the most that an undisturbed life made: how they spread over threads differs from run to run."""
ERRORS = 12 if FULL else 2
"""Points of one kind and error in one lane."""
LEAST_ERRORS = 40
WRITES = 30 if FULL else 4
"""Points of ENOSPC at write in one lane."""
DISK = ("fdatasync", "fsync", "pwrite64", "rename")
"""Where a disk fails; a connection that fails at sendto is nothing to lose a message by, and killing covers it."""
AT_ONCE = 3
"""Lanes at work together on two cores: the lanes of the agency wait for the hub's pauses most of their time."""
ENDS_WITHIN = 20
ENDS_SOON = 1
"""Seconds, where a process may end and need not."""
SETTLE = 0.03
"""Seconds for what comes after the end: the last answer leaves, strace writes its last lines."""


@pytest.fixture(autouse=True)
def _need_strace() -> None:
    if reason := strace_works():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kill") / "pki"
    if not strace_works():
        test_pki.make(folder, datetime.now(UTC), ca_bits=2048)
    return folder


# --- one message through one lane -------------------------------------------------------------------------------------


@dataclass
class Journey:
    """One message, as its sender sees it."""

    lane: Lane
    message: Message
    post: Callable[[bytes], bytes | None]
    """Octets to the signed answer, or None."""
    at_end: Callable[[], bool]
    check: Callable[[bytes], None]
    """Gets the answer that every repeat had."""
    first: bytes | None = None
    """The answer before the fault."""

    def send(self) -> None:
        self.first = self.post(self.message.octets)

    def retry(self) -> None:
        """What a sender does who is in doubt: the same octets, twice; then everything must have come out right."""
        again = self.post(self.message.octets)
        assert again is not None, "the retry after the restart got no receipt"
        if self.first is not None:
            assert self.first == again, "the answer to the verbatim repeat differs from the one before the kill"
        assert again == self.post(self.message.octets), "two repeats got different answers"
        wait_until(self.at_end, LIFE, f"{self.message.key} has not come to its end")
        self.check(again)


def whole_life(lane: Lane, size: str) -> Journey:
    """From the business to status 500."""
    message = lane.aanlevering(size)
    return Journey(
        lane,
        message,
        partial(lane.receipt, "hub"),
        lambda: lane.settled(message.key),
        lambda answer: lane.check_life(message, answer),
    )


def receiving(lane: Lane, size: str) -> Journey:
    """The test is the hub, so that it can repeat an afleverRequest to the agency verbatim, and resealed."""
    message, asked = lane.aflevering(size)

    def at_end() -> bool:
        lane.collect()
        return lane.told(message.key)

    def check(answer: bytes) -> None:
        resealed = lane.receipt("agency", lane.seal_aflevering(asked))
        assert resealed is not None
        assert answer != resealed
        assert moment_of(answer) == moment_of(resealed)
        assert asked.kenmerk == kenmerk_of(answer)
        lane.check_handed_over_once(message.key, message)

    return Journey(lane, message, partial(lane.receipt, "agency"), at_end, check)


def collecting(lane: Lane, size: str) -> Journey:
    """The business collects what the agency put ready."""
    message = lane.collecting(size)
    return Journey(
        lane,
        message,
        partial(lane.receipt, "hub"),
        lambda: "400" in lane.codes(message.key),
        lambda answer: lane.check_collected(message, answer),
    )


def dropping(lane: Lane, size: str) -> Journey:
    """The agency sends what its back end dropped; its answer is the one that it keeps in sent/."""
    message = lane.dropping(size)
    return Journey(
        lane,
        message,
        lambda octets: lane.drop(message.key),
        lambda: lane.sent(message.key),
        lambda answer: lane.check_sent_once(message, answer),
    )


def moment_of(answer: bytes) -> bytes:
    """tijdstempelAfgeleverd."""
    return answer.partition(b"<tijdstempelAfgeleverd>")[2].partition(b"<")[0]


# --- lanes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Course:
    """Which process is the victim, on which path, with which messages."""

    role: str
    journey: Callable[[Lane, str], Journey]
    size: str
    per_kind: int = PER_KIND

    @property
    def name(self) -> str:
        return " ".join((self.role, self.journey.__name__, self.size))


ROLES = {"agency": whole_life, "hub": whole_life, "agency alone": receiving}
COURSES = [Course(role, journey, size) for role, journey in ROLES.items() for size in SIZES]
RETOUR = [Course(role, journey, "large", FEW) for role, journey in (("hub", collecting), ("agency", dropping))]


@dataclass
class Running:
    """A course in its lane."""

    course: Course
    lane: Lane
    victim: Victim
    log: Path

    def set_out(self) -> Journey:
        return self.course.journey(self.lane, self.course.size)

    def most_calls(self) -> dict[str, int]:
        """Of one undisturbed life after a restart, as every point meets it."""
        self.warm()
        one = self.set_out()
        with attached(self.victim.pid, self.log, "-e", "trace=" + ",".join(NAMES.values())):
            one.send()
            wait_until(one.at_end, LIFE, "undisturbed, but not at its end")
        one.retry()
        return most_calls(self.log.read_text(errors="replace"))

    def warm(self) -> None:
        one = self.set_out()
        one.send()
        one.retry()


def run_course(course: Course, pki: Path, folder: Path, work: Callable[[Running], Counter[str]]) -> Counter[str]:
    lane = Lane(folder / course.name.replace(" ", "-"), pki, sets_status=course.journey is not receiving)
    try:
        lane.up()
        victim = lane.hub if course.role == "hub" else lane.agency
        done = work(Running(course, lane, victim, lane.folder / "strace.log"))
        lane.check_sound()
        return done
    finally:
        lane.close()


def run_all(
    pki: Path, folder: Path, work: Callable[[Running], Counter[str]], courses: Sequence[Course] = COURSES
) -> dict[str, Counter[str]]:
    """All courses, some at once; the first that fails is the one that is told."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = {course.name: pool.submit(run_course, course, pki, folder, work) for course in courses}
        return {name: one.result() for name, one in started.items()}


def told(done: dict[str, Counter[str]], kinds: tuple[str, ...]) -> str:
    return "; ".join(
        f"{name}: " + ", ".join(f"{kind} {n[kind]}" for kind in kinds if n[kind]) for name, n in done.items()
    )


# --- SIGKILL ----------------------------------------------------------------------------------------------------------


def kill_everywhere(running: Running) -> Counter[str]:
    """Each call in turn; how many killed, per kind, and how many of the dead had answered."""
    most, killed = running.most_calls(), Counter[str]()
    for kind in CALLS:
        points = spread(running.course.per_kind, most[kind] + BEYOND if most[kind] else 0)
        for point in points:
            with explained(running, kind, point):
                killed += kill_at(running, kind, point)
    return killed


def kill_at(running: Running, kind: str, point: int) -> Counter[str]:
    one, victim = running.set_out(), running.victim
    with attached(victim.pid, running.log, *killing(kind, point)):
        one.send()
        wait_until(lambda: victim.ended() or one.at_end(), LIFE, "neither dead nor at its end")
        time.sleep(SETTLE)
    killed = died_at(running.log, kind)
    if killed:
        wait_until(victim.ended, 5, "strace says dead, the system does not")
        assert -signal.SIGKILL == victim.code
    one.lane.collect()
    if victim.ended():
        assert killed, f"{victim.name} ended with {victim.code} by itself"
        victim.up()
    one.retry()
    return Counter({kind: int(killed), "answered": int(killed and one.first is not None), "survived": int(not killed)})


def explained(running: Running, *point: object) -> Explained:
    return Explained(f"{running.course.name} at {' '.join(map(str, point))}, folder {running.lane.folder}")


class Explained:
    """Adds to an error where it happened."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            error.add_note(self.where)


def test_a_kill_at_any_call_loses_nothing_and_doubles_nothing(
    pki: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """P1, P3, P4: SIGKILL at each call that writes, syncs, renames or sends; restart; the same octets again."""
    began = time.monotonic()
    done = run_all(pki, tmp_path, kill_everywhere)
    killed = sum(n[kind] for n in done.values() for kind in CALLS)
    answered, survived = (sum(n[word] for n in done.values()) for word in ("answered", "survived"))
    with capsys.disabled():
        print(
            f"\nkill points: {killed} killed ({answered} after the answer), {survived} not reached, 0 lost, 0 twice,"
            f" {seconds(began)}. {told(done, tuple(CALLS))}"
        )
    assert killed >= LEAST
    reached = {kind for n in done.values() for kind in CALLS if n[kind]}
    assert set(CALLS) == reached


def test_a_kill_while_collecting_or_sending_loses_nothing_and_doubles_nothing(
    pki: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Decision 16: marked only with the answer, whose repeat is the same. An outbox reaches the hub once."""
    began = time.monotonic()
    done = run_all(pki, tmp_path, kill_everywhere, RETOUR)
    killed = {name: sum(n[kind] for kind in CALLS) for name, n in done.items()}
    with capsys.disabled():
        print(f"\nkill points of return traffic: {told(done, tuple(CALLS))}, {seconds(began)}")
    assert min(killed.values()) >= LEAST_RETOUR


# --- the order of things, for a power cut, which no kill shows --------------------------------------------------------


def traced_answer(running: Running, role: str, message: Message, at_end: Callable[[], bool]) -> tuple[list[Call], Call]:
    """The calls of a process for one message, and the one by which its answer left."""
    with closing(running.lane.connection(role)) as connection:
        connection.request("GET", "/readyz")  # the handshake is over when strace comes
        connection.getresponse().read()
        port = connection.sock.getsockname()[1]
        names = ",".join(name for kind, name in CALLS.items() if kind != "pwrite64")
        with attached(running.victim.pid, running.log, "-yy", "-e", f"trace={names}"):
            assert 200 == running.lane.ask(role, connection, message.octets)[0]
            wait_until(at_end, LIFE, "not at its end")
    ran = calls(running.log.read_text(errors="replace"))
    return ran, first_after(ran, -1, rf"^send\w+\(\d+<TCP[^>]*->[^>]*:{port}\]>")


def in_order(ran: list[Call], *patterns: str) -> list[Call]:
    """One call for each pattern, each begun after the one before had ended."""
    found: list[Call] = []
    for pattern in patterns:
        found.append(first_after(ran, found[-1].ended if found else -1, pattern))
    return found


def test_the_hubs_receipt_leaves_after_file_folder_and_log_are_synced(pki: Path, tmp_path: Path) -> None:
    """P1: sync the document, rename it, sync its folder, sync the log, then answer."""

    def work(running: Running) -> Counter[str]:
        message = running.lane.aanlevering("large")
        ran, answered = traced_answer(running, "hub", message, lambda: running.lane.settled(message.key))
        *_, committed = in_order(
            ran,
            r"^fsync\(\d+<[^>]*/(spool|payloads)/[^>]*>",
            r"^rename.*/payloads/\w\w/[^/]+$",
            r"^fsync\(\d+<[^>]*/payloads/\w\w>",
            r"^fdatasync\(\d+<[^>]*/store\.sqlite3-wal>",
        )
        assert committed.ended < answered.began
        return Counter()

    run_course(Course("hub", whole_life, "large"), pki, tmp_path, work)


def test_the_agencys_receipt_and_hand_over_wait_for_the_disk(pki: Path, tmp_path: Path) -> None:
    """P1: sync document, envelope, their folder and its entry, sync the log; then answer, and then only hand over."""

    def work(running: Running) -> Counter[str]:
        message, _ = running.lane.aflevering("large")
        ran, answered = traced_answer(running, "agency", message, lambda: running.lane.told(message.key))
        *_, committed, shown, listed, done = in_order(
            ran,
            r"^fsync\(\d+<[^>]*/\.staging/\w+/document-1\.xml>",
            r"^fsync\(\d+<[^>]*/\.staging/\w+/envelope\.json>",
            r"^fsync\(\d+<[^>]*/\.staging/\w+>",
            r"^fsync\(\d+<[^>]*/\.staging>",
            r"^fdatasync\(\d+<[^>]*/agency\.sqlite-wal>",
            rf'^rename.*/inbox/{message.key}"',
            r"^fsync\(\d+<[^>]*/inbox>",
            r"^fdatasync\(\d+<[^>]*/agency\.sqlite-wal>",
        )
        assert committed.ended < answered.began
        assert committed.ended < shown.began < listed.began < done.began
        renamed = [call for call in ran if re.match(rf'rename.*/inbox/{message.key}"', call.text)]
        assert [shown] == renamed
        return Counter()

    run_course(Course("agency alone", receiving, "large"), pki, tmp_path, work)


# --- a failing disk ---------------------------------------------------------------------------------------------------


def fail_everywhere(running: Running) -> Counter[str]:
    """EIO and ENOSPC at some calls of each kind; how many were met, per kind."""
    most, met = running.most_calls(), Counter[str]()
    for kind in DISK:
        for error in ("EIO", "ENOSPC"):
            for point in spread(ERRORS, most[kind]):
                with explained(running, kind, error, point):
                    met[kind] += fail_at(running, kind, error, point)
    return met


def fail_at(running: Running, kind: str, error: str, point: int) -> bool:
    """No receipt once the error was met, and the process ends by itself; then as after a kill."""
    one, next_one, victim = running.set_out(), running.set_out(), running.victim
    with attached(victim.pid, running.log, *failing(kind, error, point)):
        one.send()
        wait_until(lambda: was_injected(running.log) or one.at_end(), LIFE, "neither met nor at its end")
        met = was_injected(running.log)
        if met:
            if victim is running.lane.hub or running.course.journey is receiving:
                next_one.send()
                assert next_one.first is None, "a receipt after the disk had failed"
            wait_until(victim.ended, ENDS_WITHIN, "the process works on over a failed disk")
            assert StorageFailure.exit_code == victim.code
    one.lane.collect()
    if met:
        victim.up()
    one.retry()
    next_one.retry()
    return met


def fill_up_everywhere(running: Running) -> Counter[str]:
    """ENOSPC at some writes into files; how many were met."""
    most, met = running.most_calls(), Counter[str]()
    for point in spread(WRITES, most["write"]):
        with explained(running, "write", point):
            met["write"] += fill_up_at(running, point)
    return met


def fill_up_at(running: Running, point: int) -> bool:
    """Whatever it was that could not be written: refused or ended, and nothing of it is lost."""
    one, victim = running.set_out(), running.victim
    with attached(victim.pid, running.log, *failing("write", "ENOSPC", point)):
        one.send()
        wait_until(lambda: was_injected(running.log) or one.at_end(), LIFE, "neither met nor at its end")
        time.sleep(SETTLE)
    until = time.monotonic() + ENDS_SOON
    while not victim.ended() and not one.at_end() and time.monotonic() < until:
        time.sleep(SETTLE)
    if victim.ended():
        assert StorageFailure.exit_code == victim.code
        victim.up()
    one.retry()
    return was_injected(running.log)


def test_a_failing_disk_gets_no_receipt_and_a_restart_loses_nothing(
    pki: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """P5: EIO and ENOSPC at the calls that write, sync and rename; a full disk behaves as a broken one."""
    began = time.monotonic()
    done = run_all(pki, tmp_path, fail_everywhere)
    met = sum(n[kind] for n in done.values() for kind in DISK)
    with capsys.disabled():
        print(f"\ndisk errors: {met} met, 0 receipts after, 0 lost, {seconds(began)}. {told(done, DISK)}")
    assert met >= LEAST_ERRORS


def test_a_disk_that_is_full_at_a_write_loses_nothing(
    pki: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """P5 where a full disk is met first: in the spool, a document, the inbox; a journal that stops stops nothing."""
    began = time.monotonic()
    done = run_all(pki, tmp_path, fill_up_everywhere)
    met = sum(n["write"] for n in done.values())
    with capsys.disabled():
        print(f"\nfull at a write: {met} met, 0 lost, {seconds(began)}. {told(done, ('write',))}")
    assert met >= len(COURSES)
