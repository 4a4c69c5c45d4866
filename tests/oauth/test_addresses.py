"""Frappe's OAuth 2 URLs: what each takes, returns and refuses."""

import base64
import hashlib
import json
from datetime import timedelta
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, ProgrammingError, connection
from django.db.models.signals import post_save
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application, Grant, RefreshToken
from oauth2_provider.oauth2_validators import OAuth2Validator

from frappe_tokens.contrib.oauth2 import allow_application, views
from frappe_tokens.keys import generate_keys

from ..conftest import bearer_header
from .conftest import METHODS, MIDDLEWARE, REDIRECT_URI, SECRET, set_user

pytestmark = pytest.mark.django_db

VERIFIER = "a-verifier-that-is-made-up-and-long-enough-for-rfc-7636"
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
INACTIVE = {"active": False}

FORMS = [
    "/api/method/frappe.integrations.oauth2.",
    "/api/v1/method/frappe.integrations.oauth2.",
    "/api/v2/method/frappe.integrations.oauth2.",
    "/api/method/frappe.integration_broker.oauth2.",
]


@pytest.fixture
def ada(user):
    """The user's browser, signed in; it checks CSRF tokens as a real server does."""
    client = Client(enforce_csrf_checks=True, headers=BROWSER)
    client.force_login(user)
    return client


def without_none(params):
    return {name: value for name, value in params.items() if value is not None}


def question(application, **changes):
    """Return the parameters of an authorization request; None leaves one out."""
    params = {
        "response_type": "code",
        "client_id": application.client_id,
        "redirect_uri": REDIRECT_URI,
        "scope": "read todos",
        "state": "opaque",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    return without_none(params)


def url_of(application, **changes):
    return f"{METHODS}authorize?{urlencode(question(application, **changes))}"


def form_of(page):
    fields = {field.html_name: field.value() for field in page.context["form"]}
    token = page.wsgi_request.META["CSRF_COOKIE"]
    return without_none({**fields, "csrfmiddlewaretoken": token})


def answer(browser, application, form, **changes):
    """Open the page and send its form, changed by ``form``."""
    page = browser.get(url_of(application, **changes))
    assert page.status_code == 200
    return browser.post(url_of(application, **changes), without_none({**form_of(page), **form}))


def back(response):
    """Return what the application is sent."""
    assert response.status_code == 302
    assert response["Location"].startswith(REDIRECT_URI + "?")
    return dict(parse_qsl(urlsplit(response["Location"]).query))


def code_for(browser, application, **changes):
    return back(answer(browser, application, {"allow": "true"}, **changes))["code"]


def redeem(application, issued, /, **changes):
    sent = {
        "grant_type": "authorization_code",
        "client_id": application.client_id,
        "redirect_uri": REDIRECT_URI,
        "code": issued,
        "code_verifier": VERIFIER,
        **changes,
    }
    return Client().post(METHODS + "get_token", without_none(sent))


def basic(application, secret=SECRET):
    pair = base64.b64encode(f"{application.client_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def assert_not_stored_by_caches(response):
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_urls_answers(form, slash, ada, public, issue, user):
    token = issue(user, "openid")
    client, bearer = Client(), {"Authorization": token.header}

    assert ada.get(f"{form}authorize{slash}", question(public)).status_code == 200
    assert client.get(f"{form}openid_profile{slash}", headers=bearer).status_code == 200
    assert client.post(f"{form}openid_profile{slash}", headers=bearer).status_code == 200
    assert client.post(f"{form}get_token{slash}").json()["error"] == "unsupported_grant_type"
    assert client.post(f"{form}introspect_token{slash}").status_code == 401
    assert client.post(f"{form}revoke_token{slash}", {"token": token.raw}).json() == {}
    assert not AccessToken.objects.exists()
    # The toolkit finds them by its own names.
    assert reverse("oauth2_provider:token") == METHODS + "get_token"
    assert reverse("frappe_tokens_oauth2:user-info") == METHODS + "openid_profile"


def test_page_names_the_application_and_what_it_wants(ada, public):
    page = ada.get(url_of(public))

    text = page.content.decode()
    for shown in ("Give access to To-do app?", "Use the to-do list", REDIRECT_URI):
        assert shown in text
    assert "<script>" not in text
    assert "style=" not in text
    assert page["X-Frame-Options"] == "DENY"
    assert_not_stored_by_caches(page)

    Application.objects.update(name="<b>bold</b>")
    text = ada.get(url_of(public, state="<i>")).content.decode()
    assert "<b>bold" not in text
    assert "<i>" not in text


def test_answer_of_the_user_is_sent_to_the_application(ada, public):
    allowed, denied = back(answer(ada, public, {"allow": "true"})), back(answer(ada, public, {}))

    assert set(allowed) == {"code", "state", "iss"}
    assert (allowed["state"], allowed["iss"]) == ("opaque", "http://testserver")
    assert set(denied) == {"error", "state", "iss"}
    assert (denied["error"], denied["state"]) == ("access_denied", "opaque")
    assert denied["iss"] == "http://testserver"


def test_consent_needs_its_csrf_token(ada, public, user):
    sent = {**question(public), "allow": "true"}

    assert ada.post(url_of(public), sent).status_code == 403
    # Also if the project has left the middleware out, or a header lifts its check.
    request = RequestFactory().post(url_of(public), sent)
    request.user = user
    assert views.Authorize.as_view()(request).status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "nobody"},
        {"client_id": None},
        {"redirect_uri": "https://evil.example.com/callback"},
        {"redirect_uri": REDIRECT_URI.upper()},
    ],
    ids=str,
)
def test_wrong_client_or_redirect_uri_is_reported_here_and_not_there(ada, public, change):
    page = ada.get(url_of(public, **change))
    response = ada.get(url_of(public, **change), headers={"Accept": "*/*"})

    assert page.status_code == 400
    assert "Location" not in page
    assert "This request for access is invalid" in page.content.decode()
    # In Frappe's form to a program.
    content = response.json()
    assert response.status_code == content["status_code"] == 400
    assert content["error"] == "invalid_request"
    assert set(content) == {"error", "description", "status_code"}
    assert_not_stored_by_caches(response)


