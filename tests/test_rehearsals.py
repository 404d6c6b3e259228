"""A whole post office, as processes, that rehearses: its clock is moved, it misbehaves on purpose, and recovers.

The table of scenarios is that of docs/scenarios.md; each is played from envelope to end.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

import digipoort_as4.cli
from digipoort_as4 import local
from digipoort_as4.cli import main
from digipoort_as4.errors import Refused
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.payload import BytesPayload
from digipoort_as4.sdk import office as sdk_office
from digipoort_as4.sdk.client import DigipoortClient
from digipoort_as4.sdk.connection import Connection, connect, utc_now
from digipoort_as4.sdk.models import Bericht, Bestand
from digipoort_as4.storage.view import open_view
from digipoort_as4.transport import control
from digipoort_as4.wus.koppelvlak import StatusResultaat
from digipoort_as4.wus.scenarios import NAMED

TAX_FLOW = ["105", "100", "110", "200", "301", "301", "405", "400", "500"]  # digipoort 3.2
SAMPLE = Path(digipoort_as4.cli.__file__).parent / "samples" / "omzetbelasting.xbrl"


class Rehearsal:
    """The post office, a business at its counter, and what its operator types."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.record = folder, local.up(folder)

    def types(self, *words: str) -> None:
        assert 0 == main.run([*words, "--dir", str(self.folder)])

    def connection(self, clock: Any = None) -> Connection:
        there = sdk_office.read(self.folder / "post-office.json")
        made = connect(there, there.party("bakkerij-jansen"))
        return replace(made, clock=clock) if clock else made

    def send(self, connection: Connection | None = None, aanleverkenmerk: str | None = None) -> str:
        """A VAT return; its kenmerk."""
        bericht = Bericht(
            berichtsoort="Omzetbelasting",
            identiteit_belanghebbende=Identiteit("001000044B37", "BTW"),
            bericht_inhoud=Bestand("aangifte.xbrl", "text/xml", BytesPayload(SAMPLE.read_bytes())),
            aanleverkenmerk=aanleverkenmerk,
        )
        return DigipoortClient(connection or self.connection()).submit(bericht).kenmerk

    def follow(self, kenmerk: str, *until: str) -> Sequence[StatusResultaat]:
        client = DigipoortClient(self.connection())
        return list(client.follow(kenmerk, until=until, timeout=timedelta(seconds=30)))

    def codes(self, kenmerk: str, *until: str) -> list[str]:
        return [one.statuscode for one in self.follow(kenmerk, *until)]

    def kill(self, name: str) -> None:
        """An agency dies, and its port with it."""
        pid = next(one["pid"] for one in local.read(self.folder)["processes"] if one["name"] == name)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    folder = tmp_path_factory.mktemp("moved")
    try:
        yield Rehearsal(folder)
    finally:
        local.down(folder)


@pytest.fixture
def office(running: Rehearsal) -> Iterator[Rehearsal]:
    yield running
    local.up(running.folder)
    running.types("clock", "reset")
    running.types("scenario", "clear")


def test_three_days_of_retries_are_a_moment(office: Rehearsal) -> None:
    """An agency that is gone: 420, and after 72 hours a last 420 with AFS600 (digipoort 3.1)."""
    office.kill("belastingdienst")
    kenmerk = office.send()
    assert ["405", "420"] == office.codes(kenmerk, "420")[-2:]
    office.types("clock", "advance", "71h")
    assert "420" == office.codes(kenmerk, "420")[-1]
    office.types("clock", "advance", "1h")
    until = time.monotonic() + 20
    while (told := office.follow(kenmerk, "420"))[-1].status_foutcode is None and time.monotonic() < until:
        time.sleep(0.05)
    assert (["405", "420", "420"], "AFS600") == (
        [one.statuscode for one in told][-3:],
        told[-1].status_foutcode.foutcode,
    )
    assert (
        timedelta(hours=72)
        <= told[-1].tijdstempel_status - told[-3].tijdstempel_status
        < timedelta(hours=72, minutes=5)
    )


