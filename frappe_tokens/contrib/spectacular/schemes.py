"""Describes the schemes, and the refusals of all operations with them."""

from __future__ import annotations

from http import HTTPStatus

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.settings import spectacular_settings
from rest_framework.request import Request

from ... import policy
from ...api.envelope import FrappeEnvelopeMixin
from ...conf import conf
from ...exceptions import Reason
from . import bodies
from .bodies import Schema

SOURCE_HEADER = "Frappe-Authorization-Source"
STATUSES = sorted({reason.status for reason in Reason})


class SecurityRequirement(dict[str, list[str]]):
    """A security requirement for one of our schemes.

    Attributes:
        responses: the operation's refusals, by status.
        scopes: what a scoped key or an access token needs for the operation.
    """

    def __init__(self, name: str, responses: Schema, scopes: tuple[str, ...]) -> None:
        # OpenAPI 3.0 only allows scopes for OAuth 2 and OpenID Connect.
        has_scopes: bool = spectacular_settings.OAS_VERSION >= "3.1"
        super().__init__({name: list(scopes) if has_scopes else []})
        self.responses = responses
        self.scopes = scopes


class _Scheme(OpenApiAuthenticationExtension):
    match_subclasses = True
    name: str
    definition: dict[str, str]

    def get_security_requirement(self, auto_schema: AutoSchema) -> SecurityRequirement:
        view = auto_schema.view
        scopes = policy.required_scopes(view, str(auto_schema.method))
        is_frappe = isinstance(view, FrappeEnvelopeMixin)
        body = auto_schema.resolve_serializer(
            bodies.FRAPPE_ERROR if is_frappe else bodies.REFUSAL, "response"
        )
        responses = {}
        for status in STATUSES:
            component = ResolvedComponent(
                name=f"{'FrappeRefused' if is_frappe else 'ApiKeyRefused'}{status}",
                type=ResolvedComponent.RESPONSE,
                schema=_response(status, body.ref),
                object=Reason,
            )
            auto_schema.registry.register_on_missing(component)
            responses[str(status)] = component.ref
        return SecurityRequirement(self.name, responses, scopes)

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return dict(self.definition)


class TokenScheme(_Scheme):
    target_class = "frappe_tokens.authentication.TokenAuthentication"
    name = "apiKeyToken"
    # Not "http": tools don't know this scheme, and would omit the header.
    definition = {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "Enter `token <api_key>:<api_secret>`, including the word `token`.",
    }


class BasicScheme(_Scheme):
    target_class = "frappe_tokens.authentication.BasicAuthentication"
    name = "apiKeyBasic"
    definition = {
        "type": "http",
        "scheme": "basic",
        "description": "The API key as the username, the API secret as the password.",
    }


class BearerScheme(_Scheme):
    target_class = "frappe_tokens.authentication.BearerAuthentication"
    name = "apiKeyBearer"
    definition = {
        "type": "http",
        "scheme": "bearer",
        "description": (
            "`<api_key>:<api_secret>`, or an OAuth 2 access token if the server issues them."
        ),
    }


def describe_refusals(
    result: Schema, generator: SchemaGenerator, request: Request | None, public: bool
) -> Schema:
    """Complete the operations that name one of our schemes. A hook for ``POSTPROCESSING_HOOKS``.

    They get the responses 401, 403, 429 and 503 unless they describe their own; the required scopes
    in their description; and the header for the source if there are several.
    """
    # A path may also have a summary, a description and parameters.
    operations = (each for path in result.get("paths", {}).values() for each in path.values())
    for operation in operations:
        requirements = operation.get("security", ()) if isinstance(operation, dict) else ()
        for requirement in requirements:
            if isinstance(requirement, SecurityRequirement):
                _complete(operation, requirement)
    return result


def _complete(operation: Schema, requirement: SecurityRequirement) -> None:
    sources = list(conf.SOURCES)
    parameters = operation.get("parameters", [])
    is_described = any(parameter.get("name") == SOURCE_HEADER for parameter in parameters)
    if len(sources) > 1 and not is_described:
        # Without a default, which Swagger UI would send.
        schema = {"type": "string", "enum": sources}
        description = "What the API key belongs to. Without this header: `User`."
        header = {"in": "header", "name": SOURCE_HEADER, "description": description}
        operation["parameters"] = [*parameters, {**header, "schema": schema}]
    responses = {**requirement.responses, **operation["responses"]}
    operation["responses"] = dict(sorted(responses.items()))
    if requirement.scopes:
        scopes = ", ".join(f"`{scope}`" for scope in requirement.scopes)
        sentence = f"An API key with scopes needs: {scopes}."
        description = operation.get("description", "")
        if sentence not in description:
            operation["description"] = f"{description}\n\n{sentence}".strip()


def _response(status: int, body: Schema) -> Schema:
    codes = ", ".join(f"`{reason.code}`" for reason in Reason if reason.status == status)
    response: Schema = {
        "description": f"{HTTPStatus(status).phrase}. For an API key, the code is one of: {codes}.",
        "content": {"application/json": {"schema": body}},
    }
    if status == HTTPStatus.UNAUTHORIZED:
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        seconds = {"schema": {"type": "integer"}, "description": "Seconds."}
        response["headers"] = {"Retry-After": seconds}
    return response
