"""The operator's desk in a running post office: lists and changes the registers for `digipoort mandates` and `routes`.

Whatever is kept was read by the tables' own readers first, and counts from the next message on. Changes no file.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from digipoort_as4.errors import UsageError, failure
from digipoort_as4.hub import registers
from digipoort_as4.hub.decision import Decision, Register
from digipoort_as4.hub.mandates import Mandate, Party
from digipoort_as4.hub.mistakes import Mistakes, nearest
from digipoort_as4.hub.registers import MANDATE, ROUTE, Tables
from digipoort_as4.transport.control import Command
from digipoort_as4.wus.office import Office

DONE: Final = {
    (MANDATE, True): "granted",
    (MANDATE, False): "withdrawn",
    (ROUTE, True): "set",
    (ROUTE, False): "retired",
}
"""What an entry does, by register and whether it has a value; the second half of its line in the journal."""


class Desk:
    """Commands about the registers of one post office, one change after the other."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._changing = asyncio.Lock()  # what is checked is what the entry is added to

    def commands(self) -> Mapping[str, Command]:
        """By the names that transport.control carries."""
        return {
            "mandates.list": self.list_mandates,
            "mandates.grant": self.grant,
            "mandates.withdraw": self.withdraw,
            "routes.list": self.list_routes,
            "routes.check": self.check_routes,
            "routes.set": self.set_routes,
            "routes.retire": self.retire,
            "register.history": self.history,
        }

    def _tables(self) -> Tables:
        at = self._office.snapshot()
        return Tables(at.routes, at.parties, at.consents)

    async def list_mandates(self, about: Mapping[str, Any]) -> Mapping[str, Any]:
        """Every mandate that a message may rest on, of the file and of the register."""
        now, parties = self._office.now(), self._tables().parties.by_oin.values()
        return {"mandates": [record(party, mandate, now) for party in parties for mandate in party.mandates]}

    async def grant(self, about: Mapping[str, Any]) -> Mapping[str, Any]:
        """Add the mandate about["row"]; its reference is made up when not given, and never used twice."""
        reference = about["row"].get("reference") or f"m-{self._office.new_id()[:8]}"
        row = {**about["row"], "reference": reference}
        async with self._changing:
            if any(entry.key == reference for entry in await self._office.store.register(MANDATE)):
                raise failure(UsageError, f"the reference {reference!r} was used before", fix="choose another")
            registers.check_grant(row, self._tables())
            return await self._keep(MANDATE, {reference: row}, about)

    async def withdraw(self, about: Mapping[str, Any]) -> Mapping[str, Any]:
        """Withdraw the mandate about["key"] of the register."""
        reference = str(about["key"])
        async with self._changing:
            rows = registers.standing(await self._office.store.register(MANDATE), MANDATE)
            if rows.get(reference) is None:
                known = [key for key, row in rows.items() if row is not None]
                what = f"no mandate {reference!r} stands in the register{nearest(reference, known)}"
                raise failure(UsageError, what, fix="those of parties.toml are changed in that file")
            return await self._keep(MANDATE, {reference: None}, about)

    async def list_routes(self, about: Mapping[str, Any]) -> Mapping[str, Any]:
        """The rows of the table as they stand, with the berichtsoorten that come from the register."""
        changed = registers.standing(await self._office.store.register(ROUTE), ROUTE)
        rows = self._tables().routes.table["route"]
        return {"routes": rows, "registered": [key for key, row in changed.items() if row is not None]}

    async def check_routes(self, about: Mapping[str, Any]) -> Mapping[str, Any]:
        """Say all mistakes of about["rows"], as ConfigError, and keep nothing."""
        changes = _by_berichtsoort(about["rows"])
        self._tables().with_register(self._entries(ROUTE, changes, {"by": "nobody", "reason": "a check"}))
        return {"keys": list(changes), "trouble": ""}

    async def set_routes(self, about: Mapping[str, Any]) -> Mapping[str, Any]:
        """Add or replace the routes about["rows"], all or none; ConfigError tells all mistakes."""
        async with self._changing:
            return await self._keep(ROUTE, _by_berichtsoort(about["rows"]), about)

    async def retire(self, about: Mapping[str, Any]) -> Mapping[str, Any]:
        """Take the route about["key"] away: what arrives from now on is refused as an unknown berichtsoort."""
        berichtsoort = str(about["key"])
        async with self._changing:
            routes = self._tables().routes
            if routes.find(berichtsoort) is None:
                known = [row.berichtsoort for row in routes.rows]
                raise failure(UsageError, f"no route {berichtsoort!r}{nearest(berichtsoort, known)}")
            return await self._keep(ROUTE, {berichtsoort: None}, about)

    async def history(self, about: Mapping[str, Any]) -> Mapping[str, Any]:
        """Every entry of the register about["register"], oldest first; of about["key"] alone when that is given."""
        entries, key = await self._office.store.register(str(about["register"])), about.get("key")
        return {
            "entries": [
                {
                    "at": entry.at.isoformat(),
                    "key": entry.key,
                    "what": DONE[entry.register, entry.value is not None],
                    "by": entry.by,
                    "reason": entry.reason,
                    "value": None if entry.value is None else json.loads(entry.value),
                }
                for entry in entries
                if key in (None, entry.key)
            ]
        }

    # --- one change ---

    def _entries(self, register: str, changes: Mapping[str, Any], about: Mapping[str, Any]) -> list[Register]:
        mistakes, now = Mistakes(register), self._office.now()
        by, reason = (mistakes.text(about, name, "entry") for name in ("by", "reason"))
        mistakes.finish()
        return [
            Register(register, key, None if row is None else json.dumps(row, ensure_ascii=False), by, reason, now)
            for key, row in changes.items()
        ]

    async def _keep(self, register: str, changes: Mapping[str, Any], about: Mapping[str, Any]) -> Mapping[str, Any]:
        """Check the tables as they will be, then keep the entries, tell the journal and have the tables read anew."""
        entries = self._entries(register, changes, about)
        self._tables().with_register(entries)
        await self._office.store.commit(Decision(b"", tuple(entries)))
        for entry in entries:
            event = f"{register}-{DONE[register, entry.value is not None]}"
            self._office.journal.write(event, key=entry.key, by=entry.by, reason=entry.reason)
        return {"keys": list(changes), "trouble": self._office.refresh()}


def _by_berichtsoort(rows: list[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    mistakes = Mistakes("routes")
    named = [(mistakes.text(row, "berichtsoort", f"route {number}"), row) for number, row in enumerate(rows, 1)]
    if len(dict(named)) < len(named) or not named:
        mistakes.add("routes", "at least one [[route]], and each berichtsoort once")
    mistakes.finish()
    return dict(named)


def record(party: Party, mandate: Mandate, now: datetime) -> Mapping[str, Any]:
    """A mandate for programs."""
    return {
        "reference": mandate.reference,  # empty: of parties.toml
        "party": party.oin,
        "name": party.name,
        "kind": mandate.kind,
        "for": {"type": mandate.belanghebbende.type, "nummer": mandate.belanghebbende.nummer},
        "berichtsoorten": sorted(mandate.berichtsoorten),
        "from": mandate.start.isoformat(),
        "until": mandate.end.isoformat(),  # exclusive
        "stands": mandate.start <= now < mandate.end,
    }
