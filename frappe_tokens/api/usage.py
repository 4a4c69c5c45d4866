"""How much a key was used: ``GET keys/{api_key}/usage/?days=30``."""

from __future__ import annotations

import logging
from datetime import tzinfo

from django.db import DatabaseError, InterfaceError
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from ..base_models import AbstractApiKey
from ..db import statement_timeout
from ..logs import RateLimitedLogger
from ..request_log import Usage, requests_of_key, usage_of
from .errors import Unavailable
from .keys import KeysView
from .serializers import KeySerializer, UsageSerializer

_log_error = RateLimitedLogger(logging.getLogger(__name__), "The request log cannot be read.")


class KeyUsage(KeysView):
    """Requests a day by outcome, for whoever may see the key, revoked or not."""

    serializer_class = UsageSerializer

    def get(self, request: Request, api_key: str) -> Response:
        key = self.get_object()
        asked = self.validated(request.query_params.dict())
        usage = _usage_of(key, asked["days"], asked["time_zone"])
        return Response(
            {
                "api_key": key.api_key,
                "days": len(usage.days),
                "from": usage.days[0].date.isoformat(),
                "to": usage.days[-1].date.isoformat(),
                "time_zone": str(asked["time_zone"]),
                "total": usage.total,
                "refused": usage.refused,
                "last_used_at": KeySerializer(key).data["last_used_at"],
                "usage": [
                    {
                        "date": day.date.isoformat(),
                        "total": day.total,
                        "outcomes": dict(sorted(day.outcomes.items())),
                    }
                    for day in usage.days
                ],
            }
        )


def _usage_of(key: AbstractApiKey, days: int, zone: tzinfo) -> Usage:
    requests = requests_of_key(key)
    try:
        with statement_timeout(requests.db):
            return usage_of(requests, days, zone=zone)
    except (DatabaseError, InterfaceError) as error:
        _log_error()
        # Locked, slow or not there; the key itself could be read.
        raise Unavailable(
            _("The request log cannot be read at the moment. Try again shortly.")
        ) from error
