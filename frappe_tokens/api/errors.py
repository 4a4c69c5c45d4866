"""Errors in Django REST framework's form: ``{"detail": ..., "code": ...}``, or by field."""

from __future__ import annotations

import logging

from django.core.exceptions import NON_FIELD_ERRORS, SuspiciousOperation
from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework.exceptions import (
    APIException,
    ErrorDetail,
    NotFound,
    ParseError,
    ValidationError,
)
from rest_framework.fields import get_error_detail
from rest_framework.response import Response
from rest_framework.views import exception_handler

from ..db import explain, is_outage
from ..exceptions import Reason
from ..logs import RateLimitedLogger
from ..verification import RETRY_AFTER_SECONDS

_log_error = RateLimitedLogger(logging.getLogger(__name__), "A request can't be served: %s")


class Conflict(APIException):
    """The state of the key doesn't allow the request."""

    status_code = 409


class Unavailable(APIException):
    """The database doesn't respond or isn't migrated, or a lock was held for too long."""

    status_code = Reason.SERVICE_UNAVAILABLE.status
    default_code = Reason.SERVICE_UNAVAILABLE.code
    default_detail = gettext_lazy("The database doesn't respond. Try again shortly.")
    wait = RETRY_AFTER_SECONDS  # for Retry-After


class NoSuchKey(NotFound):
    """The key doesn't exist, or the caller may not see it."""

    default_code = "no_key"
    default_detail = gettext_lazy("There is no such API key.")


def keys_exception_handler(exc: Exception, context: dict[str, object]) -> Response | None:
    """Add a ``code`` to the response of DRF's exception handler, and handle the core's errors."""
    if isinstance(exc, DjangoValidationError):
        exc = _translated(exc)
    response = exception_handler(as_api_exception(exc), context)
    if response is not None and isinstance(response.data, dict):
        detail = response.data.get("detail")
        if isinstance(detail, ErrorDetail):
            response.data.setdefault("code", detail.code)
    return response


def as_api_exception(exc: Exception) -> Exception:
    """Return DRF's exception for ``exc`` if Django would send an HTML page, else ``exc``."""
    if isinstance(exc, SuspiciousOperation):  # such as a body that is too large
        return ParseError(_("The request can't be read: %(error)s") % {"error": exc})
    if is_outage(exc):
        _log_error(explain(exc))
        return Unavailable()
    return exc


def _translated(error: DjangoValidationError) -> APIException:
    if hasattr(error, "error_dict"):
        if NON_FIELD_ERRORS in error.error_dict:
            # The only constraint on several fields: a unique name.
            return Conflict(error.error_dict[NON_FIELD_ERRORS][0].messages[0], "name_taken")
        return ValidationError(get_error_detail(error))
    if error.code == "no_key":
        return NoSuchKey()
    if error.code in {"key_revoked", "name_taken", "too_many_keys"}:
        return Conflict(error.messages[0], error.code)
    return ValidationError({"detail": ErrorDetail(error.messages[0], error.code or "invalid")})
