"""The site: a DRF view, a plain view, and the app's own addresses."""

import os

from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class WhoView(APIView):
    def get(self, request: Request) -> Response:
        return Response({"user": request.user.username})


def who(request: HttpRequest) -> JsonResponse:
    if not request.user.is_authenticated:
        return JsonResponse({"detail": "No credential."}, status=401)
    return JsonResponse({"user": request.user.username})


def pid(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"pid": os.getpid()})


urlpatterns = [
    path("drf/", WhoView.as_view()),
    path("plain/", who),
    path("pid/", pid),
    path("api/", include("frappe_tokens.urls")),
]
