"""Delivering: what an attempt means, retries, and zetStatus."""

from __future__ import annotations

from datetime import timedelta

import pytest
from helpers_hub import BELASTINGDIENST, HBAG, KENMERK, NOW, MemoryStore, aanlevering, job, process_of
from hypothesis import given, settings
from hypothesis import strategies as st

from digipoort_as4.errors import PeerError
from digipoort_as4.hub import delivery as d
from digipoort_as4.hub.decision import Committed, Decision, Delivery, Stale

BERICHT = "11111111-2222-4333-8444-555555555502"
NO_ANSWER, NO_CONNECTION = d.NotLearnt("time-out", sent=True), d.NotLearnt("refused", sent=False)
GOOD_500 = d.AgencyStatus("500", details="<Responsemessage/>")
BAD_510 = d.AgencyStatus("510", "VB001", "voorbeeld", "<x/>")


def world(*, copy: bool = False) -> MemoryStore:
    recipient = HBAG if copy else BELASTINGDIENST
    store = MemoryStore(process_of(aanlevering(), "delivering"), job=job(kind="afleveren", subject=BERICHT))
    store.deliveries[BERICHT] = Delivery(BERICHT, KENMERK, recipient, copy, ("k1",), consent="R-1" if copy else "")
    return store


def start(store: MemoryStore, now: object = NOW) -> None:
    decision = d.decide_start(store.stored, store.deliveries[BERICHT], NOW if now is NOW else now)  # type: ignore[arg-type]
    if decision is not None:
        assert Committed() == store.apply(decision)


def judged(store: MemoryStore, attempt: d.Attempt, *, validates: bool = True, at: timedelta = timedelta(0)) -> object:
    assert store.job is not None
    decision = d.judge(
        store.job,
        store.stored,
        store.deliveries[BERICHT],
        attempt,
        agency_validates=validates,
        now=NOW + at,
        jitter=0.0,
    )
    return store.apply(decision)


def after(attempt: d.Attempt, *, copy: bool = False, validates: bool = True) -> MemoryStore:
    store = world(copy=copy)
    start(store)
    assert Committed() == judged(store, attempt, validates=validates)
    return store


def seen(store: MemoryStore) -> tuple[list[str], str, str, bool]:
    """Statuses, state of process and delivery, and whether the job is done."""
    return store.codes(), store.stored.state, store.deliveries[BERICHT].state, store.job is None


@pytest.mark.parametrize(
    ("attempt", "validates", "expected"),
    [
        (d.Accepted(), True, (["405", "400"], "waiting", "delivered", True)),
        (d.Accepted(), False, (["405", "400"], "ended", "delivered", True)),
        (d.Accepted(GOOD_500), True, (["405", "400", "500"], "ended", "accepted", True)),
        (d.Accepted(BAD_510), True, (["405", "400", "510"], "ended", "rejected", True)),
        (d.Accepted(GOOD_500), False, (["405", "400"], "ended", "delivered", True)),
        (d.Faulted("AFS400", "kapot"), True, (["405", "410"], "ended", "rejected", True)),
        (NO_ANSWER, True, (["405", "420"], "delivering", "unknown", False)),
        (NO_CONNECTION, True, (["405", "420"], "delivering", "retrying", False)),
    ],
)
def test_what_an_attempt_means_for_the_owner(attempt: d.Attempt, validates: bool, expected: object) -> None:
    """Decision 19, row by row."""
    assert expected == seen(after(attempt, validates=validates))


@pytest.mark.parametrize(
    ("attempt", "state", "done"),
    [
        (d.Accepted(), "delivered", True),
        (d.Accepted(GOOD_500), "accepted", True),
        (d.Faulted("AFS400", "kapot"), "rejected", True),
        (NO_ANSWER, "unknown", False),
    ],
)
def test_a_copy_shows_the_sender_nothing(attempt: d.Attempt, state: str, done: bool) -> None:
    """Decision 17: no status and no change of the process, whatever the copy's recipient says."""
    assert ([], "delivering", state, done) == seen(after(attempt, copy=True))


def test_410_carries_the_agency_s_code() -> None:
    last = after(d.Faulted("AFO100", "de reden")).statuses[-1]
    assert ("410", "AFO100", "de reden") == (last.code, last.foutcode, last.foutbeschrijving)


def test_first_420_carries_no_foutcode() -> None:
    """The sender has nothing to do while Digipoort keeps trying."""
    last = after(NO_ANSWER).statuses[-1]
    assert ("420", None, None) == (last.code, last.foutcode, last.foutbeschrijving)


def test_510_carries_details_and_code() -> None:
    last = after(d.Accepted(BAD_510)).statuses[-1]
    assert ("VB001", "voorbeeld", "<x/>") == (last.foutcode, last.foutbeschrijving, last.details)


