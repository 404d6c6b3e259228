"""What a client must know of a post office: addresses, certificates, who it may be. Read from post-office.json.

Starts nothing and trusts nothing: the anchors named here are loaded by sdk.connection.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from digipoort_as4.errors import ConfigError, UsageError

FILE: Final = "post-office.json"


@dataclass(frozen=True, slots=True)
class Party:
    """An identity whose keys lie on this machine."""

    name: str
    role: str
    """hub, business or agency."""
    oin: str
    tls_cert: Path
    """PEM, leaf and intermediates."""
    tls_key: Path
    signing_cert: Path
    signing_key: Path


@dataclass(frozen=True, slots=True)
class Agency:
    """A receiving endpoint on this machine."""

    name: str
    oin: str
    url: str
    inbox: Path
    """One folder per hand-over (decision 29)."""


@dataclass(frozen=True, slots=True)
class PostOffice:
    """post-office.json (decision 28)."""

    file: Path
    ca: Path
    """PEM bundle of the roots."""
    cas_between: tuple[Path, ...]
    """PEM bundles of the CAs between roots and parties, as far as the file names them."""
    crl: tuple[Path, ...]
    services: Mapping[str, str]
    """aanleveren, statusinformatie … to URL."""
    parties: tuple[Party, ...]
    agencies: tuple[Agency, ...]
    hub_oin: str
    hub_signing_cert: Path
    processes: tuple[str, ...]
    """Names of what was started."""

    def pem(self) -> tuple[Path, ...]:
        """All files with CAs: those between root and party stand behind each party's certificate, too."""
        return (self.ca, *self.cas_between, self.hub_signing_cert, *(party.signing_cert for party in self.parties))

    @property
    def folder(self) -> Path:
        """Where everything of it lies."""
        return self.file.parent

    def party(self, name: str) -> Party:
        """The identity of that name.

        Raises:
            UsageError: there is none; names the ones there are.
        """
        for party in self.parties:
            if party.name == name:
                return party
        names = [party.name for party in self.parties]
        near = difflib.get_close_matches(name, names, n=1)
        error = UsageError(f"there is no identity '{name}'")
        error.add_note(f"expected: one of {', '.join(names)}")
        error.add_note(f"fix: did you mean '{near[0]}'?" if near else "fix: `digipoort pki issue NAME` makes one")
        raise error

    def businesses(self) -> tuple[Party, ...]:
        """Who may send."""
        return tuple(party for party in self.parties if party.role == "business")


def read(file: Path) -> PostOffice:
    """Read a post-office.json.

    Raises:
        ConfigError: there is none, or it is not as decision 28 says.
    """
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        return build(file, record)
    except FileNotFoundError:
        error = ConfigError(f"no post office at {file.parent}")
        error.add_note(f"expected: a running post office that wrote {file}")
        error.add_note(f"fix: digipoort up --dir {file.parent}")
        raise error from None
    except (ValueError, KeyError, TypeError, AttributeError) as reason:
        error = ConfigError(f"{file} is not readable")
        error.add_note(f"found: {type(reason).__name__}: {reason}")
        error.add_note(f"fix: stop it and start it anew: digipoort down, digipoort up --dir {file.parent}")
        raise error from None


def build(file: Path, record: Mapping[str, Any]) -> PostOffice:
    """The typed form of the record; relative paths count from the file."""

    def path(text: str) -> Path:
        return file.parent / text

    return PostOffice(
        file,
        path(record["ca"]),
        (path(record["intermediates"]),) if "intermediates" in record else (),
        tuple(path(text) for text in record["crl"]),
        dict(record["services"]),
        tuple(
            Party(
                *(row[key] for key in ("name", "role", "oin")),
                *(path(row[use][kind]) for use in ("tls", "signing") for kind in ("cert", "key")),
            )
            for row in record["identities"]
        ),
        tuple(Agency(row["name"], row["oin"], row["url"], path(row["inbox"])) for row in record.get("agencies", ())),
        record["hub"]["oin"],
        path(record["hub"]["signing_cert"]),
        tuple(row["name"] for row in record.get("processes", ())),
    )
