"""Accepting: a business hands over a message and gets a signed receipt, after it was stored and not before.

Does not authorise, validate or route (hub.verwerken does, from what is stored here); knows no HTTP server.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from digipoort_as4.errors import PeerError, StorageFailure
from digipoort_as4.hub import statuses
from digipoort_as4.hub.aanlevering import Aanlevering
from digipoort_as4.hub.decision import Decision, KeepEvidence, QueueJob, StartProcess
from digipoort_as4.hub.routes import Routes, resolve_recipient
from digipoort_as4.payload import content_digest, read_all
from digipoort_as4.storage.store import Store
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wssecurity.open_message import Opened, check_timestamp
from digipoort_as4.wssecurity.seal_message import Sealed
from digipoort_as4.wus import answers, intake, koppelvlak
from digipoort_as4.wus.faults import Hint
from digipoort_as4.wus.koppelvlak import AanleverRequest, AanleverResponse
from digipoort_as4.wus.office import Office, Snapshot, note, refuse
from digipoort_as4.wus.operations import AANLEVEREN

OPERATION: Final = AANLEVEREN.operations[0]
GEEN_AUSP: Final = "http://geenausp.nl"
"""autorisatieAdres of whoever has no Autorisatie Service Provider (digipoort 4.7)."""
FIRST: Final = ("105", "100", "110")
"""Statuses of an accepted message, in this order (digipoort 3.2)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the post office knows that matters for accepting."""

    routes: Routes
    agencies: frozenset[str]
    duplicate_of: str | None
    """kenmerk of an earlier process with the same sender, aanleverkenmerk and content."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What shall become of a request that is accepted."""

    aanlevering: Aanlevering
    """With the resolved recipient."""
    duplicate_of: str | None


async def accept(request: HttpRequest, office: Office) -> HttpAnswer:
    """Answer an aanleverRequest: parse → verify → look up facts → decide → build → commit → answer.

    Args:
        request: to the path of the aanleverservice.
        office: collaborators.

    Returns:
        The signed aanleverResponse, or a fault; after a fault nothing is stored.

    Source: design 2; digipoort 1.4, 1.11; decisions 2 to 15.
    """
    hint, opened, snapshot = Hint.before(request, AANLEVEREN), None, office.snapshot()
    try:
        message = await intake.parse(request, office.new_id())
        hint = hint.of(message)
        opened = await intake.verify(message, request, snapshot, office.now())
        operation = intake.read_operation(opened, request, AANLEVEREN)
        intake.check_known(opened, snapshot)
        reply = await intake.find_repeat(opened, office, operation)
        if reply is None:
            check_timestamp(opened, snapshot.policy_of(opened.oin), office.now())
            reply = await _accept_new(opened, request.body.size, snapshot, office)
        return answers.send(reply)
    except (PeerError, StorageFailure, OSError) as trouble:
        return refuse(trouble, hint, office, opened)


async def _accept_new(opened: Opened, size: int, snapshot: Snapshot, office: Office) -> bytes:
    """The steps from facts to commit, for a request that was not answered before."""
    with intake.Quarantine(office.spool) as quarantine:
        sent = await _read(opened, size, koppelvlak.Intake(quarantine, office.new_id))
        facts = await _look_up(sent, opened.oin, snapshot, office.store)
        accepted = await _keep(decide(sent, opened.oin, facts), office.store)
        kenmerk, now = office.new_id(), office.now()
        sealed = answers.seal_answer(build(accepted, kenmerk, now), OPERATION, opened, office, now)
        decision = build_decision(accepted, kenmerk, now, opened, sealed)
        reply = answers.still(await answers.conclude(decision, opened, office.store))
    committed = reply is decision.reply
    note(
        "accepted" if committed else "repeated",
        opened,
        OPERATION,
        office,
        _told(accepted, kenmerk) if committed else None,
    )
    return reply


def _told(accepted: Accepted, kenmerk: str) -> dict[str, str | int | None]:
    """What the journal says of an accepted message; never a payload, never a file name."""
    sent = accepted.aanlevering
    return {
        "kenmerk": kenmerk,
        "berichtsoort": sent.berichtsoort,
        "aanleverkenmerk": sent.aanleverkenmerk,
        "ontvanger": sent.ontvanger.nummer if sent.ontvanger else None,
        "documents": len(sent.documents),
        "octets": sum(document.size for document in sent.documents),
        "duplicate_of": accepted.duplicate_of,
    }


