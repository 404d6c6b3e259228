"""Numbers of parties."""

from __future__ import annotations

import pytest

from digipoort_as4.errors import PeerError
from digipoort_as4.hub import identities
from digipoort_as4.hub.aanlevering import Identiteit


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("OIN", "00000004003214345001", "0000000400321434500"),
        ("oin", "00000007012345A00000", "0000000A012345A00000"),
        ("HRN", "00000003901234560000", "000000039012345600000"),
        ("HRN", "00000003901234560000", "00000004901234560000"),
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


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        # 9*1 + 8*1 + 7*1 + 6*2 + 5*2 + 4*2 + 3*3 + 2*3 - 3 = 66 = 6 * 11; with a 4 at the end 65 is left
        ("BSN", "111222333", "111222334"),
        # 9*1 + 8*2 + 7*3 + 6*4 + 5*5 + 4*6 + 3*7 + 2*8 - 2 = 154 = 14 * 11
        ("RSIN", "123456782", "123456783"),
        ("RSIN", "123456782", "213456782"),
        # 7*1 + 2*4 - 4 = 11; with a 5 at the end 10 is left
        ("Fi", "001000044", "001000045"),
        ("BTW", "001000044B37", "001000045B37"),
        ("btw", "NL001000044B37", "NL001000054B37"),
        ("Fi", "001000044B37", "001000054B37"),
        # a btw-identificatienummer: no eleven-test, modulo 97 over its letters as numbers (published example)
        ("BTW", "NL002455799B11", "NL002455799B12"),
        # RSIN inside an OIN of register 00000001
        ("OIN", "00000001123456782000", "00000001123456783000"),
        ("HRN", "00000001123456782000", "00000001123456783000"),
    ],
)
def test_check_digits(kind: str, good: str, bad: str) -> None:
    """The eleven-test by hand: weights 9 to 2, the last digit counts as -1; one position broken."""
    assert "" == identities.problem(Identiteit(good, kind))
    assert "lfproef" in identities.problem(Identiteit(bad, kind))


def test_modulo_97_by_hand() -> None:
    """N = 23, L = 21, B = 11: 2321 002455799 11 11 leaves 1 when divided by 97, as ISO 7064 wants."""
    assert 1 == 232100245579911_11 % 97


def test_an_oin_of_another_register_has_no_check_digit() -> None:
    """KvK numbers, SubOINs and test OINs have none (digipoort 6.4)."""
    for oin in ("00000003901234560000", "00000004003214345001", "00000099000000101000"):
        assert "" == identities.problem(Identiteit(oin, "OIN"))
    assert "" != identities.problem(Identiteit("00000003A01234560000", "OIN"))


def test_a_refusal_says_where_and_what() -> None:
    """Element, type and number, expectation, way out."""
    with pytest.raises(PeerError) as caught:
        identities.check("identiteitBelanghebbende", Identiteit("12345678X", "KvK"))
    told = caught.value
    assert ("identity-number", "identiteitBelanghebbende", "KvK 12345678X") == (told.cause.name, told.where, told.found)
    assert "8 cijfers" == told.expected
    identities.check("identiteitBelanghebbende", Identiteit("12345678", "KvK"))


def test_a_citizens_number_is_not_repeated_in_full() -> None:
    assert "BSN …333" == identities.shown(Identiteit("111222333", "BSN"))
    assert "KvK 32141305" == identities.shown(Identiteit("32141305", "KvK"))
