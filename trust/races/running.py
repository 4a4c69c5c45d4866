"""Races by their seeds."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.core import mail
from django.core.cache import caches
from django.test import override_settings

from frappe_tokens import logs
from frappe_tokens.lookup import cache as key_cache

from .operations import OPERATIONS
from .promises import broken
from .scenes import Scene, attempt, new_scene
from .scheduler import Race, Worker

CACHES = (None, "default", "redis")


@dataclass(frozen=True, slots=True)
class Result:
    """A race that was run: what took part, in which order, and which promises it broke."""

    seed: int
    cache: str | None
    operations: tuple[str, ...]
    steps: tuple[str, ...]
    waits: int
    broken: tuple[tuple[str, str], ...]

    @property
    def described(self) -> str:
        return f"{', '.join(self.operations)}; cache: {self.cache}"


def races(seeds: Iterable[int]) -> Iterator[Result]:
    """Run the race of each seed."""
    workers = [Worker(name) for name in ("A", "B", "C")]
    try:
        for seed in seeds:
            yield _race(seed, workers)
    finally:
        for worker in workers:
            worker.end()


def _race(seed: int, workers: list[Worker]) -> Result:
    choices = random.Random(seed)
    cache = choices.choice(CACHES)
    names = choices.sample(sorted(OPERATIONS), choices.choice((2, 2, 3)))
    given = {**settings.FRAPPE_TOKENS, "CACHE": cache}
    with override_settings(FRAPPE_TOKENS=given):
        scene = new_scene(choices)
        logs.reset()
        mail.outbox.clear()
        _fill(scene, cache, choices)
        race = Race(workers, choices)
        outcomes = race.run([partial(OPERATIONS[name].run, scene) for name in names])
        found = dict.fromkeys(broken(scene, dict(zip(names, outcomes, strict=True))))
    return Result(seed, cache, tuple(names), tuple(race.steps), race.waits, tuple(found))


def _fill(scene: Scene, cache: str | None, choices: random.Random) -> None:
    """Begin like a new process, which has been asked for each key or for none."""
    key_cache.reset()
    if cache is not None:
        caches[cache].clear()
    if choices.random() < 0.5:
        for known in scene.known:
            attempt(*known)
