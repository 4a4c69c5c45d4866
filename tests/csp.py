from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

Get = Callable[[HttpRequest], HttpResponse]


def content_security_policy(get_response):
    """Middleware: the strictest policy that our pages promise to run under.

    As Django's own and django-csp's, it keeps the policy that a view has set.
    """

    def middleware(request):
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", "default-src 'self'")
        return response

    return middleware
