"""Describes the requests and responses of the app's own URLs."""

from __future__ import annotations

from collections.abc import Callable

from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiRequest,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)
from rest_framework.views import APIView

from ...api import serializers
from ...request_log import DAYS, DAYS_MAX
from . import response_bodies as bodies

_BY_FIELD = {
    "type": "object",
    "description": "Messages by field name.",
    "additionalProperties": {
        "anyOf": [
            {"type": "array", "items": {"type": "string"}},
            {"type": "object", "description": "By position in the list."},
        ]
    },
}
_DESCRIPTIONS = {
    400: "A value is invalid, or the request can't be read.",
    404: "There is no such key, or you don't have access to it.",
    405: "GET with a session, which another site could forge. Use POST.",
    409: "The key's name is taken, or the key is revoked.",
    415: "The body's type isn't one of those listed here.",
    417: "A value is missing or invalid.",
}
_NO_WIDER = (
    "403 for keys of users with more rights than yours, and for keys that would allow more than "
    "the key that authenticates the request."
)
_ENVELOPE = {"$ref": "#/components/schemas/FrappeError"}  # described with the refusals

_LOCATION = OpenApiParameter(
    "Location", location="header", response=[201], description="The URL of the new key."
)
_API_KEY = OpenApiParameter(
    "api_key",
    {"type": "string", "pattern": "^[!-~]+$"},
    "path",
    description="As generated or imported. Percent-encode it if necessary.",
)
_REASON = OpenApiParameter(
    "reason",
    {"type": "string", "maxLength": 200},
    description="Why the key is revoked, for the record.",
)
_USER = OpenApiParameter("user", description="The username.")
_DAYS = OpenApiParameter(
    "days",
    {"type": "integer", "minimum": 1, "maximum": DAYS_MAX, "default": DAYS},
    description="The number of days, up to today.",
)
_TIME_ZONE = OpenApiParameter(
    "time_zone",
    {"type": "string", "default": "UTC"},
    description="The time zone in which days start, for example Asia/Kolkata.",
)


def _errors(*statuses: int) -> dict[int, OpenApiResponse]:
    errors = {status: OpenApiResponse(bodies.ERROR, _DESCRIPTIONS[status]) for status in statuses}
    if 400 in errors:
        any_of = {"anyOf": [{"$ref": "#/components/schemas/ApiKeyRefusal"}, _BY_FIELD]}
        errors[400] = OpenApiResponse(any_of, _DESCRIPTIONS[400])
    return errors


def _describe(view: str, **methods: Callable[..., object]) -> None:
    """Describe the methods of one of the app's views, and of the project's subclasses of it."""

    class Extension(OpenApiViewExtension):
        target_class = f"frappe_tokens.api.{view}"
        match_subclasses = True

        def view_replacement(self) -> type[APIView]:
            subclass = type(self.target.__name__, (self.target,), {"__doc__": self.target.__doc__})
            return extend_schema_view(**methods)(subclass)


_describe(
    "keys.KeyList",
    get=extend_schema(
        summary="List API keys",
        description="Those that you have access to, the latest first, without their secrets.",
        responses={
            200: serializers.KeySerializer(many=True),
            **_errors(400),
            404: OpenApiResponse(bodies.ERROR, "There is no such page."),
        },
    ),
    post=extend_schema(
        summary="Generate an API key",
        description=(
            "For `user`, by default yourself. If the user has a live key with this name, "
            "nothing changes and the response is 409. Expiry, addresses and rate are those of "
            f"the key that authenticates the request, unless the body has others. {_NO_WIDER}"
        ),
        parameters=[_LOCATION],
        request=serializers.NewKeySerializer,
        responses={201: bodies.KeyWithSecretSerializer, **_errors(400, 409, 415)},
    ),
)
_describe(
    "keys.KeyDetail",
    get=extend_schema(
        summary="Retrieve an API key",
        description="Without its secret.",
        parameters=[_API_KEY],
        responses={200: serializers.KeySerializer, **_errors(404)},
    ),
    patch=extend_schema(
        summary="Change an API key's name and policies",
        description=f"What you leave out doesn't change. {_NO_WIDER}",
        parameters=[_API_KEY],
        request=serializers.PoliciesSerializer,
        responses={200: serializers.KeySerializer, **_errors(400, 404, 409, 415)},
    ),
    delete=extend_schema(
        summary="Revoke an API key",
        description=(
            "Permanently. Its record stays, and revoking it again changes nothing. `reason` "
            "may also be in the body."
        ),
        parameters=[_API_KEY, _REASON],
        responses={204: OpenApiResponse(description="Revoked."), **_errors(400, 404, 415)},
    ),
)
_describe(
    "keys.RotateKey",
    post=extend_schema(
        summary="Rotate an API key's secret",
        description=f"The old secret keeps working for `grace` seconds. {_NO_WIDER}",
        parameters=[_API_KEY],
        request=serializers.RotationSerializer,
        responses={200: bodies.KeyWithSecretSerializer, **_errors(400, 404, 409, 415)},
    ),
)
_describe(
    "keys.KeyUsage",
    get=extend_schema(
        summary="Retrieve an API key's usage",
        description=(
            "Requests per day and outcome, from the request log: `accepted`, the code of a "
            "refusal, or `other`. Includes every day, the oldest first."
        ),
        parameters=[_API_KEY, _DAYS, _TIME_ZONE],
        responses={200: bodies.USAGE, **_errors(400, 404)},
    ),
)
_describe(
    "keys.RevokeLeaked",
    post=extend_schema(
        summary="Revoke a leaked token",
        description=(
            "Needs no authentication besides the token. The response doesn't say whether "
            "there was such a key."
        ),
        request=serializers.LeakSerializer,
        responses={
            204: OpenApiResponse(description="If it was a key, it is revoked."),
            **_errors(400, 415),
            429: OpenApiResponse(bodies.ERROR, "Too many tokens from this address."),
            503: OpenApiResponse(bodies.ERROR, "The database doesn't answer."),
        },
    ),
)
_get_logged_user = extend_schema(
    summary="Retrieve the request's user",
    description="Frappe's `frappe.auth.get_logged_user`.",
    request=None,
    responses={200: bodies.USERNAME},
)
_describe("rpc.GetLoggedUser", get=_get_logged_user, post=_get_logged_user)
_describe(
    "rpc.GenerateKeys",
    **{
        method: extend_schema(
            summary="Generate a user's API secret",
            description=(
                "Frappe's `frappe.core.doctype.user.user.generate_keys`, for the user's key "
                "without a name, which is created if there is none. The old secret stops working. "
                + _NO_WIDER
            ),
            parameters=[_USER],
            request=OpenApiRequest(bodies.GENERATE_KEYS),
            responses={
                200: bodies.GENERATED_KEYS,
                404: OpenApiResponse(_ENVELOPE, "There is no user with this username."),
                **{
                    status: OpenApiResponse(_ENVELOPE, _DESCRIPTIONS[status])
                    for status in (415, 417, *other)
                },
            },
        )
        for method, other in (("get", (405,)), ("post", ()))
    },
)
