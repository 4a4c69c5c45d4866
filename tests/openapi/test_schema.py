"""What drf-spectacular makes of our classes and of the app's own addresses."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils.module_loading import import_string
from drf_spectacular.settings import patched_settings, spectacular_settings
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from drf_spectacular.validation import validate_schema
from rest_framework import authentication as drf
from rest_framework import serializers
from rest_framework.generics import CreateAPIView, RetrieveAPIView
from rest_framework.permissions import AllowAny

from frappe_tokens import authentication as ours
from frappe_tokens.api.envelope import FrappeEnvelopeMixin
from frappe_tokens.api.serializers import FilterSerializer
from frappe_tokens.contrib import spectacular
from frappe_tokens.exceptions import Reason

Describe = Callable[..., Any]

SOURCE = "Frappe-Authorization-Source"
REFUSALS = {"401", "403", "429", "503"}
KEYS = {
    "/api/keys/": {"get", "post"},
    "/api/keys/{api_key}/": {"get", "patch", "delete"},
    "/api/keys/{api_key}/rotate/": {"post"},
    "/api/keys/{api_key}/usage/": {"get"},
    "/api/keys/revoke-leaked/": {"post"},
}
CALLS = [
    "/api/method/frappe.auth.get_logged_user/",
    "/api/method/frappe.core.api.auth.generate_api_keys/",
    "/api/method/frappe.core.doctype.user.user/",
    "/api/method/frappe.core.doctype.user.user.generate_keys/",
]


class Token(ours.TokenAuthentication):
    """A project's own."""


class NoteSerializer(serializers.Serializer[Any]):
    text = serializers.CharField()


class View(CreateAPIView[Any], RetrieveAPIView[Any]):
    """Words."""

    serializer_class = NoteSerializer
    authentication_classes = [Token, ours.BasicAuthentication, ours.BearerAuthentication]


def parameters(operation):
    return {parameter["name"]: parameter for parameter in operation.get("parameters", [])}


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_example_project_is_described_without_a_warning(version):
    printed = io.StringIO()
    with patched_settings({"OAS_VERSION": version}):
        call_command("spectacular", "--validate", "--fail-on-warn", stdout=printed)
    assert printed.getvalue().startswith(f"openapi: {version}\n")


@pytest.mark.django_db
def test_example_project_serves_its_schema():
    response = Client().get("/api/schema/", headers={"accept": "application/json"})
    assert response.status_code == 200
    assert set(KEYS) | set(CALLS) <= set(response.json()["paths"])


def test_operations_have_names_of_their_own(schema):
    names = [
        operation["operationId"] for item in schema["paths"].values() for operation in item.values()
    ]
    assert len(set(names)) == len(names)


def test_addresses_and_methods_of_keys(schema):
    described = {path: set(item) for path, item in schema["paths"].items() if "keys/" in path}
    assert {path: item for path, item in described.items() if "method" not in path} == KEYS


def test_each_scheme_is_one_that_tools_know(describe):
    schemes = describe(View)["components"]["securitySchemes"]
    told = {name: {**scheme, "description": ""} for name, scheme in schemes.items()}
    assert told == {
        "apiKeyToken": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "",
        },
        "apiKeyBasic": {"type": "http", "scheme": "basic", "description": ""},
        "apiKeyBearer": {"type": "http", "scheme": "bearer", "description": ""},
    }
    assert "`token`" in schemes["apiKeyToken"]["description"]


def test_each_scheme_is_enough_by_itself(describe):
    operation = describe(View)["paths"]["/0"]["get"]
    assert operation["security"] == [{"apiKeyToken": []}, {"apiKeyBasic": []}, {"apiKeyBearer": []}]


def test_stands_beside_the_schemes_of_other_classes(describe):
    class Both(View):
        authentication_classes = [ours.TokenAuthentication, drf.TokenAuthentication]
        permission_classes = [AllowAny]

    schema = describe(Both)
    validate_schema(schema)
    security = schema["paths"]["/0"]["get"]["security"]
    assert security == [{"apiKeyToken": []}, {"tokenAuth": []}, {}]
    assert parameters(schema["paths"]["/0"]["get"])


def test_source_header_is_optional_and_one_of_the_sources(describe, settings):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Sensor": "events.EventConsumer"}}
    for method in ("get", "post"):
        header = parameters(describe(View)["paths"]["/0"][method])[SOURCE]
        assert header["in"] == "header"
        assert not header.get("required")
        assert header["schema"]["enum"] == ["User", "Sensor"]
        assert header["schema"]["default"] == "User"


