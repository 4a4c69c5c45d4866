"""A fault under load, and what came of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass

from .faults import Fault
from .ground import CONNECTIONS_MAX, Ground
from .load import GOOD, Answer, Load, send

BEFORE, AFTER = 2, 6  # seconds of load
FULL_SERVICE = 5.0  # seconds until which it is promised
# For what is on its way while a fault begins (s).
ON_ITS_WAY = 1.0


@dataclass(frozen=True, slots=True)
class Trial:
    """The answers to the load around a fault, and the site's connections."""

    fault: Fault
    answers: list[Answer]
    began: float
    end_began: float
    ended: float
    victim_revoked_at: float
    connections: tuple[int, int] | None
    connections_max: int

    @property
    def recovery(self) -> float:
        """Seconds from the fault's end until every answer was as without it."""
        return max((answer.asked_at for answer in self._wrong()), default=self.ended) - self.ended

    @property
    def wrong(self) -> str:
        """What was wrong after the fault's end."""
        count = Counter((answer.kind, answer.status) for answer in self._wrong())
        return ", ".join(f"{number} x {kind} {status}" for (kind, status), number in count.items())

    def _wrong(self) -> list[Answer]:
        return [
            answer
            for answer in self.answers
            if answer.asked_at > self.ended and not answer.is_full_service
        ]

    @property
    def slowest(self) -> float:
        return max(answer.seconds for answer in self.answers if answer.kind in GOOD)

    def away(self) -> list[Answer]:
        """Answers that needed the database while it was away from beginning to end."""
        return [
            answer
            for answer in self.answers
            if self.fault.is_away
            and answer.kind in GOOD
            and not answer.cached
            and self.began + ON_ITS_WAY < answer.asked_at
            and answer.status > 0
            and answer.answered_at < self.end_began
        ]

    def after_revocation(self) -> list[Answer]:
        return [
            answer
            for answer in self.answers
            if answer.kind == "victim" and answer.asked_at > self.victim_revoked_at
        ]

    def statuses(self, *, good: bool) -> str:
        kinds = GOOD if good else {"wrong", "revoked", "unknown"}
        count = Counter(
            answer.status
            for answer in self.answers
            if answer.kind in kinds and self.began < answer.asked_at < self.ended
        )
        return ", ".join(f"{number:,} x {status or 'none'}" for status, number in count.items())


async def attempt(
    fault: Fault, ground: Ground, victim: str, rng: random.Random, seconds: float
) -> Trial:
    """Let a fault occur for ``seconds``."""
    load = Load(ground.sites, ground.tokens, victim, rng)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(BEFORE)
    before = await asyncio.to_thread(_connections, ground)
    async with fault.occurs(ground):
        began = time.monotonic()
        await asyncio.sleep(seconds / 2)
        revocation = asyncio.create_task(load.revoke_victim())
        await asyncio.sleep(seconds / 2)
        end_began = time.monotonic()
    # The end takes time, as where a database starts.
    ended = time.monotonic()
    await asyncio.sleep(AFTER)
    after = await asyncio.to_thread(_connections, ground)
    await load.stop()
    await running
    await revocation
    return Trial(
        fault,
        load.answers,
        began,
        end_began,
        ended,
        load.victim_revoked_at,
        None if before is None or after is None else (before, after),
        CONNECTIONS_MAX * len(ground.sites),
    )


def _connections(ground: Ground) -> int | None:
    return None if ground.postgresql is None else ground.postgresql.connections()


async def first_requests(ground: Ground, requests: int) -> list[int]:
    """Restart the database while no request is sent. Return the statuses of the next requests."""
    assert ground.postgresql is not None
    token = ground.tokens["good"][0]

    async def ask() -> list[int]:
        calls = (
            send(site.port, "GET", path, token)
            for _ in range(requests)
            for site in ground.sites
            for path in ("/drf/", "/plain/")
        )
        return [status for status, *_ in await asyncio.gather(*calls)]

    await ask()  # by many at once, so that every thread has a connection
    await asyncio.to_thread(ground.postgresql.stop)
    await asyncio.to_thread(ground.postgresql.start)
    return await ask()
