"""The path of every WUS request, from its octets to the answer, and which function decides at which address.

Owns no socket. wus.wsdl serves the descriptions, which are asked for by GET."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from digipoort_as4.clock import wire_time
from digipoort_as4.errors import CAUSES, PeerError, StorageFailure
from digipoort_as4.hub.decision import StoredReply
from digipoort_as4.payload import BytesPayload
from digipoort_as4.soap import xop
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wssecurity.open_message import Opened, check_timestamp
from digipoort_as4.wus import aanleveren, answers, faults, intake, ophalen, statusinformatie, zet_status
from digipoort_as4.wus.faults import Hint
from digipoort_as4.wus.office import Office, Snapshot
from digipoort_as4.wus.operations import AANLEVEREN, OPHALEN, STATUSINFORMATIE, ZET_STATUS, Operation, Service

Handler = Callable[[Opened, Operation, Snapshot, Office], Awaitable[StoredReply]]
"""From a verified, fresh and new request to the committed answer: look up facts, decide, build, commit."""


_HANDLERS: Final[Mapping[Service, Handler]] = {
    AANLEVEREN: aanleveren.accept,
    STATUSINFORMATIE: statusinformatie.tell,
    OPHALEN: ophalen.fetch,
    ZET_STATUS: zet_status.accept,
}
PATHS: Final = MappingProxyType({path: row for row in _HANDLERS.items() for path in row[0].paths})
"""Exact paths: those of production, and those of the Aansluit Suite for clients that were built against it.
Source: digipoort 1.9; zetstatusservice is ours."""
SERVED: Final = MappingProxyType({path: service for path, (service, _) in PATHS.items()})


async def answer(request: HttpRequest, office: Office) -> HttpAnswer:
    """Answer a request to any path: parse → verify → find a repeat → the service's handler; or with a fault.
    After a fault nothing is stored. An unknown path gets 404 in plain text, since no service means no fault element.
    Source: design 2; decisions 2 to 16, 21."""
    found = PATHS.get(request.path)
    if found is None:
        return not_found(request, office)
    service, handler = found
    hint, opened, snapshot = Hint.before(request, service), None, office.snapshot()
    message = None
    try:
        message = await intake.parse(request, office.new_id(), mtom=service.mtom)
        hint = hint.of(message)
        opened = await intake.verify(message, request, snapshot, office.now())
        operation = intake.read_operation(opened, request, service, snapshot.profile_of(opened.oin), office.oin)
        intake.check_known(opened, service, snapshot)
        reply = await intake.find_repeat(opened, office, operation)
        if reply is None:
            check_timestamp(opened, snapshot.policy_of(opened.oin), wire_time(office.now))
            reply = await handler(opened, operation, snapshot, office)
        return answers.send(reply.payload, mtom=xop.is_package(request.headers.get("content-type", "")))
    except (PeerError, StorageFailure, OSError) as trouble:
        oin = opened.oin if opened else None
        await intake.locate(trouble, message, request)
        return faults.refuse(trouble, hint, office.foutcodes, office.journal, office.new_id(), oin)


def not_found(request: HttpRequest, office: Office) -> HttpAnswer:
    """Refuse a path that no service has, with one journal line."""
    cause = CAUSES["unknown-path"]
    office.journal.write("refused", level=logging.WARNING, cause=cause.name, found=request.path[:200])
    known = "\n".join(PATHS)
    text = f"{cause.text} Deze post heeft:\n{known}\n"
    return HttpAnswer(cause.http, {"content-type": "text/plain; charset=utf-8"}, BytesPayload(text.encode()))
