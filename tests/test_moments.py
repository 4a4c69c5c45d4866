"""Times as people say them."""

from datetime import datetime, timedelta, timezone

import pytest

from frappe_tokens.ui.moments import exact, relative, relative_time

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
DAY = 86_400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (-59, "just now"),
        (-60, "1 minute ago"),
        (-3599, "59 minutes ago"),
        (-2 * 3600, "2 hours ago"),
        (-59.9 * DAY, "59 days ago"),
        (-60 * DAY, "2 months ago"),
        (-3 * 365 * DAY, "3 years ago"),
        (59, "in less than a minute"),
        (60, "in 1 minute"),
        (3600, "in 1 hour"),
        (DAY, "in 1 day"),
        # A key of thirty days, a moment after it was generated.
        (30 * DAY - 5, "in 30 days"),
        (90 * DAY - 5, "in 3 months"),
        (2 * 365 * DAY, "in 2 years"),
    ],
)
def test_time_is_told_in_one_unit(seconds, words):
    assert relative(NOW + timedelta(seconds=seconds), NOW) == words


def test_exact_time_is_shown_on_hover(settings):
    settings.TIME_ZONE = "Asia/Tokyo"

    assert relative_time(NOW - timedelta(hours=1), NOW) == (
        '<time datetime="2026-03-01T20:00:00+09:00" title="March 1, 2026, 8 p.m.">1 hour ago</time>'
    )
    assert exact(NOW.replace(tzinfo=None), "DATE_FORMAT") == "March 1, 2026"
