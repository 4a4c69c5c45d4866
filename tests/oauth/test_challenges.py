"""Where a refused client learns which server gives tokens, and for what."""

import pytest
from django.contrib.auth.decorators import login_required
from django.http import JsonResponse
from django.test import Client, RequestFactory
from django.urls import include, path
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from frappe_tokens.authentication import (
    BasicAuthentication,
    BearerAuthentication,
    TokenAuthentication,
)
from frappe_tokens.keys import generate_keys

from ..conftest import bearer_header, token_header
from .conftest import MIDDLEWARE

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

ROOT = 'resource_metadata="http://testserver/.well-known/oauth-protected-resource"'
SECOND = f'Bearer realm="api", {ROOT}'
NOTES = 'scope="notes"'


class Notes(APIView):
    authentication_classes = [TokenAuthentication, BearerAuthentication]
    permission_classes = [IsAuthenticated]
    required_scopes = ["notes"]

    def get(self, request):
        return Response({"user": request.user.get_username()})

    post = get


class Mcp(Notes):
    authentication_classes = [BearerAuthentication]
    required_scopes = ["notes", "todos"]
    is_oauth_resource = True


class Internal(Notes):
    authentication_classes = [TokenAuthentication, BasicAuthentication]


class Open(Notes):
    authentication_classes = [BearerAuthentication]
    required_scopes = None


@login_required
def plain(request):
    return JsonResponse({"user": request.user.get_username()})


urlpatterns = [
    path("notes/", Notes.as_view()),
    path("mcp/<name>/", Mcp.as_view()),
    path("open/", Open.as_view()),
    path("internal/", Internal.as_view()),
    path("plain/", plain),
    path("", include("frappe_tokens.contrib.oauth2.well_known")),
]


def challenge(path, header=None, method="GET", **options):
    headers = {"Authorization": header} if header else {}
    response = Client().generic(method, path, headers=headers, **options)
    assert response.status_code in (401, 403)
    return response.get("WWW-Authenticate")


def test_request_without_a_credential(user):
    assert challenge("/notes/") == f'token realm="api", {SECOND}, {NOTES}'
    url = "http://testserver/.well-known/oauth-protected-resource/mcp/caf%C3%A9/"
    expected = f'Bearer realm="api", resource_metadata="{url}", scope="notes todos"'
    assert challenge("/mcp/café/") == expected
    assert challenge("/open/") == SECOND
    assert challenge("/internal/") == 'token realm="api"'


def test_refused_credentials(user):
    keys = generate_keys(user)
    wrong = f"{keys.api_key}:wrong"

    assert challenge("/notes/", f"token {wrong}") == f'token realm="api", {SECOND}, {NOTES}'
    invalid = 'Bearer realm="api", error="invalid_token"'
    assert challenge("/notes/", f"Bearer {wrong}") == f"{invalid}, {ROOT}, {NOTES}"
    assert challenge("/notes/", "Bearer nobody-issued-this") == f"{invalid}, {ROOT}, {NOTES}"
    assert challenge("/internal/", f"token {wrong}") == 'token realm="api"'


def test_credentials_that_may_not(user):
    scoped = generate_keys(user, name="scoped", scopes=["other"])
    reader = generate_keys(user, name="reader", read_only=True)

    insufficient = 'Bearer realm="api", error="insufficient_scope", scope="notes"'
    assert challenge("/notes/", bearer_header(scoped)) == f"{insufficient}, {ROOT}"
    assert challenge("/notes/", token_header(scoped)) == SECOND
    assert challenge("/notes/", bearer_header(reader), "POST") == SECOND
    assert challenge("/internal/", token_header(reader), "POST") is None


def test_plain_views(settings, user):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]
    scoped = generate_keys(user, scopes=["other"])

    insufficient = 'Bearer realm="api", error="insufficient_scope"'
    assert challenge("/plain/", bearer_header(scoped)) == f"{insufficient}, {ROOT}"


def test_other_refusals_have_no_challenge(settings, user):
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "FAILURE_LIMIT": "1/minute"}
    wrong = f"token {generate_keys(user).api_key}:wrong"
    client = Client(headers={"Authorization": wrong}, REMOTE_ADDR="192.0.2.77")

    statuses = [(response := client.get("/notes/")).status_code for _ in range(2)]

    assert statuses == [401, 429]
    assert "WWW-Authenticate" not in response


def test_site_without_the_documents_names_none(settings, user):
    settings.ROOT_URLCONF = "frappe_tokens.urls"

    assert challenge("/keys/") == 'token realm="api"'
    assert challenge("/keys/", "Bearer x:y") == 'Bearer realm="api", error="invalid_token"'


def test_wrong_host_is_not_repeated(db):
    request = RequestFactory().get("/notes/", headers={"Host": "evil.example.com"})

    response = Notes.as_view()(request)

    assert (response.status_code, response["WWW-Authenticate"]) == (401, 'token realm="api"')
