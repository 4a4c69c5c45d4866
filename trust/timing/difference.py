"""Whether two samples of times can be told apart, and by how much they differ.

The test is that of dudect (Reparaz, Balasch and Verbauwhede, "Dude, is my code constant time?",
DATE 2017): Welch's t-test on the times, on the times below each of a hundred limits, because most
of the noise is in the slow ones, and on the squares of their distances from the mean.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import sqrt
from statistics import fmean, harmonic_mean, median, stdev

# dudect calls a test above 10 a leak, its paper one above 4.5.
T_LEAK = 10.0
T_SUSPICIOUS = 4.5

LIMITS = 100
# Of a normal distribution: 99.9 % are nearer to the mean.
Z = 3.29

Blocks = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much a kind takes longer than another.

    Attributes:
        t: the greatest t of all tests, with its sign.
        middle: the difference of the medians, in microseconds.
        error: half of its 99.9 % interval.
        median: the other's median, in microseconds.
        samples: how many times there are.
        others: how many there are of the other.
    """

    t: float
    middle: float
    error: float
    median: float
    samples: int
    others: int

    @property
    def most(self) -> float:
        """The greatest difference in the interval, without its sign."""
        return abs(self.middle) + self.error

    @property
    def needed(self) -> float:
        """How many requests of each kind would make t 4.5."""
        equal = harmonic_mean([self.samples, self.others])
        return equal * (T_SUSPICIOUS / self.t) ** 2 if self.t else float("inf")


def compare(blocks: Blocks, others: Blocks) -> Difference:
    """Compare the times of a kind, block by block, with those of another."""
    ours, theirs = ([time / 1000 for block in each for time in block] for each in (blocks, others))
    by_block = [
        (median(block) - median(other)) / 1000 for block, other in zip(blocks, others, strict=True)
    ]
    return Difference(
        t=greatest_t(ours, theirs),
        middle=fmean(by_block),
        error=Z * stdev(by_block) / sqrt(len(by_block)),
        median=median(theirs),
        samples=len(ours),
        others=len(theirs),
    )


def greatest_t(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the t that is farthest from zero, of all of dudect's tests."""
    samples = [_Sample(times) for times in (ours, theirs)]
    both = sorted([*ours, *theirs])
    limits = [both[int(len(both) * (1 - 0.5 ** (10 * n / LIMITS)))] for n in range(1, LIMITS + 1)]
    tests = [_t(*(sample.moments(len(sample.times)) for sample in samples))]
    for limit in limits:
        below = [bisect_left(sample.times, limit) for sample in samples]
        # dudect draws no conclusions from fewer than 10,000, which is half of ours.
        if all(n >= len(sample.times) / 2 for n, sample in zip(below, samples, strict=True)):
            tests.append(_t(*(s.moments(n) for s, n in zip(samples, below, strict=True))))
    squared = [_Sample([(t - sample.mean) ** 2 for t in sample.times]) for sample in samples]
    tests.append(_t(*(sample.moments(len(sample.times)) for sample in squared)))
    return max(tests, key=abs)


class _Sample:
    """Sorted times, whose fastest ones have a mean and a variance at once."""

    def __init__(self, times: Sequence[float]) -> None:
        self.times, self.mean = sorted(times), fmean(times)
        # From the mean, or else the squares are so large that their sums lose digits.
        centered = [time - self.mean for time in self.times]
        self._sums = list(accumulate(centered))
        self._squares = list(accumulate(value * value for value in centered))

    def moments(self, n: int) -> tuple[int, float, float]:
        """Return the number, mean and variance of the ``n`` fastest."""
        mean = self._sums[n - 1] / n
        return n, self.mean + mean, (self._squares[n - 1] - n * mean * mean) / (n - 1)


def _t(ours: tuple[int, float, float], theirs: tuple[int, float, float]) -> float:
    """Return Welch's t."""
    (n, mean, variance), (m, other, other_variance) = ours, theirs
    return (mean - other) / sqrt(variance / n + other_variance / m)
