"""The store contract as tests: an engine passes them by giving its own `store` fixture.

A subclass names a fixture `store` (a Store, open) and a fixture `clock` (its clock, at T0).
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from helpers_store import (
    MINUTE,
    MS,
    SENDER,
    T0,
    WEEK,
    Clock,
    X,
    Y,
    Z,
    aanlevering,
    accepted,
    decision,
    document,
    kenmerk,
    key,
    remembered,
    spooled,
    started,
    status,
)

from digipoort_as4 import limits
from digipoort_as4.hub.aanlevering import Identiteit
from digipoort_as4.hub.decision import (
    Advance,
    AlreadyThere,
    ChangeDelivery,
    Committed,
    Delivery,
    FinishJob,
    Job,
    LargeDocument,
    Listed,
    MakeAvailable,
    MarkCollected,
    MarkSeen,
    PostponeJob,
    QueueJob,
    Register,
    RememberReply,
    ReturnMessage,
    Search,
    Stale,
    StartDelivery,
    StartProcess,
    StoredReply,
)
from digipoort_as4.payload import FilePayload, content_digest, read_all
from digipoort_as4.storage.store import Store

LEASE = T0 + MINUTE
LARGE = b"\x00\x01octets " * 20_000
assert len(LARGE) > limits.INLINE_PAYLOAD


def delivery(number: int, of: int = 1, **changes: object) -> Delivery:
    row = Delivery(f"bericht-{number}", kenmerk(of), X, False, (key(of),))
    return replace(row, **changes)  # type: ignore[arg-type]


def of(effect: StartProcess, **changes: object) -> StartProcess:
    return replace(effect, aanlevering=replace(effect.aanlevering, **changes))  # type: ignore[arg-type]


def available(number: int, at: datetime) -> MakeAvailable:
    return MakeAvailable(ReturnMessage(kenmerk(number), f"b{number}", "btw 001000044B37", at))


async def queue(store: Store, destination: str, count: int, due: object = T0, kind: str = "afleveren") -> None:
    jobs = [QueueJob(kind, destination, f"{destination} {number}", due) for number in range(count)]  # type: ignore[arg-type]
    assert Committed() == await store.commit(decision(*jobs))


async def claim(store: Store, now: object = T0, until: object = LEASE, limit: int = 10, cap: int = 4) -> list[Job]:
    return await store.claim(["afleveren", "verwerken"], now, until, limit, cap)  # type: ignore[arg-type]


async def claim_one(store: Store, now: object = T0, until: object = LEASE) -> Job:
    (job,) = await claim(store, now, until)
    return job


class StoreContract:
    """What every engine promises."""

    # --- processes ---

    async def test_a_process_comes_back_as_it_was_started(self, store: Store) -> None:
        """All fields, the ontvanger and both kenmerken included."""
        unit = replace(
            aanlevering(1),
            ontvanger=Identiteit("00000099000000020000", "OIN"),
            rol_ontvanger="Afnemer",
            eerder_aanleverkenmerk="eerder",
            autorisatie_adres="http://geenausp.nl",
        )
        effect = replace(started(1), aanlevering=unit, duplicate_of=kenmerk(9))

        assert Committed() == await store.commit(decision(effect))

        process = await store.process(kenmerk(1))
        assert process is not None
        assert unit == process.aanlevering
        assert (T0, T0 + 2 * MS) == (process.received_at, process.last_status_at)
        assert ("accepted", 0, kenmerk(9)) == (process.state, process.version, process.duplicate_of)

    async def test_an_unknown_kenmerk_is_none(self, store: Store) -> None:
        assert await store.process(kenmerk(1)) is None
        assert [] == await store.statuses(kenmerk(1))
        assert [] == await store.deliveries(kenmerk(1))
        assert await store.delivery("bericht-1") is None
        assert await store.payload(key(1)) is None

    async def test_a_kenmerk_that_is_taken_changes_nothing(self, store: Store) -> None:
        await store.commit(accepted(1))
        other = replace(started(2), kenmerk=kenmerk(1))

        assert isinstance(await store.commit(decision(QueueJob("verwerken", "hub", "x", T0), other)), Stale)

        assert await store.payload(key(2)) is None
        assert 1 == len(await claim(store))

    async def test_documents_keep_their_order_and_octets(self, store: Store) -> None:
        documents = tuple(document(number, bytes([number]) * number) for number in (3, 1, 2))

        await store.commit(decision(started(1, *documents)))

        process = await store.process(kenmerk(1))
        assert process is not None
        assert documents == process.aanlevering.documents
        assert [b"\3\3\3", b"\1", b"\2\2"] == [read_all(d.payload) for d in process.aanlevering.documents]

    async def test_an_empty_document_is_a_document(self, store: Store) -> None:
        await store.commit(decision(started(1, await store.keep(document(1, b"")))))

        payload = await store.payload(key(1))
        assert payload is not None
        assert b"" == read_all(payload)

    @pytest.mark.parametrize("extra", [0, 1])
    async def test_documents_at_the_inline_limit_and_above_are_read_back(self, store: Store, extra: int) -> None:
        octets = bytes(limits.INLINE_PAYLOAD + extra)

        await store.commit(decision(started(1, await store.keep(document(1, octets)))))

        payload = await store.payload(key(1))
        assert payload is not None
        assert octets == read_all(payload)

    async def test_a_spooled_document_is_kept(self, store: Store, tmp_path: Path) -> None:
        kept = await store.keep(spooled(tmp_path, 1, LARGE))
        await store.commit(decision(started(1, kept)))

        process = await store.process(kenmerk(1))
        assert process is not None
        assert LARGE == read_all(process.aanlevering.documents[0].payload)

    async def test_a_stretch_of_a_file_is_copied_and_the_file_stays(self, store: Store, tmp_path: Path) -> None:
        body = tmp_path / "body"
        body.write_bytes(b"<a>" + LARGE + b"</a>")

        kept = await store.keep(document(1, LARGE, FilePayload(body, 3, len(LARGE))))

        assert LARGE == read_all(kept.payload)
        assert b"<a>" + LARGE + b"</a>" == body.read_bytes()

    async def test_a_kept_document_can_be_kept_again(self, store: Store, tmp_path: Path) -> None:
        """After Stale the path goes round again with what it has."""
        kept = await store.keep(spooled(tmp_path, 1, LARGE))

        assert kept == await store.keep(kept)
        assert LARGE == read_all(kept.payload)

    async def test_a_kept_document_under_a_second_key_is_a_copy(self, store: Store, tmp_path: Path) -> None:
        first = await store.keep(spooled(tmp_path, 1, LARGE))

        second = await store.keep(replace(first, key=key(2)))

        assert LARGE == read_all(first.payload)
        assert LARGE == read_all(second.payload)

    async def test_octets_that_are_not_the_document_are_refused(self, store: Store) -> None:
        with pytest.raises(ValueError, match="digest"):
            await store.keep(replace(document(1, LARGE), sha256=bytes(32)))
        with pytest.raises(ValueError, match="octets"):
            await store.keep(replace(document(2, b"small"), size=6))

        assert Committed() == await store.commit(accepted(3))

    async def test_a_large_document_that_was_not_kept_is_refused(self, store: Store) -> None:
        """No row may name a file that is not there."""
        with pytest.raises(ValueError, match="not kept"):
            await store.commit(accepted(1, document(1, LARGE)))

        assert await store.process(kenmerk(1)) is None
        assert [] == await claim(store)

    async def test_the_mistake_of_one_caller_is_his_alone(self, store: Store) -> None:
        outcomes = await asyncio.gather(
            store.commit(accepted(1)),
            store.commit(accepted(2, document(2, LARGE))),
            store.commit(accepted(3)),
            return_exceptions=True,
        )

        assert [Committed, ValueError, Committed] == [type(outcome) for outcome in outcomes]
        assert await store.process(kenmerk(3)) is not None

    # --- statuses ---

    async def test_statuses_are_numbered_in_order(self, store: Store) -> None:
        await store.commit(decision(started(1)))
        later = replace(
            status("311", T0 + 3 * MS), foutcode="VAS500", foutbeschrijving="<results/>", details="een\ntwee €"
        )

        await store.commit(decision(Advance(kenmerk(1), 0, "ended", (later,))))

        found = await store.statuses(kenmerk(1))
        assert [(1, "105"), (2, "100"), (3, "110"), (4, "311")] == [(s.seq, s.code) for s in found]
        assert replace(later, seq=4) == found[3]

    async def test_advance_moves_state_version_and_last_status(self, store: Store) -> None:
        await store.commit(decision(started(1)))

        assert Committed() == await store.commit(decision(Advance(kenmerk(1), 0, "processing")))
        assert Committed() == await store.commit(
            decision(Advance(kenmerk(1), 1, "delivering", (status("301", T0 + MINUTE), status("405", T0 + 2 * MINUTE))))
        )

        process = await store.process(kenmerk(1))
        assert process is not None
        assert ("delivering", 2, T0 + 2 * MINUTE) == (process.state, process.version, process.last_status_at)

    async def test_advance_on_an_old_version_is_stale(self, store: Store) -> None:
        await store.commit(decision(started(1)))
        await store.commit(decision(Advance(kenmerk(1), 0, "processing")))

        outcome = await store.commit(decision(Advance(kenmerk(1), 0, "ended", (status("210", T0 + MINUTE),))))

        assert isinstance(outcome, Stale)
        assert 3 == len(await store.statuses(kenmerk(1)))

    async def test_advance_of_an_unknown_process_is_stale(self, store: Store) -> None:
        assert isinstance(await store.commit(decision(Advance(kenmerk(1), 0, "ended"))), Stale)

    @pytest.mark.parametrize(("shift", "expected"), [(0 * MS, Stale), (1 * MS, Committed)])
    async def test_a_status_is_later_than_the_last(self, store: Store, shift: object, expected: type) -> None:
        await store.commit(decision(started(1)))

        outcome = await store.commit(
            decision(Advance(kenmerk(1), 0, "ended", (status("210", T0 + 2 * MS + shift),)))  # type: ignore[operator]
        )

        assert expected is type(outcome)

    async def test_first_statuses_rise_too(self, store: Store) -> None:
        wrong = replace(started(1), statuses=(status("105", T0), status("100", T0)))

        assert isinstance(await store.commit(decision(wrong)), Stale)
        assert await store.process(kenmerk(1)) is None

    # --- what an asker was told ---

    async def test_seen_never_goes_back(self, store: Store) -> None:
        assert 0 == await store.seen(SENDER, kenmerk(1))

        for seq in (3, 2):
            await store.commit(decision(MarkSeen(SENDER, kenmerk(1), seq)))

        assert 3 == await store.seen(SENDER, kenmerk(1))
        assert 0 == await store.seen(X, kenmerk(1))

    # --- replies ---

    async def test_a_reply_is_found_until_its_time_is_over(self, store: Store) -> None:
        effect = remembered(1, b"<answer/>")
        await store.commit(decision(effect))

        assert effect.reply == await store.find_reply(SENDER, effect.message_id, T0 + WEEK - MS)
        assert await store.find_reply(SENDER, effect.message_id, T0 + WEEK) is None

    async def test_replies_are_apart_per_party(self, store: Store) -> None:
        """Two senders may make the same MessageID."""
        effect = remembered(1, b"mine")
        await store.commit(decision(effect))

        assert await store.find_reply(X, effect.message_id, T0) is None
        assert Committed() == await store.commit(decision(replace(effect, party=X)))

    async def test_a_second_answer_is_already_there_and_changes_nothing(self, store: Store) -> None:
        await store.commit(accepted(1))
        again = RememberReply(SENDER, remembered(1, b"").message_id, StoredReply("b3RoZXI=", b"other"), T0 + WEEK)

        outcome = await store.commit(decision(started(2), QueueJob("verwerken", "hub", "2", T0), again))

        assert AlreadyThere(StoredReply("c2ln1", b"<receipt nr='1'/>")) == outcome
        assert await store.process(kenmerk(2)) is None
        assert [kenmerk(1)] == [job.subject for job in await claim(store)]

    async def test_an_expired_reply_is_replaced(self, store: Store, clock: Clock) -> None:
        await store.commit(decision(remembered(1, b"old", T0 + MINUTE)))
        fresh = remembered(1, b"new", T0 + WEEK)

        clock.now = T0 + MINUTE - MS
        assert isinstance(await store.commit(decision(fresh)), AlreadyThere)
        clock.now = T0 + MINUTE
        assert Committed() == await store.commit(decision(fresh))

        assert fresh.reply == await store.find_reply(SENDER, fresh.message_id, clock.now)

    async def test_200_equal_requests_at_once_are_answered_alike(self, store: Store) -> None:
        """P4: one Committed, 199 AlreadyThere with the octets of the one."""
        message_id = remembered(1, b"").message_id
        tries = [
            decision(started(n), RememberReply(SENDER, message_id, StoredReply("c2ln", f"{n}".encode()), T0 + WEEK))
            for n in range(200)
        ]

        outcomes = await asyncio.gather(*map(store.commit, tries))

        (winner,) = [number for number, outcome in enumerate(outcomes) if outcome == Committed()]
        others = [outcome for outcome in outcomes if outcome != Committed()]
        assert [AlreadyThere(StoredReply("c2ln", f"{winner}".encode()))] * 199 == others
        assert [winner] == [n for n in range(200) if await store.process(kenmerk(n))]

    async def test_a_reply_with_a_large_document_is_the_same_again(self, store: Store, tmp_path: Path) -> None:
        """The row keeps placeholders; octets of rows (50 KB) and of files come back in their places."""
        row, file = document(1, b"r" * 50_000), spooled(tmp_path, 2, b"f" * 300_000)
        kept = [await store.keep(one) for one in (row, file)]
        large = tuple(LargeDocument(f"MARK{n}", one.key, one.payload) for n, one in enumerate(kept))
        effect = RememberReply(SENDER, "urn:uuid:1", StoredReply("c2ln", b"<a>MARK0</a><b>MARK1</b>", large), T0 + WEEK)
        await store.commit(decision(started(1, *kept), effect))

        again = await store.find_reply(SENDER, "urn:uuid:1", T0)
        (other,) = await store.commit_many([decision(effect)])

        assert again is not None and isinstance(other, AlreadyThere)
        texts = [base64.b64encode(octets) for octets in (b"r" * 50_000, b"f" * 300_000)]
        for reply in (again, other.reply):
            assert b"<a>%b</a><b>%b</b>" % tuple(texts) == read_all(reply.payload)
            assert reply.payload.size == len(read_all(reply.payload))

    # --- what an asker looks for ---

    async def test_processes_are_found_by_belanghebbende_and_berichtsoort(self, store: Store) -> None:
        """The newest, oldest of them first; of one sender when that is asked; however the number is written."""
        units = [
            started(1), of(started(2), belanghebbende=Identiteit("NL0010.00.044.B37", "btw")),
            of(started(3), belanghebbende=Identiteit("001000055B38", "BTW")), of(started(4), berichtsoort="ICP"),
            of(started(5), sender_oin=X),
        ]  # fmt: skip
        await store.commit_many([decision(unit) for unit in units])
        ours = Search(9, berichtsoort="Omzetbelasting", belanghebbende="btw 001000044B37")

        async def found(search: Search) -> list[str]:
            return [one.kenmerk for one in await store.search_processes(search)]

        assert [kenmerk(1), kenmerk(2), kenmerk(5)] == await found(ours)
        assert [kenmerk(2), kenmerk(5)] == await found(replace(ours, limit=2))
        assert [kenmerk(5)] == await found(replace(ours, sender_oin=X))
        (listed,) = await store.search_processes(replace(ours, sender_oin=X))
        assert Listed(kenmerk(5), "Omzetbelasting", Identiteit("001000044B37", "BTW"), None) == listed

    async def test_new_statuses_are_found_until_seen(self, store: Store) -> None:
        await store.commit_many([decision(started(1)), decision(started(2))])
        await store.commit(decision(MarkSeen(X, kenmerk(1), 2)))
        search = Search(9, asker_oin=X, berichtsoort="Omzetbelasting", belanghebbende="btw 001000044B37")

        async def found(search: Search) -> list[tuple[str, str]]:
            return [(one.kenmerk, told.code) for one, told in await store.search_statuses(search)]

        second = [(kenmerk(2), code) for code in ("105", "100", "110")]
        assert sorted([(kenmerk(1), "110"), *second]) == sorted(await found(search))
        assert second[:2] == await found(replace(search, limit=2))
        assert [(kenmerk(2), "100")] == await found(replace(search, since=T0 + MS, until=T0 + MS))
        assert 6 == len(await found(replace(search, asker_oin=SENDER)))

    async def test_return_messages_are_found_within_reach(self, store: Store) -> None:
        """Recipient and berichtsoort together; each message once; in the order of becoming available."""
        await store.commit_many([decision(started(n), available(n, T0 + MS * (9 - n))) for n in (1, 2)])
        other = MakeAvailable(ReturnMessage(kenmerk(3), "b3", "kvk 90001102", T0))
        await store.commit(decision(started(3), other))
        both = (("btw 001000044B37", None), ("btw 001000044B37", "Omzetbelasting"), ("kvk 90001103", None))
        search = Search(9, asker_oin=X, reach=both)

        async def found(search: Search) -> list[str]:
            return [one.kenmerk for one in await store.search_returned(search)]

        assert [kenmerk(2), kenmerk(1)] == await found(search)
        assert [] == await found(replace(search, reach=()))
        assert [] == await found(replace(search, reach=(("btw 001000044B37", "ICP"), ("kvk 90001102", "ICP"))))
        assert [kenmerk(3)] == await found(replace(search, reach=(("kvk 90001102", "Omzetbelasting"),)))
        assert [kenmerk(2)] == await found(replace(search, limit=1))
        assert [kenmerk(1)] == await found(replace(search, since=T0 + MS * 8))
        assert [kenmerk(2)] == await found(replace(search, until=T0 + MS * 7))
        assert [kenmerk(1)] == await found(replace(search, kenmerk=kenmerk(1)))
        assert [] == await found(replace(search, berichtsoort="ICP"))
        assert [] == await found(replace(search, belanghebbende="btw 001000055B38"))
        assert available(1, T0 + MS * 8).message == await store.return_message(kenmerk(1))
        assert await store.return_message(kenmerk(4)) is None

    async def test_a_message_is_collected_once_as_new(self, store: Store) -> None:
        """Per asker; the plain operations mark it too, as often as they like."""
        await store.commit(decision(started(1), available(1, T0)))
        search = Search(9, asker_oin=X, only_new=True, reach=(("btw 001000044B37", None),))
        assert 1 == len(await store.search_returned(search))

        assert Committed() == await store.commit(decision(MarkCollected(X, kenmerk(1), T0, only_new=True)))

        assert isinstance(await store.commit(decision(MarkCollected(X, kenmerk(1), T0, only_new=True))), Stale)
        assert Committed() == await store.commit(decision(MarkCollected(X, kenmerk(1), T0, only_new=False)))
        assert [] == await store.search_returned(search)
        assert 1 == len(await store.search_returned(replace(search, only_new=False)))
        assert 1 == len(await store.search_returned(replace(search, asker_oin=SENDER)))

    # --- groups ---

    async def test_a_duplicate_never_spoils_its_neighbours(self, store: Store) -> None:
        await store.commit(accepted(1))

        outcomes = await store.commit_many([accepted(2), accepted(1), accepted(3)])

        assert [Committed, AlreadyThere, Committed] == [type(outcome) for outcome in outcomes]
        assert {kenmerk(1), kenmerk(2), kenmerk(3)} == {job.subject for job in await claim(store)}

    async def test_a_stale_decision_never_spoils_its_neighbours(self, store: Store) -> None:
        await store.commit_many([accepted(1), accepted(2)])
        move = Advance(kenmerk(1), 0, "processing", (status("200", T0 + MINUTE),))

        outcomes = await store.commit_many(
            [decision(move), decision(move), decision(replace(move, kenmerk=kenmerk(2)))]
        )

        assert [Committed, Stale, Committed] == [type(outcome) for outcome in outcomes]
        assert [4, 4] == [len(await store.statuses(kenmerk(n))) for n in (1, 2)]

    async def test_many_at_once_are_all_there(self, store: Store) -> None:
        outcomes = await asyncio.gather(*(store.commit(accepted(number)) for number in range(100)))

        assert [Committed()] * 100 == outcomes
        assert all([await store.process(kenmerk(number)) for number in range(100)])

    async def test_an_empty_decision_is_committed(self, store: Store) -> None:
        assert Committed() == await store.commit(decision())
        assert [] == await store.commit_many([])

    # --- probable duplicates ---

    async def test_the_newest_process_with_the_same_content_is_found(self, store: Store) -> None:
        same = aanlevering(1).documents
        for number in (1, 2):
            copy = (replace(same[0], key=key(number)),)
            await store.commit(decision(started(number, *copy)))

        assert kenmerk(2) == await store.find_duplicate(SENDER, "Happyflow", content_digest(same))
        assert await store.find_duplicate(X, "Happyflow", content_digest(same)) is None
        assert await store.find_duplicate(SENDER, "Anders", content_digest(same)) is None
        assert await store.find_duplicate(SENDER, "Happyflow", content_digest(same * 2)) is None

    # --- deliveries ---

    async def test_the_owners_delivery_comes_before_copies(self, store: Store) -> None:
        await store.commit(decision(started(1)))
        rows = [
            delivery(1, recipient_oin=Y, copy=True, consent="toestemming-1"),
            delivery(2),
            delivery(3, recipient_oin=Z, copy=True, documents=(key(1), key(2))),
        ]

        await store.commit(decision(*map(StartDelivery, rows)))

        assert [rows[1], rows[0], rows[2]] == await store.deliveries(kenmerk(1))
        assert rows[2] == await store.delivery("bericht-3")

    async def test_a_delivery_needs_its_process(self, store: Store) -> None:
        assert isinstance(await store.commit(decision(StartDelivery(delivery(1)))), Stale)

    async def test_a_berichtkenmerk_is_used_once(self, store: Store) -> None:
        await store.commit(decision(started(1), StartDelivery(delivery(1))))

        assert isinstance(await store.commit(decision(StartDelivery(delivery(1)))), Stale)

    async def test_a_delivery_changes_and_its_version_rises(self, store: Store) -> None:
        await store.commit(decision(started(1), StartDelivery(delivery(1))))
        changed = delivery(1, state="retrying", started_at=T0, attempts=1, note="geen antwoord")

        assert Committed() == await store.commit(decision(ChangeDelivery(changed)))
        assert replace(changed, version=1) == await store.delivery("bericht-1")

    async def test_a_delivery_changed_meanwhile_is_stale(self, store: Store) -> None:
        await store.commit(decision(started(1), StartDelivery(delivery(1))))
        await store.commit(decision(ChangeDelivery(delivery(1, state="delivered"))))

        assert isinstance(await store.commit(decision(ChangeDelivery(delivery(1, state="expired")))), Stale)
        found = await store.delivery("bericht-1")
        assert found is not None
        assert "delivered" == found.state

    # --- jobs: leases ---

    async def test_a_job_is_claimed_when_due_and_once(self, store: Store) -> None:
        await queue(store, X, 1, T0)

        assert [] == await claim(store, T0 - MS)
        job = await claim_one(store)
        assert ("afleveren", X, f"{X} 0", 1) == (job.kind, job.destination, job.subject, job.attempts)
        assert [] == await claim(store)

    async def test_only_the_kinds_asked_for_are_claimed(self, store: Store) -> None:
        await queue(store, "hub", 1, kind="verwerken")

        assert [] == await store.claim(["afleveren"], T0, LEASE, 10, 10)
        assert 1 == len(await store.claim(["verwerken"], T0, LEASE, 10, 10))

    async def test_a_finished_job_is_gone(self, store: Store) -> None:
        await queue(store, X, 1)
        job = await claim_one(store)

        assert Committed() == await store.commit(decision(FinishJob(job.id, job.token)))
        assert [] == await claim(store, LEASE)
        assert isinstance(await store.commit(decision(FinishJob(job.id, job.token))), Stale)

    async def test_a_lapsed_lease_goes_to_the_next_and_fences_the_first(self, store: Store) -> None:
        """The first holder's commit comes too late and leaves no trace."""
        await store.commit(decision(started(1)))
        await queue(store, X, 1)
        first = await claim_one(store)
        second = await claim_one(store, LEASE, LEASE + MINUTE)

        late = decision(Advance(kenmerk(1), 0, "ended"), FinishJob(first.id, first.token))
        assert isinstance(await store.commit(late), Stale)

        process = await store.process(kenmerk(1))
        assert process is not None
        assert (0, 2) == (process.version, second.attempts)
        assert second.token > first.token
        assert Committed() == await store.commit(decision(FinishJob(second.id, second.token)))

    async def test_a_lapsed_lease_that_nobody_took_still_finishes(self, store: Store) -> None:
        await queue(store, X, 1)
        job = await claim_one(store, T0, T0 + MS)

        assert Committed() == await store.commit(decision(FinishJob(job.id, job.token)))

    async def test_an_old_token_fits_no_later_job(self, store: Store) -> None:
        """Ids are never used again."""
        await queue(store, X, 1)
        old = await claim_one(store)
        await store.commit(decision(FinishJob(old.id, old.token)))
        await queue(store, X, 1)
        await claim_one(store)

        assert isinstance(await store.commit(decision(FinishJob(old.id, old.token))), Stale)

    async def test_a_postponed_job_waits_and_its_token_is_spent(self, store: Store) -> None:
        await queue(store, X, 1)
        job = await claim_one(store)
        later = T0 + 2 * MINUTE

        assert Committed() == await store.commit(decision(PostponeJob(job.id, job.token, later)))

        assert isinstance(await store.commit(decision(FinishJob(job.id, job.token))), Stale)
        assert isinstance(await store.commit(decision(PostponeJob(job.id, job.token, T0))), Stale)
        assert [] == await claim(store, later - MS)
        assert 2 == (await claim_one(store, later, later + MINUTE)).attempts

    async def test_attempts_start_anew_when_told_so(self, store: Store) -> None:
        await queue(store, X, 1)
        job = await claim_one(store)
        await store.commit(decision(PostponeJob(job.id, job.token, T0, reset_attempts=True)))

        assert 1 == (await claim_one(store)).attempts

    async def test_a_parked_job_is_never_claimed(self, store: Store) -> None:
        await queue(store, X, 1)
        job = await claim_one(store)

        await store.commit(decision(PostponeJob(job.id, job.token, T0, parked=True)))

        assert [] == await claim(store, T0 + WEEK)
        assert await store.next_due(T0) is None

    async def test_a_heartbeat_lengthens_the_lease(self, store: Store) -> None:
        await queue(store, X, 1)
        job = await claim_one(store)

        assert await store.extend(job, LEASE + MINUTE)
        assert [] == await claim(store, LEASE)

    async def test_a_lost_lease_is_not_lengthened(self, store: Store) -> None:
        await queue(store, X, 1)
        first = await claim_one(store)
        second = await claim_one(store, LEASE, LEASE + MINUTE)

        assert not await store.extend(first, T0 + WEEK)
        assert await store.extend(second, LEASE + 2 * MINUTE)

    async def test_next_due_is_the_next_moment_a_claim_gives_something(self, store: Store) -> None:
        assert await store.next_due(T0) is None
        await queue(store, X, 1, T0 + 2 * MINUTE)
        await queue(store, Y, 1, T0 + 3 * MINUTE)
        assert T0 + 2 * MINUTE == await store.next_due(T0)
        assert T0 + WEEK == await store.next_due(T0 + WEEK)

        await claim_one(store, T0 + 2 * MINUTE, T0 + 5 * MINUTE)
        assert T0 + 3 * MINUTE == await store.next_due(T0 + 2 * MINUTE)

        await claim_one(store, T0 + 3 * MINUTE, T0 + 4 * MINUTE)
        assert T0 + 4 * MINUTE == await store.next_due(T0 + 3 * MINUTE)

    # --- registers ---

    async def test_a_register_keeps_every_entry_in_order(self, store: Store) -> None:
        """What stood before, and that it was withdrawn, stay; two registers do not mix."""
        given = Register("mandate", "m-1", '{"a": 1}', "J. Bos", "nieuwe klant", T0)
        gone = Register("mandate", "m-1", None, "J. Bos", "opgezegd", T0 - MINUTE)
        other = Register("route", "m-1", "{}", "J. Bos", "proef", T0)

        assert [] == await store.register("mandate")
        for entry in (given, other, gone):
            assert Committed() == await store.commit(decision(entry))
        assert [given, gone] == await store.register("mandate")
        assert [other] == await store.register("route")

    # --- jobs: fairness ---

    async def test_500_jobs_for_a_silent_agency_do_not_delay_another(self, store: Store) -> None:
        """P6: X's older backlog neither fills the batch nor, once leased, blocks the next."""
        await queue(store, X, 500, T0 - MINUTE)
        await queue(store, Y, 1, T0)

        first = await claim(store, limit=4, cap=3)
        assert [X, Y, X, X] == [job.destination for job in first]

        await queue(store, Y, 2, T0)
        assert [Y, Y] == [job.destination for job in await claim(store, limit=4, cap=3)]

    async def test_the_cap_counts_running_leases_and_not_lapsed_ones(self, store: Store) -> None:
        await queue(store, X, 9)

        assert 3 == len(await claim(store, cap=3))
        assert 1 == len(await claim(store, cap=4))
        assert 0 == len(await claim(store, LEASE - MS, LEASE + MINUTE, cap=4))
        assert 4 == len(await claim(store, LEASE, LEASE + MINUTE, cap=4))

    async def test_oldest_due_first_within_a_destination(self, store: Store) -> None:
        for minutes in (2, 1, 3):
            await queue(store, f"X{minutes}", 0)
            await store.commit(decision(QueueJob("afleveren", X, f"{minutes}", T0 - minutes * MINUTE)))

        assert ["3", "2", "1"] == [job.subject for job in await claim(store)]

    async def test_destinations_take_turns_when_places_are_few(self, store: Store) -> None:
        """With three backlogs and one place each gets every third turn, however old the others' jobs are."""
        for destination, age in ((X, 3), (Y, 2), (Z, 1)):
            await queue(store, destination, 20, T0 - age * MINUTE)

        served = []
        for _ in range(6):
            (job,) = await claim(store, limit=1)
            served.append(job.destination)
            await store.commit(decision(FinishJob(job.id, job.token)))

        assert [X, Y, Z, X, Y, Z] == served

    async def test_a_limit_of_nothing_claims_nothing(self, store: Store) -> None:
        await queue(store, X, 1)

        assert [] == await claim(store, limit=0)
        assert [] == await claim(store, cap=0)
        assert 1 == len(await claim(store))