def test_refusals_are_documented_with_body_and_codes(describe):
    schema = describe(View)
    validate_schema(schema)
    answers = schema["paths"]["/0"]["get"]["responses"]
    assert set(answers) == {"200"} | REFUSALS
    for status in REFUSALS:
        name = answers[status]["$ref"].rpartition("/")[2]
        answer = schema["components"]["responses"][name]
        body = answer["content"]["application/json"]["schema"]
        assert body == {"$ref": "#/components/schemas/ApiKeyRefusal"}
        codes = {reason.code for reason in Reason if reason.status == int(status)}
        assert all(f"`{code}`" in answer["description"] for code in codes)
        assert ("WWW-Authenticate" in answer.get("headers", {})) == (status == "401")
        assert ("Retry-After" in answer.get("headers", {})) == (status in {"429", "503"})
    assert set(schema["components"]["schemas"]["ApiKeyRefusal"]["properties"]) == {"detail", "code"}


def test_refusals_of_a_view_in_frappes_envelope_have_that_body(describe):
    class InEnvelope(FrappeEnvelopeMixin, View):
        pass

    schema = describe(InEnvelope, View)
    validate_schema(schema)
    for place, body in (("/0", "FrappeError"), ("/1", "ApiKeyRefusal")):
        name = schema["paths"][place]["get"]["responses"]["401"]["$ref"].rpartition("/")[2]
        answer = schema["components"]["responses"][name]["content"]["application/json"]
        assert answer["schema"]["$ref"].endswith(f"/{body}")


def test_what_a_view_says_of_itself_stays(describe):
    header = OpenApiParameter(SOURCE, str, OpenApiParameter.HEADER, description="Own words.")
    say = extend_schema(
        description="Own words.", responses={200: str, 403: None}, parameters=[header]
    )

    @extend_schema_view(get=say)
    class Said(View):
        pass

    operation = describe(Said)["paths"]["/0"]["get"]
    assert operation["description"] == "Own words."
    assert operation["responses"]["403"] == {"description": "No response body"}
    assert [p["name"] for p in operation["parameters"]] == [SOURCE]
    assert operation["parameters"][0]["description"] == "Own words."


def test_views_without_our_classes_are_left_alone(describe):
    class Theirs(View):
        authentication_classes = [drf.BasicAuthentication]

    schema = describe(Theirs)
    assert parameters(schema["paths"]["/0"]["get"]) == {}
    assert set(schema["paths"]["/0"]["get"]["responses"]) == {"200"}
    assert set(schema["components"]) == {"schemas", "securitySchemes"}
    assert set(schema["components"]["schemas"]) == {"Note"}


def test_required_scopes_are_named_by_method(describe):
    class Scoped(View):
        required_scopes = {"get": ["notes:read"], "post": "notes:read notes:write"}

    item = describe(Scoped, View)["paths"]
    sentence = "An API key with scopes needs: `notes:read`"
    assert item["/0"]["get"]["description"] == f"Words.\n\n{sentence}."
    assert item["/0"]["post"]["description"] == f"Words.\n\n{sentence}, `notes:write`."
    assert item["/1"]["get"]["description"] == "Words."
    # Which OpenAPI 3.0 keeps to OAuth 2.
    assert item["/0"]["get"]["security"][0] == {"apiKeyToken": []}


def test_required_scopes_are_in_the_requirement_as_of_openapi_3_1(describe):
    class Scoped(View):
        required_scopes = ["notes"]

    with patched_settings({"OAS_VERSION": "3.1.0"}):
        schema = describe(Scoped)
        validate_schema(schema)
    assert schema["paths"]["/0"]["get"]["security"][0] == {"apiKeyToken": ["notes"]}


def own_hook(result, **kwargs):
    """A project's own."""
    return {**result, "x-tags": sorted(result["components"]["responses"])}


OURS = "frappe_tokens.contrib.spectacular.describe_refusals"
OWN = f"{__name__}.own_hook"


