"""Authority beside mandates: an Autorisatie Service Provider (AuSP) says whether a party may act for a belanghebbende.

Asks at registered addresses only; the address in a message chooses among them and never becomes one. The service
description is ours (schemas/AutorisatieService_V1_0.wsdl): that of real AuSPs is not public."""

import asyncio
import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from digipoort_as4.config import data_file
from digipoort_as4.errors import PeerError, TransportError
from digipoort_as4.hub import identities, mandates
from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.mandates import Authority, Party
from digipoort_as4.payload import BytesPayload, read_all
from digipoort_as4.soap import xml_guard
from digipoort_as4.transport.http import HttpAnswer
from digipoort_as4.wus import schema
from digipoort_as4.wus.asking import Post
from digipoort_as4.wus.office import Office

GEEN_AUSP: Final = "http://geenausp.nl"
"""autorisatieAdres of whoever has no Autorisatie Service Provider (digipoort 4.7)."""
OPERATION: Final = "controleerAutorisatie"
HEADERS: Final = {
    "content-type": "text/xml; charset=utf-8",
    "soapaction": f'"urn:digipoort-as4:autorisatieservice:1.0:{OPERATION}"',
}
REMEMBERED: Final = 10_000  # Permissions at most, of all AuSPs together; the oldest makes way
PAUSE: Final = timedelta(seconds=3)
"""After a failure: nobody else waits for that AuSP meanwhile, and then one call finds out whether it is back."""


async def settle(
    asker: Party | None,
    belanghebbende: Identiteit,
    berichtsoort: str | None,
    kind: str,
    autorisatie_adres: str | None,
    office: Office,
) -> Authority:
    """The authority of a party to follow or fetch for this belanghebbende: its own, by a mandate or by the named AuSP.
    Without berichtsoort: for whatever berichtsoorten there are, of which `Authority.covers` says whether each is in.
    Raises PeerError: identity-number; autorisatie-adres for one that is not registered, whoever asks; not-authorised;
    ausp-unavailable.
    Source: digipoort 1.6 (autorisatieAdresType), 4.7; decision 3."""
    identities.check("identiteitBelanghebbende", belanghebbende)
    check_address(autorisatie_adres, office.snapshot().ausp)
    authority = mandates.weigh(asker, belanghebbende, berichtsoort, kind, office.now())
    if not authority.ok and asker is not None and is_named(autorisatie_adres):
        authority = await office.ask_ausp(str(autorisatie_adres), asker.oin, belanghebbende, berichtsoort, kind)
    if authority.ok:
        return authority
    raise PeerError(
        "ausp-unavailable" if authority.trouble else "not-authorised",
        where="identiteitBelanghebbende",
        found=identities.shown(belanghebbende),
        expected="een eigen nummer, of een belanghebbende die u voor deze berichtsoort heeft gemachtigd",
        fix="Laat de machtiging registreren, of noem in autorisatieAdres de dienst die haar kan bevestigen.",
        detail=authority.reason,
    )


async def confirm(aanlevering: Aanlevering, authority: Authority, office: Office) -> Authority:
    """What the AuSP that a message names says, where mandates alone give its sender no authority."""
    address = aanlevering.autorisatie_adres
    if authority.ok or not is_named(address):
        return authority
    sent = (aanlevering.sender_oin, aanlevering.belanghebbende, aanlevering.berichtsoort)
    return await office.ask_ausp(str(address), *sent, mandates.AANLEVEREN)


def is_named(address: str | None) -> bool:
    """True when a message names an AuSP, and not that there is none."""
    return address is not None and address.rstrip("/") != GEEN_AUSP


def check_address(address: str | None, registered: Collection[str]) -> None:
    """Refuse an autorisatieAdres that is not registered. Raises PeerError: autorisatie-adres."""
    if address is not None and is_named(address) and address.rstrip("/") not in registered:
        expected = f"geen, of {' of '.join([*sorted(registered), GEEN_AUSP])}"
        advice = f"Laat autorisatieAdres weg of vul {GEEN_AUSP} in."
        raise PeerError(
            "autorisatie-adres", where="autorisatieAdres", found=address or "leeg", expected=expected, fix=advice
        )


