"""What happens to the machines under load, and what was answered."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ..faults.load import send
from ..faults.servers import SECONDS
from .ground import Ground
from .load import Asked, Load

FULL_SERVICE = 5.0  # seconds until which it is promised
SHUT_OUT = 2  # seconds of changes that the replica of Redis doesn't learn of
UNNOTICED = 1  # seconds until somebody promotes the standby
PERIOD = 60  # seconds, of the default FAILURE_LIMIT
LIMIT, BEYOND = 100, 20
AT_ONCE = 4  # requests to each server


@dataclass(frozen=True, slots=True)
class FailOver:
    """When a primary was lost, and when another had taken its place (s, monotonic)."""

    lost_at: float
    replaced_at: float
    until: float


@dataclass(frozen=True, slots=True)
class Trial:
    """The answers of a site, and the moments of its fail-overs."""

    cached: bool
    asked: list[Asked]
    changes: int
    refused_changes: list[str]
    redis: FailOver
    postgresql: FailOver
    lag: float
    # The statuses of failed attempts at all servers, and what they should be.
    counted: list[Counter[int]]
    # At the end, each credential once more at each server.
    last: list[Asked]

    @property
    def rate(self) -> float:
        """How many requests were sent per second."""
        return len(self.asked) / (self.asked[-1].began - self.asked[0].began)

    def outages(self) -> list[Asked]:
        """Answers 503 that nothing excuses."""
        away = self.postgresql
        return [
            asked
            for asked in self.asked
            if asked.status == 503
            and not (away.lost_at <= asked.ended and asked.began <= away.replaced_at + FULL_SERVICE)
        ]

    def recovery(self, fail_over: FailOver) -> float:
        """Return the seconds from the replacement until every answer was the right one."""
        after = self.during(fail_over.replaced_at, fail_over)
        wrong = [asked.began for asked in after if asked.is_wrong]
        return max(wrong, default=fail_over.replaced_at) - fail_over.replaced_at

    def during(self, since: float, fail_over: FailOver) -> list[Asked]:
        """Return what was asked ``since`` a moment, until the end of the fail-over's phase."""
        return [asked for asked in self.asked if since < asked.began < fail_over.until]


async def attempt(ground: Ground, rng: random.Random, seconds: float, *, cached: bool) -> Trial:
    """Let both fail over under load, with ``seconds`` before, between and after."""
    load = Load(ground.entrance, ground.servers, ground.tokens, rng)
    counted = [await count_failures(ground)]
    running = asyncio.create_task(load.run())
    await asyncio.sleep(seconds)
    lag = await asyncio.to_thread(ground.standby.lag)
    counted.append(await count_failures(ground))
    redis = await _redis(ground, seconds)
    counted.append(await count_failures(ground))
    await asyncio.to_thread(ground.redis.master_comes_back)
    await asyncio.sleep(seconds / 2)
    postgresql = await _postgresql(ground, seconds)
    await load.stop()
    await running
    before = len(load.asked)
    for credential in load.everyone:
        await load.everywhere(credential)
    last = load.asked[before:]
    counted.append(await count_failures(ground))
    return Trial(
        cached,
        load.asked,
        load.changes,
        load.refused_changes,
        redis,
        postgresql,
        lag,
        counted,
        last,
    )


async def _redis(ground: Ground, seconds: float) -> FailOver:
    await asyncio.to_thread(ground.redis.shut_replica_out)
    await asyncio.sleep(SHUT_OUT)
    lost_at = time.monotonic()
    await asyncio.to_thread(ground.redis.lose_master)
    await _until(ground.redis.is_failed_over)
    replaced_at = time.monotonic()
    await asyncio.sleep(seconds)
    return FailOver(lost_at, replaced_at, time.monotonic())


async def _postgresql(ground: Ground, seconds: float) -> FailOver:
    lost_at = time.monotonic()
    await asyncio.to_thread(ground.primary.stop)
    await asyncio.sleep(UNNOTICED)
    await asyncio.to_thread(ground.standby.promote)
    replaced_at = time.monotonic()
    await asyncio.sleep(seconds)
    return FailOver(lost_at, replaced_at, time.monotonic())


async def _until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not await asyncio.to_thread(is_so):
        assert time.monotonic() < end, "Sentinel does not fail over"
        await asyncio.sleep(0.1)


async def count_failures(ground: Ground) -> Counter[int]:
    """Fail more often than allowed, at all servers in turn. Return the statuses.

    The limit counts by the minute, so all of it happens within one.
    """
    for _ in range(5):
        left = PERIOD - time.time() % PERIOD
        if left < PERIOD / 3:
            await asyncio.sleep(left)
        minute = time.time() // PERIOD
        api_key = f"ftk_{secrets.token_hex(8)}"
        statuses: Counter[int] = Counter()
        for _ in range(0, LIMIT + BEYOND, AT_ONCE * len(ground.servers)):
            calls = (
                send(port, "GET", "/plain/", f"{api_key}:{secrets.token_hex(20)}", host=host)
                for host, port in ground.servers * AT_ONCE
            )
            statuses.update([status for status, *_ in await asyncio.gather(*calls)])
        if time.time() // PERIOD == minute:
            return statuses
    raise AssertionError("the machine is too busy to fail so often within a minute")
