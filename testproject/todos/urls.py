"""Frappe's URLs, each with or without a trailing slash."""

from __future__ import annotations

import re
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, re_path
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from frappe_tokens.api import rpc
from frappe_tokens.api.bodies import check_body
from frappe_tokens.api.envelope import FrappeEnvelopeMixin

from .views import Logout, ToDoCalls, ToDoResource, ToDoType, Unknown

# Not in the OpenAPI schema, which has the shortest address of each view.
V1: dict[str, Any] = {"schema": None}
V2: dict[str, Any] = {"schema": None, "frappe_version": 2}

unknown = Unknown.as_view()


def calls(**options: Any) -> dict[str, Any]:
    """Return the views of the calls.

    Those that change something need POST, because another site can make a browser send a GET
    request with the session's cookie.
    """

    def view(action: str, *methods: str) -> Any:
        return ToDoCalls.as_view(dict.fromkeys(methods, action), **options)

    return {
        "frappe.client.get_list": view("get_list", "get", "post"),
        "frappe.client.get_count": view("get_count", "get", "post"),
        "frappe.client.get_value": view("get_value", "get", "post"),
        "frappe.client.get": view("get_doc", "get", "post"),
        "frappe.client.insert": view("insert", "post"),
        "frappe.client.set_value": view("set_value", "post"),
        "frappe.client.delete": view("delete_doc", "post"),
        "logout": Logout.as_view(**options),
    }


CALLS = calls()

# The package serves these under api/method/. They are repeated for ``cmd``.
PACKAGE_CALLS: dict[str, Any] = {
    "frappe.auth.get_logged_user": rpc.GetLoggedUser.as_view(),
    "frappe.core.doctype.user.user.generate_keys": rpc.GenerateKeys.as_view(),
}


# The view that gets the request checks CSRF, as all views of DRF do.
@csrf_exempt
def by_command(request: HttpRequest) -> HttpResponseBase:
    """``cmd`` at ``/``: the same views as under ``api/method/``."""
    command = _command(request)
    if command is None and request.method == "GET":
        return redirect("admin:index")  # for people with a browser
    view = {**PACKAGE_CALLS, **CALLS}.get(str(command), unknown)
    response: HttpResponseBase = view(request)
    return response


def _command(request: HttpRequest) -> Any:
    try:
        check_body(request)
        if "cmd" in request.GET:
            return request.GET["cmd"]
        _ = request.body  # Django keeps it, so that the view can read it again.
        sent = Request(
            request, parsers=[parser() for parser in FrappeEnvelopeMixin.parser_classes]
        ).data
    except (APIException, SuspiciousOperation):
        return ""  # the view says what is wrong
    return sent.get("cmd") if hasattr(sent, "get") else None


def documents(address: str, **options: Any) -> list[URLPattern]:
    every = ToDoResource.as_view({"get": "list", "post": "create"}, **options)
    one: dict[str, Any] = {
        "get": "retrieve",
        "put": "update",
        "patch": "update",
        "delete": "destroy",
    }
    return [
        re_path(f"^{address}/ToDo/?$", every),
        re_path(f"^{address}/ToDo/(?P<name>[^/]+)/?$", ToDoResource.as_view(one, **options)),
    ]


def methods(address: str, views: dict[str, Any]) -> list[URLPattern]:
    return [re_path(rf"^{address}/{re.escape(name)}/?$", view) for name, view in views.items()]


urlpatterns = [
    re_path("^$", by_command),
    *documents("api/resource"),
    *methods("api/method", CALLS),
    *documents("api/v1/resource", **V1),
    *methods("api/v1/method", calls(**V1)),
    *documents("api/v2/document", **V2),
    *methods("api/v2/method", calls(**V2)),
    re_path("^api/v2/doctype/ToDo/meta/?$", ToDoType.as_view({"get": "meta"}, **V2)),
    re_path("^api/v2/doctype/ToDo/count/?$", ToDoType.as_view({"get": "count"}, **V2)),
    # Last, after what other apps have there.
    re_path("^api/v2/", Unknown.as_view(**V2)),
    re_path("^api/", unknown),
]
