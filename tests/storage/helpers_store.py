"""Small real decisions for the store's tests: what accepting, processing and delivering commit."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from digipoort_as4.hub.aanlevering import Aanlevering, Identiteit
from digipoort_as4.hub.decision import (
    Decision,
    Effect,
    KeepEvidence,
    QueueJob,
    RememberReply,
    StartProcess,
    Status,
    StoredReply,
)
from digipoort_as4.payload import BytesPayload, Document, FilePayload, Payload

T0 = datetime(2026, 11, 2, 9, 30, 0, 123_456, tzinfo=UTC)
MS = timedelta(milliseconds=1)
MINUTE = timedelta(minutes=1)
WEEK = timedelta(days=7)
SENDER = "00000099000000101000"
X, Y, Z = "00000099000000012000", "00000099000000013000", "00000099000000014000"
TEXTS = {"105": "Aanleverproces gestart.", "100": "Aanleveren gelukt.", "110": "Aanleverproces wordt aangeboden."}


class Clock:
    """The post office's clock, moved by hand."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> datetime:
        return self.now


def kenmerk(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def key(number: int) -> str:
    return f"{number:032x}"[::-1]


def document(number: int, octets: bytes, payload: Payload | None = None) -> Document:
    return Document(
        "inhoud",
        "text/xml",
        f"aangifte {number}.xml",
        payload or BytesPayload(octets),
        len(octets),
        hashlib.sha256(octets).digest(),
        key(number),
    )


def spooled(folder: Path, number: int, octets: bytes) -> Document:
    path = folder / f"spool-{number}"
    path.write_bytes(octets)
    return document(number, octets, FilePayload(path, 0, len(octets)))


def aanlevering(number: int, *documents: Document) -> Aanlevering:
    return Aanlevering(
        sender_oin=SENDER,
        berichtsoort="Omzetbelasting",
        belanghebbende=Identiteit("001000044B37", "BTW"),
        rol_belanghebbende="Bedrijf",
        documents=documents or (document(number, f"<aangifte nr='{number}'/>".encode()),),
        aanleverkenmerk="Happyflow",
    )


def status(code: str, at: datetime) -> Status:
    return Status(code, at, TEXTS.get(code, f"Status {code}."))


def started(number: int, *documents: Document) -> StartProcess:
    lines = tuple(status(code, T0 + MS * step) for step, code in enumerate(("105", "100", "110")))
    return StartProcess(kenmerk(number), aanlevering(number, *documents), T0, lines)


def remembered(number: int, octets: bytes, until: datetime = T0 + WEEK) -> RememberReply:
    return RememberReply(SENDER, f"urn:uuid:{kenmerk(number)}", StoredReply(f"c2ln{number}", octets), until)


def decision(*effects: Effect) -> Decision:
    return Decision(b"", effects)


def accepted(number: int, *documents: Document) -> Decision:
    """One accepted message: everything a signed receipt promises."""
    return Decision(
        f"<receipt nr='{number}'/>".encode(),
        (
            remembered(number, f"<receipt nr='{number}'/>".encode()),
            started(number, *documents),
            KeepEvidence(kenmerk(number), "aanleverRequest", b"<request/>", "{}", T0),
            QueueJob("verwerken", "hub", kenmerk(number), T0),
        ),
    )


def later(effect: StartProcess, **changes: object) -> StartProcess:
    return replace(effect, **changes)  # type: ignore[arg-type]
