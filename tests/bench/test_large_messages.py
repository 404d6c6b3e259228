"""The largest message there is costs the hub little memory: real processes, real sockets, up to the agency's answer."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from digipoort_as4 import limits
from digipoort_as4.wus.operations import AFLEVEREN, ZET_STATUS

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory of a process is read from /proc")

MOST = 200_000_000
"""Octets above the idle size that a message of four documents of 20 MiB may cost (issue 4, item 5)."""


@pytest.mark.parametrize("form", ["inline", "mtom"])
def test_four_documents_of_20_mib_cost_less_than_200_mb(tmp_path: Path, form: str) -> None:
    """An inhoud and three bijlagen, accepted, validated and delivered: hub and validators together."""
    import bench_messages
    import bench_world as world

    place = world.World.make(tmp_path / "world")
    office, (port, other) = place.folder / "office", world.free_ports(2)
    address = f"https://localhost:{other}{AFLEVEREN.path}"
    settings = place.settings("digipoort", 2048, office, port=port, agencies={world.AGENCY: address})
    agency = place.settings("belastingdienst", 2048, place.folder / "agency", port=other)
    told = {"hub_oin": world.HUB, "zet_status_url": f"https://localhost:{port}{ZET_STATUS.path}"}
    signer, tls = place.signer("bakkerij-jansen", 2048), place.client("bakkerij-jansen", 2048)
    with (
        world.running("office", settings, tmp_path / "office.log") as hub,
        world.running("agency", agency, tmp_path / "agency.log", **told),
    ):
        bench_messages.live(bench_messages.sign_many(signer, 20), port, tls, office, 20)
        idle = {pid: world.resident(pid, "VmRSS") for pid in world.family(hub.pid)}
        for pid in idle:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # VmHWM starts anew
        file, content_type = bench_messages.large_file(place, limits.INHOUD, form)
        message = bench_messages.FilePayload(file, 0, file.stat().st_size)

        assert 200 == asyncio.run(world.stream(message, port, tls, content_type))
        bench_messages.await_delivered(office, 21)

        grown = sum(world.resident(pid, "VmHWM") - was for pid, was in idle.items())
    assert 4 * limits.INHOUD < message.size
    assert grown < MOST