def test_after_a_week_everything_still_works(office: Rehearsal) -> None:
    """CRLs are renewed before the clock moves; outside clients, on the machine's time, notice only the statuses."""
    office.types("clock", "advance", "7d")
    kenmerk = office.send(office.connection(utc_now))
    told = office.follow(kenmerk, "500")
    assert TAX_FLOW == [one.statuscode for one in told]
    assert timedelta(days=6, hours=23) < told[0].tijdstempel_status - datetime.now(UTC) < timedelta(days=7)
    office.types("clock", "set", "2020-02-29T12:00:00Z")  # before there were any certificates of ours
    with pytest.raises(Refused):
        office.send()
    office.types("clock", "reset")
    assert TAX_FLOW == office.codes(office.send(), "500")


def test_a_crl_expires_when_the_ca_is_told_to_stand_still(office: Rehearsal) -> None:
    """48 hours of life: at 47 hours senders are taken, at 49 refused, and nothing is decided about them."""
    office.types("clock", "reset")
    office.types("clock", "set", "--crl", "frozen")
    office.types("clock", "advance", "47h")
    office.send()
    office.types("clock", "advance", "2h")
    with pytest.raises(Refused, match="intrekkingsinformatie") as caught:
        office.send()
    assert "ALS400" == caught.value.code
    office.types("clock", "set", "--crl", "renewed")
    office.send()


def test_a_timestamp_expires_when_the_clock_is_strict(office: Rehearsal) -> None:
    """Decision 25: without strict an outside client's Timestamp is judged by the machine's clock; with it, as ours."""
    office.types("clock", "advance", "1h")
    outside = office.connection(utc_now)
    office.send(outside)
    office.types("clock", "set", "--strict")
    with pytest.raises(Refused, match="Timestamp") as caught:
        office.send(outside)
    assert "ALS100" == caught.value.code
    assert TAX_FLOW == office.codes(office.send(), "500")  # the local sdk goes by the office's clock
    office.types("clock", "set", "--no-strict")
    office.send(outside)


def test_the_clock_survives_a_restart_of_the_office(office: Rehearsal) -> None:
    """What was set stands in the folder."""
    office.types("clock", "advance", "100h")
    local.down(office.folder)
    local.up(office.folder)
    assert 360_000 == pytest.approx(control.ask(office.folder / "data", "clock", {})["shift"], abs=1)
    assert TAX_FLOW == office.codes(office.send(), "500")


def test_the_time_is_told(office: Rehearsal, capsys: pytest.CaptureFixture[str]) -> None:
    """For people and, with --json, for programs."""
    office.types("clock", "set", "2027-01-01T00:00:00+01:00", "--crl", "frozen")
    office.types("clock", "advance", "-1h30m")
    assert "2026-12-31 21:30:0" in capsys.readouterr().out.splitlines()[-1]
    office.types("clock", "show", "--json")
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (False, "frozen") == (told["strict"], told["crl"])
    assert datetime.fromisoformat(told["now"]) - datetime.fromisoformat(told["wire"]) == pytest.approx(
        timedelta(seconds=told["shift"]), abs=timedelta(seconds=1)
    )


@pytest.mark.parametrize(
    "words",
    [
        ["advance", "soon"],
        ["advance"],
        ["set"],
        ["set", "noon"],
        ["advance", "99999d"],
        ["reset", "1h"],
        ["show", "--strict"],
    ],
)
def test_nonsense_is_a_usage_error(office: Rehearsal, words: list[str]) -> None:
    """Exit code 2, and the clock stands as it was."""
    before = control.ask(office.folder / "data", "clock", {})["shift"]
    assert 2 == main.run(["clock", *words, "--dir", str(office.folder)])
    assert before == control.ask(office.folder / "data", "clock", {})["shift"]


def test_where_no_post_office_runs_there_is_no_clock(tmp_path: Path) -> None:
    """Exit code 6."""
    assert 6 == main.run(["clock", "show", "--dir", str(tmp_path)])


# --- the eleven -------------------------------------------------------------------------------------------------------

BEFORE = ["105", "100", "110", "200", "301", "301"]
FLOWS = {
    "Happyflow": ["405", "400", "500"],
    "Afleverfout": ["405", "410"],
    "Foutuitvragendepartij": ["405", "400", "510"],
    "TechnischProbleemAfleveren": ["405", "420", "400", "500"],
    "MaximaalAantalAfleverpogingen": ["405", "420", "420"],
}
"""Decision 32: what comes after the routes' own statuses."""
FOUTCODES = {"Afleverfout": "AFS400", "MaximaalAantalAfleverpogingen": "AFS600"}


