"""`digipoort explain`: what a code means and what to do about it, in Dutch or English. Asks no post office."""

import difflib
import os
from collections.abc import Iterator, Sequence
from typing import Final

import click

from digipoort_as4.cli import streams
from digipoort_as4.cli.common import json_option
from digipoort_as4.codes import CODES, KINDS, LANGUAGES, Code
from digipoort_as4.errors import UNTRUSTED, UsageError, failure

WORDS: Final = {"nl": ("Betekenis", "Doe"), "en": ("Meaning", "Do")}


def language() -> str:
    """nl when the environment says so, else en."""
    asked = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return "nl" if asked.startswith("nl") else "en"


@click.command(
    epilog="Examples: digipoort explain 311   digipoort explain ALS100 0004   digipoort explain --lang nl 420"
)
@click.argument("wanted", nargs=-1, metavar="[CODE]...")
@click.option("--lang", type=click.Choice(LANGUAGES), default=language, help="Default: by LANG, else en.")
@json_option
def explain(wanted: tuple[str, ...], lang: str, as_json: bool) -> None:
    """Say what each CODE means and what to do: status, foutcode, DK-BP code or cause. Without CODE: list them all."""
    for row in find(wanted) or CODES.values():
        text = "\n".join(told(row, lang)) if wanted else f"{row.code:<24} {row.text or UNTRUSTED}"
        streams.show(as_json, record(row, lang), text)


def find(wanted: Sequence[str]) -> list[Code]:
    """The rows of codes, in any case; the name of a kind may stand before one (`DK-BP 0004`).
    Raises UsageError: for the first word that is no code, with what it is nearest to."""
    known = {code.casefold(): row for code, row in CODES.items()}
    asked = [word.casefold() for word in wanted if word.casefold() not in KINDS]
    for word in asked:
        if word not in known:
            close = difflib.get_close_matches(word, known, n=9, cutoff=0.5)
            close.sort(key=lambda code: sum(map(str.__ne__, word, code)))  # ALS100 is nearer to ALS101 than ALS110 is
            near = " or ".join(known[code].code for code in close[:3])
            fix = f"Did you mean {near}?" if near else "digipoort explain lists the codes"
            raise failure(UsageError, f"there is no code '{word}'", fix=fix)
    return [known[word] for word in asked]


def record(row: Code, lang: str) -> dict[str, object]:
    """A code for programs."""
    known = {name: getattr(row, name) for name in ("code", "kind", "text", "ours", "known")}
    return {**known, "meaning": row.meaning[lang], "action": row.action[lang], **row.more}


def told(row: Code, lang: str) -> Iterator[str]:
    """A code for people."""
    yield f"{row.code}  {row.text or UNTRUSTED}"
    yield f"  {', '.join(facts(row))}"
    for label, text in zip(WORDS[lang], (row.meaning[lang], row.action[lang]), strict=True):
        yield f"  {label + ':':<10} {text}"


def facts(row: Code) -> Iterator[str]:
    """What else is known of a code, in a few words each."""
    yield row.kind
    if not row.known:
        yield "meaning not known"
    if row.kind == "status":
        yield str(row.more["severity"])
        if row.known:
            yield "the end" if row.more.get("end") else "more may follow"
    if row.kind == "cause":
        yield f"HTTP {row.more.get('http', 500)}, foutcode x{'400' if row.more.get('technical') else '100'}"
        if not row.more.get("explained", True):
            yield "told to the peer by the fixed sentence only"
    if row.more.get("dk_bp"):
        yield f"DK-BP {row.more['dk_bp']}"
    if row.ours and row.known:
        yield "text or code ours"
