"""The post office on one machine, as real processes: it comes up, it is found, it survives, and it goes."""

from __future__ import annotations

import http.client
import json
import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import digipoort_as4.cli
from digipoort_as4 import agency, config, local
from digipoort_as4.errors import ConfigError, DigipoortError, Refused, TransportError, UsageError
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.payload import BytesPayload
from digipoort_as4.pki import test_pki
from digipoort_as4.sdk.client import DigipoortClient
from digipoort_as4.sdk.models import Bericht, Bestand

BODIES = {
    "aid",
    "belastingdienst",
    "cbs",
    "douane",
    "gemeente-voorbeeld",
    "hbag",
    "kvk",
    "plantenziektenkundige-dienst",
    "uwv",
    "vwa",
}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("office")
    own = folder / "agencies" / "belastingdienst" / "agency.toml"
    own.parent.mkdir(parents=True)
    own.write_text('[agency]\nprofile = "overheden-2W-be-S"\n')
    try:
        yield folder, local.up(folder)
    finally:
        local.down(folder)


def context(record: dict[str, Any], name: str = "") -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=record["ca"])
    for one in record["identities"]:
        if one["name"] == name:
            made.load_cert_chain(one["tls"]["cert"], one["tls"]["key"])
    return made


def ask(url: str, made: ssl.SSLContext, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(str(parts.hostname), parts.port, timeout=10, context=made)
    try:
        connection.request(method, parts.path, body, {"Content-Type": "text/xml", "Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def process(record: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in record["processes"] if one["name"] == name)


def test_post_office_json_has_its_shape(office: tuple[Path, dict[str, Any]]) -> None:
    """Decision 28: an outside client finds all it needs; every file named is there."""
    folder, record = office
    assert record == json.loads((folder / "post-office.json").read_text())
    assert {"ca", "crl", "services", "identities", "agencies", "hub", "processes"} <= set(record)
    assert {"aanleveren", "statusinformatie", "zet_status"} <= set(record["services"])
    assert {"name", "role", "oin", "tls", "signing", "p12", "p12_password"} <= set(record["identities"][0])
    assert {"name", "oin", "url", "inbox", "outbox"} == set(record["agencies"][0])
    assert {"oin", "tls_cert", "signing_cert"} == set(record["hub"])
    assert {"name", "pid", "started"} == set(record["processes"][0])
    files = [record["ca"], *record["crl"], record["hub"]["tls_cert"], record["hub"]["signing_cert"]]
    for one in record["identities"]:
        files += [one["tls"]["cert"], one["tls"]["key"], one["signing"]["cert"], one["signing"]["key"], one["p12"]]
    assert [] == [path for path in files if not Path(path).is_file()]


def test_all_urls_name_localhost(office: tuple[Path, dict[str, Any]]) -> None:
    """G4 certificates hold no IP addresses (decision 26)."""
    _, record = office
    urls = [*record["services"].values(), *(one["url"] for one in record["agencies"])]
    assert {"localhost"} == {urlsplit(url).hostname for url in urls}
    assert {"https"} == {urlsplit(url).scheme for url in urls}


def test_every_body_is_a_process_of_its_own(office: tuple[Path, dict[str, Any]]) -> None:
    """The hub and ten agencies, each with its pid."""
    _, record = office
    assert {one["name"] for one in record["agencies"]} == BODIES
    assert {one["name"] for one in record["processes"]} == BODIES | {"post-office"}
    assert len({one["pid"] for one in record["processes"]}) == len(BODIES) + 1


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_needs_no_client_certificate(office: tuple[Path, dict[str, Any]], path: str) -> None:
    """Hub and agencies say that they are well."""
    _, record = office
    for url in (record["services"]["aanleveren"], *(one["url"] for one in record["agencies"])):
        parts = urlsplit(url)
        status, body = ask(f"https://localhost:{parts.port}{path}", context(record))
        assert (200, "ok") == (status, json.loads(body)["status"])


def test_a_post_that_is_no_soap_gets_a_fault(office: tuple[Path, dict[str, Any]]) -> None:
    """The services are behind the paths; an unknown path is 404."""
    _, record = office
    made = context(record, "bakkerij-jansen")
    status, body = ask(record["services"]["aanleveren"], made, "POST", b"hallo")
    assert 500 == status
    assert b"aanleverFault" in body
    unknown = record["services"]["aanleveren"].replace("aanleverservice", "anderservice")
    assert 404 == ask(unknown, made, "POST", b"hallo")[0]


def test_it_listens_on_loopback_only(office: tuple[Path, dict[str, Any]]) -> None:
    """Nobody else on the network can reach a test post office."""
    _, record = office
    port = urlsplit(record["services"]["aanleveren"]).port
    with socket.socket() as other:
        other.settimeout(1)
        assert other.connect_ex(("127.0.0.2", port)) != 0


def test_secrets_are_for_the_owner_alone(office: tuple[Path, dict[str, Any]]) -> None:
    """Keys and data are closed to other users."""
    folder, record = office
    for one in record["identities"]:
        assert 0 == Path(one["tls"]["key"]).stat().st_mode & 0o077
    assert 0 == folder.stat().st_mode & 0o077 or 0 == (folder / "data").stat().st_mode & 0o077


def test_up_again_changes_nothing(office: tuple[Path, dict[str, Any]]) -> None:
    """What runs keeps running, under the same pids and ports."""
    folder, record = office
    assert record == local.up(folder)


def test_a_killed_hub_comes_back_on_its_port_with_its_data(office: tuple[Path, dict[str, Any]]) -> None:
    """SIGKILL, then `up`: the agencies stay, the hub is a new process where clients expect it."""
    folder, before = office
    journal = Path(before["journal"])
    os.kill(process(before, "post-office")["pid"], signal.SIGKILL)
    after = local.up(folder)
    assert process(before, "post-office") != process(after, "post-office")
    assert [process(before, name) for name in BODIES] == [process(after, name) for name in BODIES]
    assert before["services"] == after["services"]
    assert 200 == ask(after["health"], context(after))[0]
    assert 2 == sum(json.loads(line)["event"] == "started" for line in journal.read_text().splitlines())


def send(folder: Path) -> str:
    """A VAT return through the sdk; its kenmerk."""
    octets = (Path(digipoort_as4.cli.__file__).parent / "samples" / "omzetbelasting.xbrl").read_bytes()
    bericht = Bericht(
        berichtsoort="Omzetbelasting",
        identiteit_belanghebbende=Identiteit("001000044B37", "BTW"),
        bericht_inhoud=Bestand("aangifte.xbrl", "text/xml", BytesPayload(octets)),
    )
    return DigipoortClient.local(folder, identity="bakkerij-jansen").submit(bericht).kenmerk


def statuses(folder: Path, kenmerk: str, until: str) -> list[str]:
    asking = DigipoortClient.local(folder, identity="bakkerij-jansen")
    return [one.statuscode for one in asking.follow(kenmerk, until=until, timeout=timedelta(seconds=20))]


TAX_FLOW = ["105", "100", "110", "200", "301", "301", "405", "400", "500"]
"""digipoort 3.2."""


def test_an_agencys_own_profile_reaches_the_hub(office: tuple[Path, dict[str, Any]]) -> None:
    """Both ends of the connection read one file; the messages of these tests go under it."""
    folder, record = office
    oin = next(one["oin"] for one in record["agencies"] if one["name"] == "belastingdienst")
    assert {oin: "overheden-2W-be-S"} == config.load(folder / "digipoort.toml", {}).agency_profiles
    assert "overheden-2W-be-S" == agency.local_settings(folder, "belastingdienst").profile
    assert "bedrijven" == agency.local_settings(folder, "uwv").profile


def test_a_message_goes_all_the_way(office: tuple[Path, dict[str, Any]]) -> None:
    """Accepted, processed, delivered, and found good by the agency; its document lies in the inbox."""
    folder, record = office
    kenmerk = send(folder)
    assert TAX_FLOW == statuses(folder, kenmerk, "500")
    inbox = next(Path(one["inbox"]) for one in record["agencies"] if one["name"] == "belastingdienst")
    assert any(kenmerk in envelope.read_text() for envelope in inbox.glob("[!.]*/envelope.json"))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit, which only Linux has")
def exit_code(pid: int) -> int:
    """Of a child of ours that ends by itself, within a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    raise AssertionError(f"process {pid} goes on")


def test_a_hub_that_cannot_write_takes_nothing_and_ends(office: tuple[Path, dict[str, Any]]) -> None:
    """No receipt without a durable commit (P5): a fault, exit code 1, and after a restart all goes on."""
    folder, _ = office
    accepted = send(folder)
    pid = process(local.read(folder), "post-office")["pid"]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, 1))
    with pytest.raises((Refused, TransportError)) as caught:
        send(folder)
    assert not isinstance(caught.value, Refused) or caught.value.code == "ALS400"
    assert 1 == exit_code(pid)
    local.up(folder)
    assert TAX_FLOW == statuses(folder, accepted, "500")
    assert TAX_FLOW == statuses(folder, send(folder), "500")


def test_down_stops_only_what_it_started(tmp_path: Path, office: tuple[Path, dict[str, Any]]) -> None:
    """A pid that was given to somebody else since has another start time and is left alone (decision 27)."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        mine = local.started(stranger.pid)
        record = {"processes": [{"name": "oud", "pid": stranger.pid, "started": "1"}]}
        (tmp_path / "post-office.json").write_text(json.dumps(record))
        assert [] == local.down(tmp_path)
        assert mine == local.started(stranger.pid)
        record["processes"][0]["started"] = str(mine)
        (tmp_path / "post-office.json").write_text(json.dumps(record))
        assert ["oud"] == local.down(tmp_path)
        assert -signal.SIGTERM == stranger.wait(5)


def test_down_and_up_use_the_same_ports(office: tuple[Path, dict[str, Any]]) -> None:
    """Clients that know the post office need not be told anew; down leaves nothing running."""
    folder, before = office
    stopped = local.down(folder)
    assert len(stopped) == len(BODIES) + 1
    assert [] == [one for one in before["processes"] if local.started(one["pid"]) == one["started"]]
    assert [] == local.down(folder)
    after = local.up(folder)
    assert before["services"] == after["services"]
    assert before["agencies"] == after["agencies"]


def test_a_port_taken_meanwhile_is_replaced_everywhere(office: tuple[Path, dict[str, Any]]) -> None:
    """Somebody else has the hub's port: it gets another, and the agencies tell their statuses there."""
    folder, _ = office
    before = local.read(folder)
    os.kill(process(before, "post-office")["pid"], signal.SIGKILL)
    port = urlsplit(before["services"]["aanleveren"]).port
    time.sleep(0.5)  # until the kernel has taken the port from the killed process
    with socket.create_server(("127.0.0.1", port)):
        after = local.up(folder)
    assert before["services"] != after["services"]
    assert TAX_FLOW == statuses(folder, send(folder), "500")


def test_down_where_nothing_ever_was(tmp_path: Path) -> None:
    """A folder without a post office is a mistake of the caller."""
    with pytest.raises(UsageError, match="no post office at"):
        local.down(tmp_path)


def test_a_process_that_does_not_come_up_is_explained(
    tmp_path: Path, office: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error carries the last lines of its log, and nothing is left running."""
    folder = tmp_path / "post"
    folder.mkdir()
    shutil.copytree(office[0] / "pki", folder / "pki")
    test_pki.find_identity(folder / "pki", "digipoort").signing_key.write_text("kapot")
    with pytest.raises(DigipoortError, match=r"post-office ended at once[\s\S]*signing"):
        local.up(folder)
    processes = local.read(folder)["processes"]
    assert [] == [one for one in processes if local.started(one["pid"]) == one["started"]]
    hub = next(one for one in processes if one["name"] == "post-office")
    assert ConfigError.exit_code == os.waitstatus_to_exitcode(os.waitpid(hub["pid"], 0)[1])


def test_the_hubs_settings_are_a_good_file(office: tuple[Path, dict[str, Any]]) -> None:
    """What `up` writes is read by the same code as an operator's file."""
    folder, record = office[0], local.read(office[0])
    settings = config.load(folder / "digipoort.toml", {})
    assert record["services"]["aanleveren"].startswith(settings.public_url + "/")
    assert {one["oin"]: one["url"] for one in record["agencies"]} == settings.agencies


def test_a_changed_file_is_read_while_running(office: tuple[Path, dict[str, Any]]) -> None:
    """A changed table is seen within seconds and told in the journal; a wrong one is refused and told."""
    record = local.read(office[0])
    crl = Path(record["crl"][0])
    good = crl.read_bytes()
    for octets, event in ((good, "tables-read"), (b"kapot", "tables-refused")):
        crl.write_bytes(octets)
        until = time.monotonic() + 10
        while event not in Path(record["journal"]).read_text() and time.monotonic() < until:
            ask(record["services"]["aanleveren"], context(record, "bakkerij-jansen"), "POST", b"hallo")
            time.sleep(0.3)
        assert event in Path(record["journal"]).read_text()
    crl.write_bytes(good)
