"""Requests with the toolkit's access tokens: the same decision as for keys, every way in."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import cache
from django.db import DatabaseError, OperationalError
from django.http import JsonResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path, re_path
from django.utils import timezone, translation
from oauth2_provider.contrib.rest_framework import OAuth2Authentication
from oauth2_provider.models import AccessToken, Application
from oauth2_provider.oauth2_validators import OAuth2Validator
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.tokens import AccessToken as Jwt

from frappe_tokens import verification
from frappe_tokens.authentication import BearerAuthentication
from frappe_tokens.contrib import oauth2
from frappe_tokens.decorators import require_scopes
from frappe_tokens.keys import generate_keys
from frappe_tokens.middleware import TokenAuthenticationMiddleware
from frappe_tokens.models import ApiKey
from frappe_tokens.signals import authentication_failed, authentication_succeeded
from frappe_tokens.throttling import ApiKeyRateThrottle
from frappe_tokens.verification import access_tokens, get_outcome, limiter

from ..conftest import bearer_header
from .conftest import HOUR, Issued

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db(transaction=True)]

Ask = Callable[..., Any]
Issue = Callable[..., Issued]

last = {}


def remember(request, user):
    last.update(user=user, auth=request.auth, decision=get_outcome(request))
    return {"user": user.get_username()}


class Todos(APIView):
    authentication_classes = [BearerAuthentication]
    permission_classes = []
    required_scopes = ["todos"]

    def get(self, request):
        last.update(decision=get_outcome(request._request))
        last.update(user=request.user, auth=request.auth)
        return Response({"user": request.user.get_username()})

    post = get


class Everything(Todos):
    required_scopes = []


class BesideSimpleJwt(Todos):
    authentication_classes = [BearerAuthentication, JWTAuthentication]


class BesideTheToolkits(Todos):
    authentication_classes = [BearerAuthentication, OAuth2Authentication]


class Throttled(Todos):
    throttle_classes = [ApiKeyRateThrottle]


@require_scopes("todos")
def plain(request):
    return JsonResponse(remember(request, request.user))


@require_scopes("todos")
async def plain_async(request):
    return JsonResponse(remember(request, await request.auser()))


urlpatterns = [
    path("drf/", Todos.as_view()),
    path("drf/everything/", Everything.as_view()),
    path("drf/jwt/", BesideSimpleJwt.as_view()),
    path("drf/throttled/", Throttled.as_view()),
    path("drf/toolkit/", BesideTheToolkits.as_view()),
    re_path("^drf/any/", Todos.as_view()),
    path("sync/", plain),
    path("async/", plain_async),
]


@pytest.fixture(params=["drf", "sync", "async"])
def ask(request, settings):
    """Sends a request with a header, by each of the ways in."""
    way = request.param
    if way != "drf":
        place = f"{TokenAuthenticationMiddleware.__module__}.TokenAuthenticationMiddleware"
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, place]

    def send(header, method="GET", **headers):
        headers = {"Authorization": header, **headers}
        if way == "async":

            async def asend():
                return await AsyncClient().generic(method, "/async/", headers=headers)

            # In the thread of the test, whose connection to the database it is.
            return async_to_sync(asend)()
        return Client().generic(method, f"/{way}/", headers=headers)

    return send


def drf(header, path="/drf/", method="GET", **headers):
    return Client().generic(method, path, headers={"Authorization": header, **headers})


def refusal(response):
    return response.status_code, response.json()["code"]


def test_request_runs_as_the_tokens_user(ask, issue, user):
    token = issue(user)

    assert ask(token.header).json() == {"user": "ada"}
    assert (last["user"], last["auth"]) == (user, token.instance)
    assert isinstance(last["auth"], AccessToken)


def test_client_credentials_run_as_the_applications_owner(ask, issue, confidential):
    token = issue(None, application=confidential)

    assert ask(token.header).json() == {"user": "owner"}
    assert last["auth"].user == confidential.user
    assert last["auth"].user_id is None


def test_saving_a_token_of_client_credentials_makes_nobody_its_user(ask, issue, confidential):
    ask(issue(None, application=confidential).header)
    token = last["auth"]
    token.scope = "todos read"
    token.save()
    token.refresh_from_db()

    stored = AccessToken.objects.get()
    assert (stored.user, stored.scope) == (None, "todos read")
    assert (token.user_id, token.user) == (None, confidential.user)
    assert token.application == confidential
    assert token.id_token is None


@pytest.mark.parametrize("application", ["without an owner", "none"])
def test_token_of_nobody_is_refused(ask, issue, confidential, application):
    Application.objects.update(user=None)
    confidential.refresh_from_db()
    token = issue(None, application=None if application == "none" else confidential)

    assert refusal(ask(token.header)) == (401, "user_inactive")


def test_a_request_costs_one_select_and_writes_nothing(issue, user, confidential, statements):
    # The second one of client credentials asks whether they may run as the application's user.
    for token, selects in ((issue(user), 1), (issue(None, application=confidential), 2)):
        with statements() as verbs:
            assert drf(token.header).status_code == 200
        # The client's request log, which is durable, has the other one.
        assert [verb for verb in verbs if verb != "INSERT"] == ["SELECT"] * selects


@pytest.mark.parametrize("hashed", [True, False])
def test_is_found_however_it_is_stored(ask, issue, user, toolkit, hashed):
    toolkit(COMPLIANT_BCP_RFC9700_TOKEN_STORAGE=hashed)
    token = issue(user)
    stored = AccessToken.objects.get()

    assert (stored.token == token.raw) is not hashed
    assert ask(token.header).status_code == 200
    toolkit(COMPLIANT_BCP_RFC9700_TOKEN_STORAGE=not hashed)
    assert ask(token.header).status_code == 200


@pytest.mark.parametrize("raw", ["a", "-._~+/09AZ==", "a.b.c", "x" * 4096])
def test_any_generators_tokens_are_accepted(issue, user, raw):
    assert drf(issue(user, raw=raw).header).status_code == 200


# Refusals


def test_unknown_token_is_refused_with_the_challenge_of_rfc_6750(ask, user):
    response = ask("Bearer nobody-issued-this")

    assert refusal(response) == (401, "invalid_credentials")
    assert response.json()["detail"] == "Invalid access token."
    assert response["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'


def test_revoked_token_is_refused_as_an_unknown_one(ask, issue, user):
    token = issue(user)
    unknown = ask("Bearer nobody-issued-this").content
    token.instance.revoke()

    assert ask(token.header).content == unknown


def test_expired_token_is_refused(ask, issue, user):
    response = ask(issue(user, expires=timezone.now()).header)

    assert refusal(response) == (401, "key_expired")
    assert response.json()["detail"].startswith("This access token has expired.")


def test_refusals_are_translated(issue, user):
    token = issue(user, expires=timezone.now())
    with translation.override("de"):
        assert refusal(drf(token.header)) == (401, "key_expired")


def test_token_of_an_inactive_user_is_refused(ask, issue, user):
    token = issue(user)
    user.is_active = False
    user.save()

    assert refusal(ask(token.header)) == (401, "user_inactive")


def test_token_of_an_inactive_owner_is_refused(ask, issue, confidential):
    token = issue(None, application=confidential)
    confidential.user.is_active = False
    confidential.user.save()

    assert refusal(ask(token.header)) == (401, "user_inactive")


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ("todos", 200),
        ("todos write", 200),
        ("todos read write", 200),
        ("todos read", 403),
    ],
)
def test_read_without_write_is_read_only(ask, issue, user, scope, status):
    header = issue(user, scope).header

    assert [ask(header, method).status_code for method in ("GET", "HEAD")] == [200, 200]
    response = ask(header, "POST")
    assert response.status_code == status
    assert status == 200 or response.json()["code"] == "key_read_only"


def test_override_header_opens_nothing(issue, user):
    header = issue(user, "todos read").header

    response = drf(header, method="POST", **{"X-HTTP-Method-Override": "GET"})
    assert refusal(response) == (403, "key_read_only")


def test_which_scopes_read_and_write_says_the_toolkit(issue, user, toolkit):
    toolkit(READ_SCOPE="look", WRITE_SCOPE="touch")

    assert drf(issue(user, "todos read").header, method="POST").status_code == 200
    assert drf(issue(user, "todos look touch").header, method="POST").status_code == 200
    assert drf(issue(user, "todos look").header, method="POST").status_code == 403


@pytest.mark.parametrize("scope", ["", "read write", "todo", "todos:read", "Todos"])
def test_token_without_the_views_scope_is_refused(ask, issue, user, scope):
    response = ask(issue(user, scope).header)

    assert refusal(response) == (403, "insufficient_scope")
    assert response["WWW-Authenticate"] == (
        'Bearer realm="api", error="insufficient_scope", scope="todos"'
    )


@pytest.mark.parametrize("scope", ["", "todos", "read write todos"])
def test_view_that_declares_no_scopes_is_closed(issue, user, scope):
    assert refusal(drf(issue(user, scope).header, "/drf/everything/")) == (
        403,
        "insufficient_scope",
    )


def test_why_is_told_in_the_order_of_the_documentation(issue, user, toolkit):
    token = issue(user, "read", expires=timezone.now())
    user.is_active = False
    user.save()
    assert refusal(drf(token.header, method="POST")) == (401, "key_expired")
    AccessToken.objects.update(expires=timezone.now() + HOUR)
    assert refusal(drf(token.header, method="POST")) == (401, "user_inactive")
    user.is_active = True
    user.save()
    assert refusal(drf(token.header, method="POST")) == (403, "key_read_only")
    assert refusal(drf(token.header)) == (403, "insufficient_scope")


@pytest.mark.parametrize("source", ["Robot", "EventConsumer", "", "user"])
def test_a_source_has_no_access_tokens(ask, issue, user, source, statements):
    header = issue(user).header
    with statements() as verbs:
        response = ask(header, **{"Frappe-Authorization-Source": source})
    assert refusal(response) == (401, "invalid_credentials")
    assert "SELECT" not in verbs
    assert ask(header, **{"Frappe-Authorization-Source": "User"}).status_code == 200


@pytest.mark.parametrize("text", ["x y", "a,b", "a\x00", "\xe9", '"a"', "x" * 4097])
def test_what_is_no_token_is_malformed_without_a_query(ask, text, statements):
    with statements() as verbs:
        response = ask(f"Bearer {text}")
    assert refusal(response) == (401, "malformed_credentials")
    assert "SELECT" not in verbs


def test_token_is_of_no_other_scheme_and_of_no_other_place(issue, user):
    token = issue(user)

    for path_ in (f"/drf/?access_token={token.raw}", f"/drf/?Authorization={token.header}"):
        assert Client().get(path_).json() == {"user": ""}
    sent = {"access_token": token.raw}
    assert Client().post("/drf/", sent).json() == {"user": ""}


@pytest.mark.parametrize("source", ["EventConsumer", "Robot", "user"])
def test_source_opens_no_way_round_the_checks(issue, user, make_user, source):
    inactive = issue(make_user("grace", is_active=False))
    read_only = issue(user, "todos read")
    for token in (inactive, read_only, issue(user)):
        response = drf(
            token.header, "/drf/toolkit/", "POST", **{"Frappe-Authorization-Source": source}
        )
        assert refusal(response) == (401, "invalid_credentials")
    assert refusal(drf(inactive.header, "/drf/toolkit/")) == (401, "user_inactive")
    assert drf(issue(user).header, "/drf/toolkit/").json() == {"user": "ada"}


def test_source_leaves_another_packages_token_to_it(user, issue):
    source = {"Frappe-Authorization-Source": "EventConsumer"}
    response = drf(f"Bearer {Jwt.for_user(user)}", "/drf/jwt/", **source)
    assert response.json() == {"user": "ada"}


@pytest.mark.parametrize("end", ["%3F%25zz", "%3F%5B", "%3Fa=%25zz", "%23", "%5B", "%25zz"])
def test_no_address_is_a_server_error(issue, user, end):
    for token in (issue(user), issue(user, resource=["http://testserver/drf/"])):
        assert drf(token.header, f"/drf/any/{end}").json() == {"user": "ada"}
    assert drf("Bearer nobody-issued-this", f"/drf/any/{end}").status_code == 401


@pytest.mark.parametrize("path_", ["//other.example.com/", "//[", "//other.example.com/?a"])
def test_two_slashes_name_no_other_host(issue, user, path_):
    token = issue(user, resource=["http://other.example.com/"])
    request = RequestFactory().get("/")
    request.path = path_

    found = access_tokens.find(token.raw, request)
    assert found is not None
    assert not found.is_valid_here


class Watched(OAuth2Validator):
    def validate_bearer_token(self, token, scopes, request):
        last.update(headers=dict(request.headers))
        return super().validate_bearer_token(token, scopes, request)


def test_headers_that_a_debug_page_would_show_are_without_the_token(issue, user, toolkit):
    toolkit(OAUTH2_VALIDATOR_CLASS=f"{__name__}.Watched")
    token = issue(user)

    assert drf(token.header, **{"X-Application": "a"}).status_code == 200
    assert last["headers"]["HTTP_X_APPLICATION"] == "a"
    assert token.raw not in str(last["headers"])


# What the toolkit decides


def test_resource_that_the_token_is_for_must_be_this_one(ask, issue, user):
    here = issue(user, resource=["http://testserver/"])
    elsewhere = issue(user, resource=["https://other.example.com/"])

    assert ask(here.header).status_code == 200
    assert refusal(ask(elsewhere.header)) == (401, "invalid_credentials")
    AccessToken.objects.update(expires=timezone.now())
    assert refusal(ask(elsewhere.header)) == (401, "key_expired")


def test_token_for_a_resource_is_refused_where_there_is_no_address(issue, user):
    class Bare:
        """As much of a request as a WebSocket has."""

        method = "GET"
        META = {"REMOTE_ADDR": "127.0.0.1", "wsgi.input": object()}

    here = issue(user, resource=["http://testserver/"])

    found = access_tokens.find(here.raw, Bare())
    assert found is not None
    assert not found.is_valid_here
    free = access_tokens.find(issue(user).raw, Bare())
    assert free is not None
    assert free.is_valid_here


class Strict(OAuth2Validator):
    """A project's own, which knows applications that were switched off."""

    def validate_bearer_token(self, token, scopes, request):
        valid = super().validate_bearer_token(token, scopes, request)
        return valid and request.headers.get("HTTP_X_APPLICATION") != "off"


