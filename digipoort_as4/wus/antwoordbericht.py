"""The statusdetails that an agency of the local post office gives with 500 and 510: XML in a text.

The element names are those that clients parse in real answers (digipoort 3.4); the words are ours."""

from datetime import datetime
from typing import Final

from digipoort_as4.wus.koppelvlak import escape, write_moment

VERDICTS: Final = {
    "500": ("acknowledgement", "A", "0001", "Status: Bericht in behandeling genomen"),
    "510": ("error", "F", "9001", "Status: Bericht afgewezen door de uitvragende partij (oefenomgeving)"),
}
"""statuscode → ResponseType, Class, Code, Description. Only the codes of a good answer are known (digipoort 3.4)."""


def write(statuscode: str, kenmerk: str, berichtkenmerk: str, own_id: str, at: datetime) -> str:
    """The statusdetails, on one line, since the XSD collapses white space; `own_id` is the agency's own number."""
    response_type, class_, code, description = VERDICTS[statuscode]
    return (
        '<Responsemessage version="2006.1"><Identification>'
        f"<MessageId>{escape(berichtkenmerk)}</MessageId>"
        f"<RefersToMessageId>{escape(kenmerk)}</RefersToMessageId>"
        f"<MessageIdBd>{escape(own_id)}</MessageIdBd>"
        f"<DatumTijdOntvangst>{write_moment(at)}</DatumTijdOntvangst>"
        f"<ResponseType>{response_type}</ResponseType></Identification>"
        f"<Specification><Class>{class_}</Class><Code>{code}</Code><Description>{description}</Description>"
        "</Specification></Responsemessage>"
    )
