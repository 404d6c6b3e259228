"""What tests of several folders share: a post office of real processes, and `digipoort` as users run it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from digipoort_as4 import local

ROOT = Path(__file__).resolve().parent


def pytest_collection_finish() -> None:
    """Keep what was collected out of garbage collections, which tests that count CPU would have to pay for."""
    gc.collect()
    gc.freeze()


class Person:
    """Somebody at a terminal that is not one: types commands, reads both streams and the exit code."""

    def __init__(self, home: Path) -> None:
        self.home = home
        command = home / "bin" / "digipoort"
        command.parent.mkdir(parents=True, exist_ok=True)
        command.write_text(
            f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m digipoort_as4.cli.main "$@"\n', encoding="utf-8"
        )
        command.chmod(0o755)

    def environment(self, **extra: str) -> dict[str, str]:
        """A home of its own, and `digipoort` on the path."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DIGIPOORT_", "XDG_"))}
        path = os.pathsep.join([str(self.home / "bin"), kept.get("PATH", os.defpath)])
        return {**kept, "HOME": str(self.home), "XDG_DATA_HOME": str(self.home / "data"), "PATH": path, **extra}

    def types(
        self, *words: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run `digipoort WORDS` to its end."""
        done = subprocess.run(
            [str(self.home / "bin" / "digipoort"), *words],
            input=stdin,
            capture_output=True,
            env=self.environment(**(extra or {})),
            cwd=self.home,
            timeout=timeout,
            check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(scope="session")
def person(tmp_path_factory: pytest.TempPathFactory) -> Person:
    return Person(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def post_office(person: Person) -> Iterator[Path]:
    """The post office that `digipoort up` keeps, in that person's data home."""
    done = person.types("up")
    folder = person.home / "data" / "digipoort" / "office"
    try:
        assert 0 == done.returncode, done.stderr
        yield folder
    finally:
        local.down(folder)
