"""Requests with the toolkit's access tokens: the same decision as for keys, by every way in."""

import logging

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import OperationalError
from django.http import JsonResponse
from django.test import Client, RequestFactory
from django.urls import include, path, re_path
from django.utils import timezone
from oauth2_provider.contrib.rest_framework import OAuth2Authentication
from oauth2_provider.models import AccessToken, Application
from oauth2_provider.oauth2_validators import OAuth2Validator
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.tokens import AccessToken as Jwt

from frappe_tokens import crypto, verification
from frappe_tokens.authentication import BearerAuthentication
from frappe_tokens.contrib import oauth2
from frappe_tokens.decorators import require_scopes
from frappe_tokens.exceptions import Mistake
from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey
from frappe_tokens.signals import authentication_failed, authentication_succeeded
from frappe_tokens.throttling import ApiKeyRateThrottle
from frappe_tokens.verification import access_tokens, get_outcome, limiter

from ..conftest import receiving
from .conftest import HOUR, drf, refusal

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]

NOW = timezone.now()

last = {}


def remember(request, user):
    last.update(user=user, auth=request.auth, outcome=get_outcome(request))
    return {"user": user.get_username()}


class Todos(APIView):
    authentication_classes = [BearerAuthentication]
    permission_classes = []
    required_scopes = ["todos"]

    def get(self, request):
        return Response(remember(request._request, request.user))

    post = get


@require_scopes("todos")
def plain(request):
    return JsonResponse(remember(request, request.user))


@require_scopes("todos")
async def plain_async(request):
    return JsonResponse(remember(request, await request.auser()))


def beside(other):
    return Todos.as_view(authentication_classes=[BearerAuthentication, other])


urlpatterns = [
    path("drf/", Todos.as_view()),
    path("drf/everything/", Todos.as_view(required_scopes=[])),
    path("drf/jwt/", beside(JWTAuthentication)),
    path("drf/throttled/", Todos.as_view(throttle_classes=[ApiKeyRateThrottle])),
    path("drf/toolkit/", beside(OAuth2Authentication)),
    re_path("^drf/any/", Todos.as_view()),
    path("sync/", plain),
    path("async/", plain_async),
    path("o/", include("oauth2_provider.urls")),
]


def test_request_runs_as_the_tokens_user(ask, issue, user):
    token = issue(user)

    assert ask(token.header).json() == {"user": "ada"}
    assert (last["user"], last["auth"]) == (user, token.instance)
    outcome = last["outcome"]
    assert isinstance(outcome.key, verification.AccessToken)
    assert (outcome.key.user, outcome.key.api_key, outcome.refused) == (user, "", None)


def test_client_credentials_run_as_the_applications_user(ask, issue, confidential):
    assert ask(issue(None, application=confidential).header).json() == {"user": "owner"}
    token = last["auth"]
    assert (token.user_id, token.user) == (None, confidential.user)

    # Saving the token gives it no user.
    token.scope = "todos read"
    token.save()
    token.refresh_from_db()
    stored = AccessToken.objects.get()
    assert (stored.user, stored.scope) == (None, "todos read")
    assert (token.user_id, token.user) == (None, confidential.user)
    assert (token.application, token.id_token) == (confidential, None)


def test_request_costs_one_select_and_writes_nothing(issue, user, confidential, statements):
    # The second one checks that client credentials may run as the application's user.
    for token, selects in ((issue(user), 1), (issue(None, application=confidential), 2)):
        with statements() as verbs:
            assert drf(token.header).status_code == 200
        assert verbs == ["SELECT"] * selects


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("raw", ["a", "-._~+/09AZ==", "a.b.c", "x" * 4096], ids=range(4))
def test_any_token_is_found_however_it_is_stored(issue, user, toolkit, hashed, raw):
    toolkit(COMPLIANT_BCP_RFC9700_TOKEN_STORAGE=hashed)
    token = issue(user, raw=raw)
    assert (AccessToken.objects.get().token == raw) is not hashed

    for setting in (hashed, not hashed):
        toolkit(COMPLIANT_BCP_RFC9700_TOKEN_STORAGE=setting)
        assert drf(token.header).status_code == 200


