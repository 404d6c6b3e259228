"""Numbers of parties: what each kind looks like, when its check digits are right, and when two are the same.

Knows no register: a number that could exist passes, and so does every number of a type it does not know."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from stdnum.nl import bsn, btw

from digipoort_as4.errors import PeerError
from digipoort_as4.hub.aanlevering import Identiteit


@dataclass(frozen=True, slots=True)
class Kind:
    """What a number of one type looks like."""

    pattern: re.Pattern[str]  # Matches the normalised number as a whole
    expected: str  # The same for people, in Dutch
    proof: Callable[[str], bool] = lambda number: True  # Whether the check digits of a number of this shape are right
    proven: str = ""  # The same for people


def _rsin_in_oin(number: str) -> bool:
    """OINs of register 00000001 carry a RSIN (digipoort 6.4)."""
    return not number.startswith("00000001") or bsn.is_valid(number[8:17])


def _fiscal(number: str) -> bool:
    return bsn.is_valid(number) if len(number) == 9 else btw.is_valid(number)


# Letters only after prefix 00000007 (BRIN), as pki.certificates reads OINs out of certificates.
_OIN: Final = r"[0-9]{20}|00000007[0-9A-Z]{9}[0-9]{3}"
_ELEVEN: Final = "een nummer waarvan het laatste cijfer klopt (elfproef)"
_IN_OIN: Final = "na 00000001 een RSIN waarvan het laatste cijfer klopt (elfproef)"
_VAT: Final = "een nummer waarvan de controlecijfers kloppen (elfproef, of modulo 97 voor een btw-identificatienummer)"
# HRN: register 00000001 or 00000003; 00000099 is for tests (digipoort 6.4)
_HRN: Final = r"000000(01|03|99)[0-9]{12}"
_NINE: Final = Kind(re.compile(r"[0-9]{9}"), "9 cijfers", bsn.is_valid, _ELEVEN)
_FI: Final = "9 cijfers, al dan niet gevolgd door B en 2 cijfers"

KINDS: Final[dict[str, Kind]] = {  # By type in lower case. Source: digipoort 4.2 and 6.4
    "oin": Kind(re.compile(_OIN, re.ASCII), "20 posities", _rsin_in_oin, _IN_OIN),
    "hrn": Kind(re.compile(_HRN), "20 cijfers, beginnend met 00000001 of 00000003", _rsin_in_oin, _IN_OIN),
    "kvk": Kind(re.compile(r"[0-9]{8}"), "8 cijfers"),  # no check digit
    "btw": Kind(re.compile(r"[0-9]{9}B[0-9]{2}"), "9 cijfers, de letter B en 2 cijfers, zonder NL", btw.is_valid, _VAT),
    # Fi is seen in the form of a VAT number (digipoort 4.2) and is, by its name, the nine-digit fiscal number
    "fi": Kind(re.compile(r"[0-9]{9}(B[0-9]{2})?"), _FI, _fiscal, _VAT),
    # no proof: the suite's own example is 000000000L01
    "lhnr": Kind(re.compile(r"[0-9]{9}L[0-9]{2}"), "9 cijfers, de letter L en 2 cijfers"),
    "rsin": _NINE,
    "bsn": _NINE,
}

_PUNCTUATION: Final = re.compile(r"[\s.]+")


def normalise(number: str, kind: str) -> str:
    """A number in the form that is compared: `NL8200.98.395.B.01` as Btw is 820098395B01.
    Upper case, without dots and white space, without NL; a number of a kind that KINDS does not know is unchanged."""
    if kind.casefold() not in KINDS:
        return number
    compact = _PUNCTUATION.sub("", number).upper()
    return compact.removeprefix("NL") if kind.casefold() in {"btw", "fi"} else compact


def key(identiteit: Identiteit) -> str:
    """Type and number in the form that is compared: types but for case, numbers normalised."""
    return f"{identiteit.type.casefold()} {normalise(identiteit.nummer, identiteit.type)}"


def same(one: Identiteit, other: Identiteit) -> bool:
    """True when both name the same party."""
    return key(one) == key(other)


def problem(identiteit: Identiteit) -> str:
    """The expectation, in Dutch, that a number does not meet; empty when it does or its type is not in KINDS."""
    kind = KINDS.get(identiteit.type.casefold())
    if kind is None:
        return ""
    number = normalise(identiteit.nummer, identiteit.type)
    if not kind.pattern.fullmatch(number):
        return kind.expected
    return "" if kind.proof(number) else kind.proven


def shown(identiteit: Identiteit) -> str:
    """Type and number for a fault or the journal; of a BSN the last three digits only: it is a person's."""
    hidden = identiteit.type.casefold() == "bsn"
    return f"{identiteit.type} {'…' + identiteit.nummer[-3:] if hidden else identiteit.nummer}"


def check(where: str, identiteit: Identiteit) -> None:
    """Refuse a number that no party can have; PeerError identity-number names the element `where` (digipoort 4.2)."""
    if expected := problem(identiteit):
        fix = "Controleer het nummer en het type."
        raise PeerError("identity-number", where=where, found=shown(identiteit), expected=expected, fix=fix)
