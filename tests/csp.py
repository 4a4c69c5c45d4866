from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

Get = Callable[[HttpRequest], HttpResponse]


def content_security_policy(get_response: Get) -> Get:
    """Middleware: the strictest policy that our pages promise to run under."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response["Content-Security-Policy"] = "default-src 'self'"
        return response

    return middleware