@pytest.mark.urls("testproject.urls")
@pytest.mark.parametrize("limit", [None, 9])
def test_token_is_described_to_itself_and_rotates_nothing(issue, user, settings, limit):
    token = issue(user, "todos read", expires=NOW + HOUR)
    if limit:
        # The default cache has what other tests have counted.
        memory = "django.core.cache.backends.locmem.LocMemCache"
        settings.CACHES = {"default": {"BACKEND": memory, "LOCATION": "described token"}}
        settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": {"api_key": f"{limit}/hour"}}

    named = drf(token.header, "/api/method/frappe.auth.get_logged_user")
    described = drf(token.header, "/api/keys/self/")
    rotated = drf(token.header, "/api/keys/self/rotate/", "POST")

    assert named.json() == {"message": "ada"}
    assert described.json() == {
        "user": "ada",
        "scopes": ["todos", "read"],
        "read_only": True,
        "expires_at": (NOW + HOUR).isoformat().replace("+00:00", "Z"),
        "rate": limit and {"limit": limit, "period": 3600, "remaining": limit, "reset": 0},
    }
    assert refusal(rotated) == (403, "permission_denied")


def test_secret_without_its_key_is_explained_unless_it_was_issued(ask, issue, user):
    secret = str(crypto.generate_api_secret())

    response = ask(f"Bearer {secret}")

    assert refusal(response) == (401, "invalid_credentials")
    assert response.json()["detail"] == str(Mistake.KEY_MISSING.sentence)
    assert ask(issue(user, raw=secret).header).json() == {"user": "ada"}


@pytest.mark.parametrize("hashed", [True, False])
def test_token_that_is_too_long_is_reported_when_it_is_issued(issue, user, toolkit, hashed, caplog):
    toolkit(COMPLIANT_BCP_RFC9700_TOKEN_STORAGE=hashed)

    token = issue(user, raw="x" * 4097)
    response = drf(token.header)

    assert "An access token of 4097 characters is issued." in caplog.text
    assert token.raw not in caplog.text
    assert refusal(response) == (401, "malformed_credentials")
    assert response.json()["detail"] == str(Mistake.ACCESS_TOKEN_TOO_LONG.sentence)


