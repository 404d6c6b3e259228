"""Fixtures of the WUS tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from helpers_wus import NOW, Sender, World

from digipoort_as4.pki import test_pki


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One test PKI for all; nobody may change what it made."""
    folder = tmp_path_factory.mktemp("wus-pki")
    test_pki.make(folder, NOW, ca_bits=2048)
    return folder


@pytest_asyncio.fixture
async def world(tmp_path: Path, pki: Path) -> AsyncIterator[World]:
    opened = World.open(tmp_path, pki)
    yield opened
    await opened.close()


@pytest.fixture
def jansen(pki: Path) -> Sender:
    return Sender(pki, "bakkerij-jansen")


@pytest.fixture
def belastingdienst(pki: Path) -> Sender:
    return Sender(pki, "belastingdienst")
