"""One test PKI for all tests of the delivering path, and a world for each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from helpers_agency import World, now

from digipoort_as4.pki import test_pki


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("agency-pki") / "pki"
    test_pki.make(folder, now(), ca_bits=2048)
    return folder


@pytest.fixture
async def world(pki: Path, tmp_path: Path) -> AsyncIterator[World]:
    world = World(pki, tmp_path)
    await world.open()
    yield world
    await world.close()
