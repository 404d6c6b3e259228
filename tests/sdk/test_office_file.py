"""post-office.json as outside clients find it: read whole, or refused with the way out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from digipoort_as4.errors import ConfigError, UsageError
from digipoort_as4.sdk import office

RECORD = {
    "ca": "pki/ca.pem",
    "crl": ["pki/a.pem"],
    "services": {"aanleveren": "https://localhost:1/wus/2.0/aanleverservice/1.2"},
    "identities": [
        {
            "name": name,
            "role": role,
            "oin": "00000099000000101000",
            "tls": {"cert": "t.pem", "key": "t.key"},
            "signing": {"cert": "s.pem", "key": "s.key"},
        }
        for name, role in (("bakker", "business"), ("hub", "hub"))
    ],
    "hub": {"oin": "00000099000000001000", "tls_cert": "h.pem", "signing_cert": "h.pem"},
}
"""The least of decision 28 that a client needs; relative paths count from the file."""


def written(folder: Path, record: object) -> Path:
    file = folder / office.FILE
    file.write_text(json.dumps(record), encoding="utf-8")
    return file


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    """Absolute ones stay as they are."""
    place = office.read(written(tmp_path, {**RECORD, "crl": ["/x/a.pem"]}))
    assert (tmp_path / "pki" / "ca.pem", (Path("/x/a.pem"),)) == (place.ca, place.crl)
    assert (tmp_path / "s.key", tmp_path / "t.pem") == (
        place.party("bakker").signing_key,
        place.party("bakker").tls_cert,
    )


def test_only_businesses_send(tmp_path: Path) -> None:
    """The hub's own identity is not offered."""
    assert ["bakker"] == [party.name for party in office.read(written(tmp_path, RECORD)).businesses()]


@pytest.mark.parametrize("missing", ["ca", "crl", "services", "identities", "hub"])
def test_a_file_without_a_part_is_refused(tmp_path: Path, missing: str) -> None:
    """The key is named."""
    with pytest.raises(ConfigError) as refused:
        office.read(written(tmp_path, {key: value for key, value in RECORD.items() if key != missing}))
    assert any(missing in note for note in refused.value.__notes__)


def test_no_file_says_how_to_get_one(tmp_path: Path) -> None:
    """With the folder in the command."""
    with pytest.raises(ConfigError) as refused:
        office.read(tmp_path / office.FILE)
    assert f"fix: digipoort up --dir {tmp_path}" in refused.value.__notes__


def test_a_misspelt_identity_is_guessed(tmp_path: Path) -> None:
    """And the others are listed."""
    with pytest.raises(UsageError) as refused:
        office.read(written(tmp_path, RECORD)).party("baker")
    assert ["expected: one of bakker, hub", "fix: did you mean 'bakker'?"] == refused.value.__notes__
