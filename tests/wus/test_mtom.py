"""MTOM on aanleveren: the same message as its plain form, and no other; XOP that does not add up is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from helpers_mtom import EVERYTHING, XOP, Package, package_of, unpacked
from helpers_wus import Sender, World, document, fault_of, vat_return, verified

from digipoort_as4 import limits
from digipoort_as4.errors import UNTRUSTED
from digipoort_as4.payload import FilePayload, Spool, read_all
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wus import koppelvlak
from digipoort_as4.wus.operations import AANLEVEREN

LARGE = os.urandom(300_001)
SMALL = b"%PDF-1.7 klein"


def with_documents(*octets: bytes) -> koppelvlak.AanleverRequest:
    documents = [document(one, "bijlage" if number else "inhoud") for number, one in enumerate(octets)]
    return vat_return(documents=tuple(documents))


async def documents_of(world: World, answer: HttpAnswer) -> list[tuple[bytes, bytes]]:
    """Octets and digests of the process that this receipt names."""
    receipt = koppelvlak.read(koppelvlak.AanleverResponse, verified(answer, world))
    process = await world.store.process(receipt.kenmerk)
    assert process is not None
    return [(b"".join(one.payload.open()), one.sha256) for one in process.aanlevering.documents]


@pytest.mark.parametrize("elements", [("inhoud",), ("BinarySecurityToken",), EVERYTHING], ids=lambda e: "+".join(e))
async def test_a_package_is_accepted_as_its_plain_form_is(
    world: World, jansen: Sender, elements: tuple[str, ...]
) -> None:
    """Small, large and empty documents, and all other base64 of the envelope, moved out: the same documents stored."""
    request = jansen.aanleveren(with_documents(b"<xbrl/>", LARGE, SMALL))
    plain = await documents_of(world, await world.post(jansen.aanleveren(with_documents(b"<xbrl/>", LARGE, SMALL))))

    answer = await world.post(package_of(request, elements).of(request))

    stored = await documents_of(world, unpacked(answer))
    assert [b"<xbrl/>", LARGE, SMALL] == [octets for octets, _ in stored]
    assert plain == stored
    assert 2 == world.stored()["process"]
    assert "spool files" not in world.stored()


@pytest.mark.parametrize("inline", [0, 1, 2])
async def test_large_documents_inside_and_beside_the_envelope(world: World, jansen: Sender, inline: int) -> None:
    """One of three large ones stays base64 in the root: the order is the document's, not that of the parts."""
    octets = [LARGE + bytes([number]) for number in range(3)]
    request = jansen.aanleveren(with_documents(*octets))
    package = package_of(request)
    href, text = f"cid:{inline + 1}%40client".encode(), read_all(request.body).split(b"<inhoud>")[inline + 1]
    include = b'<xop:Include xmlns:xop="%s" href="%s"/>' % (XOP.encode(), href)
    back = package.root.replace(include, text.partition(b"</inhoud>")[0])
    kept = tuple(part for number, part in enumerate(package.parts) if number != inline)

    answer = await world.post(replace(package, root=back, parts=kept).of(request))

    assert octets == [one for one, _ in await documents_of(world, unpacked(answer))]


async def test_parts_may_come_in_any_order_and_the_body_from_a_file(world: World, jansen: Sender) -> None:
    """As a spooled body, whose parts stay in the file until they are decoded nowhere."""
    request = jansen.aanleveren(with_documents(LARGE, SMALL, LARGE + b"x"))
    package = package_of(request)
    mixed = replace(package, parts=package.parts[::-1]).of(request)
    spooled = Spool(world.folder / "incoming").write(mixed.body.open())

    answer = await world.post(replace(mixed, body=spooled))

    assert [LARGE, SMALL, LARGE + b"x"] == [one for one, _ in await documents_of(world, unpacked(answer))]
    assert isinstance(spooled, FilePayload)


async def test_a_repeat_of_a_package_gets_the_same_octets(world: World, jansen: Sender) -> None:
    """Content-Type included, which holds the boundary; the plain form of it is the same signed message."""
    request = jansen.aanleveren()
    package = package_of(request).of(request)
    first, again, plain = [await world.post(one) for one in (package, package, request)]

    assert (read_all(first.body), first.headers) == (read_all(again.body), again.headers)
    assert "text/xml; charset=utf-8" == plain.headers["content-type"]
    assert read_all(plain.body) == read_all(unpacked(first).body)
    assert 1 == world.stored()["process"]


