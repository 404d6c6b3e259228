"""`digipoort demo`: the whole story on one screen, with real processes, and a verdict of its own on how it went."""

import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from digipoort_as4 import local
from digipoort_as4.cli import metro, story, streams
from digipoort_as4.cli.common import FOLDER
from digipoort_as4.cli.story import Played, Story
from digipoort_as4.errors import DigipoortError
from digipoort_as4.sdk import office
from digipoort_as4.sdk.connection import connect
from digipoort_as4.sdk.office import PostOffice, data_home
from digipoort_as4.storage.view import open_view
from digipoort_as4.wus.koppelvlak import Fout, StatusResultaat

WIDTH: Final = 100  # Columns; all five messages fit on a screen of 40 lines


@click.command(epilog="Exit codes: 0 all went as told; 1 something did not, and stderr says what.")
@click.option("--dir", "folder", type=FOLDER, help="Folder of the demo.  [the data home]")
@click.option("--keep", is_flag=True, help="Leave the post office running.")
def demo(folder: Path | None, keep: bool) -> int:
    """Play the whole story once: a test PKI, the post office and its agencies as processes, and five messages."""
    place = (folder or data_home() / "demo").resolve()
    started = time.monotonic()
    was_up = bool(local.running(place))
    streams.out("digipoort demo: independent, not Logius. Test certificates, mutual TLS, loopback only.")
    local.up(place, lambda text: streams.note(f"  … {text}"))
    try:
        wrong = list(tell_all(office.read(place / office.FILE), started))
    finally:
        if not (keep or was_up):
            local.down(place)
    for line in wrong:
        streams.note(f"{streams.paint('not as told', 'red', bold=True)}  {line}")
    if wrong:
        streams.note(f"logs and journal: {place / 'logs'}, {place / 'data' / 'journal.jsonl'}")
        return 1
    document = short(place / story.DOCUMENTS / "omzetbelasting.xbrl")
    streams.out(
        f"All five went as told, in {time.monotonic() - started:.1f} s. Next, a post office that keeps running:"
    )
    streams.out(f"  {typed()} up\n  {typed()} send {document} \\")
    streams.out("    --berichtsoort Omzetbelasting --belanghebbende BTW:001000044B37 --follow")
    return 0


def typed() -> str:
    """How this command is typed here: its name when the shell finds it, else its place."""
    own = Path(sys.argv[0])
    return "digipoort" if own.name != "digipoort" or shutil.which("digipoort") else os.path.relpath(own)


