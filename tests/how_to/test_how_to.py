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

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = sorted((CHECKOUT / "docs" / "how-to").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORTS = ("8480",)
"""Ports that pages name; a test machine may have them in use."""
LIMIT = 120  # seconds for one page
OFFLINE = re.compile(r"Could not (?:transfer|find) artifact|Non-resolvable|Unknown host")  # Maven's words


def script_of(page: Path) -> str:
    """One shell script of all blocks."""
    parts = []
    for language, info, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if "not-run" in info or language not in ("sh", "python"):
            continue
        parts.append(text if language == "sh" else f"python - <<'PYTHON'\n{text}PYTHON\n")
    return "set -eu\n" + "\n".join(parts)


def needs(script: str) -> str:
    """Why the page cannot be run here; empty when it can."""
    if "mvn " in script and "DIGIPOORT_INTEROP" not in os.environ:
        return "Maven downloads from its registry: `make interop` runs this"
    names = ("curl", "mvn", "java", "keytool", "openssl")
    missing = next((name for name in names if f"{name} " in script and not shutil.which(name)), "")
    return f"{missing} is not on this machine" if missing else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    script = script_of(page)
    if reason := needs(script):
        pytest.skip(reason)
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
        "PYTEST_PLUGINS": "digipoort_as4.pytest_plugin",  # found by itself where the package is installed
        "DIGIPOORT_DIR": str(tmp_path / "office"),
        "CHECKOUT": str(CHECKOUT),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")])),
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
    if running.returncode and (offline := OFFLINE.search(shown.read_text(errors="replace"))):
        pytest.skip(f"no package registry: {offline[0]}")
    assert 0 == running.returncode, shown.read_text(errors="replace")[-3000:]


def test_there_are_pages() -> None:
    assert PAGES
