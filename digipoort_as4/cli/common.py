"""What several commands share: the data folder, the post office in it, and the options that name them."""

import sys
from pathlib import Path
from typing import Final

import click

from digipoort_as4.errors import UsageError, failure
from digipoort_as4.sdk.office import ENVIRONMENT, default_dir

DATA: Final = "data"  # what the hub keeps, below the post office's folder
FILE: Final = click.Path(dir_okay=False, path_type=Path)
FOLDER: Final = click.Path(file_okay=False, path_type=Path)
FILE_OR_STDIN: Final = click.Path(dir_okay=False, path_type=Path, allow_dash=True)


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