def short(path: Path) -> str:
    """As a shell reads it, ~ for the home folder."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def tell_all(place: PostOffice, started: float) -> Iterator[str]:
    """Play and show all five; yields what went otherwise than told."""
    names = f"gateway, worker and {len(place.agencies)} agencies"
    inboxes = short(place.folder / story.AGENCIES)
    streams.out(f"up after {time.monotonic() - started:.1f} s: {names}; inboxes in {inboxes}")
    documents = place.folder / story.DOCUMENTS
    documents.mkdir(exist_ok=True)
    for sample in story.SAMPLES.iterdir():
        shutil.copyfile(sample, documents / sample.name)
    first: Played | None = None
    for number, one in enumerate(story.STORIES, 1):
        try:
            played = story.play(one, place, documents)
            _show(number, one, played, place)
            yield from (f"step {number}: {text}" for text in story.differences(one, played))
            first = first or played
        except DigipoortError as error:
            yield f"step {number}: {type(error).__name__}: {error}"
    if first is None:
        yield "step 5: there was no first message to tamper with"
        return
    for tell in (tell_tampered_request, tell_tampered_answer):
        try:
            yield from (f"step 5: {text}" for text in tell(place, first))
        except DigipoortError as error:
            yield f"step 5: {type(error).__name__}: {error}"


def _title(number: int, text: str, sender: str) -> None:
    streams.out(f"\n{streams.paint(f'{number}  {text}', 'cyan', bold=True)}   ({sender})")


def _fact(name: str, text: str, code: str = "") -> None:
    """One fact about a message, further lines indented; a code in front of it is red."""
    words = " ".join([code, *text.split()]).strip()
    first, *more = textwrap.wrap(words, WIDTH - 14, break_long_words=False, break_on_hyphens=False)
    first = streams.paint(code, "red") + first.removeprefix(code)
    streams.out("\n".join([f"   {name:<10} {first}", *(" " * 14 + line for line in more)]))


def _show(number: int, one: Story, played: Played, place: PostOffice) -> None:
    _title(number, one.title, one.sender)
    streams.out(f"   {metro_line(played.statuses)}")
    for melding in played.statuses:
        if not melding.is_good:
            fout = melding.status_foutcode or Fout("", melding.statusdetails or "no cause is given")
            told = " ".join([fout.foutcode, melding.statusomschrijving, fout.foutbeschrijving])
            _fact("refused", told, melding.statuscode)
    for folder in played.delivered.values():
        names = ", ".join(story.documents_of(folder))
        _fact("delivered", f"{os.path.relpath(folder, place.folder / story.AGENCIES)}: {names}")
    _fact("xmlsec", f"on the signed answer: {story.verdict_of(played.answer)}")


def metro_line(statuses: tuple[StatusResultaat, ...]) -> str:
    """105 at its time of day, then each stop with the milliseconds since."""
    if not statuses:
        return "no status came"
    start = statuses[0].tijdstempel_status
    stops = [f"{m.statuscode} +{(m.tijdstempel_status - start).total_seconds() * 1000:.0f}" for m in statuses[1:]]
    return " › ".join([f"{statuses[0].statuscode} {metro.clock(start)}", *stops]) + " ms"


def tell_tampered_request(place: PostOffice, first: Played) -> Iterator[str]:
    """The fifth: the fault, and that nothing was stored."""
    _title(5, story.TAMPERED, "bakkerij-jansen")
    before = _stored(place)
    fault = story.post_tampered(connect(place, place.party("bakkerij-jansen")), first.receipt.exchange)
    more = _stored(place) - before
    if fault is None:
        yield "a tampered message was accepted"
        return
    _fact("fault", str(fault), fault.code)
    cause, where = _refused_for(place, str(fault))
    _fact("journal", f"says why: {cause}, {where}; {more} processes were stored")
    if cause != "digest" or "Body" not in where:
        yield f"the journal says {cause} {where}, expected the digest of the Body"
    if fault.code != "ALS100" or story.FIXED_TEXT not in str(fault):
        yield f"fault {fault.code} {fault}, expected ALS100 {story.FIXED_TEXT}"
    if more:
        yield f"{more} processes were stored, expected none"


def tell_tampered_answer(place: PostOffice, first: Played) -> Iterator[str]:
    """The second engine on a tampered copy of the first answer, so that its line can fail."""
    copy = story.tampered(first.receipt.raw_response)
    report = story.judged(connect(place, place.party("bakkerij-jansen")), copy)
    _fact("xmlsec", f"answer 1 with a letter changed: {story.verdict_of(report)}")
    streams.out("")
    broken = [part.part for part in report.examination.references if not part.ok]
    if report.opinion is None or report.opinion.whole or not report.agrees or broken != ["Body"]:
        yield f"on the tampered answer xmlsec says: {story.verdict_of(report)}"


def _refused_for(place: PostOffice, text: str) -> tuple[str, str]:
    """Cause and place that the operator's journal has under the number a fault names; empty when it has none."""
    for line in (place.folder / "data" / "journal.jsonl").read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        if told["event"] == "refused" and told["number"] in text:
            return str(told["cause"]), str(told["where"])
    return "", ""


def _stored(place: PostOffice) -> int:
    with open_view(place.folder / "data") as view:
        return len(view.processes(limit=1_000_000))
