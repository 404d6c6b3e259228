"""The results text of status 311."""

from __future__ import annotations

from lxml import etree

from digipoort_as4.hub.findings import LONGEST, MOST, Finding, as_results

NS = "{http://nlvalidatie.nl/batavia}"
ONE = Finding(
    "identity-differs", "error", "element <id>", 'a & "b"', "c", "Herstel het.", 3, 9, "a<1>.xbrl", "identity"
)


def messages(*findings: Finding) -> list[etree._Element]:
    root = etree.fromstring(as_results(findings))
    assert f"{NS}results" == root.tag
    return root.findall(f"{NS}xbrl/{NS}messages/{NS}msg")


def test_shape_is_the_one_that_clients_read() -> None:
    """results, xbrl, messages, msg with line, col, technicalRole, userRole, level, id; origin with the file."""
    (message,) = messages(ONE)
    assert ["line", "col", "technicalRole", "userRole", "level", "id"] == list(message.attrib)
    assert ("3", "9", "error", "identity-differs") == tuple(message.get(k) for k in ("line", "col", "level", "id"))
    assert 'element <id>; gevonden: a & "b"; verwacht: c; Herstel het.' == message.text
    assert "a<1>.xbrl" == message[0].get("file")


def test_text_survives_a_collapsed_string() -> None:
    """foutbeschrijving is a normalizedString: no line break or control character may carry meaning."""
    (message,) = messages(Finding("x", "error", "a\n\tb", "c\x00\x1b[31md\ufffe", "", ""))
    assert "a b; gevonden: c [31md" == message.text


def test_long_and_many() -> None:
    """Each part is cut, and what is beyond the most told is counted."""
    found = messages(*[Finding("x", "error", "y" * 10_000, "", "", "")] * (MOST + 3))
    assert MOST + 1 == len(found)
    assert LONGEST == len(found[0].text or "")
    assert "En nog 3 bevindingen." == found[-1].text
    assert len(as_results([Finding("x", "error", "&" * 9999, "&" * 9999, "&" * 9999, "&" * 9999)] * 999)) <= 1_048_576


def test_a_warning_does_not_refuse() -> None:
    assert ONE.refuses
    assert not Finding("x", "warning", "", "", "", "").refuses
