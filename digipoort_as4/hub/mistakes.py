"""Reading the operator's tables so that every mistake is told at once, with the nearest right word.

Opens no file; the tables come in as what tomllib made of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from digipoort_as4.errors import ConfigError


def nearest(word: str, known: Collection[str]) -> str:
    """`; did you mean X?` when a known word is near, else the known ones."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"


class Mistakes:
    """A list of what is wrong in one file."""

    def __init__(self, file: str) -> None:
        """Start with none.

        Args:
            file: name shown before each mistake.
        """
        self.file = file
        self.found: list[str] = []

    def add(self, where: str, what: str) -> None:
        """Note one mistake."""
        self.found.append(f"{self.file}: {where}: {what}")

    def finish(self) -> None:
        """Raise ConfigError with all mistakes, one a line, when there are any."""
        if self.found:
            raise ConfigError("\n".join(self.found))

    def check_keys(self, table: Mapping[str, Any], allowed: Collection[str], where: str) -> None:
        """Note each key that nobody reads."""
        for key in table:
            if key not in allowed:
                self.add(where, f"unknown key {key!r}{nearest(key, allowed)}")

    def tables(self, parent: Mapping[str, Any], key: str, where: str) -> list[Mapping[str, Any]]:
        """An array of tables; empty when absent."""
        value = parent.get(key, [])
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            return value
        self.add(where, f"{key} must be an array of tables")
        return []

    def table(self, parent: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
        """A table; empty when absent."""
        value = parent.get(key, {})
        if isinstance(value, dict):
            return value
        self.add(where, f"{key} must be a table")
        return {}

    def text(self, table: Mapping[str, Any], key: str, where: str, default: str | None = None) -> str:
        """A text; required unless a default is given."""
        value = table.get(key, default)
        if isinstance(value, str) and (value or default == ""):
            return value
        self.add(where, f"{key} must be a text" if key in table else f"{key} is missing")
        return ""

    def texts(self, table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
        """A list of texts; empty when absent."""
        value = table.get(key, [])
        if isinstance(value, list) and all(isinstance(item, str) and item for item in value):
            return tuple(value)
        self.add(where, f"{key} must be a list of texts")
        return ()

    def flag(self, table: Mapping[str, Any], key: str, where: str, default: bool = False) -> bool:
        """true or false."""
        value = table.get(key, default)
        if isinstance(value, bool):
            return value
        self.add(where, f"{key} must be true or false")
        return default

    def number(self, table: Mapping[str, Any], key: str, where: str, default: int, highest: int) -> int:
        """A whole number from 1 to `highest`."""
        value = table.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= highest:
            return value
        self.add(where, f"{key} must be a whole number from 1 to {highest}")
        return default

    def choice(self, table: Mapping[str, Any], key: str, where: str, known: Collection[str], default: str) -> str:
        """One of a few words."""
        value = table.get(key, default)
        if isinstance(value, str) and value in known:
            return value
        self.add(where, f"{key} is {value!r}{nearest(str(value), known)}")
        return default

    def words(self, found: Iterable[str], known: Collection[str], where: str, what: str) -> tuple[str, ...]:
        """Those words that are known; the others are noted."""
        kept = []
        for word in found:
            if word in known:
                kept.append(word)
            else:
                self.add(where, f"unknown {what} {word!r}{nearest(word, known)}")
        return tuple(kept)
