"""up, send, status, verify, pki, consents and demo against a real post office of real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from digipoort_as4 import local
from digipoort_as4.cli.story import SAMPLES

VAT = ("--berichtsoort", "Omzetbelasting", "--belanghebbende", "BTW:001000044B37")
STATISTICS = ("--berichtsoort", "Statistiek_Groothandel", "--belanghebbende", "KvK:90001101")
HBAG = "00000099000000015000"
TAX_FLOW = ["105", "100", "110", "200", "301", "301", "405", "400", "500"]
INVOICE_FLOW = ["105", "100", "110", "301", "405", "400"]
"""Issue 3, item 7; digipoort 3.2."""


def sample(name: str) -> str:
    return str(SAMPLES / name)


def objects(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def codes(text: str) -> list[object]:
    return [row["statuscode"] for row in objects(text) if "statuscode" in row]


def test_up_says_where_and_can_be_said_twice(person, post_office: Path) -> None:
    """stdout is the file; what runs stays."""
    before = (post_office / "post-office.json").read_bytes()
    done = person.types("up")
    assert (0, f"{post_office / 'post-office.json'}\n") == (done.returncode, done.stdout)
    assert before == (post_office / "post-office.json").read_bytes()


def test_a_vat_return_ends_at_500(person, post_office: Path) -> None:
    """stdout: the kenmerk, then the statuses; exit 0."""
    done = person.types("send", sample("omzetbelasting.xbrl"), *VAT, "--follow")

    first, *lines = done.stdout.splitlines()
    assert (0, 36) == (done.returncode, len(first))
    stops = [line for line in lines if line[0].isdigit()]
    assert TAX_FLOW == [line[:3] for line in stops]
    assert stops[-1].endswith("END")
    assert "signature valid, by OIN 00000099000000001000" in done.stderr


def test_an_invoice_ends_at_400(person, post_office: Path) -> None:
    """To the body that the sender names, by a business with G4 certificates."""
    words = ("--berichtsoort", "e-factuur", "--belanghebbende", "KvK:90001102", "--ontvanger", "00000099000000020000")
    done = person.types("send", sample("factuur.xml"), *words, "--as", "installatie-deboer", "--follow", "--json")
    assert 0 == done.returncode
    sent, *rows = objects(done.stdout)
    assert INVOICE_FLOW == [row["statuscode"] for row in rows]
    assert {"kenmerk", "berichtsoort", "aangeleverd", "signer", "saved"} == set(sent)


def test_what_was_sent_and_answered_is_kept_and_verifies(person, post_office: Path) -> None:
    """Octet for octet: the answer's signature holds by the post office's own CA, and xmlsec agrees."""
    kenmerk = person.types("send", sample("omzetbelasting.xbrl"), *VAT).stdout.strip()
    for name in ("request.xml", "answer.xml"):
        done = person.types("verify", str(post_office / "sent" / kenmerk / name), "--second-engine", "--json")
        report = json.loads(done.stdout)
        assert (0, True, True) == (done.returncode, report["holds"], report["secondEngine"]["agrees"])
        assert report["revocationChecked"]


def test_a_document_with_somebody_elses_number_is_invalid(person, post_office: Path, tmp_path: Path) -> None:
    """311 ends with exit 3 and shows the finding."""
    wrong = tmp_path / "wrong.xbrl"
    wrong.write_bytes((SAMPLES / "omzetbelasting.xbrl").read_bytes().replace(b"001000044B37", b"001000055B38"))
    done = person.types("send", str(wrong), *VAT, "--follow")
    assert 3 == done.returncode
    assert "\n311  " in done.stdout
    assert "001000055B38" in done.stdout
    assert "error (document)" in done.stderr


def test_a_business_without_mandate_is_refused(person, post_office: Path) -> None:
    """210 ends with exit 4."""
    done = person.types("send", sample("omzetbelasting.xbrl"), *VAT, "--as", "zonder-machtiging", "--follow", "--json")
    assert 4 == done.returncode
    assert "210" == codes(done.stdout)[-1]
    assert "210" == json.loads(done.stderr.splitlines()[-1])["code"]


def test_a_fault_shows_code_and_cause(person, post_office: Path) -> None:
    """An unknown berichtsoort is refused while accepting."""
    done = person.types("send", sample("omzetbelasting.xbrl"), "--berichtsoort", "Onbekend", *VAT[2:])
    assert (4, "") == (done.returncode, done.stdout)
    assert "error (refused): ALS100" in done.stderr
    assert "Onbekend" in done.stderr


def test_status_asks_as_the_sender(person, post_office: Path) -> None:
    """Another business's kenmerk does not exist for you."""
    words = ("--berichtsoort", "e-factuur", "--belanghebbende", "KvK:90001102", "--ontvanger", "00000099000000020000")
    kenmerk = person.types("send", sample("factuur.xml"), *words, "--as", "installatie-deboer").stdout.strip()

    assert 0 == person.types("status", kenmerk, "--follow").returncode
    other = person.types("status", kenmerk, "--as", "bakkerij-jansen")
    assert (4, "") == (other.returncode, other.stdout)
    assert "STS100" in other.stderr


