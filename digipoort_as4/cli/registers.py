"""`digipoort mandates`, `routes` and `consents`: the registers of the running post office.

Entries are added, never changed. Decides nothing: the post office checks each with the readers of its tables."""

from __future__ import annotations

import json
import secrets
import tomllib
from pathlib import Path
from typing import Any, Final

import click

from digipoort_as4.cli import streams
from digipoort_as4.cli.common import FILE_OR_STDIN, dir_option, identity_of, json_option, octets_of
from digipoort_as4.errors import ConfigError, UsageError, failure
from digipoort_as4.hub.mandates import AANLEVEREN, KINDS
from digipoort_as4.hub.mistakes import nearest
from digipoort_as4.hub.registers import CONSENT, MANDATE, ROUTE
from digipoort_as4.transport import control

COLUMNS: Final = {
    MANDATE: ("reference", "party", "kind", "for", "berichtsoorten", "from", "until", "stands"),
    ROUTE: ("berichtsoort", "owner", "direction", "senders"),
    CONSENT: ("reference", "berichtsoort", "owner", "to", "by", "grantedAt"),
}
"""What a line for people shows of a row."""
by_option = click.option("--by", required=True, help="Who decides, for the record.")
reason_option = click.option("--reason", required=True, help="Why, for the record.")
reference_option = click.option("--reference", help="Unique; made up when not given.")


def ask(folder: Path, command: str, register: str, **about: Any) -> Any:
    """Have the post office of this folder do it; what it refuses is a mistake in what was given."""
    return control.ask(folder / "data", f"register.{command}", {"register": register, **about}, ConfigError)


def change(folder: Path, register: str, rows: dict[str, Any], by: str, reason: str, *, check: bool = False) -> None:
    """Have rows set, or withdrawn where they are None; prints their keys."""
    told = ask(folder, "change", register, rows=rows, by=by, reason=reason, check=check)
    for key in rows:
        streams.out(key)
    if told["trouble"]:
        streams.note(f"kept, but not read yet, because a file is wrong:\n{told['trouble']}")


mandates = click.Group(
    "mandates", help="List, grant or withdraw mandates: who may send, follow or fetch what, for whom and how long."
)
routes = click.Group(
    "routes", help="List, show, check, set or retire routes: per berichtsoort who gets it and who may send it."
)
consents = click.Group("consents", help="List, grant or withdraw consent for copies to a second agency.")


def add_shared(group: click.Group, register: str, remove: str) -> None:
    """The commands that every register has."""

    @group.command("list")
    @dir_option
    @json_option
    def list_rows(folder: Path, as_json: bool) -> None:
        """Every row that counts, of the file and of the register."""
        for row in ask(folder, "list", register)["rows"]:
            streams.show(as_json, row, "  ".join(_plain(row.get(name)) for name in COLUMNS[register] if name in row))

    @group.command()
    @click.argument("key", required=False)
    @dir_option
    @json_option
    def history(key: str | None, folder: Path, as_json: bool) -> None:
        """Everything that was ever decided with this command, or about KEY alone, oldest first."""
        for entry in ask(folder, "history", register, key=key)["entries"]:
            done = f"{'set' if entry['value'] else 'withdrawn'} by {entry['by']}: {entry['reason']}"
            streams.show(as_json, entry, f"{entry['at'][:19]}  {entry['key']}  {done}")

    @group.command(remove)
    @click.argument("key")
    @by_option
    @reason_option
    @dir_option
    def withdraw(key: str, by: str, reason: str, folder: Path) -> None:
        """Take KEY out; from the next message on it does not count."""
        change(folder, register, {key: None}, by, reason)


