"""The accepting side as a process has it: tables that are swapped while it runs, trust by profile, health."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from digipoort_as4 import gateway
from digipoort_as4.config import KeyFiles, Settings
from digipoort_as4.errors import ConfigError, PeerError
from digipoort_as4.gateway import Gateway, open_office, read_trust, watch_tables
from digipoort_as4.journal import Journal
from digipoort_as4.payload import BytesPayload, read_all
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.certificates import Purpose, load_pem
from digipoort_as4.storage import tables
from digipoort_as4.storage.sqlite import SqliteStore
from digipoort_as4.transport.http import HttpRequest
from digipoort_as4.wus import profiles

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki") / "pki"
    test_pki.make(folder, NOW, ca_bits=2048)
    return folder


@pytest.fixture
def settings(made: Path, tmp_path: Path) -> Settings:
    pki = Path(shutil.copytree(made, tmp_path / "pki"))
    one = test_pki.find_identity(pki, "digipoort")
    consents = tmp_path / "consents.toml"
    consents.write_bytes((tables.SHIPPED / "consents.toml").read_bytes())
    return Settings(
        folder=tmp_path / "data",
        tls=KeyFiles(one.tls_cert, one.tls_key),
        signing=KeyFiles(one.signing_cert, one.signing_key),
        ca=test_pki.anchors(pki),
        intermediates=(test_pki.intermediates(pki),),
        crls=tuple(test_pki.crls(pki)),
        consents=consents,
    )


class Watched:
    """Tables whose next look is always due."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.journal = folder / "journal.jsonl"
        self.tables = watch_tables(settings, Journal(self.journal))
        self.tables.look_again = timedelta()

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.journal.read_text().splitlines()]


@pytest.fixture
def watched(settings: Settings, tmp_path: Path) -> Watched:
    return Watched(settings, tmp_path)


def change(path: Path, text: str) -> None:
    path.write_text(text)
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1_000_000_000))


def test_a_changed_table_is_swapped_in(settings: Settings, watched: Watched) -> None:
    """A consent taken out is not in the next snapshot; the one that a request holds does not change under it."""
    before = watched.tables()
    assert before is watched.tables()
    assert settings.consents is not None
    change(settings.consents, "")
    after = watched.tables()
    assert (1, 0) == (len(before.consents.rows), len(after.consents.rows))
    assert ["tables-read"] == watched.events()


def test_a_table_that_became_wrong_changes_nothing(settings: Settings, watched: Watched) -> None:
    """The snapshot before it stays, the journal says why, and a mended file is taken again."""
    before = watched.tables()
    assert settings.consents is not None
    good = settings.consents.read_text()
    change(settings.consents, "kapot = ")
    assert before is watched.tables()
    change(settings.consents, good + "\n")
    assert before is not watched.tables()
    assert ["tables-refused", "tables-read"] == watched.events()


def test_a_revocation_counts_while_running(settings: Settings, watched: Watched) -> None:
    """A new CRL is in the next snapshot."""
    pki = settings.ca.parent
    der = load_pem(test_pki.find_identity(pki, "bakkerij-jansen").signing_cert.read_bytes())[0]
    watched.tables().trust.judge(der, NOW, Purpose.SIGNING)
    test_pki.revoke(pki, "bakkerij-jansen", NOW)
    with pytest.raises(PeerError, match="certificate-revoked"):
        watched.tables().trust.judge(der, NOW, Purpose.SIGNING)


def test_a_missing_table_is_told_at_start(settings: Settings, tmp_path: Path) -> None:
    """The operator hears which file."""
    with pytest.raises(ConfigError, match=r"weg\.toml"):
        watch_tables(replace(settings, routes=tmp_path / "weg.toml"), Journal(None))


def test_a_party_with_a_profile_that_nobody_can_have_is_told(settings: Settings, tmp_path: Path) -> None:
    """The table of parties alone cannot know; both files together do."""
    parties, good = tmp_path / "parties.toml", (tables.SHIPPED / "parties.toml").read_text()
    parties.write_text(good.replace('role = "intermediair"', 'role = "intermediair"\nprofile = "overheden-2W-be-S"'))
    named = watch_tables(replace(settings, parties=parties), Journal(None))()
    assert named.policy_of("00000099000000102000").confirmation
    parties.write_text(good.replace('role = "intermediair"', 'role = "intermediair"\nprofile = "overheden-2W-be-SE"'))
    with pytest.raises(ConfigError, match="party Installatiebedrijf De Boer: 'overheden-2W-be-SE' comes with"):
        watch_tables(replace(settings, parties=parties), Journal(None))


def test_an_operators_own_profiles_are_watched(settings: Settings, tmp_path: Path) -> None:
    """As routes and parties are: a longer skew counts from the next look on."""
    own, shipped = tmp_path / "profiles.toml", profiles.FILE.read_text()
    own.write_text(shipped)
    watched = Watched(replace(settings, profiles=own), tmp_path)
    assert timedelta(seconds=60) == watched.tables().policy_of("anybody").future
    change(own, shipped.replace("timestamp_future = 60", "timestamp_future = 90", 1))
    assert timedelta(seconds=90) == watched.tables().policy_of("anybody").future


def test_production_does_not_start_with_test_roots(settings: Settings) -> None:
    """The profile decides which roots can count."""
    assert "test" == read_trust(settings).kind
    with pytest.raises(ConfigError):
        read_trust(replace(settings, profile="production"))


async def ask(door: Gateway, method: str, path: str) -> tuple[int, bytes]:
    answer = await door(HttpRequest(method, path, "", {}, BytesPayload(b"")))
    return answer.status, read_all(answer.body)


async def test_health_tells_whether_requests_can_be_accepted(settings: Settings) -> None:
    """livez lives as long as the process, readyz as long as the store."""
    settings.folder.mkdir()
    store = SqliteStore.open(settings.folder, gateway.now)
    door = Gateway(open_office(settings, store, Journal(None)))
    assert [200, 200] == [(await ask(door, "GET", path))[0] for path in (gateway.LIVE, gateway.READY)]
    door.ready = False
    assert [200, 503] == [(await ask(door, "GET", path))[0] for path in (gateway.LIVE, gateway.READY)]
    assert 404 == (await ask(door, "GET", "/"))[0]
    await store.close()


async def test_a_service_path_reaches_its_service(settings: Settings) -> None:
    """Each service answers with its own fault; health paths shadow none."""
    settings.folder.mkdir()
    store = SqliteStore.open(settings.folder, gateway.now)
    door = Gateway(open_office(settings, store, Journal(None)))
    faults = {
        "aanleveren": b"aanleverFault",
        "statusinformatie": b"statusinformatieFault",
        "zet_status": b"zetStatusFault",
    }
    for name, fault in faults.items():
        status, body = await ask(door, "GET", gateway.SERVICES[name])
        assert 405 == status
        assert fault in body
    await store.close()


async def test_descriptions_carry_the_public_address(settings: Settings) -> None:
    """The operator's, else the one of the request."""
    settings.folder.mkdir()
    store = SqliteStore.open(settings.folder, gateway.now)
    office, path = open_office(settings, store, Journal(None)), gateway.SERVICES["aanleveren"]
    request = HttpRequest("GET", path, "wsdl", {}, BytesPayload(b""), origin="https://asked.example")
    for public, expected in (("https://public.example", "https://public.example"), ("", "https://asked.example")):
        answer = await Gateway(office, public)(request)
        assert f'<soap11:address location="{expected}{path}"/>'.encode() in read_all(answer.body)
    await store.close()
