"""Frappe's envelope: the form in which its clients expect responses and errors.

Sources: https://docs.frappe.io/framework/user/en/api/rest, frappe-js-sdk and the Python
frappe-client, which ignores the status and only looks for a non-empty ``exc``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.http import RawPostDataException
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser, FormParser, JSONParser, MultiPartParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler

from .bodies import CheckedBodyMixin
from .errors import as_api_exception

_EXC_TYPES = {
    401: "AuthenticationError",
    403: "PermissionError",
    404: "DoesNotExistError",
    405: "PermissionError",  # as in Frappe for methods that aren't whitelisted
    429: "TooManyRequestsError",
    503: "SessionStopped",
}


class _StrictParser(BaseParser):
    """Refuses bodies for which DRF's parsers raise other errors."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().parse(*args, **kwargs)
        except RecursionError as error:
            raise ParseError(_("The JSON body is nested too deeply.")) from error
        except LookupError as error:
            # The name of a part may be in an unknown charset (RFC 2231).
            raise ParseError(_("A part of the form can't be read.")) from error


class StrictJSONParser(_StrictParser, JSONParser):
    """Refuses a body that is nested too deeply."""


class StrictMultiPartParser(_StrictParser, MultiPartParser):
    """Refuses unreadable parts."""


class JSONMixin(CheckedBodyMixin):
    """JSON in and out, whatever ``Accept`` says, like Frappe."""

    parser_classes = [StrictJSONParser]
    renderer_classes = [JSONRenderer]

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        try:
            request.stream  # noqa: B018 - a property, and the one public way to get this error
        except RawPostDataException:
            # A middleware or the CSRF check has read the form. DRF would take it for empty, and
            # options such as "read_only" would be ignored.
            negotiator = self.get_content_negotiator()
            if negotiator.select_parser(request, self.get_parsers()) is None:
                raise UnsupportedMediaType(request.content_type) from None

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        renderer = self.get_renderers()[0]
        return renderer, renderer.media_type


class FrappeEnvelopeMixin(JSONMixin):
    """For DRF views with Frappe's clients: JSON or a form in, errors in Frappe's envelope.

    A body that is too large (``max_body_bytes``, else ``DATA_UPLOAD_MAX_MEMORY_SIZE``) or not in
    UTF-8, ISO-8859-1 or US-ASCII is refused before it is read.
    """

    parser_classes = [StrictJSONParser, FormParser, StrictMultiPartParser]
    # The version of Frappe's REST API, 1 or 2.
    frappe_version = 1

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return envelope_exception_handler

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        if self.frappe_version == 2 and "message" in (response.data or {}):
            response.data = {"data": response.data["message"]}
        final: Response = super().finalize_response(request, response, *args, **kwargs)
        return final


def envelope_exception_handler(exc: Exception, context: dict[str, object]) -> Response | None:
    """Put the response of DRF's exception handler into Frappe's envelope, with our ``code``.

    Its headers and status stay, except that 400 becomes Frappe's 417.
    """
    response = exception_handler(as_api_exception(exc), context)
    if response is None:
        return None
    if response.status_code == 400:
        response.status_code = 417
    # It may repeat a lone surrogate from the request, which JSON allows and UTF-8 doesn't.
    message = _message(response.data).encode("utf-8", "backslashreplace").decode()
    exc_type = _EXC_TYPES.get(response.status_code, "ValidationError")
    shown = {"message": message, "title": "Message", "indicator": "red", "raise_exception": 1}
    if getattr(context.get("view"), "frappe_version", 1) == 2:
        error = {key: shown[key] for key in ("message", "title", "indicator")}
        response.data = {"errors": [{"type": exc_type, **error}], "code": _code(response.data)}
        return response
    response.data = {
        "exc_type": exc_type,
        "exception": f"frappe.exceptions.{exc_type}: {message}",
        "exc": json.dumps([f"{exc_type}: {message}"]),
        "_server_messages": json.dumps([json.dumps(shown)]),
        "code": _code(response.data),
    }
    return response


def _message(data: object) -> str:
    """Return DRF's error data, which may be nested by field, as one string."""
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
    if not isinstance(data, dict) or "detail" not in data:
        return "invalid"
    return str(data.get("code") or getattr(data["detail"], "code", "error"))
