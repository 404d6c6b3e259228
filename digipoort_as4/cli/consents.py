"""`digipoort consents`: an owner's word that copies may go to a second agency. Entries are added, never changed."""

from __future__ import annotations

from pathlib import Path

import click

from digipoort_as4.cli import streams
from digipoort_as4.cli.common import dir_option, json_option
from digipoort_as4.clock import Clock
from digipoort_as4.errors import UsageError, failure
from digipoort_as4.hub.copies import Consent, Consents, check_against
from digipoort_as4.hub.routes import CopyRule, Route
from digipoort_as4.sdk.office import CLOCK, CONSENTS
from digipoort_as4.storage import tables


@click.group()
def consents() -> None:
    """List, grant or withdraw consent for copies to a second agency."""


@consents.command("list")
@dir_option
@json_option
def list_consents(folder: Path, as_json: bool) -> None:
    """Every consent ever given, with who, when and whether it stands."""
    for row in tables.load_consents(folder / CONSENTS).rows:
        streams.show(as_json, record(row), line(row))


def record(row: Consent) -> dict[str, str | None]:
    """A consent for programs."""
    return {
        "reference": row.reference,
        "berichtsoort": row.berichtsoort,
        "owner": row.owner_oin,
        "to": row.to_oin,
        "by": row.by,
        "grantedAt": row.granted_at.isoformat(),
        "withdrawnAt": row.withdrawn_at.isoformat() if row.withdrawn_at else None,
        "withdrawnBy": row.withdrawn_by or None,
    }


def line(row: Consent) -> str:
    """A consent for people."""
    state = f"withdrawn {row.withdrawn_at:%Y-%m-%d %H:%M} by {row.withdrawn_by}" if row.withdrawn_at else "stands"
    parties = f"{row.reference}  {row.berichtsoort}  {row.owner_oin} to {row.to_oin}"
    return f"{parties}  granted {row.granted_at:%Y-%m-%d %H:%M} by {row.by}  {state}"


@consents.command(
    epilog="Example: digipoort consents grant Statistiek_Groothandel --to 00000099000000015000 --by 'CBS, J. Bos'"
)
@click.argument("berichtsoort")
@click.option("--to", "to_oin", required=True, help="OIN of the body that gets the copy.")
@click.option("--by", required=True, help="Who consents, for the record.")
@click.option("--reference", help="Unique; made up from the date when not given.")
@dir_option
def grant(berichtsoort: str, to_oin: str, by: str, reference: str | None, folder: Path) -> None:
    """Record the consent of the berichtstroomeigenaar of BERICHTSOORT; the next copy may leave."""
    now = Clock(folder / CLOCK)()
    route, copy = copy_of(berichtsoort, to_oin)
    name = reference or f"{berichtsoort}-{now:%Y%m%d-%H%M%S}"
    consent = Consent(name, berichtsoort, route.owner_oin or "", to_oin, copy.selectors, by, now)
    check_against(Consents((consent,)), tables.load_routes())
    tables.ConsentFile(folder / CONSENTS).grant(consent)
    streams.out(name)


def copy_of(berichtsoort: str, to_oin: str) -> tuple[Route, CopyRule]:
    """The route, and its rule for copies to a body; a UsageError when either is not there."""
    routes = tables.load_routes()
    route = routes.find(berichtsoort)
    if route is None:
        known = ", ".join(row.berichtsoort for row in routes.rows)
        raise failure(UsageError, f"no route '{berichtsoort}'", expected=known)
    for copy in route.copies:
        if copy.to_oin == to_oin:
            return route, copy
    known = ", ".join(copy.to_oin for copy in route.copies) or "a [[route.copy]] in routes.toml"
    raise failure(UsageError, f"route {berichtsoort} has no copy to {to_oin}", expected=known)


@consents.command()
@click.argument("reference")
@click.option("--by", required=True, help="Who withdraws it, for the record.")
@dir_option
def withdraw(reference: str, by: str, folder: Path) -> None:
    """Withdraw the consent REFERENCE; it stops the next copy."""
    tables.ConsentFile(folder / CONSENTS).withdraw(reference, by, Clock(folder / CLOCK)())
    streams.note(f"withdrawn {reference}")
