"""Every deliberate failure: the causes a peer may hear of, and the exceptions of this package.

Nothing here sends anything; the protocols turn a `PeerError` into their own fault."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from digipoort_as4 import codes


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason to refuse a request, as one row of a table."""

    name: str  # Stable key, lower case with hyphens; the operator's table maps it to a foutcode
    text: str  # Dutch sentence for the peer; for a cause that is not explained, all the peer hears
    explained: bool = True
    """True: where, found, expected and fix go to the peer. False: fixed text and journal number only (decision 5)."""
    technical: bool = False  # True: our trouble, foutcode x400 and worth a retry. False: the request's, foutcode x100
    http: int = 500  # HTTP status of the answer
    dk_bp: str = ""  # Code of the Digikoppeling Best Practices for the same trouble, or empty
    where: str = ""  # These four are told when the check that refuses says no better
    found: str = ""
    expected: str = ""
    fix: str = ""


UNTRUSTED: Final = "De beveiliging van het bericht kon niet worden vastgesteld."
"""The one text for every certificate, OIN, SignatureValue and digest failure (decision 5)."""
CAUSES: Final[dict[str, Cause]] = {
    row.code: Cause(row.code, row.text or UNTRUSTED, fix=row.action["nl"], **row.more)
    for row in codes.TABLES["cause"].values()
}
"""All causes by name. Source: Digikoppeling Best Practices WUS for dk_bp; the sentences are ours."""


class DigipoortError(Exception):
    """Root of every error that this package raises on purpose."""

    category, exit_code = "unexpected", 1


class PeerError(DigipoortError):
    """The other side's request or answer is refused; the protocol turns this into its fault."""

    category, exit_code = "refused", 4
    foutcode, http = "", 0  # of a scenario: in place of what the cause says

    def __init__(
        self, name: str, *, where: str = "", found: str = "", expected: str = "", fix: str = "", detail: str = ""
    ) -> None:
        """Name the cause, a key of CAUSES, and say the four parts in Dutch; `detail` is for the journal only.
        A part that is not given is what the table of causes says in general.
        Where is an element, header, reference or line; found is short, never a whole value of somebody else's; expected
        is what the standard or the route wants; fix is the way out, as an instruction."""
        self.cause = cause = CAUSES[name]
        self.where, self.found = where or cause.where, found or cause.found
        self.expected, self.fix, self.detail = expected or cause.expected, fix or cause.fix, detail
        self.others: tuple[PeerError, ...] = ()  # Found in the same go, see `raise_all`
        super().__init__(f"{name}: {'; '.join(part for part in (where, found, expected, fix, detail) if part)}")

    def all(self) -> tuple[PeerError, ...]:
        """This finding and those found in the same go, in order."""
        return (self, *self.others)


MOST: Final = 20
"""Findings told in one go: whoever has more has one cause, and a peer must not buy work by mistakes."""


def together(findings: Iterable[PeerError]) -> PeerError | None:
    """One refusal that carries all findings, or None; the first names cause, foutcode and HTTP status.
    At most MOST + 1 are taken from a lazy iterable, so that one more shows that there are more."""
    found = list(islice((each for finding in findings for each in finding.all()), MOST + 1))
    if not found:
        return None
    found[0].others = tuple(found[1:])
    return found[0]


def raise_all(findings: Iterable[PeerError]) -> None:
    """Raise what was found, all of it as one PeerError; without findings nothing happens."""
    refusal = together(findings)
    if refusal:
        raise refusal


def check_all(*checks: Callable[[], object]) -> None:
    """Make every check, and raise what all of them refuse together."""
    found = []
    for check in checks:
        try:
            check()
        except PeerError as finding:
            found.append(finding)
    raise_all(found)


class UsageError(DigipoortError):
    """The caller's arguments make no sense."""

    category, exit_code = "usage", 2


class DocumentInvalid(DigipoortError):
    """A document failed validation (status 311)."""

    category, exit_code = "document", 3

    def __init__(self, message: str, *, findings: tuple[str, ...] = ()) -> None:
        self.findings = findings  # One text each, as the post office worded them
        super().__init__(message)


class Refused(DigipoortError):
    """Digipoort or an agency refused: a fault or an end status."""

    category, exit_code = "refused", 4

    def __init__(self, message: str, *, code: str = "", status: str = "") -> None:
        self.code, self.status = code, status
        super().__init__(message)


class SignatureError(DigipoortError):
    """A signature or certificate on an answer does not hold; the answer must not be used."""

    category, exit_code = "signature", 5

    def __init__(self, message: str, *, reference: str = "") -> None:
        self.reference = reference  # The part of the message that does not hold: Body, wsa:RelatesTo, SignatureValue …
        super().__init__(message)


class CertificateError(SignatureError):
    """The signature may hold, but not the certificate behind it: not trusted, expired, revoked, for another purpose."""


class TransportError(DigipoortError):
    """The network, TLS or a time-out stood in the way."""

    category, exit_code = "network", 6

    def __init__(self, message: str, *, sent: bool = False) -> None:
        self.sent = sent  # False: no octet of the request can have been read. True: the outcome was not learnt
        super().__init__(message)


class OutcomeUnknown(TransportError):
    """The request may have been accepted; its text says what to ask next (decision 36)."""


class ConfigError(DigipoortError):
    """The operator's file is wrong; lists all mistakes at once."""

    category, exit_code = "configuration", 7


class ExpectationNotMet(DigipoortError):
    """A story, replay or test went otherwise than told."""

    category, exit_code = "expectation", 8


class StorageFailure(DigipoortError):
    """The store could not keep its promise; the process stops rather than go on (P5)."""


PARTS: Final = ("where", "found", "expected", "fix")
E = TypeVar("E", bound=DigipoortError)


def failure(kind: type[E], what: str, **parts: str) -> E:
    """An error for people: one sentence, and the parts it knows of where, found, expected and fix, as notes."""
    error = kind(what)
    for name in PARTS:
        if parts.get(name):
            error.add_note(f"{name}: {parts[name]}")
    return error