@pytest.mark.parametrize("query", ["client_id=%zz", "client_id=\x00", "%", "client_id=\xe9"])
def test_odd_query_causes_no_server_error(ada, query):
    response = ada.get(f"{METHODS}authorize?{query}")

    assert response.status_code == 400
    assert_not_stored_by_caches(response)


@pytest.mark.parametrize("required", [True, False])
def test_public_client_always_needs_pkce(ada, public, toolkit, required):
    toolkit(PKCE_REQUIRED=required)
    bare = url_of(public, code_challenge=None, code_challenge_method=None)

    sent = back(ada.get(bare))
    assert (sent["error"], sent["state"]) == ("invalid_request", "opaque")
    sent = back(answer(ada, public, {"allow": "true"}, code_challenge_method="plain"))
    assert sent["error"] == "invalid_request"
    Application.objects.update(client_type="confidential")
    assert (ada.get(bare).status_code == 302) is required


def test_token_is_never_put_into_a_url(ada, public, toolkit):
    for response_type in ("token", "id_token token"):
        assert back(ada.get(url_of(public, response_type=response_type)))["error"]
    toolkit(COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT=False)
    Application.objects.update(authorization_grant_type="implicit")
    response = ada.get(url_of(public, response_type="token"))
    assert "access_token" not in response["Location"]
    assert "error=unauthorized_client" in response["Location"]


@pytest.mark.parametrize(
    "change",
    [
        dict.fromkeys(question(Application())),
        *({name: ""} for name in ("client_id", "scope", "redirect_uri", "response_type")),
        *(
            {name: "a\x00b"}
            for name in ("client_id", "state", "nonce", "code_challenge", "redirect_uri")
        ),
        {"client_id": "gone"},
    ],
    ids=str,
)
def test_changed_consent_is_refused_and_gives_nothing(ada, public, change):
    page = answer(ada, public, {"allow": "true", **change})

    assert page.status_code == 400
    assert "This request for access is invalid" in page.content.decode()
    assert "Location" not in page
    assert not Grant.objects.exists()
    assert_not_stored_by_caches(page)


@pytest.mark.parametrize("error", [IntegrityError, ProgrammingError])
def test_other_database_errors_stay_server_errors(service, error):
    def fail(*args):
        raise error("the server closed the connection")

    with connection.execute_wrapper(fail), pytest.raises(error):
        service("get_token", grant_type="client_credentials")


