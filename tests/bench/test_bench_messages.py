"""The bench runs: a few messages through every part of it, so that it cannot rot. No figure is judged here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the bench reads clocks of Linux")


def test_a_few_messages_through_the_whole_bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Accepting, whole life, the floor beside them, where it goes and memory are printed and written."""
    import bench_messages

    out = tmp_path / "results" / "bench.json"
    words = ["--messages", "8", "--rounds", "1", "--bits", "2048", "--small", "--out", str(out)]
    bench_messages.main([*words, "--folder", str(tmp_path / "work")])

    results = json.loads(out.read_text(encoding="utf-8"))
    rows = [results["accept"]["2048"]["1"], results["accept"]["2048"]["8"], results["life"]["2048"]]
    assert all(row["messages"] == 8 and row["cpu_ms"] > row["floor_ms"] > 0 for row in rows)
    assert results["life"]["2048"]["hub_ms"] > 0 and results["life"]["2048"]["agency_ms"] > 0
    assert sum(results["where"]["2048"].values()) > 0
    for form in ("inline", "mtom"):
        assert results["large"][form]["growth_mib"] >= 0
        assert results["large"][form]["cpu_s"] > 0
    assert results["large"]["floor_ms_per_mib"] > 0
    assert results["large"]["small"]["meanwhile"]["messages"] > 0
    assert "accepting, RSA-2048, 8 at once" in capsys.readouterr().out
