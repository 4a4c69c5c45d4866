"""The parameters of the app's own URLs."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter

from ...base_models import KeyState
from ...request_log import DAYS, DAYS_MAX
from ...validators import REASON_MAX_LENGTH


def _query(name: str, description: str, **schema: object) -> OpenApiParameter:
    return OpenApiParameter(name, {"type": "string", **schema}, description=description)


LOCATION = OpenApiParameter(
    "Location", location="header", response=[201], description="The URL of the new key."
)
API_KEY = OpenApiParameter(
    "api_key",
    {"type": "string", "pattern": "^[!-~]+$"},
    "path",
    description="As generated or imported. Percent-encode it if necessary.",
)
FILTERS = [
    _query("user", "Keys of the user with this username."),
    _query("name", "Keys with this name. If empty, keys without a name."),
    _query("state", "Keys in this state.", enum=KeyState.values),
    _query("read_only", "Whether keys are read-only.", enum=["true", "false"]),
    _query("unused", "Whether keys have never been used.", enum=["true", "false"]),
    _query("last_used_before", "Keys last used before this time.", format="date-time"),
    _query("expires_before", "Keys that expire before this time.", format="date-time"),
]
USER = _query("user", "The username.")
REASON = _query("reason", "Why the key is revoked, for the record.", maxLength=REASON_MAX_LENGTH)
PERIOD = [
    _query(
        "days",
        "The number of days, up to today.",
        type="integer",
        minimum=1,
        maximum=DAYS_MAX,
        default=DAYS,
    ),
    _query(
        "time_zone", "The time zone in which days start, for example Asia/Kolkata.", default="UTC"
    ),
]
