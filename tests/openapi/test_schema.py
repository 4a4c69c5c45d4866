"""What drf-spectacular describes of our classes and of the app's own URLs."""

import io
from typing import Any

import pytest
from django import urls
from django.core.management import call_command
from django.test import Client
from django.utils.module_loading import import_string
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import patched_settings, spectacular_settings
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import authentication as drf
from rest_framework import serializers
from rest_framework.generics import CreateAPIView, RetrieveAPIView
from rest_framework.permissions import AllowAny

from frappe_tokens import authentication as ours
from frappe_tokens.api.envelope import FrappeEnvelopeMixin
from frappe_tokens.api.rpc import GetLoggedUser
from frappe_tokens.api.serializers import FilterSerializer
from frappe_tokens.contrib import spectacular
from frappe_tokens.exceptions import Reason

SOURCE = "Frappe-Authorization-Source"
APP = urls.path("api/", urls.include("frappe_tokens.urls"))
REFUSALS = {"401", "403", "429", "503"}
GENERATE = "/api/method/frappe.core.doctype.user.user.generate_keys/"


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


def resolve(schema, node):
    """Return what a reference points to."""
    if "$ref" not in node:
        return node
    kind, name = node["$ref"].rsplit("/", 2)[1:]
    return schema["components"][kind][name]


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
    assert GENERATE in response.json()["paths"]


def test_each_scheme_is_one_that_tools_know(describe):
    schemes = describe(View)["components"]["securitySchemes"]

    assert "`token`" in schemes["apiKeyToken"].pop("description")
    assert schemes.pop("apiKeyToken") == {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
    }
    described = {name: (scheme["type"], scheme["scheme"]) for name, scheme in schemes.items()}
    assert described == {"apiKeyBasic": ("http", "basic"), "apiKeyBearer": ("http", "bearer")}


def test_is_described_beside_the_schemes_of_other_classes(describe, validate_schema):
    class Both(View):
        authentication_classes = [ours.TokenAuthentication, drf.TokenAuthentication]
        permission_classes = [AllowAny]

    schema = describe(Both)

    validate_schema(schema)
    operation = schema["paths"]["/0"]["get"]
    assert operation["security"] == [{"apiKeyToken": []}, {"tokenAuth": []}, {}]
    assert set(parameters(operation)) == {SOURCE}


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        ({}, None),
        ({"User": "events.EventConsumer"}, None),
        ({"Sensor": "events.EventConsumer"}, ["User", "Sensor"]),
    ],
    ids=["one", "other", "two"],
)
def test_source_header_is_optional_and_there_for_several_sources(
    describe, settings, sources, names
):
    settings.FRAPPE_TOKENS = {"SOURCES": sources}

    described = parameters(describe(View)["paths"]["/0"]["post"])

    if names is None:
        assert described == {}
    else:
        assert set(described[SOURCE]) == {"name", "in", "description", "schema"}
        assert described[SOURCE]["schema"] == {"type": "string", "enum": names}


def test_refusals_are_documented_with_body_and_codes(describe, validate_schema):
    class InEnvelope(FrappeEnvelopeMixin, View):
        pass

    schema = describe(View, InEnvelope)

    validate_schema(schema)
    for path, body in (("/0", "ApiKeyRefusal"), ("/1", "FrappeError")):
        responses = schema["paths"][path]["get"]["responses"]
        assert set(responses) == {"200"} | REFUSALS
        for status in REFUSALS:
            response = resolve(schema, responses[status])
            form = response["content"]["application/json"]["schema"]
            assert form == {"$ref": f"#/components/schemas/{body}"}
            codes = {reason.code for reason in Reason if reason.status == int(status)}
            assert all(f"`{code}`" in response["description"] for code in codes)
            headers = response.get("headers", {})
            assert ("WWW-Authenticate" in headers) == (status == "401")
            assert ("Retry-After" in headers) == (status in {"429", "503"})
    assert set(schema["components"]["schemas"]["ApiKeyRefusal"]["properties"]) == {"detail", "code"}


