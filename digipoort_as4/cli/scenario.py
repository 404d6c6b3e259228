"""`digipoort scenario`: what the running local post office shall do wrong. The work is wus.scenarios'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from digipoort_as4.cli import streams
from digipoort_as4.cli.common import DATA, dir_option, json_option
from digipoort_as4.errors import UsageError, failure
from digipoort_as4.transport import control

STAGES = ("aanleveren", "statusinformatie", "ophalen", "afleveren", "uitvragende-partij")


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
@click.option("--stage", type=click.Choice(STAGES), required=True, help="Where it happens.")
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
