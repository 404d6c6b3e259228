"""Who may send what for whom, out of the party table.

Pure: opens no file; storage.tables reads parties.toml. The external Autorisatie Service Provider comes later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from digipoort_as4.hub import identities
from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.mistakes import Mistakes
from digipoort_as4.hub.routes import Route

FILE: Final = "parties.toml"
BEDRIJVEN: Final = "bedrijven"  # Profile of the connection of whoever names none
ROLES: Final = ("bedrijf", "intermediair")


@dataclass(frozen=True, slots=True)
class Mandate:
    """One right to send for somebody else."""

    belanghebbende: Identiteit
    berichtsoorten: frozenset[str]
    start: datetime  # From here on, inclusive
    end: datetime  # Up to here, exclusive


@dataclass(frozen=True, slots=True)
class Party:
    """One organisation that may send."""

    oin: str
    name: str
    role: str
    identities: tuple[Identiteit, ...]  # Its own numbers
    mandates: tuple[Mandate, ...]
    sha1: bool = False  # True: SHA-1 signatures are accepted from it (decision 10)
    refuse_duplicates: bool = False  # True: what it sends again under a new signature is refused instead of marked
    profile: str = BEDRIJVEN  # Rule set of its connection, a name in wus/profiles.toml


@dataclass(frozen=True, slots=True)
class Authority:
    """Whether a sender may send this message."""

    ok: bool
    reason: str  # For the operator's journal, never for the sender


@dataclass(frozen=True, slots=True)
class Parties:
    """All parties of one file; a frozen snapshot."""

    by_oin: Mapping[str, Party]

    def knows(self, oin: str) -> Party | None:
        """The party with this OIN, or None."""
        return self.by_oin.get(oin)

    @staticmethod
    def of(table: Mapping[str, Any]) -> Parties:
        """Parties from what tomllib made of a file; ConfigError tells all mistakes at once, one a line."""
        mistakes = Mistakes(FILE)
        mistakes.check_keys(table, ("party",), "top")
        parties = [_party(mistakes, row) for row in mistakes.tables(table, "party", "top")]
        by_oin = {party.oin: party for party in parties}
        if len(by_oin) < len(parties):
            mistakes.add("top", "an oin occurs twice")
        mistakes.finish()
        return Parties(by_oin)


def authorise(party: Party | None, route: Route, aanlevering: Aanlevering, at: datetime) -> Authority:
    """May this party send this message now? None is a sender that parties.toml does not know.

    Source: decision 2. There is no wildcard: an own identity, a standing mandate, or a route open to known parties.
    """
    if party is None:
        return Authority(False, f"{aanlevering.sender_oin} is not in {FILE}")
    if route.senders == "known":
        return Authority(True, "route is open to every known party")
    belanghebbende = aanlevering.belanghebbende
    if any(identities.same(own, belanghebbende) for own in party.identities):
        return Authority(True, "sends for itself")
    for_whom = [m for m in party.mandates if identities.same(m.belanghebbende, belanghebbende)]
    named = [m for m in for_whom if route.berichtsoort in m.berichtsoorten]
    if any(m.start <= at < m.end for m in named):
        return Authority(True, "mandate stands")
    mandate = f"mandate for {belanghebbende.type} {belanghebbende.nummer}"
    if named:
        return Authority(False, f"{party.name} has a {mandate}, but not at this time")
    if for_whom:
        return Authority(False, f"{party.name} has a {mandate}, but not for this berichtsoort")
    return Authority(False, f"{party.name} has no {mandate}")


# --- loading ----------------------------------------------------------------------------------------------------------


def _party(mistakes: Mistakes, row: Mapping[str, Any]) -> Party:
    where = f"party {row.get('name', row.get('oin', '?'))}"
    known = ("oin", "name", "role", "sha1", "profile", "refuse_duplicates", "identities", "mandate")
    mistakes.check_keys(row, known, where)
    return Party(
        oin=mistakes.oin(row, "oin", where),
        name=mistakes.text(row, "name", where),
        role=mistakes.choice(row, "role", where, ROLES, "bedrijf"),
        identities=tuple(_identiteit(mistakes, i, where) for i in mistakes.tables(row, "identities", where)),
        mandates=tuple(_mandate(mistakes, m, f"{where}, mandate") for m in mistakes.tables(row, "mandate", where)),
        sha1=mistakes.flag(row, "sha1", where),
        refuse_duplicates=mistakes.flag(row, "refuse_duplicates", where),
        profile=mistakes.text({"profile": BEDRIJVEN, **row}, "profile", where),
    )


def _mandate(mistakes: Mistakes, row: Mapping[str, Any], where: str) -> Mandate:
    mistakes.check_keys(row, ("for", "berichtsoorten", "from", "until"), where)
    berichtsoorten = mistakes.texts(row, "berichtsoorten", where)
    if not berichtsoorten:
        mistakes.add(where, "berichtsoorten is missing")
    if any("*" in name for name in berichtsoorten):
        mistakes.add(where, "a mandate names each berichtsoort; there is no wildcard")
    start, end = (mistakes.moment(row, key, where, dates=True) for key in ("from", "until"))
    if not isinstance(row.get("until"), datetime):
        end += timedelta(days=1)  # until a date means until that day is over
    if end <= start:
        mistakes.add(where, "until is before from")
    belanghebbende = _identiteit(mistakes, mistakes.table(row, "for", where), where)
    return Mandate(belanghebbende, frozenset(berichtsoorten), start, end)


def _identiteit(mistakes: Mistakes, row: Mapping[str, Any], where: str) -> Identiteit:
    mistakes.check_keys(row, ("type", "nummer"), where)
    identiteit = Identiteit(mistakes.text(row, "nummer", where), mistakes.text(row, "type", where))
    if identiteit.nummer and (expected := identities.shape_problem(identiteit)):
        mistakes.add(where, f"{identiteit.type} {identiteit.nummer!r}: expected {expected}")
    return identiteit
