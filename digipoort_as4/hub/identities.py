"""Numbers of parties: what shape each kind has, and when two are the same.

Knows no register and computes no check digits; a type it does not know passes as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from digipoort_as4.hub.aanlevering import Identiteit


@dataclass(frozen=True, slots=True)
class Shape:
    """What a number of one type looks like."""

    pattern: re.Pattern[str]  # Matches the normalised number as a whole
    expected: str  # The same for people, in Dutch


_OIN: Final = Shape(re.compile(r"[0-9]{8}[0-9A-Z]{9}[0-9]{3}"), "20 posities")
_NINE: Final = Shape(re.compile(r"[0-9]{9}"), "9 cijfers")

SHAPES: Final[dict[str, Shape]] = {  # Shapes by type in lower case. Source: digipoort 4.2 and 6.4
    # positions 9 to 17 may be alphanumeric for some registers (BRIN): Digikoppeling Identificatie en Authenticatie
    "oin": _OIN,
    "hrn": _OIN,
    "kvk": Shape(re.compile(r"[0-9]{8}"), "8 cijfers"),
    "btw": Shape(re.compile(r"[0-9]{9}B[0-9]{2}"), "9 cijfers, de letter B en 2 cijfers, zonder NL"),
    # Fi is seen in the form of a VAT number (digipoort 4.2) and is, by its name, the nine-digit fiscal number
    "fi": Shape(re.compile(r"[0-9]{9}(B[0-9]{2})?"), "9 cijfers, al dan niet gevolgd door B en 2 cijfers"),
    "lhnr": Shape(re.compile(r"[0-9]{9}L[0-9]{2}"), "9 cijfers, de letter L en 2 cijfers"),
    "rsin": _NINE,
    "bsn": _NINE,
}

_PUNCTUATION: Final = re.compile(r"[\s.]+")


def normalise(number: str, kind: str) -> str:
    """A number in the form that is compared: `NL8200.98.395.B.01` as Btw is 820098395B01.

    Upper case, without dots and white space, without NL; a number of a kind that SHAPES does not know is unchanged.
    """
    if kind.casefold() not in SHAPES:
        return number
    compact = _PUNCTUATION.sub("", number).upper()
    return compact.removeprefix("NL") if kind.casefold() in {"btw", "fi"} else compact


def key(identiteit: Identiteit) -> str:
    """Type and number as one text that is equal for the same party; the store looks messages up by it."""
    return f"{identiteit.type.casefold()} {normalise(identiteit.nummer, identiteit.type)}"


def same(one: Identiteit, other: Identiteit) -> bool:
    """True when both name the same party: types equal but for case, numbers equal once normalised."""
    return key(one) == key(other)


def shape_problem(identiteit: Identiteit) -> str:
    """The expectation, in Dutch, that a number does not meet; empty when it does or its type is not in SHAPES."""
    shape = SHAPES.get(identiteit.type.casefold())
    if shape is None or shape.pattern.fullmatch(normalise(identiteit.nummer, identiteit.type)):
        return ""
    return shape.expected
