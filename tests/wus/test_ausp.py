"""The Autorisatie Service Provider: asked over real mutual TLS, up, refusing, down, slow, and answering nonsense."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web
from helpers_wus import BELASTINGDIENST, JANSEN, Sender, World, fault_of, vat_return, verified
from lxml import etree

from digipoort_as4 import local
from digipoort_as4.config import AuspService, KeyFiles, Settings, data_file
from digipoort_as4.errors import PeerError, TransportError
from digipoort_as4.hub import mandates
from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.findings import Examined
from digipoort_as4.hub.mandates import Authority
from digipoort_as4.hub.routes import Route
from digipoort_as4.payload import read_all
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.keys import TlsFiles
from digipoort_as4.storage.view import open_view
from digipoort_as4.transport.client import Client, client_context, server_context
from digipoort_as4.transport.peers import Peers
from digipoort_as4.validation import bench
from digipoort_as4.worker import Paths, judge_tls
from digipoort_as4.wus import ausp
from digipoort_as4.wus.ausp import Ausp
from digipoort_as4.wus.operations import AANLEVEREN

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
NS = "urn:digipoort-as4:autorisatieservice:1.0"
CLIENT = Identiteit("001000068B12", "Fi")
OTHER = Identiteit("90001102", "KvK")
XSD = etree.XMLSchema(etree.parse(data_file("schemas/autorisatie-1.0.xsd")))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of today: TLS goes by the machine's clock."""
    folder = tmp_path_factory.mktemp("ausp-pki")
    test_pki.make(folder, datetime.now(UTC), ca_bits=2048)
    return folder


@pytest.fixture(autouse=True)
def today(world: World) -> None:
    world.clock.at = datetime.now(UTC)


Answer = Callable[[etree._Element], tuple[int, str]]
"""What the service says to the question element: HTTP status and body."""


def envelope(inner: str) -> str:
    return f'<e:Envelope xmlns:e="{SOAP}"><e:Body>{inner}</e:Body></e:Envelope>'


def verdict(word: str, *, kenmerk: str = "") -> Answer:
    """The answer as the schema has it, with this word for geautoriseerd."""

    def said(question: etree._Element) -> tuple[int, str]:
        mark = kenmerk or question.findtext(f"{{{NS}}}kenmerk")
        inner = f"<kenmerk>{mark}</kenmerk><geautoriseerd>{word}</geautoriseerd><reden>register 7</reden>"
        return 200, envelope(f'<controleerAutorisatieResponse xmlns="{NS}">{inner}</controleerAutorisatieResponse>')

    return said


def says(status: int, body: str) -> Answer:
    return lambda question: (status, body)


@dataclass
class Provider:
    """An AuSP of the test's own: aiohttp, its certificate out of the test PKI, clients below the same roots only."""

    url: str = ""
    oin: str = ""
    answer: Answer = field(default_factory=lambda: verdict("true"))
    slow: float = 0
    asked: list[etree._Element] = field(default_factory=list)
    askers: list[str] = field(default_factory=list)  # common names in the TLS certificates shown
    actions: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        peer = request.get_extra_info("peercert") or {}
        self.askers += [value for rdn in peer.get("subject", ()) for name, value in rdn if name == "serialNumber"]
        self.actions.append(request.headers["SOAPAction"])
        question = etree.fromstring(await request.read()).find(f"{{{SOAP}}}Body")[0]
        self.asked.append(question)
        await asyncio.sleep(self.slow)
        status, body = self.answer(question)
        return web.Response(status=status, body=body.encode(), content_type="text/xml")


