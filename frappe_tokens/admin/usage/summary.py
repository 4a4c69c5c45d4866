"""The chart of thirty days of requests, for the pages of keys, users and the request log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.admin import AdminSite
from django.db import DatabaseError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import formats
from django.utils.translation import gettext as _

from ...base_models import AbstractApiKey
from ...conf import conf
from ...db import statement_timeout
from ...keys import Actor
from ...middleware.installed import logs_requests
from ...models import ApiRequestLog
from ...request_log import (
    SAMPLE,
    Usage,
    latest_of,
    local,
    requests_of_key,
    requests_of_user,
    sources_of,
    usage_of,
)
from ...types import User
from .chart import Chart, Link, grouped

logger = logging.getLogger(__name__)

MIDDLEWARE = "frappe_tokens.middleware.RequestLogMiddleware"

USER_PARAMETER = "user__id__exact"
KEY_PARAMETER = "api_key"
SOURCE_PARAMETER = "source"


def may_see_requests(request: HttpRequest) -> bool:
    """Whether the user of ``request`` may see the request log and its charts."""
    actor, user = Actor.of(request), request.user
    return actor.may_generate or (
        actor.is_known and user.is_active and user.has_perm("frappe_tokens.view_apirequestlog")
    )


def usage_of_user(user: User, site: AdminSite) -> str:
    """Return the chart of the requests that ran as ``user``."""
    return _render_with_links(requests_of_user(user), site, {USER_PARAMETER: user.pk})


def usage_of_key(key: AbstractApiKey, site: AdminSite) -> str:
    """Return the chart of the requests with ``key``, a row of any source."""
    sources = sources_of(key)
    parameters = {KEY_PARAMETER: key.api_key}
    # If the model has several names, the link filters by the API key only.
    if len(sources) == 1:
        parameters[SOURCE_PARAMETER] = sources[0]
    return _render_with_links(requests_of_key(key), site, parameters)


def link_to_log(site: AdminSite, parameters: Mapping[str, object]) -> str:
    """Return the URL of the request log with a filter; "" if the site doesn't have it."""
    if not site.is_registered(ApiRequestLog):
        return ""
    url = reverse(f"{site.name}:frappe_tokens_apirequestlog_changelist")
    return f"{url}?{urlencode(parameters)}"


def _render_with_links(
    requests: QuerySet[ApiRequestLog], site: AdminSite, parameters: Mapping[str, object]
) -> str:
    def link(more: Mapping[str, object]) -> str:
        return link_to_log(site, {**parameters, **more})

    return render_usage(requests, link, link({}))


def render_usage(
    requests: QuerySet[ApiRequestLog],
    link: Link,
    url: str = "",
    nothing: str = "",
    until_latest: bool = False,
) -> str:
    """Return the chart of ``requests`` until today, or until the day of the latest one, as HTML.

    Args:
        requests: what to count.
        link: returns the URL of a list of some of them.
        url: of the list of all of them, for pages that don't list them.
        nothing: the text if there are none.
        until_latest: whether the chart ends with the day of the latest one.
    """
    context: dict[str, object] = {"url": url, "off": why_off()}
    try:
        with statement_timeout(requests.db):
            latest_at, paths = latest_of(requests)
            until = local(latest_at).date() if until_latest and latest_at else None
            usage = usage_of(requests, until=until)
    except DatabaseError:
        logger.exception("The request log can't be read. The page is shown without its chart.")
        context["failed"] = True
    else:
        context |= {
            "chart": Chart(usage, link) if usage.total else None,
            "days": len(usage.days),
            "total": grouped(usage.total),
            "refused": _refused(usage),
            "latest_at": latest_at,
            "paths": [(path, grouped(number)) for path, number in paths],
            "sample": grouped(SAMPLE),
            "nothing": nothing,
        }
    return render_to_string("frappe_tokens/admin/usage.html", context)


def why_off() -> str:
    """Say why requests aren't logged, and what to do; "" if they are."""
    if not any(logs_requests(name) for name in settings.MIDDLEWARE):
        return _(
            "Requests aren't logged. To log them, put %(middleware)s first in MIDDLEWARE, in the "
            "settings of this project."
        ) % {"middleware": MIDDLEWARE}
    log = conf.REQUEST_LOG
    if log in ("durable", "buffered"):
        return ""
    if log != "null":
        text = _("%(log)s logs the requests. Only what it writes to this table is shown.")
        return text % {"log": log}
    return _(
        'Requests aren\'t logged. To log them, set REQUEST_LOG to "durable" or "buffered" in '
        "FRAPPE_TOKENS, in the settings of this project."
    )


def _refused(usage: Usage) -> str:
    """Return how many requests were refused, and their share: "8 (50 %)"."""
    number = grouped(usage.refused)
    if not usage.refused:
        return number
    share = 100 * usage.refused / usage.total
    # Show neither a few refusals as 0 %, nor almost all as 100 %.
    if share < 100:
        share = min(max(share, 0.1), 99.9)
    decimals = 0 if 1 <= share <= 99 or share == 100 else 1
    text = _("%(number)s (%(share)s %%)")
    # number_format() doesn't round.
    formatted = formats.number_format(round(share, decimals), decimals)
    return text % {"number": number, "share": formatted}