class OwnLookup(OAuth2Validator):
    """A project's own way of finding tokens."""

    def _load_access_token(self, token):
        return super()._load_access_token(token.removeprefix("own-"))


def test_projects_own_validator_decides(ask, issue, user, toolkit):
    token = issue(user)
    toolkit(OAUTH2_VALIDATOR_CLASS=f"{__name__}.Strict")

    assert ask(token.header).status_code == 200
    response = ask(token.header, **{"X-Application": "off"})
    assert refusal(response) == (401, "key_revoked")


def test_projects_own_lookup_is_used(issue, user, toolkit):
    token = issue(user)
    toolkit(OAUTH2_VALIDATOR_CLASS=f"{__name__}.OwnLookup")

    assert drf(f"Bearer own-{token.raw}").status_code == 200
    assert refusal(drf("Bearer own-other")) == (401, "invalid_credentials")


def test_application_that_may_not_be_used_has_no_access(ask, issue, user, monkeypatch):
    token = issue(user)
    monkeypatch.setattr(Application, "is_usable", lambda self, request: False)

    assert refusal(ask(token.header)) == (401, "key_revoked")


# Beside other classes


def test_json_web_token_reaches_simplejwt(user, statements, issue):
    issue(user)
    with statements() as verbs:
        response = drf(f"Bearer {Jwt.for_user(user)}", "/drf/jwt/")
    assert response.json() == {"user": "ada"}
    # The second is simplejwt's, for the user.
    assert [verb for verb in verbs if verb != "INSERT"] == ["SELECT"] * 2
    assert isinstance(last["auth"], Jwt)


