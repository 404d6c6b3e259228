"""What the WUS services of the post office work with: the collaborators in one frozen value.

Makes none of them; gateway and worker do, and tests hand in their own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from digipoort_as4.errors import PeerError
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


def refuse(refusal: PeerError, hint: Hint, office: Office, opened: Opened | None = None) -> HttpAnswer:
    """Write the one journal line of a refusal and answer with the fault.

    Args:
        refusal: why.
        hint: what the fault is about.
        office: for journal, fault table and a fresh MessageID.
        opened: the verified message, when it came that far, so that the journal names the sender.
    """
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
