"""No megabyte is dear: shapes that would make a careless pattern or walk quadratic, as large as the guard allows.

`xmlns:` without end once cost 274 seconds of CPU in a pattern of ours; each shape here is one such knob.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest
from helpers_wire import TOKEN

from digipoort_as4 import limits
from digipoort_as4.errors import PeerError
from digipoort_as4.payload import BytesPayload
from digipoort_as4.soap import inhoud, xml_guard

ROOM = limits.TREE - 4_096
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"


def fill(unit: str, most: int = ROOM) -> str:
    return unit * min(most, ROOM // len(unit))


def body(content: str, declarations: str = "") -> str:
    return f'<s:Envelope xmlns:s="{SOAP}"{declarations}><s:Header/><s:Body><b>{content}</b></s:Body></s:Envelope>'


SHAPES: dict[str, Callable[[], str]] = {
    "xmlns: repeated": lambda: body(fill("xmlns:")),
    "xmlns:a repeated": lambda: body(fill("xmlns:a")),
    "xmlns:a= repeated": lambda: body(fill("xmlns:a=")),
    'xmlns=" repeated': lambda: body(fill('xmlns=" ')),
    "one long prefix": lambda: body("xmlns:" + fill("a")),
    "white space after xmlns": lambda: body("xmlns" + fill(" ")),
    "white space after xmlns=": lambda: body(fill("xmlns=" + " " * 1_000)),
    "relative namespace in text, many in scope": lambda: body(
        'xmlns="r"' + fill("<a/>", 90_000), "".join(f' xmlns:p{n}="urn:{n}"' for n in range(120))
    ),
    "elements side by side": lambda: body(fill("<a/>", 99_000)),
    "elements in each other": lambda: body(fill("<a>" * 58 + "</a>" * 58, 850)),
    "attributes": lambda: body(fill("<a " + " ".join(f'a{n}=""' for n in range(64)) + "/>")),
    "ids": lambda: body("".join(f'<a Id="{n}"/>' for n in range(ROOM // 16))),
    "< in CDATA": lambda: body("<![CDATA[" + fill("<") + "]]>"),
    "comments before": lambda: fill("<!-- -->", 90_000) + body(""),
    "encoding= in the declaration": lambda: "<?xml" + fill(" encoding=") + "?><a/>",
    "white space in the declaration": lambda: '<?xml version="1.0"' + fill(" ") + 'encoding="UTF-7"?><a/>',
    "prefixes that never end": lambda: fill("<a:"),
    "start tags that never end": lambda: fill("<inhoud "),
    "inhoud tags": lambda: fill("<inhoud>"),
    "one tag that never ends": lambda: "<inhoud " + fill("a"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_megabyte_is_judged_in_a_blink(shape: str) -> None:
    """Extraction and guard together stay below 0.3 s of CPU, whatever they decide."""
    octets = SHAPES[shape]().encode()
    started = time.process_time()
    with contextlib.suppress(PeerError):  # either verdict will do here; the verdicts have their own tests
        skeleton, large = inhoud.extract(BytesPayload(octets), TOKEN)
        xml_guard.parse(skeleton, large)

    assert time.process_time() - started < 0.3
