"""`digipoort pki`: test certificates in the shapes of PKIoverheid. Never makes anything that production would trust."""

from datetime import UTC, datetime
from pathlib import Path

import click

from digipoort_as4.cli import streams
from digipoort_as4.cli.common import dir_option, json_option
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.certificates import load_pem
from digipoort_as4.sdk.office import PKI, record_of

FLAWS = {
    "expired": "ended yesterday",
    "revoked": "on the CRL",
    "no_oin": "no OIN in Subject.serialNumber",
    "untrusted": "below a root that nobody trusts",
    "wrong_purpose": "may not sign",
    "weak_key": "RSA of 1024 bits",
}
SHAPES = click.Choice(["g1", "g4"])
ROLES = click.Choice(["business", "agency", "hub"])


@click.group()
def pki() -> None:
    """Make and list test certificates in the shapes of PKIoverheid."""


@pki.command("list")
@dir_option
@json_option
def list_identities(folder: Path, as_json: bool) -> None:
    """Name, role, OIN, shape and last day of every party."""
    for one in test_pki.identities(made(folder)):
        ends = load_pem(one.signing_cert.read_bytes())[0].not_after
        record = {key: getattr(one, key) for key in ("name", "role", "oin", "shape")}
        record |= {"notAfter": ends.isoformat(), "folder": str(one.signing_cert.parent)}
        text = f"{one.name:<29} {one.role:<9} {one.oin}  {one.shape}  until {ends:%Y-%m-%d}"
        streams.show(as_json, record, text)


def made(office: Path) -> Path:
    """The folder of the PKI; it is made when there is none."""
    place = office / PKI
    if not test_pki.anchors(place).exists():
        streams.note(f"making a test PKI in {place} (once, a few seconds)")
        test_pki.make(place, datetime.now(UTC))
    return place


@pki.command(epilog="Example: digipoort pki issue bakker-b --oin 00000099000000104000")
@click.argument("name")
@click.option("--oin", required=True, help="Twenty positions; 00000099… is the range for tests.")
@click.option(
    "--shape", type=SHAPES, default="g1", show_default=True, help="g1: one certificate; g4: two, RSASSA-PSS above them."
)
@click.option("--role", type=ROLES, default="business", show_default=True, help="What the party is.")
@click.option("--flaw", type=click.Choice(sorted(FLAWS)), help="What shall be wrong with the signing certificate.")
@dir_option
@json_option
def issue(name: str, oin: str, shape: str, role: str, flaw: str | None, folder: Path, as_json: bool) -> None:
    """Give NAME certificates, keys and a PKCS#12 file; with --flaw, broken in one way on purpose."""
    flaws = {flaw: True} if flaw else {}
    identity = test_pki.issue(made(folder), name, oin, shape, role, datetime.now(UTC), **flaws)
    if not as_json:
        streams.note(f"issued    {name}, OIN {oin}, shape {shape}{f'; {FLAWS[flaw]}' if flaw else ''}")
    streams.show(as_json, record_of(identity), str(identity.signing_cert.parent))
