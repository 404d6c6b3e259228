"""What the commands say: data on stdout, messages on stderr, colour only on a terminal, errors in four parts.

Decides nothing and reads nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Final, TextIO, TypeVar

import click

from digipoort_as4.errors import DigipoortError, PeerError, Refused

E = TypeVar("E", bound=DigipoortError)
PARTS: Final = ("where", "found", "expected", "fix")


def colourful(stream: TextIO) -> bool:
    """True on a terminal, unless NO_COLOR says otherwise (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, stream: TextIO | None = None, *, bold: bool = False) -> str:
    """Coloured text where the stream shows colours, else the text."""
    return click.style(text, fg=colour, bold=bold) if colourful(stream or sys.stdout) else text


def out(text: str) -> None:
    """One piece of data."""
    print(text, flush=True)


def out_json(record: object) -> None:
    """One JSON object on a line of its own."""
    out(json.dumps(record, ensure_ascii=False))


def note(text: str) -> None:
    """One message for the person."""
    print(text, file=sys.stderr, flush=True)


def failure(kind: type[E], what: str, **parts: str) -> E:
    """An error with the parts a person needs.

    Args:
        kind: the class, which carries category and exit code.
        what: one sentence.
        parts: where, found, expected, fix; empty ones are left out.
    """
    error = kind(what)
    for name in PARTS:
        if parts.get(name):
            error.add_note(f"{name}: {parts[name]}")
    return error


def parts_of(error: DigipoortError) -> Mapping[str, str]:
    """where, found, expected and fix, as far as the error knows them."""
    if isinstance(error, PeerError):
        return {name: getattr(error, name) for name in PARTS if getattr(error, name)}
    notes = (text.partition(": ") for text in getattr(error, "__notes__", ()))
    return {name: text for name, _, text in notes if name in PARTS}


def what_of(error: DigipoortError) -> str:
    """The sentence."""
    return f"{error.cause.text} ({error.cause.name})" if isinstance(error, PeerError) else str(error)


def code_of(error: DigipoortError) -> str:
    """foutcode or status code of a refusal, or the cause of a finding."""
    if isinstance(error, Refused):
        return error.code or error.status
    return error.cause.name if isinstance(error, PeerError) else ""


def as_record(error: DigipoortError) -> dict[str, str | int]:
    """The error for programs."""
    record: dict[str, str | int] = {"category": error.category, "exit_code": error.exit_code, "message": what_of(error)}
    if code_of(error):
        record["code"] = code_of(error)
    return {**record, **parts_of(error)}


def explain(error: DigipoortError) -> None:
    """Category, what, found, expected, fix; one line each."""
    head = paint(f"error ({error.category})", "red", sys.stderr, bold=True)
    first, *more = what_of(error).splitlines() or [""]
    code = f"{code_of(error)}  " if isinstance(error, Refused) and code_of(error) else ""
    note(f"{head}: {code}{first}")
    for line in more:
        if line.strip():
            note(f"  {line}")
    for name, text in parts_of(error).items():
        note(f"  {name:<9} {text}")
