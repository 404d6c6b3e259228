"""strace as the maker of faults: nothing in the process under test is changed for it."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CALLS = {
    "fdatasync": "fdatasync",
    "fsync": "fsync",
    "pwrite64": "pwrite64",
    "rename": "/^rename",
    "sendto": "sendto,sendmsg",
}
"""Kind of call → how strace names it: rename has three names; asyncio uses sendto up to Python 3.11, and since then
sendmsg as well."""
WRITE = {"write": "write,writev"}
"""Documents on their way into files, the journal, the log, the pipe to the validators. Buffered: no promise lies in it,
but a full disk is met here first."""
NAMES = {**CALLS, **WRITE}


@functools.cache
def strace_works() -> str:
    """Empty when strace can trace here, else why not."""
    if not shutil.which("strace"):
        return "strace is not installed"
    ran = subprocess.run(["strace", "-e", "trace=none", "true"], capture_output=True, text=True)
    return "" if ran.returncode == 0 else f"strace may not trace here: {ran.stderr.strip()[:80]}"


@dataclass(frozen=True)
class Call:
    """One system call in strace's log: what, and between which lines it ran."""

    thread: str
    text: str
    began: int
    ended: int

    @property
    def name(self) -> str:
        return self.text.partition("(")[0]


def calls(log: str) -> list[Call]:
    """The calls of all threads in the order they began; one that another thread interrupts takes two lines."""
    found: list[Call] = []
    open_calls: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(log.splitlines()):
        thread, text = line.split(maxsplit=1)
        if text.endswith("<unfinished ...>"):
            open_calls[thread] = (text, number)
        elif "resumed>" in text:
            start, began = open_calls.pop(thread, (text, number))
            found.append(Call(thread, start, began, number))
        elif re.match(r"\w+\(", text):
            found.append(Call(thread, text, number, number))
    return found


def first_after(calls: list[Call], line: int, pattern: str) -> Call:
    """The first call matching that began after a line of the log."""
    return next(call for call in calls if call.began > line and re.search(pattern, call.text))


def most_calls(log: str) -> dict[str, int]:
    """Per kind, how many the busiest thread made; strace counts per thread."""
    counts = Counter((call.thread, call.name) for call in calls(log))
    return {
        kind: max((n for (_, name), n in counts.items() if re.match(kind_pattern(kind), name)), default=0)
        for kind in NAMES
    }


def kind_pattern(kind: str) -> str:
    return r"send(to|msg)$" if kind == "sendto" else rf"{kind}\w*$"


@contextlib.contextmanager
def attached(pid: int, log: Path, *words: str) -> Iterator[None]:
    """Trace a running process and all its threads meanwhile; what it did before does not count.

    Args:
        pid: of the process.
        log: gets the calls.
        words: for strace: trace=… and inject=….
    """
    log.unlink(missing_ok=True)
    command = ["strace", "-f", "-o", str(log), *words, "-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C"})
    assert tracer.stderr is not None
    try:
        said = tracer.stderr.readline()
        assert "attached" in said, f"strace said {said!r}"
        yield
    finally:
        let_go(tracer)


def let_go(tracer: subprocess.Popen[str]) -> None:
    """End strace, its process goes on. It ends by itself when that is dead, and may hang when it is just dying."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        tracer.send_signal(sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            tracer.communicate(timeout=1)
            return


def killing(kind: str, point: int) -> tuple[str, ...]:
    """SIGKILL at the point-th call of a kind in a thread."""
    names = NAMES[kind]
    return ("-e", f"trace={names}", "-e", f"inject={names}:signal=KILL:when={point}")


def failing(kind: str, error: str, point: int) -> tuple[str, ...]:
    """The point-th call of a kind in a thread fails once."""
    names = NAMES[kind]
    return ("-e", f"trace={names}", "-e", f"inject={names}:error={error}:when={point}")


def died_at(log: Path, kind: str) -> bool:
    """True when SIGKILL came at a call of this kind: it is the last that the log tells, and it has no result."""
    lines = log.read_text(errors="replace").splitlines()
    fatal = [
        line for line in lines if re.search(rf"^\d+ +({kind_pattern(kind)[:-1]}\(|<\.\.\. \w+ resumed).* = \?$", line)
    ]
    return bool(fatal) and any("killed by SIGKILL" in line for line in lines)


def was_injected(log: Path) -> bool:
    return log.exists() and "(INJECTED)" in log.read_text(errors="replace")


def spread(points: int, most: int) -> list[int]:
    """Up to `points` different numbers from 1 to `most`, evenly."""
    if most < 1:
        return []
    return sorted({1 + (most - 1) * point // max(1, points - 1) for point in range(points)})


def wait_until(condition: object, seconds: float, what: str) -> None:
    """Look again every few milliseconds.

    Raises:
        AssertionError: it did not come true.
    """
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until, f"after {seconds:g} s: {what}"
        time.sleep(0.005)
