"""What every operation behind our schemes has in common: the source header, and the refusals."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from drf_spectacular.plumbing import ResolvedComponent

from ...api.envelope import FrappeEnvelopeMixin
from ...conf import conf
from ...exceptions import Reason
from .schemes import SecurityRequirement

SOURCE_HEADER = "Frappe-Authorization-Source"
STATUSES = sorted({reason.status for reason in Reason})

_METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
_TEXT = {"type": "string"}
_SCHEMAS = {
    "ApiKeyRefusal": {
        "type": "object",
        "properties": {
            "detail": {**_TEXT, "description": "A sentence, which may be translated."},
            "code": {**_TEXT, "description": "Stable. Always there where the API key is refused."},
        },
        # The view's own permissions and throttles may answer with the sentence alone.
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
# By the body that an operation's errors have, and the prefix of the names of the answers.
_BODIES = {"ApiKeyRefusal": "ApiKeyRefused", "FrappeError": "FrappeRefused"}


def describe_refusals(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """A hook for ``POSTPROCESSING_HOOKS``: completes the operations that name one of our schemes.

    They get the optional source header, the answers 401, 403, 429 and 503 as far as they describe
    none of their own, and the scopes that they require in their description.
    """
    described = set()
    for operation in _operations(result):
        ours = [r for r in operation.get("security", ()) if isinstance(r, SecurityRequirement)]
        if ours:
            described.add(_describe(operation, ours[0]))
    for body in sorted(described):
        _add(result, generator, ResolvedComponent.SCHEMA, body, _SCHEMAS[body])
        for status in STATUSES:
            name = f"{_BODIES[body]}{status}"
            _add(result, generator, ResolvedComponent.RESPONSE, name, _answer(status, body))
    return result


def _add(result: dict[str, Any], generator: Any, kind: str, name: str, schema: Any) -> None:
    # To the registry as well: later hooks build the components from it anew.
    generator.registry.register_on_missing(
        ResolvedComponent(name=name, type=kind, object=name, schema=schema)
    )
    result.setdefault("components", {}).setdefault(kind, {}).setdefault(name, schema)


def _operations(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in result.get("paths", {}).values():
        yield from (operation for method, operation in item.items() if method in _METHODS)


def _describe(operation: dict[str, Any], ours: SecurityRequirement) -> str:
    """Complete one operation, and say which body its refusals have."""
    body = "FrappeError" if isinstance(ours.view, FrappeEnvelopeMixin) else "ApiKeyRefusal"
    parameters = operation.setdefault("parameters", [])
    if not any(parameter.get("name") == SOURCE_HEADER for parameter in parameters):
        parameters.append(_source_header())
    responses = operation["responses"]
    for status in STATUSES:
        responses.setdefault(
            str(status), {"$ref": f"#/components/responses/{_BODIES[body]}{status}"}
        )
    operation["responses"] = dict(sorted(responses.items()))
    if ours.scopes:
        scopes = ", ".join(f"`{scope}`" for scope in ours.scopes)
        sentence = f"An API key with scopes needs: {scopes}."
        written = operation.get("description", "")
        if sentence not in written:
            operation["description"] = f"{written}\n\n{sentence}".strip()
    return body


def _source_header() -> dict[str, Any]:
    return {
        "in": "header",
        "name": SOURCE_HEADER,
        "description": "What the API key belongs to. Without this header: `User`.",
        "schema": {"type": "string", "enum": list(conf.SOURCES), "default": "User"},
    }


def _answer(status: int, body: str) -> dict[str, Any]:
    codes = ", ".join(f"`{reason.code}`" for reason in Reason if reason.status == status)
    headers: dict[str, Any] = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = {"schema": _TEXT}
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        headers["Retry-After"] = {"schema": {"type": "integer"}, "description": "Seconds."}
    answer: dict[str, Any] = {
        "description": f"{HTTPStatus(status).phrase}. For an API key the code is one of: {codes}.",
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}},
    }
    return {**answer, "headers": headers} if headers else answer
