"""The operator's desk in a running post office: reads and changes the registers of mandates, routes and consents.

Whatever is kept was read by the tables' own readers first, and counts from the next message on. Changes no file."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from digipoort_as4.hub import registers
from digipoort_as4.hub.decision import Decision, Register
from digipoort_as4.hub.mistakes import Mistakes
from digipoort_as4.transport.control import Command
from digipoort_as4.wus.office import Office


class Desk:
    """Commands about the registers of one post office; about["register"] says which one."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._changing = asyncio.Lock()  # what is checked is what the entries are added to

    def commands(self) -> Mapping[str, Command]:
        """By the names that transport.control carries."""
        return {"register.list": self.listed, "register.change": self.change, "register.history": self.history}

    async def listed(self, about: Mapping[str, Any]) -> Mapping[str, Any]:
        """The rows that count now, of the file and of the register."""
        return {"rows": registers.listed(about["register"], self._office.snapshot().tables(), self._office.now())}

    async def history(self, about: Mapping[str, Any]) -> Mapping[str, Any]:
        """Every entry, oldest first; of about["key"] alone when that is not None."""
        entries = await self._office.store.register(about["register"])
        told = [asdict(entry) for entry in entries if about["key"] in (None, entry.key)]
        return {"entries": [{**entry, "at": entry["at"].isoformat()} for entry in told]}

    async def change(self, about: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keep about["rows"], a row or None by key, all or none; with about["check"] only say what is wrong.
        Told as "trouble": why the tables could not be read anew, as a file is wrong. ConfigError: all mistakes; nothing
        was kept."""
        async with self._changing:
            entries, kept = self._entries(about), await self._office.store.register(about["register"])
            registers.check(entries, kept, self._office.snapshot().tables())
            if about["check"]:
                return {"trouble": ""}
            await self._office.store.commit(Decision(b"", tuple(entries)))
        for entry in entries:
            done = "withdrawn" if entry.value is None else "set"
            self._office.journal.write(f"{entry.register}-{done}", key=entry.key, by=entry.by, reason=entry.reason)
        return {"trouble": self._office.refresh()}

    def _entries(self, about: Mapping[str, Any]) -> list[Register]:
        mistakes, now, register = Mistakes("entry"), self._office.now(), about["register"]
        by, reason = (mistakes.text(about, name, register) for name in ("by", "reason"))
        mistakes.finish()
        rows = registers.filled_in(register, about["rows"], self._office.snapshot().tables())
        written = {key: None if row is None else json.dumps(row, ensure_ascii=False) for key, row in rows.items()}
        return [Register(register, key, value, by, reason, now) for key, value in written.items()]
