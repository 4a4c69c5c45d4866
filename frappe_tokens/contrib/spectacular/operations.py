"""Describes the requests and responses of the app's own URLs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiRequest,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)
from rest_framework.views import APIView

from ...api.serializers import ApiKeySerializer
from ...conf import conf
from . import bodies, parameters

# As drf-spectacular has it: path, its regular expression, method, view function.
Endpoint = tuple[str, str, str, Any]

_DESCRIPTIONS = {
    400: "A value is invalid, or the request can't be read.",
    404: "There is no such key, or you don't have access to it.",
    409: "The key's name is taken, or the key is revoked.",
    415: "The body's type isn't one of those listed here.",
    417: "A value is missing or invalid.",
    429: "Too many tokens from this address.",
    503: "The database doesn't answer.",
}
_NO_PAGE = OpenApiResponse(bodies.ERROR, "There is no such page.")
_NO_USER = OpenApiResponse(bodies.FRAPPE_ERROR, "There is no user with this username.")
_NO_WIDER = (
    "403 for keys of users with more rights than yours, and for keys that would allow more than "
    "the key that authenticates the request."
)


def _operation(
    summary: str,
    description: str,
    responses: dict[int, object],
    errors: Sequence[int] = (),
    *described: OpenApiParameter,
    body: object = bodies.ERROR,
    **options: Any,
) -> Callable[..., object]:
    """Describe an operation that also responds with ``errors``, in the form ``body``.

    Its request is the view's ``serializer_class``, unless ``options`` has another ``request``.
    """
    for status in errors:
        form = bodies.INVALID if status == 400 else body
        responses = {status: OpenApiResponse(form, _DESCRIPTIONS[status]), **responses}
    options.update(summary=summary, description=description)
    return extend_schema(responses=responses, parameters=list(described), **options)


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
    get=_operation(
        "List API keys",
        "Those that you have access to, the latest first, without their secrets. "
        # OpenAPI has no parameters whose names vary, except in brackets.
        "`?metadata.<name>=<text>` lists those with this text in their metadata, for example "
        "`?metadata.team=ops`. It may be repeated with other names.",
        {200: ApiKeySerializer(many=True), 404: _NO_PAGE},
        [400],
        *parameters.FILTERS,
    ),
    post=_operation(
        "Generate an API key",
        "For `user`, by default yourself. If the user has a live key with this name, nothing "
        "changes and the response is 409. Expiry, addresses and rate are those of the key that "
        f"authenticates the request, unless the body has others. {_NO_WIDER}",
        {201: bodies.ApiKeyWithSecretSerializer},
        [400, 409, 415],
        parameters.LOCATION,
    ),
)
_describe(
    "keys.KeyDetail",
    get=_operation(
        "Retrieve an API key",
        "Without its secret.",
        {200: ApiKeySerializer},
        [404],
        parameters.API_KEY,
    ),
    patch=_operation(
        "Change an API key's name, description, metadata and policies",
        f"What you leave out doesn't change. {_NO_WIDER}",
        {200: ApiKeySerializer},
        [400, 404, 409, 415],
        parameters.API_KEY,
    ),
    delete=_operation(
        "Revoke an API key",
        "Permanently. Its record stays, and revoking it again changes nothing. `reason` may also "
        "be in the body.",
        {204: OpenApiResponse(description="Revoked.")},
        [400, 404, 415],
        parameters.API_KEY,
        parameters.REASON,
    ),
)
_describe(
    "key_actions.RotateKey",
    post=_operation(
        "Rotate an API key's secret",
        f"The old secret keeps working for `grace` seconds. {_NO_WIDER}",
        {200: bodies.ApiKeyWithSecretSerializer},
        [400, 404, 409, 415],
        parameters.API_KEY,
    ),
)
_describe(
    "key_actions.DisableKey",
    post=_operation(
        "Disable an API key",
        "Until it is enabled again. Disabling it again changes nothing.",
        {200: ApiKeySerializer},
        [400, 404, 409, 415],
        parameters.API_KEY,
        request=None,
    ),
)
_describe(
    "key_actions.EnableKey",
    post=_operation(
        "Enable a disabled API key",
        "With the secret that it had. Without the permission to manage the user's keys, only if "
        f"you have disabled it. {_NO_WIDER}",
        {200: ApiKeySerializer},
        [400, 404, 409, 415],
        parameters.API_KEY,
        request=None,
    ),
)
_describe(
    "key_actions.KeyUsage",
    get=_operation(
        "Retrieve an API key's usage",
        "Requests per day and outcome, from the request log: `accepted`, the code of a refusal, "
        "or `other`. Includes every day, the oldest first.",
        {200: bodies.USAGE},
        [400, 404],
        parameters.API_KEY,
        *parameters.PERIOD,
    ),
)
_describe(
    "key_actions.RevokeLeaked",
    post=_operation(
        "Revoke a leaked token",
        "Needs no authentication besides the token. The response doesn't say whether there was "
        "such a key.",
        {204: OpenApiResponse(description="If it was a key, it is revoked.")},
        [400, 415, 429, 503],
    ),
)
# Frappe's clients may use GET and POST for each call. One of them describes it.
_OTHER_METHOD = extend_schema(exclude=True)
_describe(
    "rpc.GetLoggedUser",
    get=_operation(
        "Retrieve the request's user",
        "Frappe's `frappe.auth.get_logged_user`.",
        {200: bodies.USERNAME},
    ),
    post=_OTHER_METHOD,
)
_describe(
    "rpc.Ping",
    get=_operation(
        "Check that the site answers",
        "Frappe's `ping`. Needs no authentication, but refuses an invalid credential.",
        {200: bodies.PONG},
    ),
    post=_OTHER_METHOD,
)
_describe(
    "rpc.Version",
    get=_operation("Retrieve the app's version", "Frappe's `version`.", {200: bodies.VERSION}),
    post=_OTHER_METHOD,
)
_describe(
    "rpc.GenerateKeys",
    get=_OTHER_METHOD,
    post=_operation(
        "Generate a user's API secret",
        "Frappe's `frappe.core.doctype.user.user.generate_keys`, for the user's key without a "
        "name, which is created if there is none. The old secret stops working. " + _NO_WIDER,
        {200: bodies.GENERATED_KEYS, 404: _NO_USER},
        [415, 417],
        parameters.USER,
        body=bodies.FRAPPE_ERROR,
        request=OpenApiRequest(bodies.GENERATE_KEYS),
    ),
)


def exclude_operations(endpoints: list[Endpoint], **kwargs: object) -> list[Endpoint]:
    """Leave out the app's own views, unless the setting is on. A hook for ``PREPROCESSING_HOOKS``.

    Here rather than by ``extend_schema``, so that the tags and names of the project's operations
    are as they would be without the app. The project's subclasses of the views stay.
    """
    if conf.OPENAPI_OPERATIONS:
        return endpoints
    package = __name__.partition(".")[0]
    return [each for each in endpoints if each[3].cls.__module__.partition(".")[0] != package]
