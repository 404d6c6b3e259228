"""Who uses the clients gets types: `mypy --strict` accepts good use and refuses the same with one thing wrong."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOOD = """
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.sdk.client import AsyncDigipoortClient, DigipoortClient
from digipoort_as4.sdk.models import Bericht
from digipoort_as4.sdk.zeep import wus

def codes(client: DigipoortClient, bericht: Bericht) -> list[str]:
    receipt = client.submit(bericht)
    ended: bool = receipt.wait(until="400").is_end
    raw: bytes = receipt.raw_response
    return [status.statuscode for status in client.statuses(receipt.kenmerk)]

async def fetched(client: AsyncDigipoortClient, bericht: Bericht) -> list[bytes]:
    receipt = await client.submit(bericht)
    ended: bool = (await receipt.wait()).is_good
    kinds: tuple[str, ...] = await client.berichtsoorten(belanghebbende=Identiteit("1", "KvK"))
    statuses = await client.statuses(receipt.kenmerk, only_new=True)
    assert statuses[0].statuscode
    names = [row.documents[0].bestandsnaam async for row in client.new_messages(berichtsoort="SBA")]
    return [name.encode() for name in names]

async def one(client: AsyncDigipoortClient) -> str:
    return (await client.fetch("k"))[0].eerder_aanleverkenmerk or ""
"""


def judged(folder: Path, text: str) -> str:
    """What mypy says; empty when it is content."""
    file = folder / "user.py"
    file.write_text(text, encoding="utf-8")
    words = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(folder / "cache")]
    done = subprocess.run(
        [*words, str(file)], cwd=ROOT, capture_output=True, text=True, timeout=300, env={"MYPYPATH": str(ROOT)}
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mypy")
    return tmp_path_factory.mktemp("typing")


def test_good_use_is_accepted(folder: Path) -> None:
    assert "" == judged(folder, GOOD)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("await client.statuses(receipt.kenmerk, only_new=True)", "client.statuses(receipt.kenmerk, only_new=True)"),
        ("client.statuses(receipt.kenmerk)", "client.statuses(receipt.kenmerk, True)"),
        ('berichtsoort="SBA"', "berichtsoort=1"),
        ("status.statuscode for", "status.statuscodes for"),
    ],
    ids=["not awaited", "by position", "a number", "no such field"],
)
def test_bad_use_is_refused(folder: Path, good: str, bad: str) -> None:
    """The same with one thing wrong."""
    assert good in GOOD
    assert "error:" in judged(folder, GOOD.replace(good, bad, 1))


def test_the_package_says_that_it_has_types() -> None:
    """PEP 561."""
    assert (resources.files("digipoort_as4") / "py.typed").is_file()
