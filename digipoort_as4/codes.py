"""The one table of codes: statuses, foutcodes, codes of Digikoppeling and the causes in our faults, from codes.toml.

Decides nothing and sends nothing; errors and hub.statuses take their rows from here."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).with_name("codes.toml")
LANGUAGES: Final = ("nl", "en")
KINDS: Final = ("status", "foutcode", "dk-bp", "cause")
"""Tables of the file, as they are shown. Codes of a later standard (ebms, rule) come as one more table."""


@dataclass(frozen=True, slots=True)
class Code:
    """One row of the table."""

    kind: str  # One of KINDS
    code: str  # As on the wire; for a cause its name
    text: str  # On the wire, Dutch; empty for a cause that is not explained
    meaning: Mapping[str, str]  # By language
    action: Mapping[str, str]  # What to do, by language
    ours: bool = False  # True: text or code is ours, Digipoort's own is not public
    known: bool = True  # False: the meaning is not public, and never made up
    more: Mapping[str, Any] = field(default_factory=dict)  # What only its kind has: end, severity, dk_bp, …


def _code(kind: str, name: str, row: dict[str, Any]) -> Code:
    words = {language: row.pop(language) for language in LANGUAGES}
    meaning, action = ({lang: told[part] for lang, told in words.items()} for part in ("meaning", "action"))
    text, ours, known = row.pop("text", ""), row.pop("ours", False), row.pop("known", True)
    return Code(kind, name, text, meaning, action, ours, known, row)


def _read() -> dict[str, dict[str, Code]]:
    tables = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return {kind: {name: _code(kind, name, row) for name, row in tables[kind].items()} for kind in KINDS}


TABLES: Final = _read()
"""All codes: kind to code to row."""
CODES: Final[Mapping[str, Code]] = {code: row for table in TABLES.values() for code, row in table.items()}
"""All codes in one; no two kinds share one."""
