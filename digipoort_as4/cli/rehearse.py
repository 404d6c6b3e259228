"""`digipoort clock` and `digipoort scenario`: the local post office's time, and what it shall do wrong on purpose.

The work is clock.Clock's and wus.scenarios', in the running post office.
"""

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
from digipoort_as4.wus.scenarios import STAGES


@click.group()
def clock() -> None:
    """Show or move the clock of the local post office: retries, CRLs, mandates and statuses go by it."""


def tell(folder: Path, as_json: bool, **about: Any) -> None:
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
    tell(folder, as_json)


@clock.command(
    epilog="Example: digipoort clock advance 72h. Units: d, h, m, s, ms; 1h30m; -10m goes back.",
    context_settings={"ignore_unknown_options": True},  # a length of time may begin with a minus
)
@click.argument("by")
@dir_option
@json_option
def advance(by: str, folder: Path, as_json: bool) -> None:
    """Let BY pass at once; what became due is done now."""
    tell(folder, as_json, advance=by)


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
    tell(folder, as_json, **about)


@clock.command()
@dir_option
@json_option
def reset(folder: Path, as_json: bool) -> None:
    """Back to the machine's time: not strict, CRLs renewed."""
    tell(folder, as_json, reset=True)


@click.group()
def scenario() -> None:
    """Have the local post office delay, refuse or fail on purpose, until cleared or stopped."""


def ask(folder: Path, **about: Any) -> Any:
    """Have the running post office do it."""
    return control.ask(folder / DATA, "scenario", about, UsageError)


def show(as_json: bool, record: dict[str, Any]) -> None:
    """One rule."""
    words = " ".join(f"--{key} {value}" for key, value in record.items() if key != "number")
    streams.show(as_json, record, f"{record.get('number', '-'):>3}  {words}")


@scenario.command("list")
@dir_option
@json_option
def list_rules(folder: Path, as_json: bool) -> None:
    """The aanleverkenmerken that play something (numbered -), then the rules set, oldest first."""
    told = ask(folder)
    for record in (*told["names"], *told["rules"]):
        show(as_json, record)


@scenario.command(
    "set",
    epilog="Example: digipoort scenario set --stage aanleveren --berichtsoort Omzetbelasting --http 503 --times 3. "
    "With afleveren: --fault ends in 410, --http and --code 420 in another attempt, --fault AFS600 in the last 420.",
)
@click.option("--stage", type=click.Choice(list(STAGES)), required=True, help="Where it happens.")
@click.option("--berichtsoort", help="Only to messages of this kind.")
@click.option("--aanleverkenmerk", help="Only to messages with this reference; also one of the eleven names.")
@click.option("--delay", metavar="TIME", help="Wait before the answer or the attempt, e.g. 3s; at most 10m.")
@click.option("--fault", metavar="FOUTCODE", help="Answer this fault, e.g. ALS100.")
@click.option("--http", type=int, help="Answer with this HTTP status, 400 to 599.")
@click.option("--code", help="Statuscode: 410 or 420 with afleveren, 500 or 510 with uitvragende-partij.")
@click.option("--attempts", type=int, help="With afleveren: only the first so many attempts of each delivery.")
@click.option("--times", type=int, help="So often in all, then never again.")
@click.option("--probability", type=float, help="To this share of the messages, e.g. 0.1.")
@click.option("--seed", type=int, help="What chance begins with; the same seed chooses the same messages.  [0]")
@dir_option
@json_option
def set_rule(folder: Path, as_json: bool, **words: Any) -> None:
    """Set a rule; the newest one that fits a message plays."""
    show(as_json, ask(folder, set={key: word for key, word in words.items() if word is not None})["rules"][-1])


@scenario.command()
@click.argument("number", type=int, required=False)
@dir_option
def clear(number: int | None, folder: Path) -> None:
    """Forget rule NUMBER, or all of them; the eleven aanleverkenmerken stay."""
    cleared = ask(folder, clear=number)["cleared"]
    if number is not None and not cleared:
        raise failure(UsageError, f"there is no rule {number}", fix="digipoort scenario list")
    streams.note(f"cleared   {cleared} rule{'' if cleared == 1 else 's'}")
