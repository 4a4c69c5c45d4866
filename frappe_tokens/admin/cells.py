"""What the cells of our lists show: badges and clipped texts."""

from __future__ import annotations

from django.utils.html import format_html


def badge(text: object, kind: str) -> str:
    """Return ``text`` as a badge: ``on``, ``warn``, ``off`` or ``quiet``."""
    return format_html('<span class="frappe-tokens-state frappe-tokens-{}">{}</span>', kind, text)


def quiet(text: object) -> str:
    """Return ``text`` for a missing value."""
    return format_html('<span class="frappe-tokens-quiet">{}</span>', text)


def clipped(text: object, classes: str = "") -> str:
    """Return ``text`` on one line, cut off at the end of its column and whole on hover."""
    return format_html(
        '<span class="frappe-tokens-clipped {}" title="{}">{}</span>', classes, text, text
    )


def labelled(label: object, value: object) -> str:
    """Return ``value`` with the name of its column, for phones, where the list has no header."""
    return format_html('<span class="frappe-tokens-column">{}</span> {}', label, value)
