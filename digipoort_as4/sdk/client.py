"""A business's view of a post office: hand over, follow, fetch; one client for threads, one for asyncio.

Every answer is verified before a word of it is read, and what the models hold is what its signature covers.
Chooses no port and no key: sdk.connection does. One client may serve many threads or tasks."""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

from zeep import Client
from zeep.transports import Transport
from zeep.wsdl import Document

from digipoort_as4 import limits
from digipoort_as4.config import data_file
from digipoort_as4.errors import DocumentInvalid, PeerError, Refused, TransportError, UsageError, failure
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.payload import Payload, read_all, sha256
from digipoort_as4.sdk.connection import AT_ONCE, Connection, connect_local, connect_to, fresh_id
from digipoort_as4.sdk.models import GEEN_AUSP, Bericht, Bestand, Exchanged, Rows
from digipoort_as4.sdk.wus_transport import AnswerLost, Exchange, Temporary, WusTransport, unusable
from digipoort_as4.wus import koppelvlak
from digipoort_as4.wus.koppelvlak import (
    AanleverResponse,
    BerichtLijstResultaat,
    BerichtResultaat,
    ProcesResultaat,
    StatusResultaat,
)
from digipoort_as4.wus.operations import AANLEVEREN, OPHALEN, STATUSINFORMATIE, Service

PATIENCE: Final = timedelta(minutes=1)  # How long to wait for an end when nothing else is said
FIRST_POLL: Final = 0.3  # Seconds between two questions while following; on one machine a message ends within one
LAST_POLL: Final = 60.0  # After a while without news
SLOWER: Final = 1.2
REMEMBERED: Final = 1_000  # Messages that one client knows it handed over
Until = str | Collection[str]
"""`end`, one statuscode, or several; an end of the table always ends it as well."""
Window = tuple[datetime | None, datetime | None]
"""From and to, both inclusive and with a time zone; None is open."""
ALWAYS: Final[Window] = (None, None)
Received = tuple[AanleverResponse, Exchange]
M = TypeVar("M")
T = TypeVar("T")
P = ParamSpec("P")


@functools.cache
def described(service: Service) -> Document:
    """Our WSDL of a service, read once."""
    return Document(str(data_file(f"schemas/{service.wsdl}")), Transport())  # type: ignore[no-untyped-call, arg-type]


def wire(request: object, large: dict[str, Payload]) -> dict[str, Any]:
    """A request of the koppelvlak as zeep takes it; `large` gets each document that is streamed."""
    return {name: zeep_value(value, large) for name, value in koppelvlak.values(request)}


def zeep_value(value: Any, large: dict[str, Payload]) -> Any:
    """A field as zeep takes it, which itself writes base64 of what stands in `inhoud`.
    That is a small document's octets; for a large one a fresh word, whose base64 text `large` then knows."""
    if isinstance(value, tuple):
        return {"bijlage": [zeep_value(one, large) for one in value]}
    if not isinstance(value, Bestand):
        return asdict(value) if isinstance(value, Identiteit) else value
    if value.payload.size <= limits.INHOUD_IN_TREE:
        octets = read_all(value.payload)
    else:
        octets = fresh_id().encode()
        large[base64.b64encode(octets).decode()] = value.payload
    return {"mimeType": value.mime_type, "bestandsnaam": value.bestandsnaam, "inhoud": octets}


def key_of(bericht: Bericht) -> bytes | None:
    """What makes two hand-overs the same: all they say, and the octets; None without an aanleverkenmerk."""
    if not bericht.aanleverkenmerk:
        return None
    said = [getattr(bericht, one.name) for one in fields(bericht) if not one.name.startswith("bericht_")]
    digests = [sha256(one.payload) for one in (bericht.bericht_inhoud, *bericht.bericht_bijlagen)]
    return hashlib.sha256(repr((said, digests)).encode()).digest()


