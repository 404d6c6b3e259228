"""The services of the koppelvlak as a table: paths, operations, actions, elements, fault elements.

Decides nothing and handles no request; wus.services binds a path to the function that answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from lxml import etree

from digipoort_as4.soap.names import KV, q

_NAMESPACE: Final = "http://logius.nl/digipoort/wus/2.0/"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a service."""

    name: str
    stem: str  # what the body elements are called before Request and Response: aanleveren has aanlever, without 'en'
    base: str  # what its actions start with
    lacks: str = ""  # what of it is not done, for the coverage page

    @property
    def state(self) -> str:
        """How far it is: done or partial."""
        return "partial" if self.lacks else "done"

    @property
    def only_new(self) -> bool:
        """True when it tells only what the asker was not told before (decision 16)."""
        return self.name.startswith("getNieuwe")

    @property
    def request(self) -> str:
        """QName of the request element."""
        return q(KV, f"{self.stem}Request")

    @property
    def response(self) -> str:
        """QName of the response element."""
        return q(KV, f"{self.stem}Response")

    @property
    def request_action(self) -> str:
        """SOAPAction and wsa:Action of the request."""
        return f"{self.base}{self.name}Request"

    @property
    def response_action(self) -> str:
        """wsa:Action of the answer."""
        return f"{self.base}{self.name}Response"

    @property
    def fault_action(self) -> str:
        """wsa:Action of the fault, with its final slash."""
        return f"{self.base}{self.name}/Fault/"


@dataclass(frozen=True, slots=True)
class Service:
    """One service: one WSDL, one path, one fault element."""

    name: str  # as configuration and journal call it
    title: str  # as the WSDL calls it
    operations: tuple[Operation, ...]
    fault: str  # local name of the element in the fault's detail
    prefix: str  # what its foutcodes start with
    wsdl: str  # file name below schemas/
    mtom: bool = False  # takes MTOM as well as text/xml (digipoort 1.7)
    also: tuple[str, ...] = ()  # paths that only this service has

    @property
    def path(self) -> str:
        """Where it answers, on all real hosts (digipoort 1.9)."""
        return f"/wus/2.0/{self.title.lower()}/1.2"

    @property
    def paths(self) -> tuple[str, ...]:
        """All where it answers: as in production, then as at the Aansluit Suite, for clients built against that."""
        return (self.path, f"/cpl/{self.title.lower()}/1.2", *self.also)

    def by_element(self, element: etree._Element) -> Operation | None:
        """The operation whose request this body element is."""
        return next((operation for operation in self.operations if operation.request == element.tag), None)

    def by_action(self, action: str) -> Operation | None:
        """The operation whose request has this action."""
        return next((operation for operation in self.operations if operation.request_action == action), None)


def _service(name: str, title: str, fault: str, prefix: str, *operations: Operation, also: str = "") -> Service:
    base = f"{_NAMESPACE}{title.lower()}/1.2/{title}/"
    rows = tuple(replace(op, base=base) for op in operations)
    return Service(name, title, rows, fault, prefix, f"{title}_V1_2.wsdl", also=(also,) if also else ())


def _same(*names: str, lacks: str = "") -> tuple[Operation, ...]:
    return tuple(Operation(name, name, "", lacks=lacks) for name in names)


_LISTS: Final = "constateringenLijst; additioneleElementenLijst"
AANLEVEREN: Final = replace(
    _service("aanleveren", "AanleverService", "aanleverFault", "ALS", Operation("aanleveren", "aanlever", "")),
    mtom=True,
)
STATUSINFORMATIE: Final = _service(
    "statusinformatie",
    "StatusinformatieService",
    "statusinformatieFault",
    "STS",
    *_same("getBerichtsoorten", "getProcessen"),
    *_same("getStatussenProces", "getNieuweStatussenProces", "getNieuweStatussen"),
)
OPHALEN: Final = _service(
    "ophalen",
    "OphaalService",
    "ophaalFault",
    "OHS",
    *_same("getBerichten", "getNieuweBerichten", lacks=_LISTS),
    *_same("getBerichtenLijst", "getNieuweBerichtenLijst"),
    *_same("getBerichtenKenmerk", "getNieuweBerichtenKenmerk", lacks=_LISTS),
    also="/cpl/ophaalservice/services/OphaalService_V1_2",
)
AFLEVEREN: Final = _service(
    "afleveren", "AfleverService", "afleverFault", "AFS", Operation("afleveren", "aflever", "", _LISTS)
)
"""The agency is the server. Names by analogy: ours (digipoort 12.1, decision 21)."""
ZET_STATUS: Final = _service("zet_status", "ZetStatusService", "zetStatusFault", "AFS", *_same("zetStatus"))
"""Names by analogy: ours. Its foutcodes are those of afleveren: no others are known between hub and agency."""

SERVICES: Final = (AANLEVEREN, STATUSINFORMATIE, OPHALEN, AFLEVEREN, ZET_STATUS)  # sources: digipoort 1.2 and 1.3
