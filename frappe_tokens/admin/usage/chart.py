"""The usage of some days as a stacked bar picture: what to draw where, and in which words.

The template draws it as SVG. Texts that have to stay legible on a phone stand beside the drawing,
which is stretched to the width that there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.utils import formats
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ...exceptions import Reason
from ...models import ACCEPTED
from ...request_log import Day, Usage

# In units of the drawing.
HEIGHT = 100
DAY_WIDTH = 10
BAR_WIDTH = 7
# What is there has to be seen, however little it is.
LEAST = 2

TICKS_MAX = 4


@dataclass(frozen=True, slots=True)
class Series:
    """Outcomes that are drawn in one colour.

    Attributes:
        slug: of the class in admin.css that has the colour.
        label: for the legend.
        statuses: of the refusals that belong to it.
    """

    slug: str
    label: str | Promise
    statuses: tuple[int, ...] = ()


_ACCEPTED = Series("accepted", gettext_lazy("Accepted"))
_OTHER = Series("other", gettext_lazy("Other"))
# From the bottom of a bar to its top.
SERIES = (
    _ACCEPTED,
    _OTHER,
    Series("limited", gettext_lazy("Too many or unavailable (429, 503)"), (429, 503)),
    Series("denied", gettext_lazy("Not allowed (403)"), (403,)),
    Series("credentials", gettext_lazy("Wrong credentials (401)"), (401,)),
)
_BY_STATUS = {status: series for series in SERIES for status in series.statuses}
_BY_OUTCOME = {
    ACCEPTED: _ACCEPTED,
    **{reason.code: _BY_STATUS[reason.status] for reason in Reason},
}


@dataclass(frozen=True, slots=True)
class Segment:
    """A rectangle: the requests of a day that belong to one series."""

    slug: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A day.

    Attributes:
        x: of its column, from the left.
        title: the day in words, with the exact numbers.
        segments: from the bottom up.
    """

    x: int
    title: str
    segments: Sequence[Segment]


@dataclass(frozen=True, slots=True)
class Chart:
    """A usage, ready to be drawn."""

    usage: Usage

    @property
    def height(self) -> int:
        return HEIGHT

    @property
    def day_width(self) -> int:
        return DAY_WIDTH

    @property
    def width(self) -> int:
        return DAY_WIDTH * len(self.usage.days)

    @property
    def ticks(self) -> list[str]:
        """The labels of the lines behind the bars, from the top down."""
        step, count = _scale(self._most.total)
        return [grouped(step * number) for number in range(count, -1, -1)]

    @property
    def lines(self) -> list[float]:
        """Where the lines behind the bars are."""
        _step, count = _scale(self._most.total)
        return [round(HEIGHT * number / count, 2) for number in range(count)]

    @property
    def bars(self) -> Iterator[Bar]:
        step, count = _scale(self._most.total)
        for number, day in enumerate(self.usage.days):
            segments = _stack(number * DAY_WIDTH, day, step * count)
            yield Bar(number * DAY_WIDTH, _title(day), segments)

    @property
    def legend(self) -> list[tuple[Series, str]]:
        """The series that there are, with their numbers, in the order of the bars."""
        numbers = _by_series(self.usage.outcomes)
        return [(series, grouped(numbers[series])) for series in SERIES if numbers[series]]

    @property
    def first_day(self) -> str:
        return _named(self.usage.days[0].date)

    @property
    def last_day(self) -> str:
        return _named(self.usage.days[-1].date)

    @property
    def description(self) -> str:
        """The picture in words."""
        return _(
            "%(total)s requests from %(first)s to %(last)s, %(refused)s of them refused. "
            "The most on one day were %(most)s, on %(day)s."
        ) % {
            "total": grouped(self.usage.total),
            "refused": grouped(self.usage.refused),
            "first": self.first_day,
            "last": self.last_day,
            "most": grouped(self._most.total),
            "day": _named(self._most.date),
        }

    @property
    def outcomes(self) -> list[str]:
        """The columns of the table."""
        return [outcome for outcome, _number in _sorted(self.usage.outcomes)]

    @property
    def rows(self) -> Iterator[tuple[str, str, list[str]]]:
        """The table, the last day first: day, total and the number of each outcome."""
        for day in reversed(self.usage.days):
            numbers = [grouped(day.outcomes.get(outcome, 0)) for outcome in self.outcomes]
            yield _named(day.date), grouped(day.total), numbers

    @property
    def _most(self) -> Day:
        return max(self.usage.days, key=lambda day: day.total)


def grouped(number: int) -> str:
    """``number`` for people: 12,345."""
    return formats.number_format(number, decimal_pos=0, force_grouping=True)


def _scale(most: int) -> tuple[int, int]:
    """A round step between lines, and how many of them reach ``most``."""
    step = power = 1
    while True:
        for step in (power, 2 * power, 5 * power):
            if step * TICKS_MAX >= most:
                return step, max(1, -(-most // step))
        power *= 10


def _stack(x: int, day: Day, top: int) -> list[Segment]:
    numbers = _by_series(day.outcomes)
    heights = {
        series: max(LEAST, HEIGHT * numbers[series] / top) for series in SERIES if numbers[series]
    }
    # What the least ones got too much, the others give.
    fitting = min(1.0, HEIGHT / sum(heights.values())) if heights else 1.0
    segments, y = [], float(HEIGHT)
    margin = (DAY_WIDTH - BAR_WIDTH) / 2
    for series, height in heights.items():
        y -= height * fitting
        segments.append(
            Segment(series.slug, x + margin, round(y, 2), BAR_WIDTH, round(height * fitting, 2))
        )
    return segments


def _by_series(outcomes: Any) -> Counter[Series]:
    numbers: Counter[Series] = Counter()
    for outcome, number in outcomes.items():
        numbers[_BY_OUTCOME.get(outcome, _OTHER)] += number
    return numbers


def _title(day: Day) -> str:
    total = ngettext("%(total)s request", "%(total)s requests", day.total)
    lines = [f"{_named(day.date)}: {total % {'total': grouped(day.total)}}"]
    lines += [f"{outcome}: {grouped(number)}" for outcome, number in _sorted(day.outcomes)]
    return "\n".join(lines)


def _sorted(outcomes: Any) -> list[tuple[str, int]]:
    """What was accepted first, then by how often it was."""
    return sorted(outcomes.items(), key=lambda item: (item[0] != ACCEPTED, -item[1], item[0]))


def _named(day: date) -> str:
    return formats.date_format(day, "MONTH_DAY_FORMAT")
