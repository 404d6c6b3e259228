"""What several commands share: the data folder, the post office in it, and the options that name them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click

from digipoort_as4.errors import UsageError, failure
from digipoort_as4.pki import test_pki
from digipoort_as4.sdk.office import PKI, Party, PostOffice

DATA: Final = "data"  # what the hub keeps, below the post office's folder
ENVIRONMENT: Final = "DIGIPOORT_DIR"
FILE: Final = click.Path(dir_okay=False, path_type=Path)
FOLDER: Final = click.Path(file_okay=False, path_type=Path)
FILE_OR_STDIN: Final = click.Path(dir_okay=False, path_type=Path, allow_dash=True)


def data_home() -> Path:
    """Where this machine keeps data of ours (XDG Base Directory)."""
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".local" / "share") / "digipoort"


def default_dir() -> Path:
    """The folder of the post office that `up` keeps."""
    return Path(os.environ.get(ENVIRONMENT) or data_home() / "office")


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
dir_option = click.option(
    "--dir",
    "folder",
    type=FOLDER,
    help=f"Folder of the post office.  [{ENVIRONMENT}; else the data home]",
    callback=lambda _context, _option, value: (value or default_dir()).resolve(),
)


def octets_of(file: Path) -> bytes:
    """The file's octets, or stdin's for `-`."""
    if str(file) == "-":
        return sys.stdin.buffer.read()
    if not file.is_file():
        raise UsageError(f"no such file: {file}")
    return file.read_bytes()


def identity_of(text: str) -> tuple[str, str]:
    """TYPE:NUMBER as (number, type); a UsageError when a side is missing."""
    kind, _, number = text.partition(":")
    if not (kind.strip() and number.strip()):
        expected = "TYPE:NUMBER, e.g. BTW:001000044B37 or KvK:12345678"
        raise failure(UsageError, f"'{text}' names no identity", expected=expected)
    return number.strip(), kind.strip()


def recipient_of(text: str) -> tuple[str, str]:
    """A recipient as (number, type): TYPE:NUMBER, or twenty digits for an OIN."""
    return (text, "OIN") if len(text) == 20 and text.isdigit() else identity_of(text)


def party_of(place: PostOffice, name: str | None) -> Party:
    """Who acts: one of post-office.json, or made since by `digipoort pki issue`; without a name the first business."""
    if name is None:
        return place.businesses()[0]
    for made in test_pki.identities(place.folder / PKI):
        if made.name == name:
            return Party(name, made.role, made.oin, made.tls_cert, made.tls_key, made.signing_cert, made.signing_key)
    return place.party(name)
