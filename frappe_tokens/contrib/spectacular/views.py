"""What the app's own addresses take and answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiRequest,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)

from ...api.serializers import (
    KeySerializer,
    LeakSerializer,
    NewKeySerializer,
    PoliciesSerializer,
    RotationSerializer,
)
from ...request_log import DAYS, DAYS_MAX
from .answers import (
    ErrorSerializer,
    GeneratedSerializer,
    GenerateSerializer,
    KeyWithSecretSerializer,
    UsageAnswerSerializer,
    UsernameSerializer,
)

_BY_FIELD = {
    "type": "object",
    "description": "Sentences by the name of the field.",
    "additionalProperties": {
        "anyOf": [
            {"type": "array", "items": {"type": "string"}},
            {"type": "object", "description": "By the place in the list."},
        ]
    },
}
_SENTENCES = {
    400: "A value is not usable, or the request cannot be read.",
    404: "There is no such key, or the caller may not see it.",
    405: "Not with a session, whose cookie another site could send: use POST.",
    409: "The key is not in a state for that: its name is taken, or it was revoked.",
    415: "The body is of another type than those named here.",
    417: "A value is missing or not usable.",
}
_NO_WIDER = (
    "403 for keys of users with more rights than the caller, and for keys that would reach further "
    "than the one that the request came with."
)
_ENVELOPE = {"$ref": "#/components/schemas/FrappeError"}  # described with the refusals

_LOCATION = OpenApiParameter(
    "Location",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    response=[201],
    description="The new key's address.",
)
_API_KEY = OpenApiParameter(
    "api_key",
    {"type": "string", "pattern": "^[!-~]+$"},
    OpenApiParameter.PATH,
    description="As it was generated or imported; percent-encoded where it needs to be.",
)
_REASON = OpenApiParameter(
    "reason",
    {"type": "string", "maxLength": 200},
    OpenApiParameter.QUERY,
    description="Why it is revoked, for the record.",
)
_USER = OpenApiParameter(
    "user", OpenApiTypes.STR, OpenApiParameter.QUERY, description="The username."
)

_DAYS = OpenApiParameter(
    "days",
    {"type": "integer", "minimum": 1, "maximum": DAYS_MAX, "default": DAYS},
    OpenApiParameter.QUERY,
    description="How many, until today.",
)
_TIME_ZONE = OpenApiParameter(
    "time_zone",
    {"type": "string", "default": "UTC"},
    OpenApiParameter.QUERY,
    description="Whose days they are, such as Asia/Kolkata.",
)


def _refusals(*statuses: int) -> dict[Any, Any]:
    described: dict[Any, Any] = {
        status: OpenApiResponse(ErrorSerializer, _SENTENCES[status]) for status in statuses
    }
    if 400 in described:
        any_of = {"anyOf": [{"$ref": "#/components/schemas/ApiKeyRefusal"}, _BY_FIELD]}
        described[400] = OpenApiResponse(any_of, _SENTENCES[400])
    return described


def _in_envelope(not_found: str, *statuses: int) -> dict[Any, Any]:
    sentences = {**_SENTENCES, 404: not_found}
    return {status: OpenApiResponse(_ENVELOPE, sentences[status]) for status in statuses}


class _View(OpenApiViewExtension):
    """Gives the methods of a view, and of what a project makes of it, their descriptions."""

    match_subclasses = True
    methods: ClassVar[dict[str, Callable[..., Any]]]

    def view_replacement(self) -> Any:
        described = type(self.target.__name__, (self.target,), {"__doc__": self.target.__doc__})
        return extend_schema_view(**self.methods)(described)


class KeyListView(_View):
    target_class = "frappe_tokens.api.keys.KeyList"
    methods: ClassVar = {
        "get": extend_schema(
            summary="List API keys",
            description="Those that the caller may see, the latest first. Never a secret.",
            responses={
                200: KeySerializer(many=True),
                **_refusals(400),
                404: OpenApiResponse(ErrorSerializer, "There is no such page."),
            },
        ),
        "post": extend_schema(
            summary="Make an API key",
            description=(
                "For `user`, by default oneself. It is no rotation: where the user has a live key "
                "of this name, nothing changes and the answer is 409. Expiry, addresses and rate "
                "are those of the request's own key where the body names none. " + _NO_WIDER
            ),
            parameters=[_LOCATION],
            request=NewKeySerializer,
            responses={201: KeyWithSecretSerializer, **_refusals(400, 409, 415)},
        ),
    }


class KeyDetailView(_View):
    target_class = "frappe_tokens.api.keys.KeyDetail"
    methods: ClassVar = {
        "get": extend_schema(
            summary="Look at an API key",
            description="What may be seen of it. Never a secret.",
            parameters=[_API_KEY],
            responses={200: KeySerializer, **_refusals(404)},
        ),
        "patch": extend_schema(
            summary="Change an API key's name and policies",
            description=f"What is left out stays as it is. {_NO_WIDER}",
            parameters=[_API_KEY],
            request=PoliciesSerializer,
            responses={200: KeySerializer, **_refusals(400, 404, 409, 415)},
        ),
        "delete": extend_schema(
            summary="Revoke an API key",
            description=(
                "For good. Its row stays, and revoking it again changes nothing. `reason` may also "
                "come in a body."
            ),
            parameters=[_API_KEY, _REASON],
            responses={
                204: OpenApiResponse(description="Revoked."),
                **_refusals(400, 404, 415),
            },
        ),
    }


class RotateKeyView(_View):
    target_class = "frappe_tokens.api.keys.RotateKey"
    methods: ClassVar = {
        "post": extend_schema(
            summary="Replace an API key's secret",
            description=(
                f"The old one goes on working for `grace` seconds, and not longer. {_NO_WIDER}"
            ),
            parameters=[_API_KEY],
            request=RotationSerializer,
            responses={200: KeyWithSecretSerializer, **_refusals(400, 404, 409, 415)},
        ),
    }


class KeyUsageView(_View):
    target_class = "frappe_tokens.api.usage.KeyUsage"
    methods: ClassVar = {
        "get": extend_schema(
            summary="How much an API key was used",
            description=(
                "Requests a day by outcome, from the request log: `accepted`, the code of a "
                "refusal, or `other`. Every day is there, the oldest first."
            ),
            parameters=[_API_KEY, _DAYS, _TIME_ZONE],
            responses={200: UsageAnswerSerializer, **_refusals(400, 404)},
        ),
    }


class RevokeLeakedView(_View):
    target_class = "frappe_tokens.api.keys.RevokeLeaked"
    methods: ClassVar = {
        "post": extend_schema(
            summary="Revoke a token that leaked",
            description=(
                "Needs no login: holding the token is proof enough. The answer is the same whether "
                "or not there was such a key."
            ),
            request=LeakSerializer,
            responses={
                204: OpenApiResponse(description="If it was a key, it is revoked."),
                **_refusals(400, 415),
                429: OpenApiResponse(ErrorSerializer, "Too many tokens from this address."),
                503: OpenApiResponse(ErrorSerializer, "The database does not answer."),
            },
        ),
    }


class GetLoggedUserView(_View):
    target_class = "frappe_tokens.api.rpc.GetLoggedUser"
    methods: ClassVar = {
        method: extend_schema(
            summary="Whom the request runs as",
            description="Frappe's `frappe.auth.get_logged_user`.",
            request=None,
            responses={200: UsernameSerializer},
        )
        for method in ("get", "post")
    }


class GenerateKeysView(_View):
    target_class = "frappe_tokens.api.rpc.GenerateKeys"
    methods: ClassVar = {
        method: extend_schema(
            summary="Generate a user's API secret",
            description=(
                "Frappe's `frappe.core.doctype.user.user.generate_keys`: for the user's key "
                "without a name, which is made where there is none. The old secret stops working. "
                + _NO_WIDER
            ),
            parameters=[_USER],
            request=OpenApiRequest(GenerateSerializer),
            responses={
                200: GeneratedSerializer,
                **_in_envelope("There is no user of this name.", 404, 415, 417, *also),
            },
        )
        for method, also in (("get", (405,)), ("post", ()))
    }
