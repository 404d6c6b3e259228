"""An agency's inbox: whole hand-overs, one rename, safe names."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from digipoort_as4.errors import StorageFailure
from digipoort_as4.payload import BytesPayload, Document
from digipoort_as4.storage.inbox import Inbox, file_name, folder_name

KENMERK = "0b8ed1f5-3c1e-4b52-8f4b-0a2f5e0c7b11"
ENVELOPE = {"kenmerk": "11111111-2222-4333-8444-555555555501", "berichtkenmerk": KENMERK}


def document(octets: bytes, name: str = "aangifte.xbrl", mime_type: str = "text/xml") -> Document:
    digest = hashlib.sha256(octets).digest()
    return Document("inhoud", mime_type, name, BytesPayload(octets), len(octets), digest, "k1")


def visible(inbox: Inbox) -> list[str]:
    return sorted(p.name for p in inbox.folder.iterdir() if not p.name.startswith("."))


def test_a_hand_over_appears_whole(tmp_path: Path) -> None:
    """Nothing is visible before hand_over; after it the envelope and all documents are."""
    inbox = Inbox(tmp_path / "inbox")
    staged = inbox.stage(ENVELOPE, [document(b"<a/>"), document(b"%PDF", "b.pdf", "application/pdf")])
    assert [] == visible(inbox)

    assert inbox.hand_over(staged, KENMERK)

    assert [KENMERK] == visible(inbox)
    place = inbox.folder / KENMERK
    assert ["document-1.xml", "document-2.pdf", "envelope.json"] == sorted(p.name for p in place.iterdir())
    assert b"<a/>" == (place / "document-1.xml").read_bytes()
    written = json.loads((place / "envelope.json").read_text(encoding="utf-8"))
    assert ENVELOPE["kenmerk"] == written["kenmerk"]
    # sha256 of the four octets by coreutils, which shares nothing with us
    by_coreutils = subprocess.run(["sha256sum"], input=b"<a/>", capture_output=True, check=True).stdout[:64].decode()
    assert {
        "file": "document-1.xml",
        "mimeType": "text/xml",
        "bestandsnaam": "aangifte.xbrl",
        "sha256": by_coreutils,
        "size": 4,
    } == written["documents"][0]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a\x00b", "con", "envelope.json", ".ssh", "x" * 5000, "", "naam\n", "é"]
)
def test_a_hostile_bestandsnaam_is_data_only(tmp_path: Path, name: str) -> None:
    """bestandsnaam stands in envelope.json and never touches the file system."""
    inbox = Inbox(tmp_path / "inbox")

    assert inbox.hand_over(inbox.stage(ENVELOPE, [document(b"<a/>", name)]), KENMERK)

    place = inbox.folder / KENMERK
    assert {"document-1.xml", "envelope.json"} == {p.name for p in place.iterdir()}
    assert name == json.loads((place / "envelope.json").read_text(encoding="utf-8"))["documents"][0]["bestandsnaam"]
    assert {"inbox"} == {p.name for p in tmp_path.iterdir()}


def test_a_uuid_names_its_folder() -> None:
    """The folder of a hand-over has the berichtkenmerk's name (decision 29)."""
    assert KENMERK == folder_name(KENMERK)


@pytest.mark.parametrize(
    "hostile", ["../x", "a/b", ".staging", "..", "", "x" * 256, "con", "NUL.txt", "a b", "é", "-rf"]
)
def test_a_hostile_berichtkenmerk_names_no_folder(hostile: str) -> None:
    """What cannot safely be a name is replaced by its digest, different for different ones."""
    name = folder_name(hostile)

    assert name == "sha256-" + hashlib.sha256(hostile.encode()).hexdigest()


def test_mime_type_gives_the_ending() -> None:
    """Parameters do not count, unknown types end in bin."""
    assert "document-1.xml" == file_name(1, "text/xml; charset=utf-8")
    assert "document-2.bin" == file_name(2, "../../x")


def test_hand_over_twice_changes_nothing(tmp_path: Path) -> None:
    """After a crash behind the rename it is done again: still one folder, also when the back end has taken it away."""
    inbox = Inbox(tmp_path / "inbox")
    staged = inbox.stage(ENVELOPE, [document(b"<a/>")])
    assert inbox.hand_over(staged, KENMERK)

    assert inbox.hand_over(staged, KENMERK)
    assert [KENMERK] == visible(inbox)

    (inbox.folder / KENMERK).rename(tmp_path / "collected")
    assert inbox.hand_over(staged, KENMERK)
    assert [] == visible(inbox)


def test_an_occupied_folder_is_left_alone(tmp_path: Path) -> None:
    """A folder of that name with something in it is not overwritten, and the staged one is kept."""
    inbox = Inbox(tmp_path / "inbox")
    (inbox.folder / KENMERK).mkdir()
    (inbox.folder / KENMERK / "mine").write_text("x")
    staged = inbox.stage(ENVELOPE, [document(b"<a/>")])

    assert not inbox.hand_over(staged, KENMERK)

    assert ["mine"] == [p.name for p in (inbox.folder / KENMERK).iterdir()]
    assert (inbox.folder / ".staging" / staged).exists()


def test_the_sweep_keeps_what_is_committed(tmp_path: Path) -> None:
    """Staged folders without a row go at start, those with a row stay."""
    inbox = Inbox(tmp_path / "inbox")
    kept, orphan = (inbox.stage(ENVELOPE, [document(b"<a/>")]) for _ in range(2))

    assert [orphan] == Inbox(tmp_path / "inbox").sweep([kept])

    assert [kept] == [p.name for p in (inbox.folder / ".staging").iterdir()]


def test_a_document_with_other_octets_is_not_staged(tmp_path: Path) -> None:
    """What lands on disk must be what was digested; else nothing is left."""
    inbox = Inbox(tmp_path / "inbox")
    good = document(b"<a/>")
    wrong = Document(good.part, good.mime_type, good.bestandsnaam, BytesPayload(b"<b/>"), 4, good.sha256, good.key)

    with pytest.raises(StorageFailure):
        inbox.stage(ENVELOPE, [wrong])

    assert [] == list((inbox.folder / ".staging").iterdir())
