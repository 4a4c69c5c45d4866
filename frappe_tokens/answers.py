"""What a refused request is answered with, whichever way it came in."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_vary_headers
from django.utils.html import format_html

from .conf import conf
from .exceptions import Reason, Refused

# For refusals that know no time of their own (s).
RETRY_AFTER_SECONDS = 5

_NAMES = {"basic": "Basic", "bearer": "Bearer"}


class RefusalAnswer(NamedTuple):
    """The answer's parts.

    Attributes:
        status: of HTTP.
        body: ``detail``, a sentence in the present language, and ``code``.
        headers: ``WWW-Authenticate`` and ``Retry-After``, where they belong.
    """

    status: int
    body: dict[str, str]
    headers: dict[str, str]


def answer_to(refused: Refused, scheme: str) -> RefusalAnswer:
    """What to answer to a request that was ``refused``.

    Args:
        refused: why.
        scheme: that of its header: ``token``, ``basic`` or ``bearer``.
    """
    reason = refused.reason
    headers = {}
    if named := challenge(scheme, refused):
        headers["WWW-Authenticate"] = named
    if (seconds := retry_after(refused)) is not None:
        headers["Retry-After"] = str(seconds)
    body = {"detail": str(refused.sentence), "code": reason.code}
    return RefusalAnswer(reason.status, body, headers)


def refusal_response(request: HttpRequest, refused: Refused, scheme: str) -> HttpResponse:
    """The answer as Django's response: JSON, or HTML where the client takes only that.

    Args:
        request: the one that was refused.
        refused: why.
        scheme: as for :func:`answer_to`.
    """
    answer = answer_to(refused, scheme)
    response: HttpResponse
    if not _wants_html(request):
        response = JsonResponse(answer.body, status=answer.status)
    else:
        page = format_html(
            "<!DOCTYPE html><title>{0} {1}</title><h1>{0} {1}</h1><p>{2}</p><p>{3}</p>",
            answer.status,
            HTTPStatus(answer.status).phrase,
            answer.body["detail"],
            answer.body["code"],
        )
        response = HttpResponse(page, status=answer.status)
    for name, value in answer.headers.items():
        response[name] = value
    patch_vary_headers(response, ["Authorization", "Accept"])
    return response


def _wants_html(request: HttpRequest) -> bool:
    try:
        return request.accepts("text/html") and not request.accepts("application/json")
    except (LookupError, ValueError):  # Django's parser, of parameters in odd character sets
        return False


def challenge(scheme: str, refused: Refused | None = None) -> str:
    """The value of ``WWW-Authenticate``, "" for none (RFC 9110, section 11.6.1; RFC 6750, 3).

    Args:
        scheme: in lower case.
        refused: why; None asks for credentials where there were none.
    """
    # Frappe writes "token" so.
    realm = f'{_NAMES.get(scheme, scheme)} realm="{conf.snapshot().REALM}"'
    if refused is None:
        return realm
    if scheme == "bearer" and refused.reason is Reason.INSUFFICIENT_SCOPE:
        scopes = " ".join(refused.required_scopes)
        return f'{realm}, error="insufficient_scope"' + (f', scope="{scopes}"' if scopes else "")
    if refused.reason.status != 401:
        return ""
    return f'{realm}, error="invalid_token"' if scheme == "bearer" else realm


def retry_after(refused: Refused) -> int | None:
    """Seconds after which it may be tried again; None where that is no question."""
    return RETRY_AFTER_SECONDS if refused.reason.status == 503 else refused.retry_after
