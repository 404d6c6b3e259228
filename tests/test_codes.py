"""The table of codes is complete, bilingual and fits the wire."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from digipoort_as4 import codes
from digipoort_as4.codes import CODES, TABLES, Code
from digipoort_as4.errors import CAUSES
from digipoort_as4.hub import statuses

PACKAGE = Path(codes.__file__).parent

STATUSES = {  # code: (text where it is exact, severity, end) by digipoort 3.1
    "105": ("Aanleverproces gestart.", "good", False),
    "100": ("Aanleveren gelukt.", "good", False),
    "110": ("Aanleverproces wordt aangeboden.", "good", False),
    "200": ("Authenticatie gelukt.", "good", False),
    "210": ("", "error", True),
    "220": ("", "error", False),
    "230": ("", "warning", False),
    "301": ("Validatie gelukt.", "good", False),
    "311": ("", "error", True),
    "321": ("", "warning", False),
    "405": ("Afleveren naar uitvragende partij bezig...", "good", False),
    "400": ("Afleveren uitvragende partij gelukt.", "good", False),
    "410": ("", "error", True),
    "420": ("", "warning", False),
    "500": ("Validatie bij de uitvragende partij gelukt.", "good", True),
    "510": ("", "error", True),
    "710": ("", "error", False),
    "720": ("", "warning", False),
}
FOUTCODES = [*(f"ALS1{n}0" for n in range(8)), "ALS400", "STS100", "VAS500", "VAS400", "AFS100", "AFS400", "AFS600"]
FOUTCODES += ["AFO100"]
OWN_FOUTCODES = {"STS400", "OHS100", "OHS400"}
DK_BP = {f"{number:04}" for number in (*range(1, 12), 51)}
NOT_PUBLIC = {"220", "710", "720", "AFO100"} | {f"ALS1{n}0" for n in range(1, 8)}


def test_every_statuscode_is_there() -> None:
    """Text, severity and end of each, and no status besides them."""
    assert set(STATUSES) == set(statuses.TABLE)
    for code, (text, severity, end) in STATUSES.items():
        row = statuses.TABLE[code]
        assert (severity, end, severity == "good") == (row.severity, row.end, row.good), code
        assert (text or row.omschrijving, not text) == (row.omschrijving, row.ours), code
        assert len(row.omschrijving) <= 80


def test_every_foutcode_and_digikoppeling_code_is_there() -> None:
    """Those of digipoort 3.3 and 2.6, and three of ours, marked."""
    assert {*FOUTCODES} | OWN_FOUTCODES == set(TABLES["foutcode"])
    assert all(TABLES["foutcode"][code].ours for code in OWN_FOUTCODES)
    assert DK_BP == set(TABLES["dk-bp"])


def test_what_is_not_public_is_not_made_up() -> None:
    """Exactly the codes of digipoort 12.2 say that their meaning is not known, in both languages."""
    assert NOT_PUBLIC == {row.code for row in CODES.values() if not row.known}
    for code in NOT_PUBLIC:
        assert "niet bekend" in CODES[code].meaning["nl"] and "not known" in CODES[code].meaning["en"], code


@pytest.mark.parametrize("row", CODES.values(), ids=lambda row: row.code)
def test_every_code_says_what_it_means_and_what_to_do(row: Code) -> None:
    """In Dutch and in English, each a sentence, no two languages the same."""
    for words in (row.meaning, row.action):
        assert {"nl", "en"} == set(words)
        assert all(text.endswith((".", "…")) and text[0].isupper() for text in words.values())
        assert words["nl"] != words["en"]


def test_no_two_kinds_share_a_code() -> None:
    """`digipoort explain CODE` needs no kind."""
    assert sum(len(table) for table in TABLES.values()) == len(CODES)


def test_causes_name_codes_that_exist() -> None:
    """dk_bp is one of the table; each code is used, but for none of ours."""
    used = {cause.dk_bp for cause in CAUSES.values()} - {""}
    assert DK_BP == used


def test_only_untrusted_causes_share_their_text() -> None:
    """Which of certificate, OIN, SignatureValue or digest it was cannot be read off a fault (decision 5)."""
    fixed = {name for name, cause in CAUSES.items() if not cause.explained}
    assert {(CAUSES[name].text, CAUSES[name].dk_bp, CAUSES[name].http) for name in fixed} == {
        ("De beveiliging van het bericht kon niet worden vastgesteld.", "0002", 500)
    }
    texts = [cause.text for name, cause in CAUSES.items() if name not in fixed]
    assert len(texts) == len(set(texts))


def refusals() -> list[tuple[str, int, str, set[str]]]:
    """Each `PeerError("…", …)` of the package: file, line, cause, parts given."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "PeerError" and node.args
            if named and isinstance(node.args[0], ast.Constant):
                parts = {keyword.arg or "" for keyword in node.keywords}
                found.append((path.name, node.lineno, str(node.args[0].value), parts))
    return found


def test_every_refusal_says_where_found_expected_and_fix() -> None:
    """What the check itself leaves out, the table of causes has."""
    assert len(refusals()) > 60
    lacking = []
    for file, line, name, parts in refusals():
        cause = CAUSES[name]
        known = parts | {part for part in ("where", "found", "expected", "fix") if getattr(cause, part)}
        if cause.explained and not cause.technical and not {"where", "found", "expected", "fix"} <= known:
            lacking.append((file, line, name, {"where", "found", "expected", "fix"} - known))
    assert [] == lacking
