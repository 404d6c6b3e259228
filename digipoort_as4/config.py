"""Where shipped data lies, and the operator's settings: digipoort.toml and environment to frozen values.

Opens no key and no certificate; whoever needs one does, from the paths here."""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from digipoort_as4.errors import ConfigError

PROFILES: Final = ("local", "production")  # Production is never the default, and refuses the test PKI


def data_file(name: str) -> Path:
    """A shipped file, by its path below the project: in an installed wheel (digipoort_as4/_data) or in a checkout."""
    package = Path(__file__).parent
    installed = package / "_data" / name
    return installed if installed.exists() else package.parent / name


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Certificate and private key of one use."""

    certificate: Path  # PEM: the certificate, then the CAs above it without the root
    key: Path  # PEM
    password: bytes | None = field(default=None, repr=False)  # of the key; None for a key that is not encrypted


@dataclass(frozen=True, slots=True)
class AuspService:
    """One registered Autorisatie Service Provider."""

    oin: str  # in its TLS certificate
    timeout: timedelta = timedelta(seconds=10)  # of one call
    cache: timedelta = timedelta(minutes=5)  # a yes counts for this long without asking again; a no is never kept


@dataclass(frozen=True, slots=True)
class Settings:
    """All that an operator decides about the post office."""

    folder: Path  # database, payloads, spool and journal
    tls: KeyFiles
    signing: KeyFiles
    ca: Path  # PEM bundle of the roots that peers' certificates lead to
    intermediates: tuple[Path, ...] = ()
    crls: tuple[Path, ...] = ()
    policies: frozenset[str] = frozenset()  # accepted certificate policies; empty: those of the profile
    test_pki: Path | None = None  # folder of the test PKI; None outside the local profile
    profile: str = "local"
    host: str = "127.0.0.1"
    port: int = 8443
    tls_session: int = 3_600  # seconds after which a peer must connect anew (DK-WUS WT008)
    public_url: str = ""  # what peers call us, without a path; empty: as each request does, see trusted_proxies
    trusted_proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    """Where proxies are whose Forwarded or X-Forwarded-* headers say how a client reached us."""
    routes: Path | None = None  # None: the shipped file; so parties and consents
    parties: Path | None = None
    consents: Path | None = None
    profiles: Path | None = None
    agencies: Mapping[str, str] = field(default_factory=dict)  # OIN of each to the URL of its AfleverService
    clock: Path | None = None  # file of the clock that can be moved; None: the machine's. Never in production
    ausp: Mapping[str, AuspService] = field(default_factory=dict)  # by URL, as messages name it in autorisatieAdres
    agency_profiles: Mapping[str, str] = field(default_factory=dict)  # OIN to the profile of its connection
    foutcodes: Mapping[str, Any] = field(default_factory=dict)
    """One table per service, cause to foutcode; checked by wus.faults.FaultTable (decision 4)."""


Reader = Callable[[Any, Path], Any]
"""Turns a value of the file into one of ours; paths are relative to the file's folder. Raises ValueError."""


def _text(value: Any, base: Path) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected a text")
    return value


def _path(value: Any, base: Path) -> Path:
    return (base / Path(_text(value, base)).expanduser()).absolute()


def _file(value: Any, base: Path) -> Path:
    path = _path(value, base)
    if not path.is_file():
        raise ValueError(f"{path} is not there")
    return path


