"""Describes the app's own operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)
from rest_framework.views import APIView

from . import bodies

_DESCRIPTIONS = {
    400: "A value is invalid, or the request can't be read.",
    403: "The signature of a list is missing or wrong.",
    404: "There is no such key, or you don't have access to it.",
    409: "The key's name is taken, or the key is revoked.",
    415: "The body's type isn't one of those listed here.",
    417: "A value is missing or invalid.",
    429: "Too many tokens from this address.",
    503: "The database doesn't answer.",
}
NO_WIDER = (
    "403 for keys of users with more rights than yours, and for keys that would allow more than "
    "the key that authenticates the request."
)
API_KEY = OpenApiParameter(
    "api_key",
    {"type": "string", "pattern": "^[!-~]+$"},
    "path",
    description="As generated or imported. Percent-encode it if necessary.",
)


def query(name: str, description: str, **schema: object) -> OpenApiParameter:
    return OpenApiParameter(name, {"type": "string", **schema}, description=description)


def operation(
    summary: str,
    description: str,
    responses: dict[int, object],
    errors: Sequence[int] = (),
    *parameters: OpenApiParameter,
    body: object = bodies.ERROR,
    **options: Any,
) -> Callable[..., object]:
    """Describe an operation that also responds with ``errors``, in the form ``body``.

    Its request is the view's ``serializer_class``, unless ``options`` has another ``request``.
    """
    for status in errors:
        form = bodies.INVALID if status == 400 else body
        responses = {status: OpenApiResponse(form, _DESCRIPTIONS[status]), **responses}
    options.update(summary=summary, description=description)
    return extend_schema(responses=responses, parameters=list(parameters), **options)


def describe(view: str, **methods: Callable[..., object]) -> None:
    """Describe the methods of one of the app's views, and of the project's subclasses of it."""

    class Extension(OpenApiViewExtension):
        target_class = f"frappe_tokens.api.{view}"
        match_subclasses = True

        def view_replacement(self) -> type[APIView]:
            subclass = type(self.target.__name__, (self.target,), {"__doc__": self.target.__doc__})
            return extend_schema_view(**methods)(subclass)