@pytest.mark.parametrize("octets", [b"<xbrl/>", LARGE])
async def test_one_octet_of_a_part_changed_is_refused(world: World, jansen: Sender, octets: bytes) -> None:
    """The signature covers what the part restores to."""
    request = jansen.aanleveren(with_documents(octets))
    package = package_of(request)
    (name, part), *_ = package.parts
    changed = replace(package, parts=((name, bytes([part[0] ^ 1]) + part[1:]),))

    await refused(world, changed.of(request), UNTRUSTED)


# --- XOP that does not add up -----------------------------------------------------------------------------------------


async def refused(world: World, request: HttpRequest, *told: str, status: int = 500) -> None:
    """A readable fault in text/xml, nothing stored, one journal line."""
    answer = await world.post(request)
    assert "text/xml; charset=utf-8" == answer.headers["content-type"]
    fault = fault_of(answer)
    assert fault.fout is not None
    assert (status, "ALS100") == (answer.status, fault.fout.foutcode)
    for text in told:
        assert text in fault.cause
    assert {} == world.stored()
    assert ["refused"] == [line["event"] for line in world.journal()]


def in_root(old: str, new: str) -> Callable[[Package], Package]:
    def change(package: Package) -> Package:
        assert old.encode() in package.root
        return replace(package, root=package.root.replace(old.encode(), new.encode(), 1))

    return change


INCLUDE = f'<xop:Include xmlns:xop="{XOP}" href="cid:1%40client"/>'
SECOND = f'<xop:Include xmlns:xop="{XOP}" href="cid:2%40client"/>'

XOP_BROKEN: dict[str, tuple[Callable[[Package], Package], tuple[str, ...]]] = {
    "missing part": (
        lambda p: replace(p, parts=p.parts[1:]),
        ("Een xop:Include of het deel", "Include, regel 2", "'cid:1%40client'", "geen deel"),
    ),
    "doubled part": (
        lambda p: replace(p, parts=(*p.parts, p.parts[0])),
        ("Waar: deel 4", "Content-ID '1@client'", "een eigen Content-ID"),
    ),
    "unused part": (lambda p: replace(p, parts=(*p.parts, ("9@x", b"9"))), ("1 delen waar niets naar", "'9@x'")),
    "part used twice": (in_root("cid:2%40client", "cid:1%40client"), ("een deel dat al gebruikt is",)),
    "the root itself": (in_root("cid:1%40client", "cid:root.message@client"), ("geen deel",)),
    "http": (in_root("cid:1%40client", "http://127.0.0.1:9/x"), ("'http://127.0.0.1:9/x'", "Verwacht: cid:")),
    "file": (in_root("cid:1%40client", "file:///etc/passwd"), ("Verwacht: cid:",)),
    "relative": (in_root("cid:1%40client", "1@client"), ("Verwacht: cid:",)),
    "empty href": (in_root("cid:1%40client", ""), ("Verwacht: cid:",)),
    "no href": (in_root(' href="cid:1%40client"', ""), ("andere attributen",)),
    "more attributes": (in_root(' href="cid:1%40client"', ' href="cid:1%40client" x="y"'), ("andere attributen",)),
    "text beside it": (in_root(INCLUDE, f"AAAA{INCLUDE}"), ("tekst of elementen naast xop:Include",)),
    "white space behind it": (in_root(INCLUDE, f"{INCLUDE}\n"), ("tekst of elementen naast xop:Include",)),
    "two in one element": (in_root(INCLUDE, INCLUDE + SECOND), ("tekst of elementen naast xop:Include",)),
    "one in the other": (in_root(INCLUDE, INCLUDE.replace("/>", f">{SECOND}</xop:Include>")), ("andere attributen",)),
    "in an element with children": (in_root("<berichtInhoud>", f"<berichtInhoud>{SECOND}"), ("tekst of elementen",)),
    "older namespace": (in_root(XOP, "http://www.w3.org/2003/12/xop/include"), ("1 delen waar niets naar verwijst",)),
    "type of the package": (
        lambda p: replace(p, content_type=p.content_type.replace("application/xop+xml", "text/xml")),
        ("Waar: Content-Type, type", "Gevonden: text/xml", "application/xop+xml"),
    ),
    "SOAP 1.2": (
        lambda p: replace(p, content_type=p.content_type.replace("text/xml", "application/soap+xml")),
        ("start-info", "application/soap+xml", "Verwacht: text/xml"),
    ),
    "type of the root": (lambda p: replace(p, root_type="text/xml"), ("Content-Type van het eerste deel",)),
    "charset of the root": (
        lambda p: replace(p, root_type=p.root_type.replace("UTF-8", "utf-16")),
        ("charset", "utf-16"),
    ),
    "start": (lambda p: replace(p, content_type=p.content_type.replace("root.message", "x")), ("start 'x@client'",)),
    "boundary": (
        lambda p: replace(p, content_type=p.content_type.replace("uuid:5644c51c", "other")),
        ("geen afsluitende boundary-regel",),
    ),
    "DOCTYPE in the root": (in_root("?>\n", "?>\n<!DOCTYPE x>"), ("Een DOCTYPE is niet toegestaan.",)),
    "not XML": (in_root("</soapenv:Body>", "</soapenv:Bode>"), ("geen welgevormde XML",)),
}


