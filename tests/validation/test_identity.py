"""The number inside the document is the belanghebbende's."""

from __future__ import annotations

import pytest
from helpers_validation import SHARED, XBRLI, document, envelope, route, xbrl

from digipoort_as4.hub.findings import Finding
from digipoort_as4.validation import identity

UBL = "urn:oasis:names:specification:ubl:schema:xsd"


def invoice(inside: str, root: str = "Invoice") -> str:
    return (
        f'<{root} xmlns="{UBL}:{root}-2" xmlns:a="{UBL}:CommonAggregateComponents-2" '
        f'xmlns:b="{UBL}:CommonBasicComponents-2"><a:AccountingSupplierParty><a:Party>{inside}</a:Party>'
        f"</a:AccountingSupplierParty></{root}>"
    )


KVK = '<a:PartyLegalEntity><b:CompanyID schemeID="0106">32141305</b:CompanyID></a:PartyLegalEntity>'
OIN = '<a:PartyLegalEntity><b:CompanyID schemeID="0190">00000004003214345001</b:CompanyID></a:PartyLegalEntity>'
VAT = "<a:PartyTaxScheme><b:CompanyID>NL8200.98.395.B.01</b:CompanyID></a:PartyTaxScheme>"
OHNL = '<a:PartyIdentification><b:ID schemeAgencyName="KvK">30097265</b:ID></a:PartyIdentification>'


def check(text: str, kind: str, nummer: str, berichtsoort: str = "Omzetbelasting") -> list[Finding]:
    return list(identity.check(envelope(document(text), kind=kind, nummer=nummer), route(berichtsoort)))


def ids(text: str, kind: str, nummer: str, berichtsoort: str = "Omzetbelasting") -> list[str]:
    return [finding.id for finding in check(text, kind, nummer, berichtsoort)]


@pytest.mark.parametrize("kind", ["Fi", "BTW", "btw"])
@pytest.mark.parametrize("nummer", ["001000044B37", "NL001000044B37", "001000044b37"])
def test_same_number(kind: str, nummer: str) -> None:
    """With or without NL, in the envelope or in the document."""
    assert [] == ids(xbrl(), kind, nummer)
    assert [] == ids(xbrl("NL 001000044B37"), kind, nummer)


def test_other_number() -> None:
    """The finding names both numbers, the element and its line."""
    (found,) = check(xbrl("001000055B38"), "Fi", "001000044B37")
    assert ("identity-differs", "error", "001000055B38", 5) == (found.id, found.level, found.found, found.line)
    assert "Fi 001000044B37" in found.expected
    assert f"{{{XBRLI}}}identifier" in found.where
    assert "aangifte.xbrl" == found.document


def test_every_context_counts() -> None:
    """One good number does not excuse another one that differs."""
    second = xbrl("001000055B38").partition("\n<xbrli:context")[2].partition("</xbrli:xbrl>")[0]
    assert ["identity-differs"] == ids(xbrl(more=f"<xbrli:context{second}"), "Fi", "001000044B37")


def test_number_under_another_scheme_is_not_looked_at() -> None:
    assert ["identity-missing"] == ids(xbrl(scheme="http://www.kvk.nl/kvk-id"), "Fi", "001000044B37")


def test_number_at_another_place_is_not_looked_at() -> None:
    """The path is exact from the root down."""
    moved = xbrl().replace("xbrli:entity>", "xbrli:segment>")
    assert ["identity-missing"] == ids(moved, "Fi", "001000044B37")


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("0010000<!-- x -->44B37", []),
        ("<![CDATA[001000044B37]]>", []),
        ("\n 001000044B37 \n", []),
        ("001000044B37<b/>", ["identity-differs"]),
        ("001000044B37<b/>9<b/>", ["identity-differs"]),
        ("", ["identity-differs"]),
    ],
)
def test_number_is_read_whole(inside: str, expected: list[str]) -> None:
    """Comments split nothing off; elements inside make it no number."""
    assert expected == ids(xbrl(inside), "Fi", "001000044B37")


def test_type_that_the_route_cannot_find() -> None:
    (found,) = check(xbrl(), "KvK", "32141305")
    assert ("identity-type", "type KvK", "een van de typen btw, fi") == (found.id, found.found, found.expected)


def test_number_of_wrong_shape() -> None:
    """A number that cannot be one of its type is named as such, before any document is read."""
    assert ["identity-shape"] == ids("<a>", "BTW", "12345")


def test_document_that_breaks_off() -> None:
    assert ["not-wellformed"] == ids(xbrl()[:-30], "Fi", "001000044B37")


@pytest.mark.parametrize(
    ("inside", "kind", "nummer", "other"),
    [
        (KVK, "KvK", "32141305", "32141306"),
        (OIN, "OIN", "00000004003214345001", "00000004003214345002"),
        (VAT, "BTW", "820098395B01", "820098395B02"),
        (OHNL, "KvK", "30097265", "30097266"),
        (VAT + KVK, "KvK", "32141305", "32141306"),
    ],
)
def test_supplier_of_an_invoice(inside: str, kind: str, nummer: str, other: str) -> None:
    """KvK by scheme 0106, OIN by 0190, VAT number of the tax scheme, and UBL-OHNL's own form."""
    assert [] == ids(invoice(inside), kind, nummer, "e-factuur")
    assert ["identity-differs"] == ids(invoice(inside), kind, other, "e-factuur")


def test_credit_note() -> None:
    assert [] == ids(invoice(KVK, "CreditNote"), "KvK", "32141305", "e-factuur")


def test_customer_s_number_is_not_the_supplier_s() -> None:
    moved = invoice(KVK).replace("AccountingSupplierParty", "AccountingCustomerParty")
    assert ["identity-missing"] == ids(moved, "KvK", "32141305", "e-factuur")


def test_payroll_number_in_any_year() -> None:
    text = (
        '<Loonaangifte xmlns="http://xml.belastingdienst.nl/schemas/Loonaangifte/2026/01"><AdministratieveEenheid>'
        "<LhNr>001000044L01</LhNr></AdministratieveEenheid></Loonaangifte>"
    )
    assert [] == ids(text, "LHnr", "001000044L01", "Aangifte_LH")
    assert ["identity-differs"] == ids(text, "LHnr", "001000044L02", "Aangifte_LH")


def test_findings_are_bounded() -> None:
    """An instance with 10,000 wrong contexts gives twenty findings."""
    more = xbrl("1").partition("-->")[2].partition(">")[2].partition("</xbrli:xbrl>")[0] * 10_000
    assert 20 == len(check(xbrl("1", more=more), "Fi", "001000044B37"))


@pytest.mark.skipif(not SHARED.exists(), reason="the supplied data is not beside this checkout")
def test_real_documents() -> None:
    """The VAT instances are of 001000044B37, the Basisfactuur examples of KvK 32141305 and 30097265."""
    for path in (SHARED / "xbrl").glob("*.xbrl"):
        text = path.read_text(encoding="utf-8")
        assert [] == ids(text, "Fi", "001000044B37"), path.name
        assert "identity-differs" in ids(text, "Fi", "001000044B38"), path.name
    for start, nummer in (("NLCIUS", "32141305"), ("UBL-OHNL", "30097265")):
        text = next((SHARED / "invoices/basisfactuur").glob(f"{start}*")).read_text(encoding="utf-8")
        assert [] == ids(text, "KvK", nummer, "e-factuur")
        assert ["identity-differs"] == ids(text, "KvK", "32141399", "e-factuur")
