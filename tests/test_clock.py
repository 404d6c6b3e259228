"""The clock of a local post office: moved by one process, believed by all, and never by outside clients."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from digipoort_as4 import config, gateway, local
from digipoort_as4.clock import Clock, Moved, parse_duration, parse_moment
from digipoort_as4.errors import UsageError
from digipoort_as4.journal import Journal
from digipoort_as4.pki import test_pki
from digipoort_as4.storage.sqlite import SqliteStore

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def machine() -> datetime:
    return NOON


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("72h", 259_200), ("3s", 3), ("500ms", 0.5), ("1h30m", 5_400), ("2d", 172_800), ("-10m", -600), ("0.5s", 0.5)],
)
def test_lengths_of_time_are_read_as_people_write_them(text: str, seconds: float) -> None:
    """Days to milliseconds, joined, and back with a minus."""
    assert timedelta(seconds=seconds) == parse_duration(text)


@pytest.mark.parametrize("text", ["", "3", "h", "3 s", "3x", "3s!", "99999999999999999d", "-", "1e3s"])
def test_other_lengths_are_refused(text: str) -> None:
    """No unit is guessed."""
    with pytest.raises(UsageError):
        parse_duration(text)


@pytest.mark.parametrize("text", ["2026-11-24T12:00:00Z", "2026-11-24T13:00:00+01:00", "2026-11-24T12:00:00"])
def test_moments_are_utc(text: str) -> None:
    """With a zone or without."""
    assert NOON == parse_moment(text)


@pytest.mark.parametrize("text", ["", "noon", "2026-13-01", "0001-01-01T00:00:00+14:00"])
def test_other_moments_are_refused(text: str) -> None:
    """A UsageError says what one looks like."""
    with pytest.raises(UsageError, match="no moment"):
        parse_moment(text)


def test_a_clock_that_was_not_moved_is_the_machines(tmp_path: Path) -> None:
    """Without a file, and with one that is not there yet."""
    for clock in (Clock(None, machine), Clock(tmp_path / "clock.json", machine)):
        assert (NOON, NOON, Moved()) == (clock(), clock.wire(), clock.moved())


def test_moving_leaves_the_timestamps_of_messages_alone() -> None:
    """Outside clients have the machine's clock (decision 25); strict makes them follow."""
    clock = Clock(None, machine)
    clock.advance(72 * HOUR)
    assert (NOON + 72 * HOUR, NOON) == (clock(), clock.wire())
    clock.move(strict=True)
    assert clock() == clock.wire() == NOON + 72 * HOUR
    clock.advance(-HOUR)
    assert NOON + 71 * HOUR == clock()
    clock.set(NOON - HOUR)
    assert NOON - HOUR == clock()
    clock.reset()
    assert (NOON, Moved()) == (clock(), clock.moved())


def test_another_process_sees_it_at_once(tmp_path: Path) -> None:
    """The next look of a clock on the same file; and the one after, when it is moved again within one tick."""
    file = tmp_path / "clock.json"
    mine = Clock(file, machine)
    assert NOON == mine()
    program = f"from datetime import timedelta; from digipoort_as4.clock import Clock; from pathlib import Path; " \
        f"Clock(Path({str(file)!r})).advance(timedelta(hours=5))"  # fmt: skip
    root = str(Path(config.__file__).parent.parent)
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": root})
    assert NOON + 5 * HOUR == mine()
    other = Clock(file, machine)
    for hours in range(6, 30):
        other.advance(HOUR)
        assert NOON + hours * HOUR == mine()
    file.unlink()
    assert NOON == mine()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"shift": 1}', '{"shift": "x", "strict": false, "crl": "renewed"}', '{"shift": 1e300}']
)
def test_a_file_that_is_not_ours_changes_nothing(tmp_path: Path, text: str) -> None:
    """What counted before still counts, and a good file is read again."""
    file = tmp_path / "clock.json"
    clock = Clock(file, machine)
    clock.advance(HOUR)
    file.write_text(text)
    assert NOON + HOUR == clock()
    file.write_text(json.dumps({"shift": 7200.0, "strict": True, "crl": "frozen"}))
    assert Moved(2 * HOUR, True, "frozen") == clock.moved()


def test_nonsense_moves_nothing(tmp_path: Path) -> None:
    """Farther than a hundred years, or CRLs in a state that there is not."""
    clock = Clock(tmp_path / "clock.json", machine)
    for change in ({"shift": timedelta(days=40_000)}, {"crl": "melted"}):
        with pytest.raises(UsageError):
            clock.move(**change)
    assert NOON == clock()


def test_those_who_prepare_come_before_and_those_who_are_told_after() -> None:
    """CRLs are renewed while the old time still counts; the worker wakes when the new one does."""
    clock, seen = Clock(None, machine), list[object]()
    clock.before.append(lambda moved: seen.append((clock(), moved.shift)))
    clock.after.append(lambda: seen.append(clock()))
    clock.advance(HOUR)
    assert [(NOON, HOUR), NOON + HOUR] == seen