def _each(read_one: Reader, kind: Callable[[Iterable[Any]], Any] = tuple) -> Reader:
    def read(value: Any, base: Path) -> Any:
        # the environment has no lists
        found = [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else value
        if not isinstance(found, list):
            raise ValueError("expected a list")
        return kind(read_one(one, base) for one in found)

    return read


def _up_to(highest: int) -> Reader:
    def read(value: Any, base: Path) -> int:
        number = int(value) if isinstance(value, (int, str)) and str(value).isdigit() else -1
        if not 0 < number <= highest:
            raise ValueError(f"expected a number from 1 to {highest}")
        return number

    return read


def _url(value: Any, base: Path) -> str:
    text = _text(value, base)
    if urlsplit(text).scheme != "https" or not urlsplit(text).hostname:
        raise ValueError("expected an https URL")
    return text.rstrip("/")


def _network(value: Any, base: Path) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(_text(value, base), strict=False)


def _profile(value: Any, base: Path) -> str:
    if value not in PROFILES:
        raise ValueError(f"expected one of {', '.join(PROFILES)}")
    return str(value)


def _secret(value: Any, base: Path) -> bytes:
    return _file(value, base).read_bytes().rstrip(b"\r\n")


KEYS: Final[dict[str, Reader]] = {
    "profile": _profile,
    "folder": _path,
    "listen.host": _text,
    "listen.port": _up_to(65_535),
    "listen.public_url": _url,
    "listen.tls_session": _up_to(86_400),
    "listen.trusted_proxies": _each(_network),
    "tls.certificate": _file,
    "tls.key": _file,
    "tls.password_file": _secret,
    "signing.certificate": _file,
    "signing.key": _file,
    "signing.password_file": _secret,
    "trust.ca": _file,
    "trust.intermediates": _each(_file),
    "trust.crls": _each(_file),
    "trust.policies": _each(_text, frozenset),
    "trust.test_pki": _path,
    "data.routes": _file,
    "data.parties": _file,
    "data.consents": _file,
    "data.profiles": _file,
    "data.clock": _path,
}  # Every key of digipoort.toml; in the environment DIGIPOORT_ and the same in capitals, dots as underscores
REQUIRED: Final = ("folder", "tls.certificate", "tls.key", "signing.certificate", "signing.key", "trust.ca")
NOT_IN_PRODUCTION: Final = {
    "trust.test_pki": "never trusts the test PKI; name trust.ca, intermediates and crls",
    "data.clock": "has the machine's clock, which nobody moves",
}
TABLES: Final = ("agencies", "agency_profiles", "ausp", "foutcodes")  # Tables whose keys the operator chooses


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings, environment before file before defaults; ConfigError lists every mistake of both at once.
    A path of None: the file that DIGIPOORT_CONFIG names, else the one in the usual places."""
    path = path or _find(environment)
    base = path.parent.absolute()
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    mistakes: list[str] = []
    tables: dict[str, Any] = {name: _table(name, tree.pop(name, {}), mistakes) for name in TABLES}
    mistakes += _agencies(tables["agencies"])
    tables["ausp"] = dict(_ausp(url, row, mistakes) for url, row in tables["ausp"].items())
    for oin, name in tables["agency_profiles"].items():
        if oin not in tables["agencies"] or not isinstance(name, str):
            mistakes.append(f"agency_profiles.{oin}: expected an OIN of [agencies], and the name of its profile")
    given = {key: (value, path.name) for key, value in _flat(tree).items()}
    names = {f"DIGIPOORT_{key.upper().replace('.', '_')}": key for key in KEYS}
    given |= {key: (environment[name], name) for name, key in names.items() if name in environment}
    values = _values(given, base, mistakes)
    mistakes += [f"{key}: is missing" for key in REQUIRED if key not in given]
    mistakes += _together(values)
    if mistakes:
        raise ConfigError(f"{path} has {len(mistakes)} mistake(s):\n" + "\n".join(f"  {one}" for one in mistakes))
    return _settings(values | tables)


def _find(environment: Mapping[str, str]) -> Path:
    if named := environment.get("DIGIPOORT_CONFIG"):
        return Path(named)
    home = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = (Path("digipoort.toml"), home / "digipoort" / "digipoort.toml", Path("/etc/digipoort/digipoort.toml"))
    if found := next((place for place in places if place.is_file()), None):
        return found
    raise ConfigError(f"no digipoort.toml; looked in {', '.join(map(str, places))}")


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _values(given: Mapping[str, tuple[Any, str]], base: Path, mistakes: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, (value, origin) in given.items():
        if key not in KEYS:
            near = difflib.get_close_matches(key, [*KEYS, *TABLES], n=1)
            mistakes.append(f"{key}: unknown key{f'; did you mean {near[0]}?' if near else ''}")
            continue
        try:
            values[key] = KEYS[key](value, base)
        except (ValueError, OSError) as error:
            mistakes.append(f"{key} ({origin}): {error}, found {value!r}")
    return values


def _table(name: str, table: Any, mistakes: list[str]) -> dict[str, Any]:
    if isinstance(table, dict):
        return table
    mistakes.append(f"{name}: expected a table")
    return {}


def _agencies(table: Mapping[str, Any]) -> Iterator[str]:
    for oin, url in table.items():
        if len(oin) != 20 or not oin[:8].isdigit():
            yield f"agencies.{oin}: an agency is named by its OIN, 20 positions"
        try:
            _url(url, Path())
        except ValueError as error:
            yield f"agencies.{oin}: {error}, found {url!r}"


def _ausp(url: str, row: Any, mistakes: list[str]) -> tuple[str, AuspService]:
    where, row = f"ausp.{url}", dict(row) if isinstance(row, dict) else {}
    oin = str(row.pop("oin", ""))
    seconds = {name: row.pop(name) for name in ("timeout", "cache") if name in row}
    if urlsplit(url).scheme != "https" or not urlsplit(url).hostname:
        mistakes.append(f"{where}: expected an https URL")
    if len(oin) != 20 or not oin[:8].isdigit():
        mistakes.append(f"{where}: oin is missing or has no 20 positions")
    mistakes += [f"{where}: unknown key {name}; known: oin, timeout, cache" for name in row]
    for name, value in seconds.items():
        if type(value) is not int or not 0 <= value <= 86_400 or (name, value) == ("timeout", 0):
            mistakes.append(f"{where}: {name} is a number of seconds, at most 86400, found {value!r}")
            return url, AuspService(oin)
    return url.rstrip("/"), AuspService(oin, **{name: timedelta(seconds=value) for name, value in seconds.items()})


def _together(values: Mapping[str, Any]) -> list[str]:
    """What no key alone shows."""
    forbidden = NOT_IN_PRODUCTION if values.get("profile") == "production" else {}
    if found := [f"{key}: production {why}" for key, why in forbidden.items() if key in values]:
        return found
    if "trust.test_pki" not in values and not values.get("trust.crls"):
        return ["trust.crls: without revocation lists nobody can be trusted"]
    return []


def _settings(values: Mapping[str, Any]) -> Settings:
    def keys(use: str) -> KeyFiles:
        return KeyFiles(values[f"{use}.certificate"], values[f"{use}.key"], values.get(f"{use}.password_file"))

    others = {
        key.rpartition(".")[2]: value for key, value in values.items() if not key.startswith(("tls.", "signing."))
    }
    return Settings(tls=keys("tls"), signing=keys("signing"), **others)