@pytest.mark.parametrize(
    ("listed", "used"),
    [([OWN], [OURS, OWN]), ([OWN, OURS], [OWN, OURS]), ([OURS], [OURS])],
)
def test_hook_is_there_once_and_where_the_project_put_it(listed, used):
    # As the app's configuration left it.
    assert spectacular.describe_refusals is spectacular_settings.POSTPROCESSING_HOOKS[0]
    with patched_settings({"POSTPROCESSING_HOOKS": listed}):
        spectacular.register()
        assert [import_string(name) for name in used] == spectacular_settings.POSTPROCESSING_HOOKS


def test_hooks_of_the_project_see_what_ours_wrote(describe):
    with patched_settings({"POSTPROCESSING_HOOKS": [OURS, OWN]}):
        assert describe(View)["x-tags"] == [f"ApiKeyRefused{status}" for status in sorted(REFUSALS)]


def test_hook_that_runs_twice_adds_nothing(describe):
    class Scoped(View):
        required_scopes = ["notes"]

    once = describe(Scoped)
    with patched_settings({"POSTPROCESSING_HOOKS": [OURS, OURS]}):
        assert describe(Scoped) == once


# The app's own addresses


def test_filters_are_described_for_the_list_alone(schema):
    filters = {"user", "name", "state", *FilterSerializer().fields}
    assert set(parameters(schema["paths"]["/api/keys/"]["get"])) == {
        "page",
        "page_size",
        SOURCE,
        *filters,
    }
    others = schema["paths"]["/api/keys/{api_key}/"]["get"]
    assert set(parameters(others)) == {"api_key", SOURCE}


def test_each_operation_of_the_app_is_described(schema):
    for path in (*KEYS, *CALLS):
        for operation in schema["paths"][path].values():
            assert operation["summary"]
            assert operation["description"]


@pytest.mark.parametrize(
    ("path", "method", "answers"),
    [
        ("/api/keys/", "get", {"200", "400", "404"}),
        ("/api/keys/", "post", {"201", "400", "409", "415"}),
        ("/api/keys/{api_key}/", "get", {"200", "404"}),
        ("/api/keys/{api_key}/", "patch", {"200", "400", "404", "409", "415"}),
        ("/api/keys/{api_key}/", "delete", {"204", "400", "404", "415"}),
        ("/api/keys/{api_key}/rotate/", "post", {"200", "400", "404", "409", "415"}),
        (CALLS[0], "get", {"200"}),
        (CALLS[0], "post", {"200"}),
        (CALLS[3], "get", {"200", "404", "405", "415", "417"}),
        (CALLS[3], "post", {"200", "404", "415", "417"}),
    ],
)
def test_answers_of_an_address(schema, path, method, answers):
    assert set(schema["paths"][path][method]["responses"]) == answers | REFUSALS


def test_leaked_tokens_are_revoked_without_credentials(schema):
    operation = schema["paths"]["/api/keys/revoke-leaked/"]["post"]
    assert operation["security"] == [{}]
    assert SOURCE not in parameters(operation)
    assert set(operation["responses"]) == {"204", "400", "415", "429", "503"}


def test_errors_of_frappes_calls_have_its_envelope(schema):
    for path in CALLS:
        for operation in schema["paths"][path].values():
            for status, answer in operation["responses"].items():
                if "$ref" in answer:
                    answer = schema["components"]["responses"][answer["$ref"].rpartition("/")[2]]
                body = answer["content"]["application/json"]["schema"]
                assert (body["$ref"] == "#/components/schemas/FrappeError") == (status != "200")


def test_secret_is_in_the_answers_that_make_one_alone(schema):
    with_secret = {
        name
        for name, component in schema["components"]["schemas"].items()
        if "api_secret" in component.get("properties", {})
    }
    assert with_secret == {"ApiKeyWithSecret", "FrappeApiKeyPair"}
    keys = schema["components"]["schemas"]["ApiKey"]["properties"]
    assert not any("digest" in name for name in keys)


def test_key_that_is_made_says_where_it_is(schema):
    assert set(schema["paths"]["/api/keys/"]["post"]["responses"]["201"]["headers"]) == {"Location"}


def test_unknown_fields_are_none(schema):
    schemas = schema["components"]["schemas"]
    for name in ("NewApiKey", "PatchedApiKeyPolicies", "ApiKeyRotation"):
        assert schemas[name]["additionalProperties"] is False
        assert "required" not in schemas[name]
    assert schemas["LeakedToken"]["required"] == ["token"]


def test_form_and_json_are_both_taken_by_frappes_calls(schema):
    content = schema["paths"][CALLS[3]]["post"]["requestBody"]["content"]
    assert set(content) == {
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    }
