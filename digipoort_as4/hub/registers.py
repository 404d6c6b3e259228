"""What operators add to the tables while the post office runs: mandates and routes, entry after entry.

Pure: the store keeps the entries. None is ever changed; the last one of a key stands.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from digipoort_as4.hub import copies, mandates
from digipoort_as4.hub.copies import Consents
from digipoort_as4.hub.decision import Register
from digipoort_as4.hub.mandates import Parties
from digipoort_as4.hub.mistakes import Mistakes
from digipoort_as4.hub.routes import Routes

MANDATE: Final = "mandate"  # By reference; withdrawn means that it no longer counts
ROUTE: Final = "route"  # By berichtsoort; withdrawn means that there is no such route, whatever routes.toml has
REGISTERS: Final = (MANDATE, ROUTE)


@dataclass(frozen=True, slots=True)
class Tables:
    """What files and registers say together of who may send what, and where it goes; a frozen snapshot."""

    routes: Routes
    parties: Parties
    consents: Consents
    agencies: Collection[str] = frozenset()  # OINs of the bodies that have an endpoint here

    def with_register(self, entries: Collection[Register]) -> Tables:
        """The same with entries of either register; ConfigError tells all mistakes of the kind it meets first."""
        routes = self.routes.with_rows(standing(entries, ROUTE))
        copies.check_against(self.consents, routes)
        parties = self.parties.with_mandates(row for row in standing(entries, MANDATE).values() if row)
        return replace(self, routes=routes, parties=parties)


def standing(entries: Iterable[Register], register: str) -> dict[str, Any]:
    """What stands of one register: rows by key, None for what was withdrawn last."""
    return {entry.key: json.loads(entry.value or "null") for entry in entries if entry.register == register}


def check(changes: Collection[Register], kept: Collection[Register], tables: Tables) -> None:
    """Entries must fit the tables and what the register has; ConfigError tells all mistakes of the kind it meets first.

    A mandate is for a known party and known berichtsoorten, under a reference never used before; what is withdrawn
    must stand.
    """
    mistakes, berichtsoorten = Mistakes("register"), [row.berichtsoort for row in tables.routes.rows]
    granted = standing(kept, MANDATE)
    for entry in changes:
        row = json.loads(entry.value or "null")
        if row is None:
            known = [key for key, value in granted.items() if value] if entry.register == MANDATE else berichtsoorten
            mistakes.words([entry.key], known, "withdrawal", entry.register)
        elif entry.register == MANDATE:
            if entry.key in granted:
                mistakes.add(entry.key, "this reference was used before")
            mistakes.words([str(row.get("party"))], tables.parties.by_oin, entry.key, "party")
            mistakes.words(mistakes.texts(row, "berichtsoorten", entry.key), berichtsoorten, entry.key, "berichtsoort")
    mistakes.finish()
    tables.with_register(changes)


def listed(register: str, tables: Tables, at: datetime) -> list[Mapping[str, Any]]:
    """The rows that count now, of the file and of the register; each mandate with whether it stands at this time."""
    if register == ROUTE:
        return list(tables.routes.table["route"])
    return [
        {
            "reference": mandate.reference or mandates.FILE,
            "party": party.oin,
            "kind": mandate.kind,
            "for": {"type": mandate.belanghebbende.type, "nummer": mandate.belanghebbende.nummer},
            "berichtsoorten": sorted(mandate.berichtsoorten),
            "from": mandate.start.isoformat(),
            "until": mandate.end.isoformat(),
            "stands": mandate.start <= at < mandate.end,
        }
        for party in tables.parties.by_oin.values()
        for mandate in party.mandates
    ]
