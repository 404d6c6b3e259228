"""`digipoort version`: which version, and of what it is built. Reads no file of the user's."""

import platform
from importlib import metadata

import click

import digipoort_as4
from digipoort_as4.cli import streams

BUILT_OF = ("aiohttp", "cryptography", "lxml", "pyhanko-certvalidator", "signxml", "xmlsec", "zeep")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def version(as_json: bool) -> None:
    """Say which version this is, and of what it is built."""
    parts = {"python": platform.python_version(), **{name: metadata.version(name) for name in BUILT_OF}}
    lines = [f"digipoort {digipoort_as4.__version__}  (independent, not Logius)"]
    lines += [f"  {name:<22} {number}" for name, number in parts.items()]
    streams.show(as_json, {"digipoort": digipoort_as4.__version__, **parts}, "\n".join(lines))
