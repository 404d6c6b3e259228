"""The route table: what is shipped, what is found wrong when it is loaded, sorting and addressing."""

from __future__ import annotations

import copy
import tomllib
from dataclasses import replace
from typing import Any

import pytest
from helpers_hub import BELASTINGDIENST, GEMEENTE, HBAG, aanlevering, document

from digipoort_as4.errors import ConfigError, PeerError
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.hub.routes import Routes, Selector, resolve_recipient, sort_documents
from digipoort_as4.storage import tables

SHIPPED = tables.load_routes()
AGENCIES = frozenset(SHIPPED.bodies.values())

NINE_BODIES = {
    "AID",
    "Belastingdienst",
    "CBS",
    "Douane",
    "HBAG",
    "Kamer van Koophandel",
    "Plantenziektenkundige Dienst",
    "UWV",
    "VWA",
}

SMALL = """
[bodies]
Belastingdienst = "00000099000000012000"
CBS = "00000099000000013000"
[namespaces]
x = "urn:x"
[identity.number]
types = ["BTW"]
paths = ["x:doc/x:number"]
[[route]]
berichtsoort = "Omzetbelasting"
owner = "Belastingdienst"
steps = [["wellformed"], ["identity"]]
mime_types = ["text/xml"]
bijlagen = ["application/pdf"]
roots = ["x:doc"]
identity = ["number"]
documents = [{ part = "inhoud" }]
[[route.copy]]
to = "CBS"
documents = [{ part = "bijlage", bestandsnaam = "cbs-*" }]
"""


RETOUR = (
    SMALL[SMALL.index("[[route]]") :],
    """
[[route]]
berichtsoort = "SBA"
direction = "retour"
owner = "Belastingdienst"
steps = [["wellformed"]]
mime_types = ["text/xml"]
""",
)
"""The route above, and a good retour route in its place."""


def test_every_body_has_a_row() -> None:
    """The nine bodies connected to Digipoort own a stream each, and e-factuur goes to any body by OIN."""
    assert {row.body for row in SHIPPED.rows if row.owner_oin} == NINE_BODIES
    e_factuur = SHIPPED.find("e-factuur")
    assert e_factuur is not None and e_factuur.owner_oin is None


@pytest.mark.parametrize(
    "route", [r for r in SHIPPED.rows if r.direction != "retour"], ids=lambda row: row.berichtsoort
)
def test_every_route_resolves(route: Any) -> None:
    """Each row finds its recipient among the bodies of the table."""
    ontvanger = Identiteit(GEMEENTE, "OIN") if route.owner_oin is None else None
    found = resolve_recipient(route, aanlevering(route.berichtsoort, ontvanger=ontvanger), AGENCIES)
    assert Identiteit(route.owner_oin or GEMEENTE, "OIN") == found


@pytest.mark.parametrize(
    "route", [r for r in SHIPPED.rows if r.direction == "retour"], ids=lambda row: row.berichtsoort
)
def test_a_retour_route_goes_to_the_business(route: Any) -> None:
    """identiteitOntvanger names who may collect, or else identiteitBelanghebbende; known or not."""
    business = Identiteit("90001102", "KvK")
    unit = aanlevering(route.berichtsoort)
    assert unit.belanghebbende == resolve_recipient(route, unit, AGENCIES)
    assert business == resolve_recipient(route, replace(unit, ontvanger=business), AGENCIES)


def test_rows_without_public_berichtsoort_are_marked() -> None:
    """Only the spellings that digipoort 4.1 has seen are shown as Digipoort's own."""
    public = {row.berichtsoort for row in SHIPPED.rows if not row.illustrative}
    assert {"Omzetbelasting", "ICP", "OBSUP", "Aangifte_LH", "e-factuur"} == public


@pytest.mark.parametrize(
    ("berichtsoort", "steps", "shows_200", "validates"),
    [("Omzetbelasting", 2, True, True), ("e-factuur", 1, False, False)],
)
def test_flow_of_a_route(berichtsoort: str, steps: int, shows_200: bool, validates: bool) -> None:
    """The tax flow shows 200, 301 twice and 500; the invoice flow 301 once (digipoort 3.2)."""
    route = SHIPPED.find(berichtsoort)
    assert route is not None
    assert (steps, shows_200, validates) == (len(route.steps), route.shows_200, route.agency_validates)


def test_berichtsoort_is_spelt_exactly() -> None:
    assert SHIPPED.find("omzetbelasting") is None


# --- loading ----------------------------------------------------------------------------------------------------------


