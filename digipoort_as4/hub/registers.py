"""What operators add to the tables while the post office runs: mandates, routes and consents, entry after entry.

Pure: the store keeps the entries. None is ever changed; the last one of a key stands."""

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
CONSENT: Final = "consent"  # By reference; withdrawn means that it no longer counts, whatever consents.toml has
REGISTERS: Final = (MANDATE, ROUTE, CONSENT)


@dataclass(frozen=True, slots=True)
class Tables:
    """What files and registers say together of who may send what, and where it goes; a frozen snapshot."""

    routes: Routes
    parties: Parties
    consents: Consents
    agencies: Collection[str] = frozenset()  # OINs of the bodies that have an endpoint here

    def with_register(self, entries: Collection[Register]) -> Tables:
        """The same with entries of every register; ConfigError tells all mistakes of the kind it meets first.
        Consents that stood here before must fit the routes. One of the entries themselves did when it was given; when
        its route is gone since, from routes.toml, it lets no copy leave, and nobody is kept from starting."""
        routes = self.routes.with_rows(standing(entries, ROUTE))
        consents = self.consents.with_entries(entry for entry in entries if entry.register == CONSENT)
        copies.check_against([row for row in consents.rows if row in self.consents.rows], routes)
        parties = self.parties.with_mandates(row for row in standing(entries, MANDATE).values() if row)
        return replace(self, routes=routes, parties=parties, consents=consents)


def standing(entries: Iterable[Register], register: str) -> dict[str, Any]:
    """What stands of one register: rows by key, None for what was withdrawn last."""
    return {entry.key: json.loads(entry.value or "null") for entry in entries if entry.register == register}


def filled_in(register: str, rows: Mapping[str, Any], tables: Tables) -> Mapping[str, Any]:
    """Rows as they are kept: a consent with what the tables of today know of it; ConfigError when they know it not."""
    if register != CONSENT:
        return rows
    return {key: row and copies.pinned(row, tables.routes, key) for key, row in rows.items()}


def check(changes: Collection[Register], kept: Collection[Register], tables: Tables) -> None:
    """Entries must fit the tables and what the register has; ConfigError tells all mistakes of the kind it meets first.
    A mandate is for a known party and known berichtsoorten; mandate and consent have a reference never used before;
    what is withdrawn must stand."""
    mistakes, berichtsoorten = Mistakes("register"), [row.berichtsoort for row in tables.routes.rows]
    consents = [consent.reference for consent in tables.consents.rows]
    known = {
        MANDATE: [key for key, value in standing(kept, MANDATE).items() if value],
        ROUTE: berichtsoorten,
        CONSENT: consents,
    }
    last = {(entry.register, entry.key): entry for entry in kept}
    for entry in changes:
        row, before = json.loads(entry.value or "null"), last.get((entry.register, entry.key))
        if row is None:
            if before and before.value is None:
                mistakes.add(entry.key, f"this {entry.register} was withdrawn at {before.at.isoformat()}")
            else:
                mistakes.words([entry.key], known[entry.register], "withdrawal", entry.register)
            continue
        if entry.register != ROUTE and (before or entry.key in known[entry.register]):
            mistakes.add(entry.key, "this reference was used before")
        if entry.register == MANDATE:
            mistakes.words([str(row.get("party"))], tables.parties.by_oin, entry.key, "party")
            mistakes.words(mistakes.texts(row, "berichtsoorten", entry.key), berichtsoorten, entry.key, "berichtsoort")
    mistakes.finish()
    tables.with_register(changes)


def listed(register: str, tables: Tables, at: datetime) -> list[Mapping[str, Any]]:
    """The rows that count now, of the file and of the register; each mandate with whether it stands at this time."""
    if register == ROUTE:
        return list(tables.routes.table["route"])
    if register == CONSENT:
        return [
            {
                "reference": consent.reference,
                "berichtsoort": consent.berichtsoort,
                "owner": consent.owner_oin,
                "to": consent.to_oin,
                "documents": [selector.table() for selector in consent.documents],
                "by": consent.by,
                "grantedAt": consent.granted_at.isoformat(),
            }
            for consent in tables.consents.rows
        ]
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
