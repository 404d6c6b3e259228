"""Which signature, digest and canonicalisation algorithms exist for WUS, and which of them are weak.

Computes nothing."""

from dataclasses import dataclass
from typing import Final

from digipoort_as4.errors import PeerError
from digipoort_as4.soap.names import EC

EXCLUSIVE: Final = EC  # Exclusive XML Canonicalization 1.0 without comments, the only one accepted (DK-WUS WB007)

DIGESTS: Final[dict[str, str]] = {
    "http://www.w3.org/2000/09/xmldsig#sha1": "sha1",
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}
"""DigestMethod URI -> hash name. Source: DK-SEC SIGN003; sha1 for the WSDLs' old text, by switch only."""

SIGNATURES: Final[dict[str, str]] = {
    "http://www.w3.org/2000/09/xmldsig#rsa-sha1": "sha1",
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384": "sha384",
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512": "sha512",
}
"""SignatureMethod URI -> hash name; all RSASSA-PKCS1-v1_5, also under G4 (digipoort 2.3). Source: DK-SEC SIGN004."""

DIGEST_URIS: Final = {name: uri for uri, name in DIGESTS.items()}
SIGNATURE_URIS: Final = {name: uri for uri, name in SIGNATURES.items()}

WEAK: Final = frozenset({"sha1"})  # Accepted only where the connection's policy says so (decision 10)


@dataclass(frozen=True, slots=True)
class Algorithms:
    """The family a message is signed in; an answer uses its request's (digipoort 2.5)."""

    signature: str = "sha256"  # Hash name of the SignatureMethod: sha1, sha256, sha384 or sha512; always with RSA
    digest: str = "sha256"  # Hash name of the DigestMethod

    @property
    def weak(self) -> bool:
        """True when SHA-1 is in it."""
        return not WEAK.isdisjoint((self.signature, self.digest))


def hash_of(uri: str, table: dict[str, str], where: str) -> str:
    """The hash name of an algorithm URI. Raises PeerError: algorithm, for every URI that the table does not have."""
    if uri not in table:
        strong = ", ".join(name for name in table.values() if name not in WEAK)
        fix = "Onderteken met RSA en SHA-256 of sterker."
        raise PeerError("algorithm", where=where, found=uri[:120], expected=strong, fix=fix)
    return table[uri]
