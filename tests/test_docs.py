"""What the docs name exists: functions, files, commands, decisions."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
NAMED = re.compile(r"`((?:[a-z_0-9]+\.)+[A-Za-z_][A-Za-z_0-9]*)`")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)")
COMMAND = re.compile(r"`digipoort ([a-z]+)")


def resolve(dotted: str) -> object:
    """The object that a dotted name below digipoort_as4 means; AttributeError or ImportError when there is none."""
    words = dotted.split(".")
    for cut in range(len(words), 0, -1):
        try:
            found: object = importlib.import_module(".".join(["digipoort_as4", *words[:cut]]))
        except ModuleNotFoundError:
            continue
        for word in words[cut:]:
            found = getattr(found, word)
        return found
    raise ImportError(dotted)


def names_in_flows() -> list[str]:
    return sorted(set(NAMED.findall((ROOT / "docs" / "flows.md").read_text(encoding="utf-8"))))


@pytest.mark.parametrize("dotted", names_in_flows())
def test_flows_name_what_exists(dotted: str) -> None:
    """docs/flows.md gives the path with function names; each can be found."""
    assert resolve(dotted) is not None


def test_flows_name_enough_to_follow_three_paths() -> None:
    """The regular expression above still finds the tables."""
    assert len(names_in_flows()) >= 30


@pytest.mark.parametrize("page", DOCS, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file of the project."""
    broken = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
    assert [] == broken


@pytest.mark.parametrize("page", DOCS, ids=lambda p: p.name)
def test_commands_exist(page: Path) -> None:
    """`digipoort X` in the docs is a command."""
    from digipoort_as4.cli.main import COMMANDS

    unknown = set(COMMAND.findall(page.read_text(encoding="utf-8"))) - set(COMMANDS)
    assert set() == unknown


def test_every_command_is_documented() -> None:
    """README and docs together name every command."""
    from digipoort_as4.cli.main import COMMANDS

    text = "\n".join(page.read_text(encoding="utf-8") for page in DOCS)
    assert [] == [name for name in COMMANDS if f"digipoort {name}" not in text]


def test_every_decision_is_in_the_index() -> None:
    """docs/adr/README.md lists each ADR."""
    index = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    assert [] == [page.name for page in (ROOT / "docs" / "adr").glob("0*.md") if page.name not in index]


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "architecture.md", ROOT / "docs" / "flows.md"])
def test_first_screens_say_who_we_are_not(page: Path) -> None:
    """Logius owns the name Digipoort."""
    assert "independent, not Logius" in page.read_text(encoding="utf-8").replace("Independent", "independent")
