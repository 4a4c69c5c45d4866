"""Times as people say them: "3 minutes ago", "in 9 days"."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

# Pages mark a key that expires within so many days.
EXPIRING_DAYS = 14

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_MONTH = 30 * _DAY
_YEAR = 365 * _DAY

# For each unit: from how many seconds on it is used, its length in seconds, and the texts for the
# past and the future. Expiries are often within two months, where days matter.
_UNITS: list[tuple[int, int, Any, Any]] = [
    (
        2 * _YEAR,
        _YEAR,
        ngettext_lazy("%(count)s year ago", "%(count)s years ago", "count"),
        ngettext_lazy("in %(count)s year", "in %(count)s years", "count"),
    ),
    (
        2 * _MONTH,
        _MONTH,
        ngettext_lazy("%(count)s month ago", "%(count)s months ago", "count"),
        ngettext_lazy("in %(count)s month", "in %(count)s months", "count"),
    ),
    (
        _DAY,
        _DAY,
        ngettext_lazy("%(count)s day ago", "%(count)s days ago", "count"),
        ngettext_lazy("in %(count)s day", "in %(count)s days", "count"),
    ),
    (
        _HOUR,
        _HOUR,
        ngettext_lazy("%(count)s hour ago", "%(count)s hours ago", "count"),
        ngettext_lazy("in %(count)s hour", "in %(count)s hours", "count"),
    ),
    (
        _MINUTE,
        _MINUTE,
        ngettext_lazy("%(count)s minute ago", "%(count)s minutes ago", "count"),
        ngettext_lazy("in %(count)s minute", "in %(count)s minutes", "count"),
    ),
]


def relative(at: datetime, now: datetime) -> str:
    """Return when ``at`` is, in one unit."""
    seconds = (at - now).total_seconds()
    for least, size, earlier, later in _UNITS:
        if abs(seconds) >= least:
            # Round future times, so that a new key of 30 days expires in 30 days and not in 29.
            count = int(seconds / size + 0.5) if seconds > 0 else int(-seconds / size)
            return str((later if seconds > 0 else earlier) % {"count": count})
    return _("in less than a minute") if seconds > 0 else _("just now")


def exact(at: datetime, form: str = "DATETIME_FORMAT") -> str:
    """Return ``at`` in the current time zone and in the language's ``form``."""
    return formats.date_format(_local(at), form)


def relative_time(at: datetime, now: datetime) -> SafeString:
    """Return when ``at`` is as HTML, with the exact time on hover."""
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        _local(at).isoformat(),
        exact(at),
        relative(at, now),
    )


def _local(at: datetime) -> datetime:
    return timezone.localtime(at) if timezone.is_aware(at) else at
