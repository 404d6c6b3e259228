"""The operator's tables as files: reads routes, parties and consents.

Judges nothing: the hub's readers say what is wrong in a table."""

import tomllib
from pathlib import Path
from typing import Any, Final

from digipoort_as4 import hub
from digipoort_as4.errors import ConfigError
from digipoort_as4.hub import copies, mandates, routes
from digipoort_as4.hub.copies import Consents
from digipoort_as4.hub.mandates import Parties
from digipoort_as4.hub.routes import Routes

SHIPPED: Final = Path(hub.__file__).parent  # Where the tables of the local post office lie


def load_routes(path: Path = SHIPPED / routes.FILE) -> Routes:
    """The route table of a file; ConfigError lists all mistakes."""
    return Routes.of(read_toml(path))


def load_parties(path: Path = SHIPPED / mandates.FILE) -> Parties:
    """The party table of a file; ConfigError lists all mistakes."""
    return Parties.of(read_toml(path))


def load_consents(path: Path = SHIPPED / copies.FILE) -> Consents:
    """The consents of a file; ConfigError lists all mistakes."""
    return Consents.of(read_toml(path))


def read_toml(path: Path) -> dict[str, Any]:
    """What a file says; ConfigError when it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # both TOML and UTF-8 raise ValueErrors
        raise ConfigError(f"{path}: {error}") from error
