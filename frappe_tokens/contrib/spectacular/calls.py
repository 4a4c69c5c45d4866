"""Describes Frappe's calls."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiRequest, OpenApiResponse, extend_schema

from . import bodies
from .describing import NO_WIDER, describe, operation, query

_NO_USER = OpenApiResponse(bodies.FRAPPE_ERROR, "There is no user with this username.")
_USER = query("user", "The username.")
# Frappe's clients may use GET and POST for each call. One of them describes it.
_OTHER_METHOD = extend_schema(exclude=True)
describe(
    "rpc.GetLoggedUser",
    get=operation(
        "Retrieve the request's user",
        "Frappe's `frappe.auth.get_logged_user`.",
        {200: bodies.USERNAME},
    ),
    post=_OTHER_METHOD,
)
describe(
    "rpc.Ping",
    get=operation(
        "Check that the site answers",
        "Frappe's `ping`. Needs no authentication, but refuses an invalid credential.",
        {200: bodies.PONG},
    ),
    post=_OTHER_METHOD,
)
describe(
    "rpc.Version",
    get=operation("Retrieve the app's version", "Frappe's `version`.", {200: bodies.VERSION}),
    post=_OTHER_METHOD,
)
describe(
    "rpc.GenerateKeys",
    get=_OTHER_METHOD,
    post=operation(
        "Generate a user's API secret",
        "Frappe's `frappe.core.doctype.user.user.generate_keys`, for the user's key without a "
        "name, which is created if there is none. The old secret stops working. " + NO_WIDER,
        {200: bodies.GENERATED_KEYS, 404: _NO_USER},
        [415, 417],
        _USER,
        body=bodies.FRAPPE_ERROR,
        request=OpenApiRequest(bodies.GENERATE_KEYS),
    ),
)
