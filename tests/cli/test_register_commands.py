"""`digipoort mandates` and `digipoort routes` against a real post office: the next message goes by what was decided."""

from __future__ import annotations

import json
from pathlib import Path

from digipoort_as4.cli.story import SAMPLES

RETURN = str(SAMPLES / "omzetbelasting.xbrl")
FOR_JANSEN = ("--berichtsoort", "Omzetbelasting", "--belanghebbende", "BTW:001000044B37")
ZONDER = "00000099000000103000"
RECORD = ("--by", "J. Bos", "--reason", "proef")
GRANT = (
    *("mandates", "grant", "--party", ZONDER, "--for", "BTW:001000044B37", "--berichtsoort", "Omzetbelasting"),
    *("--from", "2026-01-01", "--until", "2099-12-31", *RECORD),
)
TAX_FLOW = ["105", "100", "110", "200", "301", "301", "405", "400", "500"]


def flow(person, *words: str) -> list[str]:
    """The statuscodes of one message, followed to its end."""
    done = person.types("send", RETURN, *words, "--follow", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [row["statuscode"] for row in rows if "statuscode" in row and "berichtsoort" not in row]


def history(person, group: str, key: str) -> list[tuple[str, bool]]:
    rows = [json.loads(line) for line in person.types(group, "history", key, "--json").stdout.splitlines()]
    assert {"J. Bos"} == {row["by"] for row in rows}
    return [(row["reason"], row["value"] is not None) for row in rows]


def test_a_mandate_counts_from_the_next_message_on(person, post_office: Path) -> None:
    """210 without it, the whole flow with it, 210 after its withdrawal; the history keeps both entries."""
    sender = (*FOR_JANSEN, "--as", "zonder-machtiging")
    assert "210" == flow(person, *sender)[-1]
    granted = person.types(*GRANT)
    reference = granted.stdout.strip()
    assert (0, True) == (granted.returncode, reference.startswith("m-"))
    assert TAX_FLOW == flow(person, *sender)
    assert f"{reference}  {ZONDER}  aanleveren  BTW 001000044B37" in person.types("mandates", "list").stdout
    assert 0 == person.types("mandates", "withdraw", reference, *RECORD).returncode
    assert "210" == flow(person, *sender)[-1]
    assert [("proef", True), ("proef", False)] == history(person, "mandates", reference)
    assert reference not in person.types("mandates", "list").stdout


def test_a_mandate_that_cannot_be_is_told_with_all_mistakes(person, post_office: Path) -> None:
    """Nothing is kept; the same without the mistakes is (above)."""
    wrong = ("--berichtsoort", "Omzetbelastng", "--party", "00000099000000103001", "--reference", "kapot")
    done = person.types(*GRANT, *wrong)
    assert (7, "") == (done.returncode, done.stdout)
    assert "did you mean 'Omzetbelasting'?" in done.stderr
    assert "unknown party" in done.stderr
    assert "" == person.types("mandates", "history", "kapot").stdout


def test_a_route_is_shown_edited_checked_set_and_retired(person, post_office: Path, tmp_path: Path) -> None:
    """A berichtsoort that nobody knew is accepted and delivered, and is nobody's again afterwards."""
    words = ("--berichtsoort", "Proefaangifte", "--belanghebbende", "BTW:001000044B37", "--as", "bakkerij-jansen")
    before = person.types("send", RETURN, *words)
    assert 4 == before.returncode
    assert "De berichtsoort is niet bekend." in before.stderr

    shown = person.types("routes", "show", "Omzetbelasting").stdout
    file = tmp_path / "proef.toml"
    new = shown.replace('berichtsoort = "Omzetbelasting"', 'berichtsoort = "Proefaangifte"')
    file.write_text(new.replace("agency_validates = true", "agency_validates = false"))
    assert 0 == person.types("routes", "check", str(file)).returncode
    assert "Proefaangifte" not in person.types("routes", "list").stdout
    assert "Proefaangifte\n" == person.types("routes", "set", str(file), *RECORD).stdout
    assert "Proefaangifte  Belastingdienst" in person.types("routes", "list").stdout
    assert TAX_FLOW[:-1] == flow(person, *words)

    assert 0 == person.types("routes", "retire", "Proefaangifte", *RECORD).returncode
    assert 4 == person.types("send", RETURN, *words).returncode
    assert [("proef", True), ("proef", False)] == history(person, "routes", "Proefaangifte")


def test_a_wrong_route_is_told_and_not_set(person, post_office: Path, tmp_path: Path) -> None:
    """By the reader of routes.toml; so is a file that holds something else."""
    shown = person.types("routes", "show", "ICP").stdout
    file = tmp_path / "kapot.toml"
    file.write_text(shown.replace("Belastingdienst", "Belastingdeinst"))
    for command in ("check", "set"):
        done = person.types("routes", command, str(file), *(RECORD if command == "set" else ()))
        assert 7 == done.returncode
        assert "did you mean 'Belastingdienst'?" in done.stderr
    file.write_text("[bodies]\nX = 1\n")
    assert "cannot be set" in person.types("routes", "check", str(file)).stderr
    assert "" == person.types("routes", "history", "ICP").stdout


def test_without_a_post_office_there_is_nothing_to_change(person, tmp_path: Path) -> None:
    done = person.types("mandates", "list", "--dir", str(tmp_path))
    assert 6 == done.returncode
    assert "digipoort up" in done.stderr
