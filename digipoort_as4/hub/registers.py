"""What operators add to the tables while the post office runs: mandates and routes, entry after entry.

Pure: the store keeps the entries. None is ever changed; the last one of a key stands.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from digipoort_as4.hub import copies
from digipoort_as4.hub.copies import Consents
from digipoort_as4.hub.decision import Register
from digipoort_as4.hub.mandates import Parties
from digipoort_as4.hub.mistakes import Mistakes
from digipoort_as4.hub.routes import Routes

MANDATE: Final = "mandate"  # By reference; withdrawn means that it no longer counts
ROUTE: Final = "route"  # By berichtsoort; withdrawn means that there is no such route, whatever routes.toml has


@dataclass(frozen=True, slots=True)
class Tables:
    """What files and registers say together of who may send what, and where it goes."""

    routes: Routes
    parties: Parties
    consents: Consents

    def with_register(self, entries: Iterable[Register]) -> Tables:
        """The same with entries of either register; ConfigError tells all mistakes of the kind it meets first."""
        changes = list(entries)
        routes = self.routes.with_rows(standing(changes, ROUTE))
        copies.check_against(self.consents, routes)
        parties = self.parties.with_mandates(row for row in standing(changes, MANDATE).values() if row is not None)
        return Tables(routes, parties, self.consents)


def standing(entries: Iterable[Register], register: str) -> dict[str, Any]:
    """What stands of one register: rows by key, None for what was withdrawn last."""
    return {
        entry.key: None if entry.value is None else json.loads(entry.value)
        for entry in entries
        if entry.register == register
    }


def check_grant(row: Mapping[str, Any], tables: Tables) -> None:
    """A new mandate must be for a known party and known berichtsoorten; ConfigError tells all mistakes."""
    mistakes = Mistakes("mandate")
    party = mistakes.text(row, "party", "party")
    mistakes.words([party], tables.parties.by_oin, "party", "OIN")
    known = [route.berichtsoort for route in tables.routes.rows]
    mistakes.words(mistakes.texts(row, "berichtsoorten", "berichtsoorten"), known, "berichtsoorten", "berichtsoort")
    mistakes.finish()
    tables.parties.with_mandates([row])
