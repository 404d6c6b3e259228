"""What a client keeps of what it sent: request, answer and as whom, one folder per kenmerk. Sends nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from digipoort_as4.payload import Payload
from digipoort_as4.sdk.submit import Receipt

FOLDER: Final = "sent"


def keep(office: Path, identity: str, receipt: Receipt) -> Path:
    """Write request and answer, octet for octet.

    Args:
        office: folder of the post office.
        identity: name of the business that sent.
        receipt: what came of it.

    Returns:
        The folder: request.xml, answer.xml, sent.json.
    """
    folder = office / FOLDER / receipt.kenmerk
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "request.xml", receipt.exchange.request)
    (folder / "answer.xml").write_bytes(receipt.exchange.answer)
    record = {"identity": identity, "berichtsoort": receipt.berichtsoort, "messageId": receipt.exchange.message_id}
    (folder / "sent.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def keep_unanswered(office: Path, request: Payload, name: str) -> Path:
    """Write a request whose answer never came, so that the same octets can be posted again."""
    folder = office / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / f"unanswered-{name}.xml", request)
    return folder / f"unanswered-{name}.xml"


def write(file: Path, payload: Payload) -> None:
    """Copy in chunks."""
    with file.open("wb") as out:
        for chunk in payload.open():
            out.write(chunk)


def remembered(office: Path, kenmerk: str) -> dict[str, str]:
    """What sent.json says of a kenmerk; empty when it was not sent from here."""
    # The kenmerk comes from the command line: only its last part is a name here.
    file = office / FOLDER / Path(kenmerk).name / "sent.json"
    if not file.is_file():
        return {}
    record = json.loads(file.read_text(encoding="utf-8"))
    return {str(key): str(value) for key, value in record.items()}
