"""`digipoort mandates` and `routes`: the registers of the running post office. Entries are added, never changed.

Decides nothing: the post office checks each entry with the readers of its tables.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from digipoort_as4.cli import streams
from digipoort_as4.cli.common import FILE_OR_STDIN, dir_option, identity_of, json_option, octets_of
from digipoort_as4.errors import ConfigError, UsageError, failure
from digipoort_as4.hub.mandates import AANLEVEREN, KINDS
from digipoort_as4.hub.mistakes import nearest
from digipoort_as4.hub.registers import MANDATE, ROUTE
from digipoort_as4.transport import control

Command = Callable[..., None]


def ask(folder: Path, command: str, **about: Any) -> Any:
    """Have the post office of this folder do it; what it refuses is a mistake in what was given."""
    return control.ask(folder / "data", command, about, ConfigError)


def who_and_why(command: Command) -> Command:
    """The two options of every change."""
    by = click.option("--by", required=True, help="Who decides, for the record.")
    return by(click.option("--reason", required=True, help="Why, for the record.")(command))


def tell(answer: Mapping[str, Any], what: str) -> None:
    """The keys of what was kept, and whether it counts already."""
    for key in answer["keys"]:
        streams.out(key)
    if answer["trouble"]:
        streams.note(f"kept, but not read yet, because a file is wrong:\n{answer['trouble']}")
    else:
        streams.note(f"{what}; it counts from the next message on")


def history_of(register: str, key: str | None, folder: Path, as_json: bool) -> None:
    """What was ever decided, oldest first."""
    for entry in ask(folder, "register.history", register=register, key=key)["entries"]:
        text = f"{entry['at'][:16]}  {entry['key']}  {entry['what']} by {entry['by']}: {entry['reason']}"
        streams.show(as_json, entry, text)


# --- mandates ---------------------------------------------------------------------------------------------------------


@click.group()
def mandates() -> None:
    """List, grant or withdraw mandates: who may send, follow or fetch what, for whom and how long."""


@mandates.command("list")
@dir_option
@json_option
def list_mandates(folder: Path, as_json: bool) -> None:
    """Every mandate of parties.toml and of the register, and whether it stands now."""
    for row in ask(folder, "mandates.list")["mandates"]:
        whom, kinds = f"{row['for']['type']} {row['for']['nummer']}", ", ".join(row["berichtsoorten"])
        time = f"{row['from'][:10]} to before {row['until'][:10]}  {'stands' if row['stands'] else 'does not stand'}"
        place = row["reference"] or "parties.toml"
        streams.show(as_json, row, f"{place}  {row['name']} {row['kind']} for {whom}: {kinds}  {time}")


@mandates.command(
    epilog="Example: digipoort mandates grant --party 00000099000000102000 --for KvK:90001101 --kind ophalen "
    "--berichtsoort SBA --from 2026-01-01 --until 2026-12-31 --by 'J. Bos' --reason 'new client'"
)
@click.option("--party", required=True, metavar="OIN", help="Who may act; a party of parties.toml.")
@click.option("--for", "whom", required=True, metavar="TYPE:NUMBER", help="For whom.")
@click.option("--kind", type=click.Choice(KINDS), default=AANLEVEREN, show_default=True, help="What it may do.")
@click.option("--berichtsoort", "berichtsoorten", multiple=True, required=True, help="Which messages; may repeat.")
@click.option("--from", "start", required=True, metavar="DATE", help="First day, UTC; or a time with its zone.")
@click.option("--until", "end", required=True, metavar="DATE", help="Last day, UTC; or a time with its zone.")
@click.option("--reference", help="Unique; made up when not given.")
@who_and_why
@dir_option
def grant(
    party: str,
    whom: str,
    kind: str,
    berichtsoorten: tuple[str, ...],
    start: str,
    end: str,
    reference: str | None,
    by: str,
    reason: str,
    folder: Path,
) -> None:
    """Add a mandate to the register; prints its reference."""
    number, type_ = identity_of(whom)
    row = {
        "party": party,
        "for": {"type": type_, "nummer": number},
        "kind": kind,
        "berichtsoorten": list(berichtsoorten),
        "from": start,
        "until": end,
        "reference": reference,
    }
    tell(ask(folder, "mandates.grant", row=row, by=by, reason=reason), "granted")


@mandates.command()
@click.argument("reference")
@who_and_why
@dir_option
def withdraw(reference: str, by: str, reason: str, folder: Path) -> None:
    """Withdraw the mandate REFERENCE of the register."""
    tell(ask(folder, "mandates.withdraw", key=reference, by=by, reason=reason), "withdrawn")


@mandates.command("history")
@click.argument("reference", required=False)
@dir_option
@json_option
def mandate_history(reference: str | None, folder: Path, as_json: bool) -> None:
    """Everything ever granted or withdrawn, or of REFERENCE alone, oldest first."""
    history_of(MANDATE, reference, folder, as_json)


# --- routes -----------------------------------------------------------------------------------------------------------


@click.group()
def routes() -> None:
    """List, check, set or retire routes: per berichtsoort who gets it, who may send it and what is checked."""


@routes.command("list")
@dir_option
@json_option
def list_routes(folder: Path, as_json: bool) -> None:
    """Every berichtsoort, its berichtstroomeigenaar and where the row stands."""
    told = ask(folder, "routes.list")
    for row in told["routes"]:
        place = "register" if row["berichtsoort"] in told["registered"] else "routes.toml"
        streams.show(
            as_json, row, f"{row['berichtsoort']}  {row['owner']}  {row.get('direction', 'aanlevering')}  {place}"
        )


@routes.command()
@click.argument("berichtsoort")
@dir_option
@json_option
def show(berichtsoort: str, folder: Path, as_json: bool) -> None:
    """The row of BERICHTSOORT in the form of routes.toml, to be edited and given to `digipoort routes set`."""
    rows = {row["berichtsoort"]: row for row in ask(folder, "routes.list")["routes"]}
    if berichtsoort not in rows:
        raise failure(UsageError, f"no route {berichtsoort!r}{nearest(berichtsoort, rows)}")
    row = rows[berichtsoort]
    streams.show(as_json, row, "\n".join(["[[route]]", *(f"{key} = {_toml(value)}" for key, value in row.items())]))


def _toml(value: Any) -> str:
    """A value as TOML has it; where that is not JSON's form: inline tables, and DEL."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


