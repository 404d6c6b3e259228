"""`digipoort pki`: test certificates in the shapes of PKIoverheid. Never makes anything that production would trust."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from digipoort_as4.cli import streams
from digipoort_as4.cli.common import dir_option, json_option, pki_folder
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.certificates import load_pem

FLAWS = {
    "expired": "ended yesterday",
    "revoked": "on the CRL",
    "no_oin": "no OIN in Subject.serialNumber",
    "untrusted": "below a root that nobody trusts",
    "wrong_purpose": "may not sign",
    "weak_key": "RSA of 1024 bits",
}


@click.group()
def pki() -> None:
    """Make and list test certificates in the shapes of PKIoverheid."""


@pki.command("list")
@dir_option
@json_option
def list_identities(folder: Path, as_json: bool) -> None:
    """Name, role, OIN, shape and last day of every party."""
    for identity in made(folder):
        ends = load_pem(identity.signing_cert.read_bytes())[0].not_after
        if as_json:
            record = {"name": identity.name, "role": identity.role, "oin": identity.oin, "shape": identity.shape}
            streams.out_json({**record, "notAfter": ends.isoformat(), "folder": str(identity.signing_cert.parent)})
        else:
            streams.out(
                f"{identity.name:<29} {identity.role:<9} {identity.oin}  {identity.shape}  until {ends:%Y-%m-%d}"
            )


def made(folder: Path) -> list[test_pki.Identity]:
    """All identities; the PKI is made when there is none."""
    place = pki_folder(folder)
    if not test_pki.anchors(place).exists():
        streams.note(f"making a test PKI in {place} (once, a few seconds)")
        test_pki.make(place, datetime.now(UTC))
    return test_pki.identities(place)


@pki.command(epilog="Example: digipoort pki issue bakker-b --oin 00000099000000104000")
@click.argument("name")
@click.option("--oin", required=True, help="Twenty positions; 00000099… is the range for tests.")
@click.option(
    "--shape",
    type=click.Choice(["g1", "g4"]),
    default="g1",
    show_default=True,
    help="g1: one certificate; g4: two, RSASSA-PSS above them.",
)
@click.option(
    "--role",
    type=click.Choice(["business", "agency", "hub"]),
    default="business",
    show_default=True,
    help="What the party is.",
)
@click.option("--flaw", type=click.Choice(sorted(FLAWS)), help="What shall be wrong with the signing certificate.")
@dir_option
@json_option
def issue(name: str, oin: str, shape: str, role: str, flaw: str | None, folder: Path, as_json: bool) -> None:
    """Give NAME certificates, keys and a PKCS#12 file; with --flaw, broken in one way on purpose."""
    made(folder)
    flaws = {flaw: True} if flaw else {}
    identity = test_pki.issue(pki_folder(folder), name, oin, shape, role, datetime.now(UTC), **flaws)
    record = {
        "name": identity.name,
        "role": identity.role,
        "oin": identity.oin,
        "tls": {"cert": str(identity.tls_cert), "key": str(identity.tls_key)},
        "signing": {"cert": str(identity.signing_cert), "key": str(identity.signing_key)},
        "p12": str(identity.p12),
        "p12_password": str(identity.p12_password),
    }
    if as_json:
        streams.out_json(record)
        return
    streams.note(f"issued    {name}, OIN {oin}, shape {shape}{f'; {FLAWS[flaw]}' if flaw else ''}")
    streams.out(str(identity.signing_cert.parent))
