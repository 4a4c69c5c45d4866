"""What the cells of our lists show: badges, clipped texts and relative times."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import formats
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

from ..request_log import local

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# Largest first: the seconds, and what to say before and after the moment.
_UNITS: list[tuple[int, Any, Any]] = [
    (
        365 * DAY,
        ngettext_lazy("in %(count)s year", "in %(count)s years", "count"),
        ngettext_lazy("%(count)s year ago", "%(count)s years ago", "count"),
    ),
    (
        30 * DAY,
        ngettext_lazy("in %(count)s month", "in %(count)s months", "count"),
        ngettext_lazy("%(count)s month ago", "%(count)s months ago", "count"),
    ),
    (
        DAY,
        ngettext_lazy("in %(count)s day", "in %(count)s days", "count"),
        ngettext_lazy("%(count)s day ago", "%(count)s days ago", "count"),
    ),
    (
        HOUR,
        ngettext_lazy("in %(count)s hour", "in %(count)s hours", "count"),
        ngettext_lazy("%(count)s hour ago", "%(count)s hours ago", "count"),
    ),
    (
        MINUTE,
        ngettext_lazy("in %(count)s minute", "in %(count)s minutes", "count"),
        ngettext_lazy("%(count)s minute ago", "%(count)s minutes ago", "count"),
    ),
]


def badge(text: object, kind: str) -> str:
    """Return ``text`` as a badge: ``on``, ``warn``, ``off`` or ``quiet``."""
    return format_html('<span class="frappe-tokens-state frappe-tokens-{}">{}</span>', kind, text)


def quiet(text: object) -> str:
    """Return ``text`` for what is not there."""
    return format_html('<span class="frappe-tokens-quiet">{}</span>', text)


def clipped(text: object, classes: str = "") -> str:
    """Return ``text`` on one line, cut off at the end of its column and whole on hover."""
    return format_html(
        '<span class="frappe-tokens-clipped {}" title="{}">{}</span>', classes, text, text
    )


def labelled(label: object, value: object) -> str:
    """Return ``value`` with the name of its column, which only a phone shows: it has no header."""
    return format_html('<span class="frappe-tokens-column">{}</span> {}', label, value)


def relative_time(at: datetime, now: datetime) -> str:
    """Return when ``at`` is, as people say it, and exactly on hover."""
    moment = local(at)
    exact = formats.date_format(moment, "DATETIME_FORMAT")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact, relative(at, now)
    )


def relative(at: datetime, now: datetime) -> str:
    """Return "3 minutes ago", or "in 9 days"."""
    seconds = (at - now).total_seconds()
    for size, later, earlier in _UNITS:
        count = int(abs(seconds) // size)
        if count:
            return str((later if seconds > 0 else earlier) % {"count": count})
    return _("in less than a minute") if seconds > 0 else _("just now")
