"""The route table: per berichtsoort who gets it, who may send it, what is checked and what is shown.

Pure: opens no file; storage.tables reads routes.toml and hands the table over."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError
from digipoort_as4.hub import identities
from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.mistakes import Mistakes
from digipoort_as4.payload import Document

FILE: Final = "routes.toml"
BY_ONTVANGER: Final = "ontvanger"  # Value of `owner` that means: the body named by identiteitOntvanger
VALIDATORS: Final = ("wellformed", "identity")  # Names a step may use; validation.bench knows them all (tested)
PARTS: Final = ("inhoud", "bijlage")
SENDERS: Final = ("mandate", "known")
"""mandate: an own identity or a standing mandate for the belanghebbende; known: any party of parties.toml."""
RETOUR: Final = "retour"
"""direction of a route on which the owner sends to businesses, which collect (digipoort 4.6, decision 23)."""
DIRECTIONS: Final = ("aanlevering", RETOUR)
_XML_MIME: Final = re.compile(r"(text|application)/xml|[^/]+/[^/]+\+xml")


def essence(mime_type: str) -> str:
    """A mimeType without parameters, lower case."""
    return mime_type.partition(";")[0].strip().casefold()


def is_xml(mime_type: str) -> bool:
    """True when documents of this type are XML by what the type says."""
    return _XML_MIME.fullmatch(essence(mime_type)) is not None


@dataclass(frozen=True, slots=True)
class Name:
    """An element name that a route accepts."""

    namespace: str  # Exact, or with a `*` at the end for a namespace that carries a year
    local: str

    def matches(self, tag: str) -> bool:
        """True for this element; the tag is {namespace}local or local, as lxml writes it."""
        namespace, _, local = tag.rpartition("}")
        namespace = namespace.removeprefix("{")
        year = self.namespace.endswith("*") and namespace.startswith(self.namespace[:-1])
        return self.local == local and (year or namespace == self.namespace)

    def __str__(self) -> str:
        """The name in lxml's form."""
        return f"{{{self.namespace}}}{self.local}" if self.namespace else self.local


@dataclass(frozen=True, slots=True)
class IdentityRule:
    """Where in a document the number of its belanghebbende stands."""

    name: str
    types: frozenset[str]  # identiteit types, lower case, whose number stands there
    paths: tuple[tuple[Name, ...], ...]  # Each from the root element down to the element that holds the number
    attributes: tuple[tuple[str, str], ...]  # (name, value) that the element must carry, e.g. the scheme in XBRL


@dataclass(frozen=True, slots=True)
class Selector:
    """Which documents; a part that is None does not matter."""

    part: str | None = None
    bestandsnaam: str | None = None  # Glob, without regard to case
    mime_type: str | None = None
    root: Name | None = None

    def matches(self, document: Document, root: str) -> bool:
        """True when every part that is given fits; root is {namespace}local, or empty for what is no XML."""
        name = document.bestandsnaam.casefold()
        return (
            self.part in (None, document.part)
            and self.mime_type in (None, essence(document.mime_type))
            and (self.bestandsnaam is None or fnmatch.fnmatchcase(name, self.bestandsnaam.casefold()))
            and (self.root is None or self.root.matches(root))
        )

    def table(self) -> dict[str, str]:
        """What it was read from, but for the root element, whose name is in lxml's form."""
        values = (self.part, self.bestandsnaam, self.mime_type, str(self.root or ""))
        return {key: value for key, value in zip(_SELECTOR_KEYS, values, strict=True) if value}


