"""The operator's journal: one line per event, and nothing a peer sends can forge or flood it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from digipoort_as4.journal import LONGEST, Journal

AT = datetime(2026, 11, 2, 12, 0, 0, 1500, tzinfo=UTC)


def lines(folder: Path, **facts: str) -> list[str]:
    journal = Journal(folder / "journal.jsonl", now=lambda: AT, new_number=lambda: "0badcafe")
    journal.write("refused", **facts)
    journal.close()
    return (folder / "journal.jsonl").read_text(encoding="ascii").splitlines()


def test_a_line_is_json_with_time_and_number(tmp_path: Path) -> None:
    """Whoever reads the journal finds when, which number was told, what and the facts."""
    expected = {"at": "2026-11-02T12:00:00.001+00:00", "number": "0badcafe", "event": "refused", "oin": "0000"}
    assert [expected] == [json.loads(line) for line in lines(tmp_path, oin="0000")]


def test_control_characters_do_not_reach_the_file(tmp_path: Path) -> None:
    """Line ends, escape sequences, DEL, C1 and lone surrogates of a peer are escaped, one line stays one line."""
    nasty = 'a\r\n{"event":"forged"}\x1b[2J\x7f\x9b\u2028\udc80'
    found = lines(tmp_path, detail=nasty)
    assert 1 == len(found)
    assert all(32 <= ord(character) < 127 for character in found[0])
    assert nasty == json.loads(found[0])["detail"]


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    """A peer cannot fill the disk with one header."""
    assert LONGEST == len(json.loads(lines(tmp_path, detail="x" * 100_000)[0])["detail"])


def test_numbers_are_eight_hex_digits_and_lines_are_appended(tmp_path: Path) -> None:
    """A second process adds to what a first one wrote."""
    for _ in range(2):
        journal = Journal(tmp_path / "journal.jsonl")
        number = journal.write("refused")
        journal.close()
        assert 8 == len(bytes.fromhex(number).hex())
    assert 2 == len((tmp_path / "journal.jsonl").read_text().splitlines())