class Once:
    """Remembers what was handed over, and what was sent without an answer; for as long as this process lives."""

    def __init__(self) -> None:
        self._turns: dict[bytes, Lock] = {}
        self._known: dict[bytes, Received] = {}
        self._lost: dict[bytes, AnswerLost] = {}

    def hand_over(self, key: bytes | None, send: Callable[[AnswerLost | None], Received]) -> Received:
        """The receipt of the first time; who asks meanwhile waits for it.
        Args:
            key: of the message; None is never the same.
            send: hands it over; with a lost answer, by posting those very octets again."""
        if key is None:
            return send(None)
        with self._turns.setdefault(key, Lock()):
            if key not in self._known:
                self._known[key] = self._send(key, send)
        for oldest in list(self._known)[:-REMEMBERED]:
            self._known.pop(oldest, None), self._turns.pop(oldest, None)
        return self._known[key]

    def _send(self, key: bytes, send: Callable[[AnswerLost | None], Received]) -> Received:
        try:
            received = send(self._lost.get(key))
        except AnswerLost as lost:
            self._lost[key] = lost
            raise
        except Refused as refused:
            # what had been accepted would have got its first answer again; x400 is trouble there, and says nothing
            if not refused.code.endswith("400"):
                self._lost.pop(key, None)
            raise
        self._lost.pop(key, None)
        return received


def ends(until: Until) -> frozenset[str]:
    """Codes at which to stop besides those the table calls an end."""
    return frozenset() if until == "end" else frozenset([until] if isinstance(until, str) else until)


@dataclass(slots=True)
class Watch:
    """Where one who follows a message stands. Asks nothing and sleeps not."""

    until: frozenset[str]
    give_up: datetime
    told: int = 0
    pause: float = FIRST_POLL
    over: bool = False

    def fresh(self, rows: Sequence[StatusResultaat], now: datetime) -> Sequence[StatusResultaat]:
        """The statuses that were not there before; afterwards `over` and `pause` are set."""
        new, self.told = rows[self.told :], len(rows)
        left = max(0, (self.give_up - now).total_seconds())
        self.pause = FIRST_POLL if new else min(self.pause * SLOWER, LAST_POLL, left)
        self.over = now >= self.give_up or any(row.is_end or row.statuscode in self.until for row in rows)
        return new


def conclude(seen: Sequence[StatusResultaat], until: frozenset[str], timeout: timedelta) -> StatusResultaat:
    """The status that was waited for.
    Raises:
        DocumentInvalid: 311, with its findings. Refused: another end that is not good. TransportError: no end in time.
    """
    last = seen[-1] if seen else None
    if last is not None and last.is_end and not last.is_good:
        if last.statuscode == "311":
            fix = "mend the document and send it again"
            invalid = failure(DocumentInvalid, last.statusomschrijving, fix=fix)
            invalid.findings = last.findings
            raise invalid
        fout = last.status_foutcode or koppelvlak.Fout("", last.statusomschrijving)
        raise Refused(fout.foutbeschrijving, code=fout.foutcode, status=last.statuscode)
    found = next((row for row in seen if row.is_end or row.statuscode in until), None)
    if found is None:
        what, known = f"no end within {timeout.total_seconds():g} s", last.statuscode if last else "nothing"
        raise failure(TransportError, what, found=f"the last status is {known}")
    return found


class _Standing:
    """How either client comes to be."""

    def __init__(self, connection: Connection, *, autorisatie_adres: str | None = GEEN_AUSP) -> None:
        """Nothing is sent yet.
        Args:
            connection: of sdk.connection.connect_to, or connect_local.
            autorisatie_adres: of the AuSP that knows your mandates; None leaves the element out."""
        self.connection, self.autorisatie_adres, self._once = connection, autorisatie_adres, Once()

    @classmethod
    def local(cls, folder: Path | None = None, *, identity: str | None = None) -> Self:
        """For the post office that `digipoort up` keeps; without a name as its first business."""
        return cls(connect_local(folder, identity))

    @classmethod
    def from_p12(cls, p12: Path, password: bytes | None, **access: Any) -> Self:
        """With a PKCS#12 file; `access` is that of sdk.connection.connect_to."""
        return cls(connect_to(p12=p12, password=password, **access))


