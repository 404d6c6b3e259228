"""What a client keeps of what it sent: request, answer and as whom, one folder per kenmerk. Sends nothing."""

import json
from pathlib import Path
from typing import Final

from digipoort_as4.payload import Payload
from digipoort_as4.sdk.client import Submission

FOLDER: Final = "sent"  # Below the folder of the post office


def keep(office: Path, identity: str, receipt: Submission) -> Path:
    """Write request.xml and answer.xml, octet for octet, and sent.json: by which business; returns their folder."""
    folder, exchange = office / FOLDER / receipt.kenmerk, receipt.exchange
    write(folder / "request.xml", exchange.request)
    write(folder / "answer.xml", exchange.answer)
    record = {"identity": identity, "berichtsoort": receipt.berichtsoort, "messageId": exchange.message_id}
    (folder / "sent.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def keep_unanswered(office: Path, request: Payload, name: str) -> Path:
    """Write a request whose answer never came, so that the same octets can be posted again; returns the file."""
    file = office / FOLDER / f"unanswered-{name}.xml"
    write(file, request)
    return file


def write(file: Path, payload: Payload) -> None:
    """Copy in chunks; the folder is made when missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        out.writelines(payload.open())


def remembered(office: Path, kenmerk: str) -> dict[str, str]:
    """What sent.json says of a kenmerk; empty when it was not sent from here."""
    # The kenmerk comes from the command line: only its last part is a name here.
    file = office / FOLDER / Path(kenmerk).name / "sent.json"
    if not file.is_file():
        return {}
    record = json.loads(file.read_text(encoding="utf-8"))
    return {str(key): str(value) for key, value in record.items()}
