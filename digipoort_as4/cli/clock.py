"""`digipoort clock`: the one clock of the local post office, moved while it runs. The work is clock.Clock's."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from digipoort_as4.cli import streams
from digipoort_as4.cli.common import DATA, dir_option, json_option
from digipoort_as4.clock import CRL
from digipoort_as4.errors import UsageError, failure
from digipoort_as4.transport import control


@click.group()
def clock() -> None:
    """Show or move the clock of the local post office: retries, CRLs, mandates and statuses go by it."""


def show(folder: Path, as_json: bool, **about: Any) -> None:
    """Have it done, and tell the time."""
    told = control.ask(folder / DATA, "clock", about, UsageError)
    shift = timedelta(seconds=round(told["shift"]))
    moved = f"{'-' if shift < timedelta() else '+'}{abs(shift)} from the machine's" if shift else "as the machine"
    wire = "; Timestamps by it" if told["strict"] else ""
    crl = "; CRLs frozen" if told["crl"] == "frozen" else ""
    streams.show(as_json, told, f"{datetime.fromisoformat(told['now']):%Y-%m-%d %H:%M:%S} UTC, {moved}{wire}{crl}")


@clock.command("show")
@dir_option
@json_option
def show_clock(folder: Path, as_json: bool) -> None:
    """Tell what time it is in the post office."""
    show(folder, as_json)


@clock.command(
    epilog="Example: digipoort clock advance 72h. Units: d, h, m, s, ms; 1h30m; -10m goes back.",
    context_settings={"ignore_unknown_options": True},  # a length of time may begin with a minus
)
@click.argument("by")
@dir_option
@json_option
def advance(by: str, folder: Path, as_json: bool) -> None:
    """Let BY pass at once; what became due is done now."""
    show(folder, as_json, advance=by)


@clock.command("set", epilog="Example: digipoort clock set 2027-01-01T00:00:00+01:00. Without MOMENT only the options.")
@click.argument("moment", required=False)
@click.option("--strict/--no-strict", default=None, help="Judge Timestamps of messages by the moved clock too.")
@click.option(
    "--crl", type=click.Choice(CRL), help="frozen: the CA renews no CRL when the clock moves, so they expire."
)
@dir_option
@json_option
def set_clock(moment: str | None, strict: bool | None, crl: str | None, folder: Path, as_json: bool) -> None:
    """Make it MOMENT (ISO 8601; without zone UTC) in the post office; from there the time goes on."""
    about = {name: value for name, value in (("at", moment), ("strict", strict), ("crl", crl)) if value is not None}
    if not about:
        raise failure(UsageError, "nothing to set", expected="MOMENT, --strict, --no-strict or --crl")
    show(folder, as_json, **about)


@clock.command()
@dir_option
@json_option
def reset(folder: Path, as_json: bool) -> None:
    """Back to the machine's time: not strict, CRLs renewed."""
    show(folder, as_json, reset=True)
