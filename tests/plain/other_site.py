"""Another URLconf, where the same address leads to another view."""

from django.urls import path

from frappe_tokens.decorators import require_scopes

from .site import described


@require_scopes("other")
def other(request):
    return described(request)


urlpatterns = [
    path("sync/declared/", other),
    path("async/declared/", other),
    path("sync/only-here/", other),
    path("async/only-here/", other),
]
