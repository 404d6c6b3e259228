"""Who may send, follow and fetch what for whom: own identities, and mandates of parties.toml and of the register.

Pure: opens no file; storage.tables reads parties.toml. An Autorisatie Service Provider is asked by wus.ausp."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from digipoort_as4.hub import identities
from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.mistakes import Mistakes
from digipoort_as4.hub.routes import RETOUR, Route

FILE: Final = "parties.toml"
REGISTER: Final = "register of mandates"  # What the store keeps, changed by `digipoort mandates`
BEDRIJVEN: Final = "bedrijven"  # Profile of the connection of whoever names none
ROLES: Final = ("bedrijf", "intermediair")
AANLEVEREN: Final = "aanleveren"  # Send messages
STATUS: Final = "status"  # See processes and statuses of messages that others sent for the belanghebbende
OPHALEN: Final = "ophalen"  # List and fetch what agencies put ready for the belanghebbende
KINDS: Final = (AANLEVEREN, STATUS, OPHALEN)
"""What a mandate allows; none implies another (kinds and names ours)."""


@dataclass(frozen=True, slots=True)
class Mandate:
    """One right to act for somebody else."""

    belanghebbende: Identiteit
    berichtsoorten: frozenset[str]
    start: datetime  # From here on, inclusive
    end: datetime  # Up to here, exclusive
    kind: str = AANLEVEREN  # One of KINDS
    reference: str = ""  # Its key in the register; empty for one of parties.toml


@dataclass(frozen=True, slots=True)
class Party:
    """One organisation with a connection."""

    oin: str
    name: str
    role: str
    identities: tuple[Identiteit, ...]  # Its own numbers
    mandates: tuple[Mandate, ...]
    sha1: bool = False  # True: SHA-1 signatures are accepted from it (decision 10)
    refuse_duplicates: bool = False  # True: what it sends again under a new signature is refused instead of marked
    profile: str = BEDRIJVEN  # Rule set of its connection, a name in wus/profiles.toml
    by_whom: Mapping[tuple[str, ...], list[Mandate]] = field(init=False, repr=False, compare=False)
    """mandates by kind and belanghebbende: an intermediary has thousands, and each message asks for one."""

    def __post_init__(self) -> None:
        by_whom: dict[tuple[str, ...], list[Mandate]] = {}
        for mandate in self.mandates:
            by_whom.setdefault((mandate.kind, identities.key(mandate.belanghebbende)), []).append(mandate)
        object.__setattr__(self, "by_whom", by_whom)


@dataclass(frozen=True, slots=True)
class Authority:
    """Whether a party may do what it asks."""

    ok: bool
    reason: str  # For the operator's journal, never for the asker
    berichtsoorten: frozenset[str] | None = None  # Those it covers; None: every one
    trouble: bool = False  # True: nobody could say, and asking again later may help (status 230)

    def covers(self, berichtsoort: str) -> bool:
        """True when a message of this berichtsoort is within what was allowed."""
        return self.ok and (self.berichtsoorten is None or berichtsoort in self.berichtsoorten)


@dataclass(frozen=True, slots=True)
class Parties:
    """All parties of one file, with the mandates of the register; a frozen snapshot."""

    by_oin: Mapping[str, Party]

    def knows(self, oin: str) -> Party | None:
        """The party with this OIN, or None."""
        return self.by_oin.get(oin)

    def with_mandates(self, entries: Iterable[Mapping[str, Any]]) -> Parties:
        """The same with mandates of the register: rows as [[party.mandate]] and `party`, `reference`.
        A row of a party that parties.toml no longer has gives nobody anything and is left out. ConfigError tells all
        mistakes in the others."""
        mistakes, more = Mistakes(REGISTER), dict[str, list[Mandate]]()
        for row in entries:
            if str(row.get("party")) in self.by_oin:
                more.setdefault(row["party"], []).append(_registered(mistakes, row))
        mistakes.finish()
        longer = {oin: replace(self.by_oin[oin], mandates=(*self.by_oin[oin].mandates, *more[oin])) for oin in more}
        return Parties({**self.by_oin, **longer})

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
    Source: decision 2. There is no wildcard: an own identity, a standing mandate, or a route open to known parties."""
    if route.direction == RETOUR:
        return Authority(aanlevering.sender_oin == route.owner_oin, f"only {route.body} sends on this retour route")
    if party is None:
        return Authority(False, f"{aanlevering.sender_oin} is not in {FILE}")
    if route.senders == "known":
        return Authority(True, "route is open to every known party")
    return weigh(party, aanlevering.belanghebbende, route.berichtsoort, AANLEVEREN, at)