def test_reading_a_response() -> None:
    """The two samples of the koppelvlak: a 510 with its code counts as a status, a code alone as a fault."""
    assert d.Accepted() == d.read_response(None, None, None, None)
    assert d.Accepted(BAD_510) == d.read_response("510", "VB001", "voorbeeld", "<x/>")
    assert d.Faulted("VB002", "") == d.read_response(None, "VB002", None, None)
    assert d.Faulted("VB002", "tekst") == d.read_response("410", "VB002", "tekst", None)
    assert d.Accepted() == d.read_response("400", None, None, None)


def test_405_and_420_once() -> None:
    """Retries add nothing to what the sender sees."""
    store = after(NO_ANSWER)
    for minute in (1, 2, 3):
        start(store, NOW + timedelta(minutes=minute))
        judged(store, NO_CONNECTION, at=timedelta(minutes=minute))
    judged(store, d.Accepted(), at=timedelta(minutes=4))
    assert ["405", "420", "400"] == store.codes()
    assert NOW == store.deliveries[BERICHT].started_at
    assert 5 == store.deliveries[BERICHT].attempts


def test_last_420_after_72_hours() -> None:
    """At 72 hours after the first attempt began, not before: AFS600 and the end."""
    store = after(NO_ANSWER)
    judged(store, NO_ANSWER, at=timedelta(hours=71, minutes=59, seconds=59))
    assert (["405", "420"], "delivering", "unknown", False) == seen(store)
    assert NOW + timedelta(hours=72) == store.due
    judged(store, NO_ANSWER, at=timedelta(hours=72))
    assert (["405", "420", "420"], "ended", "expired", True) == seen(store)
    assert ("AFS600", True) == (store.statuses[-1].foutcode, bool(store.statuses[-1].foutbeschrijving))


def test_answer_after_72_hours_still_counts() -> None:
    """When the worker slept over the end, a good answer is worth more than the clock."""
    store = after(NO_ANSWER)
    judged(store, d.Accepted(), at=timedelta(hours=80))
    assert ["405", "420", "400"] == store.codes()


def test_pauses_grow_to_half_an_hour() -> None:
    """2, 4, 8 … seconds by hand; at most 30 minutes; chance takes off at most a quarter."""
    assert [2, 4, 8, 16] == [d.pause(n, 0.0).total_seconds() for n in (1, 2, 3, 4)]
    assert 1024 == d.pause(10, 0.0).total_seconds()
    assert {1800.0} == {d.pause(n, 0.0).total_seconds() for n in (11, 12, 200, 10_000)}
    assert 1.5 == d.pause(1, 1.0).total_seconds()


def test_a_failed_attempt_is_no_poison() -> None:
    store = after(NO_ANSWER)
    assert store.job is not None and 1 == store.job.attempts


ATTEMPTS = st.sampled_from(
    [d.Accepted(), d.Accepted(GOOD_500), d.Accepted(BAD_510), d.Faulted("AFS400", "x"), NO_ANSWER, NO_CONNECTION]
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(ATTEMPTS, max_size=6),
    st.booleans(),
    st.booleans(),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 600),
)
def test_every_delivery_comes_to_an_end(
    outcomes: list[d.Attempt], copy: bool, validates: bool, jitter: float, seconds: int
) -> None:
    """Whatever agencies do, within 72 hours and one attempt no job is left, and the process has ended or waits (P2)."""
    store, now = world(copy=copy), NOW
    start(store)
    for outcome in [*outcomes, *[NO_ANSWER] * 400]:
        if store.job is None:
            break
        now = max(now, store.due) + timedelta(seconds=seconds)
        decision = d.judge(
            store.job,
            store.stored,
            store.deliveries[BERICHT],
            outcome,
            agency_validates=validates,
            now=now,
            jitter=jitter,
        )
        assert Committed() == store.apply(decision)
    assert store.job is None
    assert now <= NOW + timedelta(hours=72, seconds=2 * seconds)
    assert d.is_done(store.deliveries[BERICHT])
    assert store.stored.state == ("delivering" if copy else store.stored.state)
    assert copy or store.stored.state in {"ended", "waiting"}
    times = [status.at for status in store.statuses]
    assert times == sorted(set(times))


