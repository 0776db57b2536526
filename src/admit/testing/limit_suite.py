"""The contract of a store of limits, as test classes to inherit (pytest with pytest-asyncio).

`LimitContract` needs the fixtures `limits` (an empty `LimitStore`) and `clock` (its `ManualClock`), `LimitRaces` the
fixture `opening` (an `Opening` of an empty store that several processes share).
"""
# ruff: noqa: S101 (asserts are what a suite is made of)

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

from admit.ground.clock import micros
from admit.limits import Hit, Limit, LimitStore, Waits
from admit.testing.clock import ManualClock
from admit.testing.limit_racers import Opening, Order, Racers

SECOND = timedelta(seconds=1)
FIVE = Limit.parse("5/minute", name="login")
ZERO = timedelta(0)


async def _hits(limits: LimitStore, key: str, limit: Limit, times: int) -> list[bool]:
    return [(await limits.hit(key, limit)).allowed for _ in range(times)]


class LimitContract:
    """What one caller at a time may rely on."""

    async def test_five_a_minute_allows_five_and_refuses_the_sixth(self, limits: LimitStore) -> None:
        answers = [await limits.hit("a", FIVE) for _ in range(6)]
        assert [hit.allowed for hit in answers] == [True] * 5 + [False]
        assert [hit.remaining for hit in answers] == [4, 3, 2, 1, 0, 0]
        assert [hit.reset_after / SECOND for hit in answers] == [12, 24, 36, 48, 60, 60]
        assert [hit.retry_after / SECOND for hit in answers] == [0, 0, 0, 0, 0, 12]
        assert {hit.limit for hit in answers} == {FIVE}

    async def test_the_next_is_allowed_when_its_time_has_come_and_not_before(
        self, limits: LimitStore, clock: ManualClock
    ) -> None:
        await _hits(limits, "a", FIVE, 5)
        clock.advance(12 * SECOND - timedelta(microseconds=1))
        assert await limits.hit("a", FIVE) == Hit(
            False, FIVE, 0, 48 * SECOND + timedelta(microseconds=1), timedelta(microseconds=1)
        )
        clock.advance(timedelta(microseconds=1))
        assert await _hits(limits, "a", FIVE, 2) == [True, False]

    async def test_a_refused_hit_costs_nothing(self, limits: LimitStore, clock: ManualClock) -> None:
        await _hits(limits, "a", FIVE, 50)
        clock.advance(12 * SECOND)
        assert await _hits(limits, "a", FIVE, 2) == [True, False]

    async def test_after_the_whole_period_all_are_back_and_no_more(
        self, limits: LimitStore, clock: ManualClock
    ) -> None:
        await _hits(limits, "a", FIVE, 5)
        clock.advance(timedelta(days=3))
        assert await _hits(limits, "a", FIVE, 6) == [True] * 5 + [False]

    async def test_a_period_that_does_not_divide_allows_no_hit_too_many(
        self, limits: LimitStore, clock: ManualClock
    ) -> None:
        seven = Limit(7, timedelta(microseconds=10))
        assert sum(await _hits(limits, "a", seven, 8)) == 7
        allowed = []
        for _ in range(30):
            clock.advance(timedelta(microseconds=1))
            allowed += await _hits(limits, "a", seven, 1)
        assert 0 < sum(allowed) <= 21

    async def test_keys_and_limits_are_counted_apart(self, limits: LimitStore) -> None:
        assert await _hits(limits, "login:address:198.51.100.1", FIVE, 6) == [True] * 5 + [False]
        assert (await limits.hit("login:address:198.51.100.2", FIVE)).allowed
        assert (await limits.hit("login:address:198.51.100.1", Limit.parse("6/minute"))).allowed
        assert not (await limits.hit("login:address:198.51.100.1", Limit.parse("5/minute", name="x"))).allowed

    async def test_eight_addresses_guessing_one_identifier_are_limited(self, limits: LimitStore) -> None:
        guesses = []
        for round_ in range(3):
            for number in range(8):
                address = await limits.hit(f"login:address:198.51.100.{number}", Limit.parse("20/minute"))
                identifier = await limits.hit("login:identifier:maria", FIVE)
                guesses.append((round_, address.allowed, identifier.allowed))
        assert all(address for _, address, _ in guesses)
        assert sum(identifier for _, _, identifier in guesses) == 5

    async def test_a_cost_is_taken_whole_or_not_at_all(self, limits: LimitStore) -> None:
        assert (await limits.hit("a", FIVE, 3)).remaining == 2
        refused = await limits.hit("a", FIVE, 3)
        assert (refused.allowed, refused.remaining, refused.retry_after) == (False, 2, 12 * SECOND)
        assert (await limits.hit("a", FIVE, 2)).remaining == 0

    async def test_a_cost_outside_the_limit_is_a_mistake_of_the_caller(self, limits: LimitStore) -> None:
        for cost in (0, -1, 6):
            for verb in (limits.hit, limits.refund):
                try:
                    await verb("a", FIVE, cost)
                except ValueError:
                    continue
                raise AssertionError(f"a cost of {cost} was taken")
        assert await _hits(limits, "a", FIVE, 6) == [True] * 5 + [False]

    async def test_a_refund_gives_back_one_hit_and_not_the_others(self, limits: LimitStore) -> None:
        await _hits(limits, "a", FIVE, 5)
        await limits.refund("a", FIVE)
        assert await _hits(limits, "a", FIVE, 2) == [True, False]

    async def test_refunds_never_give_more_than_the_limit(self, limits: LimitStore, clock: ManualClock) -> None:
        await limits.refund("new", FIVE)
        await limits.hit("a", FIVE)
        for _ in range(10):
            await limits.refund("a", FIVE, 5)
        clock.advance(SECOND)
        await limits.refund("a", FIVE)
        for key in ("a", "new"):
            assert await _hits(limits, key, FIVE, 6) == [True] * 5 + [False]

    async def test_keys_of_any_length_and_kind(self, limits: LimitStore) -> None:
        long = "login:identifier:" + "x" * 1_000_000
        strange = ["", "\0", "\ud800", "ä", "a\nb", "#a", "a|5/60000000", "'; DROP TABLE admit_limits; --"]
        for key in [long + "1", long + "2", *strange]:
            assert await _hits(limits, key, FIVE, 6) == [True] * 5 + [False], key[:40]
            await limits.refund(key, FIVE)
            assert await _hits(limits, key, FIVE, 2) == [True, False], key[:40]
            assert await limits.fail(key, Waits(after=1)) == SECOND
            assert await limits.waiting(key) == SECOND
            await limits.clear(key)
            assert await limits.waiting(key) == ZERO

    async def test_waits_begin_late_and_grow_to_the_longest(self, limits: LimitStore) -> None:
        waits = Waits(after=3, first=2 * SECOND, longest=20 * SECOND, forget=timedelta(hours=1))
        got = [await limits.fail("a", waits) / SECOND for _ in range(8)]
        assert got == [0, 0, 2, 4, 8, 16, 20, 20]
        assert await limits.waiting("a") == 20 * SECOND
        assert await limits.waiting("b") == ZERO
        assert got == [waits.wait(number) / SECOND for number in range(1, 9)]

    async def test_many_failures_do_not_wrap_the_wait_round(self, limits: LimitStore) -> None:
        waits = Waits(after=1, first=timedelta(microseconds=1), longest=timedelta(days=365), forget=timedelta(days=366))
        for _ in range(70):
            wait = await limits.fail("a", waits)
        assert wait == waits.longest

    async def test_a_wait_ends_by_itself(self, limits: LimitStore, clock: ManualClock) -> None:
        waits = Waits(after=1, first=10 * SECOND)
        await limits.fail("a", waits)
        clock.advance(4 * SECOND)
        assert await limits.waiting("a") == 6 * SECOND
        clock.advance(6 * SECOND)
        assert await limits.waiting("a") == ZERO
        assert await limits.fail("a", waits) == 20 * SECOND

    async def test_success_clears_the_failures_and_leaves_the_hits(self, limits: LimitStore) -> None:
        waits = Waits(after=2)
        await _hits(limits, "a", FIVE, 5)
        await limits.fail("a", waits)
        assert await limits.fail("a", waits) == SECOND
        await limits.clear("a")
        await limits.clear("never seen")
        assert await limits.waiting("a") == ZERO
        assert await limits.fail("a", waits) == ZERO
        assert await _hits(limits, "a", FIVE, 1) == [False]

    async def test_failures_are_forgotten_after_the_last_one(self, limits: LimitStore, clock: ManualClock) -> None:
        waits = Waits(after=3, longest=timedelta(minutes=1), forget=timedelta(hours=1))
        for _ in range(2):
            await limits.fail("a", waits)
            clock.advance(timedelta(minutes=59))
        assert await limits.fail("a", waits) == SECOND
        clock.advance(timedelta(hours=1))
        assert [await limits.fail("a", waits) for _ in range(3)] == [ZERO, ZERO, SECOND]

    async def test_tasks_of_one_process_get_exactly_the_limit(self, limits: LimitStore) -> None:
        answers = await asyncio.gather(*(limits.hit("a", FIVE) for _ in range(60)))
        assert sum(hit.allowed for hit in answers) == 5
        waits = await asyncio.gather(*(limits.fail("a", Waits()) for _ in range(12)))
        assert Counter(waits) == Counter(Waits().wait(number) for number in range(1, 13))


class LimitRaces:
    """What callers in several processes at once may rely on. A store that reads, checks and then writes fails here."""

    RACERS = 3

    def test_processes_together_get_exactly_the_limit(self, opening: Opening) -> None:
        with Racers(opening, self.RACERS) as racers:
            for limit in (1, 10):
                got = racers.run(Order("hit", f"race:{limit}", times=25, max=limit))
                assert sum(got) == limit, f"{sum(got)} of {len(got)} hits allowed, {limit} is the limit"
            waits = racers.run(Order("fail", "race", times=10))
            racers.run(Order("spend", "race", times=15, max=10))
            left = racers.run(Order("hit", "race", times=10, max=10))
        # every failure was counted once, and each racer was told its own wait
        assert sorted(waits) == [micros(Waits().wait(number)) for number in range(1, 10 * self.RACERS + 1)]
        # every hit was given back, and not one more
        assert sum(left) == 10
