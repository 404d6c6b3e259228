"""Group commit: what waits while one transaction goes to disk shares the next one.

Knows no table and no decision; an operation is a function of the connection. Why the statements run on the event loop
and only COMMIT in a thread: docs/adr/0001-sqlite-writer.md."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from digipoort_as4.errors import StorageFailure

Result = TypeVar("Result")
Operation = Callable[[sqlite3.Connection], Any]  # One thing in a savepoint of its own; returns what its caller gets

CALLERS_MISTAKE: Final = (  # raised for values that no column takes: that caller's bug, not the disk's trouble
    TypeError, ValueError, LookupError, AttributeError, OverflowError,
    sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError,
)  # fmt: skip

# Rows written between two checkpoints: 10 to 60 MB of WAL, so that its pages are copied seldom and recovery is short.
# SQLite's own automatic checkpoint hides its I/O errors and runs before COMMIT returns; ours runs after the promises
# are kept, and an error in it ends the store like any other.
CHECKPOINT_ROWS: Final = 4000


class Undone(Exception):
    """Raised by an operation that shall leave no trace; `result` is what its caller gets."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


@dataclass(frozen=True, slots=True)
class Waiting:
    """One caller's operations and the promise made to him."""

    operations: Sequence[Operation]
    promise: asyncio.Future[list[Any]]


class GroupCommit:
    """The only writer of a connection.
    After an error of the engine every caller gets a StorageFailure, now and later: the kernel may report a failed fsync
    once and then forget it, so a later commit that seems to succeed proves nothing (P5)."""

    def __init__(self, connection: sqlite3.Connection, on_failure: Callable[[], None]) -> None:
        """Take over a connection in autocommit mode, without automatic checkpoints, that nobody else writes through.
        One thread at a time uses it, not always the same. `on_failure` is called once, when the promise is broken."""
        self.connection, self._on_failure = connection, on_failure
        self.failure: StorageFailure | None = None
        self._waiting: list[Waiting] = []
        self._rows = 0  # Written since the last checkpoint
        self._writer: asyncio.Task[None] | None = None
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")

    def check(self) -> None:
        """Refuse with StorageFailure when the store failed or is closed."""
        if self.failure:
            raise StorageFailure(*self.failure.args)

    def fail(self, reason: str) -> StorageFailure:
        """Refuse everything from here on, for the first reason given."""
        if not self.failure:
            self.failure = StorageFailure(reason)
            self._on_failure()
        return StorageFailure(*self.failure.args)

    async def run(self, operations: Sequence[Operation]) -> list[Any]:
        """Results of operations in one transaction, once durable; at StorageFailure nothing may be believed done."""
        self.check()
        promise: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(operations, promise))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_while_waiting(), name="group commit")
        results = await promise
        for result in results:
            if isinstance(result, Exception):  # of this caller's operation, and thrown at him alone
                raise result
        return results

    def read(self, look_up: Callable[[], Result]) -> Result:
        """A look-up, tens of microseconds, so inline; one that fails says as little good of the disk as a write."""
        self.check()
        try:
            return look_up()
        except sqlite3.Error as error:
            raise self.fail(f"reading failed: {error}") from error

    async def close(self) -> bool:
        """Wait for what waits, then refuse; False when it failed before: the file stays as it is, for recovery."""
        sound = self.failure is None
        if self._writer:
            await asyncio.wait([self._writer])
        self.failure = self.failure or StorageFailure("the store is closed")
        self._disk.shutdown()
        return sound

    async def _write_while_waiting(self) -> None:
        group: list[Waiting] = []
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                results = await self._write(group)
                self.check()  # a large document may have met a bad disk meanwhile: no promise is made after that
                for waiting, result in zip(group, results, strict=True):
                    if not waiting.promise.done():
                        waiting.promise.set_result(result)
                if self._rows >= CHECKPOINT_ROWS:  # readers and what waits for the next group are not in its way
                    await self._on_disk("PRAGMA wal_checkpoint(PASSIVE)")
                    self._rows = 0
        except BaseException as error:  # whatever it was: no promise still open may look kept
            failure, left = self.fail(f"{type(error).__name__}: {error}"), self._waiting
            self._waiting = []
            for waiting in (*group, *left):
                if not waiting.promise.done():
                    waiting.promise.set_exception(failure)
            if not isinstance(error, sqlite3.Error | StorageFailure):
                raise

    async def _write(self, group: Sequence[Waiting]) -> list[list[Any]]:
        """One transaction: statements here, the wait for the disk in a thread."""
        before = self.connection.total_changes
        self.connection.execute("BEGIN IMMEDIATE")
        results = [[self._carry_out(operation) for operation in waiting.operations] for waiting in group]
        if written := self.connection.total_changes - before:
            await self._on_disk("COMMIT")
        else:
            self.connection.execute("COMMIT")  # nothing to wait for
        self._rows += written
        return results

    async def _on_disk(self, statement: str) -> None:
        """Run what waits for the disk in the thread, while the event loop gathers the next group."""
        run = asyncio.get_running_loop().run_in_executor
        await run(self._disk, lambda: self.connection.execute(statement).fetchall())

    def _carry_out(self, operation: Operation) -> Any:
        """One operation in its savepoint, so that one undone never spoils its neighbours."""
        execute = self.connection.execute
        execute("SAVEPOINT one")
        try:
            result = operation(self.connection)
        except Undone as undone:
            execute("ROLLBACK TO one")
            result = undone.result
        except CALLERS_MISTAKE as error:
            execute("ROLLBACK TO one")
            result = error
        execute("RELEASE one")
        return result
