"""The fixture `digipoort_hub` as the test-suite of an ERP uses it."""

from __future__ import annotations

import importlib.metadata
import time
from datetime import timedelta
from pathlib import Path

import pytest

from digipoort_as4 import cli
from digipoort_as4.errors import Refused, UsageError
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.pytest_plugin import Hub
from digipoort_as4.sdk.models import Bericht, Bestand

pytest_plugins = ("digipoort_as4.pytest_plugin",)

SAMPLE = Path(cli.__file__).parent / "samples" / "omzetbelasting.xbrl"
JANSEN = Identiteit("001000044B37", "BTW")


def vat_return(aanleverkenmerk: str | None = None) -> Bericht:
    return Bericht(
        berichtsoort="Omzetbelasting",
        identiteit_belanghebbende=JANSEN,
        bericht_inhoud=Bestand.of(SAMPLE),
        aanleverkenmerk=aanleverkenmerk,
    )


def test_what_an_agency_received(digipoort_hub: Hub) -> None:
    """The envelope and the octets that were handed over."""
    submission = digipoort_hub.client().submit(vat_return("mijn-1"))
    (received,) = digipoort_hub.received(wait=1)
    assert ("belastingdienst", "Omzetbelasting") == (received.agency, received.berichtsoort)
    assert submission.kenmerk == received.kenmerk
    assert "mijn-1" == received.envelope["aanleverkenmerk"]
    assert {"omzetbelasting.xbrl": SAMPLE.read_bytes()} == received.documents


def test_each_test_starts_empty(digipoort_hub: Hub) -> None:
    """Whatever the test before it sent."""
    assert [] == digipoort_hub.received()


def test_a_scenario_plays_for_every_message(digipoort_hub: Hub) -> None:
    """By name, or in the words of the command; reset forgets it."""
    client = digipoort_hub.client()
    digipoort_hub.scenario("AanleverFault")
    with pytest.raises(Refused) as refused:
        client.submit(vat_return())
    assert "ALS100" == refused.value.code
    digipoort_hub.reset()
    client = digipoort_hub.client()
    client.submit(vat_return())
    digipoort_hub.scenario(stage="aanleveren", berichtsoort="ICP", fault="ALS400")
    client.submit(vat_return())
    assert 2 == len(digipoort_hub.received(wait=2))


def test_an_unknown_scenario_names_the_known(digipoort_hub: Hub) -> None:
    with pytest.raises(UsageError, match="Happyflov") as wrong:
        digipoort_hub.scenario("Happyflov")
    assert "Happyflow" in wrong.value.__notes__[0]


def test_three_days_pass_in_a_moment(digipoort_hub: Hub) -> None:
    """An agency that never answers: the last 420 with AFS600, 72 hours later."""
    client = digipoort_hub.client()
    digipoort_hub.scenario(stage="afleveren", code="420")
    submission = client.submit(vat_return())
    submission.wait(until="420", timeout=timedelta(seconds=20))
    digipoort_hub.clock.advance(timedelta(hours=73))
    until = time.monotonic() + 20
    while (last := client.statuses(submission.kenmerk)[-1]).status_foutcode is None and time.monotonic() < until:
        time.sleep(0.1)
    assert ("420", "AFS600") == (last.statuscode, last.status_foutcode and last.status_foutcode.foutcode)


def test_reset_forgets_messages_and_time(digipoort_hub: Hub) -> None:
    """Addresses stay, so that a client's configuration need not change."""
    digipoort_hub.client().submit(vat_return())
    digipoort_hub.received(wait=1)
    digipoort_hub.clock.advance(timedelta(days=1))
    before = digipoort_hub.services
    digipoort_hub.reset()
    assert [] == digipoort_hub.received()
    assert timedelta() == digipoort_hub.clock.moved().shift
    assert before == digipoort_hub.services


def test_waiting_in_vain_says_so(digipoort_hub: Hub) -> None:
    with pytest.raises(TimeoutError, match="0 messages were handed over"):
        digipoort_hub.received(wait=1, timeout=0.05)


def test_the_second_start_takes_less_than_half_a_second(digipoort_hub: Hub) -> None:
    """The best of five: a busy machine may be slow for a while."""
    times = []
    for _ in range(5):
        digipoort_hub.stop()
        start = time.perf_counter()
        digipoort_hub.start()
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5, times


def test_pytest_finds_it_where_the_package_is_installed() -> None:
    """No line in anybody's conftest."""
    try:
        importlib.metadata.distribution("digipoort-as4")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("run from a checkout that is not installed")
    assert "digipoort_as4.pytest_plugin" in {one.value for one in importlib.metadata.entry_points(group="pytest11")}
