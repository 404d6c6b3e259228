"""The services of the koppelvlak, from operations.toml: paths, operations, actions, elements, fault elements.

Decides nothing and handles no request; wus.services binds a path to the function that answers."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
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


def _services() -> Iterator[Service]:
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    for name, row in table.items():
        title = row["title"]
        base = f"{_NAMESPACE}{title.lower()}/1.2/{title}/"
        rows = {operation: {"stem": operation, **words} for operation, words in row["operations"].items()}
        operations = tuple(Operation(operation, base=base, **words) for operation, words in rows.items())
        mtom, also = row.get("mtom", False), tuple(row.get("also", ()))
        yield Service(name, title, operations, row["fault"], row["prefix"], f"{title}_V1_2.wsdl", mtom, also)


SERVICES: Final = tuple(_services())
AANLEVEREN, STATUSINFORMATIE, OPHALEN, AFLEVEREN, ZET_STATUS = SERVICES