@pytest.mark.parametrize("name", FLOWS)
def test_a_scenario_plays_to_its_end(office: Rehearsal, name: str) -> None:
    """All statuses, in order, and what the last one says; nothing follows."""
    kenmerk = office.send(aanleverkenmerk=name)
    want, until = [*BEFORE, *FLOWS[name]], time.monotonic() + 20
    while (told := office.follow(kenmerk, FLOWS[name][-1])) and len(told) < len(want) and time.monotonic() < until:
        time.sleep(0.1)
    assert want == [one.statuscode for one in told]
    last = told[-1]
    assert FOUTCODES.get(name) == (last.status_foutcode.foutcode if last.status_foutcode else None)
    if name == "Foutuitvragendepartij":
        assert "<Responsemessage" in (last.statusdetails or "") and "<ResponseType>error<" in (last.statusdetails or "")
    if name == "MaximaalAantalAfleverpogingen":
        assert last.tijdstempel_status - told[-2].tijdstempel_status < timedelta(seconds=1)
        assert "72 uur" in (last.status_foutcode.foutbeschrijving if last.status_foutcode else "")
    time.sleep(0.3)
    assert want == office.codes(kenmerk, last.statuscode)


def refused(office: Rehearsal, name: str) -> Refused:
    with pytest.raises(Refused) as caught:
        office.send(aanleverkenmerk=name)
    return caught.value


def processes(office: Rehearsal) -> int:
    with sqlite3.connect(f"file:{office.folder / 'data' / 'store.sqlite3'}?mode=ro", uri=True) as store:
        return int(store.execute("SELECT count(*) FROM process").fetchone()[0])


@pytest.mark.parametrize(("name", "code"), [("AanleverFault", "ALS100"), ("OverbelastAanleveren", "ALS400")])
def test_aanleveren_is_refused(office: Rehearsal, name: str, code: str) -> None:
    """With the fault's code, and nothing is stored."""
    before = processes(office)
    assert code == refused(office, name).code
    assert before == processes(office)


@pytest.mark.parametrize(
    ("name", "code"), [("StatusInformatieFault", "STS100"), ("OverbelastStatusInformatie", "STS400")]
)
def test_statuses_are_refused_but_the_message_goes_on(office: Rehearsal, name: str, code: str) -> None:
    """Accepted and processed like any other; whoever asks how it is gets the fault, at the end too."""
    kenmerk = office.send(aanleverkenmerk=name)
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            office.codes(kenmerk)
        assert code == caught.value.code
    with open_view(office.folder / "data") as view:
        until = time.monotonic() + 20
        while (told := [one.code for one in view.statuses(kenmerk)])[-1] != "500" and time.monotonic() < until:
            time.sleep(0.1)
    assert TAX_FLOW == told


@pytest.mark.parametrize("name", ["OverbelastAanleveren", "OverbelastStatusInformatie"])
def test_overload_is_http_503_with_retry_after(office: Rehearsal, name: str) -> None:
    """As a client that looks at HTTP sees it."""
    connection = office.connection()
    seen: list[requests.Response] = []
    connection.session.hooks["response"].append(lambda answer, **_: seen.append(answer))
    with pytest.raises(Refused):
        follow_once(connection, office.send(connection, aanleverkenmerk=name))
    assert (503, True) == (seen[-1].status_code, seen[-1].headers["Retry-After"].isdigit())


def follow_once(connection: Connection, kenmerk: str) -> None:
    DigipoortClient(connection).statuses(kenmerk)


@pytest.mark.parametrize("name", ["ZwaarbelastAanleveren", "ZwaarbelastStatusInformatie"])
def test_a_busy_counter_takes_its_time(office: Rehearsal, name: str) -> None:
    """A rule that names it makes the ten seconds one; the answer is a good one."""
    stage = "aanleveren" if name.endswith("Aanleveren") else "statusinformatie"
    office.types("scenario", "set", "--stage", stage, "--aanleverkenmerk", name, "--delay", "1s")
    connection = office.connection()
    began = time.monotonic()
    kenmerk = office.send(connection, aanleverkenmerk=name)
    sent = time.monotonic()
    follow_once(connection, kenmerk)
    slow, quick = (sent - began, time.monotonic() - sent)[:: 1 if stage == "aanleveren" else -1]
    assert 1 <= slow < 9 and quick < 1


