"""The processing path: what is decided for each route, and that it is decided once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from helpers_hub import (
    BELASTINGDIENST,
    CBS,
    DE_BOER,
    GEMEENTE,
    HBAG,
    KENMERK,
    NOW,
    XBRL,
    ZONDER,
    MemoryStore,
    aanlevering,
    document,
    job,
    process_of,
)

from digipoort_as4.errors import DigipoortError
from digipoort_as4.hub import copies
from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.copies import Consents
from digipoort_as4.hub.decision import Committed, Decision, Outcome, Register, ReturnMessage, Stale
from digipoort_as4.hub.findings import Examined, Finding, StepVerdict
from digipoort_as4.hub.mandates import Authority
from digipoort_as4.hub.registers import Tables
from digipoort_as4.hub.routes import RETOUR, Name, Route, Routes
from digipoort_as4.hub.verwerken import Ports, process
from digipoort_as4.storage import tables
from digipoort_as4.validation import bench

ROUTES, PARTIES, CONSENTS = tables.load_routes(), tables.load_parties(), tables.load_consents()
TABLES = Tables(ROUTES, PARTIES, CONSENTS, frozenset(ROUTES.bodies.values()))
KVK = Identiteit("90001101", "KvK")
STATISTIC = (
    '<xbrli:xbrl xmlns:xbrli="http://www.xbrl.org/2003/instance"><xbrli:context id="c"><xbrli:entity>'
    '<xbrli:identifier scheme="http://www.kvk.nl/kvk-id">90001101</xbrli:identifier></xbrli:entity></xbrli:context>'
    "</xbrli:xbrl>"
)
INVOICE = (
    '<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2" '
    'xmlns:a="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2" '
    'xmlns:b="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"><a:AccountingSupplierParty>'
    '<a:Party><a:PartyLegalEntity><b:CompanyID schemeID="0106">90001101</b:CompanyID></a:PartyLegalEntity></a:Party>'
    "</a:AccountingSupplierParty></Invoice>"
)
PAYROLL = (
    '<Loonaangifte xmlns="http://xml.belastingdienst.nl/schemas/Loonaangifte/2026/01"><AdministratieveEenheid>'
    "<LhNr>001000044L01</LhNr></AdministratieveEenheid></Loonaangifte>"
)


class Inline:
    """Validation in this process, by the real validators."""

    async def examine(self, aanlevering: Aanlevering, route: Route) -> Examined:
        return bench.examine(aanlevering, route)


@dataclass
class Fixed:
    """Validation that came to this."""

    examined: Examined
    asked: int = 0

    async def examine(self, aanlevering: Aanlevering, route: Route) -> Examined:
        self.asked += 1
        return self.examined


@dataclass
class World:
    """One accepted envelope and everything that processes it."""

    store: MemoryStore
    tables: Tables = TABLES
    validation: object = field(default_factory=Inline)
    journal: list[dict[str, str]] = field(default_factory=list)
    made: int = 0
    ausp: Authority | None = None
    confirmed: list[Authority] = field(default_factory=list)

    def new_id(self) -> str:
        self.made += 1
        return f"00000000-0000-4000-8000-{self.made:012}"

    def ports(self) -> Ports:
        return Ports(
            self.store,
            self.validation,  # type: ignore[arg-type]
            lambda: self.tables,
            lambda: NOW,
            self.new_id,
            lambda event, **fields: self.journal.append({"event": event, **fields}),
            self.confirm,
        )

    async def confirm(self, aanlevering: Aanlevering, authority: Authority) -> Authority:
        """What an AuSP says, when there is one."""
        self.confirmed.append(authority)
        return self.ausp or authority

    async def run(self) -> Outcome:
        assert self.store.job is not None
        return await process(self.store.job, self.ports())

    def recipients(self) -> list[tuple[str, bool, tuple[str, ...], str]]:
        return [(d.recipient_oin, d.copy, d.documents, d.state) for d in self.store.deliveries.values()]


def world(unit: Aanlevering, **how: object) -> World:
    return World(MemoryStore(process_of(unit)), **how)  # type: ignore[arg-type]


def statistic() -> Aanlevering:
    return aanlevering(
        "Statistiek_Groothandel",
        document(STATISTIC, key="cbs", name="statistiek.xbrl"),
        document("a;b", key="hbag", part="bijlage", name="hbag-export.csv", mime="text/csv"),
        document(b"%PDF-1.7", key="letter", part="bijlage", name="brief.pdf", mime="application/pdf"),
        belanghebbende=KVK,
    )


ANY = "<melding/>"
FLOWS = {
    "Omzetbelasting": (Identiteit("001000044B37", "Fi"), None, "200 301 301", BELASTINGDIENST),
    "ICP": (Identiteit("001000044B37", "BTW"), None, "200 301 301", BELASTINGDIENST),
    "OBSUP": (Identiteit("NL001000044B37", "BTW"), None, "200 301 301", BELASTINGDIENST),
    "Aangifte_LH": (Identiteit("001000044L01", "LHnr"), PAYROLL, "200 301 301", BELASTINGDIENST),
    "e-factuur": (KVK, INVOICE, "301", GEMEENTE),
    "Statistiek_Groothandel": (KVK, STATISTIC, "200 301 301", CBS),
    "Jaarrekening": (KVK, STATISTIC, "200 301 301", "00000099000000016000"),
    "Handelsopgave": (KVK, ANY, "301", HBAG),
    "Inspectiegegevens": (KVK, ANY, "301", "00000099000000011000"),
    "Invoeraangifte": (KVK, ANY, "200 301", "00000099000000014000"),
    "Fytosanitaire_Aanvraag": (KVK, ANY, "301", "00000099000000017000"),
    "Ziekmelding": (KVK, ANY, "200 301", "00000099000000018000"),
    "Keuringsaanvraag": (KVK, ANY, "301", "00000099000000019000"),
}
"""berichtsoort: belanghebbende, document, statuses of processing, owner; by hand from digipoort 3.2."""


def test_every_row_has_a_flow() -> None:
    assert set(FLOWS) == {row.berichtsoort for row in ROUTES.rows if row.direction != RETOUR}


@pytest.mark.parametrize("berichtsoort", FLOWS)
async def test_flow_of_every_row(berichtsoort: str) -> None:
    """A good envelope on each row of the shipped table: its statuses, its owner's delivery, its job."""
    belanghebbende, text, told, owner = FLOWS[berichtsoort]
    ontvanger = Identiteit(owner, "OIN") if berichtsoort == "e-factuur" else None
    documents = [document(text) if text else document()]
    if berichtsoort == "Statistiek_Groothandel":
        documents.append(document("a;b", key="k2", part="bijlage", name="hbag-1.csv", mime="text/csv"))
    w = world(aanlevering(berichtsoort, *documents, belanghebbende=belanghebbende, ontvanger=ontvanger))
    assert Committed() == await w.run()
    assert told == " ".join(w.store.codes())
    assert ("delivering", None) == (w.store.stored.state, w.store.job)
    assert (owner, False, tuple(d.key for d in documents), "queued") == w.recipients()[0]
    first = w.store.queued[0]
    assert ("afleveren", owner, w.store.deliveries[first.subject].recipient_oin) == (
        first.kind,
        first.destination,
        owner,
    )


