"""The operator's desk over its socket: what is kept, told, read again, and what a restart finds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from digipoort_as4 import commands, gateway
from digipoort_as4.config import KeyFiles, Settings
from digipoort_as4.errors import ConfigError
from digipoort_as4.hub import copies, mandates
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.journal import Journal
from digipoort_as4.pki import test_pki
from digipoort_as4.storage import tables
from digipoort_as4.storage.sqlite import SqliteStore
from digipoort_as4.transport import control
from digipoort_as4.wus.office import Office

JANSEN, CLIENT = "00000099000000101000", Identiteit("90001102", "KvK")
CBS, HBAG = "00000099000000013000", "00000099000000015000"
GRANT: dict[str, Any] = {
    "party": JANSEN,
    "reference": "m-1",
    "kind": "status",
    "for": {"type": "KvK", "nummer": "90001102"},
    "berichtsoorten": ["e-factuur"],
    "from": "2020-01-01",
    "until": "2099-12-31",
}


class Post:
    """A post office's store, tables and desk; its tables are a copy of the shipped ones."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def start(self) -> None:
        self.store = SqliteStore.open(self.settings.folder, gateway.now)
        self.journal = Journal(self.settings.folder / "journal.jsonl")
        self.office: Office = gateway.open_office(self.settings, self.store, self.journal)
        self.office.snapshot.look_again = timedelta()  # type: ignore[attr-defined]
        self.server = await control.listen(self.settings.folder, commands.commands_of(self.office))

    async def stop(self) -> None:
        self.server.close()
        await self.store.close()
        self.journal.close()

    async def ask(self, command: str, register: str, **about: Any) -> Any:
        about = {"register": register, **about}
        return await asyncio.to_thread(control.ask, self.settings.folder, f"register.{command}", about, ConfigError)

    async def change(self, register: str, rows: dict[str, Any], *, check: bool = False, by: str = "J. Bos") -> Any:
        return await self.ask("change", register, rows=rows, by=by, reason="proef", check=check)

    def may(self) -> bool:
        """Whether the mandate of GRANT counts for a message of this moment."""
        party = self.office.snapshot().parties.knows(JANSEN)
        return mandates.weigh(party, CLIENT, "e-factuur", mandates.STATUS, self.office.now()).ok

    def stands(self, consent: str) -> bool:
        """Whether it would let a copy leave now."""
        return copies.still_stands(self.office.snapshot().consents, consent, self.office.now())

    def events(self) -> list[tuple[str, str]]:
        lines = [json.loads(line) for line in (self.settings.folder / "journal.jsonl").read_text().splitlines()]
        return [(line["event"], line["key"]) for line in lines if "key" in line]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki") / "pki"
    test_pki.make(folder, datetime.now(UTC), ca_bits=2048)
    return folder


@pytest.fixture
async def post(pki: Path, tmp_path: Path) -> AsyncIterator[Post]:
    one = test_pki.find_identity(pki, "digipoort")
    for name in ("parties.toml", "routes.toml"):
        (tmp_path / name).write_bytes((tables.SHIPPED / name).read_bytes())
    settings = Settings(
        folder=tmp_path / "data",
        tls=KeyFiles(one.tls_cert, one.tls_key),
        signing=KeyFiles(one.signing_cert, one.signing_key),
        ca=test_pki.anchors(pki),
        intermediates=(test_pki.intermediates(pki),),
        crls=tuple(test_pki.crls(pki)),
        parties=tmp_path / "parties.toml",
        routes=tmp_path / "routes.toml",
    )
    settings.folder.mkdir()
    opened = Post(settings)
    await opened.start()
    yield opened
    await opened.stop()


async def test_a_grant_counts_at_once_and_until_its_withdrawal(post: Post) -> None:
    """The journal has one line for each entry."""
    assert not post.may()
    assert {"trouble": ""} == await post.change("mandate", {"m-1": GRANT})
    assert post.may()
    await post.change("mandate", {"m-1": None})
    assert not post.may()
    assert [("mandate-set", "m-1"), ("mandate-withdrawn", "m-1")] == post.events()
    told = (await post.ask("history", "mandate", key=None))["entries"]
    assert [GRANT, None] == [json.loads(entry["value"]) if entry["value"] else None for entry in told]


async def test_a_restart_finds_what_was_decided(post: Post) -> None:
    """Mandates and routes; the files never knew of them."""
    await post.change("mandate", {"m-1": GRANT})
    await post.change("route", {"ICP": None})
    await post.stop()
    await post.start()
    assert post.may()
    assert post.office.snapshot().routes.find("ICP") is None
    assert post.office.snapshot().routes.find("OBSUP") is not None


