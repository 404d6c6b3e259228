"""Exclusive canonical form: lxml's and our own writer, judged by each other and by xmlsec's digests."""

from __future__ import annotations

import base64
import hashlib

import pytest
import xmlsec
from helpers_peer import DS, EXC, WSU
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from digipoort_as4.payload import BytesPayload
from digipoort_as4.soap.message import LargeText
from digipoort_as4.wssecurity.c14n import DEFAULT, _write, canonical, hash_canonical

PREFIXES = ("", "a", "b", "c")
URIS = ("urn:1", "urn:2", "urn:3")


@st.composite
def elements(draw: st.DrawFn, depth: int = 3, scope: tuple[tuple[str, str], ...] = ()) -> str:
    """An element with namespaces declared, redeclared and undeclared on the way down."""
    declared = draw(st.dictionaries(st.sampled_from(PREFIXES), st.sampled_from(URIS), max_size=3))
    undeclare = "" not in declared and draw(st.booleans())
    inner = {**dict(scope), **declared, **({"": ""} if undeclare else {})}
    prefix = draw(st.sampled_from(sorted({p for p in inner if p} | {""})))
    name = f"{prefix}:e" if prefix else "e"
    parts = [f' xmlns:{p}="{u}"' if p else f' xmlns="{u}"' for p, u in declared.items()]
    parts += [' xmlns=""'] if undeclare else []
    for p in draw(st.sets(st.sampled_from(sorted(p for p in inner if p) or ["xml"]), max_size=2)):
        if not any(f' {q}:x="' in part for part in parts for q in inner if inner.get(q) == inner.get(p)):
            parts.append(f' {p}:{"lang" if p == "xml" else "x"}="{draw(st.sampled_from(VALUES))}"')
    parts += [f' y="{draw(st.sampled_from(VALUES))}"'] if draw(st.booleans()) else []
    children = draw(st.lists(elements(depth - 1, tuple(inner.items())), max_size=2)) if depth else []
    return f"<{name}{''.join(draw(st.permutations(parts)))}>{draw(st.sampled_from(TEXTS))}{''.join(children)}</{name}>"


VALUES = ("", "v", "&#10;&#9;&#13;", "&lt;&gt;&amp;&quot;'", "é")
TEXTS = ("", "t", "&lt;&gt;&amp;\"'", "&#13;", " \n ", "é<![CDATA[<&]]>")
LISTS = st.lists(st.sampled_from(("a", "b", "c", "nowhere")), max_size=3, unique=True)


@settings(max_examples=150, deadline=None)
@given(document=elements(), prefixes=LISTS, index=st.integers(0, 3))
def test_own_writer_and_lxml_agree_without_default(document: str, prefixes: list[str], index: int) -> None:
    """Any subtree of any document, any PrefixList of real prefixes."""
    root = etree.fromstring(f'<root xmlns:a="urn:1" xmlns="urn:3">{document}</root>')
    nodes = list(root.iter(etree.Element))
    apex = nodes[min(index, len(nodes) - 1)]

    assert canonical(apex, prefixes) == "".join(_write(apex, {}, frozenset(prefixes))).encode()


@settings(max_examples=60, deadline=None)
@given(document=elements(), prefixes=LISTS)
def test_own_writer_and_xmlsec_agree_with_default(document: str, prefixes: list[str]) -> None:
    """The digest that xmlsec computes for a PrefixList with #default is over the octets that we write."""
    names = [DEFAULT, *prefixes]
    root = etree.fromstring(
        f'<root xmlns="urn:3" xmlns:b="urn:2"><signed xmlns:w="{WSU}" w:Id="x">{document}</signed>'
        f'<Signature xmlns="{DS}"><SignedInfo><CanonicalizationMethod Algorithm="{EXC}"/>'
        f'<SignatureMethod Algorithm="{DS}hmac-sha1"/><Reference URI="#x"><Transforms><Transform Algorithm="{EXC}">'
        f'<ec:InclusiveNamespaces xmlns:ec="{EXC}" PrefixList="{" ".join(names)}"/></Transform></Transforms>'
        '<DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><DigestValue/></Reference></SignedInfo>'
        "<SignatureValue/></Signature></root>"
    )
    context = xmlsec.SignatureContext()
    context.register_id(root[0], "Id", WSU)
    context.key = xmlsec.Key.from_binary_data(xmlsec.KeyData.HMAC, b"secret")
    context.sign(root[1])

    expected = base64.b64decode(root.findtext(f".//{{{DS}}}DigestValue"))
    assert expected == hashlib.sha256(canonical(root[0], names)).digest()


@pytest.mark.parametrize("window", [1, 2, 3, 1000])
def test_large_texts_are_hashed_as_a_parser_would_read_them(window: int) -> None:
    """CR LF and CR count as LF, also when a window ends between them (XML 1.0 2.11)."""

    class Windows(BytesPayload):
        __slots__ = ()

        def open(self):  # type: ignore[no-untyped-def]
            return (self.octets[at : at + window] for at in range(0, len(self.octets), window))

    text = b"QUJD\r\nQUJD\rQUJD\n\r\r\nQUJD"
    read = etree.fromstring(b"<a><b>" + text + b"</b>tail<c>" + text + b"</c></a>")
    skeleton = etree.fromstring("<a><b>ONEONEON</b>tail<c>TWOTWOTW</c></a>")
    large = [LargeText("ELSEWHER", BytesPayload(b"")), LargeText("ONEONEON", Windows(text))]

    found = hash_canonical(skeleton, (), "sha256", [*large, LargeText("TWOTWOTW", Windows(text))])

    assert hashlib.sha256(etree.tostring(read, method="c14n")).digest() == found