def test_unknown_token_is_refused_with_the_challenge_of_rfc_6750(ask, issue, user):
    response = ask("Bearer nobody-issued-this")

    assert refusal(response) == (401, "invalid_credentials")
    assert response.json()["detail"] == "Invalid access token."
    assert response["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'

    token = issue(user)
    token.instance.revoke()
    assert ask(token.header).content == response.content


@pytest.mark.parametrize(
    ("model", "change", "code"),
    [
        (AccessToken, {"expires": NOW}, "key_expired"),
        (AccessToken, {"application": None}, "user_inactive"),
        (Application, {"user": None}, "user_inactive"),
        (User, {"is_active": False}, "user_inactive"),
    ],
    ids=["expired", "no application", "no user", "inactive"],
)
def test_token_that_works_no_longer_is_refused(ask, issue, confidential, model, change, code):
    token = issue(None, application=confidential)
    model.objects.update(**change)

    assert refusal(ask(token.header)) == (401, code)
    assert refusal(drf(token.header, "/drf/toolkit/")) == (401, code)


def test_reasons_have_the_order_of_the_documentation(issue, user):
    token = issue(user, "read", expires=NOW)
    user.is_active = False
    user.save()

    response = drf(token.header, method="POST")
    assert refusal(response) == (401, "key_expired")
    assert response.json()["detail"].startswith("This access token has expired.")
    AccessToken.objects.update(expires=NOW + HOUR)
    assert refusal(drf(token.header, method="POST")) == (401, "user_inactive")
    User.objects.update(is_active=True)
    assert refusal(drf(token.header, method="POST")) == (403, "key_read_only")
    assert refusal(drf(token.header)) == (403, "insufficient_scope")


def test_read_without_write_is_read_only(ask, issue, user, toolkit):
    header = issue(user, "todos read").header

    assert [ask(header, method).status_code for method in ("GET", "HEAD")] == [200, 200]
    for headers in ({}, {"X-HTTP-Method-Override": "GET"}):
        assert refusal(ask(header, "POST", **headers)) == (403, "key_read_only")
    for scope in ("todos", "todos write", "todos read write"):
        assert ask(issue(user, scope).header, "POST").status_code == 200

    toolkit(READ_SCOPE="look", WRITE_SCOPE="touch")
    assert ask(header, "POST").status_code == 200
    assert ask(issue(user, "todos look touch").header, "POST").status_code == 200
    assert ask(issue(user, "todos look").header, "POST").status_code == 403


@pytest.mark.parametrize("scope", ["", "read write", "todo", "todos:read", "Todos"])
def test_token_without_the_views_scope_is_refused(ask, issue, user, scope):
    response = ask(issue(user, scope).header)

    assert refusal(response) == (403, "insufficient_scope")
    assert response["WWW-Authenticate"] == (
        'Bearer realm="api", error="insufficient_scope", scope="todos"'
    )
    # A view that declares no scopes is closed to every token.
    for header in (issue(user, scope).header, issue(user, f"{scope} todos").header):
        assert refusal(drf(header, "/drf/everything/")) == (403, "insufficient_scope")


@pytest.mark.parametrize("source", ["Robot", "EventConsumer", "", "user"])
def test_source_has_no_access_tokens(ask, issue, user, source, statements):
    header = issue(user).header
    with statements() as verbs:
        response = ask(header, **{"Frappe-Authorization-Source": source})

    assert refusal(response) == (401, "invalid_credentials")
    assert "SELECT" not in verbs
    assert ask(header, **{"Frappe-Authorization-Source": "User"}).status_code == 200
    # The toolkit's own class, behind ours, would accept it.
    response = drf(header, "/drf/toolkit/", **{"Frappe-Authorization-Source": source})
    assert refusal(response) == (401, "invalid_credentials")


@pytest.mark.parametrize("text", ["x y", "a,b", "a\x00", "\xe9", '"a"', "x" * 4097])
def test_text_that_cannot_be_a_token_is_malformed_without_a_query(ask, text, statements):
    with statements() as verbs:
        response = ask(f"Bearer {text}")

    assert refusal(response) == (401, "malformed_credentials")
    assert "SELECT" not in verbs


def test_token_is_read_from_the_header_alone(issue, user):
    token = issue(user)

    for url in (f"/drf/?access_token={token.raw}", f"/drf/?Authorization={token.header}"):
        assert Client().get(url).json() == {"user": ""}
    assert Client().post("/drf/", {"access_token": token.raw}).json() == {"user": ""}


@pytest.mark.parametrize("end", ["%3F%25zz", "%3F%5B", "%3Fa=%25zz", "%23", "%5B", "%25zz"])
def test_odd_address_causes_no_server_error(issue, user, end):
    for token in (issue(user), issue(user, resource=["http://testserver/drf/"])):
        assert drf(token.header, f"/drf/any/{end}").json() == {"user": "ada"}
    assert drf("Bearer nobody-issued-this", f"/drf/any/{end}").status_code == 401


def test_token_for_another_resource_is_refused(ask, issue, user):
    here = issue(user, resource=["http://testserver/"])
    elsewhere = issue(user, resource=["https://other.example.com/"])

    assert ask(here.header).status_code == 200
    assert refusal(ask(elsewhere.header)) == (401, "invalid_credentials")
    AccessToken.objects.update(expires=NOW)
    assert refusal(ask(elsewhere.header)) == (401, "key_expired")


def test_token_for_a_resource_needs_an_address_to_compare(issue, user):
    class Bare:
        """As much of a request as a WebSocket has."""

        method = "GET"
        META = {"REMOTE_ADDR": "127.0.0.1", "wsgi.input": object()}

    other = issue(user, resource=["http://other.example.com/"]).raw

    # Two slashes name no other host.
    for url_path in ("//other.example.com/", "//[", "//other.example.com/?a"):
        request = RequestFactory().get("/")
        request.path = url_path
        assert not access_tokens.find(other, request).is_valid_here
    assert not access_tokens.find(other, Bare()).is_valid_here
    assert access_tokens.find(issue(user).raw, Bare()).is_valid_here


class Strict(OAuth2Validator):
    """A project's own, which refuses some requests and finds tokens by another name."""

    def validate_bearer_token(self, token, scopes, request):
        last.update(headers=dict(request.headers))
        valid = super().validate_bearer_token(token, scopes, request)
        return valid and request.headers.get("HTTP_X_APPLICATION") != "off"

    def _load_access_token(self, token):
        return super()._load_access_token(token.removeprefix("own-"))


def test_projects_own_validator_decides(ask, issue, user, toolkit):
    token = issue(user)
    toolkit(OAUTH2_VALIDATOR_CLASS=f"{__name__}.Strict")

    assert ask(token.header).status_code == 200
    assert ask(f"Bearer own-{token.raw}").status_code == 200
    assert refusal(ask("Bearer own-other")) == (401, "invalid_credentials")
    response = ask(token.header, **{"X-Application": "off"})
    assert refusal(response) == (401, "key_revoked")
    # A debug page would show these headers.
    assert last["headers"]["HTTP_X_APPLICATION"] == "off"
    assert token.raw not in str(last["headers"])


def test_json_web_token_reaches_simplejwt(user, statements, issue):
    jwt = f"Bearer {Jwt.for_user(user)}"
    with statements() as verbs:
        assert drf(jwt, "/drf/jwt/").json() == {"user": "ada"}

    assert isinstance(last["auth"], Jwt)
    # The second is simplejwt's, for the user.
    assert verbs == ["SELECT"] * 2
    source = {"Frappe-Authorization-Source": "EventConsumer"}
    assert drf(jwt, "/drf/jwt/", **source).json() == {"user": "ada"}
    assert drf(issue(user).header, "/drf/jwt/").json() == {"user": "ada"}
    assert isinstance(last["auth"], AccessToken)


@pytest.fixture
def register():
    yield access_tokens.register
    oauth2.register()


def test_tokens_are_malformed_or_left_to_others_without_a_server(ask, user, statements, register):
    register(None)

    with statements() as verbs:
        assert refusal(ask("Bearer abc")) == (401, "malformed_credentials")
    assert "SELECT" not in verbs
    challenge = 'Bearer realm="api", error="invalid_token"'
    assert drf("Bearer abc")["WWW-Authenticate"] == challenge
    assert access_tokens.find("abc", None) is None
    assert drf(f"Bearer {Jwt.for_user(user)}", "/drf/jwt/").json() == {"user": "ada"}
    assert refusal(drf("bearer a.b.c", "/drf/jwt/")) == (401, "malformed_credentials")


def test_database_that_does_not_answer_is_503(ask, user, register, caplog):
    def fail(*args):
        raise OperationalError("the server closed the connection")

    register(fail)

    response = ask("Bearer abc")

    assert refusal(response) == (503, "service_unavailable")
    assert response["Retry-After"]
    assert "the database doesn't answer" in caplog.text


def test_failures_are_counted_by_token(ask, issue, user, settings, statements):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "2/hour"}
    good = issue(user)

    answers = [ask("Bearer wrong") for _ in range(3)]
    with statements() as verbs:
        answers.append(ask("Bearer wrong"))

    assert [each.status_code for each in answers] == [401, 401, 429, 429]
    assert "SELECT" not in verbs
    assert answers[-1].json()["detail"].startswith("Too many failed attempts. Check the access")
    assert int(answers[-1]["Retry-After"]) > 0
    for number in range(30):
        assert ask(f"Bearer wrong-{number}").status_code == 401
    assert limiter.is_active()
    assert ask(good.header).status_code == 200
    for header in (good.header, f"Bearer {Jwt.for_user(user)}"):
        assert drf(header, "/drf/jwt/").json() == {"user": "ada"}