@asynccontextmanager
async def served(pki: Path, name: str = "kvk") -> AsyncIterator[Provider]:
    one, provider = test_pki.find_identity(pki, name), Provider()
    context = server_context(TlsFiles(one.tls_cert, one.tls_key), test_pki.anchors(pki))
    context.verify_mode = ssl.CERT_REQUIRED
    app = web.Application()
    app.router.add_post("/ausp", provider.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    provider.url, provider.oin = f"https://localhost:{port}/ausp", one.oin
    try:
        yield provider
    finally:
        await runner.cleanup()


@asynccontextmanager
async def asking(world: World, provider: Provider, **service: object) -> AsyncIterator[Ausp]:
    """The post office with this provider registered, and its caller with real connections."""
    settings = AuspService(**{"oin": provider.oin, "timeout": timedelta(seconds=5), **service})  # type: ignore[arg-type]
    world.with_snapshot(lambda at: replace(at, ausp={provider.url: settings}))
    hub = test_pki.find_identity(world.pki, "digipoort")
    tls = TlsFiles(hub.tls_cert, hub.tls_key)
    peers = Peers(lambda: client_context(tls, test_pki.anchors(world.pki)), judge_tls(world.office))
    caller = Ausp(world.office, peers.post)
    world.office = replace(world.office, ask_ausp=caller.ask)
    try:
        yield caller
    finally:
        await peers.close()


async def ask(caller: Ausp, provider: Provider) -> Authority:
    return await caller.ask(provider.url, JANSEN, CLIENT, "ICP", mandates.OPHALEN)


async def test_the_question_is_what_the_description_says(world: World, pki: Path) -> None:
    """One element, valid by the schema; the hub shows its own certificate; the answer's word counts."""
    async with served(pki) as provider, asking(world, provider) as caller:
        assert (await ask(caller, provider)).ok
        (question,) = provider.asked
        XSD.assertValid(question)
        told = [(etree.QName(e).localname, (e.text or "").strip()) for e in question.iter()][2:]
        assert [
            ("certificaathouder", JANSEN),
            ("identiteitBelanghebbende", ""),
            ("nummer", "001000068B12"),
            ("type", "Fi"),
            ("berichtsoort", "ICP"),
            ("handeling", "ophalen"),
        ] == told
        assert [test_pki.find_identity(pki, "digipoort").oin] == provider.askers
        assert [f'"{NS}:controleerAutorisatie"'] == provider.actions


async def test_a_yes_is_remembered_for_a_while_and_a_no_never(world: World, pki: Path) -> None:
    """Within `cache` nobody is asked again; for another berichtsoort, and after it, the AuSP is."""
    async with served(pki) as provider, asking(world, provider, cache=timedelta(seconds=60)) as caller:
        assert [True, True] == [(await ask(caller, provider)).ok for _ in range(2)]
        assert 1 == len(provider.asked)
        await caller.ask(provider.url, JANSEN, CLIENT, "OBSUP", mandates.OPHALEN)
        assert 2 == len(provider.asked)
        world.clock.move(timedelta(seconds=61))
        provider.answer = verdict("false")
        for _ in range(2):
            refused = await ask(caller, provider)
            assert (False, False) == (refused.ok, refused.trouble)
        assert "register 7" in refused.reason
        assert 4 == len(provider.asked)
        lines = [line for line in world.journal() if line["event"] == "ausp-asked"]
        assert ["yes", "yes", "no", "no"] == [str(line["detail"]).split("said ")[1].split(":")[0] for line in lines]
        assert "001000068B12" not in str(lines)


NONSENSE = {
    "html": says(200, "<html><body>Onderhoud</body></html>"),
    "no xml": says(200, "true"),
    "empty": says(200, ""),
    "another element": says(200, envelope(f'<jaHoor xmlns="{NS}"/>')),
    "neither yes nor no": verdict("misschien"),
    "another question's answer": verdict("true", kenmerk="een-ander"),
    "no verdict": says(200, envelope(f'<controleerAutorisatieResponse xmlns="{NS}"/>')),
    "a fault": says(500, envelope("<e:Fault><faultcode>e:Server</faultcode><faultstring>x</faultstring></e:Fault>")),
    "a yes with HTTP 500": lambda question: (500, verdict("true")(question)[1]),
    "a doctype": says(200, '<!DOCTYPE a [<!ENTITY b "c">]>' + envelope("&b;")),
    "too long": says(200, envelope("x" * 5_000_000)),
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_is_trouble_and_never_a_verdict(world: World, pki: Path, answer: Answer) -> None:
    async with served(pki) as provider, asking(world, provider) as caller:
        provider.answer = answer
        authority = await ask(caller, provider)
        assert (False, True) == (authority.ok, authority.trouble), authority.reason


async def test_nobody_waits_for_an_ausp_that_failed_a_moment_ago(world: World, pki: Path) -> None:
    """After a failure three seconds without a call, then one call; a success opens the door at once."""
    async with served(pki) as provider, asking(world, provider) as caller:
        provider.answer = says(503, "")
        assert (await ask(caller, provider)).trouble
        provider.answer = verdict("true")
        assert (await ask(caller, provider)).trouble
        assert 1 == len(provider.asked)
        world.clock.move(timedelta(seconds=4))
        first, second = await asyncio.gather(
            ask(caller, provider), caller.ask(provider.url, JANSEN, OTHER, "ICP", mandates.STATUS)
        )
        assert (True, True) == (first.ok, second.trouble)
        assert 2 == len(provider.asked)
        assert (await caller.ask(provider.url, JANSEN, OTHER, "ICP", mandates.STATUS)).ok


async def test_slow_is_trouble_when_the_time_is_over(world: World, pki: Path) -> None:
    async with served(pki) as provider, asking(world, provider, timeout=timedelta(milliseconds=300)) as caller:
        provider.slow = 2
        authority = await ask(caller, provider)
        assert authority.trouble
        assert "no answer in time" in authority.reason
        assert "no answer in time" in str(world.journal()[-1]["detail"])


async def test_down_is_trouble(world: World, pki: Path) -> None:
    async with served(pki) as provider:
        pass
    async with asking(world, provider) as caller:
        assert (await ask(caller, provider)).trouble


async def test_only_the_registered_oin_is_told_anything(world: World, pki: Path) -> None:
    """Another party of the same PKI at the address sees no question."""
    async with served(pki, "cbs") as provider:
        kvk = test_pki.find_identity(pki, "kvk").oin
        async with asking(world, provider, oin=kvk) as caller:
            authority = await ask(caller, provider)
            assert authority.trouble
            assert "oin-differs" in authority.reason
            assert [] == provider.asked


# --- while asking for others (status and ophaal services) -------------------------------------------------------------


async def settle(
    world: World, belanghebbende: Identiteit, address: str | None, kind: str = mandates.OPHALEN
) -> Authority:
    party = world.office.snapshot().parties.knows(JANSEN)
    return await ausp.settle(party, belanghebbende, "ICP", kind, address, world.office)


async def refused(world: World, belanghebbende: Identiteit, address: str | None) -> str:
    with pytest.raises(PeerError) as caught:
        await settle(world, belanghebbende, address)
    return caught.value.cause.name


async def test_who_may_ask_for_whom(world: World, pki: Path) -> None:
    """Itself without any AuSP; another by a mandate, or by the AuSP that it names; nobody by an unknown address."""
    own = Identiteit("001000044B37", "Fi")
    async with served(pki) as provider, asking(world, provider):
        assert (await settle(world, own, None)).ok
        assert "not-authorised" == await refused(world, CLIENT, None)
        assert "not-authorised" == await refused(world, CLIENT, "http://geenausp.nl")
        assert "autorisatie-adres" == await refused(world, CLIENT, "https://elders.example/ausp")
        assert "autorisatie-adres" == await refused(world, own, "https://elders.example/ausp")
        assert [] == provider.asked
        assert (await settle(world, CLIENT, provider.url)).ok
        provider.answer = verdict("0")
        assert "not-authorised" == await refused(world, OTHER, provider.url)
        provider.answer = says(500, "")
        assert "ausp-unavailable" == await refused(world, OTHER, provider.url)


async def test_a_mandate_of_the_right_kind_needs_no_ausp(world: World) -> None:
    today = world.clock().date().isoformat()
    row = {
        "party": JANSEN,
        "reference": "m-1",
        "kind": "ophalen",
        "for": {"type": "Fi", "nummer": "001000068B12"},
        "berichtsoorten": ["ICP"],
        "from": today,
        "until": today,
    }
    world.with_snapshot(lambda at: replace(at, parties=at.parties.with_mandates([row])))
    assert (await settle(world, CLIENT, None)).ok
    with pytest.raises(PeerError, match="not-authorised"):
        await settle(world, CLIENT, None, mandates.STATUS)


async def test_a_number_that_cannot_exist_is_explained(world: World) -> None:
    """The last digit of 001000068 changed: the eleven-test fails."""
    with pytest.raises(PeerError, match=r"identity-number.*elfproef"):
        await settle(world, Identiteit("001000069", "RSIN"), None)


# --- while accepting --------------------------------------------------------------------------------------------------


async def test_a_registered_address_is_accepted_and_kept(world: World, pki: Path, jansen: Sender) -> None:
    """The receipt repeats it; nobody is asked yet (that is processing). With one letter more it is a fault."""
    async with served(pki) as provider, asking(world, provider):
        request = jansen.aanleveren(vat_return(autorisatie_adres=provider.url), at=world.clock())
        opened = verified(await world.post(request), world)
        assert provider.url == opened.operation.findtext("{*}autorisatieAdres")
        refused = await world.post(
            jansen.aanleveren(vat_return(autorisatie_adres=provider.url + "x"), at=world.clock())
        )
        assert "Het autorisatieAdres is niet geregistreerd. Waar: autorisatieAdres, regel 2." in fault_of(refused).cause
        assert provider.url in fault_of(refused).cause
        assert [] == provider.asked


async def test_a_belanghebbende_that_cannot_exist_is_refused_while_accepting(world: World, jansen: Sender) -> None:
    """One digit of 001000044 changed; nothing is stored, and of a BSN the journal has three digits."""
    good = vat_return(identiteit_belanghebbende=Identiteit("001000044", "BSN"))
    bad = vat_return(identiteit_belanghebbende=Identiteit("001000045", "BSN"))
    answer = await world.post(jansen.aanleveren(bad, at=world.clock()))
    assert (
        "Het nummer van een identiteit klopt niet. Waar: identiteitBelanghebbende, regel 2." in fault_of(answer).cause
    )
    assert "elfproef" in fault_of(answer).cause
    assert {} == world.stored()
    assert "001000045" not in (world.folder / "journal.jsonl").read_text()
    verified(await world.post(jansen.aanleveren(good, at=world.clock())), world)


# --- while processing -------------------------------------------------------------------------------------------------


class Validators:
    """The real validators, in this process."""

    async def examine(self, aanlevering: Aanlevering, route: Route) -> Examined:
        return bench.examine(aanlevering, route)


async def codes_after_processing(world: World, kenmerk: str) -> list[str]:
    """Have the accepted message processed as the worker does, and tell its statuses after 110."""
    now = world.clock()
    (job,) = await world.store.claim(["verwerken"], now, now + timedelta(minutes=1), 1, 1)
    nobody = SimpleNamespace(post=None)  # nothing is delivered here
    paths = Paths(world.office, None, nobody, Validators())  # type: ignore[arg-type]
    await paths.lanes()[0].work(job)
    return [status.code for status in await world.store.statuses(kenmerk)][3:]


@pytest.mark.parametrize(
    ("answer", "codes"),
    # the document is no VAT return: validation refuses it, which shows that authority was there
    [(verdict("true"), ["200", "311"]), (verdict("false"), ["210"]), (says(503, ""), ["230"])],
    ids=["yes", "no", "trouble"],
)
async def test_200_210_and_230(world: World, pki: Path, jansen: Sender, answer: Answer, codes: list[str]) -> None:
    """A message for somebody else, accepted, then processed with the AuSP that it names (digipoort 3.1)."""
    async with served(pki) as provider, asking(world, provider):
        provider.answer = answer
        sent = vat_return(identiteit_belanghebbende=CLIENT, autorisatie_adres=provider.url)
        opened = verified(await world.post(jansen.aanleveren(sent, at=world.clock())), world)
        kenmerk = opened.operation.findtext("{*}kenmerk")
        assert kenmerk is not None
        assert codes == await codes_after_processing(world, kenmerk)
        (question,) = provider.asked
        XSD.assertValid(question)
        assert "aanleveren" == question.findtext(f"{{{NS}}}handeling")
        assert "Omzetbelasting" == question.findtext(f"{{{NS}}}berichtsoort")


async def test_who_sends_for_itself_needs_no_ausp(world: World, pki: Path, jansen: Sender) -> None:
    """The AuSP would say no and is not asked."""
    async with served(pki) as provider, asking(world, provider):
        provider.answer = verdict("false")
        request = jansen.aanleveren(vat_return(autorisatie_adres=provider.url), at=world.clock())
        kenmerk = verified(await world.post(request), world).operation.findtext("{*}kenmerk")
        assert kenmerk is not None
        assert "200" == (await codes_after_processing(world, kenmerk))[0]
        assert [] == provider.asked


# --- a whole post office ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def running(pki: Path, folder: Path, provider: Provider) -> AsyncIterator[str]:
    """Gateway and worker as `digipoort up` runs them, with the provider in the settings; gives the URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    hub = test_pki.find_identity(pki, "digipoort")
    settings = Settings(
        folder=folder,
        tls=KeyFiles(hub.tls_cert, hub.tls_key),
        signing=KeyFiles(hub.signing_cert, hub.signing_key),
        ca=test_pki.anchors(pki),
        intermediates=(test_pki.intermediates(pki),),
        crls=tuple(test_pki.crls(pki)),
        port=port,
        agencies={BELASTINGDIENST: "https://localhost:1/"},
        ausp={provider.url: AuspService(provider.oin)},
    )
    stop = asyncio.Event()
    task = asyncio.create_task(local.run(settings, stop))
    try:
        yield f"https://localhost:{port}{AANLEVEREN.path}"
    finally:
        stop.set()
        await task


async def test_a_running_post_office_asks_the_ausp_of_its_settings(pki: Path, tmp_path: Path, jansen: Sender) -> None:
    """From the socket to the status: 210, since the AuSP says no."""
    one, folder = test_pki.find_identity(pki, "bakkerij-jansen"), tmp_path / "office"
    context = client_context(TlsFiles(one.tls_cert, one.tls_key), test_pki.anchors(pki))
    async with served(pki) as provider, running(pki, folder, provider) as url, Client(context) as client:
        provider.answer = verdict("false")
        sent = vat_return(identiteit_belanghebbende=CLIENT, autorisatie_adres=provider.url)
        async with asyncio.timeout(30):
            while True:
                request = jansen.aanleveren(sent, at=datetime.now(UTC))
                try:
                    answer = await client.post(url, request.body, request.headers)
                    break
                except TransportError:  # not listening yet
                    await asyncio.sleep(0.1)
            assert 200 == answer.status, read_all(answer.body)
            kenmerk = etree.fromstring(read_all(answer.body)).findtext(".//{*}kenmerk")
            codes: list[str] = []
            while "210" not in codes:
                await asyncio.sleep(0.05)
                with open_view(folder) as view:
                    codes = [status.code for status in view.statuses(str(kenmerk))]
    assert ["105", "100", "110", "210"] == codes
    assert 1 == len(provider.asked)
