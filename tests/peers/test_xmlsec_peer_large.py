"""A 20 MiB inhoud as wrapped base64, signed by xmlsec: opened with flat memory."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_peer import CLIENTS, DS, WSU
from helpers_wire import OIN, aanlever_request_of, business

PROBE = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from helpers_wire import NOW, TOKEN, OneAuthority
from digipoort_as4.payload import FilePayload
from digipoort_as4.pki.certificates import load_certificate
from digipoort_as4.soap import inhoud, xml_guard
from digipoort_as4.wssecurity.open_message import SignaturePolicy, open_message

def peak():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) // 1024

folder = Path(sys.argv[1])
body = FilePayload(folder / "body", 0, (folder / "body").stat().st_size)
before = peak()
skeleton, large = inhoud.extract(body, TOKEN)
anchor = load_certificate((folder / "ca").read_bytes())
opened = open_message(xml_guard.parse(skeleton, large), SignaturePolicy(), OneAuthority(anchor), NOW)
print(opened.oin, sum(len(c) for c in inhoud.decode(large[0].text)), peak() - before)
"""


def large_request(document: bytes) -> bytes:
    """The wcf shape, with a document that only a huge tree can sign."""
    import xmlsec
    from helpers_peer import _template
    from lxml import etree

    operation = aanlever_request_of(base64.encodebytes(document).replace(b"\n", b"\r\n").decode())
    octets = _template(CLIENTS["wcf"], operation, business().certificate.der)
    envelope = etree.fromstring(octets, etree.XMLParser(huge_tree=True))
    context = xmlsec.SignatureContext()
    for element in envelope.iter():
        if element.get(f"{{{WSU}}}Id"):
            context.register_id(element, "Id", WSU)
    context.key = xmlsec.Key.from_memory(business().key_pem, xmlsec.KeyFormat.PEM)
    context.sign(envelope.find(f".//{{{DS}}}Signature"))
    return etree.tostring(envelope, encoding="UTF-8").replace(b"\n", b"\r\n")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_20_mib_are_verified_in_little_memory(tmp_path: Path) -> None:
    """Base64 in lines of 76 with CR LF, as MIME encoders write it: 28 MB of text, under 100 MiB of growth."""
    from helpers_wire import authority

    (tmp_path / "body").write_bytes(large_request(os.urandom(20_971_520)))
    (tmp_path / "ca").write_bytes(authority().certificate.der)
    here = Path(__file__).resolve()
    paths = [str(here.parents[1] / "wssecurity"), str(here.parents[2])]

    answer = subprocess.run(
        [sys.executable, "-c", PROBE, str(tmp_path), *paths], capture_output=True, text=True, check=True, timeout=60
    )

    oin, size, growth = answer.stdout.split()
    assert OIN == oin
    assert 20_971_520 == int(size)
    assert int(growth) < 100
