"""What validators found, as facts for the decision, and the XML text in which a sender reads them.

Validates nothing itself."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape, quoteattr

BATAVIA: Final = "http://nlvalidatie.nl/batavia"  # Namespace of the `results` text at status 311. Source: digipoort 3.4
MOST: Final = 100  # Findings told to the sender; a sender with more has one mistake many times
LONGEST: Final = 300  # Characters of one part: MOST findings stay far below foutbeschrijving's 1,048,576

_UNREADABLE: Final = re.compile("[^\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+|\\s+")
"""What XML 1.0 forbids, and white space: normalizedString with collapse makes one space of it anyway."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a validator has to say about one document."""

    id: str  # Stable id of the rule, e.g. identity-differs
    level: str  # fatal or error: the document is refused. warning: it goes on
    where: str  # Element or reference in the document, or the document itself
    found: str
    expected: str
    fix: str
    line: int = 0  # From 1; 0 when unknown
    column: int = 0  # From 1; 0 when unknown
    document: str = ""  # bestandsnaam, as the sender wrote it
    rule: str = ""  # Which validator or rule pack

    @property
    def refuses(self) -> bool:
        """True when the document must not go on."""
        return self.level != "warning"


@dataclass(frozen=True, slots=True)
class StepVerdict:
    """One validation step of a route, done."""

    findings: tuple[Finding, ...] = ()

    @property
    def good(self) -> bool:
        """True when nothing found refuses the document."""
        return not any(finding.refuses for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Examined:
    """All that validation learnt about one envelope."""

    steps: tuple[StepVerdict, ...] = ()  # In the order of the route; ends with the first step that is not good
    roots: tuple[tuple[str, str], ...] = ()  # (document key, root element as {namespace}local) of each XML document
    trouble: str = ""  # Why validation could not be done: a crash or a time-out. Then the other fields mean nothing


def as_results(findings: Sequence[Finding]) -> str:
    """The findings as one `results` text for foutbeschrijving; beyond MOST they are counted only (digipoort 3.4)."""
    told = "".join(_message(finding) for finding in findings[:MOST])
    if len(findings) > MOST:
        rest = f"En nog {len(findings) - MOST} bevindingen."
        told += f'<msg line="0" col="0" technicalRole="" userRole="" level="warning" id="more">{rest}</msg>'
    return f'<results xmlns="{BATAVIA}"><xbrl><messages>{told}</messages></xbrl></results>'


def _message(finding: Finding) -> str:
    attributes = (finding.rule, finding.level, finding.id, finding.document)
    rule, level, id, document = (quoteattr(readable(text)) for text in attributes)
    parts = (("", finding.where), ("gevonden: ", finding.found), ("verwacht: ", finding.expected), ("", finding.fix))
    text = escape("; ".join(label + readable(part) for label, part in parts if part))
    return (
        f'<msg line="{finding.line}" col="{finding.column}" technicalRole={rule} userRole={rule} level={level} id={id}>'
        f"{text}<origin file={document}/></msg>"
    )


def readable(text: str) -> str:
    """Text that XML can carry on one line, cut to LONGEST characters."""
    clean = _UNREADABLE.sub(" ", text).strip()
    return clean if len(clean) <= LONGEST else clean[: LONGEST - 1] + "…"
