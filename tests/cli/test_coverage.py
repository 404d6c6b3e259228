"""The coverage page says what the table of operations says; tests/wus/test_operations.py proves the table."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from digipoort_as4.cli.coverage import coverage
from digipoort_as4.wus.operations import SERVICES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coverage.md"


def test_the_page_is_the_generated_one() -> None:
    """`make pages` writes it."""
    assert CliRunner().invoke(coverage, ["--page"]).stdout == PAGE.read_text(encoding="utf-8")


def test_programs_get_one_row_per_operation() -> None:
    """Twelve of the koppelvlak (digipoort 1.2), two of ours; the state follows from what they lack."""
    done = CliRunner().invoke(coverage, ["--json"])
    rows = [row for row in map(json.loads, done.stdout.splitlines()) if "operation" in row]
    assert 12 == sum(row["official"] for row in rows)
    assert ["afleveren", "zetStatus"] == [row["operation"] for row in rows if not row["official"]]
    by_rule = ["partial" if op.lacks else "done" for s in SERVICES for op in s.operations]
    assert by_rule == [row["state"] for row in rows]


def test_people_get_the_count() -> None:
    """On stderr, beside the table on stdout."""
    done = CliRunner().invoke(coverage, [])
    assert done.stderr.startswith("14 operations: ")
    assert any(line.split()[1:2] == ["zetStatus"] for line in done.stdout.splitlines())


def test_what_is_not_there_is_said() -> None:
    """Done, partial or not, and nothing else; what is not has its row."""
    rows = [json.loads(line) for line in CliRunner().invoke(coverage, ["--json"]).stdout.splitlines()]
    assert {"done", "partial", "not"} == {row["state"] for row in rows}
    assert "not" == next(row["state"] for row in rows if row.get("subject") == "AS4")
