"""The usage of some days as a stacked bar chart: what to draw where, and its texts.

The template draws it as SVG. Texts are beside the drawing, because it's stretched to the width of
the page and they must stay legible on a phone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import count
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
# The height of the smallest segment: it must be visible.
LEAST = 2

TICKS_MAX = 4


class Series(NamedTuple):
    """Outcomes that are drawn in one colour."""

    slug: str  # of the class in admin.css that has the colour
    label: str | Promise  # for the legend
    statuses: tuple[int, ...] = ()  # of the refusals that belong to it


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


class Bar(NamedTuple):
    """A day."""

    x: int
    title: str  # its numbers in words
    segments: list[tuple[str, float, float]]  # from the bottom up: the series' slug, y and height


class Chart:
    """A usage, ready to be drawn."""

    height = HEIGHT
    day_width = DAY_WIDTH
    bar_width = 7
    margin = 1.5

    def __init__(self, usage: Usage) -> None:
        self.usage = usage
        self.width = DAY_WIDTH * len(usage.days)
        self.first_day, self.last_day = (_formatted(usage.days[place].date) for place in (0, -1))
        # The columns of the table.
        self.outcomes = [outcome for outcome, _number in _sorted(usage.outcomes)]
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
    def bars(self) -> Iterator[Bar]:
        for number, day in enumerate(self.usage.days):
            yield Bar(number * DAY_WIDTH, _title(day), _stack(day, self._step * self._steps))

    @property
    def legend(self) -> list[tuple[Series, str]]:
        """The series that occur, with their numbers, in the order of the bars."""
        numbers = _by_series(self.usage.outcomes)
        return [(series, grouped(number)) for series, number in numbers.items()]

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
        series: max(LEAST, HEIGHT * number / top)
        for series, number in _by_series(day.outcomes).items()
    }
    # The others give what the smallest ones got too much.
    scale = min(1.0, HEIGHT / sum(heights.values())) if heights else 1.0
    segments, y = [], float(HEIGHT)
    for series, height in heights.items():
        y -= height * scale
        segments.append((series.slug, round(y, 2), round(height * scale, 2)))
    return segments


def _by_series(outcomes: Mapping[str, int]) -> dict[Series, int]:
    """Count the series that occur, in their order."""
    numbers = Counter[Series]()
    for outcome, number in outcomes.items():
        numbers[_BY_OUTCOME.get(outcome, _OTHER)] += number
    return {series: numbers[series] for series in SERIES if series in numbers}


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
