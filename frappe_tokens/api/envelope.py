"""Frappe's envelope: the form in which its clients expect answers and errors.

Source: https://docs.frappe.io/framework/user/en/api/rest, and what frappe-js-sdk and the Python
frappe-client read of an error: the latter looks at no status, only for a non-empty ``exc``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import status
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation, DefaultContentNegotiation
from rest_framework.parsers import BaseParser, FormParser, JSONParser, MultiPartParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler

from .bodies import CheckedBodyMixin
from .errors import answerable

_EXC_TYPES = {
    401: "AuthenticationError",
    403: "PermissionError",
    404: "DoesNotExistError",
    405: "PermissionError",  # as Frappe has it for a method that is not whitelisted
    429: "TooManyRequestsError",
    503: "SessionStopped",
}


class FirstRenderer(DefaultContentNegotiation):
    """Answers in the one form there is, whatever ``Accept`` says, as Frappe does."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class StrictJSONParser(JSONParser):
    """DRF's, except that a body nested too deeply is a parse error too, and not a server error."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().parse(*args, **kwargs)
        except RecursionError as error:
            raise ParseError(_("The JSON body is nested too deeply.")) from error


class StrictMultiPartParser(MultiPartParser):
    """DRF's, except that an unreadable part is a parse error, and not a server error."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().parse(*args, **kwargs)
        except LookupError as error:
            # The name of a part may be in a charset of its own (RFC 2231), which nobody knows.
            raise ParseError(_("A part of the form cannot be read.")) from error


class FrappeEnvelopeMixin(CheckedBodyMixin):
    """For DRF views whose clients are Frappe's: JSON in and out, errors in Frappe's envelope.

    A body that is too large (``max_body_bytes``, else ``DATA_UPLOAD_MAX_MEMORY_SIZE``) or not in
    UTF-8, ISO-8859-1 or US-ASCII is refused before it is read.
    """

    content_negotiation_class: type[BaseContentNegotiation] = FirstRenderer
    renderer_classes: Sequence[type[BaseRenderer]] = [JSONRenderer]
    parser_classes: Sequence[type[BaseParser]] = [
        StrictJSONParser,
        FormParser,
        StrictMultiPartParser,
    ]

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return envelope_exception_handler


def envelope_exception_handler(exc: Exception, context: Mapping[str, object]) -> Response | None:
    """DRF's exception handler, its answer put into Frappe's envelope.

    Returns:
        A response with ``exc_type``, ``exception``, ``exc``, ``_server_messages`` and our ``code``;
        its headers and its status are DRF's, except that a 400 becomes Frappe's 417. None for an
        exception that is no answer (it becomes a 500).
    """
    response = exception_handler(answerable(exc), dict(context))
    if response is None:
        return None
    if response.status_code == status.HTTP_400_BAD_REQUEST:
        response.status_code = status.HTTP_417_EXPECTATION_FAILED
    message = _message(response.data)
    response.data = error_envelope(response.status_code, message, _code(response.data))
    return response


def error_envelope(status_code: int, message: str, code: str) -> dict[str, str]:
    """The body of an error.

    Args:
        status_code: the HTTP status that it goes with.
        message: what went wrong, for people.
        code: what went wrong, for programs.
    """
    # What it repeats of the request may hold a lone surrogate: JSON has those, UTF-8 has not.
    message = message.encode("utf-8", "backslashreplace").decode()
    exc_type = _EXC_TYPES.get(status_code, "ValidationError")
    shown = {"message": message, "title": "Message", "indicator": "red", "raise_exception": 1}
    return {
        "exc_type": exc_type,
        "exception": f"frappe.exceptions.{exc_type}: {message}",
        "exc": json.dumps([f"{exc_type}: {message}"]),
        "_server_messages": json.dumps([json.dumps(shown)]),
        "code": code,
    }


def _message(data: object) -> str:
    """One text of DRF's error data, which may be nested by field."""
    if isinstance(data, dict):
        if "detail" in data:
            return str(data["detail"])
        return " ".join(
            _message(value) if name == "non_field_errors" else f"{name}: {_message(value)}"
            for name, value in data.items()
        )
    if isinstance(data, list):
        return " ".join(_message(item) for item in data)
    return str(data)


def _code(data: object) -> str:
    """Our own code where the error has one, else DRF's of that error."""
    if not isinstance(data, dict) or "detail" not in data:
        return "invalid"
    return str(data.get("code") or getattr(data["detail"], "code", "error"))
