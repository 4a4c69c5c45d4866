"""Times several things in turn, so that other load slows all of them equally."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from django.conf import settings

WARM_UP = 20  # untimed rounds
BLOCK = 50  # rounds between garbage collections

Samples = dict[str, list[int]]


class WrongAnswer(Exception):
    """Something measured didn't do its work, so its time is meaningless."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A call to time, and a check of its result (which raises :class:`WrongAnswer`)."""

    call: Callable[[], Any]
    check: Callable[[Any], None] | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """Something to time.

    Attributes:
        name: its name in the timings.
        prepare: returns a new trial. This isn't timed.
        cache: the alias for ``FRAPPE_TOKENS["CACHE"]``, or None.
        log: the ``FRAPPE_TOKENS["REQUEST_LOG"]``. Without its middleware nothing is logged.
    """

    name: str
    prepare: Callable[[], Trial]
    cache: str | None = None
    log: str = "null"

    def run(self) -> int:
        """Run it once, and return the nanoseconds."""
        trial = self.prepare()
        begin = time.perf_counter_ns()
        result = trial.call()
        end = time.perf_counter_ns()
        if trial.check is not None:
            trial.check(result)
        return end - begin


@dataclass(frozen=True, slots=True)
class Figure:
    """A median with its quartiles."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, middle, high = quantiles(values, n=4, method="inclusive")
        return cls(middle, low, high)


class Timings:
    """Nanoseconds by name of probe, one for each round. The methods return microseconds.

    Attributes:
        cold: the timings of trials that follow another probe's; None in these.
    """

    def __init__(self, samples: Samples, cold: Samples | None = None) -> None:
        self._samples = samples
        self.cold = None if cold is None else Timings(cold)

    def total(self, name: str) -> Figure:
        """What a call took."""
        return Figure.of(self._above(name))

    def above(self, name: str, *floor: str) -> Figure:
        """The time of a call less those of ``floor``, in the same round."""
        return Figure.of(self._above(name, *floor))

    def ratio(self, name: str, yardstick: str, *floor: str) -> Figure:
        """``name`` as a multiple of ``yardstick``, both above ``floor``, if given.

        It's calculated for each block: a machine that is slow for a while is slow for both.
        """
        ours, theirs = self._above(name, *floor), self._above(yardstick, *floor)
        return Figure.of(
            [
                median(ours[start : start + BLOCK]) / median(theirs[start : start + BLOCK])
                for start in range(0, len(ours), BLOCK)
            ]
        )

    def _above(self, name: str, *floor: str) -> list[float]:
        rounds = zip(*(self._samples[one] for one in (name, *floor)), strict=True)
        return [(taken - sum(less)) / 1000 for taken, *less in rounds]


def interleave(probes: Sequence[Probe], rounds: int) -> Timings:
    """Time every probe once per round, in random order.

    Each runs twice, and the second run counts: on a server, the previous request was similar too.
    In the first, which is kept as ``cold``, the processor's caches contain other code. This costs
    everything about the same, so it matters most for what is cheap. Garbage is only collected
    between blocks.
    """
    cold: Samples = {probe.name: [] for probe in probes}
    samples: Samples = {probe.name: [] for probe in probes}
    for _ in range(WARM_UP):
        for probe in probes:
            use(probe.cache, probe.log)
            probe.run()
    for start in range(0, rounds, BLOCK):
        gc.collect()
        gc.disable()
        try:
            for _ in range(start, min(start + BLOCK, rounds)):
                for probe in random.sample(probes, len(probes)):
                    use(probe.cache, probe.log)
                    cold[probe.name].append(probe.run())
                    samples[probe.name].append(probe.run())
        finally:
            gc.enable()
    use()
    return Timings(samples, cold)


def use(cache: str | None = None, log: str = "null") -> None:
    """Change these settings, which frappe_tokens reads live."""
    present: dict[str, Any] = getattr(settings, "FRAPPE_TOKENS", {})
    wanted = {**present, "CACHE": cache, "REQUEST_LOG": log}
    if present != wanted:
        settings.FRAPPE_TOKENS = wanted
        # The first access after a change is slow, and not timed.
        getattr(settings, "FRAPPE_TOKENS", None)
