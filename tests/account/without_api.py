"""The addresses of a project that has the page of keys and not our remote calls."""

from django.urls import include, path

urlpatterns = [path("keys/", include("frappe_tokens.account.urls"))]