def test_ours_is_taken_before_simplejwt(issue, user):
    assert drf(issue(user).header, "/drf/jwt/").json() == {"user": "ada"}
    assert isinstance(last["auth"], AccessToken)


def test_wrong_json_web_token_gets_simplejwts_answer(user):
    assert refusal(drf("Bearer eyJh.eyJz.c2ln", "/drf/jwt/")) == (401, "token_not_valid")


def test_what_nobody_claims_is_refused_and_counted(user, settings):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "2/hour"}
    # simplejwt knows "Bearer" alone.
    answers = [refusal(drf("bearer a.b.c", "/drf/jwt/")) for _ in range(3)]
    assert answers == [(401, "invalid_credentials")] * 2 + [(429, "too_many_failures")]


def test_failures_of_others_have_no_say_about_a_right_token(user, issue, settings):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "1/hour"}
    for number in range(12):
        drf(f"Bearer unknown-{number}")
    assert limiter.is_active()

    assert drf(f"Bearer {Jwt.for_user(user)}", "/drf/jwt/").json() == {"user": "ada"}
    assert drf(issue(user).header, "/drf/jwt/").json() == {"user": "ada"}
    assert drf(issue(user).header).json() == {"user": "ada"}


def test_where_nobody_knows_tokens_they_are_malformed_or_left(ask, user, statements):
    access_tokens.register(None)
    try:
        with statements() as verbs:
            assert refusal(ask("Bearer abc")) == (401, "malformed_credentials")
        assert "SELECT" not in verbs
        assert access_tokens.find("abc", None) is None
        response = drf(f"Bearer {Jwt.for_user(user)}", "/drf/jwt/")
        assert response.json() == {"user": "ada"}
        assert refusal(drf("bearer a.b.c", "/drf/jwt/")) == (401, "malformed_credentials")
    finally:
        oauth2.register()


