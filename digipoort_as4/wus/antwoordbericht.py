"""The statusdetails that an agency of the local post office gives with 500 and 510: XML in a text.

The element names are those that clients parse in real answers (digipoort 3.4); the words are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from digipoort_as4.wus.koppelvlak import escape, write_moment


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an agency says of a message it has looked at."""

    response_type: str
    klass: str
    code: str
    description: str


VERDICTS: Final[Mapping[str, Verdict]] = {
    "500": Verdict("acknowledgement", "A", "0001", "Status: Bericht in behandeling genomen"),
    "510": Verdict("error", "F", "9001", "Status: Bericht afgewezen door de uitvragende partij (oefenomgeving)"),
}
"""By statuscode. Only the codes of a good answer are known (digipoort 3.4); those of 510 are ours."""


def write(statuscode: str, kenmerk: str, berichtkenmerk: str, own_id: str, at: datetime) -> str:
    """The text of statusdetails, on one line: the XSD collapses white space.

    Args:
        statuscode: 500 or 510.
        kenmerk: of the process.
        berichtkenmerk: of the delivery.
        own_id: the agency's own number for the message.
        at: when the agency got it.
    """
    verdict = VERDICTS[statuscode]
    return (
        '<Responsemessage version="2006.1"><Identification>'
        f"<MessageId>{escape(berichtkenmerk)}</MessageId>"
        f"<RefersToMessageId>{escape(kenmerk)}</RefersToMessageId>"
        f"<MessageIdBd>{escape(own_id)}</MessageIdBd>"
        f"<DatumTijdOntvangst>{write_moment(at)}</DatumTijdOntvangst>"
        f"<ResponseType>{verdict.response_type}</ResponseType>"
        "</Identification><Specification>"
        f"<Class>{verdict.klass}</Class><Code>{verdict.code}</Code>"
        f"<Description>{verdict.description}</Description>"
        "</Specification></Responsemessage>"
    )
