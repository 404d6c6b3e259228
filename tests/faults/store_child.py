"""A process that commits messages and says which it acknowledged; made to be killed. Run by test_store_kill.py.

    python store_child.py FOLDER FIRST COUNT

Prints one number per acknowledged message; FAILED when the store gave up, then REFUSED when it stays that way.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "storage"))

from helpers_store import Clock, accepted, document, spooled

from digipoort_as4 import limits
from digipoort_as4.errors import StorageFailure
from digipoort_as4.hub.decision import AlreadyThere
from digipoort_as4.payload import Document
from digipoort_as4.storage.sqlite import SqliteStore

AT_ONCE = 4
GAVE_UP = 3


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def octets_of(number: int) -> bytes:
    """Of three messages one lies in the row and two in files: one moved from the spool, one copied from memory."""
    size = 2_000 if number % 3 == 0 else limits.INLINE_PAYLOAD + 30_000
    return (f"{number} ".encode() * size)[:size]


def document_of(number: int, spool: Path) -> Document:
    octets = octets_of(number)
    return spooled(spool, number, octets) if number % 3 == 1 else document(number, octets)


async def accept(store: SqliteStore, number: int, spool: Path, no: str = "FAILED") -> bool:
    """What a gateway does between verifying and answering; False when there was no receipt."""
    try:
        kept = await store.keep(document_of(number, spool))
        outcome = await store.commit(accepted(number, kept))
    except StorageFailure:
        say(no)
        return False
    if isinstance(outcome, AlreadyThere) and outcome.reply.octets != accepted(number).reply:
        say(f"OTHER REPLY FOR {number}")
    say(str(number))
    return True


def batches(first: int, count: int) -> Iterator[range]:
    for start in range(first, first + count, AT_ONCE):
        yield range(start, min(start + AT_ONCE, first + count))


async def work(folder: Path, first: int, count: int) -> int:
    spool = folder / "spool"
    spool.mkdir(parents=True, exist_ok=True)
    store = SqliteStore.open(folder / "store", Clock())
    for batch in batches(first, count):
        if not all(await asyncio.gather(*(accept(store, number, spool) for number in batch))):
            await accept(store, first + count, spool, "REFUSED")
            await store.close()
            return GAVE_UP
    await store.close()
    return 0


def main() -> int:
    try:
        return asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
    except StorageFailure:
        say("FAILED")
        say("REFUSED")
        return GAVE_UP


if __name__ == "__main__":
    sys.exit(main())
