"""What can be commanded of a running post office: names to functions, for transport.control.

Decides nothing; each part adds its commands here."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from digipoort_as4.clock import Clock, parse_duration, parse_moment
from digipoort_as4.desk import Desk
from digipoort_as4.errors import UsageError, failure
from digipoort_as4.hub.mistakes import nearest
from digipoort_as4.transport.control import Command
from digipoort_as4.wus.office import Office


def commands_of(office: Office) -> Mapping[str, Command]:
    """The commands of one post office."""
    own = {"clock": partial(move_clock, office), "scenario": partial(change_scenarios, office)}
    return {**own, **Desk(office).commands()}


async def move_clock(office: Office, about: Mapping[str, Any]) -> Mapping[str, Any]:
    """Move the post office's clock, or (`about` empty) only tell it.
    `about` has `advance` (a length of time), `at` (a moment with its zone), `reset` (true), `strict` or `crl`.
    Returns now and wire (ISO 8601) and the fields of clock.Moved, once CRLs are renewed and the clock has moved."""
    clock = office.now
    if not isinstance(clock, Clock):
        raise failure(UsageError, "this post office has the machine's clock", fix="digipoort up")
    changes = {name: about[name] for name in ("strict", "crl") if name in about}
    if "advance" in about:
        changes["shift"] = clock.moved().shift + parse_duration(about["advance"])
    elif "at" in about:
        changes["shift"] = parse_moment(about["at"]) - clock.machine()
    if about:
        await asyncio.to_thread(clock.reset if "reset" in about else partial(clock.move, **changes))
    told = {"now": clock().isoformat(), "wire": clock.wire().isoformat(), **clock.moved().record()}
    if about:
        office.journal.write("clock-moved", **told)
    return told


async def change_scenarios(office: Office, about: Mapping[str, Any]) -> Mapping[str, Any]:
    """Set or clear rules of what is played, or (`about` empty) only list them. UsageError: what is wrong with a rule.
    `about` has `set` (scenarios.KEYS), or `clear` (a rule's number, or null for all).
    Returns names, the aanleverkenmerken that play something, rules, those set, and cleared, how many went."""
    played, cleared = office.scenarios, 0
    if (words := about.get("set")) is not None:
        berichtsoort = words.get("berichtsoort")
        routes = office.snapshot().routes
        if berichtsoort and routes.find(berichtsoort) is None:
            known = nearest(berichtsoort, [row.berichtsoort for row in routes.rows])
            raise UsageError(f"berichtsoort {berichtsoort!r} is in no route{known}")
        office.journal.write("scenario-set", **played.set(**words).record())
    elif "clear" in about:
        cleared = played.clear(about["clear"])
        office.journal.write("scenario-cleared", count=cleared)
    names = [rule.record() for rule in played.named.values()]
    return {"names": names, "rules": [rule.record() for rule in played.rules], "cleared": cleared}