def test_failures_with_tokens_that_nobody_accepts_are_counted_by_token(settings, statements):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "2/hour"}

    answers = [drf("Bearer wrong", "/drf/toolkit/") for _ in range(3)]
    with statements() as verbs:
        answers.append(drf("Bearer wrong"))

    assert [each.status_code for each in answers] == [401, 401, 429, 429]
    assert verbs == []
    assert drf("Bearer other", "/drf/toolkit/").status_code == 401


def test_page_of_another_site_may_send_a_token(issue, user):
    """A browser doesn't send one by itself."""
    origin = {"Origin": "https://evil.example.com"}

    assert drf(issue(user).header, method="POST", **origin).json() == {"user": "ada"}


def test_failures_with_a_source_scope_or_method_leave_the_token_right(issue, user, settings):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "1/hour", "SOURCES": {"Robot": "sources.Robot"}}
    header, closed = issue(user).header, issue(user, "read").header

    for _ in range(3):
        assert drf(header, **{"Frappe-Authorization-Source": "Robot"}).status_code in {401, 429}
        assert drf(closed).status_code == drf(closed, method="POST").status_code == 403

    assert drf(header).json() == {"user": "ada"}


def test_no_token_is_logged_cached_repeated_or_sent_with_a_failure(
    ask, issue, user, settings, caplog, monkeypatch
):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "1/hour"}
    caplog.set_level(logging.DEBUG)
    increment, texts = limiter.increment, []

    def watched(cache, name, *args):
        texts.append(name)
        return increment(cache, name, *args)

    monkeypatch.setattr(limiter, "increment", watched)
    good, wrong = issue(user), "nobody-issued-this-token"
    sent = [good.raw, *[wrong] * 3, *[issue(user, expires=NOW).raw] * 3]

    with receiving(authentication_succeeded, authentication_failed) as calls:
        texts += [ask(f"Bearer {raw}").content.decode() for raw in sent]

    succeeded, failed, *too_many = calls[:4]
    assert (succeeded["sender"], succeeded["instance"]) == (AccessToken, good.instance)
    assert succeeded["address"] == "127.0.0.1"
    assert (failed["sender"], failed["code"]) == (None, "invalid_credentials")
    assert {each["code"] for each in too_many} == {"too_many_failures"}
    # Not even the label that failures are counted by.
    assert {each["api_key"] for each in calls[1:]} == {""}
    text = "\n".join([*texts, *(f"{vars(record)}" for record in caplog.records)])
    assert "request_refused" in text
    assert "access-token:" in text
    for secret in (*sent, *AccessToken.objects.values_list("token_checksum", flat=True)):
        assert secret not in text