# What is told to others


def test_failures_are_counted_by_token(ask, issue, user, settings):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "2/hour"}
    good = issue(user)

    answers = [ask("Bearer wrong") for _ in range(4)]
    assert [each.status_code for each in answers] == [401, 401, 429, 429]
    assert answers[-1].json()["detail"].startswith("Too many failed attempts. Check the access")
    assert int(answers[-1]["Retry-After"]) > 0
    for number in range(30):
        assert ask(f"Bearer wrong-{number}").status_code == 401
    assert ask(good.header).status_code == 200


def test_refused_request_costs_no_query_once_it_failed_too_often(issue, user, settings, statements):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "1/hour"}
    for _ in range(2):
        drf("Bearer wrong")
    with statements() as verbs:
        assert refusal(drf("Bearer wrong")) == (429, "too_many_failures")
    assert "SELECT" not in verbs


def test_token_sent_to_a_source_is_still_right_without_one(issue, user, settings):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "1/hour", "SOURCES": {"Robot": "sources.Robot"}}
    header = issue(user).header
    for _ in range(3):
        assert drf(header, **{"Frappe-Authorization-Source": "Robot"}).status_code in {401, 429}

    assert drf(header).json() == {"user": "ada"}


def test_scope_and_method_are_not_counted_as_failures(issue, user, settings):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "1/hour"}
    token = issue(user, "read")
    for method in ("GET", "POST") * 3:
        assert drf(token.header, method=method).status_code == 403