def is_own(party: Party | None, belanghebbende: Identiteit) -> bool:
    """True when the belanghebbende is the party itself: one of its identities, or its OIN."""
    own = (*party.identities, Identiteit(party.oin, "OIN")) if party else ()
    return any(identities.same(one, belanghebbende) for one in own)


def weigh(
    party: Party | None, belanghebbende: Identiteit, berichtsoort: str | None, kind: str, at: datetime
) -> Authority:
    """What own identities and mandates say; None is a party that parties.toml does not know.
    Without berichtsoort: of whatever berichtsoorten there are, which the answer names. The kind is one of KINDS."""
    if party is None:
        return Authority(False, f"the party is not in {FILE}")
    if is_own(party, belanghebbende):
        return Authority(True, "acts for itself")
    for_whom = party.by_whom.get((kind, identities.key(belanghebbende)), [])
    named = [m for m in for_whom if berichtsoort is None or berichtsoort in m.berichtsoorten]
    standing = [m.berichtsoorten for m in named if m.start <= at < m.end]
    if standing:
        return Authority(True, "mandate stands", frozenset().union(*standing))
    but = ", but not at this time" if named else ", but not for this berichtsoort" if for_whom else ""
    whose = f"{party.name} has {'a' if for_whom else 'no'} mandate"
    return Authority(False, f"{whose} for {identities.shown(belanghebbende)} to {kind}{but}")


def reach(party: Party | None, at: datetime) -> tuple[tuple[str, str | None], ...]:
    """Whose messages a party may collect, its own and by mandate: (identities.key, berichtsoort or None)."""
    if party is None:
        return ()
    own = (*party.identities, Identiteit(party.oin, "OIN"))
    standing = [m for m in party.mandates if m.kind == OPHALEN and m.start <= at < m.end]
    given = [(identities.key(m.belanghebbende), name) for m in standing for name in sorted(m.berichtsoorten)]
    return (*((identities.key(one), None) for one in own), *given)


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


def _registered(mistakes: Mistakes, row: Mapping[str, Any]) -> Mandate:
    """A mandate of the register: JSON, so its times are texts, a date or a time with its zone."""
    where, reference = f"mandate {row.get('reference', '?')}", mistakes.text(row, "reference", "mandate")
    times = {key: _moment(row[key]) for key in ("from", "until") if key in row}
    known = {name: value for name, value in {**row, **times}.items() if name not in ("party", "reference")}
    return replace(_mandate(mistakes, known, where), reference=reference)


def _moment(written: Any) -> Any:
    """A date or a time out of its text; what is neither stays as it is and is refused by the reader of mandates."""
    for form in (date, datetime):
        try:
            return form.fromisoformat(written)
        except (TypeError, ValueError):
            continue
    return written


def _mandate(mistakes: Mistakes, row: Mapping[str, Any], where: str) -> Mandate:
    mistakes.check_keys(row, ("for", "berichtsoorten", "from", "until", "kind"), where)
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
    kind = mistakes.choice(row, "kind", where, KINDS, AANLEVEREN)
    return Mandate(belanghebbende, frozenset(berichtsoorten), start, end, kind)


def _identiteit(mistakes: Mistakes, row: Mapping[str, Any], where: str) -> Identiteit:
    mistakes.check_keys(row, ("type", "nummer"), where)
    identiteit = Identiteit(mistakes.text(row, "nummer", where), mistakes.text(row, "type", where))
    if identiteit.nummer and (expected := identities.problem(identiteit)):
        mistakes.add(where, f"{identiteit.type} {identiteit.nummer!r}: expected {expected}")
    return identiteit
