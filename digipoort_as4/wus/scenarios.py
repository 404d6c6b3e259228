"""Scenarios of a local post office: what a message meets on purpose, by its aanleverkenmerk or by a rule set meanwhile.

Knows no path: each asks here at one place of its own. Keeps rules in memory only, and none in production."""

from __future__ import annotations

import asyncio
import random
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from digipoort_as4.clock import parse_duration
from digipoort_as4.errors import ConfigError, PeerError, UsageError, failure
from digipoort_as4.hub.decision import Delivery, Process
from digipoort_as4.hub.delivery import Accepted, AgencyStatus, Attempt, Faulted, NotLearnt
from digipoort_as4.hub.mistakes import Mistakes
from digipoort_as4.wus import antwoordbericht

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
LONGEST_CODE: Final = 20  # of a foutcode: the XSD
EXPIRED: Final = "AFS600"  # the foutcode that says the 72 hours are over (digipoort 3.3)
TEXTS: Final = ("stage", "berichtsoort", "aanleverkenmerk", "fault", "code")
NUMBERS: Final = {"http": 599, "attempts": 1_000, "times": 1_000_000, "seed": 2**32}  # each from 1
KEYS: Final = (*TEXTS, *NUMBERS, "delay", "probability")
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
        mistakes, table = Mistakes("scenario"), {"delay": "", "probability": 1, **words}
        mistakes.check_keys(words, KEYS, "rule")
        values = _measured(table["delay"], table["probability"], mistakes)
        values |= {key: mistakes.text(words, key, "rule") for key in TEXTS if key in words}
        values |= {key: mistakes.number(words, key, "rule", 1, most) for key, most in NUMBERS.items() if key in words}
        rule = cls(**values)
        if words:
            _check_together(rule, mistakes)
        try:
            mistakes.finish()
        except ConfigError as error:
            raise failure(UsageError, str(error), fix="digipoort scenario set --help") from error
        return rule

    def fits(self, stage: str, berichtsoort: str, aanleverkenmerk: str, attempts: int) -> bool:
        """Whether it is about this message; empty where a question is about no single one."""
        about = self.stage == stage and self.berichtsoort in ("", berichtsoort)
        named = self.aanleverkenmerk in ("", aanleverkenmerk)
        return about and named and (not self.attempts or attempts < self.attempts)

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

    def verdict(self, kenmerk: str, berichtkenmerk: str, now: datetime) -> AgencyStatus:
        """What the agency is said to have found; only of a rule with a code."""
        details = antwoordbericht.write(self.code, kenmerk, berichtkenmerk, berichtkenmerk, now)
        return AgencyStatus(self.code, self.fault or None, TOLD if self.fault else None, details)


class Played(PeerError):
    """A refusal that a rule asked for."""

    def __init__(self, rule: Rule) -> None:
        name = "scenario" if rule.fault and not rule.fault.endswith("400") else "scenario-technical"
        fix = "Verwijder de regel: digipoort scenario clear." if rule.number else "Gebruik een ander aanleverkenmerk."
        super().__init__(name, where=rule.name, found=rule.stage, expected="dit antwoord", fix=fix)
        self.foutcode, self.http = rule.fault, rule.http


def _measured(delay: Any, probability: Any, mistakes: Mistakes) -> dict[str, Any]:
    length = timedelta()
    try:
        length = parse_duration(str(delay)) if delay else length
    except UsageError as error:
        mistakes.add("delay", str(error))
    if not timedelta() <= length <= LONGEST:
        mistakes.add("delay", f"{delay} is not from 0s to 10m")
    if type(probability) not in (int, float) or not 0 < probability <= 1:
        mistakes.add("probability", f"{probability!r} is not above 0 and at most 1")
        probability = 1
    return {"delay": length, "probability": probability}


