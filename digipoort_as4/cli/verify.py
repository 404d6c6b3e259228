"""`digipoort verify`: the signature of a stored message, explained. The work is sdk.verify's."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from digipoort_as4.cli import streams
from digipoort_as4.cli.common import FILE_OR_STDIN, dir_option, json_option, octets_of
from digipoort_as4.errors import Refused, SignatureError, UsageError, failure
from digipoort_as4.pki.path import Trust
from digipoort_as4.sdk import anchors, office
from digipoort_as4.sdk.verify import RECORDED, Moment, Report
from digipoort_as4.sdk.verify import verify as examine_message

PATH = click.Path(path_type=Path)


@click.command(
    epilog="Exit codes: 0 all holds, 4 an unsigned fault (shown), 5 found wanting, or the second engine differs.\n\n"
    "The anchors of --trust count; without it those of the local post office, when there is one."
)
@click.argument("file", type=FILE_OR_STDIN)
@click.option("--at", metavar="TIME|recorded", help="Moment to judge by: ISO 8601, or the message's own Created.")
@click.option("--legacy-sha1", is_flag=True, help="Do not report SHA-1.")
@click.option("--second-engine", is_flag=True, help="Let xmlsec judge too, in a process of its own.")
@click.option("--trust", type=PATH, multiple=True, help="PEM with roots and CAs; may repeat.")
@click.option("--crl", type=PATH, multiple=True, help="CRLs, PEM or DER; may repeat.")
@dir_option
@json_option
def verify(
    file: Path,
    at: str | None,
    legacy_sha1: bool,
    second_engine: bool,
    trust: tuple[Path, ...],
    crl: tuple[Path, ...],
    folder: Path,
    as_json: bool,
) -> int:
    """Check the signature of the message in FILE (`-`: stdin) and say everything that is wrong with it.

    \b
    Examples:
      digipoort verify answer.xml
      digipoort verify old.xml --at recorded --legacy-sha1 --trust roots.pem --second-engine"""
    now = datetime.now(UTC)
    moment, whom = _moment_of(at) if at else now, _trust_from(trust, crl, folder)
    report = examine_message(
        octets_of(file), moment=moment, now=now, sha1=legacy_sha1, trust=whom, second=second_engine
    )
    streams.show(as_json, _record(report), "\n".join(_lines(report)))
    return _conclude(report)


def _moment_of(text: str) -> Moment:
    if text == RECORDED:
        return "recorded"
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        expected = "recorded, or e.g. 2021-03-07T11:37:39Z"
        raise failure(UsageError, f"--at {text} is no time", expected=expected) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _trust_from(pem: tuple[Path, ...], crls: tuple[Path, ...], folder: Path) -> Trust | None:
    """Whom to trust: what the options say, else the local post office's CA, else nobody."""
    if pem:
        return anchors.trust_of(pem, crls or None)
    if not (folder / office.FILE).exists():
        return None
    place = office.read(folder / office.FILE)
    return anchors.trust_of(place.pem(), crls or place.crl)


def _conclude(report: Report) -> int:
    """0, or the error that the report amounts to."""
    if report.fault is not None and not report.signed:
        raise Refused(f"this is an unsigned fault: {report.fault}", code=report.fault.code)
    if not report.holds:
        count = len(report.examination.findings)
        what = f"{count} finding{'s' * (count != 1)}" if count else "the second engine does not agree"
        raise SignatureError(f"the message must not be relied on: {what}")
    return 0


