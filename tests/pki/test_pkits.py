"""NIST PKITS judges our function: every invalid path is refused, valid ones accepted but for a list with reasons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from helpers_pki import shared
from pyhanko_certvalidator.policy_decl import PKIXValidationParams

from digipoort_as4.errors import PeerError
from digipoort_as4.pki.certificates import load_certificate
from digipoort_as4.pki.path import find_path
from digipoort_as4.pki.revocation import CrlIndex

DSA = "DSA and SHA-1: Digikoppeling allows RSA and ECDSA over SHA-2 only"
OTHER_KEY = "a CRL counts only when it is signed with the key that signed the certificate; PKIoverheid does so"
RELATIVE = "distribution points relative to the CRL issuer's name are not supported"
REASONS = "CRLs for some reasons only are not supported"
INDIRECT = "indirect CRLs are not supported"
ON_HOLD = "what a delta CRL takes off stays revoked until the next full one"

FAIL_CLOSED = {
    "4.1.4": DSA,
    "4.1.5": DSA,
    "4.4.19": OTHER_KEY,
    "4.5.1": OTHER_KEY,
    "4.5.4": OTHER_KEY,
    "4.5.6": OTHER_KEY,
    "4.6.15": OTHER_KEY,
    "4.6.17": OTHER_KEY,
    "4.9.6": OTHER_KEY,
    "4.11.7": OTHER_KEY,
    "4.12.7": OTHER_KEY,
    "4.12.9": OTHER_KEY,
    "4.13.19": OTHER_KEY,
    "4.14.4": RELATIVE,
    "4.14.5": RELATIVE,
    "4.14.7": RELATIVE,
    "4.14.18": REASONS,
    "4.14.19": REASONS,
    "4.14.22": INDIRECT,
    "4.14.24": INDIRECT,
    "4.14.25": INDIRECT,
    "4.14.28": INDIRECT,
    "4.14.29": INDIRECT,
    "4.14.30": INDIRECT,
    "4.14.33": INDIRECT,
    "4.15.5": ON_HOLD,
}
"""Valid paths that we refuse on purpose, by number."""


def suite() -> tuple[Path, dict[str, Any]]:
    folder = shared("suites", "pkits")
    return folder, json.loads((folder / "pkits.json").read_text())


def accepts(folder: Path, tables: dict[str, Any], case: dict[str, Any]) -> bool:
    """Whether our path function accepts the case's last certificate, with the case's CRLs and policy inputs."""
    policies = frozenset(tables["policy_oids"][name] for name in case["initial_policy_set"])
    inputs = PKIXValidationParams(
        frozenset({"any_policy"}) if tables["policy_oids"]["anyPolicy"] in policies else policies,
        initial_explicit_policy=case["initial_explicit_policy"],
        initial_policy_mapping_inhibit=case["initial_policy_mapping_inhibit"],
        initial_any_policy_inhibit=case["initial_inhibit_any_policy"],
    )
    at = datetime.fromisoformat(tables["validation_time"])
    try:
        anchor, *between, leaf = [load_certificate((folder / f"certs/{n}.crt").read_bytes()) for n in case["certs"]]
        crls = CrlIndex.from_crls([(folder / f"crls/{n}.crl").read_bytes() for n in case["crls"]], (anchor, *between))
        find_path(leaf, [anchor], between, crls, at, inputs)
    except PeerError:
        return False
    return True


def cases(valid: bool) -> Iterator[tuple[str, bool]]:
    folder, tables = suite()
    for case in tables["cases"]:
        if case["should_validate"] is valid:
            yield case["id"], accepts(folder, tables, case)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_every_invalid_path_is_refused() -> None:
    """No exception in this direction."""
    verdicts = list(cases(False))
    assert [] == [number for number, accepted in verdicts if accepted]
    assert 135 == len(verdicts)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_valid_paths_are_accepted_but_for_the_list() -> None:
    """The list is exact: a case that starts to be accepted must leave it."""
    verdicts = list(cases(True))
    refused = {number for number, accepted in verdicts if not accepted}
    assert set(FAIL_CLOSED) == refused
    assert 114 == len(verdicts)