def _check_together(rule: Rule, mistakes: Mistakes) -> None:
    """What no word alone shows."""
    mistakes.words([rule.stage], STAGES, "rule", "stage")
    codes = STAGES.get(rule.stage, ())
    if rule.code and rule.code not in codes:
        mistakes.add("code", f"{rule.code!r}: {rule.stage} has {' or '.join(codes) or 'none'}")
    if len(rule.fault) > LONGEST_CODE:
        mistakes.add("fault", f"{rule.fault!r} is longer than at most {LONGEST_CODE} characters")
    if rule.http and rule.http < 400:
        mistakes.add("http", f"{rule.http} is no refusal: 400 to 599")
    if rule.attempts and rule.stage != "afleveren":
        mistakes.add("attempts", "only deliveries are attempted again")
    if not (rule.delay or rule.fault or rule.http or rule.code):
        mistakes.add("rule", "nothing would happen: give a delay, fault, http or code")


def _named() -> Mapping[str, Rule]:
    rows = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {name: replace(Rule.of(row), aanleverkenmerk=name) for name, row in rows.items()}


NAMED: Final = _named()  # aanleverkenmerk to what it plays


@dataclass(slots=True)
class _Set:
    rule: Rule
    chance: random.Random
    left: int  # of `times`


class Scenarios:
    """The rules of one post office. Those set by command are asked first, the newest before the others."""

    def __init__(self, *, enabled: bool = True, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """`enabled` False: nothing is played, nothing can be set."""
        self.named = NAMED if enabled else {}
        self._enabled, self._sleep = enabled, sleep
        self._set: tuple[_Set, ...] = ()
        self._numbers = 0

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Those set by command that still play, the oldest first."""
        return tuple(one.rule for one in reversed(self._set))

    def set(self, **words: Any) -> Rule:
        """Add a rule (words: KEYS). Raises UsageError: they make no sense, or nothing is played here."""
        if not self._enabled:
            raise UsageError("this post office plays no scenarios: it is one for production")
        rule = replace(Rule.of(words or {"stage": ""}), number=self._numbers + 1)
        self._numbers += 1
        self._set = (_Set(rule, random.Random(rule.seed), rule.times), *self._set)
        return rule

    def clear(self, number: int | None = None) -> int:
        """Forget one rule, or all of them; returns how many."""
        kept = tuple(one for one in self._set if number is not None and one.rule.number != number)
        cleared, self._set = len(self._set) - len(kept), kept
        self._numbers = self._numbers if kept else 0
        return cleared

    def find(self, stage: str, berichtsoort: str, aanleverkenmerk: str | None, attempts: int = 0) -> Rule | None:
        """What plays for a message now; one of its times is used up by that."""
        about = (stage, berichtsoort, aanleverkenmerk or "", attempts)
        named = self.named.get(aanleverkenmerk or "")
        for one in self._set:
            shielded = named is not None and one.rule.aanleverkenmerk != aanleverkenmerk
            if not shielded and one.rule.fits(*about) and self._plays(one):
                return one.rule
        return named if named is not None and named.fits(*about) else None

    def _plays(self, one: _Set) -> bool:
        if one.rule.probability < 1 and one.chance.random() >= one.rule.probability:
            return False
        if one.rule.times:
            one.left -= 1
            if not one.left:
                self.clear(one.rule.number)
        return True

    async def meet(self, stage: str, berichtsoort: str, aanleverkenmerk: str | None) -> Rule | None:
        """Wait as the rule of this moment says, and return it. Raises Played: it asks for a fault or an HTTP status."""
        rule = self.find(stage, berichtsoort, aanleverkenmerk)
        if rule is not None:
            await self._sleep(rule.delay.total_seconds())
            if (rule.fault or rule.http) and not rule.code:
                raise Played(rule)
        return rule

    async def attempt(self, process: Process, delivery: Delivery, *, validates: bool, now: datetime) -> Attempt | None:
        """What an attempt comes to instead of being made; None: make it. Copies, which nobody sees, are left alone.
        Where the agency's verdict would follow (`validates`), wus.zet_status plays it, and the message is delivered."""
        about = (process.aanlevering.berichtsoort, process.aanlevering.aanleverkenmerk)
        if delivery.copy:
            return None
        if (rule := self.find("afleveren", *about, delivery.attempts)) is not None:
            await self._sleep(rule.delay.total_seconds())
            return rule.attempt()
        rule = None if validates else self.find(AGENCY, *about)
        if rule is None or not rule.code:
            return None
        await self._sleep(rule.delay.total_seconds())
        return Accepted(rule.verdict(process.kenmerk, delivery.berichtkenmerk, now), played=True)
