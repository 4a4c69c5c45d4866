"""Rows of the request log, as the middleware would have written them."""

from datetime import timedelta

from django.utils import timezone

from frappe_tokens.exceptions import Reason
from frappe_tokens.models import ACCEPTED, ApiRequestLog

PATHS = ("/api/resource/ToDo", "/api/resource/ToDo/41", "/api/method/frappe.auth.get_logged_user")
_STATUS = {reason.code: reason.status for reason in Reason}


def logged(key=None, outcome=ACCEPTED, **columns):
    """One row, of a request with ``key``; ``columns`` say what else is to be so."""
    return ApiRequestLog.objects.create(**_columns(key, outcome, columns))


def logged_days(key, outcomes, days=1, until=None):
    """As many rows of each of ``outcomes`` on each of ``days``, more and fewer by turns."""
    last = until or timezone.now()
    rows = []
    for ago in range(days):
        # A week of an office, busier with time.
        share = (0.3 if (days - ago) % 7 in (0, 6) else 1) * (1 - 0.6 * ago / days)
        for outcome, number in outcomes.items():
            for count in range(max(1, round(number * share))):
                path = PATHS[min(count % 4, 2)]
                at = last - timedelta(days=ago, seconds=count)
                rows.append(ApiRequestLog(**_columns(key, outcome, {"path": path, "at": at})))
    ApiRequestLog.objects.bulk_create(rows, batch_size=1000)


def _columns(key, outcome, columns):
    return {
        "at": timezone.now(),
        "user_id": getattr(key, "user_id", None),
        "api_key": getattr(key, "api_key", ""),
        "source": "User" if key is not None else "",
        "method": "GET",
        "path": PATHS[0],
        "status": _STATUS.get(outcome, 200),
        "duration_ms": 12,
        "ip": "192.0.2.7",
        "user_agent": "curl/8.5.0",
        "outcome": outcome,
        **columns,
    }
