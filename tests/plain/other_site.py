"""Another URLconf, where the same address leads to another view."""

from django.http import StreamingHttpResponse
from django.urls import path

from frappe_tokens.decorators import require_scopes

from .site import described


@require_scopes("other")
def other(request):
    return described(request)


def streamed(request):
    return StreamingHttpResponse([request.user.get_username()])


urlpatterns = [
    path("sync/declared/", other),
    path("async/declared/", other),
    path("sync/only-here/", other),
    path("async/only-here/", other),
    path("streamed/", streamed),
]
