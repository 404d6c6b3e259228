"""The path of every question about processes and messages, shared by the status and the ophaalservice.

Knows what all of them ask and how they are answered; what one operation tells, its service finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError, check_all
from digipoort_as4.hub import identities
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.hub.decision import Effect, Search, StoredReply
from digipoort_as4.hub.mandates import Authority, Party
from digipoort_as4.wssecurity.open_message import Opened
from digipoort_as4.wus import ausp, koppelvlak
from digipoort_as4.wus.answers import Decided, conclude
from digipoort_as4.wus.koppelvlak import OpvraagRequest
from digipoort_as4.wus.office import Office, Snapshot
from digipoort_as4.wus.operations import SERVICES, Operation

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Question:
    """A verified question and who asks it."""

    asked: OpvraagRequest
    operation: Operation
    opened: Opened
    snapshot: Snapshot
    office: Office
    now: datetime

    @property
    def party(self) -> Party | None:
        """The asker in the party table; None for a body that only sends."""
        return self.snapshot.parties.knows(self.opened.oin)

    @property
    def belanghebbende(self) -> Identiteit:
        """Whom it is about, where the XSD demands that it says so."""
        if self.asked.identiteit_belanghebbende is None:
            raise TypeError(f"{self.operation.name} without identiteitBelanghebbende")
        return self.asked.identiteit_belanghebbende

    async def settle(self, belanghebbende: Identiteit, berichtsoort: str | None, kind: str) -> Authority | PeerError:
        """May the asker see this; the refusal when not. Raises PeerError: as ausp.settle, else."""
        address = self.asked.autorisatie_adres
        try:
            return await ausp.settle(self.party, belanghebbende, berichtsoort, kind, address, self.office)
        except PeerError as refusal:
            if refusal.cause.name != "not-authorised":
                raise
            return refusal

    def search(self, *, sender_oin: str | None = None, reach: tuple[tuple[str, str | None], ...] = ()) -> Search:
        """What was asked for, as the store looks it up."""
        belanghebbende = self.asked.identiteit_belanghebbende
        return Search(
            limit=limits.ANSWER_ROWS,
            asker_oin=self.opened.oin,
            kenmerk=self.asked.kenmerk,
            only_new=self.operation.only_new,
            berichtsoort=self.asked.berichtsoort,
            belanghebbende=identities.key(belanghebbende) if belanghebbende else None,
            sender_oin=sender_oin,
            since=self.asked.tijdstempel_vanaf,
            until=self.asked.tijdstempel_tot,
            reach=reach,
        )

    def covers(self, at: datetime) -> bool:
        """True within tijdstempelVanaf and tijdstempelTot, both inclusive; the contract does not say."""
        since, until = self.asked.tijdstempel_vanaf, self.asked.tijdstempel_tot
        return (since is None or at >= since) and (until is None or at <= until)

    def unknown(self, why: str) -> PeerError:
        """The one refusal for a kenmerk that is not there and one that is not the asker's."""
        expected = "een kenmerk dat u in een antwoord van ons heeft gekregen"
        fix = "Neem het kenmerk over uit het antwoord op uw aanlevering of uit een lijst."
        detail = f"{self.asked.kenmerk} asked by {self.opened.oin}: {why}"
        return PeerError("kenmerk-unknown", where="kenmerk", expected=expected, fix=fix, detail=detail)


@dataclass(frozen=True, slots=True)
class Told:
    """What a question is answered with, and what becomes durable with the answer."""

    rows: tuple[object, ...]
    effects: tuple[Effect, ...] = ()


Find = Callable[[Question], Awaitable[Told]]


async def answer(opened: Opened, operation: Operation, snapshot: Snapshot, office: Office, find: Find) -> StoredReply:
    """Answer a verified question: read → look up facts, decide (`find`) → build → commit; again when facts changed.
    Raises PeerError: schema, window, autorisatie-adres, berichtsoort-unknown, and what `find` refuses.
    Source: digipoort 1.4, 1.11; decisions 5, 8, 16."""
    asked = koppelvlak.read(OpvraagRequest, opened)
    check(asked, snapshot)
    if asked.kenmerk is None:  # of one process, `find` knows more to go by
        service = next(one.name for one in SERVICES if operation in one.operations)
        await office.scenarios.meet(service, asked.berichtsoort or "", None)

    async def find_answer(now: datetime) -> Decided:
        told = await find(Question(asked, operation, opened, snapshot, office, now))
        written = koppelvlak.write_results(operation.name, told.rows, office.new_id().replace("-", ""))
        return Decided(written, "told", {"kenmerk": asked.kenmerk, "rows": len(told.rows)}, told.effects)

    return await conclude(find_answer, opened, operation, office)


def check(asked: OpvraagRequest, snapshot: Snapshot) -> None:
    """What can be refused before anything is looked up, all of it at once."""
    checks: list[Callable[[], object]] = [
        lambda: _check_window(asked.tijdstempel_vanaf, asked.tijdstempel_tot),
        lambda: ausp.check_address(asked.autorisatie_adres, snapshot.ausp),
    ]
    if (berichtsoort := asked.berichtsoort) is not None:
        checks.append(lambda: snapshot.routes.require(berichtsoort))
    if (whom := asked.identiteit_belanghebbende) is not None:
        checks.append(lambda: identities.check("identiteitBelanghebbende", whom))
    check_all(*checks)


def _check_window(since: datetime | None, until: datetime | None) -> None:
    if since is not None and until is not None and until < since:
        found = f"{koppelvlak.write_moment(until)}, voor tijdstempelVanaf {koppelvlak.write_moment(since)}"
        fix = "Verwissel de tijdstippen, of laat er een weg."
        raise PeerError("window", found=found, expected="niet voor tijdstempelVanaf", fix=fix)


def bounded(rows: Iterable[R], size: Callable[[R], int]) -> tuple[R, ...]:
    """The first rows that fit into limits.ANSWER_TREE, by their octets about; one at least."""
    kept: list[R] = []
    used = 0
    for row in rows:
        used += size(row)
        if kept and (used > limits.ANSWER_TREE or len(kept) == limits.ANSWER_ROWS):
            break
        kept.append(row)
    return tuple(kept)
