"""The operator's file: what it means, and that all its mistakes are told at once."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from digipoort_as4 import config
from digipoort_as4.errors import ConfigError

GOOD = """
folder = "data"

[listen]
port = 9443

[tls]
certificate = "a.pem"
key = "a.pem"

[signing]
certificate = "a.pem"
key = "a.pem"
password_file = "secret"

[trust]
ca = "a.pem"
crls = ["a.pem"]

[agencies]
00000099000000012000 = "https://localhost:1/afleverservice"

[foutcodes.aanleveren]
schema = "ALS110"
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    (tmp_path / "a.pem").write_text("x")
    (tmp_path / "secret").write_text("geheim\n")
    path = tmp_path / "digipoort.toml"
    path.write_text(GOOD)
    return path


def mistakes(path: Path, old: str, new: str, environment: dict[str, str] | None = None) -> str:
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        config.load(path, environment or {})
    return str(caught.value)


def test_a_good_file_is_read(written: Path) -> None:
    """Paths are relative to the file, secrets come from their files, defaults fill the rest."""
    settings = config.load(written, {})
    assert written.parent / "data" == settings.folder
    assert 9443 == settings.port
    assert ("", ()) == (settings.public_url, settings.trusted_proxies)
    assert b"geheim" == settings.signing.password
    assert settings.tls.password is None
    assert {"00000099000000012000": "https://localhost:1/afleverservice"} == settings.agencies
    assert {"aanleveren": {"schema": "ALS110"}} == settings.foutcodes
    assert "local" == settings.profile


AUSP = """
[ausp."https://ausp.example/autorisatie/"]
oin = "00000099000000021000"
timeout = 3
"""


def test_an_ausp_is_registered_by_its_address(written: Path) -> None:
    """Without a slash at the end, as it is compared; seconds."""
    written.write_text(GOOD + AUSP)
    ausp = config.AuspService("00000099000000021000", timedelta(seconds=3), timedelta(seconds=300))
    assert {"https://ausp.example/autorisatie": ausp} == config.load(written, {}).ausp
    assert {} == config.load(_plain(written), {}).ausp


def _plain(written: Path) -> Path:
    written.write_text(GOOD)
    return written


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("https://ausp", "http://ausp", "expected an https URL"),
        ('"00000099000000021000"', '"21000"', "oin is missing or has no 20 positions"),
        ("oin =", "ion =", "unknown key ion; known: oin, timeout, cache"),
        ("timeout = 3", "timeout = 0", "timeout is a number of seconds"),
        ("timeout = 3", "cache = -1", "cache is a number of seconds"),
        ("timeout = 3", 'cache = "een uur"', "cache is a number of seconds"),
    ],
)
def test_a_mistake_in_an_ausp_is_told(written: Path, old: str, new: str, told: str) -> None:
    """The table without it is good (above)."""
    assert old in AUSP
    written.write_text(GOOD + AUSP.replace(old, new))
    with pytest.raises(ConfigError, match=re.escape(told)):
        config.load(written, {})


def test_a_password_is_not_shown(written: Path) -> None:
    """Settings may be printed."""
    assert "geheim" not in repr(config.load(written, {}))


