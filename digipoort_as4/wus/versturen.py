"""An agency sends a message to a business: aanleveren on a retour route, sealed once, one attempt at a time.

Keeps nothing (storage.agency_book and storage.outbox do); the same octets go until the hub has answered them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from digipoort_as4 import limits
from digipoort_as4.clock import wire_time
from digipoort_as4.errors import PeerError, TransportError, UsageError
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.payload import Document, FilePayload, assemble
from digipoort_as4.storage.agency_book import Dispatch
from digipoort_as4.storage.outbox import REFUSED, SENT
from digipoort_as4.wssecurity.open_message import Opened
from digipoort_as4.wssecurity.seal_message import Sealed
from digipoort_as4.wus import koppelvlak
from digipoort_as4.wus.asking import FaultAnswer, Question, build_question, headers_of, open_answer
from digipoort_as4.wus.koppelvlak import AanleverRequest, AanleverResponse
from digipoort_as4.wus.ontvangen import Desk, build_envelope
from digipoort_as4.wus.operations import AANLEVEREN
from digipoort_as4.wus.terugmelden import TECHNICAL, pause

OPERATION: Final = AANLEVEREN.operations[0]
LEFT_OUT: Final = frozenset({"kenmerk", "autorisatieAdres"})  # elements of the request that an envelope does not have


def seal(folder: str, desk: Desk) -> Dispatch:
    """The octets that one folder of the outbox becomes; a refusal by ourselves when it says too little or too much."""
    new = Dispatch(folder, f"urn:uuid:{desk.new_id()}", sealed_at=wire_time(desk.now), due=desk.now())
    try:
        request = build_request(*desk.outbox.read(folder))
        keys = (desk.signer, desk.new_id, wire_time(desk.now), desk.profile)
        question = build_question(request, OPERATION, desk.hub_oin, desk.aanleveren_url, *keys)
    except UsageError as error:
        return _refused(new, {"reason": str(error)})
    files = {mark: payload.path.name for mark, payload in question.large.items() if isinstance(payload, FilePayload)}
    sealed = question.sealed
    new = replace(new, message_id=question.message_id, signature_value=sealed.signature_value)
    return replace(new, octets=sealed.skeleton, large=json.dumps(files))


def build_request(envelope: Mapping[str, Any], documents: tuple[Document, ...]) -> AanleverRequest:
    """The request that an envelope.json in the form of the inbox describes. Raises UsageError: all that is wrong."""
    wrong: list[str] = []
    values: dict[str, Any] = {}
    known = {field.element: field for field in koppelvlak.fields_of(AanleverRequest) if field.kind is not Document}
    for name, field in known.items():
        value = envelope.get(name)
        if field.kind is Identiteit and isinstance(value, Mapping) and set(value) == {"nummer", "type"}:
            value = Identiteit(str(value["nummer"]), str(value["type"]))
        if not (isinstance(value, field.kind) or (value is None and field.optional)):
            wrong.append(f"{name}: expected {'nummer and type' if field.kind is Identiteit else 'a text'}")
        values[field.name] = value
    wrong += [f"{name} does not belong here" for name in envelope if name not in known or name in LEFT_OUT]
    if not documents:
        wrong.append("documents: expected one at least")
    if wrong:
        raise UsageError("envelope.json: " + "; ".join(wrong))
    return AanleverRequest(documents=documents, **values)


async def send(one: Dispatch, desk: Desk) -> Dispatch:
    """Make one attempt: with a verdict once the hub took or refused it, else due again.
    A fault for octets that were too old when they left says only that the hub never took them: they are sealed anew,
    while it would still know them if it had (limits.REPEAT_KEPT).
    Source: decisions 8 and 36."""
    now, wire = desk.now(), wire_time(desk.now)
    one, old = replace(one, attempts=one.attempts + 1), wire >= one.sealed_at + limits.TIMESTAMP_LIFE
    try:
        files = {mark: desk.outbox.file(one.folder, name) for mark, name in json.loads(one.large).items()}
        sealed = Sealed(assemble(one.octets, files), one.octets, one.signature_value)
        question = Question(desk.hub_oin, OPERATION, one.message_id, sealed, desk.profile)
        answer = await desk.post(desk.hub_oin, desk.aanleveren_url, sealed.payload, headers_of(OPERATION))
        opened = open_answer(answer, question, desk.trust(), desk.profile.policy, now, wire, repeated=True)
        if isinstance(opened, Opened):
            told = build_envelope(koppelvlak.read(AanleverResponse, opened))
            return replace(one, verdict=SENT, told=_json(told), answer=opened.message.octets)
    except (PeerError, TransportError, ValueError, OSError) as error:  # of a file that somebody took away, too
        return replace(one, due=now + pause(one.attempts), note=str(error))
    if opened.foutcode.endswith(TECHNICAL):
        return replace(one, due=now + pause(one.attempts), note=opened.foutbeschrijving)
    if old and wire < one.sealed_at + limits.REPEAT_KEPT:
        return seal(one.folder, desk)
    return _refused(one, {"foutcode": opened.foutcode, "foutbeschrijving": opened.foutbeschrijving}, opened)


def _refused(one: Dispatch, told: Mapping[str, object], fault: FaultAnswer | None = None) -> Dispatch:
    return replace(one, verdict=REFUSED, told=_json(told), answer=fault.octets if fault else b"")


def _json(told: Mapping[str, object]) -> str:
    return json.dumps(told, ensure_ascii=False, indent=2) + "\n"