# --- certificates and CRLs ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> config.Settings:
    folder = tmp_path_factory.mktemp("clock")
    pki = folder / "pki"
    test_pki.make(pki, datetime.now(UTC), ca_bits=2048)
    hub = test_pki.find_identity(pki, "digipoort")
    keys = config.KeyFiles(hub.signing_cert, hub.signing_key)
    return config.Settings(
        folder / "data",
        keys,
        keys,
        test_pki.anchors(pki),
        (test_pki.intermediates(pki),),
        tuple(test_pki.crls(pki)),
        test_pki=pki,
    )


def period(settings: config.Settings) -> tuple[datetime, datetime]:
    """thisUpdate and nextUpdate, as another library reads them."""
    lists = [x509.load_pem_x509_crl(path.read_bytes()) for path in settings.crls]
    return max(crl.last_update_utc for crl in lists), min(crl.next_update_utc or NOON for crl in lists)


@pytest.mark.parametrize("hours", [100, -100])
def test_new_crls_hold_by_both_clocks(settings: config.Settings, hours: int) -> None:
    """Whoever looks at the machine's clock and whoever looks at the moved one find a CRL that is in date."""
    clock = Clock()
    clock.before.append(lambda moved: local.renew_crls(settings, clock, moved))
    clock.advance(hours * HOUR)
    start, end = period(settings)
    assert start <= min(clock(), clock.machine())
    assert max(clock(), clock.machine()) + 47 * HOUR < end


def test_frozen_crls_stay(settings: config.Settings) -> None:
    """The same octets; back in time they are renewed again."""
    clock = Clock()
    clock.before.append(lambda moved: local.renew_crls(settings, clock, moved))
    clock.reset()
    before = [path.read_bytes() for path in settings.crls]
    clock.move(shift=49 * HOUR, crl="frozen")
    assert before == [path.read_bytes() for path in settings.crls]
    assert period(settings)[1] < clock()
    clock.reset()
    assert before != [path.read_bytes() for path in settings.crls]


def test_a_revocation_meanwhile_ends_no_crl_early(settings: config.Settings) -> None:
    """`pki issue --flaw revoked` signs CRLs by the machine's clock; the post office may be ahead of it."""
    clock = Clock()
    clock.before.append(lambda moved: local.renew_crls(settings, clock, moved))
    clock.advance(100 * HOUR)
    assert settings.test_pki is not None
    test_pki.issue(settings.test_pki, "weg", "00000099000000199000", "g1", "business", datetime.now(UTC), revoked=True)
    assert period(settings)[1] > clock()
    clock.reset()


def test_tables_are_looked_at_again_when_the_clock_has_moved(settings: config.Settings) -> None:
    """Within the second in which files are otherwise not looked at, the renewed CRLs are read."""
    clock = Clock()
    clock.before.append(lambda moved: local.renew_crls(settings, clock, moved))
    trust = gateway.watch_trust(settings, Journal(None), clock)
    trust.look_again = HOUR
    before = trust().version
    clock.advance(HOUR)
    assert before != trust().version


async def test_the_crls_are_kept_fresh_by_the_moved_clock(settings: config.Settings, tmp_path: Path) -> None:
    """The renewal at the start knows how far the clock was moved before."""
    clock = Clock(tmp_path / "clock.json")
    clock.advance(500 * HOUR)
    renewing = asyncio.create_task(local.keep_renewing(settings, clock))
    async with asyncio.timeout(10):
        while period(settings)[1] < clock():
            await asyncio.sleep(0.02)
    renewing.cancel()


def test_production_has_no_such_clock(settings: config.Settings, tmp_path: Path) -> None:
    """Refused when the settings are loaded; without the key they are read, and so is the key in the local profile."""
    text = "\n".join(
        [
            'profile = "production"\nfolder = "data"',
            *(f"{use}.certificate = {str(settings.tls.certificate)!r}" for use in ("tls", "signing")),
            *(f"{use}.key = {str(settings.tls.key)!r}" for use in ("tls", "signing")),
            f"trust.ca = {str(settings.ca)!r}\ntrust.crls = [{str(settings.crls[0])!r}]\n",
        ]
    )
    file = tmp_path / "digipoort.toml"
    file.write_text(text)
    assert config.load(file, {}).clock is None
    file.write_text(f'{text}\n[data]\nclock = "clock.json"\n')
    with pytest.raises(config.ConfigError, match="production"):
        config.load(file, {})
    file.write_text(file.read_text().replace("production", "local"))
    assert tmp_path / "clock.json" == config.load(file, {}).clock


@pytest.mark.parametrize(("profile", "status"), [("local", 1), ("production", 0)])
async def test_production_plays_nothing(settings: config.Settings, tmp_path: Path, profile: str, status: int) -> None:
    """Its office has no scenarios; the local profile has the eleven."""
    store = SqliteStore.open(tmp_path, Clock())
    made = replace(settings, profile="local", folder=tmp_path)
    try:
        office = gateway.open_office(made, store, Journal(None))
        assert 11 == len(office.scenarios.named)
        assert 11 * status == len(gateway.scenarios_of(profile).named)
    finally:
        await store.close()
