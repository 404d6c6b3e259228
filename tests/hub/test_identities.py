"""Numbers of parties."""

from __future__ import annotations

import pytest

from digipoort_as4.hub import identities
from digipoort_as4.hub.aanlevering import Identiteit


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("OIN", "00000004003214345001", "0000000400321434500"),
        ("oin", "00000007012345A00000", "0000000A012345A00000"),
        ("HRN", "00000003901234560000", "000000039012345600000"),
        ("KvK", "32141305", "3214130"),
        ("kvk", "32141305", "3214130X"),
        ("BTW", "001000044B37", "001000044C37"),
        ("Fi", "001000044B37", "001000044B3"),
        ("Fi", "001000044", "00100004"),
        ("LHnr", "000000000L01", "000000000B01"),
        ("RSIN", "123456782", "12345678"),
        ("BSN", "123456782", "1234567 8 2 1"),
    ],
)
def test_shape_by_type(kind: str, good: str, bad: str) -> None:
    """Each known type has its shape; the numbers are those of digipoort 4.2 and 6.4 with one position broken."""
    assert "" == identities.problem(Identiteit(good, kind))
    assert "" != identities.problem(Identiteit(bad, kind))


def test_digits_of_other_scripts_are_no_digits() -> None:
    """Full-width digits would be another number to whoever compares octets."""
    assert "" != identities.problem(Identiteit("3214130５", "KvK"))


def test_unknown_type_passes() -> None:
    """The koppelvlak has no list of types (1.2 dropped the enumeration)."""
    assert "" == identities.problem(Identiteit("anything at all", "Vest"))
    assert "Any-Thing." == identities.normalise("Any-Thing.", "Vest")


def test_vat_number_is_compared_without_country_and_punctuation() -> None:
    """The Basisfactuur example writes NL8200.98.395.B.01, the koppelvlak 820098395B01."""
    assert identities.same(Identiteit("NL8200.98.395.B.01", "BTW"), Identiteit("820098395b01", "btw"))
    assert not identities.same(Identiteit("NL8200.98.395.B.02", "BTW"), Identiteit("820098395B01", "BTW"))
    assert not identities.same(Identiteit("820098395B01", "Fi"), Identiteit("820098395B01", "BTW"))
