"""The second engine says what is true, and only messages of our narrow shape reach it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from helpers_sdk import RESPONSE

from digipoort_as4.payload import BytesPayload
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.keys import FileSigner
from digipoort_as4.sdk import second_engine
from digipoort_as4.sdk.second_engine import NoSecondOpinion, Opinion
from digipoort_as4.soap.addressing import Addressing
from digipoort_as4.wssecurity.algorithms import Algorithms
from digipoort_as4.wssecurity.seal_message import seal

EXC = b'<Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></Transform>'


@pytest.fixture(scope="module")
def sealed(sdk_pki: Path) -> bytes:
    """A message of ours, signed by bakkerij-jansen."""
    identity = test_pki.find_identity(sdk_pki, "bakkerij-jansen")
    signer = FileSigner.load(identity.signing_cert, identity.signing_key)
    addressing = Addressing("https://localhost/x", "urn:a", "urn:uuid:1")
    made = seal(RESPONSE, addressing, signer, Algorithms(), datetime.now(UTC), timedelta(minutes=5), lambda: "1")
    return b"".join(made.payload.open())


@pytest.mark.parametrize("family", ["sha1", "sha256", "sha384", "sha512"])
def test_what_we_seal_holds_there_too(sdk_pki: Path, family: str) -> None:
    """SignatureValue, all five digests and the whole, in each family."""
    identity = test_pki.find_identity(sdk_pki, "installatie-deboer")
    signer = FileSigner.load(identity.signing_cert, identity.signing_key)
    addressing = Addressing("https://localhost/x", "urn:a", "urn:uuid:1")
    algorithms = Algorithms(family, family)
    made = seal(RESPONSE, addressing, signer, algorithms, datetime.now(UTC), timedelta(minutes=5), lambda: "1")

    opinion = second_engine.ask(b"".join(made.payload.open()))

    assert (True, True, 5) == (opinion.signature_value, opinion.whole, len(opinion.digests))
    assert all(ok for _, ok in opinion.digests)


def test_a_large_inhoud_is_judged_as_it_was_on_the_wire(sdk_pki: Path) -> None:
    """What left our tree for a spool is put back before xmlsec looks."""
    identity = test_pki.find_identity(sdk_pki, "bakkerij-jansen")
    signer = FileSigner.load(identity.signing_cert, identity.signing_key)
    addressing = Addressing("https://localhost/x", "urn:a", "urn:uuid:1")
    body = b'<a xmlns="http://logius.nl/digipoort/koppelvlakservices/1.2/"><inhoud>UExBQ0U=</inhoud></a>'
    large = {"UExBQ0U=": BytesPayload(bytes(300_000))}
    now, life = datetime.now(UTC), timedelta(minutes=5)
    octets = b"".join(seal(body, addressing, signer, Algorithms(), now, life, lambda: "1", large).payload.open())
    assert 400_000 < len(octets)

    assert second_engine.ask(octets).whole
    assert not second_engine.ask(octets.replace(b"AAAA</inhoud>", b"AAAB</inhoud>")).whole


def test_a_changed_body_breaks_its_digest_only(sealed: bytes) -> None:
    """The engine stops at the first broken digest; we ask for each by itself."""
    opinion = second_engine.ask(sealed.replace(b"Aanleverproces", b"Aanleverprocee"))

    assert ["#body-1"] == [uri for uri, ok in opinion.digests if not ok]
    assert (True, False) == (opinion.signature_value, opinion.whole)


def test_a_changed_signed_info_breaks_the_value_only(sealed: bytes) -> None:
    """White space inside SignedInfo counts."""
    opinion = second_engine.ask(sealed.replace(b"<SignedInfo>", b"<SignedInfo> ", 1))

    assert (False, False) == (opinion.signature_value, opinion.whole)
    assert all(ok for _, ok in opinion.digests)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'URI="#body-1"', b'URI="file:///etc/hostname"', "reference to 'file"),
        (b'URI="#body-1"', b'URI="http://localhost/x"', "reference to 'http"),
        (b'URI="#body-1"', b'URI=""', "reference to ''"),
        (b'URI="#body-1"', b'URI="#xpointer(id(&apos;body-1&apos;))"', "xpointer"),
        (EXC, EXC + EXC, "2 transforms"),
        (EXC, EXC.replace(b"2001/10/xml-exc-c14n#", b"TR/1999/REC-xslt-19991116"), "xslt"),
        (EXC, EXC.replace(b"2001/10/xml-exc-c14n#", b"2000/09/xmldsig#enveloped-signature"), "enveloped"),
        (b"2001/04/xmldsig-more#rsa-sha256", b"2000/09/xmldsig#hmac-sha1", "hmac"),
        (b"2001/04/xmlenc#sha256", b"2001/04/xmldsig-more#md5", "md5"),
        (b"</Signature>", b"<Object></Object></Signature>", "ds:Object"),
        (b"<Signature ", b'<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"></Signature><Signature ', "more than"),
        (b"wsse:BinarySecurityToken", b"wsse:BinarySecurityTokem", "BinarySecurityToken"),
    ],
)
def test_what_is_outside_our_shape_is_not_shown_to_it(sealed: bytes, old: bytes, new: bytes, reason: str) -> None:
    """The same message with one thing the engine could be hurt by never reaches it."""
    assert old in sealed
    with pytest.raises(NoSecondOpinion, match=reason.replace("(", r"\(")):
        second_engine.ask(sealed.replace(old, new))


def test_a_long_prefix_list_is_not_shown_to_it(sealed: bytes) -> None:
    """Seventeen prefixes; our limit is sixteen."""
    prefixes = " ".join(f"p{number}" for number in range(17)).encode()
    listed = b'<InclusiveNamespaces xmlns="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="' + prefixes + b'"/>'
    with pytest.raises(NoSecondOpinion, match="PrefixList"):
        second_engine.ask(sealed.replace(EXC, EXC.replace(b"></", b">" + listed + b"</"), 1))


def test_it_runs_outside_this_process() -> None:
    """xmlsec shares libxml2's memory with lxml; no module of ours loads it here."""
    import subprocess
    import sys

    code = "import sys; import digipoort_as4.sdk.verify; print('xmlsec' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "False" == done.stdout.strip()


@pytest.mark.parametrize(
    ("value", "digests", "expected"),
    [
        (True, (("#a", True), ("#b", False)), True),
        (False, (("#a", True), ("#b", False)), False),
        (None, (("#a", True), ("#b", False)), False),
        (True, (("#a", True), ("#b", True)), False),
        (True, (("#b", False), ("#a", True)), False),
        (True, (("#a", True),), False),
    ],
)
def test_agreeing_means_the_value_and_each_digest(
    value: bool | None, digests: tuple[tuple[str, bool], ...], expected: bool
) -> None:
    """Decision 31, by a table."""
    opinion = Opinion("x", True, (("#a", True), ("#b", False)), False)
    assert expected == opinion.agrees_with(value, digests)


def test_an_engine_that_contradicts_itself_agrees_with_nobody() -> None:
    """All parts hold, but the engine's own whole verdict is no."""
    assert not Opinion("x", True, (("#a", True),), False).agrees_with(True, (("#a", True),))
