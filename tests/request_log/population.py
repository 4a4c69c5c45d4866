"""Requests on record, for whatever reads them."""

from datetime import datetime, timezone

from frappe_tokens.models import ApiRequestLog


def entry(at, **columns):
    """An accepted request of nobody's."""
    usual = {
        "api_key": "ftk_key",
        "source": "User",
        "method": "GET",
        "path": "/api/",
        "status": 200,
        "duration_ms": 5,
        "ip": "192.0.2.7",
        "user_agent": "curl/8",
        "outcome": "accepted",
    }
    return ApiRequestLog(at=at, **{**usual, **columns})


def log(*entries):
    ApiRequestLog.objects.bulk_create(entries)


def logged():
    """When the requests on record came, in order."""
    return list(ApiRequestLog.objects.order_by("at", "pk").values_list("at", flat=True))


def utc(year, month, day, *more):
    return datetime(year, month, day, *more, tzinfo=timezone.utc)
