"""The canonical unit of the hub: one envelope with address data and documents. SOAP and AS4 both end here.

Knows no XML and no store."""

from dataclasses import dataclass

from digipoort_as4.payload import Document


@dataclass(frozen=True, slots=True)
class Identiteit:
    """identiteitType of the koppelvlak: a number and what kind of number it is."""

    nummer: str  # At most 35 characters
    type: str  # BTW, Fi, LHnr, KvK, BSN, RSIN, OIN …: free text in 1.2; compared without regard to case, kept as sent


@dataclass(frozen=True, slots=True)
class Aanlevering:
    """What a sender handed over, read from signed octets only."""

    sender_oin: str  # OIN or HRN of the signing certificate, 20 positions
    berichtsoort: str
    belanghebbende: Identiteit
    rol_belanghebbende: str
    documents: tuple[Document, ...]  # The inhoud first, then the bijlagen in order
    aanleverkenmerk: str | None = None
    eerder_aanleverkenmerk: str | None = None
    ontvanger: Identiteit | None = None
    rol_ontvanger: str | None = None
    autorisatie_adres: str | None = None