def test_the_environment_comes_first(written: Path) -> None:
    """DIGIPOORT_ and the key in capitals; DIGIPOORT_CONFIG names the file."""
    told = {"DIGIPOORT_LISTEN_PORT": "1234", "DIGIPOORT_LISTEN_TRUSTED_PROXIES": "192.0.2.1, 10.0.0.0/8"}
    settings = config.load(None, {"DIGIPOORT_CONFIG": str(written), **told})
    assert 1234 == settings.port
    assert [ip_network("192.0.2.1/32"), ip_network("10.0.0.0/8")] == list(settings.trusted_proxies)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("port = 9443", "prot = 9443", "listen.prot: unknown key; did you mean listen.port?"),
        ("port = 9443", "port = 99999", "listen.port (digipoort.toml): expected a number from 1 to 65535"),
        ("port = 9443", 'trusted_proxies = ["10.0.0.0/33"]', "listen.trusted_proxies (digipoort.toml): '10.0.0.0/33'"),
        ('folder = "data"', "", "folder: is missing"),
        ('folder = "data"', 'folder = "data"\nprofile = "prod"', "expected one of local, production"),
        ('ca = "a.pem"', 'ca = "b.pem"', "b.pem is not there"),
        ('crls = ["a.pem"]', "", "trust.crls"),
        ('crls = ["a.pem"]', 'crls = "a.pem,b.pem"', "b.pem is not there"),
        ("https://localhost:1/", "http://localhost:1/", "expected an https URL"),
        ("00000099000000012000", "12000", "an agency is named by its OIN"),
        ("[foutcodes.aanleveren]", "[[foutcodes]]", "foutcodes: expected a table"),
        ("[agencies]", "[agencies", "cannot be read"),
    ],
)
def test_a_mistake_is_told(written: Path, old: str, new: str, told: str) -> None:
    """Where, what was found, what was expected."""
    assert told in mistakes(written, old, new)


def test_all_mistakes_are_told_at_once(written: Path) -> None:
    """The operator mends the file once."""
    told = mistakes(written, 'folder = "data"', 'fodler = "data"', {"DIGIPOORT_LISTEN_PORT": "x"})
    assert "has 3 mistake(s)" in told
    assert "DIGIPOORT_LISTEN_PORT" in told


def test_production_refuses_the_test_pki(written: Path) -> None:
    """The local profile takes it; production never does."""
    local = GOOD.replace('ca = "a.pem"', 'ca = "a.pem"\ntest_pki = "pki"')
    written.write_text(local)
    assert written.parent / "pki" == config.load(written, {}).test_pki
    written.write_text('profile = "production"\n' + local)
    with pytest.raises(ConfigError, match="production never trusts the test PKI"):
        config.load(written, {})


def test_no_file_is_told_with_the_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has no file learns where it could be."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"looked in digipoort\.toml"):
        config.load(None, {"XDG_CONFIG_HOME": str(tmp_path)})


def test_port_443_is_a_setting(written: Path) -> None:
    """WT006 and TLS005."""
    written.write_text(GOOD.replace("port = 9443", "port = 443"))
    assert 443 == config.load(written, {}).port


def test_the_longest_tls_session_is_a_setting(written: Path) -> None:
    """WT008: seconds; an hour when nothing is said."""
    assert 3600 == config.load(written, {}).tls_session
    assert 90 == config.load(written, {"DIGIPOORT_LISTEN_TLS_SESSION": "90"}).tls_session
    for wrong in ("0", "-1", "86401", "an hour", "9" * 30):
        told = mistakes(written, "port = 9443", "port = 9443", {"DIGIPOORT_LISTEN_TLS_SESSION": wrong})
        assert "listen.tls_session (DIGIPOORT_LISTEN_TLS_SESSION): expected a number from 1 to 86400" in told


def test_an_agency_may_name_a_profile(written: Path) -> None:
    """A table beside the addresses; a profile for nobody is a mistake."""
    row = '[agency_profiles]\n00000099000000012000 = "overheden-2W-be-S"\n\n[foutcodes.aanleveren]'
    written.write_text(GOOD.replace("[foutcodes.aanleveren]", row))
    assert {"00000099000000012000": "overheden-2W-be-S"} == config.load(written, {}).agency_profiles
    for wrong, oin in (("12000 =", "13000"), ('"overheden-2W-be-S"', "12000")):
        told = mistakes(written, "[foutcodes.aanleveren]", row.replace(wrong, "13000 =" if oin == "13000" else "3"))
        assert f"agency_profiles.000000990000000{oin}: expected an OIN of [agencies], and the name" in told
