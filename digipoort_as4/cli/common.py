"""What several commands share: the data folder, the post office in it, and the options that name them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from digipoort_as4.cli import streams
from digipoort_as4.errors import UsageError
from digipoort_as4.pki import test_pki
from digipoort_as4.sdk.office import Party, PostOffice

F = TypeVar("F", bound=Callable[..., Any])
ENVIRONMENT: Final = "DIGIPOORT_DIR"


def data_home() -> Path:
    """Where this machine keeps data of ours (XDG Base Directory)."""
    base = os.environ.get("XDG_DATA_HOME") or ""
    home = Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "share"
    return home / "digipoort"


def default_dir() -> Path:
    """The folder of the post office that `up` keeps."""
    return Path(os.environ.get(ENVIRONMENT) or data_home() / "office")


def dir_option(command: F) -> F:
    """--dir DIR, else DIGIPOORT_DIR, else the data home."""
    return click.option(
        "--dir",
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        default=None,
        help=f"Folder of the post office.  [{ENVIRONMENT}; else the data home]",
        callback=lambda _c, _p, value: (value or default_dir()).resolve(),
    )(command)


def json_option(command: F) -> F:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")(command)


def identity_of(text: str) -> tuple[str, str]:
    """TYPE:NUMBER as (number, type).

    Raises:
        UsageError: there is no colon, or a side of it is empty.
    """
    kind, colon, number = text.partition(":")
    if not (colon and kind.strip() and number.strip()):
        raise streams.failure(
            UsageError, f"'{text}' names no identity", expected="TYPE:NUMBER, e.g. BTW:001000044B37 or KvK:12345678"
        )
    return number.strip(), kind.strip()


def recipient_of(text: str) -> tuple[str, str]:
    """A recipient as (number, type): TYPE:NUMBER, or twenty digits for an OIN."""
    return (text, "OIN") if len(text) == 20 and text.isdigit() else identity_of(text)


def pki_folder(office: Path) -> Path:
    """Where a local post office keeps its test PKI."""
    return office / "pki"


def consents_file(office: Path) -> Path:
    """Where a local post office records consents."""
    return office / "consents.toml"


def party_of(place: PostOffice, name: str | None) -> Party:
    """Who acts: an identity of post-office.json, or one that `digipoort pki issue` made since; else the first business.

    Raises:
        UsageError: there is none of that name.
    """
    if name is None:
        return place.businesses()[0]
    for made in test_pki.identities(pki_folder(place.folder)):
        if made.name == name:
            return Party(name, made.role, made.oin, made.tls_cert, made.tls_key, made.signing_cert, made.signing_key)
    return place.party(name)
