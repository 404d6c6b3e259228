"""What a client must know of a post office: addresses, certificates, who it may be. Read from post-office.json.

Starts nothing and trusts nothing: the anchors named here are loaded by sdk.connection."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from digipoort_as4.errors import ConfigError, UsageError, failure

if TYPE_CHECKING:
    from digipoort_as4.pki.test_pki import Identity

FILE: Final = "post-office.json"
PKI: Final = "pki"  # Beside it: the folder of the test PKI
CLOCK: Final = "clock.json"  # How far the clock of this post office was moved
ENVIRONMENT: Final = "DIGIPOORT_DIR"


def data_home() -> Path:
    """Where this machine keeps data of ours (XDG Base Directory)."""
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".local" / "share") / "digipoort"


def default_dir() -> Path:
    """The folder of the post office that `up` keeps."""
    return Path(os.environ.get(ENVIRONMENT) or data_home() / "office")


@dataclass(frozen=True, slots=True)
class Party:
    """An identity whose keys lie on this machine."""

    name: str
    role: str  # hub, business or agency
    oin: str
    tls_cert: Path  # PEM, leaf and intermediates
    tls_key: Path
    signing_cert: Path
    signing_key: Path


@dataclass(frozen=True, slots=True)
class Agency:
    """A receiving endpoint on this machine."""

    name: str
    oin: str
    url: str
    inbox: Path  # One folder per hand-over (decision 29)


@dataclass(frozen=True, slots=True)
class PostOffice:
    """post-office.json (decision 28)."""

    file: Path
    ca: Path  # PEM bundle of the roots
    cas_between: tuple[Path, ...]  # PEM bundles of the CAs between roots and parties, as far as the file names them
    crl: tuple[Path, ...]
    services: Mapping[str, str]  # aanleveren, statusinformatie … to URL
    parties: tuple[Party, ...]
    agencies: tuple[Agency, ...]
    hub_oin: str
    hub_signing_cert: Path
    processes: tuple[str, ...]  # Names of what was started

    def pem(self) -> tuple[Path, ...]:
        """All files with CAs: those between root and party stand behind each party's certificate, too."""
        return (self.ca, *self.cas_between, self.hub_signing_cert, *(party.signing_cert for party in self.parties))

    @property
    def folder(self) -> Path:
        """Where everything of it lies."""
        return self.file.parent

    def party(self, name: str) -> Party:
        """The identity of that name; a UsageError names the ones there are."""
        names = [party.name for party in self.parties]
        if name in names:
            return self.parties[names.index(name)]
        near = difflib.get_close_matches(name, names, n=1)
        fix = f"did you mean '{near[0]}'?" if near else "`digipoort pki issue NAME` makes one"
        raise failure(UsageError, f"there is no identity '{name}'", expected=f"one of {', '.join(names)}", fix=fix)

    def businesses(self) -> tuple[Party, ...]:
        """Who may send."""
        return tuple(party for party in self.parties if party.role == "business")


def read(file: Path) -> PostOffice:
    """Read a post-office.json; a ConfigError when there is none, or it is not as decision 28 says."""
    up = f"digipoort up --dir {file.parent}"
    try:
        return build(file, json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        expected = f"a running post office that wrote {file}"
        raise failure(ConfigError, f"no post office at {file.parent}", expected=expected, fix=up) from None
    except (ValueError, KeyError, TypeError, AttributeError) as reason:
        found, fix = f"{type(reason).__name__}: {reason}", f"stop it and start it anew: digipoort down, {up}"
        raise failure(ConfigError, f"{file} is not readable", found=found, fix=fix) from None


def build(file: Path, record: Mapping[str, Any]) -> PostOffice:
    """The typed form of the record; relative paths count from the file."""
    path = file.parent.joinpath
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


def record_of(one: Identity) -> dict[str, Any]:
    """The row of an identity in post-office.json."""
    return {
        **{key: getattr(one, key) for key in ("name", "role", "oin", "shape")},
        "tls": {"cert": str(one.tls_cert), "key": str(one.tls_key)},
        "signing": {"cert": str(one.signing_cert), "key": str(one.signing_key)},
        "p12": str(one.p12),
        "p12_password": str(one.p12_password),
    }
