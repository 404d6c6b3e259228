"""docs/standards.md has a row for every rule, and each row names a test that is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "standards.md"

RULES = (
    *(f"WW{n:03}" for n in range(1, 5)),
    *(f"WS{n:03}" for n in (1, 2, 3, 5, 6, 7, 8)),  # WS004 is not in the text
    "WA001",
    "WM001",
    *(f"WT{n:03}" for n in range(1, 9)),
    *(f"WB{n:03}" for n in range(1, 15)),
    *(f"PKI{n:03}" for n in range(1, 6)),
    *(f"TLS{n:03}" for n in range(1, 7)),
    "TLSCIPH001",
    *(f"SIGN{n:03}" for n in range(1, 5)),
    *(f"ENC{n:03}" for n in range(1, 5)),
)
"""Digikoppeling Koppelvlakstandaard WUS 3.8.1, and Beveiligingsstandaarden en voorschriften 2.0.1."""

HELD = ("held", "by configuration", "not")
RULE = re.compile(r"[A-Z]+\d{3}")
TEST = re.compile(r"`(tests/[a-z_/]+\.py)::(test_\w+)`")


def rows(text: str) -> list[list[str]]:
    """Cells of each row that starts with the name of a rule: rule, what, held, how, shown by."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    return [cells for cells in lines if RULE.fullmatch(cells[0])]


@cache
def functions_in(file: str) -> frozenset[str]:
    """Names of the tests in a file; none when it is not there."""
    if not (ROOT / file).is_file():
        return frozenset()
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def mistakes(text: str) -> list[str]:
    """What is wrong with a page of rules."""
    found = rows(text)
    names = [row[0] for row in found]
    wrong = [f"{rule}: {names.count(rule)} rows" for rule in RULES if names.count(rule) != 1]
    wrong += [f"{name}: no such rule" for name in names if name not in RULES]
    for name, _, held, how, tests in found:
        if held not in HELD:
            wrong.append(f"{name}: {held!r} is none of {', '.join(HELD)}")
        if held != "held" and not how.strip():
            wrong.append(f"{name}: says not why")
        if not TEST.findall(tests):
            wrong.append(f"{name}: names no test")
        wrong += [f"{name}: no {file}::{test}" for file, test in TEST.findall(tests) if test not in functions_in(file)]
    return wrong


def test_every_rule_has_one_row_with_tests_that_exist() -> None:
    """55 rules; nobody can remove a test without the page noticing."""
    assert 55 == len(RULES)
    assert [] == mistakes(PAGE.read_text(encoding="utf-8"))


def test_every_test_that_the_page_names_is_there() -> None:
    """Those of the clients too, which are no rules."""
    named = TEST.findall(PAGE.read_text(encoding="utf-8"))
    assert len(named) > len(RULES)
    assert [] == [f"{file}::{test}" for file, test in named if test not in functions_in(file)]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("| WT008 |", "| WT009 |", "WT008: 0 rows"),
        ("| WT008 |", "| WT009 |", "WT009: no such rule"),
        ("| WB014 |", "| WB013 |", "WB013: 2 rows"),
        ("| WW001 | SOAP 1.1 document/literal over HTTP | held |", "| WW001 | x | yes |", "WW001: 'yes' is none of"),
        ("::test_our_wsdls_keep_the_rules", "::test_our_wsdls", "no tests/schemas/test_wsdl_rules.py::test_our_wsdls"),
    ],
)
def test_a_page_with_one_thing_wrong_is_noticed(old: str, new: str, what: str) -> None:
    """The same page with one thing otherwise."""
    text = PAGE.read_text(encoding="utf-8")
    assert old in text
    assert any(what in mistake for mistake in mistakes(text.replace(old, new, 1)))