def test_only_users_have_to_log_in_if_the_project_requires_a_login(
    service, public, settings, toolkit
):
    toolkit(OIDC_ENABLED=True)
    required = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, required]
    token = service("get_token", grant_type="client_credentials", scope="openid").json()
    token = token["access_token"]

    bearer = {"Authorization": f"Bearer {token}"}
    profile = Client(headers=bearer).get(METHODS + "openid_profile")
    assert profile.json()["name"] == "owner"
    assert service("introspect_token", token=token).json()["active"]
    assert service("revoke_token", token=token).json() == {}
    for document in (
        "openid-configuration",
        "oauth-authorization-server",
        "oauth-protected-resource",
        "jwks.json",
    ):
        assert Client().get(f"/.well-known/{document}").status_code == 200
    assert back(Client().get(url_of(public, prompt="none")))["error"] == "login_required"
    login = urlsplit(Client().get(url_of(public)).url)
    assert (login.path, parse_qs(login.query)["next"]) == ("/account/login/", [url_of(public)])


class Silent(OAuth2Validator):
    """Of a project that lets its users in without a question."""

    def validate_silent_login(self, request):
        return True

    def validate_silent_authorization(self, request):
        return False


def test_silent_login_is_the_projects_to_offer(ada, public, toolkit):
    toolkit(OIDC_ENABLED=True)
    silent = url_of(public, prompt="none", scope="openid")

    for browser in (ada, Client()):
        assert back(browser.get(silent))["error"] == "login_required"
    toolkit(OAUTH2_VALIDATOR_CLASS=f"{__name__}.Silent")
    assert back(ada.get(silent))["error"] == "consent_required"


@pytest.mark.parametrize("spelling", ["S256", "s256"])  # the latter in Frappe's documentation
def test_code_gets_a_token_once_with_frappes_response(ada, public, user, spelling):
    code = code_for(ada, public, code_challenge_method=spelling)

    response = redeem(public, code)

    assert response.status_code == 200
    sent = response.json()
    assert set(sent) == {"access_token", "expires_in", "token_type", "scope", "refresh_token"}
    assert (sent["token_type"], sent["expires_in"], sent["scope"]) == ("Bearer", 3600, "read todos")
    assert_not_stored_by_caches(response)
    stored = AccessToken.objects.get()
    assert (stored.user, stored.token) == (user, "")
    rows = json.dumps([*AccessToken.objects.values(), *RefreshToken.objects.values()], default=str)
    assert sent["access_token"] not in rows
    assert sent["refresh_token"] not in rows
    assert redeem(public, code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_verifier": VERIFIER[::-1]}, "invalid_grant"),
        ({"code": "another"}, "invalid_grant"),
        ({"code": "a\x00b"}, "invalid_grant"),
        ({"client_id": None}, "invalid_client"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"grant_type": None}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "invalid_client"),
        ({"grant_type": "password", "username": "ada", "password": "x"}, "invalid_grant"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}, "invalid_request"),
    ],
)
def test_wrong_request_for_a_token_is_400(ada, public, change, error):
    response = redeem(public, code_for(ada, public), **change)

    assert response.status_code == 400
    # PostgreSQL takes no NUL.
    assert response.json()["error"] in (error, *(["invalid_request"] if "code" in change else []))
    assert "WWW-Authenticate" not in response
    assert not AccessToken.objects.exists()


def test_client_credentials_are_taken_from_the_header_and_the_body(service, confidential):
    sent = {"grant_type": "client_credentials", "scope": "todos"}

    def by_header(secret):
        return Client().post(METHODS + "get_token", sent, headers=basic(confidential, secret))

    for response in (by_header(SECRET), service("get_token", **sent)):
        assert (response.status_code, response.json()["scope"]) == (200, "todos")
        assert "refresh_token" not in response.json()
    by_default = service("get_token", grant_type="client_credentials").json()
    assert by_default["scope"] == "read todos"
    wrong = by_header("wrong"), service("get_token", client_secret="wrong", **sent)
    assert [response.status_code for response in wrong] == [401, 400]
    assert wrong[0]["WWW-Authenticate"] == 'Basic realm="api"'
    assert wrong[0]["WWW-Authenticate"]
    assert {response.json()["error"] for response in wrong} == {"invalid_client"}


def test_middleware_leaves_the_clients_credentials_to_the_toolkit(
    confidential, issue, user, settings
):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]
    settings.ROOT_URLCONF = "tests.oauth.test_well_known"
    client = Client(headers=basic(confidential), enforce_csrf_checks=True)
    sent = {"grant_type": "client_credentials", "scope": "todos"}

    assert client.post(METHODS + "get_token", sent).status_code == 200
    assert client.post("/o/token/", sent).status_code == 200
    assert client.post(METHODS + "introspect_token", {"token": issue(user).raw}).json()["active"]
    assert client.post(METHODS + "revoke_token", {"token": "x"}).json() == {}


