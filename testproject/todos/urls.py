"""Frappe's URLs, each with or without a trailing slash."""

from __future__ import annotations

import re
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from frappe_tokens.api import rpc
from frappe_tokens.api.bodies import check_body
from frappe_tokens.api.envelope import FrappeEnvelopeMixin

from .views import Logout, ToDoCalls, ToDoResource, Unknown

unknown = Unknown.as_view()

# Calls that change something need POST, because another site can make a browser send a GET request
# with the session's cookie.
CALLS: dict[str, Any] = {
    "frappe.client.get_list": ToDoCalls.as_view({"get": "get_list", "post": "get_list"}),
    "frappe.client.get_count": ToDoCalls.as_view({"get": "get_count", "post": "get_count"}),
    "frappe.client.get_value": ToDoCalls.as_view({"get": "get_value", "post": "get_value"}),
    "frappe.client.get": ToDoCalls.as_view({"get": "get_doc", "post": "get_doc"}),
    "frappe.client.insert": ToDoCalls.as_view({"post": "insert"}),
    "frappe.client.set_value": ToDoCalls.as_view({"post": "set_value"}),
    "frappe.client.delete": ToDoCalls.as_view({"post": "delete_doc"}),
    "logout": Logout.as_view(),
}

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


urlpatterns = [
    re_path("^$", by_command),
    re_path(
        "^api/resource/ToDo/?$",
        ToDoResource.as_view({"get": "list", "post": "create"}),
        name="todos",
    ),
    re_path(
        "^api/resource/ToDo/(?P<name>[^/]+)/?$",
        ToDoResource.as_view(
            {"get": "retrieve", "put": "update", "patch": "update", "delete": "destroy"}
        ),
        name="todo",
    ),
    *(re_path(rf"^api/method/{re.escape(name)}/?$", view) for name, view in CALLS.items()),
    # Last, after what other apps have there.
    re_path("^api/(?:resource|method)/", unknown),
]
