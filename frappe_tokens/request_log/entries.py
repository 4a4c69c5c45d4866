"""Makes the row of a request."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from ..models import (
    ACCEPTED,
    METHOD_MAX_LENGTH,
    OTHER,
    PATH_MAX_LENGTH,
    SOURCE_MAX_LENGTH,
    USER_AGENT_MAX_LENGTH,
)
from ..redaction import redacted, redacted_path
from ..verification import RequestInfo, get_outcome


class Entry(NamedTuple):
    """A row of :class:`~frappe_tokens.models.ApiRequestLog`, with its columns as attributes."""

    at: datetime  # when the request arrived, aware (UTC)
    user_id: object  # the primary key, or None
    api_key: str  # as presented; "" unless well formed
    source: str  # the name of the key's source; "" if the header was not for this app
    method: str
    path: str  # without the query string
    status: int  # of the response; 499 if the client disconnected before it
    duration_ms: int  # whole milliseconds until the start of the response
    ip: str | None
    user_agent: str  # truncated
    outcome: str  # accepted, the code of a refusal, or other
    number: int = 1  # of requests, which were only counted if method is ""


def entry_for(request: HttpRequest, at: datetime, seconds: float, status: int) -> Entry:
    """Return the entry for ``request``, which arrived at ``at`` and took ``seconds``."""
    info = RequestInfo(request)
    outcome = get_outcome(request)
    if outcome is None:
        user_id, api_key, source, code = _authenticated_user(request), "", "", OTHER
    else:
        key, refused = outcome
        # Only a correct secret identifies a user: anyone can present someone's key.
        user_id = key.user.pk if key is not None and key.user is not None else None
        source = info.source_name[:SOURCE_MAX_LENGTH]
        if refused is None:
            api_key, code = key.api_key, ACCEPTED
        else:
            api_key, code = refused.api_key, refused.reason.code
    return Entry(
        at,
        user_id,
        api_key,
        source,
        redacted(info.methods[0], METHOD_MAX_LENGTH),
        redacted_path(request.path, PATH_MAX_LENGTH),
        int(status),  # a view may have set an HTTPStatus
        min(int(seconds * 1000), 2**31 - 1),
        info.address() or None,
        redacted(request.META.get("HTTP_USER_AGENT", ""), USER_AGENT_MAX_LENGTH),
        code,
    )


def _authenticated_user(request: HttpRequest) -> object:
    """Return the primary key of a user that something else authenticated, without a query.

    None for other classes, such as a user created from a token, whose primary key may not fit the
    column.
    """
    user = getattr(request, "user", None)
    if isinstance(user, LazyObject) and user._wrapped is empty:
        # The session's user isn't loaded. Async views load it here.
        user = getattr(request, "_acached_user", None)
    return user.pk if isinstance(user, get_user_model()) else None
