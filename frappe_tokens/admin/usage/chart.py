"""The usage of some days as a stacked bar chart: what to draw where, and its texts.

The template draws it as SVG. Texts are beside the drawing, because it's stretched to the width of
the page and they must stay legible on a phone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

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
# The height of the smallest segment: it must be visible.
LEAST = 2

TICKS_MAX = 4


class Series(NamedTuple):
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


class Segment(NamedTuple):
    """A rectangle: the requests of a day that belong to one series."""

    slug: str
    x: float
    y: float
    width: float
    height: float


class Bar(NamedTuple):
    """A day, with its numbers in words and its segments from the bottom up."""

    x: int
    title: str
    segments: list[Segment]


@dataclass(frozen=True)
class Chart:
    """A usage, ready to be drawn."""

    usage: Usage
    height = HEIGHT
    day_width = DAY_WIDTH

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
            x = number * DAY_WIDTH
            yield Bar(x, _title(day), _stack(x, day, step * count))

    @property
    def legend(self) -> list[tuple[Series, str]]:
        """The series that occur, with their numbers, in the order of the bars."""
        numbers = _by_series(self.usage.outcomes)
        return [(series, grouped(numbers[series])) for series in SERIES if numbers[series]]

    @property
    def first_day(self) -> str:
        return _formatted(self.usage.days[0].date)

    @property
    def last_day(self) -> str:
        return _formatted(self.usage.days[-1].date)

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
    def outcomes(self) -> list[str]:
        """The columns of the table."""
        return [outcome for outcome, _number in _sorted(self.usage.outcomes)]

    @property
    def rows(self) -> Iterator[tuple[str, str, list[str]]]:
        """The table, latest day first: day, total and the number of each outcome."""
        for day in reversed(self.usage.days):
            numbers = [grouped(day.outcomes.get(outcome, 0)) for outcome in self.outcomes]
            yield _formatted(day.date), grouped(day.total), numbers

    @property
    def _most(self) -> Day:
        return max(self.usage.days, key=lambda day: day.total)


def grouped(number: int) -> str:
    """Return ``number`` for people: 12,345."""
    return formats.number_format(number, decimal_pos=0, force_grouping=True)


def _scale(most: int) -> tuple[int, int]:
    """Return a round step between lines, and how many steps reach ``most``."""
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
    # The others give what the smallest ones got too much.
    scale = min(1.0, HEIGHT / sum(heights.values())) if heights else 1.0
    segments, y = [], float(HEIGHT)
    left = x + (DAY_WIDTH - BAR_WIDTH) / 2
    for series, full_height in heights.items():
        height = full_height * scale
        y -= height
        segments.append(Segment(series.slug, left, round(y, 2), BAR_WIDTH, round(height, 2)))
    return segments


def _by_series(outcomes: Mapping[str, int]) -> Counter[Series]:
    numbers: Counter[Series] = Counter()
    for outcome, number in outcomes.items():
        numbers[_BY_OUTCOME.get(outcome, _OTHER)] += number
    return numbers


def _title(day: Day) -> str:
    total = ngettext("%(total)s request", "%(total)s requests", day.total)
    lines = [f"{_formatted(day.date)}: {total % {'total': grouped(day.total)}}"]
    lines += [f"{outcome}: {grouped(number)}" for outcome, number in _sorted(day.outcomes)]
    return "\n".join(lines)


def _sorted(outcomes: Mapping[str, int]) -> list[tuple[str, int]]:
    """Sort by frequency, with what was accepted first."""
    return sorted(outcomes.items(), key=lambda item: (item[0] != ACCEPTED, -item[1], item[0]))


def _formatted(day: date) -> str:
    return formats.date_format(day, "MONTH_DAY_FORMAT")
