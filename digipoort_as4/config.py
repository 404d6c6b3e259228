"""Where shipped data lies. Settings from digipoort.toml, environment and flags join here."""

from __future__ import annotations

from pathlib import Path


def data_file(name: str) -> Path:
    """A shipped file.

    Args:
        name: path below the project, e.g. `schemas/digipoort-koppelvlak-1.2.xsd` or `certs/test-pki.toml`.

    Returns:
        Its place in an installed wheel (digipoort_as4/_data) or in a checkout.
    """
    package = Path(__file__).parent
    installed = package / "_data" / name
    return installed if installed.exists() else package.parent / name
