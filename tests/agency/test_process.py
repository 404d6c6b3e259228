"""The agency as a process of its own: settings, start, kill, restart."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from helpers_agency import AFLEVEREN, HEADERS, HUB, ZET_STATUS, World, make_document, now, until

from digipoort_as4 import agency, gateway
from digipoort_as4.config import Settings
from digipoort_as4.errors import ConfigError, PeerError
from digipoort_as4.journal import Journal
from digipoort_as4.payload import BytesPayload
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.certificates import Purpose, load_pem

OIN = "00000099000000012000"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_office(world: World, port: int) -> Path:
    """post-office.json as decision 28 has it, as far as an agency reads it."""
    folder = world.folder / "office"
    identity = world.identity("belastingdienst")
    record: dict[str, Any] = {
        "ca": str(test_pki.anchors(world.pki)),
        "intermediates": str(test_pki.intermediates(world.pki)),
        "crl": [str(path) for path in test_pki.crls(world.pki)],
        "services": {"zet_status": world.hub_url + ZET_STATUS, "aanleveren": ""},
        "identities": [
            {
                "name": identity.name,
                "role": "agency",
                "oin": identity.oin,
                "tls": {"cert": str(identity.tls_cert), "key": str(identity.tls_key)},
                "signing": {"cert": str(identity.signing_cert), "key": str(identity.signing_key)},
            }
        ],
        "agencies": [
            {
                "name": identity.name,
                "oin": identity.oin,
                "url": f"https://localhost:{port}{AFLEVEREN}",
                "inbox": str(folder / "agencies" / identity.name / "inbox"),
            }
        ],
        "hub": {"oin": HUB, "signing_cert": str(world.identity("digipoort").signing_cert)},
    }
    folder.mkdir()
    (folder / "post-office.json").write_text(json.dumps(record))
    return folder


@dataclass
class Child:
    process: asyncio.subprocess.Process
    journal: Path

    def events(self) -> list[str]:
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [str(json.loads(line)["event"]) for line in lines]


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[Child]:
    """`python -m digipoort_as4.local agency` of the belastingdienst."""
    words = ["-m", "digipoort_as4.local", "agency", "--dir", str(folder), "--name", "belastingdienst"]
    home = Path(agency.__file__).parents[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        env={**os.environ, "PYTHONPATH": str(home)},
        stderr=asyncio.subprocess.DEVNULL,
    )
    child = Child(process, folder / "agencies" / "belastingdienst" / "journal.jsonl")
    before = child.events().count("started")
    try:
        await until(lambda: child.events().count("started") > before or process.returncode is not None, 20)
        assert process.returncode is None
        yield child
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_killed_agency_hands_over_once(world: World) -> None:
    """SIGKILL right after the answer, restart, retry of the hub: one folder, and the status is told after all."""
    port = free_port()
    folder = write_office(world, port)
    world.agencies[OIN] = f"https://localhost:{port}{AFLEVEREN}"
    inbox = folder / "agencies" / "belastingdienst" / "inbox"
    document = make_document(b"z" * 200_000)
    delivery = await world.queue(OIN, documents=(document,))

    async with started(folder) as child:
        assert await world.attempt()
        child.process.send_signal(signal.SIGKILL)
        await child.process.wait()

    async with started(folder) as child:
        await until(lambda: (inbox / delivery.berichtkenmerk / "envelope.json").exists())
        octets = BytesPayload(await world.sealed(delivery))
        answer = await world.peers.post(OIN, world.agencies[OIN], octets, HEADERS)
        assert 200 == answer.status
        await world.until_codes(delivery, ["405", "400", "500"], 10)
        child.process.send_signal(signal.SIGTERM)
        assert 0 == await child.process.wait()

    assert [delivery.berichtkenmerk] == [path.name for path in inbox.iterdir() if path.name != ".staging"]
    assert b"z" * 200_000 == (inbox / delivery.berichtkenmerk / "document-1.xml").read_bytes()
    assert 1 == child.events().count("delivery-taken")


async def test_a_second_process_is_refused(world: World) -> None:
    """One process owns the folder; the second ends with the exit code of a configuration error."""
    folder = write_office(world, free_port())
    async with started(folder):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *["-m", "digipoort_as4.local", "agency", "--dir", str(folder), "--name", "belastingdienst"],
            env={**os.environ, "PYTHONPATH": str(Path(agency.__file__).parents[1])},
            stderr=asyncio.subprocess.PIPE,
        )
        _, told = await process.communicate()
    assert 7 == process.returncode
    assert b"is in use by process" in told


# --- settings ---------------------------------------------------------------------------------------------------------


def test_the_routes_say_which_statuses_follow(world: World) -> None:
    """A VAT return gets 500, an e-factuur nothing; agency.toml counts before the routes."""
    folder = write_office(world, 4000)

    settings = agency.local_settings(folder, "belastingdienst")
    assert ["500", ""] == [agency.wanted(settings, name) for name in ("Omzetbelasting", "e-factuur")]

    own = folder / "agencies" / "belastingdienst" / "agency.toml"
    own.parent.mkdir(parents=True)
    own.write_text('[zet_status]\nOmzetbelasting = "510"\ndefault = "none"\n')
    assert "510" == agency.wanted(agency.local_settings(folder, "belastingdienst"), "Omzetbelasting")

    own.write_text('[zet_status]\nOmzetbelasting = "520"\n')
    with pytest.raises(ConfigError, match="zet_status of Omzetbelasting: expected one of none, 500, 510"):
        agency.local_settings(folder, "belastingdienst")


def test_an_unknown_agency_is_named(world: World) -> None:
    """With the names that there are."""
    with pytest.raises(ConfigError, match="no agency 'nergens'; there are: belastingdienst"):
        agency.local_settings(write_office(world, 4000), "nergens")


def test_an_agency_that_stands_by_itself(world: World) -> None:
    """agency.toml names its settings file in the form of the hub's."""
    identity = world.identity("uwv")
    (world.folder / "digipoort.toml").write_text(
        f'folder = "uwv"\n[tls]\ncertificate = "{identity.tls_cert}"\nkey = "{identity.tls_key}"\n'
        f'[signing]\ncertificate = "{identity.signing_cert}"\nkey = "{identity.signing_key}"\n'
        f'[trust]\nca = "{test_pki.anchors(world.pki)}"\ncrls = ["{test_pki.crls(world.pki)[0]}"]\n'
    )
    path = world.folder / "agency.toml"
    path.write_text(
        f'[agency]\nname = "uwv"\nhub_oin = "{HUB}"\nsettings = "digipoort.toml"\n[zet_status]\ndefault = "510"\n'
    )

    settings = agency.read_settings(path)

    assert ("uwv", HUB, "510") == (settings.name, settings.hub_oin, agency.wanted(settings, "Ziekmelding"))
    assert world.folder / "uwv" == settings.base.folder
    assert "bedrijven" == settings.profile
    path.write_text(path.read_text().replace("[zet_status]", 'profile = "overheden-2W-be"\n[zet_status]'))
    assert "overheden-2W-be" == agency.read_settings(path).profile
    path.write_text('[agency]\nname = "uwv"\n')
    with pytest.raises(ConfigError, match=r"agency\.hub_oin, agency\.settings: expected a text"):
        agency.read_settings(path)


