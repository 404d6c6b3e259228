from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from helpers_sdk import Peer, start

from digipoort_as4.pki import test_pki


@pytest.fixture(scope="session")
def sdk_pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small CA keys: these tests look at messages, not at certificates."""
    folder = tmp_path_factory.mktemp("sdk") / "pki"
    test_pki.make(folder, datetime.now(UTC), ca_bits=2048)
    return folder


@pytest.fixture
def peer(sdk_pki: Path) -> Iterator[Peer]:
    peer = Peer("")
    server = start(peer, test_pki.find_identity(sdk_pki, "digipoort"), test_pki.anchors(sdk_pki))
    yield peer
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The recorded Digipoort messages; they lie beside the checkout and are not ours to copy."""
    shared = Path(os.environ.get("DIGIPOORT_SHARED") or Path(__file__).resolve().parents[3] / "shared")
    if not (shared / "data" / "wus").is_dir():
        pytest.skip("no recorded messages: ../shared/data/wus is absent")
    return shared / "data"
