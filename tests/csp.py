from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

Get = Callable[[HttpRequest], HttpResponse]


def content_security_policy(get_response):
    """Middleware: the strictest policy that our pages promise to run under."""

    def middleware(request):
        response = get_response(request)
        response["Content-Security-Policy"] = "default-src 'self'"
        return response

    return middleware
