"""What a newcomer types exists, and the locks hold what they promise."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import click
import pytest

from digipoort_as4 import errors
from digipoort_as4.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LOCKS = ("requirements.txt", "requirements-dev.txt")


def packages(lock: str) -> dict[str, str]:
    """Name to the text of its entry."""
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {entry.partition("==")[0]: entry for entry in entries if entry.strip()}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_with_a_hash(lock: str) -> None:
    """Decision 38."""
    assert [] == [
        name for name, entry in packages(lock).items() if not re.search(r"==\S+.*--hash=sha256:", entry, re.S)
    ]


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_hold_no_address_and_no_path(lock: str) -> None:
    """They work with any package source."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert [] == re.findall(r"://|(?:^|[ @])/|--index-url|--find-links", text, re.MULTILINE)


def test_the_build_backend_is_locked_too() -> None:
    """The project itself is installed without build isolation and without dependencies."""
    assert {"hatchling", "editables"} <= set(packages("requirements.txt"))


def test_the_runtime_lock_has_no_test_tools_and_the_other_has_all() -> None:
    """`make demo` installs the small one."""
    runtime, dev = (packages(lock) for lock in LOCKS)
    assert not {"pytest", "mypy", "ruff", "hypothesis"} & set(runtime)
    pinned = {name: re.findall(r"==[^ ;]+|sha256:\w+", entry) for name, entry in runtime.items()}
    assert pinned == {name: re.findall(r"==[^ ;]+|sha256:\w+", dev[name]) for name in runtime}


@pytest.mark.parametrize("target", re.findall(r"^\$ make (\w+)", README, re.MULTILINE))
def test_every_make_target_of_the_readme_exists(target: str) -> None:
    """And explains itself in `make help`."""
    assert re.search(rf"^{target}:.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def command_lines() -> list[str]:
    return [line.partition("#")[0].strip() for line in re.findall(r"^\$ digipoort (.*)", README, re.MULTILINE)]


@pytest.mark.parametrize("line", command_lines())
def test_every_command_of_the_readme_exists_with_its_options(line: str) -> None:
    """Checked against the commands themselves."""
    name, *words = line.split()
    module, _, attribute = COMMANDS[name].place.partition(":")
    command = getattr(importlib.import_module(f"digipoort_as4.cli.{module}"), attribute)
    if isinstance(command, click.Group):
        command = command.commands[words[0]]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_every_command_is_in_the_readme() -> None:
    """`demo` by make, all others by name."""
    assert set(COMMANDS) - {"demo"} == {line.split()[0] for line in command_lines()}


def test_the_exit_codes_of_the_readme_are_those_of_the_errors() -> None:
    """One table in the README, one attribute per class."""
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    ours = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")}
    assert ours | {0, 130} == told


def test_the_readme_says_whose_it_is_at_its_top() -> None:
    """Within the first five lines."""
    assert "Independent, not Logius." in README.splitlines()[:5]
