"""Decides whether a request with a credential is accepted.

:func:`verify` decides, for every way in. The other modules have what it needs, and the responses
to refusals.
"""

from .access_tokens import AccessToken, are_known
from .access_tokens import label as secret_label
from .access_tokens import register as register_access_tokens
from .browsers import may_be_browser
from .decision import averify, report_failure, unclaimed, verify
from .limiter import check as check_failures
from .limiter import count as count_failure
from .limiter import increment, network_of
from .request import DEFAULT_SOURCE, Outcome, RequestInfo, get_outcome, parse_header
from .responses import RETRY_AFTER_SECONDS, challenge, refusal_response, retry_after
from .scopes import opens
from .threads import run_in_thread
from .views import RoutedView, ninja_operations, routed_views

__all__ = [
    "DEFAULT_SOURCE",
    "RETRY_AFTER_SECONDS",
    "AccessToken",
    "Outcome",
    "RequestInfo",
    "RoutedView",
    "are_known",
    "averify",
    "challenge",
    "check_failures",
    "count_failure",
    "get_outcome",
    "increment",
    "may_be_browser",
    "network_of",
    "ninja_operations",
    "opens",
    "parse_header",
    "refusal_response",
    "register_access_tokens",
    "report_failure",
    "retry_after",
    "routed_views",
    "run_in_thread",
    "secret_label",
    "unclaimed",
    "verify",
]
