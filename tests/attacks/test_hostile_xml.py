"""The supplied hostile XML and SOAP files: refused with a cause, at once."""

from __future__ import annotations

import time

import pytest
from helpers_wire import NOW, message_of, shared, trust

from digipoort_as4.errors import PeerError
from digipoort_as4.wssecurity.open_message import SignaturePolicy, open_message

DOCTYPES = (
    "billion-laughs.xml",
    "billion-laughs-attr.xml",
    "quadratic.xml",
    "xxe-file.xml",
    "xxe-http.xml",
    "xxe-param.xml",
    "dtd-external.xml",
    "dtd-harmless.xml",
    "dtd-attlist-id.xml",
)
CAUSES = {
    **{f"xml/{name}": "doctype" for name in DOCTYPES},
    "xml/utf7.xml": "not-utf8",
    "xml/invalid-utf8.xml": "not-utf8",
    "xml/nul.xml": "not-xml",
    "xml/ctrl-charref.xml": "not-xml",
    "xml/relative-ns.xml": "not-xml",
    "xml/two-roots.xml": "not-xml",
    "xml/trailing-garbage.xml": "not-xml",
    "xml/depth-100000.xml": "xml-limit",
    "xml/overlong-name.xml": "xml-limit",
    "xml/ns-flood-2000x2000.xml": "xml-limit",
    "xml/ns-flood-50000.xml": "body-too-large",
    "soap/two-headers.xml": "envelope",
    "soap/two-bodies.xml": "envelope",
}
"""Where the manifest's expectation names a cause; the others have several good ones."""


def hostile() -> list[str]:
    try:
        folder = shared("suites/hostile")
    except pytest.skip.Exception:
        return []
    return sorted(f"{part}/{path.name}" for part in ("xml", "soap") for path in (folder / part).iterdir())


@pytest.mark.parametrize("name", hostile() or ["xml/billion-laughs.xml"])
def test_a_hostile_file_is_refused_at_once(name: str) -> None:
    """A PeerError, no other exception, and less than 100 ms of CPU."""
    octets = shared(f"suites/hostile/{name}").read_bytes()
    started = time.process_time()

    with pytest.raises(PeerError) as refusal:
        open_message(message_of(octets), SignaturePolicy(), trust(), NOW)

    assert time.process_time() - started < 0.1
    assert CAUSES.get(name, refusal.value.cause.name) == refusal.value.cause.name
