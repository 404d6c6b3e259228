"""Rule sets of a connection as data: what `bedrijven` and Digikoppeling's profiles ask of messages and addresses.

Verifies no signature (wssecurity does, under the policy in here) and knows no party.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
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
DEFAULT: Final = BEDRIJVEN  # of who names none
TO_OIN: Final = ("ignored", "checked", "required")
FLAGS: Final = (
    "signed", "confirmation", "sha1", "to_anonymous", "from_endpoint", "reply_to_none", "relates_to",
    "oin_in_addresses", "refuse_duplicates",
)  # fmt: skip
TIMES: Final = ("timestamp_age", "timestamp_life", "timestamp_future")  # seconds
KEYS: Final = (*FLAGS, *TIMES, "algorithm", "to_oin", "from_required")
LONGEST: Final = 86_400  # seconds


@dataclass(frozen=True, slots=True)
class Profile:
    """One rule set; profiles.toml says what each key means."""

    name: str
    policy: SignaturePolicy  # for messages to us; SHA-1 comes per party
    sha1: bool
    algorithms: Algorithms  # of our own requests
    to_anonymous: bool
    to_oin: str  # one of TO_OIN
    from_required: tuple[str, ...]  # names of services
    from_endpoint: bool
    reply_to_none: bool
    relates_to: bool
    oin_in_addresses: bool
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
        rows = {name: mistakes.table(table, name, "top") for name in table}
        pending = {name: mistakes.text(row, "pending", name) for name, row in rows.items() if "pending" in row}
        by_name = {name: _profile(mistakes, name, row) for name, row in rows.items() if name not in pending}
        if DEFAULT not in by_name:
            mistakes.add("top", f"{DEFAULT} is missing: it is the profile of who names none")
        mistakes.finish()
        return Profiles(by_name, pending)

    def find(self, name: str, where: str = "profile") -> Profile:
        """The profile of this name; ConfigError when there is none."""
        if name in self.by_name:
            return self.by_name[name]
        why = self.pending.get(name, "is no profile" + nearest(name, self.by_name))
        raise ConfigError(f"{where}: {name!r} {why}")

    def check(self, parties: Iterable[Party], agencies: Mapping[str, str]) -> None:
        """What parties and agencies (OIN to profile) name is there and fits; ConfigError tells all mistakes."""
        named = {f"party {party.name}": (party.profile, party.sha1) for party in parties}
        named |= {f"agency {oin}": (name, False) for oin, name in agencies.items()}
        found = []
        for where, (name, sha1) in named.items():
            try:
                if not self.find(name, where).sha1 and sha1:
                    found.append(f"{where}: profile {name} has no SHA-1")
            except ConfigError as error:
                found.append(str(error))
        if found:
            raise ConfigError("\n".join(found))


@cache
def load(path: Path | None = None) -> Profiles:
    """The profiles of a file, by default the shipped one; ConfigError when it cannot be used."""
    path = path or FILE
    try:
        return Profiles.of(tomllib.loads(path.read_text(encoding="utf-8")), path.name)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _profile(mistakes: Mistakes, name: str, row: Mapping[str, Any]) -> Profile:
    mistakes.check_keys(row, KEYS, name)
    for key in KEYS:
        if key not in row:
            mistakes.add(name, f"{key} is missing: a profile leaves nothing to be guessed")
    flags = {key: mistakes.flag(row, key, name) for key in FLAGS}
    age, life, future = (timedelta(seconds=mistakes.number(row, key, name, 1, LONGEST)) for key in TIMES)
    hash_name = mistakes.choice(row, "algorithm", name, SIGNATURE_URIS.keys() - WEAK, "sha256")
    services = mistakes.texts(row, "from_required", name)
    signed, confirmation = flags.pop("signed"), flags.pop("confirmation")
    return Profile(
        name=name,
        policy=SignaturePolicy(signed, confirmation, age=age, life=life, future=future),
        algorithms=Algorithms(hash_name, hash_name),
        to_oin=mistakes.choice(row, "to_oin", name, TO_OIN, TO_OIN[0]),
        from_required=mistakes.words(services, [one.name for one in SERVICES], name, "service"),
        **flags,
    )


# --- addresses: DK-WUS WA001, digipoort 1.8 ---------------------------------------------------------------------------


def check_addresses(found: Addressing, sender_oin: str, our_oin: str, service: Service, profile: Profile) -> None:
    """WS-Addressing of a request is as the profile has it. Raises PeerError: header-value, header-missing."""
    _check_to(found.to, our_oin, service, profile)
    _check_from(found.from_, sender_oin, service, profile)
    replies = (WSA_ANONYMOUS, WSA_NONE) if profile.reply_to_none else (WSA_ANONYMOUS,)
    if found.reply_to not in (None, *replies):
        raise _wrong("wsa:ReplyTo", found.reply_to or "", " of ".join(replies), "Het antwoord komt hier terug.")
    if found.relates_to is not None and not profile.relates_to:
        raise _wrong("wsa:RelatesTo", found.relates_to, "geen: dit is een verzoek", "Laat wsa:RelatesTo weg.")


def _check_to(to: str, our_oin: str, service: Service, profile: Profile) -> None:
    """The last path segments decide: a gateway in front may go by another name, and a known client sends only them."""
    wanted, (address, oin) = service.path.split("/")[-2:], _split(to)
    if not (profile.to_anonymous and address == WSA_ANONYMOUS) and _segments(address) != wanted:
        expected, fix = f"een adres dat eindigt op /{'/'.join(wanted)}", "Zet wsa:To op het adres van deze service."
        raise _wrong("wsa:To", to, expected, fix)
    if (oin is None and profile.to_oin == "required") or (oin not in (None, our_oin) and profile.to_oin != TO_OIN[0]):
        raise _wrong("wsa:To", to, f"?OIN={our_oin}", "Zet het OIN van de ontvanger in wsa:To.")


def _check_from(found: str | None, sender_oin: str, service: Service, profile: Profile) -> None:
    if found is None:
        if service.name in profile.from_required:
            fix = f"Voeg wsa:From toe, bijvoorbeeld met adres {WSA_ANONYMOUS}?OIN={sender_oin}."
            raise PeerError("header-missing", where="wsa:From", found="geen", expected="eenmaal", fix=fix)
        return
    if not profile.from_endpoint and found not in (WSA_ANONYMOUS, WSA_NONE):
        raise _wrong("wsa:From", found, f"{WSA_ANONYMOUS} of {WSA_NONE}", "")
    if profile.from_endpoint and _split(found)[1] not in (None, sender_oin):
        raise _wrong("wsa:From", found, f"?OIN={sender_oin}", "Zet uw eigen OIN in wsa:From.")


def _split(address: str) -> tuple[str, str | None]:
    """An address without its query, and the OIN in it."""
    start, _, query = address.partition("?")
    return start, next((value for name, value in parse_qsl(query, True) if name.upper() == "OIN"), None)


def _segments(address: str) -> list[str]:
    try:
        return urlsplit(address).path.rstrip("/").split("/")[-2:]
    except ValueError:
        return []


def _wrong(where: str, found: str, expected: str, fix: str) -> PeerError:
    return PeerError("header-value", where=where, found=found[:200], expected=expected, fix=fix)


def address_request(profile: Profile, url: str, oin: str, our_oin: str, action: str, message_id: str) -> Addressing:
    """WS-Addressing of a request of ours to the party with this OIN at this URL."""
    if not profile.oin_in_addresses:
        return Addressing(url, action, message_id)
    return Addressing(f"{url}?OIN={oin}", action, message_id, from_=f"{WSA_ANONYMOUS}?OIN={our_oin}")
