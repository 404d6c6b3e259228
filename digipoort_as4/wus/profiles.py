"""Rule sets of a connection as data: what `bedrijven` and Digikoppeling's profiles ask of messages and addresses.

Verifies no signature (wssecurity does, under the policy in here) and knows no party."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from digipoort_as4.errors import ConfigError, PeerError
from digipoort_as4.hub.mandates import BEDRIJVEN, Party
from digipoort_as4.hub.mistakes import Mistakes, nearest
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.names import WSA_ANONYMOUS, WSA_NONE
from digipoort_as4.wssecurity.algorithms import SIGNATURE_URIS, WEAK, Algorithms
from digipoort_as4.wssecurity.open_message import SignaturePolicy
from digipoort_as4.wus.operations import SERVICES, Service

FILE: Final = Path(__file__).with_name("profiles.toml")
FLAGS: Final = ("signed", "confirmation", "sha1", "oin", "refuse_duplicates")
TIMES: Final = ("timestamp_age", "timestamp_life", "timestamp_future")
HEADERS: Final = ("To", "From", "ReplyTo", "RelatesTo")
KEYS: Final = (*FLAGS, *TIMES, *HEADERS, "algorithm", "from_required")
KINDS: Final = {"service": "", "anonymous": WSA_ANONYMOUS, "none": WSA_NONE, "any": ""}  # of a header, with its address
DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Profile:
    """One rule set; profiles.toml says what each key means."""

    policy: SignaturePolicy  # for messages to us; SHA-1 comes per party
    sha1: bool
    algorithms: Algorithms  # of our own requests
    headers: Mapping[str, tuple[str, ...]]  # one of HEADERS to some of KINDS
    oin: bool
    from_required: tuple[str, ...]  # names of services
    refuse_duplicates: bool


@dataclass(frozen=True, slots=True)
class Profiles:
    """All profiles of one file."""

    by_name: Mapping[str, Profile]
    pending: Mapping[str, str]  # name to why nobody can have it

    @staticmethod
    def of(table: Mapping[str, Any], file: str = FILE.name) -> Profiles:
        """Profiles from what tomllib made of a file; ConfigError tells all mistakes at once, one a line."""
        mistakes = Mistakes(file)
        rows = {name: mistakes.table(table, name, "top") for name in (BEDRIJVEN, *table)}
        pending = {name: mistakes.text(row, "pending", name) for name, row in rows.items() if "pending" in row}
        by_name = {name: _profile(mistakes, name, row) for name, row in rows.items() if name not in pending}
        mistakes.finish()
        return Profiles(by_name, pending)

    def find(self, name: str, where: str = "profile") -> Profile:
        """The profile of this name; ConfigError when there is none."""
        if name in self.by_name:
            return self.by_name[name]
        raise ConfigError(f"{where}: {name!r} {self.pending.get(name, 'is no profile' + nearest(name, self.by_name))}")

    def check(self, parties: Iterable[Party], agencies: Mapping[str, str]) -> None:
        """What parties and agencies (OIN to profile) name is there and fits; ConfigError tells all mistakes."""
        found = []
        named = [(f"party {party.name}", party.profile, party.sha1) for party in parties]
        for where, name, sha1 in (*named, *((f"agency {oin}", name, False) for oin, name in agencies.items())):
            try:
                if sha1 > self.find(name, where).sha1:
                    found.append(f"{where}: profile {name} has no SHA-1")
            except ConfigError as error:
                found.append(str(error))
        if found:
            raise ConfigError("\n".join(found))


def load(path: Path | None = None) -> Profiles:
    """The profiles of a file, by default the shipped one; ConfigError when it cannot be used."""
    path = path or FILE
    try:
        return Profiles.of(tomllib.loads(path.read_text(encoding="utf-8")), path.name)
    except (OSError, ValueError) as error:  # UTF-8 and TOML raise ValueErrors
        raise ConfigError(f"{path}: {error}") from error


def _profile(mistakes: Mistakes, name: str, row: Mapping[str, Any]) -> Profile:
    mistakes.check_keys(row, KEYS, name)
    for key in [key for key in KEYS if key not in row]:
        mistakes.add(name, f"{key} is missing")
    flags = {key: mistakes.flag(row, key, name) for key in FLAGS}
    age, life, future = (timedelta(seconds=mistakes.number(row, key, name, 1, DAY)) for key in TIMES)
    hash_name = mistakes.choice(row, "algorithm", name, SIGNATURE_URIS.keys() - WEAK, "sha256")
    texts = {key: mistakes.texts(row, key, name) for key in (*HEADERS, "from_required")}
    return Profile(
        policy=SignaturePolicy(flags["signed"], flags["confirmation"], age=age, life=life, future=future),
        sha1=flags["sha1"],
        algorithms=Algorithms(hash_name, hash_name),
        headers={key: mistakes.words(texts[key], KINDS, f"{name}.{key}", "kind of address") for key in HEADERS},
        oin=flags["oin"],
        from_required=mistakes.words(texts["from_required"], [one.name for one in SERVICES], name, "service"),
        refuse_duplicates=flags["refuse_duplicates"],
    )


def judge_addresses(
    found: Addressing, sender_oin: str, our_oin: str, service: Service, profile: Profile
) -> Iterator[PeerError]:
    """What is wrong with WS-Addressing of a request by this profile: header-value, header-missing.
    Of the service's address the last path segments decide: a gateway in front may go by another name, and a known
    client sends only them."""
    if found.from_ is None and service.name in profile.from_required:
        fix = f"Voeg wsa:From toe, bijvoorbeeld met adres {WSA_ANONYMOUS}?OIN={sender_oin}."
        yield PeerError("header-missing", where="wsa:From", found="geen", expected="eenmaal", fix=fix)
    values = (found.to, found.from_, found.reply_to, found.relates_to)
    wanted = [path.split("/")[-2:] for path in service.paths]
    known = {text: kind for kind, text in KINDS.items() if text}
    for header, value, oin in zip(HEADERS, values, (our_oin, sender_oin, None, None), strict=True):
        if value is None:
            continue
        address, _, query = value.partition("?")
        kind = known.get(address, "service" if _segments(address) in wanted else "any")
        named = [text for name, text in parse_qsl(query, keep_blank_values=True) if name.upper() == "OIN"]
        if not {kind, "any"}.intersection(profile.headers[header]):
            texts = [
                KINDS[one] or f"een adres dat eindigt op /{'/'.join(wanted[0])}" for one in profile.headers[header]
            ]
            expected, fix = " of ".join(texts) or "geen", f"Zet wsa:{header} op de verwachte waarde."
            yield PeerError("header-value", where=f"wsa:{header}", found=value[:200], expected=expected, fix=fix)
        elif profile.oin and oin and named not in ([], [oin]):
            yield PeerError("header-value", where=f"wsa:{header}", found=value[:200], expected=f"?OIN={oin}")


def _segments(address: str) -> list[str]:
    try:
        return urlsplit(address).path.rstrip("/").split("/")[-2:]
    except ValueError:
        return []


def address_request(profile: Profile, url: str, oin: str, our_oin: str, action: str, message_id: str) -> Addressing:
    """WS-Addressing of a request of ours to the party with this OIN at this URL."""
    if not profile.oin:
        return Addressing(url, action, message_id)
    return Addressing(f"{url}?OIN={oin}", action, message_id, from_=f"{WSA_ANONYMOUS}?OIN={our_oin}")
