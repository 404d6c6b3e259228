"""Reading the operator's tables so that every mistake is told at once, with the nearest right word.

Opens no file; the tables come in as what tomllib made of them."""

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any, TypeVar

from digipoort_as4.errors import ConfigError
from digipoort_as4.hub import identities
from digipoort_as4.hub.aanlevering import Identiteit

Value = TypeVar("Value")


def nearest(word: str, known: Collection[str]) -> str:
    """`; did you mean X?` when a known word is near, else the known ones."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"


class Mistakes:
    """A list of what is wrong in one file; each reader notes what it cannot use and returns something harmless."""

    def __init__(self, file: str) -> None:
        self.file = file  # shown before each mistake
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
        self.words(table, allowed, where, "key")

    def words(self, found: Iterable[str], known: Collection[str], where: str, what: str) -> tuple[str, ...]:
        """Those words that are known; the others are noted."""
        found = tuple(found)
        for word in found:
            if word not in known:
                self.add(where, f"unknown {what} {word!r}{nearest(word, known)}")
        return tuple(word for word in found if word in known)

    def _read(
        self, table: Mapping[str, Any], key: str, where: str, default: Value, fits: Callable[[Any], bool], wanted: str
    ) -> Value:
        value: Value = table.get(key, default)
        if fits(value):
            return value
        self.add(where, f"{key} must be {wanted}")
        return default

    def tables(self, parent: Mapping[str, Any], key: str, where: str) -> list[Mapping[str, Any]]:
        """An array of tables; empty when absent."""
        return self._read(parent, key, where, [], lambda value: _all(dict, value), "an array of tables")

    def table(self, parent: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
        """A table; empty when absent."""
        return self._read(parent, key, where, {}, lambda value: isinstance(value, dict), "a table")

    def text(self, table: Mapping[str, Any], key: str, where: str) -> str:
        """A text, which must be there."""
        if key not in table:
            self.add(where, f"{key} is missing")
            return ""
        return self._read(table, key, where, "", lambda value: bool(value) and isinstance(value, str), "a text")

    def texts(self, table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
        """A list of texts; empty when absent."""
        none: list[str] = []
        fits: Callable[[Any], bool] = lambda value: _all(str, value) and all(value)  # noqa: E731
        return tuple(self._read(table, key, where, none, fits, "a list of texts"))

    def flag(self, table: Mapping[str, Any], key: str, where: str) -> bool:
        """true or false; false when absent."""
        return self._read(table, key, where, False, lambda value: isinstance(value, bool), "true or false")

    def number(self, table: Mapping[str, Any], key: str, where: str, default: int, highest: int) -> int:
        """A whole number from 1 to `highest`."""
        fits: Callable[[Any], bool] = lambda value: type(value) is int and 1 <= value <= highest  # noqa: E731
        return self._read(table, key, where, default, fits, f"a whole number from 1 to {highest}")

    def choice(self, table: Mapping[str, Any], key: str, where: str, known: Collection[str], default: str) -> str:
        """One of a few words."""
        value = table.get(key, default)
        if isinstance(value, str) and value in known:
            return value
        self.add(where, f"{key} is {value!r}{nearest(str(value), known)}")
        return default

    def moment(self, table: Mapping[str, Any], key: str, where: str, *, dates: bool = False) -> datetime:
        """A time with its zone as UTC; where `dates` may stand, a date as its first moment in UTC."""
        value = table.get(key)
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC)
        if dates and isinstance(value, date) and not isinstance(value, datetime):
            return datetime.combine(value, time(), UTC)
        self.add(where, f"{key} must be a {'date, or a ' if dates else ''}time with its zone")
        return datetime(1970, 1, 1, tzinfo=UTC)

    def oin(self, table: Mapping[str, Any], key: str, where: str) -> str:
        """An OIN of 20 positions."""
        oin = self.text(table, key, where)
        if oin and (expected := identities.problem(Identiteit(oin, "OIN"))):
            self.add(where, f"{oin!r} is no OIN of 20 positions: expected {expected}")
        return oin


def _all(kind: type, value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)
