"""Scenarios of a local post office: what a message meets on purpose, by its aanleverkenmerk or by a rule set meanwhile.

Knows no path: each asks here at one place of its own. Keeps rules in memory only, and none in production.
"""

from __future__ import annotations

import asyncio
import difflib
import random
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from digipoort_as4.clock import parse_duration
from digipoort_as4.errors import PeerError, UsageError, failure
from digipoort_as4.hub.aanlevering import Aanlevering
from digipoort_as4.hub.decision import Delivery
from digipoort_as4.hub.delivery import AgencyStatus, Attempt, Faulted, NotLearnt

AGENCY: Final = "uitvragende-partij"
STAGES: Final[dict[str, tuple[str, ...]]] = {
    "aanleveren": (),
    "statusinformatie": (),
    "ophalen": (),
    "afleveren": ("410", "420"),
    AGENCY: ("500", "510"),
}
"""Where a rule can play, each with the statuscodes that it can bring about there."""
LONGEST: Final = timedelta(minutes=10)  # of a delay: clients wait a minute, a delivery slot is held for all of it
BUSY: Final = timedelta(seconds=10)  # of the Zwaarbelast… scenarios
EXPIRED: Final = "AFS600"  # the foutcode that says the 72 hours are over (digipoort 3.3)
TOLD: Final = "Gespeeld door de oefenomgeving."  # foutbeschrijving of what no agency said


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to some messages at one stage."""

    stage: str = ""  # a key of STAGES; empty: nowhere
    berichtsoort: str = ""  # empty: of each
    aanleverkenmerk: str = ""  # empty: whichever but the eleven names
    delay: timedelta = timedelta()  # before the answer, or before the attempt
    fault: str = ""  # foutcode: of a fault; with afleveren of 410; with a code the statusFoutcode
    http: int = 0  # HTTP status of the answer; with afleveren: what the agency is said to have answered
    code: str = ""  # one of the stage's statuscodes
    attempts: int = 0  # with afleveren: the first so many attempts of each delivery only; 0: all
    times: int = 0  # how often in all; 0: without end
    probability: float = 1.0  # share of the messages, by a generator that begins with `seed`
    seed: int = 0
    number: int = 0  # 1, 2, 3 … of those set by command; 0: an aanleverkenmerk of scenarios.toml

    @classmethod
    def of(cls, words: Mapping[str, Any]) -> Rule:
        """From words of JSON or TOML; a UsageError tells all that is wrong with them."""
        mistakes: list[str] = []
        values: dict[str, Any] = {}
        for key, word in words.items():
            try:
                values[key] = READERS[key](word)
            except KeyError:
                mistakes.append(f"there is no {key!r}; known: {', '.join(READERS)}")
            except (UsageError, ValueError, TypeError) as error:
                mistakes.append(f"{key} is {word!r}: {error}")
        rule = cls(**values)
        if not mistakes and rule.stage:
            mistakes += _together(rule)
        if mistakes:
            raise failure(UsageError, "; ".join(mistakes), fix="digipoort scenario set --help")
        return rule

    def fits(self, stage: str, unit: Aanlevering | None, attempts: int) -> bool:
        """Whether it is about this message; `unit` is None for a question about no single one."""
        berichtsoort, kenmerk = (unit.berichtsoort, unit.aanleverkenmerk or "") if unit else ("", "")
        about = (
            self.stage == stage and self.berichtsoort in ("", berichtsoort) and self.aanleverkenmerk in ("", kenmerk)
        )
        return about and (not self.attempts or attempts < self.attempts)

    @property
    def name(self) -> str:
        """For people."""
        return f"scenario-regel {self.number}" if self.number else f"scenario {self.aanleverkenmerk}"

    def record(self) -> dict[str, Any]:
        """For programs: what was set, without defaults."""
        plain = asdict(Rule())
        told = {key: value for key, value in asdict(self).items() if value != plain[key]}
        return {**told, **({"delay": f"{self.delay.total_seconds():g}s"} if self.delay else {})}

    def attempt(self) -> Attempt | None:
        """What an attempt to deliver came to without being made; None when there is only a delay before a real one."""
        if self.fault == EXPIRED:
            return NotLearnt(self.name, sent=True, final=True)
        if self.fault or self.code == "410":
            return Faulted(self.fault or "AFS400", TOLD)
        reason = f"{self.name}: HTTP {self.http}" if self.http else self.name
        return NotLearnt(reason, sent=True) if self.http or self.code == "420" else None

    def verdict(self, details: str) -> AgencyStatus:
        """What the agency is said to have found; only of a rule with a code."""
        return AgencyStatus(self.code, self.fault or None, TOLD if self.fault else None, details)


class Played(PeerError):
    """A refusal that a rule asked for."""

    def __init__(self, rule: Rule) -> None:
        name = "scenario" if rule.fault and not rule.fault.endswith("400") else "scenario-technical"
        fix = "Verwijder de regel: digipoort scenario clear." if rule.number else "Gebruik een ander aanleverkenmerk."
        super().__init__(name, where=rule.name, found=rule.stage, expected="dit antwoord", fix=fix)
        self.foutcode, self.http = rule.fault, rule.http


def _stage(word: Any) -> str:
    if word in STAGES:
        return str(word)
    near = difflib.get_close_matches(str(word), STAGES, n=1)
    raise ValueError(f"did you mean {near[0]}?" if near else f"expected one of {', '.join(STAGES)}")


def _text(longest: int) -> Callable[[Any], str]:
    def read(word: Any) -> str:
        if not isinstance(word, str) or not 0 < len(word.strip()) <= longest:
            raise ValueError(f"expected 1 to {longest} characters")
        return word

    return read


def _number(least: float, most: float, kind: type[int] | type[float] = int) -> Callable[[Any], Any]:
    def read(word: Any) -> int | float:
        if isinstance(word, bool) or not least <= (value := kind(word)) <= most:
            raise ValueError(f"expected {least:g} to {most:g}")
        return value

    return read


def _delay(word: Any) -> timedelta:
    if not timedelta() < (delay := parse_duration(str(word))) <= LONGEST:
        raise ValueError("expected more than nothing and at most 10m")
    return delay


READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "stage": _stage,
    "berichtsoort": _text(100),
    "aanleverkenmerk": _text(40),
    "delay": _delay,
    "fault": _text(20),
    "http": _number(400, 599),
    "code": _text(3),
    "attempts": _number(1, 1_000),
    "times": _number(1, 1_000_000),
    "probability": _number(0.001, 1, float),
    "seed": _number(0, 2**32),
}


def _together(rule: Rule) -> list[str]:
    """What no word alone shows."""
    mistakes = []
    codes = STAGES[rule.stage]
    if rule.code and rule.code not in codes:
        mistakes.append(f"code is {rule.code!r}: {rule.stage} has {' or '.join(codes) or 'none'}")
    if rule.attempts and rule.stage != "afleveren":
        mistakes.append("attempts: only deliveries are attempted again")
    if not (rule.delay or rule.fault or rule.http or rule.code):
        mistakes.append("nothing would happen: give a delay, fault, http or code")
    return mistakes


def _named() -> Mapping[str, Rule]:
    rows = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {name: replace(Rule.of(row), aanleverkenmerk=name) for name, row in rows.items()}


NAMED: Final = _named()  # aanleverkenmerk to what it plays


@dataclass(slots=True)
class _Set:
    """A rule at work."""

    rule: Rule
    chance: random.Random
    left: int = field(default=0)  # of `times`


class Scenarios:
    """The rules of one post office. Those set by command are asked first, the newest before the others."""

    def __init__(
        self,
        *,
        enabled: bool = True,  # False: nothing is played, nothing can be set
        busy: timedelta = BUSY,  # how long the Zwaarbelast… scenarios take
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        named = NAMED if enabled else {}
        self.named = {name: replace(rule, delay=busy) if rule.delay else rule for name, rule in named.items()}
        self._enabled, self._sleep = enabled, sleep
        self._set: tuple[_Set, ...] = ()
        self._numbers = 0

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Those set by command that still play, the oldest first."""
        return tuple(one.rule for one in reversed(self._set))

    def set(self, **words: Any) -> Rule:
        """Add a rule (keys: READERS). Raises UsageError: its words make no sense, or nothing is played here."""
        if not self._enabled:
            raise UsageError("this post office plays no scenarios (scenarios = false, or production)")
        rule = Rule.of(words)
        if not rule.stage:
            raise failure(UsageError, "stage is missing", expected=f"one of {', '.join(STAGES)}")
        self._numbers += 1
        rule = replace(rule, number=self._numbers)
        self._set = (_Set(rule, random.Random(rule.seed), rule.times), *self._set)
        return rule

    def clear(self, number: int | None = None) -> int:
        """Forget one rule, or all of them; returns how many."""
        kept = tuple(one for one in self._set if number is not None and one.rule.number != number)
        cleared, self._set = len(self._set) - len(kept), kept
        self._numbers = self._numbers if kept else 0
        return cleared

    def find(self, stage: str, unit: Aanlevering | None, attempts: int = 0) -> Rule | None:
        """What plays for a message now; one of its times is used up by that."""
        kenmerk = (unit.aanleverkenmerk or "") if unit else ""
        named = self.named.get(kenmerk)
        for one in self._set:
            shielded = named is not None and one.rule.aanleverkenmerk != kenmerk
            if not shielded and one.rule.fits(stage, unit, attempts) and self._plays(one):
                return one.rule
        return named if named is not None and named.fits(stage, unit, attempts) else None

    def _plays(self, one: _Set) -> bool:
        if one.rule.probability < 1 and one.chance.random() >= one.rule.probability:
            return False
        if one.rule.times:
            one.left -= 1
            if not one.left:
                self.clear(one.rule.number)
        return True

    async def meet(self, stage: str, unit: Aanlevering | None) -> Rule | None:
        """Wait as long as the rule of this moment says; what else it asks is returned.

        Raises:
            Played: it asks for a fault or an HTTP status.
        """
        rule = self.find(stage, unit)
        if rule is not None:
            await self._sleep(rule.delay.total_seconds())
            if (rule.fault or rule.http) and not rule.code:
                raise Played(rule)
        return rule

    async def attempt(self, unit: Aanlevering, delivery: Delivery) -> Attempt | None:
        """What an attempt comes to instead of being made; None: make it. Copies, which nobody sees, are left alone."""
        rule = None if delivery.copy else self.find("afleveren", unit, delivery.attempts)
        if rule is None:
            return None
        await self._sleep(rule.delay.total_seconds())
        return rule.attempt()

    async def unasked(self, unit: Aanlevering, delivery: Delivery) -> Rule | None:
        """The rule that gives a verdict in place of an agency that gives none on this route."""
        rule = None if delivery.copy else self.find(AGENCY, unit)
        if rule is None or not rule.code:
            return None
        await self._sleep(rule.delay.total_seconds())
        return rule
