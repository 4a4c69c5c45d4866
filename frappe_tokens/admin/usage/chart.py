"""The usage of some days as a stacked bar chart: its shapes and its texts.

The template draws it as SVG. Texts are beside the drawing, because it's stretched to the width of
the page and they must stay legible on a phone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from itertools import count
from typing import NamedTuple

from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...models import ACCEPTED, OTHER
from ...request_log import Day, Usage
from .outcomes import LABELS, label_of, slug_of

# In units of the drawing.
HEIGHT = 100
DAY_WIDTH = 10
# The height of the smallest segment: it must be visible.
LEAST = 2

TICKS_MAX = 4

OUTCOME_PARAMETER = "outcome"
DATE_PARAMETERS = ("at__year", "at__month", "at__day")

# Returns the URL of the request log with these parameters too; "" if there is none.
Link = Callable[[Mapping[str, object]], str]


class Part(NamedTuple):
    """The requests with one outcome."""

    slug: str  # of the class in usage.css that has the colour
    label: str
    number: str
    url: str


class Bar(NamedTuple):
    """A day."""

    x: int
    segments: list[tuple[str, float, float]]  # from the bottom up: the slug, y and height
    day: str
    total: str  # in words
    parts: list[Part]
    url: str

    @property
    def title(self) -> str:
        """The day and its numbers in one line."""
        parts = [f"{part.label}: {part.number}" for part in self.parts]
        return "; ".join([f"{self.day}: {self.total}", *parts])


class Chart:
    """A usage, ready to be drawn."""

    height = HEIGHT
    day_width = DAY_WIDTH
    bar_width = 7
    margin = 1.5

    def __init__(self, usage: Usage, link: Link) -> None:
        self.usage = usage
        self.width = DAY_WIDTH * len(usage.days)
        self.first_day, self.last_day = (_formatted(usage.days[place].date) for place in (0, -1))
        # The columns of the table.
        self.outcomes = _sorted(usage.outcomes)
        self._link = link
        self._most = max(usage.days, key=lambda day: day.total)
        self._step, self._steps = _scale(self._most.total)

    @property
    def ticks(self) -> list[tuple[str, float]]:
        """The labels of the lines behind the bars and where they are, from the top down."""
        return [
            (grouped(self._step * (self._steps - number)), round(HEIGHT * number / self._steps, 2))
            for number in range(self._steps + 1)
        ]

    @property
    def bars(self) -> list[Bar]:
        return [self._bar(number, day) for number, day in enumerate(self.usage.days)]

    @property
    def legend(self) -> list[Part]:
        """The outcomes that occur, with their numbers, in the order of the bars."""
        return [
            self._part(outcome, number) for outcome, number in _drawn(self.usage.outcomes).items()
        ]

    @property
    def columns(self) -> list[str]:
        """The heads of the table's columns."""
        return [label_of(outcome) for outcome in self.outcomes]

    @property
    def description(self) -> str:
        """The chart in words."""
        return _(
            "%(total)s requests from %(first)s to %(last)s, %(refused)s of them refused. "
            "The most on one day were %(most)s, on %(day)s."
        ) % {
            "total": grouped(self.usage.total),
            "refused": grouped(self.usage.refused),
            "first": self.first_day,
            "last": self.last_day,
            "most": grouped(self._most.total),
            "day": _formatted(self._most.date),
        }

    @property
    def rows(self) -> Iterator[tuple[str, str, list[str]]]:
        """The table, latest day first: day, total and the number of each outcome."""
        for day in reversed(self.usage.days):
            numbers = [grouped(day.outcomes.get(outcome, 0)) for outcome in self.outcomes]
            yield _formatted(day.date), grouped(day.total), numbers

    def _bar(self, number: int, day: Day) -> Bar:
        total = ngettext("%(total)s request", "%(total)s requests", day.total)
        return Bar(
            number * DAY_WIDTH,
            _stack(day, self._step * self._steps),
            _formatted(day.date),
            total % {"total": grouped(day.total)},
            # From the top down, as they are drawn.
            [self._part(*item) for item in reversed(_drawn(day.outcomes).items())],
            self._link(dict(zip(DATE_PARAMETERS, day.date.timetuple(), strict=False))),
        )

    def _part(self, outcome: str, number: int) -> Part:
        url = self._link({OUTCOME_PARAMETER: outcome})
        return Part(slug_of(outcome), label_of(outcome), grouped(number), url)


def grouped(number: int) -> str:
    """Return ``number`` for people: 12,345."""
    return formats.number_format(number, decimal_pos=0, force_grouping=True)


def _scale(most: int) -> tuple[int, int]:
    """Return a round step between lines, and how many steps reach ``most``."""
    steps = (digit * 10**power for power in count() for digit in (1, 2, 5))
    step = next(step for step in steps if step * TICKS_MAX >= most)
    return step, -(-most // step)


def _stack(day: Day, top: int) -> list[tuple[str, float, float]]:
    heights = {
        outcome: max(LEAST, HEIGHT * number / top)
        for outcome, number in _drawn(day.outcomes).items()
    }
    # Segments that LEAST enlarges may make the bar too high: then all of it is scaled down.
    scale = min(1.0, HEIGHT / sum(heights.values())) if heights else 1.0
    segments, y = [], float(HEIGHT)
    for outcome, height in heights.items():
        y -= height * scale
        segments.append((slug_of(outcome), round(y, 2), round(height * scale, 2)))
    return segments


def _drawn(outcomes: Mapping[str, int]) -> dict[str, int]:
    """Count the outcomes that have a colour, in their order. Others count as ``other``."""
    numbers = Counter[str]()
    for outcome, number in outcomes.items():
        numbers[outcome if outcome in LABELS else OTHER] += number
    return {outcome: numbers[outcome] for outcome in LABELS if outcome in numbers}


def _sorted(outcomes: Mapping[str, int]) -> list[str]:
    """Sort by frequency, with accepted requests first."""
    items = sorted(outcomes.items(), key=lambda item: (item[0] != ACCEPTED, -item[1], item[0]))
    return [outcome for outcome, _number in items]


def _formatted(day: date) -> str:
    return formats.date_format(day, "MONTH_DAY_FORMAT")
