"""Every deliberate failure: the causes a peer may hear of, and the exceptions of this package.

Nothing here sends anything; the protocols turn a `PeerError` into their own fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar


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


UNTRUSTED: Final = "De beveiliging van het bericht kon niet worden vastgesteld."
"""The one text for every certificate, OIN, SignatureValue and digest failure (decision 5)."""

_CAUSES: Final = (
    # --- HTTP and XML ---------------------------------------------------------------------------------------------
    Cause("method-not-allowed", "Alleen POST is toegestaan.", http=405),
    Cause("unknown-path", "Dit adres bestaat niet.", http=404),
    Cause("content-encoding", "Een gecomprimeerd verzoek wordt niet aangenomen.", http=415),
    Cause("content-type", "Het Content-Type is niet text/xml.", http=415),
    Cause("multipart", "De MIME-opbouw van het verzoek klopt niet."),
    Cause("xop", "Een xop:Include of het deel waar hij naar verwijst klopt niet."),
    Cause("body-too-large", "Het verzoek is te groot.", http=413),
    Cause("body-truncated", "Het verzoek is afgebroken voordat het compleet was.", http=400),
    Cause("not-xml", "Het verzoek is geen welgevormde XML.", dk_bp="0001"),
    Cause("not-utf8", "Het verzoek is niet in UTF-8.", dk_bp="0009"),
    Cause("doctype", "Een DOCTYPE is niet toegestaan.", dk_bp="0001"),
    Cause("xml-limit", "De XML overschrijdt een grens.", dk_bp="0001"),
    Cause("comment", "Commentaar of een processing instruction is hier niet toegestaan.", dk_bp="0001"),
    Cause("envelope", "De SOAP-envelop klopt niet.", dk_bp="0001"),
    # --- headers --------------------------------------------------------------------------------------------------
    Cause("soap-action", "De SOAPAction hoort niet bij deze service.", dk_bp="0003"),
    Cause("header-missing", "Een verplichte header ontbreekt.", dk_bp="0010"),
    Cause("to-missing", "De header wsa:To ontbreekt.", dk_bp="0005"),
    Cause("action-missing", "De header wsa:Action ontbreekt.", dk_bp="0006"),
    Cause("message-id-missing", "De header wsa:MessageID ontbreekt.", dk_bp="0007"),
    Cause("relates-to-missing", "De header wsa:RelatesTo ontbreekt.", dk_bp="0008"),
    Cause("header-doubled", "Een header komt meer dan eens voor.", dk_bp="0011"),
    Cause("header-unknown", "Een header wordt niet begrepen.", dk_bp="0010"),
    Cause("header-value", "Een header heeft een andere waarde dan voorgeschreven.", dk_bp="0011"),
    # --- signature ------------------------------------------------------------------------------------------------
    Cause("security-missing", "De header wsse:Security of een onderdeel ervan ontbreekt.", dk_bp="0010"),
    Cause("signature-shape", "De opbouw van de handtekening is niet toegestaan."),
    Cause("algorithm", "Een algoritme van de handtekening is niet toegestaan."),
    Cause("not-covered", "Een onderdeel van het bericht is niet ondertekend."),
    Cause("key-reference", "De verwijzing naar het certificaat is niet toegestaan."),
    Cause("signature-value", UNTRUSTED, explained=False),
    Cause("digest", UNTRUSTED, explained=False),
    Cause("certificate-malformed", UNTRUSTED, explained=False),
    Cause("certificate-untrusted", UNTRUSTED, explained=False),
    Cause("certificate-expired", UNTRUSTED, explained=False),
    Cause("certificate-revoked", UNTRUSTED, explained=False),
    Cause("certificate-purpose", UNTRUSTED, explained=False),
    Cause("key-weak", UNTRUSTED, explained=False),
    Cause("oin-missing", UNTRUSTED, explained=False),
    Cause("oin-differs", UNTRUSTED, explained=False),
    Cause("tls-certificate", UNTRUSTED, explained=False),
    Cause("party-unknown", UNTRUSTED, explained=False),
    Cause("timestamp", "De geldigheid van het bericht (wsu:Timestamp) klopt niet."),
    Cause("message-id-reused", "Dit wsa:MessageID is al gebruikt voor een ander bericht."),
    # --- body -----------------------------------------------------------------------------------------------------
    Cause("schema", "Het bericht voldoet niet aan het XML-schema.", dk_bp="0004"),
    Cause("inhoud", "Een inhoud is geen base64 zoals afgesproken.", dk_bp="0004"),
    Cause("inhoud-too-large", "Een inhoud is groter dan 20971520 octetten.", dk_bp="0004"),
    Cause("kenmerk-given", "Een aanleververzoek draagt geen kenmerk.", dk_bp="0004"),
    Cause("identity-number", "Het nummer van een identiteit klopt niet.", dk_bp="0004"),
    Cause("berichtsoort-unknown", "De berichtsoort is niet bekend."),
    Cause("ontvanger-unknown", "De ontvanger is niet bekend voor deze berichtsoort."),
    Cause("autorisatie-adres", "Het autorisatieAdres is niet geregistreerd."),
    Cause("not-authorised", "U mag dit niet opvragen voor deze belanghebbende en berichtsoort."),
    Cause("window", "Het tijdvak van tijdstempelVanaf en tijdstempelTot klopt niet."),
    Cause("kenmerk-unknown", "Het kenmerk is niet bekend."),
    Cause("status-refused", "De status kan nu niet worden gezet."),
    Cause("operation-unknown", "De operatie wordt niet aangeboden.", dk_bp="0003"),
    # --- ours -----------------------------------------------------------------------------------------------------
    Cause("unavailable", "De service is tijdelijk niet beschikbaar.", technical=True, dk_bp="0051"),
    Cause("ausp-unavailable", "De dienst in autorisatieAdres geeft nu geen antwoord.", technical=True, dk_bp="0051"),
    Cause("storage", "Het bericht kon niet duurzaam worden vastgelegd.", technical=True, dk_bp="0051"),
    Cause("revocation-unavailable", "De intrekkingsinformatie is niet beschikbaar.", technical=True, dk_bp="0051"),
)
CAUSES: Final[dict[str, Cause]] = {cause.name: cause for cause in _CAUSES}
"""All causes by name. Source: Digikoppeling Best Practices WUS for dk_bp; the sentences are ours."""


class DigipoortError(Exception):
    """Root of every error that this package raises on purpose."""

    category, exit_code = "unexpected", 1


class PeerError(DigipoortError):
    """The other side's request or answer is refused; the protocol turns this into its fault."""

    category, exit_code = "refused", 4

    def __init__(
        self, name: str, *, where: str = "", found: str = "", expected: str = "", fix: str = "", detail: str = ""
    ) -> None:
        """Name the cause, a key of CAUSES, and say the four parts in Dutch; `detail` is for the journal only.

        Where is an element, header, reference or line; found is short, never a whole value of somebody else's; expected
        is what the standard or the route wants; fix is the way out, as an instruction.
        """
        self.cause = CAUSES[name]
        self.where, self.found, self.expected, self.fix, self.detail = where, found, expected, fix, detail
        super().__init__(f"{name}: {'; '.join(part for part in (where, found, expected, fix, detail) if part)}")


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