def test_times_rise_by_a_millisecond() -> None:
    """Decision 11, also when all happens in one moment."""
    times = [status.at for status in after(d.Accepted(GOOD_500)).statuses]
    assert [1, 2, 3] == [(at - NOW) // timedelta(milliseconds=1) for at in times]


# --- consent ----------------------------------------------------------------------------------------------------------


def test_withdrawn_copy_ends_its_job() -> None:
    store = world(copy=True)
    assert store.job is not None
    store.apply(d.decide_withdrawn(store.job, store.deliveries[BERICHT]))
    assert ([], "delivering", "withdrawn", True) == seen(store)
    assert d.is_done(store.deliveries[BERICHT])
    assert "R-1" in store.deliveries[BERICHT].note


# --- zetStatus --------------------------------------------------------------------------------------------------------


def zet(
    store: MemoryStore,
    status: d.AgencyStatus = GOOD_500,
    *,
    setter: str = BELASTINGDIENST,
    berichtkenmerk: str | None = BERICHT,
    validates: bool = True,
) -> int:
    """Set a status; the number of effects."""
    effects = d.judge_zet_status(
        store.stored,
        list(store.deliveries.values()),
        store.statuses,
        setter_oin=setter,
        berichtkenmerk=berichtkenmerk,
        status=status,
        agency_validates=validates,
        now=NOW,
    )
    assert Committed() == store.apply(Decision(b"", effects))
    return len(effects)


@pytest.mark.parametrize(("status", "state"), [(GOOD_500, "accepted"), (BAD_510, "rejected")])
def test_zet_status_ends_the_process(status: d.AgencyStatus, state: str) -> None:
    store = after(d.Accepted())
    zet(store, status)
    assert (["405", "400", status.code], "ended", state, True) == seen(store)


def test_zet_status_without_berichtkenmerk() -> None:
    """berichtkenmerk is optional in the XSD: the signer's own delivery is meant."""
    store = after(d.Accepted())
    zet(store, berichtkenmerk=None)
    assert "500" == store.codes()[-1]


def test_zet_status_implies_400() -> None:
    """The agency has it, though we never learnt so; the waiting job then ends without sending."""
    store = after(NO_ANSWER)
    zet(store)
    assert ["405", "420", "400", "500"] == store.codes()
    assert d.is_done(store.deliveries[BERICHT])
    judged(store, NO_ANSWER)
    assert (["405", "420", "400", "500"], "ended", "accepted", True) == seen(store)


def test_zet_status_that_overtakes_the_response_makes_the_judgement_stale() -> None:
    """The response is judged on a delivery that changed meanwhile: nothing is written; the second look ends the job."""
    store = world()
    start(store)
    old_process, old_delivery, claimed = store.stored, store.deliveries[BERICHT], store.job
    assert claimed is not None
    zet(store)
    late = d.judge(claimed, old_process, old_delivery, d.Accepted(), agency_validates=True, now=NOW, jitter=0.0)
    assert isinstance(store.apply(late), Stale)
    judged(store, d.Accepted())
    assert (["405", "400", "500"], "ended", "accepted", True) == seen(store)


def test_same_status_again_does_nothing() -> None:
    store = after(d.Accepted())
    assert 2 == zet(store)
    assert 0 == zet(store)
    assert ["405", "400", "500"] == store.codes()


def refused(store: MemoryStore, **how: object) -> str:
    with pytest.raises(PeerError) as error:
        zet(store, **how)  # type: ignore[arg-type]
    return error.value.cause.name


def test_another_status_after_the_end_is_refused() -> None:
    store = after(d.Accepted(GOOD_500))
    assert "status-refused" == refused(store, status=BAD_510)


@pytest.mark.parametrize("ended", [d.Faulted("AFS400", "x")])
def test_no_status_after_410(ended: d.Attempt) -> None:
    assert "status-refused" == refused(after(ended))


def test_no_status_where_the_route_ends_at_400() -> None:
    assert "status-refused" == refused(after(d.Accepted(), validates=False), validates=False)


def test_route_without_500_shows_400_only() -> None:
    """A zetStatus for a delivery whose answer was lost says that it arrived; 500 is not of this route."""
    store = after(NO_ANSWER, validates=False)
    zet(store, validates=False)
    assert (["405", "420", "400"], "ended", "delivered", False) == seen(store)


@pytest.mark.parametrize("code", ["400", "200", "100", "511", ""])
def test_agencies_set_500_or_510_only(code: str) -> None:
    assert "status-refused" == refused(after(d.Accepted()), status=d.AgencyStatus(code))


def test_only_a_recipient_sets_statuses() -> None:
    """Another agency, or the right one with another's berichtkenmerk: the same answer as for an unknown kenmerk."""
    assert "kenmerk-unknown" == refused(after(d.Accepted()), setter=HBAG)
    assert "kenmerk-unknown" == refused(after(d.Accepted()), berichtkenmerk=KENMERK)


def test_nothing_to_set_before_the_first_attempt() -> None:
    assert "status-refused" == refused(world())


def test_status_of_a_copy_stays_with_the_copy() -> None:
    store = after(d.Accepted(), copy=True)
    zet(store, setter=HBAG)
    assert 0 == zet(store, setter=HBAG)
    assert ([], "delivering", "accepted", True) == seen(store)
    assert "status-refused" == refused(store, setter=HBAG, status=BAD_510)
