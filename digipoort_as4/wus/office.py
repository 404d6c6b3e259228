"""What the WUS services of the post office work with: the collaborators in one frozen value.

Makes none of them; gateway and worker do, and tests hand in their own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from digipoort_as4.errors import DigipoortError, PeerError
from digipoort_as4.hub.copies import Consents
from digipoort_as4.hub.mandates import Parties
from digipoort_as4.hub.routes import Routes
from digipoort_as4.journal import Journal
from digipoort_as4.payload import Spool
from digipoort_as4.pki.keys import Signer
from digipoort_as4.pki.path import Trust
from digipoort_as4.storage.store import Store
from digipoort_as4.transport.http import HttpAnswer
from digipoort_as4.wssecurity.open_message import Opened, SignaturePolicy
from digipoort_as4.wus import faults
from digipoort_as4.wus.faults import FaultTable, Hint
from digipoort_as4.wus.operations import Operation


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that configuration says at one moment; refreshed by swapping the whole."""

    trust: Trust
    routes: Routes
    parties: Parties
    consents: Consents
    agencies: frozenset[str]
    """OINs of the government bodies that have an endpoint here: possible recipients, and who may set statuses."""
    policy: SignaturePolicy = SignaturePolicy()  # noqa: RUF009 - frozen
    """For every connection; SHA-1 comes per party."""

    def policy_of(self, oin: str) -> SignaturePolicy:
        """What is asked of this party's signatures.

        Args:
            oin: of the TLS certificate, which must be the signer's as well (decision 9).

        Source: decision 10.
        """
        party = self.parties.knows(oin)
        return SignaturePolicy(
            sha1=party is not None and party.sha1,
            age=self.policy.age,
            life=self.policy.life,
            future=self.policy.future,
        )


@dataclass(frozen=True, slots=True)
class Office:
    """The post office as its services see it."""

    store: Store
    snapshot: Callable[[], Snapshot]
    """The configuration of this moment; a request takes it once."""
    signer: Signer
    """Signs answers."""
    oin: str
    """Of the post office itself."""
    now: Callable[[], datetime]
    """Aware UTC."""
    new_id: Callable[[], str]
    """A fresh random UUID, lower case, 36 characters."""
    spool: Spool
    """Quarantine of large documents until the store has kept them."""
    journal: Journal
    foutcodes: FaultTable = faults.DEFAULT


def note(
    event: str,
    opened: Opened,
    operation: Operation,
    office: Office,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """The one journal line of an answered request; SHA-1 is a warning each time (decision 10).

    Args:
        event: accepted, told, status-set or repeated.
        opened: the request.
        operation: of the request.
        office: its journal.
        facts: what else the operator wants to see; never a payload or a file name.
    """
    office.journal.write(
        event,
        level=logging.WARNING if opened.algorithms.weak else logging.INFO,
        operation=operation.name,
        oin=opened.oin,
        message_id=opened.addressing.message_id,
        algorithms=f"{opened.algorithms.signature}/{opened.algorithms.digest}",
        **(facts or {}),
    )


def refuse(trouble: DigipoortError | OSError, hint: Hint, office: Office, opened: Opened | None = None) -> HttpAnswer:
    """Write the one journal line of a refusal and answer with the fault.

    Args:
        trouble: why; anything but a PeerError is ours and becomes cause `storage`.
        hint: what the fault is about.
        office: for journal, fault table and a fresh MessageID.
        opened: the verified message, when it came that far, so that the journal names the sender.
    """
    refusal = trouble if isinstance(trouble, PeerError) else PeerError("storage", detail=str(trouble))
    cause = refusal.cause
    foutcode = office.foutcodes.code(hint.service, cause)
    number = office.journal.write(
        "refused",
        level=logging.ERROR if cause.technical else logging.WARNING,
        service=hint.service.name,
        operation=hint.operation.name if hint.operation else None,
        cause=cause.name,
        foutcode=foutcode,
        where=refusal.where,
        found=refusal.found,
        expected=refusal.expected,
        detail=refusal.detail,
        message_id=hint.message_id,
        oin=opened.oin if opened else None,
    )
    octets = faults.build(refusal, hint, foutcode, number, f"urn:uuid:{office.new_id()}")
    return faults.answer(cause, octets)
