"""Lets pages of other sites call the OAuth 2 endpoints (CORS), always without cookies."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers

from frappe_tokens.conf import conf

View = Callable[..., HttpResponseBase]

# How long browsers may remember the answer to a preflight (seconds).
MAX_AGE = 86_400


def open_to_all_origins(view: View) -> View:
    """For documents that anyone may read."""
    return _allowing(view, lambda origin: "*")


def open_to_listed_origins(view: View) -> View:
    """For clients without a secret in the pages of ``OAUTH_ALLOWED_ORIGINS``."""

    def allowed(origin: str) -> str | None:
        listed = conf.OAUTH_ALLOWED_ORIGINS
        return origin if origin in listed or "*" in listed else None

    return _allowing(view, allowed)


def _allowing(view: View, allowed_origin: Callable[[str], str | None]) -> View:
    @wraps(view)
    def wrapper(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        # A preflight has no credentials, so it comes before what needs them.
        is_preflight = (
            request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        )
        response = HttpResponse(status=204) if is_preflight else view(request, *args, **kwargs)
        patch_vary_headers(response, ["Origin"])
        origin = request.headers.get("Origin")
        if origin is None or (allowed := allowed_origin(origin)) is None:
            return response
        response["Access-Control-Allow-Origin"] = allowed
        response["Access-Control-Expose-Headers"] = "WWW-Authenticate"
        if is_preflight:
            response["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
            response["Access-Control-Allow-Headers"] = (
                "Authorization, Content-Type, MCP-Protocol-Version"
            )
            response["Access-Control-Max-Age"] = str(MAX_AGE)
        return response

    return wrapper