def test_an_agency_with_an_unknown_profile_does_not_start(world: World) -> None:
    """Its name, and what there is; one that comes later says so."""
    settings = world.settings("uwv", {})
    parts: Any = (None, lambda: world.trust, world.peers, world.journal, asyncio.Event())
    for name, words in (("overheden", "is no profile"), ("overheden-2W-be-SE", "comes with encryption")):
        with pytest.raises(ConfigError, match=f"agency uwv: '{name}' {words}"):
            agency.open_agency(replace(settings, profile=name), *parts)


# --- trust ------------------------------------------------------------------------------------------------------------


def judged(trust: Callable[[], Any], certificate: Path) -> str:
    try:
        trust().judge(load_pem(certificate.read_bytes())[0], now(), Purpose.SIGNING)
    except PeerError as error:
        return error.cause.name
    return "good"


def test_a_renewed_crl_counts_at_once(tmp_path: Path) -> None:
    """A hub whose certificate was revoked is refused without a restart; a broken file leaves what was known before."""
    pki = tmp_path / "pki"
    test_pki.make(pki, now(), ca_bits=2048)
    hub = test_pki.find_identity(pki, "digipoort")
    base = Settings(
        folder=tmp_path,
        tls=None,  # type: ignore[arg-type]
        signing=None,  # type: ignore[arg-type]
        ca=test_pki.anchors(pki),
        intermediates=(test_pki.intermediates(pki),),
        crls=tuple(test_pki.crls(pki)),
    )
    trust = gateway.watch_trust(base, Journal(None))
    trust.look_again = timedelta()
    assert "good" == judged(trust, hub.signing_cert)

    test_pki.revoke(pki, "digipoort", now())
    assert "certificate-revoked" == judged(trust, hub.signing_cert)

    base.crls[0].write_bytes(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    assert "certificate-revoked" == judged(trust, hub.signing_cert)