class DigipoortClient(_Standing):
    """For threads. Closed by `close` or at the end of a `with`.
    All methods raise Refused (a fault), SignatureError (an answer that must not be used), TransportError (nothing was
    sent) and OutcomeUnknown (sent, no answer: decision 36)."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self.connection.session.close()

    def submit(self, bericht: Bericht) -> Submission:
        """Hand a message over.
        With an aanleverkenmerk the same message again gives the first receipt, also to a second thread, and after
        OutcomeUnknown posts the very octets again that got no answer. After a SignatureError it is not known whether
        the post office took the message.
        Source: digipoort 1.4, 2.1 to 2.5; experience 3."""
        return handed_over(Submission, self._received(bericht), self)

    def _received(self, bericht: Bericht) -> Received:
        def send(again: AnswerLost | None) -> Received:
            return self._ask(AANLEVEREN, "aanleveren", bericht, koppelvlak.read, AanleverResponse, again)

        return self._once.hand_over(key_of(bericht), send)

    def statuses(self, kenmerk: str, *, only_new: bool = False, window: Window = ALWAYS) -> Rows[StatusResultaat]:
        """What became of a message, oldest first; a kenmerk that is not yours looks like one that does not exist."""
        operation = "getNieuweStatussenProces" if only_new else "getStatussenProces"
        return self._rows(STATUSINFORMATIE, operation, StatusResultaat, window, kenmerk=kenmerk)

    def new_statuses(
        self, *, berichtsoort: str, belanghebbende: Identiteit, window: Window = ALWAYS
    ) -> Iterator[StatusResultaat]:
        """What you have not been told of all messages of a kind, until nothing is left."""
        asked: dict[str, Any] = {"berichtsoort": berichtsoort, "identiteit_belanghebbende": belanghebbende}
        while rows := self._rows(STATUSINFORMATIE, "getNieuweStatussen", StatusResultaat, window, **asked):
            yield from rows

    def follow(self, kenmerk: str, *, until: Until = "end", timeout: timedelta = PATIENCE) -> Iterator[StatusResultaat]:
        """Each status once, in order, as it comes, until an end; stops quietly when the time is over."""
        watch = Watch(ends(until), self.connection.clock() + timeout)
        while True:
            yield from watch.fresh(self.statuses(kenmerk), self.connection.clock())
            if watch.over:
                return
            self.connection.sleep(watch.pause)

    def wait(self, kenmerk: str, *, until: Until = "end", timeout: timedelta = PATIENCE) -> StatusResultaat:
        """The status that ends a message. Raises as `conclude`: DocumentInvalid, Refused, TransportError."""
        seen = tuple(self.follow(kenmerk, until=until, timeout=timeout))
        return conclude(seen, ends(until), timeout)

    def berichtsoorten(self, *, belanghebbende: Identiteit) -> Rows[str]:
        """Which kinds of message you may handle for somebody."""
        return self._rows(STATUSINFORMATIE, "getBerichtsoorten", str, identiteit_belanghebbende=belanghebbende)

    def processes(self, *, berichtsoort: str, belanghebbende: Identiteit) -> Rows[ProcesResultaat]:
        """Messages of a kind for somebody."""
        asked: dict[str, Any] = {"berichtsoort": berichtsoort, "identiteit_belanghebbende": belanghebbende}
        return self._rows(STATUSINFORMATIE, "getProcessen", ProcesResultaat, **asked)

    def list_messages(
        self, *, berichtsoort: str | None = None, only_new: bool = False, window: Window = ALWAYS
    ) -> Rows[BerichtLijstResultaat]:
        """What lies ready for you; a list never marks as handed over."""
        operation = "getNieuweBerichtenLijst" if only_new else "getBerichtenLijst"
        return self._rows(OPHALEN, operation, BerichtLijstResultaat, window, berichtsoort=berichtsoort)

    def fetch(self, kenmerk: str, *, only_new: bool = False, window: Window = ALWAYS) -> Rows[BerichtResultaat]:
        """The messages of one kenmerk, with content."""
        operation = "getNieuweBerichtenKenmerk" if only_new else "getBerichtenKenmerk"
        return self._rows(OPHALEN, operation, BerichtResultaat, window, kenmerk=kenmerk)

    def fetch_for(
        self,
        belanghebbende: Identiteit,
        *,
        berichtsoort: str | None = None,
        only_new: bool = False,
        window: Window = ALWAYS,
    ) -> Rows[BerichtResultaat]:
        """Messages for somebody, with content, as many as one answer holds."""
        operation = "getNieuweBerichten" if only_new else "getBerichten"
        asked = {"berichtsoort": berichtsoort, "identiteit_belanghebbende": belanghebbende}
        return self._rows(OPHALEN, operation, BerichtResultaat, window, **asked)

    def new_messages(self, *, berichtsoort: str | None = None) -> Iterator[BerichtResultaat]:
        """Every message that was not handed to you yet, one call each, until none is left.
        A message counts as handed over when its answer left the post office. What you lost since, `fetch` gives again.
        """
        tried: set[str] = set()
        while listed := [row.kenmerk for row in self.list_messages(berichtsoort=berichtsoort, only_new=True)]:
            if tried.issuperset(listed):
                return
            for kenmerk in dict.fromkeys(listed):
                yield from self.fetch(kenmerk, only_new=True)
            tried.update(listed)

    def _rows(self, service: Service, operation: str, model: type[M], window: Window = ALWAYS, **asked: Any) -> Rows[M]:
        vanaf, tot = window
        asked |= {"autorisatie_adres": self.autorisatie_adres, "tijdstempel_vanaf": vanaf, "tijdstempel_tot": tot}
        return Rows.of(
            *self._ask(service, operation, koppelvlak.OpvraagRequest(**asked), koppelvlak.read_results, model)
        )

    def _ask(
        self,
        service: Service,
        operation: str,
        request: object,
        read: Callable[..., Any],
        model: type,
        again: AnswerLost | None = None,
    ) -> tuple[Any, Exchange]:
        """One operation: zeep writes the request, our transport signs, posts and verifies, the koppelvlak reads."""
        url, large = self.connection.services.get(service.name), dict[str, Payload]()
        if url is None:
            known = ", ".join(self.connection.services)
            raise failure(UsageError, f"this post office has no address for {service.name}", expected=known)
        values = wire(request, large)
        transport = WusTransport(self.connection, large, again)
        zeep: Any = Client(described(service), transport=transport)  # type: ignore[no-untyped-call]
        proxy = zeep.create_service(next(iter(zeep.wsdl.bindings)), url)
        envelope = zeep.create_message(proxy, operation, **values)
        action = next(one.request_action for one in service.operations if one.name == operation)
        exchange = transport.exchange(url, envelope, action)
        try:
            return read(model, exchange.opened, koppelvlak.Intake(Temporary(), fresh_id)), exchange
        except PeerError as reason:  # signed, and yet not what the koppelvlak says
            raise unusable(reason.cause.name, reason.where, reason.found, reason.expected) from reason


def _threaded(
    method: Callable[Concatenate[DigipoortClient, P], T],
) -> Callable[Concatenate[AsyncDigipoortClient, P], Coroutine[Any, Any, T]]:
    """The same method, run in a thread of the client."""

    @functools.wraps(method)
    async def awaited(self: AsyncDigipoortClient, /, *args: P.args, **words: P.kwargs) -> T:
        return await self.run(functools.partial(method, self.blocking, *args, **words))

    return awaited


def _stepped(
    method: Callable[Concatenate[DigipoortClient, P], Iterator[T]],
) -> Callable[Concatenate[AsyncDigipoortClient, P], AsyncIterator[T]]:
    """The same iteration, each step in a thread of the client."""

    @functools.wraps(method)
    async def stepped(self: AsyncDigipoortClient, /, *args: P.args, **words: P.kwargs) -> AsyncIterator[T]:
        steps = method(self.blocking, *args, **words)
        while found := await self.run(lambda: [*itertools.islice(steps, 1)]):
            yield found[0]

    return stepped


class AsyncDigipoortClient(_Standing):
    """For asyncio: the methods of DigipoortClient, each call in one of a few threads, waiting in none.
    A cancelled `submit` may have been sent; with an aanleverkenmerk submit the same again, and you get its receipt."""

    def __init__(self, connection: Connection, *, autorisatie_adres: str | None = GEEN_AUSP) -> None:
        super().__init__(connection, autorisatie_adres=autorisatie_adres)
        self.blocking = DigipoortClient(connection, autorisatie_adres=autorisatie_adres)
        self._threads = ThreadPoolExecutor(AT_ONCE, "digipoort")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections and end the threads, once their calls have ended."""
        await asyncio.to_thread(self._threads.shutdown)
        self.blocking.close()

    async def run(self, work: Callable[[], T]) -> T:
        """Something that blocks, in a thread of this client."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def submit(self, bericht: Bericht) -> AsyncSubmission:
        """As DigipoortClient.submit."""
        return handed_over(AsyncSubmission, await self.run(lambda: self.blocking._received(bericht)), self)

    async def follow(
        self, kenmerk: str, *, until: Until = "end", timeout: timedelta = PATIENCE
    ) -> AsyncIterator[StatusResultaat]:
        """As DigipoortClient.follow."""
        clock = self.connection.clock
        watch = Watch(ends(until), clock() + timeout)
        while not watch.over:
            for status in watch.fresh(await self.statuses(kenmerk), clock()):
                yield status
            if not watch.over:
                await asyncio.sleep(watch.pause)

    async def wait(self, kenmerk: str, *, until: Until = "end", timeout: timedelta = PATIENCE) -> StatusResultaat:
        """As DigipoortClient.wait."""
        seen = [status async for status in self.follow(kenmerk, until=until, timeout=timeout)]
        return conclude(seen, ends(until), timeout)

    statuses = _threaded(DigipoortClient.statuses)
    new_statuses = _stepped(DigipoortClient.new_statuses)
    berichtsoorten = _threaded(DigipoortClient.berichtsoorten)
    processes = _threaded(DigipoortClient.processes)
    list_messages = _threaded(DigipoortClient.list_messages)
    fetch = _threaded(DigipoortClient.fetch)
    fetch_for = _threaded(DigipoortClient.fetch_for)
    new_messages = _stepped(DigipoortClient.new_messages)


@dataclass(frozen=True, slots=True)
class Submission(AanleverResponse, Exchanged):
    """A receipt that can be followed."""

    exchange: Exchange = field(repr=False, compare=False)
    client: DigipoortClient = field(repr=False, compare=False)

    def wait(self, *, until: Until = "end", timeout: timedelta = PATIENCE) -> StatusResultaat:
        """As DigipoortClient.wait."""
        return self.client.wait(self.kenmerk, until=until, timeout=timeout)


@dataclass(frozen=True, slots=True)
class AsyncSubmission(AanleverResponse, Exchanged):
    """A receipt that can be followed, for asyncio."""

    exchange: Exchange = field(repr=False, compare=False)
    client: AsyncDigipoortClient = field(repr=False, compare=False)

    async def wait(self, *, until: Until = "end", timeout: timedelta = PATIENCE) -> StatusResultaat:
        """As DigipoortClient.wait."""
        return await self.client.wait(self.kenmerk, until=until, timeout=timeout)


S = TypeVar("S", Submission, AsyncSubmission)


def handed_over(kind: type[S], received: Received, client: Any) -> S:
    """A receipt with its exchange and its client."""
    answer, exchange = received
    return kind(**{one.name: getattr(answer, one.name) for one in fields(answer)}, exchange=exchange, client=client)