def _lines(report: Report) -> Iterator[str]:
    found = report.examination
    yield f"message     {report.element or 'empty'}, {report.size} octets, {report.message_id or 'no wsa:MessageID'}"
    if report.fault is not None:
        yield f"fault       {report.fault.code}  {report.fault}"
    yield f"judged at   {report.at.isoformat()}"
    if not report.signed:
        yield "signature   none: nothing in this message is proven"
        if report.no_opinion:
            yield f"second      {report.no_opinion}"
    else:
        yield from _signature_lines(report)
    for finding in found.findings:
        yield f"{_bad('finding')}     {finding.cause.name}: {finding.cause.text}"
        parts = {name: getattr(finding, name) for name in ("where", "found", "expected", "detail")}
        yield from (f"            {name:<9} {text}" for name, text in parts.items() if text)
    yield "verdict     " + (_good("holds") if report.holds else _bad("does not hold"))


def _signature_lines(report: Report) -> Iterator[str]:
    found = report.examination
    if found.signer is not None:
        yield f"signer      OIN {found.oin or 'none'}, {found.signer.subject}"
    family = f"RSA with {found.algorithms.signature}" if found.algorithms else "algorithm unknown"
    yield f"value       SignatureValue {_verdict(found.signature_value_ok)}, {family}"
    yield f"references  {len(found.references)}"
    for reference in found.references:
        part = reference.part or "nothing that may be signed"
        yield f"  {_verdict(reference.ok)}  {part:<22} {reference.uri}  {reference.digest_algorithm}"
    path = found.certificate_path
    names = " < ".join(_common_name(step.subject) for step in path) if path else _bad("not established")
    unchecked = "" if report.trusted and report.trusted.crls is not None else "; revocation not checked"
    yield "trust       " + (
        names + unchecked if report.trusted else "not checked: no --trust, and no local post office"
    )
    if (opinion := report.opinion) is not None:
        yield f"second      {opinion.engine} {_good('agrees') if report.agrees else _bad('does not agree')}"
        broken = [uri for uri, ok in opinion.digests if not ok]
        digests = f"{len(opinion.digests) - len(broken)} of {len(opinion.digests)} digests"
        without = f", not {', '.join(broken)}" if broken else ""
        yield f"            it found: SignatureValue {_verdict(opinion.signature_value)}, {digests}{without}"
    elif report.no_opinion:
        yield f"second      {_bad('no opinion')}: {report.no_opinion}"


def _common_name(subject: str) -> str:
    """CN of an RFC 4514 name, else the whole."""
    return next((part[3:] for part in subject.split(",") if part.startswith("CN=")), subject)


def _verdict(ok: bool | None) -> str:
    return _bad("unknown") if ok is None else _good("holds") if ok else _bad("broken")


def _good(text: str) -> str:
    return streams.paint(text, "green")


def _bad(text: str) -> str:
    return streams.paint(text, "red", bold=True)


def _record(report: Report) -> dict[str, Any]:
    """The report for programs."""
    found, trusted = report.examination, report.trusted
    return {
        "element": report.element,
        "messageId": report.message_id,
        "at": report.at.isoformat(),
        "fault": {"foutcode": report.fault.code, "text": str(report.fault)} if report.fault else None,
        "signed": report.signed,
        "holds": report.holds,
        "signer": found.signer.subject if found.signer else None,
        "oin": found.oin,
        "signatureValue": found.signature_value_ok,
        "algorithms": asdict(found.algorithms) if found.algorithms else None,
        "references": [
            {"uri": row.uri, "part": row.part, "digest": row.digest_algorithm, "ok": row.ok} for row in found.references
        ],
        "path": [step.subject for step in found.certificate_path],
        "trustChecked": trusted is not None,
        "revocationChecked": trusted is not None and trusted.crls is not None,
        "findings": [streams.as_record(finding) for finding in found.findings],
        "secondEngine": _second_record(report),
    }


def _second_record(report: Report) -> dict[str, Any] | None:
    if (opinion := report.opinion) is None:
        return {"engine": None, "reason": report.no_opinion} if report.no_opinion else None
    digests = [{"uri": uri, "ok": ok} for uri, ok in opinion.digests]
    judged = {"signatureValue": opinion.signature_value, "digests": digests}
    return {"engine": opinion.engine, "agrees": report.agrees, **judged}