# --- rules by command -------------------------------------------------------------------------------------------------


def test_rules_are_set_listed_and_cleared(office: Rehearsal, capsys: pytest.CaptureFixture[str]) -> None:
    """By command, while it runs; a message of another berichtsoort is left alone, and so is everything afterwards."""
    office.types(
        *("scenario", "set", "--stage", "afleveren", "--berichtsoort", "Omzetbelasting"),
        *("--http", "503", "--attempts", "1", "--json"),
    )
    number = json.loads(capsys.readouterr().out)["number"]
    assert [*BEFORE, "405", "420", "400", "500"] == office.codes(office.send(), "500")
    office.types("scenario", "list")
    shown = capsys.readouterr().out
    assert f"{number}  --stage afleveren --berichtsoort Omzetbelasting --http 503 --attempts 1" in shown
    assert "--aanleverkenmerk Foutuitvragendepartij" in shown
    office.types("scenario", "clear", str(number))
    assert TAX_FLOW == office.codes(office.send(), "500")


def test_an_agency_that_is_not_answered_tells_its_status_again(office: Rehearsal) -> None:
    """zetStatus gets HTTP 503 once: the 500 comes a second later, once."""
    office.types("scenario", "set", "--stage", "uitvragende-partij", "--http", "503", "--times", "1")
    told = office.follow(office.send(), "500")
    assert TAX_FLOW == [one.statuscode for one in told]
    assert timedelta(seconds=0.9) < told[-1].tijdstempel_status - told[-2].tijdstempel_status


@pytest.mark.parametrize(
    "words",
    [
        ["--stage", "aanleveren"],
        ["--stage", "aanleveren", "--berichtsoort", "Omzetbelastng", "--http", "503"],
        ["--stage", "aanleveren", "--http", "200"],
        ["--stage", "afleveren", "--code", "500"],
        ["--http", "503"],
        ["1", "--stage", "aanleveren", "--http", "503"],
    ],
)
def test_rules_that_make_no_sense_are_refused(office: Rehearsal, words: list[str]) -> None:
    """Exit code 2, and nothing is set."""
    assert 2 == main.run(["scenario", "set", *words, "--dir", str(office.folder)])
    assert [] == control.ask(office.folder / "data", "scenario", {})["rules"]


def test_a_rule_that_is_not_there_cannot_be_cleared(office: Rehearsal) -> None:
    """Exit code 2."""
    assert 2 == main.run(["scenario", "clear", "9999", "--dir", str(office.folder)])


def test_every_scenario_is_documented() -> None:
    """docs/scenarios.md has a row for each, with the statuses that this file plays."""
    page = (Path(__file__).resolve().parents[1] / "docs" / "scenarios.md").read_text(encoding="utf-8")
    rows = {name: line for line in page.splitlines() for name in NAMED if line.startswith(f"| {name} |")}
    assert set(NAMED) == set(rows)
    for name, codes in FLOWS.items():
        assert ", ".join(codes) in rows[name]


def commands_on_the_page() -> list[list[str]]:
    page = (Path(__file__).resolve().parents[1] / "docs" / "scenarios.md").read_text(encoding="utf-8")
    return [line.partition("#")[0].split()[2:] for line in page.splitlines() if line.startswith("$ digipoort ")]


def test_the_pages_commands_work(office: Rehearsal) -> None:
    """Each, in the order of docs/scenarios.md."""
    assert 13 == len(commands_on_the_page())
    for words in commands_on_the_page():
        office.types(*words)


@pytest.mark.parametrize(
    ("words", "by", "told"),
    [
        (["--crl", "frozen"], "49h", "intrekkingsinformatie"),
        (["--strict"], "11m", "Timestamp"),
        (["--crl", "renewed"], "1100d", "journaalnummer"),
    ],
)
def test_the_pages_table_is_true(office: Rehearsal, words: list[str], by: str, told: str) -> None:
    """What expires by which command, for a client on the machine's time; without the last word it does not."""
    outside = office.connection(utc_now)
    office.types("clock", "set", *words)
    office.send(outside)
    office.types("clock", "advance", by)
    with pytest.raises(Refused, match=told):
        office.send(outside)
