"""Authority beside mandates: an Autorisatie Service Provider (AuSP) says whether a party may act for a belanghebbende.

Asks at registered addresses only; the address in a message chooses among them and never becomes one.
"""

from __future__ import annotations

from typing import Final

from digipoort_as4.errors import PeerError
from digipoort_as4.hub import mandates
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.hub.mandates import Authority, Party
from digipoort_as4.wus.office import Office

GEEN_AUSP: Final = "http://geenausp.nl"
"""autorisatieAdres of whoever has no Autorisatie Service Provider (digipoort 4.7)."""


async def settle(
    asker: Party | None,
    belanghebbende: Identiteit,
    berichtsoort: str | None,
    kind: str,
    autorisatie_adres: str | None,
    office: Office,
) -> Authority:
    """May a party follow or fetch for this belanghebbende: itself, by a mandate, or by what the named AuSP says.

    Args:
        asker: snapshot.parties.knows(opened.oin).
        berichtsoort: None asks for whatever berichtsoorten there are; `Authority.covers` says of each whether it is in.
        kind: mandates.STATUS or mandates.OPHALEN.

    Returns:
        An authority that is ok.

    Raises:
        PeerError: autorisatie-adres for an address that is not registered, whoever asks; not-authorised.

    Source: digipoort 1.6 (autorisatieAdresType), 4.7; decision 3.
    """
    check_address(autorisatie_adres)
    authority = mandates.weigh(asker, belanghebbende, berichtsoort, kind, office.now())
    if authority.ok:
        return authority
    raise PeerError(
        "not-authorised",
        where="identiteitBelanghebbende",
        found=f"{belanghebbende.type} {belanghebbende.nummer}",
        expected="een eigen nummer, of een belanghebbende die u voor deze berichtsoort heeft gemachtigd",
        fix="Laat de machtiging registreren, of noem in autorisatieAdres de dienst die haar kan bevestigen.",
        detail=authority.reason,
    )


def check_address(address: str | None) -> None:
    """Refuse an autorisatieAdres that is not registered. Raises PeerError: autorisatie-adres."""
    if address not in (None, GEEN_AUSP):
        expected, advice = f"geen, of {GEEN_AUSP}", f"Laat autorisatieAdres weg of vul {GEEN_AUSP} in."
        raise PeerError(
            "autorisatie-adres", where="autorisatieAdres", found=address or "", expected=expected, fix=advice
        )
