"""A business's view of a post office: hand over, follow, fetch; one client for threads, one for asyncio.

Every answer is verified before a word of it is read, and what the models hold is what its signature covers.
Chooses no port and no key: sdk.connection does. One client may serve many threads or tasks.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import itertools
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from types import TracebackType
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
from digipoort_as4.sdk.models import Bericht, Bestand, Exchanged, Rows
from digipoort_as4.sdk.wus_transport import AnswerLost, Exchange, Temporary, WusTransport, unusable
from digipoort_as4.wssecurity.open_message import Opened
from digipoort_as4.wus import koppelvlak
from digipoort_as4.wus.koppelvlak import (
    AanleverResponse,
    BerichtLijstResultaat,
    BerichtResultaat,
    Fout,
    Intake,
    OpvraagRequest,
    ProcesResultaat,
    StatusResultaat,
)
from digipoort_as4.wus.operations import AANLEVEREN, OPHALEN, STATUSINFORMATIE, Service

GEEN_AUSP: Final = "http://geenausp.nl"
"""autorisatieAdres of a sender without an Autorisatie Service Provider; what all known clients send (digipoort 4.7)."""
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
M = TypeVar("M")
T = TypeVar("T")
P = ParamSpec("P")


# --- one call ---------------------------------------------------------------------------------------------------------


@functools.cache
def described(service: Service) -> Document:
    """Our WSDL of a service, read once."""
    return Document(str(data_file(f"schemas/{service.wsdl}")), Transport())  # type: ignore[no-untyped-call, arg-type]


def call(
    connection: Connection,
    service: Service,
    operation: str,
    values: dict[str, Any],
    large: dict[str, Payload] | None = None,
    again: AnswerLost | None = None,
) -> tuple[Exchange, Opened]:
    """One operation through zeep and our transport; returns the exchange, and what its answer's signature covers."""
    if service.name not in connection.services:
        known = ", ".join(connection.services)
        raise failure(UsageError, f"this post office has no address for {service.name}", expected=known)
    transport = WusTransport(connection, large, again, whole=False)
    client: Any = Client(described(service), transport=transport)  # type: ignore[no-untyped-call]
    proxy = client.create_service(next(iter(client.wsdl.bindings)), connection.services[service.name])
    proxy[operation](**values)
    if transport.last is None or transport.last.opened is None:
        raise RuntimeError("zeep returned without an answer")
    return transport.last, transport.last.opened


def read(reader: Callable[..., T], model: type[M], opened: Opened) -> T:
    """An answer as models, by koppelvlak.read or read_results; documents above 64 KiB lie in temporary files.

    Raises:
        SignatureError: it is signed, but not what the koppelvlak says; it is not used.
    """
    try:
        return reader(model, opened, Intake(Temporary(), fresh_id))
    except PeerError as reason:
        raise unusable(reason.cause.name, reason.where, reason.found, reason.expected) from reason


def wire(request: object) -> dict[str, Any]:
    """A request of the koppelvlak as zeep takes it."""
    found = koppelvlak.values(request)
    return {name: asdict(value) if isinstance(value, Identiteit) else value for name, value in found}


def request_values(bericht: Bericht, autorisatie_adres: str | None, large: dict[str, Payload]) -> dict[str, Any]:
    """An aanleverRequest for zeep, without absent parts; `large` gets each document that is streamed."""
    values = {
        "berichtsoort": bericht.berichtsoort,
        "aanleverkenmerk": bericht.aanleverkenmerk,
        "eerderAanleverkenmerk": bericht.eerder_aanleverkenmerk,
        "identiteitBelanghebbende": asdict(bericht.belanghebbende),
        "rolBelanghebbende": bericht.rol_belanghebbende,
        "identiteitOntvanger": asdict(bericht.ontvanger) if bericht.ontvanger else None,
        "rolOntvanger": bericht.rol_ontvanger,
        "berichtInhoud": document_values(bericht.inhoud, large),
        "autorisatieAdres": autorisatie_adres,
    }
    if bericht.bijlagen:
        values["berichtBijlagen"] = {"bijlage": [document_values(one, large) for one in bericht.bijlagen]}
    return {name: value for name, value in values.items() if value is not None}


def document_values(document: Bestand, large: dict[str, Payload]) -> dict[str, Any]:
    """A berichtInhoudType; zeep itself writes base64 of what stands in `inhoud`.

    That is a small document's octets; for a large one a fresh word, whose base64 text `large` then knows.
    """
    if document.payload.size <= limits.INHOUD_IN_TREE:
        octets = read_all(document.payload)
    else:
        octets = fresh_id().encode()
        large[base64.b64encode(octets).decode()] = document.payload
    return {"mimeType": document.mime_type, "bestandsnaam": document.bestandsnaam, "inhoud": octets}


# --- once -------------------------------------------------------------------------------------------------------------


def key_of(bericht: Bericht) -> bytes | None:
    """What makes two hand-overs the same: address data, aanleverkenmerk and octets; None without an aanleverkenmerk."""
    if not bericht.aanleverkenmerk:
        return None
    digest = hashlib.sha256(repr((bericht.berichtsoort, bericht.aanleverkenmerk, bericht.belanghebbende)).encode())
    digest.update(repr((bericht.ontvanger, bericht.eerder_aanleverkenmerk)).encode())
    for document in (bericht.inhoud, *bericht.bijlagen):
        digest.update(sha256(document.payload))
    return digest.digest()


Received = tuple[AanleverResponse, Exchange]


