"""What the commands say: data on stdout, messages on stderr, colour only on a terminal, errors in four parts."""

import json
import os
import sys
from typing import TextIO

import click

from digipoort_as4.errors import PARTS, DigipoortError, PeerError, Refused


def paint(text: str, colour: str, stream: TextIO | None = None, *, bold: bool = False) -> str:
    """Coloured text where the stream (or stdout) is a terminal, unless NO_COLOR says otherwise (no-color.org)."""
    shows = (stream or sys.stdout).isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return click.style(text, fg=colour, bold=bold) if shows else text


def out(text: str) -> None:
    """One piece of data."""
    print(text, flush=True)


def show(as_json: bool, record: object, text: str) -> None:
    """One piece of data: as a JSON object on a line of its own for programs, or for people."""
    out(json.dumps(record, ensure_ascii=False) if as_json else text)


def note(text: str) -> None:
    """One message for the person."""
    print(text, file=sys.stderr, flush=True)


def as_record(error: DigipoortError) -> dict[str, str | int]:
    """The error for programs; code, where, found, expected and fix as far as it knows them."""
    what, code = str(error), ""
    notes = (text.partition(": ") for text in getattr(error, "__notes__", ()))
    parts = {name: text for name, _, text in notes if name in PARTS}
    if isinstance(error, PeerError):
        what, code = f"{error.cause.text} ({error.cause.name})", error.cause.name
        parts = {name: getattr(error, name) for name in PARTS if getattr(error, name)}
    elif isinstance(error, Refused):
        code = error.code or error.status
    known = {"code": code} if code else {}
    return {"category": error.category, "exit_code": error.exit_code, "message": what, **known, **parts}


def explain(error: DigipoortError) -> None:
    """Category, what, where, found, expected, fix; one line each."""
    record = as_record(error)
    head = paint(f"error ({error.category})", "red", sys.stderr, bold=True)
    code = f"{record['code']}  " if isinstance(error, Refused) and "code" in record else ""
    first, *more = str(record["message"]).splitlines() or [""]
    note(f"{head}: {code}{first}")
    for line in filter(str.strip, more):
        note(f"  {line}")
    for name in PARTS:
        if name in record:
            note(f"  {name:<9} {record[name]}")
