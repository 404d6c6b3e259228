"""Every `$ command` in an example's README is run, and the lines below it must show up in that order."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree

from digipoort_as4.config import data_file

HERE = Path(__file__).parent
EXAMPLES = sorted(path.parent for path in HERE.glob("*/README.md"))
BLOCK = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
KV = "{http://logius.nl/digipoort/koppelvlakservices/1.2/}"


def sessions(readme: str) -> list[tuple[str, list[str]]]:
    """(command, expected lines) in order."""
    found: list[tuple[str, list[str]]] = []
    for block in BLOCK.findall(readme):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.strip():
                found[-1][1].append(line)
    return found


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_what_the_readme_shows_happens(example: Path, person, post_office: Path) -> None:
    """In a shell, in the example's folder; words of an expected line stand in this order in one line of output."""
    assert sessions((example / "README.md").read_text(encoding="utf-8"))
    for command, expected in sessions((example / "README.md").read_text(encoding="utf-8")):
        code = next((int(line[5:]) for line in expected if line.startswith("exit ")), 0)
        env = person.environment(PYTHONPATH=str(HERE.parent))
        words = command.replace("python ", f"{sys.executable} ", 1) if command.startswith("python ") else command
        done = subprocess.run(words, shell=True, cwd=example, env=env, capture_output=True, text=True, timeout=120)
        assert code == done.returncode, f"{command}\n{done.stdout}{done.stderr}"
        rest = iter(done.stdout.splitlines())
        for line in (line for line in expected if not line.startswith("exit ")):
            pattern = re.compile(".*".join(re.escape(word) for word in line.split(" ")))
            assert any(pattern.search(shown) for shown in rest), f"{command}: '{line}' did not follow in\n{done.stdout}"


def test_the_request_shown_is_a_valid_one() -> None:
    """request.xml of example 01 holds an aanleverRequest that our schema accepts."""
    schema = etree.XMLSchema(etree.parse(data_file("schemas/digipoort-koppelvlak-1.2.xsd")))
    shown = etree.parse(HERE / "01-aanleveren-btw" / "request.xml")
    schema.assertValid(next(shown.iter(f"{KV}aanleverRequest")))
