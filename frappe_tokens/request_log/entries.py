"""From a request and its answer to the row that says what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from ..decisions import Decision, decision_about
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
from ..verification import RequestFacts

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
    user_id: Any
    api_key: str
    source: str
    method: str
    path: str
    status: int
    duration_ms: int
    ip: str | None
    user_agent: str
    outcome: str


def entry_of(request: HttpRequest, at: datetime, seconds: float, status: int) -> Entry:
    """What there is to say of ``request``.

    Args:
        request: it had an ``Authorization`` header.
        at: when it came.
        seconds: how long it took.
        status: of the answer.
    """
    facts = RequestFacts(request)
    meta = request.META
    decision = decision_about(request)
    if decision is None:
        user_id, api_key, source, outcome = _present_user(request), "", "", OTHER
    else:
        user_id, api_key, outcome = _told_by(decision)
        source = facts.source_name[:SOURCE_MAX_LENGTH]
    return Entry(
        at,
        user_id,
        api_key,
        source,
        redacted(facts.methods[0], METHOD_MAX_LENGTH),
        redacted_path(request.path, PATH_MAX_LENGTH),
        status,
        min(int(seconds * 1000), _DURATION_MAX),
        facts.address() or None,
        redacted(meta.get("HTTP_USER_AGENT", ""), USER_AGENT_MAX_LENGTH),
        outcome,
    )


def _told_by(decision: Decision) -> tuple[Any, str, str]:
    key, refused = decision
    # Only for a right secret is a user named: anyone can present somebody's key.
    user_id = key.user.pk if key is not None and key.user is not None else None
    if refused is None:
        return user_id, key.api_key, ACCEPTED
    return user_id, refused.api_key, refused.reason.code


def _present_user(request: HttpRequest) -> Any:
    """The primary key of the user whom another authentication found, without a query for it.

    None for what is no row of the user model, such as a user that is made from a token: what it has
    for a primary key need not fit the column.
    """
    user: Any = getattr(request, "user", None)
    if isinstance(user, LazyObject) and user._wrapped is empty:
        # Nobody has asked for the session's user yet. Async views ask elsewhere.
        user = getattr(request, "_acached_user", None)
    return user.pk if isinstance(user, _user_model()) else None


def _user_model() -> type[Any]:
    model: type[Any] = _USER.related_model
    return model