async def _read(opened: Opened, size: int, receiving: koppelvlak.Intake) -> AanleverRequest:
    return await intake.off_loop(size, koppelvlak.read_aanlever_request, opened, receiving)


async def _look_up(sent: AanleverRequest, sender_oin: str, snapshot: Snapshot, store: Store) -> Facts:
    earlier = None
    if sent.aanleverkenmerk:
        earlier = await store.find_duplicate(sender_oin, sent.aanleverkenmerk, content_digest(sent.documents))
    return Facts(snapshot.routes, snapshot.agencies, earlier)


def decide(sent: AanleverRequest, sender_oin: str, facts: Facts) -> Accepted:
    """Refuse a request that no process can start from, or say what is accepted.

    Args:
        sent: the request.
        sender_oin: who signed it.
        facts: what is known.

    Raises:
        PeerError: kenmerk-given, berichtsoort-unknown, autorisatie-adres, ontvanger-unknown.

    Source: decisions 3 and 8; digipoort 1.6. A repeated aanleverkenmerk is marked, never refused (design 5.5).
    """
    if sent.kenmerk is not None:
        raise PeerError("kenmerk-given", where="kenmerk", found="een kenmerk", expected="geen", fix="Laat kenmerk weg.")
    route = facts.routes.find(sent.berichtsoort)
    if route is None:
        raise PeerError(
            "berichtsoort-unknown",
            where="berichtsoort",
            found=sent.berichtsoort,
            expected="een berichtsoort van deze aansluiting, precies zo gespeld",
            fix="Controleer de spelling, ook hoofdletters.",
        )
    _check_autorisatie_adres(sent.autorisatie_adres)
    aanlevering = sent.aanlevering(sender_oin)
    ontvanger = resolve_recipient(route, aanlevering, facts.agencies)
    return Accepted(replace(aanlevering, ontvanger=ontvanger), facts.duplicate_of)


def _check_autorisatie_adres(address: str | None) -> None:
    if address not in (None, GEEN_AUSP):
        raise PeerError(
            "autorisatie-adres",
            where="autorisatieAdres",
            found=address,
            expected=f"geen, of {GEEN_AUSP}",
            fix=f"Laat autorisatieAdres weg of vul {GEEN_AUSP} in.",
        )


def build(accepted: Accepted, kenmerk: str, now: datetime) -> bytes:
    """Write the aanleverResponse: what was sent, the kenmerk, the time and the resolved recipient.

    Args:
        accepted: of decide.
        kenmerk: fresh.
        now: tijdstempelAangeleverd.

    Source: digipoort 1.11.
    """
    sent = accepted.aanlevering
    response = AanleverResponse(
        kenmerk=kenmerk,
        berichtsoort=sent.berichtsoort,
        aanleverkenmerk=sent.aanleverkenmerk,
        eerder_aanleverkenmerk=sent.eerder_aanleverkenmerk,
        tijdstempel_aangeleverd=now,
        identiteit_belanghebbende=sent.belanghebbende,
        rol_belanghebbende=sent.rol_belanghebbende,
        identiteit_ontvanger=sent.ontvanger,
        rol_ontvanger=sent.rol_ontvanger,
        autorisatie_adres=sent.autorisatie_adres,
    )
    return koppelvlak.write_aanlever_response(response).octets


def build_decision(accepted: Accepted, kenmerk: str, now: datetime, opened: Opened, sealed: Sealed) -> Decision:
    """Everything that becomes durable together with the answer.

    Args:
        accepted: of decide, its large documents kept.
        kenmerk: of the new process.
        now: moment of acceptance.
        opened: the verified request.
        sealed: the signed answer.
    """
    reply = read_all(sealed.payload)
    first = statuses.in_order(None, [statuses.make(code, now) for code in FIRST])
    return Decision(
        reply,
        (
            StartProcess(kenmerk, accepted.aanlevering, now, first, accepted.duplicate_of),
            answers.build_remembering(opened, reply, now),
            KeepEvidence(kenmerk, "aanleverRequest", opened.message.octets, opened.coverage, now),
            KeepEvidence(kenmerk, "aanleverResponse", sealed.skeleton, "", now),
            QueueJob("verwerken", "hub", kenmerk, now),
        ),
    )


async def _keep(accepted: Accepted, store: Store) -> Accepted:
    """Large documents become durable before the decision that names them."""
    kept = tuple([await store.keep(document) for document in accepted.aanlevering.documents])
    return replace(accepted, aanlevering=replace(accepted.aanlevering, documents=kept))