async def test_times_rise_by_a_millisecond() -> None:
    w = world(aanlevering())
    await w.run()
    assert [1, 2, 3] == [(status.at - NOW) // timedelta(milliseconds=1) for status in w.store.statuses]


@pytest.mark.parametrize("route", [r for r in ROUTES.rows if r.direction == RETOUR], ids=lambda r: r.berichtsoort)
async def test_flow_of_every_retour_row(route: Route) -> None:
    """Sent by its owner: 301 and 405, then it waits to be collected; no delivery, no job."""
    w = world(aanlevering(route.berichtsoort, document(ANY), sender=route.owner_oin or "", ontvanger=KVK))
    assert Committed() == await w.run()
    assert ["301", "405"] == w.store.codes()
    assert ("delivering", None, [], []) == (w.store.stored.state, w.store.job, w.store.queued, w.recipients())
    (message,) = w.store.available
    assert (
        ReturnMessage(
            w.store.stored.kenmerk, "00000000-0000-4000-8000-000000000001", "kvk 90001101", w.store.statuses[-1].at
        )
        == message
    )


@pytest.mark.parametrize("sender", ["00000099000000101000", CBS])
async def test_nobody_but_the_owner_sends_on_a_retour_row(sender: str) -> None:
    """A business, or another body: 210, and nothing becomes available."""
    w = world(aanlevering("SBA", document(ANY), sender=sender))
    await w.run()
    assert (["210"], "ended", []) == (w.store.codes(), w.store.stored.state, w.store.available)
    assert "only Belastingdienst sends on this retour route" == w.journal[0]["reason"]


async def test_a_retour_message_is_validated() -> None:
    """What is not well-formed does not become available."""
    w = world(aanlevering("SBA", document("<a>"), sender=BELASTINGDIENST))
    await w.run()
    assert (["311"], "ended", []) == (w.store.codes(), w.store.stored.state, w.store.available)


# --- authority --------------------------------------------------------------------------------------------------------


async def test_210_for_a_sender_without_mandate() -> None:
    """The process ends, nothing is examined or delivered; the sender reads one fixed text, the operator the reason."""
    validation = Fixed(Examined())
    w = world(aanlevering(sender=ZONDER), validation=validation)
    await w.run()
    assert (["210"], "ended", None, []) == (w.store.codes(), w.store.stored.state, w.store.job, w.store.queued)
    assert 0 == validation.asked
    assert "Zonder Machtiging" not in (w.store.statuses[0].details or "")
    assert "no mandate for Fi 001000044B37" in w.journal[0]["reason"]


async def test_an_ausp_may_give_what_mandates_do_not() -> None:
    """It hears what mandates say; its yes lets the message pass, its no is 210 with the same text as ever."""
    w = world(aanlevering(sender=ZONDER), ausp=Authority(True, "the AuSP said yes"))
    await w.run()
    assert ["200", "301", "301"] == w.store.codes()
    assert [False] == [authority.ok for authority in w.confirmed]

    refused = world(aanlevering(sender=ZONDER), ausp=Authority(False, "the AuSP said no"))
    await refused.run()
    without = world(aanlevering(sender=ZONDER))
    await without.run()
    assert (["210"], without.store.statuses) == (refused.store.codes(), refused.store.statuses)
    assert "the AuSP said no" == refused.journal[0]["reason"]


async def test_three_times_230_and_the_end() -> None:
    """An AuSP that cannot say is trouble: two pauses, nothing examined, at the third try the end (decision 20)."""
    validation = Fixed(Examined())
    w = world(aanlevering(sender=ZONDER), ausp=Authority(False, "down", trouble=True), validation=validation)
    await w.run()
    assert (["230"], "processing", NOW + timedelta(seconds=5)) == (w.store.codes(), w.store.stored.state, w.store.due)
    assert w.store.statuses[0].foutcode is None
    await w.run()
    assert ("processing", NOW + timedelta(seconds=60)) == (w.store.stored.state, w.store.due)
    await w.run()
    assert (["230"] * 3, "ended", None) == (w.store.codes(), w.store.stored.state, w.store.job)
    assert ["down"] * 3 == [line["reason"] for line in w.journal]
    assert 0 == validation.asked


async def test_after_a_230_it_may_go_well() -> None:
    w = world(aanlevering(sender=ZONDER), ausp=Authority(False, "slow", trouble=True))
    await w.run()
    w.ausp = Authority(True, "the AuSP said yes")
    await w.run()
    assert ["230", "200", "301", "301"] == w.store.codes()


async def test_an_unknown_sender_asks_no_ausp() -> None:
    """Nobody outside hears of what is refused anyway."""
    w = world(aanlevering(sender="00000099000000999000"), ausp=Authority(True, "yes"))
    await w.run()
    assert (["210"], []) == (w.store.codes(), w.confirmed)


async def test_210_is_shown_where_200_is_not() -> None:
    """Authority is checked on every route (decision 2)."""
    w = world(aanlevering("Handelsopgave", document(ANY), sender=ZONDER, belanghebbende=KVK))
    await w.run()
    assert ["210"] == w.store.codes()


async def test_intermediary_with_a_mandate() -> None:
    w = world(aanlevering(sender=DE_BOER))
    await w.run()
    assert ["200", "301", "301"] == w.store.codes()


# --- validation -------------------------------------------------------------------------------------------------------


async def test_311_with_findings() -> None:
    """The second step fails: 301 for the first, 311 with VAS500 and the results text, nothing delivered."""
    wrong = document(XBRL.replace("001000044B37", "001000055B38"))
    w = world(aanlevering("Omzetbelasting", wrong))
    await w.run()
    last = w.store.statuses[-1]
    assert (["200", "301", "311"], "ended", []) == (w.store.codes(), w.store.stored.state, w.store.queued)
    assert "VAS500" == last.foutcode
    text = last.foutbeschrijving or ""
    assert text.startswith('<results xmlns="http://nlvalidatie.nl/batavia"><xbrl><messages><msg line="1"')
    assert "001000055B38" in text and "001000044B37" in text


async def test_311_at_the_first_step() -> None:
    w = world(aanlevering("Omzetbelasting", document("<xbrl>")))
    await w.run()
    assert ["200", "311"] == w.store.codes()


async def test_a_warning_does_not_stop() -> None:
    warning = StepVerdict((Finding("x", "warning", "", "", "", ""),))
    w = world(aanlevering(), validation=Fixed(Examined((warning, StepVerdict()))))
    await w.run()
    assert ["200", "301", "301"] == w.store.codes()


async def test_three_times_321_and_the_end() -> None:
    """A crash or time-out is technical: VAS400, two pauses, and at the third try the end (decision 20)."""
    w = world(aanlevering(), validation=Fixed(Examined(trouble="the validation process ended with -9")))
    await w.run()
    assert (["321"], "processing") == (w.store.codes(), w.store.stored.state)
    assert ("VAS400", NOW + timedelta(seconds=5)) == (w.store.statuses[0].foutcode, w.store.due)
    await w.run()
    assert ("processing", NOW + timedelta(seconds=60)) == (w.store.stored.state, w.store.due)
    await w.run()
    assert (["321"] * 3, "ended", None) == (w.store.codes(), w.store.stored.state, w.store.job)
    assert "ended with -9" in w.journal[0]["reason"]
    assert "-9" not in (w.store.statuses[0].foutbeschrijving or "")


async def test_after_a_321_it_may_go_well() -> None:
    """Nothing of a failed try is shown but its 321."""
    w = world(aanlevering(), validation=Fixed(Examined(trouble="time-out")))
    await w.run()
    w.validation = Inline()
    await w.run()
    assert ["321", "200", "301", "301"] == w.store.codes()


# --- copies -----------------------------------------------------------------------------------------------------------


async def test_copy_with_consent() -> None:
    """The owner gets everything, the second body only what is meant for it, under another berichtkenmerk."""
    w = world(statistic())
    await w.run()
    assert [
        (CBS, False, ("cbs", "hbag", "letter"), "queued"),
        (HBAG, True, ("hbag",), "queued"),
    ] == w.recipients()
    assert [CBS, HBAG] == [queued.destination for queued in w.store.queued]
    assert 2 == len(w.store.deliveries)
    assert "CBS-HBAG-1" == list(w.store.deliveries.values())[1].consent


async def test_withdrawn_consent_stops_the_next_copy() -> None:
    """The owner's delivery goes on; the copy is recorded as withdrawn and has no job."""
    w = world(statistic(), tables=TABLES.with_register([Register("consent", "CBS-HBAG-1", None, "CBS", "proef", NOW)]))
    await w.run()
    assert [(CBS, False, ("cbs", "hbag", "letter"), "queued"), (HBAG, True, (), "withdrawn")] == w.recipients()
    assert [CBS] == [queued.destination for queued in w.store.queued]
    assert ["200", "301", "301"] == w.store.codes()


async def test_consent_for_other_documents_is_none() -> None:
    """The copy carries what the route means for it and the owner consented to, both."""
    row = replace(CONSENTS.rows[0], documents=(copies.Selector(bestandsnaam="hbag-import*"),))
    w = world(statistic(), tables=replace(TABLES, consents=Consents((row,))))
    await w.run()
    assert (HBAG, True, (), "withdrawn") == w.recipients()[1]
    assert "covers none" in list(w.store.deliveries.values())[1].note


@pytest.mark.parametrize(("local", "state"), [("xbrl", "queued"), ("xbrll", "withdrawn")])
async def test_consent_for_a_root_element(local: str, state: str) -> None:
    """It covers the documents that have it."""
    root = Name("http://www.xbrl.org/2003/instance", local)
    row = replace(CONSENTS.rows[0], documents=(copies.Selector(root=root),))
    (route,) = (route for route in ROUTES.rows if route.berichtsoort == "Statistiek_Groothandel")
    whole = replace(route, copies=(replace(route.copies[0], selectors=(copies.Selector("inhoud"),)),))
    routes = replace(ROUTES, rows=(whole,))
    w = world(statistic(), tables=replace(TABLES, routes=routes, consents=Consents((row,))))
    await w.run()
    assert (HBAG, state) == w.recipients()[1][::3]


async def test_nothing_for_a_recipient_is_321() -> None:
    """An envelope without any document for the second body: never a silent skip (decision 18)."""
    unit = replace(statistic(), documents=statistic().documents[:1])
    w = world(unit)
    await w.run()
    assert (["321"], []) == (w.store.codes(), w.store.queued)
    assert "match no document" in w.journal[0]["reason"]


# --- tables that changed meanwhile ------------------------------------------------------------------------------------


def without(berichtsoort: str) -> Tables:
    rows = tuple(row for row in ROUTES.rows if row.berichtsoort != berichtsoort)
    return replace(TABLES, routes=Routes(ROUTES.bodies, rows))


@pytest.mark.parametrize(
    "changed", [without("Omzetbelasting"), replace(TABLES, agencies=frozenset({CBS}))], ids=["route", "endpoint"]
)
async def test_missing_route_or_endpoint_is_our_trouble(changed: Tables) -> None:
    """Accepted under other tables: 321 until the operator repairs them, then on."""
    w = world(aanlevering(), tables=changed)
    await w.run()
    assert ["321"] == w.store.codes()
    w.tables = TABLES
    await w.run()
    assert ["321", "200", "301", "301"] == w.store.codes()


# --- once -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["delivering", "waiting", "ended"])
async def test_repeated_job_only_finishes(state: str) -> None:
    validation = Fixed(Examined())
    w = World(MemoryStore(process_of(aanlevering(), state, 4)), validation=validation)
    await w.run()
    assert ([], state, None, [], 0) == (
        w.store.codes(),
        w.store.stored.state,
        w.store.job,
        w.store.queued,
        validation.asked,
    )
    assert [] == w.journal


async def test_parked_process_stays_parked() -> None:
    w = World(MemoryStore(process_of(aanlevering(), "parked")))
    await w.run()
    assert ("parked", []) == (w.store.stored.state, w.store.codes())
    assert w.store.job is not None


async def test_stale_goes_round_again() -> None:
    """Somebody changes the process while validators work: the decision is taken anew on what is there then."""
    w = world(aanlevering())
    w.validation = Meddling(w, lambda stored: replace(stored, version=stored.version + 1), times=1)
    assert Committed() == await w.run()
    assert ["200", "301", "301"] == w.store.codes()
    assert 1 == len(w.store.deliveries)


async def test_stale_for_ever_is_bounded() -> None:
    w = world(aanlevering())
    w.validation = Meddling(w, lambda stored: replace(stored, version=stored.version + 1), times=99)
    assert isinstance(await w.run(), Stale)
    assert (3, []) == (w.store.commits, w.store.codes())


@dataclass
class Meddling:
    """Validation during which somebody else changes the process."""

    world: World
    change: Callable[..., object]
    times: int

    async def examine(self, aanlevering: Aanlevering, route: Route) -> Examined:
        if self.times > 0:
            self.times -= 1
            self.world.store.stored = self.change(self.world.store.stored)  # type: ignore[assignment]
        return bench.examine(aanlevering, route)


async def test_lost_lease_changes_nothing() -> None:
    """Another worker has the job under a newer token: nothing of ours is written."""
    w = world(aanlevering())
    mine = w.store.job
    assert mine is not None
    w.store.job = replace(mine, token=mine.token + 1)
    assert isinstance(await process(mine, w.ports()), Stale)
    assert ([], {}) == (w.store.codes(), w.store.deliveries)


async def test_job_without_process() -> None:
    w = world(aanlevering())
    with pytest.raises(DigipoortError, match="does not have"):
        await process(job(subject="nobody"), w.ports())


async def test_same_facts_same_decision() -> None:
    """Replay is free: same process, tables, time and ids give the same decision."""
    decisions: list[Decision] = []
    for _ in range(2):
        w = world(statistic())
        store = w.store

        async def commit(decision: Decision, store: MemoryStore = store) -> Outcome:
            decisions.append(decision)
            return store.apply(decision)

        w.store.commit = commit  # type: ignore[method-assign]
        await w.run()
    assert decisions[0] == decisions[1]
    assert KENMERK == w.store.stored.kenmerk