@pytest.mark.parametrize("name", XOP_BROKEN)
async def test_one_thing_broken_in_a_package(world: World, jansen: Sender, name: str) -> None:
    """The package is accepted (above); with this one thing changed the fault says what was found."""
    change, told = XOP_BROKEN[name]
    request = jansen.aanleveren(with_documents(b"<xbrl/>", SMALL))
    package = change(package_of(request))

    status = 415 if any("Content-Type" in text or text in {"start-info", "charset"} for text in told) else 500
    await refused(world, package.of(request), *told, status=status)


async def test_a_part_above_the_largest_inhoud_is_refused_before_it_is_hashed(world: World, jansen: Sender) -> None:
    """20,971,520 octets fit the facet of the XSD, one more does not (digipoort 1.6)."""
    request = jansen.aanleveren()
    package = package_of(request)
    too_large = replace(package, parts=((package.parts[0][0], bytes(limits.INHOUD + 1)),))

    await refused(world, too_large.of(request), "Een inhoud is groter dan 20971520 octetten.", "inhoud, regel 2")


async def test_a_large_part_belongs_in_an_inhoud_only(world: World, jansen: Sender) -> None:
    """A token of 64 KiB and more is no certificate."""
    request = jansen.aanleveren()
    package = package_of(request, ["BinarySecurityToken"])
    large = replace(package, parts=((package.parts[0][0], bytes(limits.INHOUD_IN_TREE)),))

    await refused(world, large.of(request), "Een inhoud is geen base64 zoals afgesproken.")


async def test_an_include_in_text_xml_is_no_inhoud(world: World, jansen: Sender) -> None:
    """Without a package nothing is looked up: the XSD refuses the element, and nobody is asked for what it names."""
    body = koppelvlak.write(vat_return(), "token-for-tests-").octets
    include = f'<inhoud><xop:Include xmlns:xop="{XOP}" href="http://127.0.0.1:9/x"/></inhoud>'.encode()
    before, _, after = body.partition(b"<inhoud>")
    written = koppelvlak.Written(before + include + after.partition(b"</inhoud>")[2], {})
    octets = jansen.seal(AANLEVEREN.operations[0], AANLEVEREN, written)

    await refused(world, jansen.aanleveren(octets), "Het bericht voldoet niet aan het XML-schema.", "element inhoud")


async def test_only_aanleveren_takes_mtom(world: World, jansen: Sender) -> None:
    """The status service says which one does; the same question as text/xml is answered."""
    question = jansen.ask("onbekend")
    answer = await world.post(package_of(question).of(question))

    fault = fault_of(answer)
    assert fault.fout is not None
    assert (415, "STS100") == (answer.status, fault.fout.foutcode)
    assert "Gevonden: multipart/related" in fault.cause
    assert "zonder MTOM: alleen aanleveren neemt dat aan" in fault.cause
    assert "Het kenmerk is niet bekend." in fault_of(await world.post(question)).cause
