"""Responses to refusals, for every way in."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_vary_headers
from django.utils.html import format_html

from ..conf import conf
from ..exceptions import Reason, Refused
from .access_tokens import metadata_url
from .request import RequestInfo

# For a database that doesn't answer.
RETRY_AFTER_SECONDS = 5

_NAMES = {"basic": "Basic", "bearer": "Bearer"}


def refusal_response(
    request: HttpRequest, refused: Refused, scheme: str, bearer: RequestInfo | None = None
) -> HttpResponse:
    """Return Django's response to a refusal: JSON, or HTML if the client accepts only that.

    ``scheme`` and ``bearer`` are those of :func:`challenge`.
    """
    code, status = refused.reason.code, refused.reason.status
    if _wants_html(request):
        page = "<!DOCTYPE html><title>{0}</title><h1>{0}</h1><p>{1}</p><p>{2}</p>"
        title = f"{status} {HTTPStatus(status).phrase}"
        response = HttpResponse(format_html(page, title, refused.sentence, code), status=status)
    else:
        response = JsonResponse({"detail": str(refused.sentence), "code": code}, status=status)
    if challenged := challenge(scheme, refused, bearer):
        response["WWW-Authenticate"] = challenged
    if (seconds := retry_after(refused)) is not None:
        response["Retry-After"] = str(seconds)
    patch_vary_headers(response, ["Authorization", "Accept"])
    return response


def _wants_html(request: HttpRequest) -> bool:
    try:
        return request.accepts("text/html") and not request.accepts("application/json")
    except (LookupError, ValueError):  # Django's parser fails for some character sets
        return False


def challenge(
    scheme: str, refused: Refused | None = None, bearer: RequestInfo | None = None
) -> str:
    """Return the value of ``WWW-Authenticate``, "" for none (RFC 9110, 11.6.1; RFC 6750, 3).

    Args:
        scheme: the scheme of the request, in lower case.
        refused: why it was refused; None if it had no credentials.
        bearer: the request, if its view takes Bearer too. If the metadata of the resource is
            served, the challenge says where (RFC 9728, 5.1), as a second one for other schemes,
            and which scopes a token needs.
    """
    own = _own_challenge(scheme, refused)
    if bearer is None or (refused is not None and refused.reason.status not in (401, 403)):
        return own
    url = metadata_url(bearer.request, bearer.view_has("is_oauth_resource"))
    if not url:
        return own
    pointing = f'resource_metadata="{url}"'
    if refused is None or refused.reason.status == 401:
        # Or else clients would ask users for every scope of the site.
        scopes = " ".join(bearer.required_scopes)
        pointing += f', scope="{scopes}"' if scopes else ""
    if scheme == "bearer" and own:
        return f"{own}, {pointing}"
    pointing = f'Bearer realm="{conf.REALM}", {pointing}'
    return f"{own}, {pointing}" if own else pointing


def _own_challenge(scheme: str, refused: Refused | None) -> str:
    # Frappe writes "token" in lower case.
    realm = f'{_NAMES.get(scheme, scheme)} realm="{conf.REALM}"'
    if refused is None:
        return realm
    if scheme == "bearer" and refused.reason is Reason.INSUFFICIENT_SCOPE:
        scopes = " ".join(refused.required_scopes)
        return f'{realm}, error="insufficient_scope"' + (f', scope="{scopes}"' if scopes else "")
    if refused.reason.status != 401:
        return ""
    return f'{realm}, error="invalid_token"' if scheme == "bearer" else realm


def retry_after(refused: Refused) -> int | None:
    """Return the seconds after which to try again; None if waiting doesn't help."""
    return RETRY_AFTER_SECONDS if refused.reason.status == 503 else refused.retry_after
