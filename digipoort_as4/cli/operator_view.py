"""What the sender does not see: deliveries and copies of a process, from the post office's own store, read-only."""

from __future__ import annotations

from pathlib import Path

from digipoort_as4.cli import streams
from digipoort_as4.errors import UsageError
from digipoort_as4.hub.decision import Delivery
from digipoort_as4.sdk import office
from digipoort_as4.storage.view import open_view


def show(folder: Path, kenmerk: str, as_json: bool) -> None:
    """One line per delivery, owner's first.

    Raises:
        UsageError: the store does not know this kenmerk.
        ConfigError: there is no store on this machine.
    """
    names = {agency.oin: agency.name for agency in office.read(folder / office.FILE).agencies}
    with open_view(folder / "data") as view:
        process = view.process(kenmerk)
        deliveries = view.deliveries(kenmerk)
    if process is None:
        raise streams.failure(UsageError, f"the store knows no kenmerk {kenmerk}")
    if not as_json:
        streams.out(f"process   {process.state}" + (f", like {process.duplicate_of}" if process.duplicate_of else ""))
    for row in deliveries:
        if as_json:
            streams.out_json(record(row, names))
        else:
            streams.out(line(row, names))


def record(row: Delivery, names: dict[str, str]) -> dict[str, object]:
    """A delivery for programs."""
    return {
        "berichtkenmerk": row.berichtkenmerk,
        "recipient": row.recipient_oin,
        "name": names.get(row.recipient_oin),
        "copy": row.copy,
        "consent": row.consent or None,
        "state": row.state,
        "attempts": row.attempts,
        "documents": len(row.documents),
        "note": row.note or None,
    }


def line(row: Delivery, names: dict[str, str]) -> str:
    """A delivery for people."""
    kind = f"copy by consent {row.consent}" if row.copy else "owner"
    note = f"  {row.note}" if row.note else ""
    return (
        f"delivery  {names.get(row.recipient_oin, row.recipient_oin)}: {row.state}, {kind}, "
        f"{len(row.documents)} document(s), {row.attempts} attempt(s), berichtkenmerk {row.berichtkenmerk}{note}"
    )