@pytest.mark.parametrize("method", ["get_token", "revoke_token"])
def test_nothing_is_given_by_get(confidential, method):
    sent = {"client_id": confidential.client_id, "client_secret": SECRET}

    response = Client().get(METHODS + method, {**sent, "grant_type": "client_credentials"})

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert_not_stored_by_caches(response)


def test_token_that_is_deleted_meanwhile_causes_no_server_error(service):
    def delete(instance, **kwargs):
        AccessToken.objects.filter(pk=instance.pk).delete()

    post_save.connect(delete, sender=AccessToken)
    try:
        response = service("get_token", grant_type="client_credentials")
    finally:
        post_save.disconnect(delete, sender=AccessToken)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_refresh_token_gets_a_new_pair_once(ada, public):
    first = redeem(public, code_for(ada, public)).json()
    refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}

    second = redeem(public, None, **refresh)

    assert second.status_code == 200
    assert second.json()["access_token"] != first["access_token"]
    bearer = {"Authorization": f"Bearer {first['access_token']}"}
    assert Client(headers=bearer).get("/api/resource/ToDo").status_code == 401
    assert redeem(public, None, **refresh).json()["error"] == "invalid_grant"
    # Anyone who tries the old one ends them all: it may have been stolen.
    assert not AccessToken.objects.exists()


def test_confidential_client_learns_what_a_token_is(service, issue, user, public):
    token = issue(user, "read todos")

    response = service("introspect_token", token=token.raw)

    assert response.status_code == 200
    assert response.json() == {
        "active": True,
        "scope": "read todos",
        "exp": int(token.instance.expires.timestamp()),
        "client_id": public.client_id,
        "trusted_client": False,
        "username": "ada",
    }
    assert_not_stored_by_caches(response)
    described = service("introspect_token", token=issue(user, "openid").raw).json()
    assert (described["active"], described["sub"], described["name"]) == (True, str(user.pk), "ada")


def test_introspection_of_a_refresh_token(service, issue_refresh_token, user, public, toolkit):
    live = issue_refresh_token(user, "read")

    described = service("introspect_token", token=live, token_type_hint="refresh_token").json()

    ends = AccessToken.objects.get().expires + timedelta(days=14)
    assert described == {
        "exp": int(ends.timestamp()),
        "active": True,
        "scope": "read",
        "client_id": public.client_id,
        "trusted_client": False,
        "username": "ada",
    }
    for fields in ({"access_token": None}, {"revoked": timezone.now()}):
        raw = issue_refresh_token(user, **fields)
        assert service("introspect_token", token=raw).json() == INACTIVE
    for lifetime in (60, timedelta(seconds=60), None):
        toolkit(REFRESH_TOKEN_EXPIRE_SECONDS=lifetime)
        for seconds, active in ((30, True), (61, lifetime is None)):
            AccessToken.objects.update(expires=timezone.now() - timedelta(seconds=seconds))
            described = service("introspect_token", token=live).json()
            assert described["active"] is active
            assert ("exp" in described) is (active and lifetime is not None)


def test_introspection_of_tokens_that_do_not_work(service, issue, user, make_user):
    for raw in (
        issue(user, "openid", expires=timezone.now()).raw,
        issue(make_user("grace", is_active=False)).raw,
        issue(None, application=None).raw,
        "nobody-issued-this",
        "a\x00",
    ):
        assert service("introspect_token", token=raw).json() == INACTIVE
    assert service("introspect_token", token=issue(user, application=None).raw).json()["active"]
    assert service("introspect_token").status_code == 400


def test_token_of_client_credentials_is_active_if_it_may_run(service, issue, public, make_user):
    token = issue(None, "openid introspection")
    sent, client = {"token": token.raw}, Client(headers={"Authorization": token.header})

    for user in (None, make_user("grace", is_active=False), make_user("mary")):
        set_user(public, user)
        assert service("introspect_token", **sent).json() == INACTIVE
        assert client.post(METHODS + "introspect_token", sent).status_code == 401
    allow_application(public)
    described = service("introspect_token", **sent).json()
    assert described["active"]
    assert client.post(METHODS + "introspect_token", sent).json()["active"]
    assert not {"username", "sub"} & set(described)


