"""Describes the requests and responses of ``keys/``."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiRequest, OpenApiResponse

from ...api.serializers import ApiKeySerializer
from ...base_models import KeyState
from ...conf import conf
from ...request_log import DAYS, DAYS_MAX
from ...validators import REASON_MAX_LENGTH
from . import bodies
from .describing import API_KEY, NO_WIDER, describe, operation, query

_NO_PAGE = OpenApiResponse(bodies.ERROR, "There is no such page.")
_LOCATION = OpenApiParameter(
    "Location", location="header", response=[201], description="The URL of the new key."
)
_FILTERS = [
    query("user", "Keys of the user with this username."),
    query("name", "Keys with this name. If empty, keys without a name."),
    query("state", "Keys in this state.", enum=KeyState.values),
    query("read_only", "Whether keys are read-only.", enum=["true", "false"]),
    query("unused", "Whether keys have never been used.", enum=["true", "false"]),
    query("last_used_before", "Keys last used before this time.", format="date-time"),
    query("expires_before", "Keys that expire before this time.", format="date-time"),
]
_REASON = query("reason", "Why the key is revoked, for the record.", maxLength=REASON_MAX_LENGTH)
_SIGNATURE = [
    OpenApiParameter(f"Github-Public-Key-{name}", location="header", description=description)
    for name, description in [
        ("Identifier", "Which public key a list is signed with."),
        ("Signature", "The ECDSA signature of a list, in Base64."),
    ]
]
_PERIOD = [
    query(
        "days",
        "The number of days, up to today.",
        type="integer",
        minimum=1,
        maximum=DAYS_MAX,
        default=DAYS,
    ),
    query(
        "time_zone", "The time zone in which days start, for example Asia/Kolkata.", default="UTC"
    ),
]

describe(
    "keys.KeyList",
    get=operation(
        "List API keys",
        "Those that you have access to, the latest first, without their secrets. "
        # OpenAPI has no parameters whose names vary, except in brackets.
        "`?metadata.<name>=<text>` lists those with this text in their metadata, for example "
        "`?metadata.team=ops`. It may be repeated with other names.",
        {200: ApiKeySerializer(many=True), 404: _NO_PAGE},
        [400],
        *_FILTERS,
    ),
    post=operation(
        "Generate an API key",
        "For `user`, by default yourself. If the user has a live key with this name, nothing "
        "changes and the response is 409. Expiry, addresses and rate are those of the key that "
        f"authenticates the request, unless the body has others. {NO_WIDER}",
        {201: bodies.ApiKeyWithSecretSerializer},
        [400, 409, 415],
        _LOCATION,
    ),
)
describe(
    "keys.KeyDetail",
    get=operation(
        "Retrieve an API key", "Without its secret.", {200: ApiKeySerializer}, [404], API_KEY
    ),
    patch=operation(
        "Change an API key's name, description, metadata and policies",
        f"What you leave out doesn't change. {NO_WIDER}",
        {200: ApiKeySerializer},
        [400, 404, 409, 415],
        API_KEY,
    ),
    delete=operation(
        "Revoke an API key",
        "Permanently. Its record is kept, and revoking it again changes nothing. `reason` may also "
        "be in the body.",
        {204: OpenApiResponse(description="Revoked.")},
        [400, 404, 415],
        API_KEY,
        _REASON,
    ),
)
describe(
    "key_actions.RotateKey",
    post=operation(
        "Rotate an API key's secret",
        "The old secret keeps working for `grace` seconds. An expired key needs a later expiry: "
        f"`expires_at` or `expires_in`. {NO_WIDER}",
        {200: bodies.ApiKeyWithSecretSerializer},
        [400, 404, 409, 415],
        API_KEY,
    ),
)
describe(
    "key_actions.DisableKey",
    post=operation(
        "Disable an API key",
        "Until it is enabled again. Disabling it again changes nothing.",
        {200: ApiKeySerializer},
        [400, 404, 409, 415],
        API_KEY,
        request=None,
    ),
)
describe(
    "key_actions.EnableKey",
    post=operation(
        "Enable a disabled API key",
        "With the secret that it had. Without the permission to manage the user's keys, only if "
        f"you have disabled it. {NO_WIDER}",
        {200: ApiKeySerializer},
        [400, 404, 409, 415],
        API_KEY,
        request=None,
    ),
)
describe(
    "key_actions.KeyUsage",
    get=operation(
        "Retrieve an API key's usage",
        "Requests per day and outcome, from the request log: `accepted`, the code of a refusal, "
        "or `other`. Includes every day, the oldest first.",
        {200: bodies.USAGE},
        [400, 404],
        API_KEY,
        *_PERIOD,
    ),
)
describe(
    "key_actions.RevokeLeaked",
    post=operation(
        "Revoke a leaked token",
        "A pair, or a generated secret alone. Needs no authentication besides it. The response "
        "doesn't say whether there was such a key. A list of findings, as GitHub's secret scanning "
        "sends it, must be signed; its response says which were real.",
        {
            200: OpenApiResponse(bodies.FEEDBACK, "The keys of real findings are revoked."),
            204: OpenApiResponse(description="If it was a key, it is revoked."),
        },
        [400, 403, 415, 429, 503],
        *_SIGNATURE,
        request=OpenApiRequest(bodies.LEAKED),
    ),
)
describe(
    "own_key.OwnKey",
    get=operation(
        "Retrieve the presented credential",
        "The API key or access token that authenticates the request, also if it is read-only or "
        "scoped, and how many requests it may still send. 404 for a session.",
        {200: bodies.PRESENTED},
        [404],
    ),
)
describe(
    "own_key.RotateOwnKey",
    post=operation(
        "Rotate the presented API key",
        "If it has the right to (`self_rotate`), also if it is read-only or scoped, and with its "
        "current secret. Its lifetime from now on can be at most what it was at the last rotation.",
        {200: bodies.ApiKeyWithSecretSerializer},
        [400, 404, 409, 415],
    ),
)


def exclude_operations(endpoints: list[Any], **kwargs: object) -> list[Any]:
    """Leave out the app's own views, unless the setting is on. A hook for ``PREPROCESSING_HOOKS``.

    Unlike with ``extend_schema``, they then don't affect the tags and names of the project's
    operations. The project's subclasses of the views stay.
    """
    if conf.OPENAPI_OPERATIONS:
        return endpoints
    # The last item of an endpoint is the view function.
    return [each for each in endpoints if not each[-1].cls.__module__.startswith("frappe_tokens.")]
