"""The small interface of every validator, and the words it answers in.

Runs nothing; validation.bench does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from digipoort_as4.hub.aanlevering import Aanlevering
from digipoort_as4.hub.findings import Examined, Finding, StepVerdict
from digipoort_as4.hub.routes import Route

__all__ = ["Examined", "Finding", "StepVerdict", "Validator"]


class Validator(Protocol):
    """One kind of check; wellformed.check and identity.check are two."""

    def __call__(self, aanlevering: Aanlevering, route: Route) -> Iterable[Finding]:
        """What is wrong with the documents; nothing when all is well.

        Args:
            aanlevering: the envelope, payloads readable.
            route: of its berichtsoort.
        """