def test_others_learn_nothing_about_a_token(issue, user, confidential, public):
    token = issue(user, "todos")
    inactive = issue(None, "introspection", application=confidential)
    confidential.user.is_active = False
    Application.objects.filter(pk=public.pk).update(client_secret="")
    sent = {"token": token.raw}

    for params, header in (
        ({}, None),
        ({"client_id": public.client_id}, None),
        ({"client_id": public.client_id, "client_secret": ""}, None),
        ({"client_id": confidential.client_id}, None),
        ({"client_id": confidential.client_id, "client_secret": "wrong"}, None),
        ({"access_token": inactive.raw}, None),
        ({}, token.header),
        ({}, "Bearer nobody-issued-this"),
    ):
        client = Client(headers={"Authorization": header} if header else {})
        response = client.post(METHODS + "introspect_token", {**sent, **params})
        assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
        assert response["WWW-Authenticate"] == 'Basic realm="api"'
        assert_not_stored_by_caches(response)
    assert Client().get(METHODS + "introspect_token", sent).status_code == 405


def test_token_with_the_scope_may_introspect_while_its_user_is_active(issue, user, confidential):
    token = issue(user, "introspection", application=confidential)
    client = Client(headers={"Authorization": token.header})
    sent = {"token": token.raw}

    assert client.post(METHODS + "introspect_token", sent).json()["active"]
    user.is_active = False
    user.save()
    assert client.post(METHODS + "introspect_token", sent).status_code == 401


def test_anyone_who_holds_a_token_may_revoke_it(issue, issue_refresh_token, user):
    pair, alone = issue_refresh_token(user), issue(user, application=None)
    other = issue(user, application=None)

    for raw in (issue(user).raw, pair, alone.raw, "nobody-issued-this", "a\x00"):
        response = Client().post(METHODS + "revoke_token", {"token": raw})
        assert (response.status_code, response.json()) == (200, {})
        assert_not_stored_by_caches(response)

    assert [*AccessToken.objects.all()] == [other.instance]
    assert RefreshToken.objects.get().revoked is not None
    response = Client().post(METHODS + "revoke_token")
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_client_that_is_named_revokes_its_own_tokens_only(
    issue, user, service, public, confidential
):
    unowned, theirs = issue(user, application=None), issue(user)
    for token in (unowned, theirs):
        assert service("revoke_token", token=token.raw).json() == {}
    sent = {"token": theirs.raw, "client_id": confidential.client_id}
    assert Client().post(METHODS + "revoke_token", sent).status_code == 401
    assert AccessToken.objects.count() == 2

    sent = {"token": theirs.raw, "client_id": public.client_id}
    assert Client().post(METHODS + "revoke_token", sent).json() == {}
    assert [*AccessToken.objects.all()] == [unowned.instance]


class WithClaims(OAuth2Validator):
    oidc_claim_scope = None

    def get_additional_claims(self, request):
        return {"name": "Countess", "department": "engines"}


def profile(header):
    return Client(headers={"Authorization": header}).get(METHODS + "openid_profile")


def test_profile_has_frappes_claims_and_the_projects(issue, user, toolkit):
    user.first_name, user.last_name, user.email = "Ada", "Lovelace", "ada@example.com"
    user.save()
    user.groups.add(Group.objects.create(name="Writer"), Group.objects.create(name="Reader"))
    header = issue(user, "openid").header
    claims = {
        "sub": str(user.pk),
        "name": "Ada Lovelace",
        "given_name": "Ada",
        "family_name": "Lovelace",
        "email": "ada@example.com",
        "picture": None,
        "roles": ["Reader", "Writer"],
        "iss": "http://testserver",
    }

    response = profile(header)
    assert response.json() == claims
    assert_not_stored_by_caches(response)
    assert profile(bearer_header(generate_keys(user))).json()["sub"] == str(user.pk)

    toolkit(OAUTH2_VALIDATOR_CLASS=f"{__name__}.WithClaims", OIDC_ISS_ENDPOINT="https://id.test")
    own = {"name": "Countess", "department": "engines", "iss": "https://id.test"}
    assert profile(header).json() == {**claims, **own}


def test_profile_needs_a_live_token_with_openid(issue, user, client):
    refused = profile(issue(user, "read todos").header)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert refused.json()["exc_type"] == "PermissionError"
    expired = profile(issue(user, "openid", expires=timezone.now()).header)
    assert (expired.status_code, expired.json()["code"]) == (401, "key_expired")

    anonymous = client.get(METHODS + "openid_profile")
    assert (anonymous.status_code, anonymous.json()["exc_type"]) == (401, "AuthenticationError")
    client.force_login(user)
    assert client.get(METHODS + "openid_profile").status_code == 401