def test_own_description_of_a_view_stays(describe):
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

    operation = schema["paths"]["/0"]["get"]
    assert (parameters(operation), set(operation["responses"])) == ({}, {"200"})
    assert set(schema["components"]) == {"schemas", "securitySchemes"}
    assert set(schema["components"]["schemas"]) == {"Note"}


def test_required_scopes_are_named_by_method(describe, validate_schema):
    class Scoped(View):
        required_scopes = {"get": ["notes:read"], "post": "notes:read notes:write"}

    item = describe(Scoped, View)["paths"]
    with patched_settings({"OAS_VERSION": "3.1.0"}):
        newer = describe(Scoped)

    sentence = "An API key with scopes needs: `notes:read`"
    assert item["/0"]["get"]["description"] == f"Words.\n\n{sentence}."
    assert item["/0"]["post"]["description"] == f"Words.\n\n{sentence}, `notes:write`."
    assert item["/1"]["get"]["description"] == "Words."
    # OpenAPI 3.0 only allows scopes for OAuth 2.
    assert item["/0"]["get"]["security"][0] == {"apiKeyToken": []}
    validate_schema(newer)
    assert newer["paths"]["/0"]["get"]["security"][0] == {"apiKeyToken": ["notes:read"]}


def own_hook(result, **kwargs):
    """A project's own."""
    return {**result, "x-tags": sorted(result["components"]["responses"])}


HOOKS = {
    "PREPROCESSING_HOOKS": "frappe_tokens.contrib.spectacular.exclude_operations",
    "POSTPROCESSING_HOOKS": "frappe_tokens.contrib.spectacular.describe_refusals",
}
OURS = HOOKS["POSTPROCESSING_HOOKS"]
OWN = f"{__name__}.own_hook"


@pytest.mark.parametrize("name", HOOKS)
@pytest.mark.parametrize(
    ("listed", "used"),
    [(["own"], ["ours", "own"]), (["own", "ours"], ["own", "ours"]), (["ours"], ["ours"])],
    ids=["theirs", "both", "ours"],
)
def test_hook_is_there_once_and_where_the_project_put_it(name, listed, used):
    paths = {"own": OWN, "ours": HOOKS[name]}
    # As the app's configuration left it.
    assert import_string(HOOKS[name]) is getattr(spectacular_settings, name)[0]

    with patched_settings({name: [paths[each] for each in listed]}):
        spectacular.register()
        assert [import_string(paths[each]) for each in used] == getattr(spectacular_settings, name)


def test_hooks_of_the_project_see_what_ours_wrote(describe):
    with patched_settings({"POSTPROCESSING_HOOKS": [OURS, OWN]}):
        assert describe(View)["x-tags"] == [f"ApiKeyRefused{status}" for status in sorted(REFUSALS)]


RESPONSES = {
    ("/api/keys/", "get"): {"200", "400", "404"},
    ("/api/keys/", "post"): {"201", "400", "409", "415"},
    ("/api/keys/{api_key}/", "get"): {"200", "404"},
    ("/api/keys/{api_key}/", "patch"): {"200", "400", "404", "409", "415"},
    ("/api/keys/{api_key}/", "delete"): {"204", "400", "404", "415"},
    ("/api/keys/{api_key}/rotate/", "post"): {"200", "400", "404", "409", "415"},
    ("/api/keys/{api_key}/disable/", "post"): {"200", "400", "404", "409", "415"},
    ("/api/keys/{api_key}/enable/", "post"): {"200", "400", "404", "409", "415"},
    ("/api/keys/{api_key}/usage/", "get"): {"200", "400", "404"},
    ("/api/keys/revoke-leaked/", "post"): {"200", "204", "400", "403", "415"},
    ("/api/keys/self/", "get"): {"200", "404"},
    ("/api/keys/self/rotate/", "post"): {"200", "400", "404", "409", "415"},
    ("/api/method/frappe.auth.get_logged_user/", "get"): {"200"},
    ("/api/method/ping/", "get"): {"200"},
    ("/api/method/version/", "get"): {"200"},
    (GENERATE, "post"): {"200", "404", "415", "417"},
}