add_shared(mandates, MANDATE, "withdraw")
add_shared(routes, ROUTE, "retire")
add_shared(consents, CONSENT, "withdraw")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(map(str, value.values()))
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@mandates.command(
    epilog="Example: digipoort mandates grant --party 00000099000000102000 --for KvK:90001101 --kind ophalen "
    "--berichtsoort ICP --from 2026-01-01 --until 2026-12-31 --by 'J. Bos' --reason 'new client'"
)
@click.option("--party", required=True, metavar="OIN", help="Who may act; a party of parties.toml.")
@click.option("--for", "whom", required=True, metavar="TYPE:NUMBER", help="For whom.")
@click.option("--kind", type=click.Choice(KINDS), default=AANLEVEREN, show_default=True, help="What it may do.")
@click.option("--berichtsoort", "berichtsoorten", multiple=True, required=True, help="Which messages; may repeat.")
@click.option("--from", "from_", required=True, metavar="DATE", help="First day, UTC; or a time with its zone.")
@click.option("--until", required=True, metavar="DATE", help="Last day, UTC; or a time with its zone.")
@reference_option
@by_option
@reason_option
@dir_option
def grant(folder: Path, by: str, reason: str, reference: str | None, whom: str, **row: Any) -> None:
    """Add a mandate to the register; prints its reference."""
    nummer, kind_of_number = identity_of(whom)
    key, row["from"] = reference or f"m-{secrets.token_hex(4)}", row.pop("from_")
    row |= {"reference": key, "for": {"type": kind_of_number, "nummer": nummer}}
    change(folder, MANDATE, {key: row}, by, reason)


@consents.command(
    "grant",
    epilog="Example: digipoort consents grant Statistiek_Groothandel --to 00000099000000015000 "
    "--by 'CBS, J. Bos' --reason 'letter of 5 January'",
)
@click.argument("berichtsoort")
@click.option("--to", required=True, metavar="OIN", help="Who gets the copy.")
@reference_option
@by_option
@reason_option
@dir_option
def grant_consent(berichtsoort: str, to: str, reference: str | None, by: str, reason: str, folder: Path) -> None:
    """Record the consent of the berichtstroomeigenaar of BERICHTSOORT to the copy that its route has today."""
    key = reference or f"c-{secrets.token_hex(4)}"
    change(folder, CONSENT, {key: {"berichtsoort": berichtsoort, "to": to}}, by, reason)


@routes.command()
@click.argument("berichtsoort")
@dir_option
def show(berichtsoort: str, folder: Path) -> None:
    """The row of BERICHTSOORT in the form of routes.toml, to be edited and given to `digipoort routes set`."""
    rows = {row["berichtsoort"]: row for row in ask(folder, "list", ROUTE)["rows"]}
    if berichtsoort not in rows:
        raise failure(UsageError, f"no route {berichtsoort!r}{nearest(berichtsoort, rows)}")
    streams.out("[[route]]\n" + "\n".join(f"{key} = {_toml(value)}" for key, value in rows[berichtsoort].items()))


def _toml(value: Any) -> str:
    """A value in TOML's form, which is JSON's but for inline tables and DEL."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


@routes.command()
@click.argument("file", type=FILE_OR_STDIN)
@dir_option
def check(file: Path, folder: Path) -> None:
    """Say what would be wrong with the [[route]] rows of FILE (`-`: stdin) in this post office; changes nothing."""
    change(folder, ROUTE, _rows(file), "nobody", "a check", check=True)


@routes.command("set")
@click.argument("file", type=FILE_OR_STDIN)
@by_option
@reason_option
@dir_option
def set_routes(file: Path, by: str, reason: str, folder: Path) -> None:
    """Add or replace the [[route]] rows of FILE (`-`: stdin), all or none; prints each berichtsoort."""
    change(folder, ROUTE, _rows(file), by, reason)


def _rows(file: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(octets_of(file).decode())
        rows = table.pop("route", [])
        named = {str(row["berichtsoort"]): json.loads(json.dumps(row)) for row in rows}
    except (ValueError, TypeError, KeyError) as error:
        raise failure(ConfigError, f"{file} has no [[route]] rows", found=f"{type(error).__name__} {error}") from error
    if table or not named or len(named) < len(rows):
        found = ", ".join(table) or f"{len(rows)} rows"
        expected = "one or more [[route]], each with another berichtsoort, and nothing else"
        raise failure(ConfigError, f"{file} cannot be set", found=found, expected=expected)
    return named
