"""`digipoort explain`: every code, in two languages, and the page made from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from digipoort_as4.cli.explain import explain, find
from digipoort_as4.codes import CODES
from digipoort_as4.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


def made() -> str:
    """What `make pages` writes."""
    script = [sys.executable, ROOT / "docs" / "errors_page.py"]
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(script, capture_output=True, encoding="utf-8", check=True, env=here).stdout


def shown(*words: str, **environment: str) -> str:
    nothing = {"LC_ALL": None, "LC_MESSAGES": None, "LANG": None}
    done = CliRunner().invoke(explain, list(words), env={**nothing, **environment}, catch_exceptions=False)
    assert 0 == done.exit_code
    return done.output


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("language", ["nl", "en"])
def test_every_code_is_explained(code: str, language: str) -> None:
    """Its text, its meaning and what to do, in the language asked for."""
    text, row = shown("--lang", language, code), CODES[code]
    assert all(words in text for words in (code, row.text, row.meaning[language], row.action[language]))


def test_several_codes_in_any_case_and_with_their_kind() -> None:
    """As they are copied from a fault."""
    assert ["ALS100", "0004", "311"] == [row.code for row in find(["als100", "DK-BP", "0004", "status", "311"])]


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        ({"LANG": "nl_NL.UTF-8"}, "Betekenis"),
        ({"LANG": "nl_NL.UTF-8", "LC_ALL": "en_GB.UTF-8"}, "Meaning"),
        ({"LANG": "fr_FR.UTF-8"}, "Meaning"),
        ({}, "Meaning"),
    ],
)
def test_the_language_is_the_environments(environment: dict[str, str], word: str) -> None:
    """LC_ALL before LANG (POSIX, environment variables); English where it is neither."""
    assert word in shown("311", **environment)


def test_without_a_code_all_are_listed() -> None:
    """One line each, in the order of the table."""
    assert list(CODES) == [line.split()[0] for line in shown().splitlines()]


def test_an_unknown_code_is_a_usage_error_with_the_nearest() -> None:
    """The known ones beside it are not shown either."""
    with pytest.raises(UsageError) as error:
        find(["311", "ALS101"])
    assert 2 == error.value.exit_code
    assert "ALS100" in "".join(error.value.__notes__)
    with pytest.raises(UsageError) as error:
        find(["?"])
    assert ["fix: digipoort explain lists the codes"] == error.value.__notes__


def test_programs_get_json() -> None:
    """One object a line."""
    first, second = (json.loads(line) for line in shown("--json", "500", "720").splitlines())
    assert ("500", "status", True, True) == (first["code"], first["kind"], first["end"], first["known"])
    assert (False, "not known") == (second["known"], second["meaning"][8:17])


def test_the_page_is_the_table() -> None:
    """docs/errors.md is what `make pages` writes."""
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == made()


def test_the_page_has_a_heading_for_every_code() -> None:
    """So that a link to errors.md#als100 leads somewhere."""
    headings = [line[4:] for line in made().splitlines() if line.startswith("### ")]
    assert list(CODES) == headings
