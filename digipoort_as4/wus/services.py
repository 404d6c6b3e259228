"""Which function answers at which path; the gateway hands every WUS request to `answer`.

Owns no socket. Serving WSDL and XSD by GET is not here yet.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from digipoort_as4.errors import CAUSES, PeerError, StorageFailure
from digipoort_as4.payload import BytesPayload
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.wus import aanleveren, intake, statusinformatie, zet_status
from digipoort_as4.wus.faults import Hint
from digipoort_as4.wus.office import Office, refuse
from digipoort_as4.wus.operations import AANLEVEREN, OPHALEN, STATUSINFORMATIE, ZET_STATUS, Service

Handler = Callable[[HttpRequest, Office], Awaitable[HttpAnswer]]


async def refuse_ophalen(request: HttpRequest, office: Office) -> HttpAnswer:
    """Answer at the ophaalservice, of which no operation is offered yet, with an ophaalFault that says so."""
    hint, opened, snapshot = Hint.before(request, OPHALEN), None, office.snapshot()
    try:
        message = await intake.parse(request, office.new_id())
        hint = hint.of(message)
        opened = await intake.verify(message, request, snapshot, office.now())
        intake.read_operation(opened, request, OPHALEN)
        raise PeerError("operation-unknown", where="Body", expected="nog geen operatie")
    except (PeerError, StorageFailure, OSError) as trouble:
        return refuse(trouble, hint, office, opened)


def _at(service: Service, handler: Handler, *others: str) -> dict[str, tuple[Service, Handler]]:
    return dict.fromkeys((service.path, *others), (service, handler))


PATHS: Final[Mapping[str, tuple[Service, Handler]]] = MappingProxyType(
    {
        **_at(AANLEVEREN, aanleveren.accept, "/cpl/aanleverservice/1.2"),
        **_at(STATUSINFORMATIE, statusinformatie.answer, "/cpl/statusinformatieservice/1.2"),
        **_at(OPHALEN, refuse_ophalen),
        **_at(ZET_STATUS, zet_status.accept),
    }
)
"""Exact paths: those of production, and those of the Aansluit Suite for clients that were built against it.

Source: digipoort 1.9; zetstatusservice is ours.
"""


async def answer(request: HttpRequest, office: Office) -> HttpAnswer:
    """Answer a request to any path.

    Args:
        request: from the transport.
        office: collaborators.

    Returns:
        What the service says; for an unknown path 404 in plain text, since no service means no fault element.
    """
    found = PATHS.get(request.path)
    if found is None:
        return not_found(request, office)
    return await found[1](request, office)


def not_found(request: HttpRequest, office: Office) -> HttpAnswer:
    """Refuse a path that no service has, with one journal line."""
    cause = CAUSES["unknown-path"]
    office.journal.write("refused", level=logging.WARNING, cause=cause.name, found=request.path[:200])
    known = "\n".join(PATHS)
    text = f"{cause.text} Deze post heeft:\n{known}\n"
    return HttpAnswer(cause.http, {"content-type": "text/plain; charset=utf-8"}, BytesPayload(text.encode()))
