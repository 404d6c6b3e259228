"""The frame of the command: help, streams, exit codes, and errors that say what to do."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import click
import pytest

from digipoort_as4 import errors
from digipoort_as4.cli import streams
from digipoort_as4.cli.main import COMMANDS, cli

EXIT_CODES = {
    errors.DigipoortError: 1,
    errors.UsageError: 2,
    errors.DocumentInvalid: 3,
    errors.Refused: 4,
    errors.SignatureError: 5,
    errors.TransportError: 6,
    errors.OutcomeUnknown: 6,
    errors.ConfigError: 7,
    errors.ExpectationNotMet: 8,
}
"""experience.md 3."""


def test_help_is_there_at_once(person) -> None:
    """Under 0.3 s; the best of three, for a busy machine may be slow once."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        done = person.types("--help")
        times.append(time.perf_counter() - start)
    assert 0 == done.returncode
    assert min(times) < 0.3


def test_help_says_whose_it_is_and_lists_every_command(person) -> None:
    """Independent, not Logius, on the first screen."""
    shown = person.types("--help").stdout
    assert "Independent, not Logius" in shown
    assert [] == [name for name in COMMANDS if f"\n  {name} " not in shown]


def test_nothing_asked_shows_the_help(person) -> None:
    """`digipoort` alone is a question, not a mistake."""
    done = person.types()
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("Usage: digipoort")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_table_says(name: str) -> None:
    """The table that saves the imports is kept true."""
    module, _, attribute = COMMANDS[name].place.partition(":")
    command = getattr(importlib.import_module(f"digipoort_as4.cli.{module}"), attribute)
    assert isinstance(command, click.Command)
    assert command is cli.get_command(click.Context(cli), name)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_explains_itself(name: str) -> None:
    """No option without a line of help."""
    module, _, attribute = COMMANDS[name].place.partition(":")
    command = getattr(importlib.import_module(f"digipoort_as4.cli.{module}"), attribute)
    parts = [command, *(command.commands.values() if isinstance(command, click.Group) else [])]
    assert all(part.help for part in parts)
    options = [option for part in parts for option in part.params if isinstance(option, click.Option)]
    assert [] == [option.name for option in options if not option.help]


def test_a_misspelt_command_is_guessed(person) -> None:
    """Exit 2, nothing on stdout."""
    done = person.types("sned")
    assert (2, "") == (done.returncode, done.stdout)
    assert "error (usage)" in done.stderr
    assert "Did you mean 'send'?" in done.stderr


def test_an_unknown_option_is_a_usage_error(person) -> None:
    """And says where the help is."""
    done = person.types("verify", "--trsut", "x")
    assert (2, "") == (done.returncode, done.stdout)
    assert "digipoort verify --help" in done.stderr


def test_an_error_is_one_json_object_when_asked(person) -> None:
    """The category is the exception's, stdout stays empty."""
    done = person.types("status", "x", "--json", "--dir", "nowhere")
    record = json.loads(done.stderr)
    assert (7, "", "configuration", 7) == (done.returncode, done.stdout, record["category"], record["exit_code"])
    assert "digipoort up" in record["fix"]


def test_a_traceback_needs_debug(person) -> None:
    """The flag stands anywhere on the line."""
    words = ("status", "x", "--dir", "nowhere")
    assert "Traceback" not in person.types(*words).stderr
    assert "Traceback" in person.types(*words, "--debug").stderr
    assert "Traceback" in person.types("--debug", *words).stderr


def test_no_colour_without_a_terminal(person) -> None:
    """Pipes get no escape codes."""
    assert "\x1b" not in person.types("sned").stderr


@pytest.mark.parametrize(("extra", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_on_a_terminal_unless_told_not_to(person, extra: dict[str, str], coloured: bool) -> None:
    """no-color.org; a real pseudo-terminal."""
    assert coloured == (b"\x1b[" in at_a_terminal(person.home, ["sned"], {"TERM": "xterm", **extra}))
    assert b"\x1b[" not in at_a_terminal(person.home, ["sned", "--no-color"], {"TERM": "xterm"})


def at_a_terminal(home: Path, words: list[str], extra: dict[str, str]) -> bytes:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    env = {**os.environ, **extra}
    if "NO_COLOR" not in extra:
        env.pop("NO_COLOR", None)
    subprocess.run([str(home / "bin" / "digipoort"), *words], stderr=theirs, stdout=theirs, env=env, check=False)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # Linux says EIO at the end
        pass
    os.close(ours)
    return shown


def test_interrupting_ends_with_130(person) -> None:
    """Ctrl-C answers at once, without a traceback."""
    command = [str(person.home / "bin" / "digipoort"), "verify", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        time.sleep(1.5)  # until it waits for stdin
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
    assert (130, b"interrupted") == (process.returncode, said.strip())


def test_a_reader_that_goes_away_is_no_error_report(person) -> None:
    """`digipoort | head -0` says nothing on stderr."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([str(person.home / "bin" / "digipoort")], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (1, b"") == (done.returncode, done.stderr)


@pytest.mark.parametrize(("kind", "code"), EXIT_CODES.items(), ids=lambda value: getattr(value, "__name__", value))
def test_each_error_has_its_exit_code(kind: type[errors.DigipoortError], code: int) -> None:
    """Scripts deserve better than 0 and 1."""
    assert code == streams.as_record(errors.failure(kind, "x"))["exit_code"]


def test_an_error_shows_its_four_parts(capsys: pytest.CaptureFixture[str]) -> None:
    """Where, found, expected, fix: one line each, in that order, on stderr."""
    error = errors.PeerError("schema", where="regel 3", found="a", expected="b", fix="c")
    streams.explain(error)
    shown = capsys.readouterr()
    assert "" == shown.out
    assert [
        "error (refused): Het bericht voldoet niet aan het XML-schema. (schema)",
        "  where     regel 3",
        "  found     a",
        "  expected  b",
        "  fix       c",
    ] == shown.err.splitlines()


def test_version_names_what_it_is_built_of(person) -> None:
    """One object, or lines."""
    record = json.loads(person.types("version", "--json").stdout)
    assert {"digipoort", "python", "lxml", "zeep", "xmlsec", "signxml", "aiohttp", "cryptography"} <= set(record)
    assert f"digipoort {record['digipoort']}\n" == person.types("--version").stdout
