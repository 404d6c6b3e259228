"""Rule sets of a connection: as data, at the hub's door, and with one thing broken in each."""

from __future__ import annotations

import re
import tomllib
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers_mtom import package_of
from helpers_wus import AGENCIES, JANSEN, KV, SOAP, WSA, Sender, World, fault_of, plain, tree, vat_return, verified

from digipoort_as4.errors import ConfigError
from digipoort_as4.hub.mandates import Parties
from digipoort_as4.payload import BytesPayload, read_all
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.soap.names import WSA_ANONYMOUS, WSA_NONE
from digipoort_as4.storage.tables import load_parties
from digipoort_as4.transport.http import HttpRequest
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wus import koppelvlak, profiles
from digipoort_as4.wus.koppelvlak import AanleverResponse
from digipoort_as4.wus.operations import AANLEVEREN
from digipoort_as4.wus.profiles import FILE, KEYS, Profiles

HUB = "00000099000000001000"
SIGNED, PLAIN = "overheden-2W-be-S", "overheden-2W-be"
ENDPOINT = f"https://localhost{AANLEVEREN.path}"
FROM = {"from_": f"{WSA_ANONYMOUS}?OIN={JANSEN}"}
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSSE11 = "http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd"


def let(world: World, profile: str, **changes: Any) -> None:
    """Bakkerij Jansen has a connection of this profile."""

    def change(snapshot: Any) -> Any:
        jansen = replace(snapshot.parties.by_oin[JANSEN], profile=profile, **changes)
        return replace(snapshot, parties=Parties({**snapshot.parties.by_oin, JANSEN: jansen}))

    world.with_snapshot(change)


