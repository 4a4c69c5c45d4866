"""What the addresses of OAuth 2 share: how a request that cannot be served is answered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.exceptions import BadRequest, ObjectDoesNotExist, SuspiciousOperation
from django.db import DataError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.views.decorators.cache import never_cache
from oauth2_provider.compat import login_not_required

from frappe_tokens.api.bodies import MAX_BYTES, check_body
from frappe_tokens.keys import outside_atomic_requests
from frappe_tokens.verification import RETRY_AFTER_SECONDS

logger = logging.getLogger(__name__)

UNREADABLE = "The request cannot be read."

View = Callable[..., HttpResponseBase]

_OF_THE_REQUEST = (
    # Django's about what was sent, and PostgreSQL's about a NUL.
    *(SuspiciousOperation, BadRequest, MultiPartParserError, DataError),
    # oauthlib's about the query, the toolkit's about a parameter that is not there and about what
    # was deleted meanwhile, and Python's about the charset of a part's name.
    *(ValueError, LookupError, ObjectDoesNotExist),
)


def answering_in_json(view: View) -> View:
    """Check the body first, and answer in JSON what would be a page of HTML otherwise."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            check_body(request, MAX_BYTES)
            return view(request, *args, **kwargs)
        except _OF_THE_REQUEST:
            error = {"error": "invalid_request", "error_description": UNREADABLE}
            return JsonResponse(error, status=400)
        except (OperationalError, InterfaceError):
            logger.exception("OAuth 2 cannot be served: the database does not answer.")
            unavailable = JsonResponse({"error": "temporarily_unavailable"}, status=503)
            unavailable["Retry-After"] = str(RETRY_AFTER_SECONDS)
            return unavailable

    return answer


# With ATOMIC_REQUESTS, a database that does not answer would fail before and after the view.
OF_ALL = [never_cache, outside_atomic_requests, answering_in_json, login_not_required]
