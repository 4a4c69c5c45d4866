"""From a request and its answer to the row that says what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from ..models import (
    ACCEPTED,
    METHOD_MAX_LENGTH,
    OTHER,
    PATH_MAX_LENGTH,
    SOURCE_MAX_LENGTH,
    USER_AGENT_MAX_LENGTH,
    ApiRequestLog,
)
from ..redaction import redacted, redacted_path
from ..verification import Outcome, RequestInfo, get_outcome

_DURATION_MAX = 2**31 - 1

_USER: Any = ApiRequestLog._meta.get_field("user")


class Entry(NamedTuple):
    """A row of :class:`~frappe_tokens.models.ApiRequestLog`, each attribute a column of that name.

    Attributes:
        at: when the request came, aware (UTC).
        user_id: the primary key of the user, or None.
        api_key: as presented, "" unless well formed.
        source: the name of the key's source, "" where the header was not for us.
        method: of the request.
        path: without the query string.
        status: of the answer; 499 where the client went away before it.
        duration_ms: whole milliseconds until the answer began to leave.
        ip: the client's address, or None.
        user_agent: as sent, cut.
        outcome: ``accepted``, the code of a refusal, or ``other``.
    """

    at: datetime
    user_id: object
    api_key: str
    source: str
    method: str
    path: str
    status: int
    duration_ms: int
    ip: str | None
    user_agent: str
    outcome: str


def entry_for(request: HttpRequest, at: datetime, seconds: float, status: int) -> Entry:
    """What there is to say of ``request``.

    Args:
        request: it had an ``Authorization`` header.
        at: when it came.
        seconds: how long it took.
        status: of the answer.
    """
    info = RequestInfo(request)
    meta = request.META
    outcome = get_outcome(request)
    if outcome is None:
        user_id, api_key, source, code = _authenticated_user(request), "", "", OTHER
    else:
        user_id, api_key, code = _columns_of(outcome)
        source = info.source_name[:SOURCE_MAX_LENGTH]
    return Entry(
        at,
        user_id,
        api_key,
        source,
        redacted(info.methods[0], METHOD_MAX_LENGTH),
        redacted_path(request.path, PATH_MAX_LENGTH),
        status,
        min(int(seconds * 1000), _DURATION_MAX),
        info.address() or None,
        redacted(meta.get("HTTP_USER_AGENT", ""), USER_AGENT_MAX_LENGTH),
        code,
    )


def _columns_of(outcome: Outcome) -> tuple[object, str, str]:
    key, refused = outcome
    # Only a correct secret identifies a user: anyone can present somebody's key.
    user_id = key.user.pk if key is not None and key.user is not None else None
    if refused is None:
        return user_id, key.api_key, ACCEPTED
    return user_id, refused.api_key, refused.reason.code


def _authenticated_user(request: HttpRequest) -> Any:
    """Return the primary key of a user that something else authenticated, without a query.

    None for an object of another class, such as a user made from a token, whose primary key may not
    fit the column.
    """
    user: Any = getattr(request, "user", None)
    if isinstance(user, LazyObject) and user._wrapped is empty:
        # The session's user wasn't loaded. Async views load it here.
        user = getattr(request, "_acached_user", None)
    return user.pk if isinstance(user, _user_model()) else None


def _user_model() -> type[Any]:
    model: type[Any] = _USER.related_model
    return model
