"""Taking work: leases with fencing tokens, fair per destination.

Runs nothing and postpones nothing; giving jobs back is an effect of a decision."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Final

from digipoort_as4.hub.decision import Job
from digipoort_as4.storage.rows import from_stored, to_stored

# Steps from one kind and destination to the next through the index: 10,000 jobs of one destination cost one step.
# (A row value comparison, (kind, destination) > (?, ?), would look at each job: SQLite uses its first column only.)
QUEUES: Final = """
    WITH RECURSIVE
    known (kind) AS (
        SELECT min(kind) FROM job WHERE parked = 0
        UNION ALL
        SELECT (SELECT min(kind) FROM job WHERE parked = 0 AND job.kind > known.kind)
        FROM known WHERE known.kind IS NOT NULL),
    queue (kind, destination) AS (
        SELECT known.kind, (SELECT min(destination) FROM job WHERE parked = 0 AND job.kind = known.kind)
        FROM known WHERE known.kind IS NOT NULL
        UNION ALL
        SELECT queue.kind, (SELECT min(destination) FROM job
                            WHERE parked = 0 AND job.kind = queue.kind AND job.destination > queue.destination)
        FROM queue WHERE queue.destination IS NOT NULL)
    SELECT kind, destination FROM queue WHERE destination IS NOT NULL"""

# Jobs under a running lease stand first in the order, but the cap keeps them few.
DUE: Final = """
    SELECT id, due FROM job
    WHERE parked = 0 AND kind = ? AND destination = ? AND due <= ? AND lease_until <= ?
    ORDER BY due, id LIMIT ?"""

TAKE: Final = """
    UPDATE job SET lease_until = ?, token = token + 1, attempts = attempts + 1 WHERE id = ?
    RETURNING id, kind, destination, subject, attempts, token"""

RUNNING: Final = """
    SELECT destination, count(*) FROM job WHERE lease_until > 0 AND lease_until > ? GROUP BY destination"""

FIRST_FREE: Final = """
    SELECT due FROM job WHERE parked = 0 AND kind = ? AND destination = ? AND lease_until = 0 ORDER BY due LIMIT 1"""

FIRST_LAPSE: Final = "SELECT min(lease_until) FROM job WHERE lease_until > 0"


class Turns:
    """Who was served when, so that with more destinations than places the longest waiting goes first.
    Kept in memory only: after a restart everybody starts equal, which is fair too."""

    def __init__(self) -> None:
        self.served: dict[str, int] = {}  # destination to the number of the last turn it had
        self._turn = 0

    def serve(self, destinations: Sequence[str], alive: set[str]) -> None:
        """Note a turn; destinations without any job are forgotten."""
        self._turn += 1
        self.served = {name: turn for name, turn in self.served.items() if name in alive}
        self.served.update(dict.fromkeys(destinations, self._turn))


def claim(
    connection: sqlite3.Connection,
    turns: Turns,
    kinds: Sequence[str],
    now: datetime,
    lease_until: datetime,
    limit: int,
    per_destination: int,
) -> list[Job]:
    """Take due jobs under a lease, as Store.claim promises."""
    known = connection.execute(QUEUES).fetchall()
    held = dict(connection.execute(RUNNING, (to_stored(now),)))
    names = {name for kind, name in known if kind in kinds}
    places = {name: min(limit, per_destination - held.get(name, 0)) for name in names}
    queues = [queue for name in names if (queue := _due(connection, kinds, name, now, places[name]))]
    queues.sort(key=lambda queue: (turns.served.get(queue[0][2], 0), queue[0][0]))
    chosen = [one for turn in zip_longest(*queues) for one in turn if one is not None][:limit]  # taking turns
    turns.serve([name for _, _, name in chosen], {name for _, name in known})
    until = to_stored(lease_until)
    return [Job(*connection.execute(TAKE, (until, job)).fetchone()) for _, job, _ in chosen]


def _due(
    connection: sqlite3.Connection, kinds: Sequence[str], destination: str, now: datetime, places: int
) -> list[tuple[int, int, str]]:
    """(due, id, destination) of what one destination may have, oldest due first."""
    if places <= 0:
        return []
    at = to_stored(now)
    rows = [row for kind in kinds for row in connection.execute(DUE, (kind, destination, at, at, places))]
    return sorted((due, job, destination) for job, due in rows)[:places]


def extend(connection: sqlite3.Connection, job: Job, lease_until: datetime) -> bool:
    """Lengthen a lease that is still this holder's."""
    sql = "UPDATE job SET lease_until = ? WHERE id = ? AND token = ? AND lease_until > 0"
    return connection.execute(sql, (to_stored(lease_until), job.id, job.token)).rowcount == 1


def next_due(connection: sqlite3.Connection, now: datetime) -> datetime | None:
    """When the next job can be claimed, caps aside; `now` when one can be already."""
    times = [row[0] for queue in connection.execute(QUEUES).fetchall() for row in connection.execute(FIRST_FREE, queue)]
    times += [at for (at,) in connection.execute(FIRST_LAPSE) if at is not None]
    return max(now, from_stored(min(times))) if times else None


def release_all(connection: sqlite3.Connection) -> None:
    """Free every lease, at the start of the process that alone owns the file: all holders are dead.
    Attempts stay, so that a job which kills its process is parked as poison all the same."""
    connection.execute("UPDATE job SET lease_until = 0 WHERE lease_until > 0")