class Ausp:
    """Asks AuSPs over mutual TLS, and remembers for a while who said yes; a no is asked again each time."""

    def __init__(self, office: Office, post: Post) -> None:
        self._office, self._post = office, post
        self._granted: dict[tuple[str | None, ...], datetime] = {}  # until when
        self._down: dict[str, datetime] = {}  # by address: until when nobody asks
        if office.snapshot().ausp:
            _client()  # half a second: at the start, not while others wait

    async def ask(
        self, address: str, oin: str, belanghebbende: Identiteit, berichtsoort: str | None, kind: str
    ) -> Authority:
        """May the holder of this OIN do this? A failure of the AuSP in any form is `Authority.trouble`."""
        address, now = address.rstrip("/"), self._office.now()
        service = self._office.snapshot().ausp.get(address)
        if service is None:
            return Authority(False, f"{address} is not registered any more")
        asked = (address, oin, identities.key(belanghebbende), berichtsoort, kind)
        if self._granted.get(asked, now) > now:
            return Authority(True, f"{address} said yes a moment ago")
        if address in self._down:
            if self._down[address] > now:
                return Authority(False, f"{address} failed a moment ago", trouble=True)
            self._down[address] = now + service.timeout + PAUSE
        kenmerk = self._office.new_id()
        question = build_question(kenmerk, oin, belanghebbende, berichtsoort, kind)
        try:
            async with asyncio.timeout(service.timeout.total_seconds()):
                answer = await self._post(service.oin, address, BytesPayload(question), HEADERS)
            ok, reason = read_answer(answer, kenmerk)
        except (TransportError, PeerError, TimeoutError) as error:
            self._down[address] = self._office.now() + PAUSE
            said = Authority(False, f"{address}: {str(error) or 'no answer in time'}", trouble=True)
        else:
            self._down.pop(address, None)
            if ok:
                self._granted.pop(asked, None)
                self._granted[asked] = now + service.cache
                if len(self._granted) > REMEMBERED:
                    del self._granted[next(iter(self._granted))]
            said = Authority(ok, f"{address} said {'yes' if ok else 'no'}: {reason}")
        level = logging.WARNING if said.trouble else logging.INFO
        self._office.journal.write("ausp-asked", level=level, oin=oin, kind=kind, detail=said.reason)
        return said


@cache
def _client() -> Any:
    """zeep's reading of the service description; imported here, because most post offices know no AuSP."""
    from zeep import Client

    return Client(str(data_file("schemas/AutorisatieService_V1_0.wsdl")))  # type: ignore[no-untyped-call]


def build_question(kenmerk: str, oin: str, belanghebbende: Identiteit, berichtsoort: str | None, kind: str) -> bytes:
    """The SOAP envelope of one question."""
    client, named = _client(), {} if berichtsoort is None else {"berichtsoort": berichtsoort}
    whom = {"nummer": belanghebbende.nummer, "type": belanghebbende.type}
    values = {"kenmerk": kenmerk, "certificaathouder": oin, "identiteitBelanghebbende": whom, "handeling": kind}
    return xml_guard.serialise(client.create_message(client.service, OPERATION, **values, **named))


def read_answer(answer: HttpAnswer, kenmerk: str) -> tuple[bool, str]:
    """Whether it says yes, and why.
    Raises TransportError for an HTTP status other than 200, and PeerError when it is no SOAP, not what the schema says,
    or the answer to another question."""
    if answer.status != 200:
        raise TransportError(f"HTTP {answer.status}", sent=True)
    message = xml_guard.parse(read_all(answer.body), headless=True)
    compiled = schema.compiled("autorisatie-1.0.xsd")
    if len(message.body) != 1 or not compiled.validate(message.body[0]):
        expected, detail = f"{OPERATION}Response", str(compiled.error_log)[:300]
        raise PeerError("schema", found="een ander antwoord", expected=expected, detail=detail)
    said = _client().service._binding.get(OPERATION).process_reply(message.envelope)
    if said.kenmerk != kenmerk:
        raise PeerError("header-value", where="kenmerk", found=said.kenmerk, expected=kenmerk)
    return said.geautoriseerd, said.reden or "no reason given"
