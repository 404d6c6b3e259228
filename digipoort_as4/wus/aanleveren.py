"""Accepting: a business hands over a message and gets a signed receipt, after it was stored and not before.

Does not authorise, validate or route (hub.verwerken does, from what is stored here); wus.services verified the request.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from digipoort_as4.errors import PeerError, check_all
from digipoort_as4.hub import identities, statuses
from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.decision import Effect, QueueJob, StartProcess, StoredReply
from digipoort_as4.hub.routes import resolve_recipient
from digipoort_as4.payload import content_digest
from digipoort_as4.storage.store import Store
from digipoort_as4.wssecurity.open_message import Opened
from digipoort_as4.wus import ausp, intake, koppelvlak
from digipoort_as4.wus.answers import Decided, conclude
from digipoort_as4.wus.koppelvlak import AanleverRequest, AanleverResponse, Written
from digipoort_as4.wus.office import Office, Snapshot
from digipoort_as4.wus.operations import Operation

FIRST: Final = ("105", "100", "110")  # statuses of an accepted message, in this order (digipoort 3.2)


async def accept(opened: Opened, operation: Operation, snapshot: Snapshot, office: Office) -> StoredReply:
    """Accept a verified aanleverRequest: read → look up facts → decide → build → commit; returns what was committed.
    Source: design 2; digipoort 1.4, 1.11; decisions 2 to 15."""
    with intake.Quarantine(office.spool) as quarantine:
        sent = await intake.read_documents(AanleverRequest, opened, koppelvlak.Intake(quarantine, office.new_id))
        earlier = await _find_duplicate(sent, opened.oin, office.store)
        accepted = decide(sent, opened.oin, snapshot)
        if earlier and snapshot.refuses_duplicates(opened.oin):
            raise duplicate(accepted, earlier)
        await office.scenarios.meet("aanleveren", accepted.berichtsoort, accepted.aanleverkenmerk)
        # large documents become durable before the decision that names them
        kept = tuple([await office.store.keep(document) for document in accepted.documents])
        accepted, kenmerk = replace(accepted, documents=kept), office.new_id()

        async def find_answer(now: datetime) -> Decided:
            body, effects = build(accepted, kenmerk, now), build_effects(accepted, kenmerk, now, earlier)
            return Decided(body, "accepted", _told(accepted, kenmerk, earlier), effects, kenmerk)

        return await conclude(find_answer, opened, operation, office)


def _told(accepted: Aanlevering, kenmerk: str, duplicate_of: str | None) -> dict[str, str | int | None]:
    """What the journal says of an accepted message; never a payload, never a file name."""
    return {
        "kenmerk": kenmerk,
        "berichtsoort": accepted.berichtsoort,
        "aanleverkenmerk": accepted.aanleverkenmerk,
        "ontvanger": accepted.ontvanger.nummer if accepted.ontvanger else None,
        "documents": len(accepted.documents),
        "octets": sum(document.size for document in accepted.documents),
        "duplicate_of": duplicate_of,
    }


async def _find_duplicate(sent: AanleverRequest, sender_oin: str, store: Store) -> str | None:
    """kenmerk of an earlier process with the same sender, aanleverkenmerk and content: marked, not refused."""
    if not sent.aanleverkenmerk:
        return None
    return await store.find_duplicate(sender_oin, sent.aanleverkenmerk, content_digest(sent.documents))


def duplicate(accepted: Aanlevering, earlier: str) -> PeerError:
    """The refusal of a probable duplicate, to the one who sent the earlier one (kenmerk) as well."""
    where, found = "aanleverkenmerk", accepted.aanleverkenmerk or ""
    expected = f"een ander aanleverkenmerk of andere documenten dan het bericht met kenmerk {earlier}"
    fix = f"Vraag de statussen van kenmerk {earlier} op; het bericht is al aangenomen."
    return PeerError("duplicate", where=where, found=found, expected=expected, fix=fix)


def decide(sent: AanleverRequest, sender_oin: str, snapshot: Snapshot) -> Aanlevering:
    """Refuse a request that no process can start from, or say what is accepted, with the resolved recipient.
    Raises PeerError: kenmerk-given, berichtsoort-unknown, identity-number, autorisatie-adres, ontvanger-unknown.
    Source: decisions 3 and 8; digipoort 1.6. A probable duplicate is no business of it: accept marks or refuses it."""
    aanlevering = sent.aanlevering(sender_oin)
    check_all(
        lambda: _check_kenmerk(sent.kenmerk),
        lambda: _find_recipient(aanlevering, snapshot),
        lambda: identities.check("identiteitBelanghebbende", sent.identiteit_belanghebbende),
        lambda: ausp.check_address(sent.autorisatie_adres, snapshot.ausp),
    )
    return replace(aanlevering, ontvanger=_find_recipient(aanlevering, snapshot))


def _check_kenmerk(kenmerk: str | None) -> None:
    if kenmerk is not None:
        raise PeerError("kenmerk-given", found=kenmerk or "een leeg kenmerk", expected="geen")


def _find_recipient(aanlevering: Aanlevering, snapshot: Snapshot) -> Identiteit:
    return resolve_recipient(snapshot.routes.require(aanlevering.berichtsoort), aanlevering, snapshot.agencies)


def build(accepted: Aanlevering, kenmerk: str, now: datetime) -> Written:
    """The aanleverResponse: what was sent, kenmerk, tijdstempelAangeleverd, resolved recipient (digipoort 1.11)."""
    response = koppelvlak.about(AanleverResponse, accepted, kenmerk=kenmerk, tijdstempel_aangeleverd=now)
    return koppelvlak.write(response)


def build_effects(accepted: Aanlevering, kenmerk: str, now: datetime, earlier: str | None) -> tuple[Effect, ...]:
    """What becomes durable of the message: the process with its first statuses, and the job that processes it."""
    first = statuses.in_order(None, [statuses.make(code, now) for code in FIRST])
    return (StartProcess(kenmerk, accepted, now, first, earlier), QueueJob("verwerken", "hub", kenmerk, now))
