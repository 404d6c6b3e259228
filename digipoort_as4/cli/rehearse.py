"""`digipoort clock` and `digipoort scenario`: the local post office's time, and what it shall do wrong on purpose.

The work is clock.Clock's and wus.scenarios', in the running post office."""

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

NAMES = {"advance": "advance", "set": "at"}  # what VALUE is called on its way


def given(words: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The words that somebody typed."""
    return {key: word for key, word in {**words, **more}.items() if word is not None}


@click.command(
    epilog="Examples: digipoort clock advance 72h (d, h, m, s, ms; -10m goes back); "
    "digipoort clock set 2027-01-01T00:00:00+01:00; digipoort clock set --crl frozen",
    context_settings={"ignore_unknown_options": True},  # a length of time may begin with a minus
)
@click.argument("what", type=click.Choice(["show", "advance", "set", "reset"]))
@click.argument("value", required=False)
@click.option("--strict/--no-strict", default=None, help="Judge Timestamps of messages by the moved clock too.")
@click.option(
    "--crl", type=click.Choice(CRL), help="frozen: the CA renews no CRL when the clock moves, so they expire."
)
@dir_option
@json_option
def clock(what: str, value: str | None, folder: Path, as_json: bool, **words: Any) -> None:
    """Show or move the clock of the local post office: retries, CRLs, mandates and statuses go by it.

    advance VALUE lets that time pass at once; set makes it the moment VALUE; reset: the machine's time, CRLs renewed.
    """
    about = given(words, **{NAMES.get(what, "value"): value})
    fits = {"show": not about, "advance": "advance" in about, "set": bool(about), "reset": not about}
    if not fits[what]:
        raise failure(UsageError, f"clock {what} cannot be asked so", fix="digipoort clock --help")
    about = {"reset": True} if what == "reset" else about
    told = control.ask(folder / DATA, "clock", about, UsageError)
    shift = timedelta(seconds=round(told["shift"]))
    moved = f"{'-' if shift < timedelta() else '+'}{abs(shift)} from the machine's" if shift else "as the machine"
    marks = ("; Timestamps by it" if told["strict"] else "") + ("; CRLs frozen" if told["crl"] == "frozen" else "")
    streams.show(as_json, told, f"{datetime.fromisoformat(told['now']):%Y-%m-%d %H:%M:%S} UTC, {moved}{marks}")


@click.command(
    epilog="Example: digipoort scenario set --stage aanleveren --berichtsoort Omzetbelasting --http 503 --times 3. "
    "With afleveren: --fault ends in 410, --http and --code 420 in another attempt, --fault AFS600 in the last 420.",
)
@click.argument("what", type=click.Choice(["list", "set", "clear"]))
@click.argument("number", type=int, required=False)
@click.option("--stage", type=click.Choice(list(STAGES)), help="Where it happens; set needs it.")
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
def scenario(what: str, number: int | None, folder: Path, as_json: bool, **words: Any) -> None:
    """Have the local post office delay, refuse or fail on purpose, until cleared or stopped.

    set adds a rule, and the newest one that fits a message plays; clear forgets rule NUMBER, or all; list shows the
    eleven aanleverkenmerken that play something (numbered -), then the rules."""
    rule = given(words)
    if (rule and what != "set") or (number is not None and what != "clear"):
        raise failure(UsageError, f"scenario {what} takes no such words", fix="digipoort scenario --help")
    about = {"list": given({}), "set": {"set": rule}, "clear": {"clear": number}}[what]
    told = control.ask(folder / DATA, "scenario", about, UsageError)
    if what == "clear":
        if number is not None and not told["cleared"]:
            raise failure(UsageError, f"there is no rule {number}", fix="digipoort scenario list")
        streams.note(f"cleared   {told['cleared']} rule{'' if told['cleared'] == 1 else 's'}")
        return
    for record in told["rules"][-1:] if what == "set" else (*told["names"], *told["rules"]):
        shown = " ".join(f"--{key} {word}" for key, word in record.items() if key != "number")
        streams.show(as_json, record, f"{record.get('number', '-'):>3}  {shown}")
