"""What the WUS services of the post office work with: the collaborators in one frozen value.

Makes none of them; gateway and worker do, and tests hand in their own."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from digipoort_as4.config import AuspService
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.hub.copies import Consents
from digipoort_as4.hub.mandates import BEDRIJVEN, Authority, Parties
from digipoort_as4.hub.registers import Tables
from digipoort_as4.hub.routes import Routes
from digipoort_as4.journal import Journal
from digipoort_as4.payload import Spool
from digipoort_as4.pki.keys import Signer
from digipoort_as4.pki.path import Trust
from digipoort_as4.storage.store import Store
from digipoort_as4.wssecurity.open_message import Opened, SignaturePolicy
from digipoort_as4.wus import faults, profiles
from digipoort_as4.wus.faults import FaultTable
from digipoort_as4.wus.operations import Operation
from digipoort_as4.wus.profiles import Profile, Profiles
from digipoort_as4.wus.scenarios import Scenarios


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that configuration says at one moment; refreshed by swapping the whole."""

    trust: Trust
    routes: Routes
    parties: Parties
    consents: Consents
    agencies: Mapping[str, str]
    """OIN → URL of the AfleverService of each body with an endpoint: possible recipients, and who may set statuses."""
    agency_profiles: Mapping[str, str] = field(default_factory=dict)  # OIN → profile, where it is not the default
    profiles: Profiles = field(default_factory=profiles.load)
    ausp: Mapping[str, AuspService] = field(default_factory=dict)
    """URL → what is registered of each Autorisatie Service Provider."""

    def profile_of(self, oin: str) -> Profile:
        """The rule set of the connection with the party or agency of this OIN."""
        party = self.parties.knows(oin)
        return self.profiles.find(self.agency_profiles.get(oin) or (party.profile if party else BEDRIJVEN))

    def tables(self) -> Tables:
        """What decides about messages, without what decides about signatures."""
        return Tables(self.routes, self.parties, self.consents, self.agencies)

    def policy_of(self, oin: str) -> SignaturePolicy:
        """What is asked of the security of messages of the party with this OIN (decisions 9 and 10)."""
        party, profile = self.parties.knows(oin), self.profile_of(oin)
        return replace(profile.policy, sha1=profile.sha1 and party is not None and party.sha1)

    def agency_validates(self, berichtsoort: str) -> bool:
        """True when 500 or 510 follows 400 on this route."""
        route = self.routes.find(berichtsoort)
        return route is not None and route.agency_validates

    def refuses_duplicates(self, oin: str) -> bool:
        """Whether a probable duplicate of this party is refused: its own row says so, or its profile."""
        party = self.parties.knows(oin)
        return self.profile_of(oin).refuse_duplicates or (party is not None and party.refuse_duplicates)


AskAusp = Callable[[str, str, Identiteit, str | None, str], Awaitable[Authority]]
"""(address, OIN, belanghebbende, berichtsoort, kind): wus.ausp.Ausp.ask."""


async def _nobody(*asked: object) -> Authority:
    return Authority(False, "this process has no way to ask an AuSP", trouble=True)


@dataclass(frozen=True, slots=True)
class Office:
    """The post office as its services see it."""

    store: Store
    snapshot: Callable[[], Snapshot]  # the configuration of this moment; a request or an attempt takes it once
    signer: Signer
    oin: str  # of the post office itself
    now: Callable[[], datetime]  # aware UTC
    new_id: Callable[[], str]  # a fresh random UUID, lower case, 36 characters
    spool: Spool  # quarantine of large documents until the store has kept them
    journal: Journal
    foutcodes: FaultTable = faults.DEFAULT
    scenarios: Scenarios = field(default_factory=partial(Scenarios, enabled=False))
    ask_ausp: AskAusp = _nobody
    refresh: Callable[[], str] = lambda: ""  # have `snapshot` read anew at once; why that was refused, or empty


def note(
    event: str, opened: Opened, operation: Operation, office: Office, facts: Mapping[str, Any] | None = None
) -> None:
    """The one journal line of an answered request, with no payload or file name; SHA-1 is a warning (decision 10)."""
    office.journal.write(
        event,
        level=logging.WARNING if opened.algorithms.weak else logging.INFO,
        operation=operation.name,
        oin=opened.oin,
        message_id=opened.addressing.message_id,
        algorithms=f"{opened.algorithms.signature}/{opened.algorithms.digest}" if opened.policy.signed else "none",
        **(facts or {}),
    )
