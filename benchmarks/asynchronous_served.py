"""The applications and URLs that the servers of plain and async views serve."""

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.asynchronous_settings"

from django.contrib.auth.decorators import login_required
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

asgi, wsgi = get_asgi_application(), get_wsgi_application()

from . import views  # noqa: E402 - imports models, for which Django must be set up


def plain(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"user": request.user.get_username()})


async def aplain(request: HttpRequest) -> JsonResponse:
    # Not behind login_required, which would ask in a thread whether the user is logged in.
    return JsonResponse({"user": (await request.auser()).get_username()})


urlpatterns = [
    path("open/plain/", plain),
    path("open/async/", aplain),
    path("plain/", login_required(plain)),
    path("async/", aplain),
    path("frappe_tokens/", views.FrappeTokensView.as_view()),
    path("drf_token/", views.DRFTokenView.as_view()),
]