class Once:
    """Remembers what was handed over, and what was sent without an answer; for as long as this process lives."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: OrderedDict[bytes, Future[Received]] = OrderedDict()
        self._lost: dict[bytes, AnswerLost] = {}

    def hand_over(self, key: bytes | None, send: Callable[[AnswerLost | None], Received]) -> Received:
        """The receipt of the first time; who asks meanwhile waits for it.

        Args:
            key: of the message; None is never the same.
            send: hands it over; with a lost answer, by posting those very octets again.
        """
        if key is None:
            return send(None)
        with self._lock:
            first, mine = self._known.get(key), Future[Received]()
            if first is None:
                self._known[key] = mine
                while len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
        if first is not None:
            return first.result()
        try:
            mine.set_result(send(self._lost.get(key)))
            self._lost.pop(key, None)
        except BaseException as error:
            self._forget(key, error)
            mine.set_exception(error)
            raise
        return mine.result()

    def _forget(self, key: bytes, error: BaseException) -> None:
        """After a failure the next attempt is a new one, unless this one may have been accepted."""
        self._known.pop(key, None)
        if isinstance(error, AnswerLost):
            self._lost[key] = error
        elif isinstance(error, Refused) and not error.code.endswith("400"):
            # what had been accepted would have got its first answer again; x400 is trouble there, and says nothing
            self._lost.pop(key, None)


# --- following --------------------------------------------------------------------------------------------------------


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
        self.pause = FIRST_POLL if new else min(self.pause * SLOWER, LAST_POLL)
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
        fout = last.status_foutcode or Fout("", last.statusomschrijving)
        raise Refused(fout.foutbeschrijving, code=fout.foutcode, status=last.statuscode)
    found = next((row for row in seen if row.is_end or row.statuscode in until), None)
    if found is None:
        what, known = f"no end within {timeout.total_seconds():g} s", last.statuscode if last else "nothing"
        raise failure(TransportError, what, found=f"the last status is {known}")
    return found


# --- the clients ------------------------------------------------------------------------------------------------------


class _Standing:
    """How either client comes to be."""

    def __init__(self, connection: Connection, *, autorisatie_adres: str | None = GEEN_AUSP) -> None:
        """Nothing is sent yet.

        Args:
            connection: of sdk.connection.connect_to, or connect_local.
            autorisatie_adres: of the AuSP that knows your mandates; None leaves the element out.
        """
        self.connection, self.autorisatie_adres = connection, autorisatie_adres

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
    sent) and OutcomeUnknown (sent, no answer: decision 36).
    """

    def __init__(self, connection: Connection, *, autorisatie_adres: str | None = GEEN_AUSP) -> None:
        super().__init__(connection, autorisatie_adres=autorisatie_adres)
        self._once = Once()

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

        Source: digipoort 1.4, 2.1 to 2.5; experience 3.
        """
        return handed_over(Submission, self._received(bericht), self)

    def _received(self, bericht: Bericht) -> Received:
        def send(again: AnswerLost | None) -> Received:
            large: dict[str, Payload] = {}
            values = request_values(bericht, self.autorisatie_adres, large)
            exchange, opened = call(self.connection, AANLEVEREN, "aanleveren", values, large, again)
            return read(koppelvlak.read, AanleverResponse, opened), exchange

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
        while listed := {
            row.kenmerk for row in self.list_messages(berichtsoort=berichtsoort, only_new=True)
        }.difference(tried):
            for kenmerk in sorted(listed):
                yield from self.fetch(kenmerk, only_new=True)
            tried |= listed

    def _rows(self, service: Service, operation: str, model: type[M], window: Window = ALWAYS, **asked: Any) -> Rows[M]:
        vanaf, tot = window
        request = OpvraagRequest(
            **asked, autorisatie_adres=self.autorisatie_adres, tijdstempel_vanaf=vanaf, tijdstempel_tot=tot
        )
        exchange, opened = call(self.connection, service, operation, wire(request))
        return Rows.of(read(koppelvlak.read_results, model, opened), exchange)


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

    A cancelled `submit` may have been sent: submit the same again, and you get its receipt.
    """

    def __init__(self, connection: Connection, *, autorisatie_adres: str | None = GEEN_AUSP) -> None:
        super().__init__(connection, autorisatie_adres=autorisatie_adres)
        self.blocking = DigipoortClient(connection, autorisatie_adres=autorisatie_adres)
        self._threads = ThreadPoolExecutor(AT_ONCE, "digipoort")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
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


# --- what was handed over ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Submission(AanleverResponse, Exchanged):
    """A receipt that can be followed."""

    exchange: Exchange = field(repr=False, compare=False)
    client: DigipoortClient = field(repr=False, compare=False)

    def statuses(self) -> Rows[StatusResultaat]:
        """So far, oldest first."""
        return self.client.statuses(self.kenmerk)

    def wait(self, *, until: Until = "end", timeout: timedelta = PATIENCE) -> StatusResultaat:
        """As DigipoortClient.wait."""
        return self.client.wait(self.kenmerk, until=until, timeout=timeout)


@dataclass(frozen=True, slots=True)
class AsyncSubmission(AanleverResponse, Exchanged):
    """A receipt that can be followed, for asyncio."""

    exchange: Exchange = field(repr=False, compare=False)
    client: AsyncDigipoortClient = field(repr=False, compare=False)

    async def statuses(self) -> Rows[StatusResultaat]:
        """So far, oldest first."""
        return await self.client.statuses(self.kenmerk)

    async def wait(self, *, until: Until = "end", timeout: timedelta = PATIENCE) -> StatusResultaat:
        """As DigipoortClient.wait."""
        return await self.client.wait(self.kenmerk, until=until, timeout=timeout)


S = TypeVar("S", Submission, AsyncSubmission)


def handed_over(kind: type[S], received: Received, client: Any) -> S:
    """A receipt with its exchange and its client."""
    answer, exchange = received
    return kind(**{one.name: getattr(answer, one.name) for one in fields(answer)}, exchange=exchange, client=client)