def unsigned(
    pki: Path, headers: str = "", to: str = ENDPOINT, message_id: str = "", from_: str = FROM["from_"]
) -> HttpRequest:
    """A request of Digikoppeling 2W-be, written here and not by our writer."""
    body = koppelvlak.write(vat_return(), "token-for-tests-").octets.decode()
    sender = f"<a:From><a:Address>{from_}</a:Address></a:From>" if from_ else ""
    octets = (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:a="{WSA}"><s:Header>{headers}{sender}<a:To>{to}</a:To>'
        f"<a:Action>{AANLEVEREN.operations[0].request_action}</a:Action>"
        f"<a:MessageID>{message_id or uuid.uuid4().urn}</a:MessageID></s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )
    return Sender(pki, "bakkerij-jansen").request(AANLEVEREN, AANLEVEREN.operations[0], octets.encode())


# --- overheden, signed ------------------------------------------------------------------------------------------------


async def test_an_answer_confirms_the_signature_of_its_request(world: World, jansen: Sender) -> None:
    """WB014 for overheden; none for bedrijven, as the real answers of 2021."""
    asked = jansen.aanleveren(**FROM)
    (value,) = re.findall(rb"<SignatureValue>([^<]*)</SignatureValue>", read_all(asked.body))
    let(world, SIGNED)

    answer = await world.post(asked)
    (confirmation,) = tree(answer).findall(f"{{{SOAP}}}Header/{{{WSSE}}}Security/{{{WSSE11}}}SignatureConfirmation")

    assert value.decode() == confirmation.get("Value")
    assert "SignatureConfirmation" in verified(answer, world).coverage
    let(world, "bedrijven")
    plain = await world.post(jansen.aanleveren())
    assert [] == list(tree(plain).iter(f"{{{WSSE11}}}SignatureConfirmation"))


async def test_an_unsigned_message_is_refused_where_signatures_are_asked(world: World, pki: Path) -> None:
    """In both signed profiles; the same octets are accepted in the unsigned one."""
    for profile in ("bedrijven", SIGNED):
        let(world, profile)
        fault = fault_of(await world.post(unsigned(pki, from_="" if profile == "bedrijven" else FROM["from_"])))
        assert "wsse:Security" in fault.fout.foutbeschrijving
    assert {} == {name: count for name, count in world.stored().items() if name in ("process", "reply", "job")}
    let(world, PLAIN)
    assert 200 == (await world.post(unsigned(pki))).status


@pytest.mark.parametrize("sha1", [True, False])
async def test_sha1_never_enters_overheden(world: World, pki: Path, sha1: bool) -> None:
    """SIGN001: not even by the switch of the party."""
    old = Sender(pki, "bakkerij-jansen", algorithms=Algorithms("sha1", "sha1"))
    let(world, "bedrijven", sha1=True)
    assert 200 == (await world.post(old.aanleveren(**{"from_": WSA_ANONYMOUS}))).status
    let(world, SIGNED, sha1=sha1)
    assert "SHA-1" in fault_of(await world.post(old.aanleveren(**FROM))).fout.foutbeschrijving


# --- overheden, unsigned ----------------------------------------------------------------------------------------------


async def test_without_ws_security_the_tls_certificate_says_who_it_is(world: World, pki: Path) -> None:
    """Accepted, stored under the OIN of the connection, answered unsigned with evidence of both sides."""
    let(world, PLAIN)
    answer = await world.post(unsigned(pki))
    envelope = tree(answer)
    kenmerk = envelope.findtext(f".//{{{KV}}}kenmerk")

    assert 200 == answer.status
    assert ["To", "MessageID", "Action", "RelatesTo"] == [child.tag.rpartition("}")[2] for child in envelope[0]]
    process = await world.store.process(kenmerk)
    assert process is not None
    assert JANSEN == process.aanlevering.sender_oin
    assert 2 == world.stored()["evidence"]
    assert "none" == world.journal()[-1]["algorithms"]


async def test_a_verbatim_repeat_is_known_by_its_digest(world: World, pki: Path) -> None:
    """The same octets get the same answer; the same MessageID on other octets is refused; one process."""
    let(world, PLAIN)
    asked = unsigned(pki, message_id="urn:uuid:2d9c0a26-0d71-4a27-a7a1-1a2d4c30e77c")
    first, again = await world.post(asked), await world.post(asked)
    changed = replace(asked, body=BytesPayload(read_all(asked.body).replace(b"Happyflow", b"Happyflux")))

    assert read_all(first.body) == read_all(again.body)
    assert "wsa:MessageID" in fault_of(await world.post(changed)).fout.foutbeschrijving
    assert 1 == world.stored()["process"]


async def test_an_unsigned_message_may_come_as_mtom(world: World, pki: Path) -> None:
    """Every profile may be sent plain or with MTOM; the digest is over the package as it came."""
    let(world, PLAIN)
    asked = unsigned(pki)
    packed = package_of(asked).of(asked)
    first, again = await world.post(packed), await world.post(packed)

    assert (200, 200) == (first.status, again.status)
    assert b"aanleverResponse" in read_all(first.body)
    assert b"Security" not in read_all(first.body)
    assert read_all(first.body) == read_all(again.body)
    assert 1 == world.stored()["process"]
    changed = replace(packed, body=BytesPayload(read_all(packed.body).replace(b"<xbrl/>", b"<xbrk/>")))
    assert "wsa:MessageID" in fault_of(await world.post(changed)).fout.foutbeschrijving


async def test_nobody_gets_in_without_a_client_certificate(world: World, pki: Path) -> None:
    """Without a signature the connection is all there is; another's certificate is another's message."""
    let(world, PLAIN)
    assert 500 == (await world.post(replace(unsigned(pki), tls_certificate=None))).status
    other = await world.post(
        replace(unsigned(pki, from_=WSA_ANONYMOUS), tls_certificate=Sender(pki, "installatie-deboer").tls)
    )
    assert "wsse:Security" in fault_of(other).fout.foutbeschrijving


async def test_a_signed_message_on_an_unsigned_connection_is_refused(world: World, jansen: Sender) -> None:
    """WB011: one profile a connection; a signature that nobody verifies must not look verified."""
    let(world, PLAIN)
    assert "2W-be" in fault_of(await world.post(jansen.aanleveren(**FROM))).fout.foutbeschrijving


# --- addresses: WA001 -------------------------------------------------------------------------------------------------

ADDRESSES: dict[str, tuple[str, dict[str, str], str]] = {
    "To with our OIN": (SIGNED, {**FROM, "to": f"{ENDPOINT}?OIN={HUB}"}, ""),
    "To with our oin": (SIGNED, {**FROM, "to": f"{ENDPOINT}?x=1&oin={HUB}"}, ""),
    "To anonymous": (SIGNED, {**FROM, "to": WSA_ANONYMOUS}, ""),
    "To anonymous with our OIN": (SIGNED, {**FROM, "to": f"{WSA_ANONYMOUS}?OIN={HUB}"}, ""),
    "To with another OIN": (SIGNED, {**FROM, "to": f"{ENDPOINT}?OIN={JANSEN}"}, "wsa:To"),
    "To with two OINs": (SIGNED, {**FROM, "to": f"{ENDPOINT}?OIN={HUB}&OIN={JANSEN}"}, "wsa:To"),
    "To with an empty OIN": (SIGNED, {**FROM, "to": f"{ENDPOINT}?OIN="}, "wsa:To"),
    "To of another service": (SIGNED, {**FROM, "to": f"https://x/wus/2.0/ophaalservice/1.2?OIN={HUB}"}, "wsa:To"),
    "From with an endpoint": (SIGNED, {"from_": "https://bakkerij.example/ws"}, ""),
    "From with an endpoint and OIN": (SIGNED, {"from_": f"https://bakkerij.example/ws?OIN={JANSEN}"}, ""),
    "From of somebody else": (SIGNED, {"from_": f"{WSA_ANONYMOUS}?OIN={HUB}"}, "wsa:From"),
    "no From": (SIGNED, {}, "wsa:From"),
    "ReplyTo anonymous": (SIGNED, {**FROM, "reply_to": WSA_ANONYMOUS}, ""),
    "ReplyTo none": (SIGNED, {**FROM, "reply_to": WSA_NONE}, "wsa:ReplyTo"),
    "FaultTo anonymous": (SIGNED, {**FROM, "fault_to": WSA_ANONYMOUS}, ""),
    "RelatesTo in a request": (SIGNED, {**FROM, "relates_to": "urn:uuid:1"}, "wsa:RelatesTo"),
    "bedrijven: another OIN in To": ("bedrijven", {"to": f"{ENDPOINT}?OIN=00000004003214345001"}, ""),
    "bedrijven: no From": ("bedrijven", {}, ""),
    "bedrijven: From with an endpoint": ("bedrijven", {"from_": "https://bakkerij.example/ws"}, "wsa:From"),
    "bedrijven: To anonymous": ("bedrijven", {"to": WSA_ANONYMOUS}, "wsa:To"),
    "bedrijven: ReplyTo none": ("bedrijven", {"reply_to": WSA_NONE}, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", ADDRESSES)
async def test_addresses_are_as_the_profile_has_them(world: World, jansen: Sender, name: str) -> None:
    """WS-Addressing of DK-WUS for overheden, of the WSDL's text for bedrijven; the fault names the header."""
    profile, addressing, wrong = ADDRESSES[name]
    let(world, profile)
    answer = await world.post(jansen.aanleveren(**addressing))
    if wrong:
        assert f"Waar: {wrong}." in plain(fault_of(answer).cause)
    else:
        assert 200 == answer.status, read_all(answer.body)


def test_all_that_is_wrong_is_found() -> None:
    """Not the first alone: who sets up a connection mends it once."""
    found = Addressing("urn:x", "urn:action", "urn:uuid:1", relates_to="urn:y", reply_to=WSA_NONE)
    wrong = profiles.judge_addresses(found, JANSEN, HUB, AANLEVEREN, profiles.load().find(SIGNED))
    assert ["wsa:From", "wsa:To", "wsa:ReplyTo", "wsa:RelatesTo"] == [finding.where for finding in wrong]


async def test_a_question_may_leave_from_out(world: World, jansen: Sender) -> None:
    """DK-WUS: From is optional for bevragingen."""
    let(world, SIGNED)
    kenmerk = koppelvlak.read(AanleverResponse, verified(await world.post(jansen.aanleveren(**FROM)), world)).kenmerk
    assert 200 == (await world.post(jansen.ask(kenmerk))).status


def test_requests_of_ours_carry_both_oins() -> None:
    """Where the profile has them; else the bare URL."""
    make: Callable[[str], Any] = lambda name: profiles.address_request(  # noqa: E731
        profiles.load().find(name), ENDPOINT, JANSEN, HUB, "urn:action", "urn:uuid:1"
    )
    assert (f"{ENDPOINT}?OIN={JANSEN}", f"{WSA_ANONYMOUS}?OIN={HUB}") == (make(SIGNED).to, make(SIGNED).from_)
    assert (ENDPOINT, None) == (make("bedrijven").to, make("bedrijven").from_)


# --- data -------------------------------------------------------------------------------------------------------------


def table() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def test_the_shipped_profiles_differ_where_the_standards_do() -> None:
    """digipoort 7.2 and 2.5: what is signed, what is confirmed, where SHA-1 may be."""
    known = profiles.load().by_name
    rows = {name: (one.policy.signed, one.policy.confirmation, one.sha1, one.oin) for name, one in known.items()}
    assert {
        "bedrijven": (True, False, True, False),
        SIGNED: (True, True, False, True),
        PLAIN: (False, False, False, True),
    } == rows


@pytest.mark.parametrize("key", KEYS)
def test_a_profile_without_a_key_is_refused(key: str) -> None:
    """Nothing is guessed."""
    broken = table()
    del broken[SIGNED][key]
    with pytest.raises(ConfigError, match=f"{SIGNED}: {key} is missing"):
        Profiles.of(broken)


WRONG: dict[str, tuple[str, Any, str]] = {
    "unknown key": ("confirmations", True, "did you mean 'confirmation'"),
    "not a flag": ("signed", "yes", "signed must be true or false"),
    "SHA-1 for ours": ("algorithm", "sha1", "algorithm is 'sha1'"),
    "no time": ("timestamp_age", 0, "timestamp_age must be a whole number"),
    "unknown kind of address": ("To", ["services"], "did you mean 'service'"),
    "unknown service": ("from_required", ["aflevern"], "did you mean 'afleveren'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_named(name: str) -> None:
    """Key, value, and the nearest right word."""
    key, value, words = WRONG[name]
    broken = table()
    broken[SIGNED][key] = value
    with pytest.raises(ConfigError, match=words):
        Profiles.of(broken)


def test_a_file_without_bedrijven_is_refused() -> None:
    """It is the profile of who names none."""
    with pytest.raises(ConfigError, match="bedrijven: signed is missing"):
        Profiles.of({SIGNED: table()[SIGNED]})


def test_who_names_a_profile_that_is_not_there_is_told_all_at_once() -> None:
    """Unknown, not built yet, and SHA-1 where none may be; parties and agencies together."""
    jansen = load_parties().by_oin[JANSEN]
    parties = [
        replace(jansen, name="one", profile="overheden-2W-be-SE"),
        replace(jansen, name="two", profile=SIGNED, sha1=True),
        replace(jansen, name="three", profile=SIGNED),
        replace(jansen, name="four", sha1=True),
    ]
    with pytest.raises(ConfigError) as refusal:
        profiles.load().check(parties, {next(iter(AGENCIES)): "overheden"})
    lines = str(refusal.value).splitlines()
    assert 3 == len(lines)
    assert "party one: 'overheden-2W-be-SE' comes with encryption" == lines[0]
    assert f"party two: profile {SIGNED} has no SHA-1" == lines[1]
    assert "is no profile" in lines[2]


def test_the_party_table_names_a_profile() -> None:
    """By a text; bedrijven when absent."""
    row = {"oin": JANSEN, "name": "Bakkerij"}
    assert "bedrijven" == Parties.of({"party": [row]}).by_oin[JANSEN].profile
    assert PLAIN == Parties.of({"party": [{**row, "profile": PLAIN}]}).by_oin[JANSEN].profile
    with pytest.raises(ConfigError, match="profile must be a text"):
        Parties.of({"party": [{**row, "profile": 3}]})


def test_the_agency_table_wins(world: World) -> None:
    """An agency that is a party too has one connection; nobody is without a profile."""
    world.with_snapshot(lambda snapshot: replace(snapshot, agency_profiles={JANSEN: PLAIN}))
    snapshot = world.office.snapshot()
    assert not snapshot.policy_of(JANSEN).signed
    assert snapshot.policy_of("00000099000000999000").signed


# --- what comes with encryption ---------------------------------------------------------------------------------------

XENC = "http://www.w3.org/2001/04/xmlenc#"


@pytest.mark.parametrize("profile", ["bedrijven", SIGNED])
async def test_an_encrypted_message_is_refused(world: World, jansen: Sender, profile: str) -> None:
    """WB005, WB008, ENC001 to ENC004 and 2W-be-SE: nothing is decrypted, neither a Body nor with a key in Security."""
    let(world, profile)
    from_ = WSA_ANONYMOUS if profile == "bedrijven" else FROM["from_"]
    body = f'<x:EncryptedData xmlns:x="{XENC}"><x:CipherData/></x:EncryptedData>'
    hidden = jansen.seal(AANLEVEREN.operations[0], AANLEVEREN, koppelvlak.Written(body.encode(), {}), from_=from_)
    key = f'<x:EncryptedKey xmlns:x="{XENC}"/></wsse:Security>'.encode()
    with_key = read_all(jansen.aanleveren(from_=from_).body).replace(b"</wsse:Security>", key)

    for octets, word in ((hidden, "EncryptedData"), (with_key, "EncryptedKey")):
        text = fault_of(await world.post(jansen.aanleveren(octets))).fout.foutbeschrijving
        assert word in text
    assert "process" not in world.stored()
    assert 200 == (await world.post(jansen.aanleveren(from_=from_))).status
