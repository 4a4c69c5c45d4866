"""Describes what all operations with our schemes share: the source header and the refusals."""

from __future__ import annotations

from http import HTTPStatus

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.plumbing import ResolvedComponent
from rest_framework.request import Request

from ...api.envelope import FrappeEnvelopeMixin
from ...conf import conf
from ...exceptions import Reason
from .extensions import Schema, SecurityRequirement

SOURCE_HEADER = "Frappe-Authorization-Source"
STATUSES = sorted({reason.status for reason in Reason})

_METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
_TEXT = {"type": "string"}
_SCHEMAS: dict[str, Schema] = {
    "ApiKeyRefusal": {
        "type": "object",
        "properties": {
            "detail": {**_TEXT, "description": "A sentence, which may be translated."},
            "code": {**_TEXT, "description": "Stable. Always present if the API key is refused."},
        },
        # The view's own permissions and throttles may answer without a code.
        "required": ["detail"],
    },
    "FrappeError": {
        "type": "object",
        "properties": {
            "exc_type": {**_TEXT, "description": "The class of Frappe's exception."},
            "exception": _TEXT,
            "exc": {**_TEXT, "description": "A list of messages, as JSON."},
            "_server_messages": {**_TEXT, "description": "Objects as JSON, in a list as JSON."},
            "code": {**_TEXT, "description": "Stable, for programs."},
        },
        "required": ["exc_type", "exception", "exc", "_server_messages", "code"],
    },
}
# The names of the responses start with these.
_RESPONSES = {"ApiKeyRefusal": "ApiKeyRefused", "FrappeError": "FrappeRefused"}


def describe_refusals(
    result: Schema, generator: SchemaGenerator, request: Request | None, public: bool
) -> Schema:
    """Complete the operations that name one of our schemes. A hook for ``POSTPROCESSING_HOOKS``.

    They get the optional source header, the responses 401, 403, 429 and 503 unless they describe
    their own, and in their description the scopes that they require.
    """
    bodies = set()
    for item in result.get("paths", {}).values():
        for operation in (item[method] for method in item if method in _METHODS):
            requirements = operation.get("security", ())
            ours = [each for each in requirements if isinstance(each, SecurityRequirement)]
            if ours:
                bodies.add(_describe(operation, ours[0]))
    for body in sorted(bodies):
        _add(result, generator, ResolvedComponent.SCHEMA, body, _SCHEMAS[body])
        for status in STATUSES:
            name = f"{_RESPONSES[body]}{status}"
            _add(result, generator, ResolvedComponent.RESPONSE, name, _response(status, body))
    return result


def _add(result: Schema, generator: SchemaGenerator, kind: str, name: str, schema: Schema) -> None:
    # Also to the registry, from which later hooks rebuild the components.
    generator.registry.register_on_missing(
        ResolvedComponent(name=name, type=kind, object=name, schema=schema)
    )
    result.setdefault("components", {}).setdefault(kind, {}).setdefault(name, schema)


def _describe(operation: Schema, requirement: SecurityRequirement) -> str:
    """Complete one operation, and return the name of the schema of its refusals."""
    body = "FrappeError" if isinstance(requirement.view, FrappeEnvelopeMixin) else "ApiKeyRefusal"
    parameters = operation.setdefault("parameters", [])
    if not any(parameter.get("name") == SOURCE_HEADER for parameter in parameters):
        schema = {**_TEXT, "enum": list(conf.SOURCES), "default": "User"}
        description = "What the API key belongs to. Without this header: `User`."
        parameters.append(
            {"in": "header", "name": SOURCE_HEADER, "description": description, "schema": schema}
        )
    refusals = {
        str(status): {"$ref": f"#/components/responses/{_RESPONSES[body]}{status}"}
        for status in STATUSES
    }
    operation["responses"] = dict(sorted({**refusals, **operation["responses"]}.items()))
    if requirement.scopes:
        scopes = ", ".join(f"`{scope}`" for scope in requirement.scopes)
        sentence = f"An API key with scopes needs: {scopes}."
        description = operation.get("description", "")
        if sentence not in description:
            operation["description"] = f"{description}\n\n{sentence}".strip()
    return body


def _response(status: int, body: str) -> Schema:
    codes = ", ".join(f"`{reason.code}`" for reason in Reason if reason.status == status)
    response: Schema = {
        "description": f"{HTTPStatus(status).phrase}. For an API key, the code is one of: {codes}.",
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}},
    }
    if status == HTTPStatus.UNAUTHORIZED:
        response["headers"] = {"WWW-Authenticate": {"schema": _TEXT}}
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        seconds = {"schema": {"type": "integer"}, "description": "Seconds."}
        response["headers"] = {"Retry-After": seconds}
    return response