def test_all_shows_the_copy_that_the_sender_does_not_see(person, post_office: Path) -> None:
    """Owner and copy, with the consent it rests on (decision 17)."""
    bijlagen = ("--bijlage", sample("cbs-omzet.csv"), "--bijlage", sample("hbag-bloemen.csv"))
    kenmerk = person.types("send", sample("statistiek.xbrl"), *STATISTICS, *bijlagen).stdout.strip()

    done = person.types("status", kenmerk, "--follow", "--all", "--json")

    deliveries = [row for row in objects(done.stdout) if "berichtkenmerk" in row]
    assert [("cbs", False, 3), ("hbag", True, 1)] == [(d["name"], d["copy"], d["documents"]) for d in deliveries]
    assert "CBS-HBAG-1" == deliveries[1]["consent"]


def test_raw_posts_untouched_and_a_repeat_gets_the_same_octets(person, post_office: Path) -> None:
    """The kept request, posted again, is answered with the kept answer; with one octet changed it is a fault."""
    kenmerk = person.types("send", sample("omzetbelasting.xbrl"), *VAT).stdout.strip()
    kept = post_office / "sent" / kenmerk

    again = person.types("send", "--raw", str(kept / "request.xml"))
    assert (0, (kept / "answer.xml").read_bytes()) == (again.returncode, again.stdout.encode())

    changed = (kept / "request.xml").read_bytes().replace(b"Omzetbelasting<", b"Omzetbelastinh<")
    refused = person.types("send", "--raw", "-", stdin=changed)
    assert 4 == refused.returncode
    assert "ALS100" in refused.stderr


