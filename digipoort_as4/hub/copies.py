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
from digipoort_as4.hub import identities
from digipoort_as4.hub.aanlevering import Identiteit
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
        """Consents from what tomllib made of a file.

        Raises:
            ConfigError: all mistakes at once, one a line.
        """
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
    """The consent on which a copy may leave now.

    Args:
        consents: as recorded.
        berichtsoort: of the message.
        owner_oin: its berichtstroomeigenaar; nobody else's consent counts.
        to_oin: who would get the copy.
        at: now.

    Returns:
        The one granted last of those that stand; None when none does.
    """
    asked = (berichtsoort, owner_oin, to_oin)
    fitting = [c for c in consents.rows if (c.berichtsoort, c.owner_oin, c.to_oin) == asked and c.stands(at)]
    return max(fitting, key=lambda consent: consent.granted_at, default=None)


def still_stands(consents: Consents, reference: str, at: datetime) -> bool:
    """Right before a copy is sent: does the consent that it rests on stand?

    Args:
        consents: read afresh for this attempt.
        reference: Delivery.consent.
        at: now.
    """
    consent = consents.find(reference)
    return consent is not None and consent.stands(at)


def check_against(consents: Consents, routes: Routes) -> None:
    """Every consent must fit a copy of the route table.

    Raises:
        ConfigError: all mistakes at once: berichtsoort unknown, owner not the route's, no such copy.
    """
    mistakes = Mistakes(FILE)
    for consent in consents.rows:
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
    """The file with one more consent at its end.

    Args:
        text: consents.toml as it is.
        consent: without withdrawal; its reference must be new.

    Raises:
        UsageError: the reference is taken.
        ConfigError: what would come out is no valid table.
    """
    consents = Consents.of(_parsed(text))
    if consents.find(consent.reference) is not None:
        raise UsageError(f"consent {consent.reference} exists already; take another reference")
    return _checked(text, _entry(consent))


def withdraw(text: str, reference: str, by: str, at: datetime) -> str:
    """The file with a withdrawal at its end; the consent itself stays as it was recorded.

    Args:
        text: consents.toml as it is.
        reference: of a consent that stands.
        by: who withdraws it.
        at: from when on no copy leaves.

    Raises:
        UsageError: there is no such consent, or it is withdrawn already.
    """
    consent = Consents.of(_parsed(text)).find(reference)
    if consent is None:
        raise UsageError(f"there is no consent {reference}")
    if consent.withdrawn_at is not None:
        raise UsageError(f"consent {reference} was withdrawn at {_time(consent.withdrawn_at)}")
    lines = ("[[withdrawal]]", f"reference = {_text(reference)}", f"by = {_text(by)}", f"at = {_time(at)}")
    return _checked(text, "\n".join(lines))


def _checked(text: str, entry: str) -> str:
    """Text and entry as one file that can be read back."""
    longer = f"{text.rstrip()}\n\n{entry}\n" if text.strip() else f"{entry}\n"
    Consents.of(_parsed(longer))
    return longer


def _entry(consent: Consent) -> str:
    selectors = ", ".join(_selector(selector) for selector in consent.documents)
    return "\n".join(
        (
            "[[consent]]",
            f"reference = {_text(consent.reference)}",
            f"berichtsoort = {_text(consent.berichtsoort)}",
            f"owner = {_text(consent.owner_oin)}",
            f"to = {_text(consent.to_oin)}",
            f"documents = [{selectors}]",
            f"by = {_text(consent.by)}",
            f"granted_at = {_time(consent.granted_at)}",
        )
    )


def _selector(selector: Selector) -> str:
    parts = (("part", selector.part), ("bestandsnaam", selector.bestandsnaam), ("mimeType", selector.mime_type))
    return "{ " + ", ".join(f"{key} = {_text(value)}" for key, value in parts if value is not None) + " }"


def _text(value: str) -> str:
    # a JSON string is a TOML basic string; DEL is the one character that JSON leaves bare and TOML forbids
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- loading ----------------------------------------------------------------------------------------------------------

_CONSENT_KEYS: Final = ("reference", "berichtsoort", "owner", "to", "documents", "by", "granted_at")


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{FILE}: {error}") from error


def _consent(mistakes: Mistakes, row: Mapping[str, Any]) -> Consent:
    where = f"consent {row.get('reference', '?')}"
    mistakes.check_keys(row, _CONSENT_KEYS, where)
    documents = tuple(read_selector(mistakes, s, where) for s in mistakes.tables(row, "documents", where))
    if not documents:
        mistakes.add(where, "documents is missing: a consent names the documents it covers")
    oins = [mistakes.text(row, key, where) for key in ("owner", "to")]
    for oin in oins:
        if oin and identities.shape_problem(Identiteit(oin, "OIN")):
            mistakes.add(where, f"{oin!r} is no OIN of 20 positions")
    return Consent(
        reference=mistakes.text(row, "reference", where),
        berichtsoort=mistakes.text(row, "berichtsoort", where),
        owner_oin=oins[0],
        to_oin=oins[1],
        documents=documents,
        by=mistakes.text(row, "by", where),
        granted_at=_moment(mistakes, row, "granted_at", where),
    )


def _withdrawal(mistakes: Mistakes, row: Mapping[str, Any], rows: dict[str, Consent]) -> None:
    where = f"withdrawal {row.get('reference', '?')}"
    mistakes.check_keys(row, ("reference", "by", "at"), where)
    reference, by = mistakes.text(row, "reference", where), mistakes.text(row, "by", where)
    at = _moment(mistakes, row, "at", where)
    if reference not in rows:
        mistakes.add(where, f"there is no consent {reference!r}")
    elif rows[reference].withdrawn_at is not None:
        mistakes.add(where, "this consent is withdrawn twice")
    else:
        rows[reference] = replace(rows[reference], withdrawn_at=at, withdrawn_by=by)


def _moment(mistakes: Mistakes, row: Mapping[str, Any], key: str, where: str) -> datetime:
    value = row.get(key)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    mistakes.add(where, f"{key} must be a time with its zone")
    return datetime(1970, 1, 1, tzinfo=UTC)
