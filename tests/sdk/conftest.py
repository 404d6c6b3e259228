from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from helpers_sdk import Make, Peer, blocking, connection, start

from digipoort_as4.pki import test_pki
from digipoort_as4.sdk.client import AsyncDigipoortClient, DigipoortClient


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


@pytest.fixture(params=[DigipoortClient, AsyncDigipoortClient])
def client(request: pytest.FixtureRequest, sdk_pki: Path, peer: Peer) -> Make:
    """Makes a client of either kind for the scripted post office, with other settings of its connection."""

    def make(**changes: Any) -> Any:
        made = connection(sdk_pki, "bakkerij-jansen", peer.url, **{"sleep": lambda _: None} | changes)
        return blocking(request.param(made))

    return make
