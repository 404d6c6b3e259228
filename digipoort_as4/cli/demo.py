"""`digipoort demo`: the whole story on one screen, with real processes, and a verdict of its own on how it went."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click

from digipoort_as4 import local
from digipoort_as4.cli import story, streams
from digipoort_as4.cli.common import data_home
from digipoort_as4.cli.story import Played, Story
from digipoort_as4.errors import DigipoortError
from digipoort_as4.sdk import office
from digipoort_as4.sdk.connection import connect
from digipoort_as4.sdk.office import PostOffice
from digipoort_as4.sdk.status import Melding
from digipoort_as4.storage.view import open_view

STEP: Final = " › "


@click.command(epilog="Exit codes: 0 all went as told; 1 something did not, and stderr says what.")
@click.option(
    "--dir", "folder", type=click.Path(file_okay=False, path_type=Path), help="Folder of the demo.  [the data home]"
)
@click.option("--keep", is_flag=True, help="Leave the post office running.")
def demo(folder: Path | None, keep: bool) -> int:
    """Play the whole story once: a test PKI, the post office and its agencies as processes, and five messages."""
    place = (folder or data_home() / "demo").resolve()
    started = time.monotonic()
    was_up = any(local.started(one["pid"]) == one["started"] for one in local.read(place).get("processes", []))
    streams.out("digipoort demo: independent, not Logius. Test certificates, loopback only.")
    local.up(place, lambda text: streams.note(f"  … {text}"))
    try:
        wrong = list(tell_all(office.read(place / office.FILE), started))
    finally:
        if not (keep or was_up):
            local.down(place)
    return conclude(wrong, place, time.monotonic() - started)


def conclude(wrong: list[str], place: Path, seconds: float) -> int:
    """The last lines, and the exit code."""
    for line in wrong:
        streams.note(f"{streams.paint('not as told', 'red', bold=True)}  {line}")
    if wrong:
        streams.note(f"logs and journal: {place / 'logs'}, {place / 'data' / 'journal.jsonl'}")
        return 1
    document = place / story.DOCUMENTS / "omzetbelasting.xbrl"
    streams.out(f"All five went as told, in {seconds:.1f} s. Next, the same post office kept running:")
    streams.out(f"  {typed()} up")
    streams.out(f"  {typed()} send {document} --berichtsoort Omzetbelasting --belanghebbende BTW:001000044B37 --follow")
    return 0


def typed() -> str:
    """How this command is typed here: its name when the shell finds it, else its place."""
    own = Path(sys.argv[0])
    if own.name != "digipoort" or shutil.which("digipoort"):
        return "digipoort"
    return os.path.relpath(own)


def tell_all(place: PostOffice, started: float) -> Iterator[str]:
    """Play and show all five; yields what went otherwise than told."""
    names = f"gateway, worker and {len(place.agencies)} agencies"
    streams.out(f"post office up after {time.monotonic() - started:.1f} s: {names}, mutual TLS   {place.folder}")
    documents = story.lay_out_documents(place.folder)
    first: Played | None = None
    for number, one in enumerate(story.STORIES, 1):
        try:
            played = story.play(one, place, documents)
            show(number, one, played)
            yield from (f"step {number}: {text}" for text in story.differences(one, played))
            first = first or played
        except DigipoortError as error:
            yield f"step {number}: {type(error).__name__}: {error}"
    if first is None:
        yield "step 5: there was no first message to tamper with"
        return
    for tell in (tell_tampered_request, tell_tampered_answer):
        yield from guarded(lambda tell=tell: tell(place, first))  # type: ignore[misc]


def guarded(steps: Callable[[], Iterator[str]]) -> Iterator[str]:
    """The same, with an error of ours as one more line."""
    try:
        yield from steps()
    except DigipoortError as error:
        yield f"step 5: {type(error).__name__}: {error}"


# --- showing ----------------------------------------------------------------------------------------------------------


def show(number: int, one: Story, played: Played) -> None:
    """Three or four lines for one message."""
    streams.out(f"\n{streams.paint(f'{number}  {one.title}', 'cyan', bold=True)}   ({one.sender})")
    streams.out(f"   {metro_line(played.statuses)}")
    for melding in played.statuses:
        if not melding.is_good:
            cause = melding.foutbeschrijving or melding.details or "no cause is given"
            words = " ".join(filter(None, (melding.foutcode, melding.omschrijving, cause)))
            streams.out(f"   refused    {streams.paint(melding.code, 'red')} {words}")
    for agency, folder in played.delivered.items():
        names = ", ".join(story.documents_of(folder))
        streams.out(f"   delivered  {agency}: {names}\n              {folder}")
    streams.out(f"   xmlsec     on the signed answer: {story.verdict_of(played.answer)}")


def metro_line(statuses: tuple[Melding, ...]) -> str:
    """105 at its time of day, then each stop with the milliseconds since."""
    if not statuses:
        return "no status came"
    start = statuses[0].at
    stops = [f"{statuses[0].code} {start.astimezone():%H:%M:%S}.{start.microsecond // 1000:03d}"]
    stops += [f"{m.code} +{(m.at - start).total_seconds() * 1000:.0f}" for m in statuses[1:]]
    return STEP.join(stops) + " ms"


def tell_tampered_request(place: PostOffice, first: Played) -> Iterator[str]:
    """The fifth: the fault, and that nothing was stored."""
    streams.out(f"\n{streams.paint(f'5  {story.TAMPERED}', 'cyan', bold=True)}   (bakkerij-jansen)")
    before = stored(place)
    fault = story.post_tampered(connect(place, place.party("bakkerij-jansen")), first.receipt.exchange)
    after = stored(place)
    if fault is None:
        yield "step 5: a tampered message was accepted"
        return
    streams.out(f"   fault      {streams.paint(fault.code, 'red')} {' '.join(str(fault).split())}")
    streams.out(f"   stored     {after - before} processes")
    if fault.code != "ALS100" or story.FIXED_TEXT not in str(fault):
        yield f"step 5: fault {fault.code} {fault}, expected ALS100 {story.FIXED_TEXT}"
    if after != before:
        yield f"step 5: {after - before} processes were stored, expected none"


def tell_tampered_answer(place: PostOffice, first: Played) -> Iterator[str]:
    """The second engine on a tampered copy of the first answer, so that its line can fail."""
    copy = story.tampered(first.receipt.exchange.answer, b"Omzetbelasting<", b"Omzetbelastinh<")
    report = story.judged(connect(place, place.party("bakkerij-jansen")), copy)
    streams.out(f"   xmlsec     on the answer to 1 with a letter changed: {story.verdict_of(report)}\n")
    broken = [part.part for part in report.examination.references if not part.ok]
    if report.opinion is None or report.opinion.whole or not report.agrees or broken != ["Body"]:
        yield f"step 5: on the tampered answer xmlsec says: {story.verdict_of(report)}"


def stored(place: PostOffice) -> int:
    """How many processes the post office has."""
    with open_view(place.folder / "data") as view:
        return len(view.processes(limit=1_000_000))