def test_small_table_loads() -> None:
    """The table that the next tests break loads as it is."""
    assert ["Omzetbelasting"] == [row.berichtsoort for row in Routes.of(tomllib.loads(SMALL)).rows]


BROKEN = {
    "unknown key": ("owner =", "ownr =", "unknown key 'ownr'; did you mean 'owner'?"),
    "owner missing": ("owner =", "ownr =", "owner is missing"),
    "unknown owner": ('owner = "Belastingdienst"', 'owner = "Belastingsdienst"', "did you mean 'Belastingdienst'?"),
    "unknown copy recipient": ('to = "CBS"', 'to = "CSB"', "unknown recipient 'CSB'"),
    "copy to the owner": ('to = "CBS"', 'to = "Belastingdienst"', "a recipient is named twice"),
    "copy without documents": (
        'documents = [{ part = "bijlage", bestandsnaam = "cbs-*" }]',
        "",
        "a copy names the documents it carries",
    ),
    "unknown validator": ('["wellformed"]', '["welformed"]', "did you mean 'wellformed'?"),
    "no steps": ('steps = [["wellformed"], ["identity"]]', "steps = []", "steps must be"),
    "flag is a word": ("roots =", 'shows_200 = "yes"\nroots =', "shows_200 must be true or false"),
    "limit above the koppelvlak's": ("roots =", "document_limit = 20971521\nroots =", "document_limit must be"),
    "unknown part": ('{ part = "inhoud" }', '{ part = "envelope" }', "part is 'envelope'"),
    "selector of a mimeType not accepted": (
        '{ part = "inhoud" }',
        '{ part = "inhoud", mimeType = "text/csv" }',
        "can match nothing",
    ),
    "selector of a root not accepted": (
        '{ part = "inhoud" }',
        '{ part = "inhoud", root = "x:other" }',
        "match nothing",
    ),
    "root of a pdf": ('{ part = "inhoud" }', '{ part = "bijlage", root = "x:doc" }', "needs an XML mimeType"),
    "bijlage where none is accepted": ('bijlagen = ["application/pdf"]', "", "can match nothing"),
    "empty selector": ('{ part = "inhoud" }', "{}", "selects everything"),
    "unknown prefix": ('roots = ["x:doc"]', 'roots = ["y:doc"]', "unknown namespace prefix 'y'"),
    "unknown identity rule": ('identity = ["number"]', 'identity = ["nummer"]', "did you mean 'number'?"),
    "identity without rules": ('identity = ["number"]', "", "need each other"),
    "rules without identity": ('["wellformed"], ["identity"]', '["wellformed"]', "need each other"),
    "no mimeType": ('mime_types = ["text/xml"]', "", "mime_types is missing"),
    "no OIN": ('"00000099000000012000"', '"0000009900000001200"', "is no OIN"),
    "unknown sender rule": ("roots =", 'senders = "anybody"\nroots =', "senders is 'anybody'"),
    "unknown direction": ("roots =", 'direction = "terug"\nroots =', "direction is 'terug'"),
    "retour with copy": ("roots =", 'direction = "retour"\nroots =', "direction 'retour' has no documents, copy"),
    "retour with senders": (
        RETOUR[0],
        RETOUR[1] + 'senders = "known"\n',
        "has no documents, copy, agency_validates or",
    ),
    "retour with agency_validates": (RETOUR[0], RETOUR[1] + "agency_validates = true\n", "agency_validates or senders"),
    "retour of any body": (
        RETOUR[0],
        RETOUR[1].replace('"Belastingdienst"', '"ontvanger"'),
        "the sending body as owner",
    ),
    "unknown table": ("[bodies]", "[agencies]", "unknown key 'agencies'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_mistake_is_found(name: str) -> None:
    """The same table with one thing broken is refused, and the text says which."""
    old, new, told = BROKEN[name]
    with pytest.raises(ConfigError) as refused:
        Routes.of(tomllib.loads(SMALL.replace(old, new)))
    assert told in str(refused.value)


def test_a_retour_route_loads() -> None:
    """The one that is broken above is good."""
    (row,) = Routes.of(tomllib.loads(SMALL.replace(*RETOUR))).rows
    assert ("retour", "00000099000000012000") == (row.direction, row.owner_oin)


def test_all_mistakes_are_told_at_once() -> None:
    table = tomllib.loads(SMALL)
    table["route"].append(copy.deepcopy(table["route"][0]) | {"ownr": "x", "owner": "Nobody"})
    with pytest.raises(ConfigError) as refused:
        Routes.of(table)
    told = str(refused.value).splitlines()
    assert ["unknown key 'ownr'", "unknown owner 'Nobody'", "berichtsoort occurs twice"] == [
        next(
            part
            for part in ("unknown key 'ownr'", "unknown owner 'Nobody'", "berichtsoort occurs twice")
            if part in line
        )
        for line in told
    ]


def test_file_that_is_no_toml(tmp_path: Any) -> None:
    path = tmp_path / "routes.toml"
    path.write_text("[bodies\n")
    with pytest.raises(ConfigError, match="line 1"):
        tables.load_routes(path)
    with pytest.raises(ConfigError, match="No such file"):
        tables.load_routes(tmp_path / "absent.toml")


# --- addressing -------------------------------------------------------------------------------------------------------


def route(berichtsoort: str) -> Any:
    found = SHIPPED.find(berichtsoort)
    assert found is not None
    return found


def test_ontvanger_may_name_the_owner() -> None:
    unit = aanlevering(ontvanger=Identiteit(BELASTINGDIENST, "oin"))
    assert Identiteit(BELASTINGDIENST, "OIN") == resolve_recipient(route("Omzetbelasting"), unit, AGENCIES)


@pytest.mark.parametrize(
    ("berichtsoort", "ontvanger"),
    [
        ("Omzetbelasting", Identiteit(HBAG, "OIN")),
        ("Omzetbelasting", Identiteit(BELASTINGDIENST, "KvK")),
        ("e-factuur", None),
        ("e-factuur", Identiteit(GEMEENTE[:-1], "OIN")),
        ("e-factuur", Identiteit("00000099000000099000", "OIN")),
        ("e-factuur", Identiteit(GEMEENTE, "KvK")),
    ],
)
def test_wrong_ontvanger_is_refused(berichtsoort: str, ontvanger: Identiteit | None) -> None:
    """Another body than the owner, no body, no OIN, or a body that is not connected."""
    with pytest.raises(PeerError) as refused:
        resolve_recipient(route(berichtsoort), aanlevering(berichtsoort, ontvanger=ontvanger), AGENCIES)
    assert "ontvanger-unknown" == refused.value.cause.name
    assert refused.value.expected and refused.value.fix


def test_owner_without_endpoint_is_our_trouble() -> None:
    """The sender did nothing wrong when the operator forgot an endpoint."""
    with pytest.raises(PeerError) as refused:
        resolve_recipient(route("Omzetbelasting"), aanlevering(), AGENCIES - {BELASTINGDIENST})
    assert refused.value.cause.technical


# --- sorting ----------------------------------------------------------------------------------------------------------

INHOUD = document(key="inhoud", name="statistiek.xbrl")
FOR_HBAG = document(key="hbag", part="bijlage", name="HBAG-export.csv", mime="text/csv; charset=utf-8")
LETTER = document(key="letter", part="bijlage", name="brief.pdf", mime="application/pdf")
DOCUMENTS = (INHOUD, FOR_HBAG, LETTER)
XBRLI = "{http://www.xbrl.org/2003/instance}xbrl"


def keys(selectors: tuple[Selector, ...]) -> list[str]:
    return [d.key for d in sort_documents(selectors, DOCUMENTS, {"inhoud": XBRLI})]


def test_sorting_by_each_kind_of_selector() -> None:
    """Part, name, mimeType (its parameters aside) and root element; several selectors add up, in envelope order."""
    name = route("Omzetbelasting").roots[0]
    assert ["inhoud", "hbag", "letter"] == keys(())
    assert ["inhoud"] == keys((Selector(part="inhoud"),))
    assert ["hbag", "letter"] == keys((Selector(part="bijlage"),))
    assert ["hbag"] == keys((Selector(bestandsnaam="hbag-*"),))
    assert ["hbag"] == keys((Selector(mime_type="text/csv"),))
    assert ["inhoud"] == keys((Selector(root=name),))
    assert ["inhoud", "letter"] == keys((Selector(mime_type="application/pdf"), Selector(part="inhoud")))
    assert [] == keys((Selector(part="inhoud", mime_type="text/csv"),))


def test_root_element_is_matched_as_a_whole_name() -> None:
    """Same local name in another namespace is another element; a yearly namespace fits by its beginning."""
    xbrl, payroll = route("Omzetbelasting").roots[0], route("Aangifte_LH").roots[0]
    assert xbrl.matches(XBRLI)
    assert not xbrl.matches("{urn:other}xbrl")
    assert not xbrl.matches("xbrl")
    assert payroll.matches("{http://xml.belastingdienst.nl/schemas/Loonaangifte/2026/01}Loonaangifte")
    assert not payroll.matches("{http://elsewhere/schemas/Loonaangifte/2026/01}Loonaangifte")