def test_success_is_told_with_the_token_and_failure_without(ask, issue, user, settings):
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "FAILURE_LIMIT": "1/day"}
    heard = []

    def hear(signal, **told):
        heard.append(told)

    authentication_succeeded.connect(hear)
    authentication_failed.connect(hear)
    try:
        token = issue(user)
        ask(token.header)
        for _ in range(3):
            ask("Bearer nobody-issued-this")
    finally:
        authentication_succeeded.disconnect(hear)
        authentication_failed.disconnect(hear)
    succeeded, failed, *too_many = heard
    assert (succeeded["sender"], succeeded["instance"]) == (AccessToken, token.instance)
    assert succeeded["address"] == "127.0.0.1"
    assert (failed["sender"], failed["code"]) == (None, "invalid_credentials")
    assert {told["code"] for told in too_many} == {"too_many_failures"}
    # Not even the label that failures are counted by.
    assert {told["api_key"] for told in (failed, *too_many)} == {""}


def test_decision_names_the_user_and_no_key(ask, issue, user):
    ask(issue(user).header)

    noted = last["decision"]
    assert isinstance(noted.key, verification.AccessToken)
    assert (noted.key.user, noted.key.api_key, noted.refused) == (user, "", None)


def test_no_token_is_logged_kept_or_repeated(
    ask,
    issue,
    user,
    settings,
    caplog,
    monkeypatch,
):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "1/hour"}
    caplog.set_level(logging.DEBUG)
    kept = []
    add = limiter.increment

    def watched(cache, name, *args):
        kept.append(name)
        return add(cache, name, *args)

    monkeypatch.setattr(limiter, "increment", watched)
    good, expired = issue(user), issue(user, expires=timezone.now())
    sent = [good.raw, expired.raw, "nobody-issued-this-token"]

    answers = [ask(f"Bearer {raw}").content.decode() for raw in sent * 3]

    said = "\n".join([*answers, *kept, *(f"{vars(record)}" for record in caplog.records)])
    assert "request_refused" in said
    assert "access-token:" in said
    for secret in (*sent, *AccessToken.objects.values_list("token_checksum", flat=True)):
        assert secret not in said