def test_each_call_is_described_once_with_its_responses():
    schema = SchemaGenerator(patterns=[APP]).get_schema(public=True)

    described = {
        (path, method): operation
        for path, item in schema["paths"].items()
        for method, operation in item.items()
    }
    assert described.keys() == RESPONSES.keys()
    # Not that of another view, such as a base class.
    assert len({operation["summary"] for operation in described.values()}) == len(described)
    for (path, method), operation in described.items():
        assert operation["summary"]
        assert operation["description"]
        is_leak = path == "/api/keys/revoke-leaked/"
        shared = REFUSALS - {"401", "403"} if is_leak else REFUSALS
        assert set(operation["responses"]) == RESPONSES[path, method] | shared
        assert (operation["security"] == [{}]) == (SOURCE not in parameters(operation)) == is_leak
        assert ({} in operation["security"]) == (is_leak or path == "/api/method/ping/")


def test_setting_leaves_no_trace_of_the_apps_own_operations(settings):
    class Whoami(GetLoggedUser):
        """A project's own."""

    own = [
        urls.path("shop/v1/note/", View.as_view()),
        urls.path("shop/v1/whoami/", Whoami.as_view()),
    ]
    alone = SchemaGenerator(patterns=own).get_schema(public=True)

    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "OPENAPI_OPERATIONS": False}
    beside = SchemaGenerator(patterns=[*own, APP]).get_schema(public=True)

    assert beside == alone
    assert set(beside["paths"]) == {"/shop/v1/note/", "/shop/v1/whoami/"}


def test_filters_are_described_for_the_list_alone(schema):
    filters = {"user", "name", "state", *FilterSerializer().fields}
    of_list = parameters(schema["paths"]["/api/keys/"]["get"])
    of_key = parameters(schema["paths"]["/api/keys/{api_key}/"]["get"])

    assert set(of_list) == {"page", "page_size", SOURCE, *filters}
    assert set(of_key) == {"api_key", SOURCE}


def test_errors_of_frappes_calls_have_its_envelope(schema):
    for path in (path for path, _ in RESPONSES if "/method/" in path):
        for operation in schema["paths"][path].values():
            for status, response in operation["responses"].items():
                body = resolve(schema, response)["content"]["application/json"]["schema"]
                assert (body["$ref"] == "#/components/schemas/FrappeError") == (status != "200")


def test_secret_is_only_in_the_responses_that_generate_one(schema):
    schemas = schema["components"]["schemas"]
    with_secret = {name for name in schemas if "api_secret" in schemas[name].get("properties", {})}

    assert with_secret == {"ApiKeyWithSecret", "FrappeApiKeyPair"}
    assert not any("digest" in name for name in schemas["ApiKey"]["properties"])


def test_bodies_and_headers_of_the_app(schema):
    schemas = schema["components"]["schemas"]
    for name in ("NewApiKey", "PatchedApiKeyPolicies", "ApiKeyRotation"):
        assert schemas[name]["additionalProperties"] is False
        assert "required" not in schemas[name]
    leaked = schema["paths"]["/api/keys/revoke-leaked/"]["post"]["requestBody"]["content"]
    token, findings = leaked["application/json"]["schema"]["oneOf"]
    assert token["required"] == findings["items"]["required"] == ["token"]
    created = schema["paths"]["/api/keys/"]["post"]["responses"]["201"]
    assert set(created["headers"]) == {"Location"}
    assert set(schema["paths"][GENERATE]["post"]["requestBody"]["content"]) == {
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    }
