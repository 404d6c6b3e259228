"""Node's https with xml-crypto, shaped as the wus-js of digipoort 2.7: what it sends, and what both sides refuse.

npm downloads three packages from its registry, by a lock with their hashes: only `make interop` runs this.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from helpers_interop import DOCUMENT, Change, running, shown_by
from lxml import etree

from digipoort_as4.payload import read_all
from digipoort_as4.pki import test_pki

PROJECT = Path(__file__).parent / "node"
INSTALL = 120.0  # seconds; with a warm cache it takes one
RUN = 60.0  # seconds for one client; it takes one, and following a process to its end a few
OFFLINE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENOTCACHED|E40[134]|network")
WSA = "{http://www.w3.org/2005/08/addressing}"
NO_MATCH = "the signature of the answer does not hold"
KENMERK = re.compile(r"^kenmerk [0-9a-f-]{36}$", re.MULTILINE)
FIXED = "De beveiliging van het bericht kon niet worden vastgesteld."

pytestmark = pytest.mark.skipif(
    "DIGIPOORT_INTEROP" not in os.environ, reason="npm downloads from its registry: `make interop` runs this"
)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("node-pki")
    test_pki.make(folder, datetime.now(UTC), ca_bits=2048)
    return folder


@dataclass(frozen=True)
class Node:
    """The client with its packages beside it."""

    folder: Path

    async def run(self, hub: str, pki: Path, *steps: str, who: str = "bakkerij-jansen", signer: str = "") -> str:
        """Its output, both streams; `signer` is whose certificate it expects on the answers."""
        keys, digipoort = (test_pki.find_identity(pki, name) for name in (who, signer or "digipoort"))
        files = [DOCUMENT, keys.tls_cert, keys.tls_key, test_pki.anchors(pki), digipoort.signing_cert]
        words = ["node", "client.mjs", f"{hub}/wus/2.0", *map(str, files), *steps]
        return await shown_by(words, self.folder, RUN)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    if missing := [name for name in ("node", "npm") if not shutil.which(name)]:
        pytest.skip(f"not on this machine: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("node") / "client"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("node_modules"))
    words = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1"]
    output = asyncio.run(shown_by(words, folder, INSTALL))
    if not (folder / "node_modules" / "xml-crypto").is_dir():
        offline = OFFLINE.search(output)
        assert offline, output
        pytest.skip(f"no package registry: {offline[0]}")
    return Node(folder)


def test_the_lock_names_hashes_and_no_address() -> None:
    """Whoever installs chooses the registry; what comes from it is what was locked."""
    lock = json.loads((PROJECT / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: row for name, row in lock["packages"].items() if name}
    assert {"node_modules/xml-crypto", "node_modules/xpath"} < packages.keys()
    assert all(row["integrity"].startswith("sha512-") and "resolved" not in row for row in packages.values())
    assert "://" not in (PROJECT / "package-lock.json").read_text(encoding="utf-8")


async def test_it_delivers_and_follows_to_the_end(node: Node, post_office: Path) -> None:
    """A post office of real processes: 500 at the end, and a fault that says what is wrong."""
    record = json.loads((post_office / "post-office.json").read_text(encoding="utf-8"))
    hub = f"https://{urlsplit(record['services']['aanleveren']).netloc}"

    shown = await node.run(hub, post_office / "pki", "submit", "follow", "berichtsoort")

    assert KENMERK.search(shown), shown
    told = re.findall(r"^status (\d+) \S", shown, re.MULTILINE)
    assert (["105", "100", "110"], "500") == (told[:3], told[-1])
    assert re.search(r"^fault ALS100 .*De berichtsoort is niet bekend\..*BestaatNiet", shown, re.MULTILINE), shown


async def test_what_it_sends(node: Node, pki: Path, tmp_path: Path) -> None:
    """The quirks of that client, read from the wire: so that the shape in helpers_peer is no invention."""
    async with running(pki, tmp_path) as hub:
        assert KENMERK.search(await node.run(hub.url, pki, "submit"))
    root = etree.fromstring(hub.requests[0])
    assert ["ReplyTo", "To", "Action", "MessageID", "Security"] == [etree.QName(one).localname for one in root[0]]
    security = root[0][-1]
    assert ["Timestamp", "BinarySecurityToken", "Signature"] == [etree.QName(one).localname for one in security]
    action = root[0].find(f"{WSA}Action")
    assert "1" == action.get(f"{{{root.nsmap['s']}}}mustUnderstand")
    assert 6 == hub.requests[0].count(b"<Reference ")


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("berichtsoort", "De berichtsoort is niet bekend"),
        ("unsigned-to", "Een onderdeel van het bericht is niet ondertekend. Waar: To,"),
        ("altered", FIXED),
        ("old-charset", "iso-8859-1"),
    ],
)
async def test_one_thing_broken_gets_a_readable_fault(
    mistake: str, told: str, node: Node, pki: Path, tmp_path: Path
) -> None:
    """And the next request of the same client is accepted."""
    async with running(pki, tmp_path) as hub:
        shown = await node.run(hub.url, pki, mistake, "submit")
    first, second = shown.strip().splitlines()
    assert re.search(rf"^fault ALS100 .*De volgende fout is opgetreden: .*{re.escape(told)}", first), shown
    assert KENMERK.fullmatch(second)


def without_signature(octets: bytes) -> bytes:
    return re.sub(rb"<Signature .*</Signature>", b"", octets, flags=re.DOTALL)


def without_relates_to(octets: bytes) -> bytes:
    return octets.replace(b":RelatesTo", b":ReplyTo")


ANSWERS: dict[str, tuple[Change, str]] = {
    "one letter": (
        lambda octets: octets.replace(b">Bedrijf<", b">Bedrijg<"),
        NO_MATCH,
    ),
    "no signature": (without_signature, "the answer has not one signature"),
    "another header": (without_relates_to, NO_MATCH),
}


@pytest.mark.parametrize("broken", ANSWERS)
async def test_a_changed_answer_is_refused_by_xml_crypto(broken: str, node: Node, pki: Path, tmp_path: Path) -> None:
    """So its acceptance of the whole one means something."""
    change, told = ANSWERS[broken]
    async with running(pki, tmp_path) as hub:
        hub.on_answer = change
        shown = await node.run(hub.url, pki, "submit")
    answer = read_all(hub.answers[0].body)
    assert (200, True) == (hub.answers[0].status, change(answer) != answer)
    assert f"error {told}" in shown
    assert not KENMERK.search(shown)


async def test_an_answer_signed_by_somebody_else_is_refused(node: Node, pki: Path, tmp_path: Path) -> None:
    async with running(pki, tmp_path) as hub:
        shown = await node.run(hub.url, pki, "submit", signer="belastingdienst")
    assert "error the answer is not from this post office\n" == shown


async def test_the_answer_to_another_request_is_refused(node: Node, pki: Path, tmp_path: Path) -> None:
    """Good and signed, but an earlier one; and the client says so."""
    kept: list[bytes] = []

    def first(octets: bytes) -> bytes:
        kept.append(octets)
        return kept[0]

    async with running(pki, tmp_path) as hub:
        hub.on_answer = first
        shown = await node.run(hub.url, pki, "submit", "submit")
    kenmerk, error = shown.strip().splitlines()
    assert KENMERK.fullmatch(kenmerk)
    assert "error this answers another request" == error
