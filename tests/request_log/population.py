"""Requests in the log, for tests that read it."""

from datetime import datetime, timezone

from frappe_tokens.models import ApiRequestLog

from .conftest import an_entry


def entry(at, **columns):
    """An accepted request without a user, not saved."""
    return ApiRequestLog(**an_entry(at=at, **columns)._asdict())


def log(*entries):
    ApiRequestLog.objects.bulk_create(entries)


def logged():
    """The times of the requests in the log, in order."""
    return list(ApiRequestLog.objects.order_by("at", "pk").values_list("at", flat=True))


def utc(year, month, day, *more):
    return datetime(year, month, day, *more, tzinfo=timezone.utc)
