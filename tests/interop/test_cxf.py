"""Apache CXF with WSS4J, generated from the WSDLs that we serve: what it sends, and what both sides refuse.

docs/how-to/cxf.md plays the whole story against a post office of real processes; here the hub runs in this process,
so that each message on the wire can be kept and changed. Maven downloads: only `make interop` runs this.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from helpers_interop import DOCUMENT, Change, Hub, running, shown_by
from lxml import etree

from digipoort_as4.payload import read_all
from digipoort_as4.pki import test_pki

PROJECT = Path(__file__).parent / "cxf"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "cxf.md"
NEEDED = ("mvn", "java", "keytool")
OFFLINE = re.compile(r"Could not (?:transfer|find) artifact|Non-resolvable|Unknown host")
BUILD = 300.0  # seconds for downloads and compiler; with everything there it takes 10
RUN = 60.0  # seconds for one client; it takes 3
DS = "{http://www.w3.org/2000/09/xmldsig#}"
WSU = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}"
NAMES = {
    "http://www.w3.org/2000/09/xmldsig#rsa-sha1": "RSA-SHA1",
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256": "RSA-SHA256",
    "http://www.w3.org/2000/09/xmldsig#sha1": "SHA-1",
    "http://www.w3.org/2001/04/xmlenc#sha256": "SHA-256",
}

pytestmark = pytest.mark.skipif(
    "DIGIPOORT_INTEROP" not in os.environ, reason="Maven downloads from its registry: `make interop` runs this"
)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cxf-pki")
    test_pki.make(folder, datetime.now(UTC), ca_bits=2048)
    return folder


@dataclass(frozen=True)
class Cxf:
    """The built client, and the trust store made for it."""

    folder: Path
    trust: Path
    pki: Path

    async def run(self, hub: Hub, *steps: str, query: str = "wsdl", layout: str = "/wus/2.0", **java: str) -> str:
        """Its output, both streams."""
        keys = test_pki.find_identity(self.pki, "bakkerij-jansen")
        options = [f"-D{name}={value}" for name, value in java.items()]
        words = ["java", *options, "-cp", "target/classes:target/lib/*", "digipoort.interop.Client", hub.url + layout]
        words += [query, str(DOCUMENT), str(keys.p12), str(keys.p12_password), str(self.trust), *steps]
        return await shown_by(words, self.folder, RUN)


def build(hub: Hub, pki: Path, folder: Path) -> list[str]:
    """Make the trust store; the command that makes the client."""
    trust = folder / "trust.p12"
    for ca in sorted((pki / "ca").glob("g1-*.pem")):
        words = ["keytool", "-importcert", "-noprompt", "-alias", ca.stem, "-file", str(ca), "-keystore", str(trust)]
        subprocess.run([*words, "-storetype", "pkcs12", "-storepass", "changeit"], check=True, capture_output=True)
    urls = [f"-Ddigipoort.url={hub.url}/wus/2.0", f"-Ddigipoort.truststore={trust}"]
    return ["mvn", "-B", "-q", "package", *urls]


@pytest.fixture(scope="module")
def cxf(pki: Path, tmp_path_factory: pytest.TempPathFactory) -> Cxf:
    """wsdl2java over TLS from a hub of ours, javac, and the libraries; once for all tests."""
    if missing := [name for name in NEEDED if not shutil.which(name)]:
        pytest.skip(f"not on this machine: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("cxf")
    shutil.copytree(PROJECT, folder / "client", ignore=shutil.ignore_patterns("target"))

    async def make() -> str:
        async with running(pki, folder) as hub:
            return await shown_by(build(hub, pki, folder), folder / "client", BUILD)

    output = asyncio.run(make())
    if offline := OFFLINE.search(output):
        pytest.skip(f"no package registry: {offline[0]}")
    assert (folder / "client" / "target" / "classes" / "digipoort" / "interop" / "Client.class").exists(), output
    return Cxf(folder / "client", folder / "trust.p12", pki)


def algorithms(message: bytes) -> tuple[str, set[str]]:
    """SignatureMethod, and every DigestMethod."""
    root = etree.fromstring(message)
    (method,) = root.iter(f"{DS}SignatureMethod")
    return NAMES[method.get("Algorithm")], {NAMES[one.get("Algorithm")] for one in root.iter(f"{DS}DigestMethod")}


def references(message: bytes) -> tuple[int, int]:
    """How many there are, and how many of them to the Timestamp."""
    root = etree.fromstring(message)
    uris = [one.get("URI") for one in root.iter(f"{DS}Reference")]
    (timestamp,) = (one.get(f"{WSU}Id") for one in root.iter(f"{WSU}Timestamp"))
    return len(uris), uris.count(f"#{timestamp}")


# --- what it sends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "java", "signature", "digest"),
    [
        ("wsdl", {}, "RSA-SHA256", "SHA-256"),
        ("wsdl", {"signature": "suite"}, "RSA-SHA1", "SHA-256"),
        ("wsdl&profile=sha1", {"signature": "suite"}, "RSA-SHA1", "SHA-1"),
    ],
    ids=["told SHA-256", "as the suite says", "profile sha1"],
)
async def test_what_cxf_sends_under_each_policy(
    query: str, java: dict[str, str], signature: str, digest: str, cxf: Cxf, tmp_path: Path
) -> None:
    """As docs/how-to/cxf.md says. With sha1 = true each is answered alike, and WSS4J accepts the answer."""
    async with running(cxf.pki, tmp_path, sha1=True) as hub:
        shown = await cxf.run(hub, "submit", query=query, **java)
    assert re.search(r"^kenmerk [0-9a-f-]{36}$", shown, re.MULTILINE), shown
    assert (signature, {digest}) == algorithms(hub.requests[0])
    assert (signature, {digest}) == algorithms(read_all(hub.answers[0].body))
    assert (7, 2) == references(hub.requests[0])  # the Timestamp twice: the policy names it in two ways
    row = next(line for line in PAGE.read_text(encoding="utf-8").splitlines() if is_row(line, query, bool(java)))
    assert f"| {signature} | {digest} |" in row


def is_row(line: str, query: str, suite: bool) -> bool:
    return line.startswith(f"| `?{query}` | {'no' if suite else 'yes'} |")


@pytest.mark.parametrize("query", ["wsdl", "wsdl&profile=sha1"])
async def test_sha1_is_refused_by_name_unless_it_was_allowed(query: str, cxf: Cxf, tmp_path: Path) -> None:
    """The same two requests without sha1 = true: a fault that CXF shows, with where and what."""
    async with running(cxf.pki, tmp_path) as hub:
        shown = await cxf.run(hub, "submit", query=query, signature="suite")
    assert re.search(r"^fault ALS100 .*Waar: SignatureMethod, regel 1\. Gevonden: SHA-1\.", shown, re.MULTILINE), shown


async def test_cxf_sends_mtom_when_told(cxf: Cxf, tmp_path: Path) -> None:
    """Document and token in parts of their own; our answer is a package too, and WSS4J accepts it."""
    async with running(cxf.pki, tmp_path) as hub:
        shown = await cxf.run(hub, "submit", "fault", mtom="true")
    assert re.search(r"^kenmerk [0-9a-f-]{36}$", shown, re.MULTILINE), shown
    assert re.search(r"^fault ALS100 .*De berichtsoort is niet bekend", shown, re.MULTILINE), shown
    assert 2 == hub.requests[0].count(b"<xop:Include ")
    assert DOCUMENT.read_bytes() in hub.requests[0]
    assert ["multipart/related", "text/xml"] == [one.headers["content-type"].partition(";")[0] for one in hub.answers]


async def test_without_being_told_cxf_sends_no_mtom(cxf: Cxf, tmp_path: Path) -> None:
    """The WSDL says that it may, and CXF does not take that for a wish."""
    async with running(cxf.pki, tmp_path) as hub:
        await cxf.run(hub, "submit")
    assert hub.requests[0].startswith(b"<soap:Envelope")


# --- both sides refuse ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "mtom"), [(b">Bedrijf<", b">Bedrijg<", "false"), (b"</xbrli:xbrl>", b"</xbrli:xbrk>", "true")]
)
async def test_a_changed_request_is_refused_by_us(old: bytes, new: bytes, mtom: str, cxf: Cxf, tmp_path: Path) -> None:
    """One letter of the Body, or of the part that holds the document: the fixed sentence of a broken signature."""
    async with running(cxf.pki, tmp_path) as hub:
        hub.on_request = lambda octets: octets.replace(old, new)
        shown = await cxf.run(hub, "submit", mtom=mtom)
    assert old in hub.requests[0]
    assert "De beveiliging van het bericht kon niet worden vastgesteld." in shown
    assert "kenmerk" not in shown.partition("fault ")[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda octets: octets.replace(b">Bedrijf<", b">Bedrijg<"), "WSSecurityException"),
        (lambda octets: re.sub(rb"<Signature .*</Signature>", b"", octets, flags=re.DOTALL), "Body is not SIGNED"),
    ],
    ids=["one letter", "no signature"],
)
async def test_a_changed_answer_is_refused_by_wss4j(change: Change, told: str, cxf: Cxf, tmp_path: Path) -> None:
    """So its acceptance of the whole one means something."""
    async with running(cxf.pki, tmp_path) as hub:
        hub.on_answer = change
        shown = await cxf.run(hub, "submit")
    answer = read_all(hub.answers[0].body)
    assert (200, True) == (hub.answers[0].status, change(answer) != answer)
    assert "\nkenmerk " not in f"\n{shown}"
    assert told in shown


# --- the other services -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["/wus/2.0", "/cpl"])
async def test_the_other_layout_and_the_ophaalservice(layout: str, cxf: Cxf, tmp_path: Path) -> None:
    """Submit, list and fault at both; wsa:To is the address from the WSDL, with the path that was asked."""
    async with running(cxf.pki, tmp_path) as hub:
        shown = await cxf.run(hub, "submit", "list", "fault", layout=layout)
    assert "\nkenmerk " in f"\n{shown}", shown
    assert "\nlist 0" in f"\n{shown}", shown
    assert re.search(r"^fault ALS100 .*De berichtsoort is niet bekend.*BestaatNiet", shown, re.MULTILINE), shown
    assert all(f">{hub.url}{layout}/".encode() in request for request in hub.requests)


def test_the_page_quotes_the_project() -> None:
    """Each java and xml block of the page stands in the sources, word for word."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in [*PROJECT.rglob("*.java"), PROJECT / "pom.xml"])
    blocks = re.findall(r"^```(?:java|xml)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert 2 == len(blocks)
    assert [] == [block for block in blocks if block not in sources]
