"""Consents of berichtstroomeigenaren: a copy leaves only while one stands.

Pure: opens no file; storage.tables reads consents.toml, and the store keeps what was granted and withdrawn since."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from digipoort_as4.hub.decision import Register
from digipoort_as4.hub.mistakes import Mistakes, nearest
from digipoort_as4.hub.routes import CopyRule, Name, Route, Routes, Selector, read_selector

FILE: Final = "consents.toml"
REGISTER: Final = "register of consents"  # What the store keeps, changed by `digipoort consents`


@dataclass(frozen=True, slots=True)
class Consent:
    """One owner's word that copies of some documents may go to another body."""

    reference: str  # Unique; kept with each copy that rests on it
    berichtsoort: str
    owner_oin: str  # The berichtstroomeigenaar who consents
    to_oin: str
    documents: tuple[Selector, ...]  # Which documents may go; beside this the route's own selectors count
    by: str  # Who consented, for people
    granted_at: datetime


@dataclass(frozen=True, slots=True)
class Consents:
    """All consents that are not withdrawn; a frozen snapshot."""

    rows: tuple[Consent, ...] = ()

    def with_entries(self, entries: Iterable[Register]) -> Consents:
        """The same with what the register granted and withdrew, in its order; ConfigError tells all mistakes."""
        mistakes, rows = Mistakes(REGISTER), {row.reference: row for row in self.rows}
        for entry in entries:
            if entry.value is None:
                rows.pop(entry.key, None)
            else:
                granted = {"reference": entry.key, "by": entry.by, "granted_at": entry.at}
                rows[entry.key] = _consent(mistakes, {**json.loads(entry.value), **granted})
        mistakes.finish()
        return Consents(tuple(rows.values()))

    @staticmethod
    def of(table: Mapping[str, Any]) -> Consents:
        """Consents from what tomllib made of a file; ConfigError tells all mistakes at once, one a line."""
        mistakes = Mistakes(FILE)
        mistakes.check_keys(table, ("consent",), "top")
        rows = tuple(_consent(mistakes, row) for row in mistakes.tables(table, "consent", "top"))
        if len({row.reference for row in rows}) < len(rows):
            mistakes.add("top", "a reference occurs twice")
        mistakes.finish()
        return Consents(rows)


def standing(consents: Consents, berichtsoort: str, owner_oin: str, to_oin: str, at: datetime) -> Consent | None:
    """The consent on which a copy may leave now: the one granted last of those that stand, or None.
    Nobody's consent counts but that of owner_oin, the berichtstroomeigenaar."""
    asked = (berichtsoort, owner_oin, to_oin)
    rows = (c for c in consents.rows if (c.berichtsoort, c.owner_oin, c.to_oin) == asked and c.granted_at <= at)
    return max(rows, key=lambda consent: consent.granted_at, default=None)


def still_stands(consents: Consents, reference: str, at: datetime) -> bool:
    """Right before a copy is sent, on consents read afresh: does the one that it rests on (Delivery.consent) stand?"""
    return any(consent.reference == reference and consent.granted_at <= at for consent in consents.rows)


def check_against(consents: Iterable[Consent], routes: Routes) -> None:
    """Every consent must fit a copy of the route table: berichtsoort, owner, recipient; else one ConfigError."""
    mistakes = Mistakes("consents")
    for consent in consents:
        where = f"consent {consent.reference}"
        found = _copy_of(mistakes, routes, consent.berichtsoort, consent.to_oin, where)
        if found and (owner := found[0].owner_oin) not in (None, consent.owner_oin):
            mistakes.add(where, f"owner {consent.owner_oin} does not own {consent.berichtsoort}; {owner} does")
    mistakes.finish()


def pinned(row: Mapping[str, Any], routes: Routes, reference: str) -> Mapping[str, Any]:
    """A consent to be kept, of berichtsoort and to: with the owner and the documents of the route's copy rule of today.
    ConfigError when there is no such route, or it has no such copy."""
    mistakes, where = Mistakes(REGISTER), f"consent {reference}"
    found = _copy_of(mistakes, routes, mistakes.text(row, "berichtsoort", where), mistakes.oin(row, "to", where), where)
    mistakes.finish()
    if found is None:  # a mistake, always
        return row
    route, rule = found
    return {**row, "owner": route.owner_oin, "documents": [selector.table() for selector in rule.selectors]}


def _copy_of(
    mistakes: Mistakes, routes: Routes, berichtsoort: str, to_oin: str, where: str
) -> tuple[Route, CopyRule] | None:
    route = routes.find(berichtsoort)
    if route is None:
        known = [row.berichtsoort for row in routes.rows]
        mistakes.add(where, f"unknown berichtsoort {berichtsoort!r}{nearest(berichtsoort, known)}")
        return None
    for rule in route.copies:
        if rule.to_oin == to_oin:
            return route, rule
    known = [rule.to_oin for rule in route.copies]
    mistakes.add(where, f"route {berichtsoort} has no copy to {to_oin}" + (nearest(to_oin, known) if known else ""))
    return None


def _consent(mistakes: Mistakes, row: Mapping[str, Any]) -> Consent:
    where = f"consent {row.get('reference', '?')}"
    mistakes.check_keys(row, ("reference", "berichtsoort", "owner", "to", "documents", "by", "granted_at"), where)
    documents = tuple(read_selector(mistakes, s, where, _name) for s in mistakes.tables(row, "documents", where))
    if not documents:
        mistakes.add(where, "documents is missing: a consent names the documents it covers")
    return Consent(
        reference=mistakes.text(row, "reference", where),
        berichtsoort=mistakes.text(row, "berichtsoort", where),
        owner_oin=mistakes.oin(row, "owner", where),
        to_oin=mistakes.oin(row, "to", where),
        documents=documents,
        by=mistakes.text(row, "by", where),
        granted_at=mistakes.moment(row, "granted_at", where),
    )


def _name(written: str, where: str) -> Name:
    """The name of a root element in lxml's form, as Selector.table writes it."""
    namespace, _, local = written.rpartition("}")
    return Name(namespace.removeprefix("{"), local)