def test_database_that_does_not_answer_is_503(ask, user, monkeypatch, caplog):
    def fail(*args):
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(access_tokens, "_finder", fail)

    response = ask("Bearer abc")
    assert refusal(response) == (503, "service_unavailable")
    assert response["Retry-After"]
    assert issubclass(OperationalError, DatabaseError)
    assert "the database doesn't answer" in caplog.text


# What it may not do


@pytest.mark.urls("testproject.urls")
@pytest.mark.parametrize("scope", ["read write todos", "todos", ""])
def test_no_keys_are_made_by_a_token(issue, system_manager, user, scope):
    keys = generate_keys(user)
    digest = keys.instance.secret_digest
    before = ApiKey.objects.count()
    client = Client(headers={"Authorization": issue(system_manager, scope).header})
    rpc = "/api/method/frappe.core.doctype.user.user.generate_keys"
    answers = [
        client.post(rpc, {"user": "ada"}),
        client.get(rpc, {"user": "ada"}),
        client.post("/api/keys/", {"user": "ada", "name": "new"}),
        client.post(f"/api/keys/{keys.api_key}/rotate/"),
        client.patch(f"/api/keys/{keys.api_key}/", {"read_only": False}, "application/json"),
        client.delete(f"/api/keys/{keys.api_key}/"),
    ]
    assert {each.status_code for each in answers} == {403}
    keys.instance.refresh_from_db()
    assert (keys.instance.secret_digest, keys.instance.revoked_at) == (digest, None)
    assert ApiKey.objects.count() == before


def test_rate_is_that_of_the_application_and_the_user(
    issue, user, make_user, confidential, settings
):
    settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": {"api_key": "2/hour"}}
    cache.clear()

    def statuses(token, times):
        return [drf(token.header, "/drf/throttled/").status_code for _ in range(times)]

    assert statuses(issue(user), 2) == [200, 200]
    assert statuses(issue(user), 1) == [429]  # a new token opens no new count
    assert statuses(issue(user, application=confidential), 2) == [200, 200]
    assert statuses(issue(make_user("grace")), 2) == [200, 200]
    assert statuses(issue(user, application=None), 2) == [200, 200]
    assert statuses(issue(user, application=None), 1) == [429]  # of no application: together


def test_key_by_bearer_works_as_ever(user, statements):
    keys = generate_keys(user)
    assert drf(bearer_header(keys), "/drf/everything/").json() == {"user": "ada"}
    with statements() as verbs:
        assert drf(bearer_header(keys), "/drf/everything/").json() == {"user": "ada"}
    assert [verb for verb in verbs if verb != "INSERT"] == ["SELECT"]


def test_found_token_is_as_a_key_to_the_decision():
    now = timezone.now()
    found = verification.AccessToken(None, None, now + timedelta(seconds=1))
    assert not found.is_expired(now)
    assert found.is_expired(now + timedelta(seconds=1))
    assert (found.api_key, found.allowed_ips) == ("", ())
