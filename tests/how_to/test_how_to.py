"""Each page of docs/how-to is run as a reader would type it: its code blocks in order, as one script.

`sh` and `python` blocks are run; a block that cannot be says so in its info string: ```sh not-run.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).resolve().parents[2] / "docs" / "how-to").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORTS = ("8480",)
"""Ports that pages name; a test machine may have them in use."""
LIMIT = 120  # seconds for one page


def script_of(page: Path) -> str:
    """One shell script of all blocks."""
    parts = []
    for language, info, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if "not-run" in info or language not in ("sh", "python"):
            continue
        parts.append(text if language == "sh" else f"python - <<'PYTHON'\n{text}PYTHON\n")
    return "set -eu\n" + "\n".join(parts)


def needs(script: str) -> str:
    """A program that the page uses and this machine does not have."""
    return next((name for name in ("curl", "mvn", "openssl") if f"{name} " in script and not shutil.which(name)), "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    script = script_of(page)
    if missing := needs(script):
        pytest.skip(f"{missing} is not on this machine")
    for port in PORTS:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            script = script.replace(port, str(probe.getsockname()[1]))
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, words in (("python", ""), ("digipoort", "-m digipoort_as4.cli.main")):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (commands / name).chmod(0o755)
    (work := tmp_path / "work").mkdir()
    environment = {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "DIGIPOORT_DIR": str(tmp_path / "office"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PAGES[0].parents[2]), os.environ.get("PYTHONPATH")])),
    }
    shown = tmp_path / "shown"
    with shown.open("wb") as out:
        running = subprocess.Popen(
            ["sh", "-x"],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            cwd=work,
            env=environment,
            start_new_session=True,
        )
        try:
            running.communicate(script.encode(), timeout=LIMIT)
        finally:
            subprocess.run([commands / "digipoort", "down"], env=environment, capture_output=True, check=False)
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGTERM)
    assert 0 == running.returncode, shown.read_text(errors="replace")[-3000:]


def test_there_are_pages() -> None:
    assert PAGES