@dataclass(frozen=True, slots=True)
class CopyRule:
    """A second recipient."""

    to_oin: str
    selectors: tuple[Selector, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table."""

    berichtsoort: str
    body: str  # Name of the berichtstroomeigenaar, for people
    owner_oin: str | None  # OIN of the berichtstroomeigenaar; None when identiteitOntvanger names the body
    owner_selectors: tuple[Selector, ...]  # Which documents the owner gets; empty means all
    copies: tuple[CopyRule, ...]
    steps: tuple[tuple[str, ...], ...]  # One 301 or 311 each: names out of VALIDATORS, run in this order
    shows_200: bool
    agency_validates: bool  # True: 500 or 510 follows 400. False: 400 is the end
    senders: str
    mime_types: frozenset[str]  # Accepted for the berichtInhoud, lower case
    bijlage_mime_types: frozenset[str]  # Accepted for bijlagen; empty means that bijlagen are not allowed
    roots: tuple[Name, ...]  # Accepted root elements of the berichtInhoud; empty means any
    identity: tuple[IdentityRule, ...]
    document_limit: int  # Octets of one document, decoded
    illustrative: bool  # True: Digipoort's own spelling of this berichtsoort is not public; the row shows the shape
    direction: str = "aanlevering"


def sort_documents(
    selectors: tuple[Selector, ...], documents: tuple[Document, ...], roots: Mapping[str, str]
) -> tuple[Document, ...]:
    """The documents that a recipient gets, in the order of the envelope; the first becomes berichtInhoud (decision 18).
    Any selector must match; none at all selects everything. Roots: root element by document key, of the XML ones."""
    if not selectors:
        return documents
    return tuple(d for d in documents if any(s.matches(d, roots.get(d.key, "")) for s in selectors))


def resolve_recipient(route: Route, aanlevering: Aanlevering, known_agencies: Collection[str]) -> Identiteit:
    """The body that the owner's delivery goes to, one of the known_agencies, which have an endpoint here.
    The identiteitOntvanger decides where the route says so, and must agree where it does not. On a retour route: the
    business that may collect, named by identiteitOntvanger or else by identiteitBelanghebbende.
    Raises PeerError: ontvanger-unknown; unavailable when the route's own owner has no endpoint here."""
    if route.direction == RETOUR:
        return aanlevering.ontvanger or aanlevering.belanghebbende
    wanted = _oin_of(route, aanlevering.ontvanger)
    if wanted in known_agencies:
        return Identiteit(wanted, "OIN")
    if route.owner_oin is not None:
        raise PeerError("unavailable", detail=f"no endpoint for {route.body} ({route.owner_oin})")
    expected = "het OIN van een aangesloten overheidsorganisatie"
    raise _ontvanger_unknown(wanted, expected, "Controleer het OIN van de ontvanger.")


def _oin_of(route: Route, ontvanger: Identiteit | None) -> str:
    if ontvanger is None:
        if route.owner_oin is not None:
            return route.owner_oin
        found = "geen identiteitOntvanger"
    elif ontvanger.type.casefold() != "oin" or identities.problem(ontvanger):
        found = f"type {ontvanger.type}, nummer {ontvanger.nummer}"
    else:
        oin = identities.normalise(ontvanger.nummer, "OIN")
        if route.owner_oin in (None, oin):
            return oin
        found = oin
    fix = f"Vul het OIN van de ontvanger in voor berichtsoort {route.berichtsoort}"
    if route.owner_oin is None:
        raise _ontvanger_unknown(found, "type OIN en een nummer van 20 posities", f"{fix}.")
    raise _ontvanger_unknown(found, f"OIN {route.owner_oin} ({route.body})", f"{fix}, of laat identiteitOntvanger weg.")


def _ontvanger_unknown(found: str, expected: str, fix: str) -> PeerError:
    return PeerError("ontvanger-unknown", where="identiteitOntvanger", found=found, expected=expected, fix=fix)


_ROUTE_KEYS: Final = (
    "berichtsoort", "owner", "documents", "copy", "steps", "shows_200", "agency_validates", "senders", "mime_types",
    "bijlagen", "roots", "identity", "document_limit", "illustrative", "direction",
)  # fmt: skip
_SELECTOR_KEYS: Final = ("part", "bestandsnaam", "mimeType", "root")


@dataclass(frozen=True, slots=True)
class Routes:
    """All routes of one file; a frozen snapshot."""

    bodies: Mapping[str, str]  # OIN by name of body
    rows: tuple[Route, ...]
    table: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # What they were read from

    def find(self, berichtsoort: str) -> Route | None:
        """The route of a berichtsoort, spelt exactly so; None when there is none."""
        return next((row for row in self.rows if row.berichtsoort == berichtsoort), None)

    def require(self, berichtsoort: str) -> Route:
        """The route of a berichtsoort that a peer wrote. Raises PeerError: berichtsoort-unknown."""
        route = self.find(berichtsoort)
        if route is None:
            expected = "een berichtsoort van deze aansluiting, precies zo gespeld"
            raise PeerError("berichtsoort-unknown", found=berichtsoort or "leeg", expected=expected)
        return route

    def with_rows(self, entries: Mapping[str, Mapping[str, Any] | None]) -> Routes:
        """The same with routes of the register by berichtsoort, in the place of the file's, or taken away by None.
        ConfigError tells all mistakes."""
        if not entries:
            return self
        kept = [row for row in self.table["route"] if row["berichtsoort"] not in entries]
        added = [row for row in entries.values() if row is not None]
        return Routes.of({**self.table, "route": kept + added}, f"{FILE} with the register")

    @staticmethod
    def of(table: Mapping[str, Any], name: str = FILE) -> Routes:
        """Routes of a file that routes.toml explains; ConfigError tells all mistakes at once, each after the name."""
        reader = _Reader(table, name)
        routes = Routes(reader.bodies, tuple(reader.route(row) for row in reader.rows), table)
        reader.check_doubles(routes.rows)
        reader.mistakes.finish()
        return routes


class _Reader:
    """One file while it is being read."""

    def __init__(self, table: Mapping[str, Any], name: str) -> None:
        self.mistakes = m = Mistakes(name)
        m.check_keys(table, ("bodies", "namespaces", "identity", "route"), "top")
        self.namespaces = {str(k): str(v) for k, v in m.table(table, "namespaces", "top").items()}
        bodies = m.table(table, "bodies", "top")
        self.bodies = {name: m.oin(bodies, name, f"bodies.{name}") for name in bodies}
        rules = m.table(table, "identity", "top")
        self.rules = {name: self.identity_rule(name, m.table(rules, name, f"identity.{name}")) for name in rules}
        self.rows = m.tables(table, "route", "top")
        if not self.rows:
            m.add("top", "no [[route]] at all")

    def name(self, written: str, where: str) -> Name:
        """prefix:local, or local for an element without namespace."""
        prefix, _, local = written.rpartition(":")
        if prefix:
            self.mistakes.words([prefix], self.namespaces, where, "namespace prefix")
        return Name(self.namespaces.get(prefix, "") if prefix else "", local)

    def identity_rule(self, name: str, rule: Mapping[str, Any]) -> IdentityRule:
        m, where = self.mistakes, f"identity.{name}"
        m.check_keys(rule, ("types", "paths", "attributes"), where)
        types, paths = m.texts(rule, "types", where), m.texts(rule, "paths", where)
        if not types or not paths:
            m.add(where, "needs types and paths")
        attributes = m.table(rule, "attributes", where)
        return IdentityRule(
            name,
            frozenset(t.casefold() for t in types),
            tuple(tuple(self.name(step, where) for step in path.split("/")) for path in paths),
            tuple((str(k), str(v)) for k, v in attributes.items()),
        )

    def route(self, row: Mapping[str, Any]) -> Route:
        m = self.mistakes
        where = f"route {row.get('berichtsoort', '?')}"
        m.check_keys(row, _ROUTE_KEYS, where)
        owner = m.text(row, "owner", where)
        mime_types = frozenset(essence(t) for t in m.texts(row, "mime_types", where))
        if not mime_types:
            m.add(where, "mime_types is missing: no document could be accepted")
        rules = m.words(m.texts(row, "identity", where), self.rules, where, "identity rule")
        route = Route(
            berichtsoort=m.text(row, "berichtsoort", where),
            body="de geadresseerde overheidsorganisatie" if owner == BY_ONTVANGER else owner,
            owner_oin=None if owner in ("", BY_ONTVANGER) else self.body(owner, where, "owner"),
            owner_selectors=self.selectors(m.tables(row, "documents", where), where),
            copies=tuple(self.copy_rule(copy, f"{where}, copy") for copy in m.tables(row, "copy", where)),
            steps=self.steps(row, where),
            shows_200=m.flag(row, "shows_200", where),
            agency_validates=m.flag(row, "agency_validates", where),
            senders=m.choice(row, "senders", where, SENDERS, "mandate"),
            mime_types=mime_types,
            bijlage_mime_types=frozenset(essence(t) for t in m.texts(row, "bijlagen", where)),
            roots=tuple(self.name(root, where) for root in m.texts(row, "roots", where)),
            identity=tuple(self.rules[name] for name in rules),
            document_limit=m.number(row, "document_limit", where, limits.INHOUD, limits.INHOUD),
            illustrative=m.flag(row, "illustrative", where),
            direction=m.choice(row, "direction", where, DIRECTIONS, "aanlevering"),
        )
        self.check_route(route, row, where)
        return route

    def body(self, name: str, where: str, what: str) -> str:
        return self.bodies[name] if self.mistakes.words([name], self.bodies, where, what) else ""

    def copy_rule(self, copy: Mapping[str, Any], where: str) -> CopyRule:
        m = self.mistakes
        m.check_keys(copy, ("to", "documents"), where)
        to = m.text(copy, "to", where)
        selectors = self.selectors(m.tables(copy, "documents", where), where)
        if not selectors:
            m.add(where, "documents is missing: a copy names the documents it carries")
        return CopyRule(self.body(to, where, "recipient") if to else "", selectors)

    def selectors(self, tables: list[Mapping[str, Any]], where: str) -> tuple[Selector, ...]:
        return tuple(read_selector(self.mistakes, table, where, self.name) for table in tables)

    def steps(self, row: Mapping[str, Any], where: str) -> tuple[tuple[str, ...], ...]:
        steps = row.get("steps")
        if not isinstance(steps, list) or not steps or not all(isinstance(step, list) and step for step in steps):
            self.mistakes.add(where, "steps must be a list of lists of validators, at least one")
            return ()
        return tuple(self.mistakes.words(map(str, step), VALIDATORS, where, "validator") for step in steps)

    def check_route(self, route: Route, row: Mapping[str, Any], where: str) -> None:
        """What a row says must be possible."""
        uses_identity = any("identity" in step for step in route.steps)
        if uses_identity != bool(route.identity):
            self.mistakes.add(where, "identity rules and the validator 'identity' need each other")
        if route.direction == RETOUR:
            if route.owner_oin is None:
                self.mistakes.add(where, "direction 'retour' needs the sending body as owner")
            if route.copies or route.owner_selectors or route.agency_validates or "senders" in row:
                self.mistakes.add(where, "direction 'retour' has no documents, copy, agency_validates or senders")
        groups = [("documents", route.owner_selectors), *(("copy", copy.selectors) for copy in route.copies)]
        for what, selectors in groups:
            for selector in selectors:
                if reason := never_matches(selector, route):
                    self.mistakes.add(where, f"{what}: {reason}")
        recipients = [copy.to_oin for copy in route.copies if copy.to_oin]
        if len(set(recipients)) < len(recipients) or route.owner_oin in recipients:
            self.mistakes.add(where, "a recipient is named twice")

    def check_doubles(self, rows: tuple[Route, ...]) -> None:
        seen = dict[str, Route]()
        for row in rows:
            if seen.setdefault(row.berichtsoort.casefold(), row) is not row:
                self.mistakes.add(f"route {row.berichtsoort}", "berichtsoort occurs twice")


def read_selector(
    mistakes: Mistakes, table: Mapping[str, Any], where: str, name_of: Callable[[str, str], Name]
) -> Selector:
    """One selector out of its table; `name_of` is (written name, where) -> Name, for the root element."""
    mistakes.check_keys(table, _SELECTOR_KEYS, where)
    if not table:
        mistakes.add(where, "an empty selector selects everything; say what is meant")
    texts = {key: mistakes.text(table, key, where) for key in table if key in _SELECTOR_KEYS}
    part = texts.get("part")
    if part is not None and part not in PARTS:
        mistakes.add(where, f"part is {part!r}; known: {', '.join(PARTS)}")
    mime_type = essence(texts["mimeType"]) if "mimeType" in texts else None
    root = name_of(texts["root"], where) if texts.get("root") else None
    return Selector(part, texts.get("bestandsnaam"), mime_type, root)


def never_matches(selector: Selector, route: Route) -> str:
    """Why no document that the route accepts can match; empty when one can (decision 18)."""
    types = {"inhoud": route.mime_types, "bijlage": route.bijlage_mime_types}
    parts = [selector.part] if selector.part else list(types)
    possible = {part: [t for t in types.get(part, ()) if selector.mime_type in (None, t)] for part in parts}
    xml = {part: [t for t in found if is_xml(t)] for part, found in possible.items()}
    if not any(possible.values()):
        reason = "no such part and mimeType is accepted"
    elif selector.root is not None and not any(xml.values()):
        reason = "a root element needs an XML mimeType"
    elif selector.root is not None and not xml.get("bijlage") and route.roots and selector.root not in route.roots:
        reason = "the route does not accept this root element"
    else:
        return ""
    shown = ", ".join(f"{key} = {value!r}" for key, value in selector.table().items())
    return f"selector {{{shown}}} can match nothing: {reason}"
