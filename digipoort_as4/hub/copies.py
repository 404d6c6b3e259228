"""Consents of berichtstroomeigenaren: a copy leaves only while one stands.

Pure: opens no file; storage.tables reads consents.toml, adds entries to it and never changes one.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from digipoort_as4.errors import ConfigError, UsageError
from digipoort_as4.hub.mistakes import Mistakes, nearest
from digipoort_as4.hub.routes import Routes, Selector, read_selector

FILE: Final = "consents.toml"


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
    withdrawn_at: datetime | None = None
    withdrawn_by: str = ""

    def stands(self, at: datetime) -> bool:
        """True from the grant until the withdrawal."""
        return self.granted_at <= at and (self.withdrawn_at is None or at < self.withdrawn_at)


@dataclass(frozen=True, slots=True)
class Consents:
    """All consents of one file, withdrawn ones included; a frozen snapshot."""

    rows: tuple[Consent, ...] = ()

    def find(self, reference: str) -> Consent | None:
        """The consent with this reference, standing or not."""
        return next((row for row in self.rows if row.reference == reference), None)

    @staticmethod
    def of(table: Mapping[str, Any]) -> Consents:
        """Consents from what tomllib made of a file; ConfigError tells all mistakes at once, one a line."""
        mistakes = Mistakes(FILE)
        mistakes.check_keys(table, ("consent", "withdrawal"), "top")
        rows: dict[str, Consent] = {}
        for row in mistakes.tables(table, "consent", "top"):
            consent = _consent(mistakes, row)
            if consent.reference in rows:
                mistakes.add(f"consent {consent.reference}", "reference occurs twice")
            rows[consent.reference] = consent
        for row in mistakes.tables(table, "withdrawal", "top"):
            _withdrawal(mistakes, row, rows)
        mistakes.finish()
        return Consents(tuple(rows.values()))


def standing(consents: Consents, berichtsoort: str, owner_oin: str, to_oin: str, at: datetime) -> Consent | None:
    """The consent on which a copy may leave now: the one granted last of those that stand, or None.

    Nobody's consent counts but that of owner_oin, the berichtstroomeigenaar.
    """
    asked = (berichtsoort, owner_oin, to_oin)
    fitting = [c for c in consents.rows if (c.berichtsoort, c.owner_oin, c.to_oin) == asked and c.stands(at)]
    return max(fitting, key=lambda consent: consent.granted_at, default=None)


def still_stands(consents: Consents, reference: str, at: datetime) -> bool:
    """Right before a copy is sent, on consents read afresh: does the one that it rests on (Delivery.consent) stand?"""
    consent = consents.find(reference)
    return consent is not None and consent.stands(at)


def check_against(consents: Consents, routes: Routes) -> None:
    """Every consent must fit a copy of the route table: berichtsoort, owner, recipient; else one ConfigError.

    A withdrawn one is history: it does not hold on to a route for ever.
    """
    mistakes = Mistakes(FILE)
    for consent in (row for row in consents.rows if row.withdrawn_at is None):
        where = f"consent {consent.reference}"
        route = routes.find(consent.berichtsoort)
        if route is None:
            known = [row.berichtsoort for row in routes.rows]
            mistakes.add(where, f"unknown berichtsoort {consent.berichtsoort!r}{nearest(consent.berichtsoort, known)}")
        elif route.owner_oin not in (None, consent.owner_oin):
            mistakes.add(where, f"owner {consent.owner_oin} does not own {route.berichtsoort}; {route.owner_oin} does")
        elif consent.to_oin not in {copy.to_oin for copy in route.copies}:
            mistakes.add(where, f"route {route.berichtsoort} has no copy to {consent.to_oin}")
    mistakes.finish()


# --- granting and withdrawing -----------------------------------------------------------------------------------------


def grant(text: str, consent: Consent) -> str:
    """The text of consents.toml with one more consent at its end.

    Raises:
        UsageError: the reference is taken.
        ConfigError: what would come out is no valid table.
    """
    consents = Consents.of(_parsed(text))
    if consents.find(consent.reference) is not None:
        raise UsageError(f"consent {consent.reference} exists already; take another reference")
    selectors = ", ".join(_selector(selector) for selector in consent.documents)
    entry = {
        "reference": _text(consent.reference),
        "berichtsoort": _text(consent.berichtsoort),
        "owner": _text(consent.owner_oin),
        "to": _text(consent.to_oin),
        "documents": f"[{selectors}]",
        "by": _text(consent.by),
        "granted_at": _time(consent.granted_at),
    }
    return _with(text, "consent", entry)


def withdraw(text: str, reference: str, by: str, at: datetime) -> str:
    """The text of consents.toml with a withdrawal at its end; the consent itself stays as it was recorded.

    Raises:
        UsageError: there is no such consent, or it is withdrawn already.
    """
    consent = Consents.of(_parsed(text)).find(reference)
    if consent is None:
        raise UsageError(f"there is no consent {reference}")
    if consent.withdrawn_at is not None:
        raise UsageError(f"consent {reference} was withdrawn at {_time(consent.withdrawn_at)}")
    return _with(text, "withdrawal", {"reference": _text(reference), "by": _text(by), "at": _time(at)})


def _with(text: str, kind: str, entry: Mapping[str, str]) -> str:
    """Text and entry as one file that can be read back."""
    before = f"{text.rstrip()}\n\n" if text.strip() else ""
    longer = f"{before}[[{kind}]]\n" + "".join(f"{key} = {value}\n" for key, value in entry.items())
    Consents.of(_parsed(longer))
    return longer


def _selector(selector: Selector) -> str:
    parts = (("part", selector.part), ("bestandsnaam", selector.bestandsnaam), ("mimeType", selector.mime_type))
    return "{ " + ", ".join(f"{key} = {_text(value)}" for key, value in parts if value is not None) + " }"


def _text(value: str) -> str:
    # a JSON string is a TOML basic string; DEL is the one character that JSON leaves bare and TOML forbids
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- loading ----------------------------------------------------------------------------------------------------------


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{FILE}: {error}") from error


def _consent(mistakes: Mistakes, row: Mapping[str, Any]) -> Consent:
    where = f"consent {row.get('reference', '?')}"
    mistakes.check_keys(row, ("reference", "berichtsoort", "owner", "to", "documents", "by", "granted_at"), where)
    documents = tuple(read_selector(mistakes, s, where) for s in mistakes.tables(row, "documents", where))
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


def _withdrawal(mistakes: Mistakes, row: Mapping[str, Any], rows: dict[str, Consent]) -> None:
    where = f"withdrawal {row.get('reference', '?')}"
    mistakes.check_keys(row, ("reference", "by", "at"), where)
    reference, by = mistakes.text(row, "reference", where), mistakes.text(row, "by", where)
    at = mistakes.moment(row, "at", where)
    if reference not in rows:
        mistakes.add(where, f"there is no consent {reference!r}")
    elif rows[reference].withdrawn_at is not None:
        mistakes.add(where, "this consent is withdrawn twice")
    else:
        rows[reference] = replace(rows[reference], withdrawn_at=at, withdrawn_by=by)
