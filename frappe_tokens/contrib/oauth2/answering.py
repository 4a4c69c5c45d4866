"""Responses of the OAuth 2 URLs to requests that can't be served."""

from __future__ import annotations

import logging
from collections.abc import Callable, ItemsView
from functools import lru_cache, wraps
from types import FrameType
from typing import Any

from django.core.exceptions import BadRequest, ObjectDoesNotExist, SuspiciousOperation
from django.db import DatabaseError, DataError, InterfaceError
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.views.debug import SafeExceptionReporterFilter, get_exception_reporter_filter
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from oauth2_provider.compat import login_not_required

from frappe_tokens.api.bodies import MAX_BYTES, check_body
from frappe_tokens.db import explain, is_outage
from frappe_tokens.keys import outside_atomic_requests
from frappe_tokens.logs import RateLimitedLogger
from frappe_tokens.verification import RETRY_AFTER_SECONDS

_log_error = RateLimitedLogger(
    logging.getLogger(__name__), "An OAuth 2 request can't be served: %s"
)

UNREADABLE = "The request can't be read."

_CLIENT_ERRORS = (
    # Django's, and PostgreSQL's for a NUL.
    *(SuspiciousOperation, BadRequest, MultiPartParserError, DataError),
    # oauthlib's about the query, the toolkit's about a missing parameter or a deleted object, and
    # Python's about the charset of a part's name.
    *(ValueError, LookupError, ObjectDoesNotExist),
)


def answering_in_json(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Check the body first, and return errors as JSON instead of HTML."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        try:
            check_body(request, MAX_BYTES)
            return view(request, *args, **kwargs)
        except _CLIENT_ERRORS:
            error = {"error": "invalid_request", "error_description": UNREADABLE}
            return JsonResponse(error, status=400)
        except (DatabaseError, InterfaceError) as error:
            if not is_outage(error):
                raise
            _log_error(explain(error), request=request)
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            return JsonResponse({"error": "temporarily_unavailable"}, status=503, headers=headers)

    return wrapper


def hiding_variables(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Make Django's pages and mails about errors show no variables and no form, even with DEBUG.

    The toolkit, oauthlib and Django have codes, tokens and client secrets in theirs.
    """

    @wraps(view)
    def wrapper(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        # mypy doesn't believe that it can be hashed.
        theirs: Any = type(get_exception_reporter_filter(request))
        # Django reads this attribute, which its stubs don't have.
        vars(request)["exception_reporter_filter"] = _without_variables(theirs)()
        return view(request, *args, **kwargs)

    return wrapper


class _WithoutVariables(SafeExceptionReporterFilter):
    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, str]:
        # The toolkit's own views would only hide the client secret.
        return dict.fromkeys(request.POST if request is not None else (), self.cleansed_substitute)

    def get_traceback_frame_variables(
        self, request: HttpRequest | None, tb_frame: FrameType
    ) -> ItemsView[str, str]:
        return dict.fromkeys(tb_frame.f_locals, self.cleansed_substitute).items()


@lru_cache(maxsize=8)
def _without_variables(
    theirs: type[SafeExceptionReporterFilter],
) -> type[SafeExceptionReporterFilter]:
    """Return the project's own filter, with ours before it."""
    return type(theirs.__name__, (_WithoutVariables, theirs), {})


# For every view. With ATOMIC_REQUESTS, a database that doesn't answer would fail outside the view.
DECORATORS = [
    hiding_variables,
    never_cache,
    outside_atomic_requests,
    answering_in_json,
    login_not_required,
]

# For views whose clients are programs: they have no session, and need no CSRF token.
FOR_CLIENTS = [*DECORATORS, csrf_exempt]