def test_proxies_that_lead_nowhere_do_not_matter(person, post_office: Path) -> None:
    """Loopback is asked directly (decision 26)."""
    nonsense = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"), "http://nonsense.invalid:1")
    assert 0 == person.types("send", sample("omzetbelasting.xbrl"), *VAT, extra=nonsense).returncode


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((sample("omzetbelasting.xbrl"),), "--berichtsoort is missing"),
        (("weg.xbrl", *VAT), "no such file"),
        ((sample("factuur.xml"), "--berichtsoort", "x", "--belanghebbende", "12345678"), "TYPE:NUMBER"),
        ((sample("factuur.xml"), *VAT, "--as", "bakkerij-janssen"), "did you mean 'bakkerij-jansen'"),
        ((sample("factuur.xml"), "--raw", "--service", "afhalen"), "no service 'afhalen'"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(person, post_office: Path, words: tuple[str, ...], said: str) -> None:
    """Said before anything is sent."""
    done = person.types("send", *words)
    assert (2, "") == (done.returncode, done.stdout)
    assert said in done.stderr


def test_a_new_identity_can_send_at_once(person, post_office: Path) -> None:
    """Issued by the CA that the running post office trusts; known to nobody, so it is a fault, not a handshake."""
    issued = person.types("pki", "issue", "bakker-b", "--oin", "00000099000000104000")
    assert 0 == issued.returncode
    assert (Path(issued.stdout.strip()) / "signing.pem").is_file()
    assert "bakker-b" in person.types("pki", "list").stdout

    refused = person.types("send", sample("omzetbelasting.xbrl"), *VAT, "--as", "bakker-b")
    assert 4 == refused.returncode
    assert "ALS100" in refused.stderr


def test_a_flawed_certificate_is_made_on_request_and_refused(person, post_office: Path) -> None:
    """The same business, but for a signing certificate that ended yesterday."""
    words = ("pki", "issue", "bakker-verlopen", "--oin", "00000099000000101000", "--flaw", "expired")
    assert 0 == person.types(*words).returncode
    refused = person.types("send", sample("omzetbelasting.xbrl"), *VAT, "--as", "bakker-verlopen")
    assert 4 == refused.returncode
    assert "De beveiliging van het bericht kon niet worden vastgesteld." in refused.stderr


def test_the_demo_goes_as_told(person, post_office: Path) -> None:
    """Five messages on one screen, with a second engine that agrees and, on a tampered copy, objects; exit 0."""
    done = person.types("demo", "--dir", str(post_office))

    assert 0 == done.returncode, done.stderr
    assert 5 == sum(line[:1].isdigit() for line in done.stdout.splitlines())
    assert 4 == done.stdout.count("on the signed answer: SignatureValue holds, all 6 digests hold; the same as ours")
    assert "with a letter changed: SignatureValue holds, Body broken; the same as ours" in done.stdout
    assert "journal    says why: digest, Reference #body-" in done.stdout
    assert "0 processes were stored" in " ".join(done.stdout.split())
    assert 38 >= sum(max(1, -(-len(line) // 100)) for line in done.stdout.splitlines())  # of 40; stderr has two
    for code in ("105 ", "500 +", "210 +", "ALS100"):
        assert code in done.stdout


def test_a_demo_that_goes_otherwise_than_told_exits_1(person, post_office: Path) -> None:
    """CBS withdraws its consent: the copy to HBAG stays away, and that is not the story."""
    record = ("--by", "de test", "--reason", "proef")
    assert 0 == person.types("consents", "withdraw", "CBS-HBAG-1", *record).returncode
    try:
        done = person.types("demo", "--dir", str(post_office))
        assert 1 == done.returncode
        assert "not as told" in done.stderr
        assert "step 3: delivered to ['cbs'], expected ['cbs', 'hbag']" in done.stderr
    finally:
        words = ("--to", HBAG, "--reference", "terug", *record)
        assert "terug\n" == person.types("consents", "grant", "Statistiek_Groothandel", *words).stdout
    (row,) = objects(person.types("consents", "list", "--json").stdout)
    assert ("terug", "00000099000000013000", HBAG, "de test") == (row["reference"], row["owner"], row["to"], row["by"])
    assert [{"part": "bijlage", "bestandsnaam": "hbag-*"}] == row["documents"]
    assert person.types("consents", "list").stdout.startswith("terug  Statistiek_Groothandel  00000099000000013000")
    entries = objects(person.types("consents", "history", "--json").stdout)
    assert [("CBS-HBAG-1", True), ("terug", False)] == [(one["key"], one["value"] is None) for one in entries]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("grant", "Statistiek_Groothandl", "--to", HBAG), "did you mean 'Statistiek_Groothandel'?"),
        (("grant", "Omzetbelasting", "--to", HBAG), f"route Omzetbelasting has no copy to {HBAG}"),
        (("grant", "Statistiek_Groothandel", "--to", HBAG, "--reference", "terug"), "reference was used before"),
        (("withdraw", "CBS-HBAG-1"), "this consent was withdrawn at"),
        (("withdraw", "nooit"), "unknown consent 'nooit'; known: terug"),
    ],
)
def test_a_consent_that_cannot_be_is_explained(person, post_office: Path, words: tuple[str, ...], said: str) -> None:
    """And nothing is kept; what can be is above."""
    done = person.types("consents", *words, "--by", "de test", "--reason", "proef")
    assert (7, "") == (done.returncode, done.stdout)
    assert said in done.stderr
    assert 2 == len(objects(person.types("consents", "history", "--json").stdout))


def test_down_stops_every_process(person, post_office: Path, tmp_path: Path) -> None:
    """And a second time there is nothing to stop; `up` brings it back for the other tests."""
    running = json.loads((post_office / "post-office.json").read_text())["processes"]
    assert "post-office" in person.types("down").stderr
    assert 11 == len(running)
    assert [None] * 11 == [local.started(process["pid"]) for process in running]
    assert 6 == person.types("status", "x").returncode
    assert "nothing was running" in person.types("down").stderr
    assert 0 == person.types("up").returncode