@routes.command()
@click.argument("file", type=FILE_OR_STDIN)
@dir_option
def check(file: Path, folder: Path) -> None:
    """Say what would be wrong with the [[route]] rows of FILE (`-`: stdin) in this post office; changes nothing."""
    ask(folder, "routes.check", rows=_rows(file))
    streams.note("these rows can be set")


@routes.command("set")
@click.argument("file", type=FILE_OR_STDIN)
@who_and_why
@dir_option
def set_routes(file: Path, by: str, reason: str, folder: Path) -> None:
    """Add or replace the [[route]] rows of FILE (`-`: stdin), all or none."""
    tell(ask(folder, "routes.set", rows=_rows(file), by=by, reason=reason), "set")


def _rows(file: Path) -> list[Any]:
    try:
        table = tomllib.loads(octets_of(file).decode())
        rows = table.pop("route", [])
        json.dumps(rows)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{file}: {error}") from error
    if table or not isinstance(rows, list):
        raise failure(ConfigError, f"{file} has more than [[route]] rows", found=", ".join(table))
    return rows


@routes.command()
@click.argument("berichtsoort")
@who_and_why
@dir_option
def retire(berichtsoort: str, by: str, reason: str, folder: Path) -> None:
    """Take the route of BERICHTSOORT away; what was accepted and not yet processed ends with 321."""
    tell(ask(folder, "routes.retire", key=berichtsoort, by=by, reason=reason), "retired")


@routes.command("history")
@click.argument("berichtsoort", required=False)
@dir_option
@json_option
def route_history(berichtsoort: str | None, folder: Path, as_json: bool) -> None:
    """Every route ever set or retired here, or of BERICHTSOORT alone, oldest first."""
    history_of(ROUTE, berichtsoort, folder, as_json)