@pytest.mark.urls("testproject.urls")
@pytest.mark.parametrize("scope", ["read write todos", "todos", "all", ""])
def test_token_manages_no_keys(issue, system_manager, user, scope, settings):
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "ALL_SCOPE": "all"}
    api_key = generate_keys(user).api_key
    before = list(ApiKey.objects.values())
    client = Client(headers={"Authorization": issue(system_manager, scope).header})
    rpc = "/api/method/frappe.core.doctype.user.user.generate_keys"

    answers = [
        client.post(rpc, {"user": "ada"}),
        client.get(rpc, {"user": "ada"}),
        client.post("/api/keys/", {"user": "ada", "name": "new"}),
        client.post(f"/api/keys/{api_key}/rotate/"),
        client.patch(f"/api/keys/{api_key}/", {"read_only": False}, "application/json"),
        client.delete(f"/api/keys/{api_key}/"),
    ]

    assert {each.status_code for each in answers} <= {403, 404}
    assert list(ApiKey.objects.values()) == before


def test_rate_limit_is_per_application_and_user(issue, user, make_user, confidential, settings):
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


def test_scope_for_everything_opens_what_a_key_without_scopes_opens(ask, issue, settings, user):
    everything, openid = issue(user, "all openid"), issue(user, "openid")
    assert refusal(ask(everything.header)) == (403, "insufficient_scope")

    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "ALL_SCOPE": "all"}

    assert ask(everything.header).status_code == 200
    assert refusal(ask(openid.header)) == (403, "insufficient_scope")