async def test_a_consent_is_pinned_and_its_withdrawal_counts_at_once(post: Post) -> None:
    """Owner and documents come from the route, whatever is asked; a restart finds both; the file is as it was."""
    before = (tables.SHIPPED / "consents.toml").read_bytes()
    asked = {"berichtsoort": "Statistiek_Groothandel", "to": HBAG}
    await post.change("consent", {"c-1": {**asked, "documents": [{"bestandsnaam": "*"}]}, "CBS-HBAG-1": None})
    await post.stop()
    await post.start()
    (row,) = (await post.ask("list", "consent"))["rows"]
    pinned = [{"part": "bijlage", "bestandsnaam": "hbag-*"}]
    assert ("c-1", CBS, HBAG, pinned, "J. Bos") == tuple(
        row[k] for k in ("reference", "owner", "to", "documents", "by")
    )
    assert post.stands("c-1") and not post.stands("CBS-HBAG-1")
    await post.change("consent", {"c-1": None})
    assert not post.stands("c-1")
    with pytest.raises(ConfigError, match="this consent was withdrawn at"):
        await post.change("consent", {"c-1": None})
    with pytest.raises(ConfigError, match="used before"):
        await post.change("consent", {"c-1": asked})
    with pytest.raises(ConfigError, match="has no copy to"):
        await post.change("consent", {"c-2": {**asked, "to": CBS}})
    assert [("c-1", False), ("CBS-HBAG-1", True), ("c-1", True)] == [
        (entry.key, entry.value is None) for entry in await post.store.register("consent")
    ]
    assert before == (tables.SHIPPED / "consents.toml").read_bytes()


async def test_a_route_loses_no_copy_that_somebody_consented_to(post: Post) -> None:
    """Until the consent is withdrawn; one of the register holds on to it as one of the file does."""
    row = next(row for row in post.office.snapshot().routes.table["route"] if "copy" in row)
    bare = {row["berichtsoort"]: {key: value for key, value in row.items() if key != "copy"}}
    await post.change("consent", {"c-1": {"berichtsoort": row["berichtsoort"], "to": HBAG}, "CBS-HBAG-1": None})
    with pytest.raises(ConfigError, match="consent c-1: route Statistiek_Groothandel has no copy to"):
        await post.change("route", bare)
    await post.change("consent", {"c-1": None})
    assert {"trouble": ""} == await post.change("route", bare)


async def test_a_check_keeps_nothing(post: Post) -> None:
    assert {"trouble": ""} == await post.change("route", {"ICP": None}, check=True)
    assert post.office.snapshot().routes.find("ICP") is not None
    assert [] == await post.store.register("route")


async def test_rows_are_kept_all_or_none(post: Post) -> None:
    """One good row beside a wrong one stays out; nobody is named who decided is a mistake as well."""
    wrong = {**GRANT, "reference": "m-2", "kind": "alles"}
    with pytest.raises(ConfigError, match="kind is 'alles'"):
        await post.change("mandate", {"m-1": GRANT, "m-2": wrong})
    with pytest.raises(ConfigError, match="by must be a text"):
        await post.change("mandate", {"m-1": GRANT}, by="")
    assert [] == await post.store.register("mandate")
    assert [] == post.events()


async def test_two_operators_at_once_do_not_undo_each_other(post: Post) -> None:
    """The same reference: one is granted, the other hears that it was used."""
    outcomes = await asyncio.gather(*(post.change("mandate", {"m-1": GRANT}) for _ in range(4)), return_exceptions=True)
    assert 1 == sum(outcome == {"trouble": ""} for outcome in outcomes)
    assert 3 == sum("used before" in str(outcome) for outcome in outcomes)
    assert 1 == len(await post.store.register("mandate"))


async def test_a_wrong_file_meanwhile_is_told_and_mended(post: Post) -> None:
    """The entry is kept; it counts when the operator's file can be read again."""
    file = post.settings.parties
    assert file is not None
    good = file.read_text()
    file.write_text("kapot = ")
    told = await post.change("mandate", {"m-1": GRANT})
    assert "parties.toml" in told["trouble"]
    assert not post.may()
    file.write_text(good + "\n")
    assert post.may()


async def test_a_party_that_left_the_file_stops_no_start(post: Post) -> None:
    """Its mandate gives nobody anything, and comes back with it."""
    await post.change("mandate", {"m-1": GRANT})
    await post.stop()
    file = post.settings.parties
    assert file is not None
    good = file.read_text()
    file.write_text(good.replace(JANSEN, "00000099000000191000"))
    await post.start()
    assert not post.may()
    file.write_text(good)
    assert post.may()


async def test_a_route_whose_body_left_the_file_is_told_at_start(post: Post) -> None:
    """By its name, and that the row is the register's."""
    row = next(row for row in post.office.snapshot().routes.table["route"] if row["owner"] == "VWA")
    await post.change("route", {"Proef": {**row, "berichtsoort": "Proef"}})
    assert post.settings.routes is not None
    text = post.settings.routes.read_text()
    post.settings.routes.write_text(text.replace('owner = "VWA"', 'owner = "CBS"').replace("VWA = ", "NVWA = "))
    with pytest.raises(ConfigError, match=r"with the register: route Proef: unknown owner 'VWA'"):
        gateway.read_snapshot(replace(post.settings))
