"""Frappe's addresses of OAuth 2: what each takes, answers and refuses."""

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError, connection
from django.db.models.signals import post_save
from django.test import Client, RequestFactory
from django.urls import get_resolver, reverse
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application, Grant, RefreshToken
from oauth2_provider.oauth2_validators import OAuth2Validator

from frappe_tokens.contrib.oauth2 import allow_application, views
from frappe_tokens.keys import generate_keys

from ..conftest import basic_header, bearer_header, token_header
from .conftest import METHODS, REDIRECT_URI, SECRET, Issued

pytestmark = pytest.mark.django_db

Issue = Callable[..., Issued]

VERIFIER = "a-verifier-that-is-made-up-and-long-enough-for-rfc-7636"
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}

FORMS = [
    "/api/method/frappe.integrations.oauth2.",
    "/api/v1/method/frappe.integrations.oauth2.",
    "/api/v2/method/frappe.integrations.oauth2.",
    "/api/method/frappe.integration_broker.oauth2.",
]


@pytest.fixture
def ada(user):
    """Her browser, signed in; it checks CSRF tokens as a real server does."""
    client = Client(enforce_csrf_checks=True, headers=BROWSER)
    client.force_login(user)
    return client


def question(application, **changes):
    """The parameters of an authorization request; None leaves one out."""
    asked = {
        "response_type": "code",
        "client_id": application.client_id,
        "redirect_uri": REDIRECT_URI,
        "scope": "read todos",
        "state": "opaque",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    return {name: value for name, value in asked.items() if value is not None}


def answer(browser, asked, **form):
    """Opens the page and sends its form, with ``allow`` as the button says."""
    address = f"{METHODS}authorize?{urlencode(asked)}"
    page = browser.get(address)
    assert page.status_code == 200
    sent = {field.html_name: field.value() or "" for field in page.context["form"]}
    sent = {**sent, "csrfmiddlewaretoken": browser.cookies["csrftoken"].value, **form}
    return browser.post(address, {name: value for name, value in sent.items() if value})


def back(response):
    """What the application is sent."""
    assert response.status_code == 302
    assert response["Location"].startswith(REDIRECT_URI + "?")
    return {
        name: values[0] for name, values in parse_qs(urlsplit(response["Location"]).query).items()
    }


def code_for(browser, application, **changes):
    return back(answer(browser, question(application, **changes), allow="true"))["code"]


def redeem(application, issued, /, **changes):
    sent = {
        "grant_type": "authorization_code",
        "client_id": application.client_id,
        "redirect_uri": REDIRECT_URI,
        "code": issued,
        "code_verifier": VERIFIER,
        **changes,
    }
    return Client().post(METHODS + "get_token", {k: v for k, v in sent.items() if v is not None})


def assert_not_stored_by_caches(response):
    assert "no-store" in response["Cache-Control"]


# Where they are


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_addresses_answers(form, slash, ada, public, issue, user):
    token = issue(user, "openid")
    bearer = {"Authorization": token.header}
    asked = urlencode(question(public))

    assert ada.get(f"{form}authorize{slash}?{asked}").status_code == 200
    assert Client().get(f"{form}openid_profile{slash}", headers=bearer).status_code == 200
    assert Client().post(f"{form}openid_profile{slash}", headers=bearer).status_code == 200
    assert Client().post(f"{form}get_token{slash}").json()["error"] == "unsupported_grant_type"
    assert Client().post(f"{form}introspect_token{slash}").status_code == 401
    assert Client().post(f"{form}revoke_token{slash}", {"token": token.raw}).json() == {}
    assert not AccessToken.objects.exists()


def test_toolkit_finds_them_by_its_own_names():
    assert reverse("oauth2_provider:token") == METHODS + "get_token"
    assert reverse("frappe_tokens_oauth2:user-info") == METHODS + "openid_profile"
    assert get_resolver().namespace_dict


# Asking the user


def test_anonymous_user_is_asked_to_log_in_and_comes_back(public):
    address = f"{METHODS}authorize?{urlencode(question(public))}"
    response = Client().get(address)

    assert response.status_code == 302
    login = urlsplit(response["Location"])
    assert login.path == "/account/login/"
    assert parse_qs(login.query)["next"] == [address]


def test_page_says_who_asks_for_what(ada, public):
    page = ada.get(f"{METHODS}authorize?{urlencode(question(public))}")

    text = page.content.decode()
    assert "Give access to To-do app?" in text
    assert "Use the to-do list" in text
    assert REDIRECT_URI in text
    assert "<script>" not in text
    assert "style=" not in text
    assert page["X-Frame-Options"] == "DENY"
    assert_not_stored_by_caches(page)


def test_names_in_the_page_are_escaped(ada, public):
    Application.objects.update(name="<b>bold</b>")
    page = ada.get(f"{METHODS}authorize?{urlencode(question(public, state='<i>'))}")
    assert "<b>bold" not in page.content.decode()
    assert "<i>" not in page.content.decode()


def test_user_who_allows_sends_a_code(ada, public):
    sent = back(answer(ada, question(public), allow="true"))

    assert set(sent) == {"code", "state", "iss"}
    assert (sent["state"], sent["iss"]) == ("opaque", "http://testserver")


def test_user_who_denies_sends_access_denied(ada, public):
    sent = back(answer(ada, question(public)))

    assert (sent["error"], sent["state"]) == ("access_denied", "opaque")
    assert "code" not in sent


def test_consent_needs_its_csrf_token(ada, public):
    address = f"{METHODS}authorize?{urlencode(question(public))}"
    sent = {**question(public), "allow": "true"}

    assert ada.post(address, sent).status_code == 403
    # Also where the project has left the middleware out, or a header lifts its check.
    request = RequestFactory().post(address, sent)
    request.user = Application.objects.get().user
    assert views.Authorize.as_view()(request).status_code == 403


@pytest.mark.parametrize("header_of", [token_header, basic_header, bearer_header])
def test_nobody_gives_access_by_an_api_key(public, user, settings, header_of):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "frappe_tokens.middleware.TokenAuthenticationMiddleware",
    ]
    header = {"Authorization": header_of(generate_keys(user))}
    address = f"{METHODS}authorize?{urlencode(question(public))}"

    assert Client(headers=header).get(address).status_code == 403
    sent = {**question(public), "allow": "true"}
    assert Client(headers=header).post(address, sent).status_code == 403
    assert not Grant.objects.exists()
    request = RequestFactory().get(address)
    request.user, request.auth = user, generate_keys(user).instance
    with pytest.raises(PermissionDenied, match="signed in"):
        views.Authorize.as_view()(request)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"client_id": "nobody"}, "invalid_request"),
        ({"client_id": None}, "invalid_request"),
        ({"redirect_uri": "https://evil.example.com/callback"}, "invalid_request"),
        ({"redirect_uri": REDIRECT_URI + "/"}, "invalid_request"),
        ({"redirect_uri": REDIRECT_URI + "?more=1"}, "invalid_request"),
        ({"redirect_uri": REDIRECT_URI.upper()}, "invalid_request"),
        ({"redirect_uri": REDIRECT_URI + "#fragment"}, "invalid_request"),
    ],
)
def test_wrong_client_or_redirect_uri_is_told_here_and_nobody_is_sent_there(
    ada, public, change, error
):
    address = f"{METHODS}authorize?{urlencode(question(public, **change))}"
    page = ada.get(address)
    assert page.status_code == 400
    assert "Location" not in page
    assert "This request for access is invalid" in page.content.decode()
    # In Frappe's form to a program.
    told = ada.get(address, headers={"Accept": "*/*"})
    assert told.status_code == 400
    assert told.json() == {
        "error": error,
        "description": told.json()["description"],
        "status_code": 400,
    }
    assert_not_stored_by_caches(told)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": VERIFIER, "code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "S512"}, "invalid_request"),
        ({"response_type": "token"}, "unauthorized_client"),
        ({"response_type": "id_token token"}, "unsupported_response_type"),
        ({"scope": "todos admin"}, "invalid_scope"),
    ],
)
def test_wrong_request_of_a_known_client_is_told_to_it(ada, public, change, error):
    asked = question(public, **change)
    response = ada.get(f"{METHODS}authorize?{urlencode(asked)}")
    if response.status_code == 200:  # the method of PKCE is looked at with the answer
        response = answer(ada, asked, allow="true")
    told = back(response)
    assert (told["error"], told["state"]) == (error, "opaque")


@pytest.mark.parametrize("required", [True, False])
def test_public_client_always_needs_pkce(ada, public, toolkit, required):
    toolkit(PKCE_REQUIRED=required)
    bare = question(public, code_challenge=None, code_challenge_method=None)
    address = f"{METHODS}authorize?{urlencode(bare)}"

    assert back(ada.get(address))["error"] == "invalid_request"
    Application.objects.update(client_type="confidential")
    response = ada.get(address)
    assert (response.status_code == 302) is required


def test_token_is_never_put_into_an_address(ada, public, toolkit):
    toolkit(COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT=True)
    Application.objects.update(authorization_grant_type="implicit")
    asked = question(public, response_type="token")
    assert back(ada.get(f"{METHODS}authorize?{urlencode(asked)}"))["error"]
    toolkit(COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT=False)
    with pytest.warns(DeprecationWarning, match="implicit"):
        response = ada.get(f"{METHODS}authorize?{urlencode(asked)}")
    assert "access_token" not in response["Location"]
    assert "error=unauthorized_client" in response["Location"]


def test_frappes_spelling_of_the_method_is_accepted(ada, public):
    code = code_for(ada, public, code_challenge_method="s256")
    assert redeem(public, code).status_code == 200


@pytest.mark.parametrize("query", ["client_id=%zz", "client_id=\x00", "%", "client_id=\xe9"])
def test_odd_query_is_no_server_error(ada, query):
    response = ada.get(f"{METHODS}authorize?{query}")
    assert response.status_code == 400
    assert_not_stored_by_caches(response)


def post_consent(browser, application, **changes):
    """Sends the page's form as somebody who has changed it."""
    address = f"{METHODS}authorize?{urlencode(question(application))}"
    assert browser.get(address).status_code == 200
    form = {**question(application), "allow": "true", **changes}
    form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"].value
    return browser.post(address, {name: value for name, value in form.items() if value is not None})


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
def test_changed_consent_is_told_so_and_gives_nothing(ada, public, change):
    page = post_consent(ada, public, **change)
    assert page.status_code == 400
    assert "This request for access is invalid" in page.content.decode()
    assert "Location" not in page
    assert not Grant.objects.exists()
    assert_not_stored_by_caches(page)


def test_consent_for_an_application_that_was_deleted_meanwhile(ada, public):
    address = f"{METHODS}authorize?{urlencode(question(public))}"
    page = ada.get(address)
    sent = {field.html_name: field.value() or "" for field in page.context["form"]}
    sent |= {"csrfmiddlewaretoken": ada.cookies["csrftoken"].value, "allow": "true"}
    Application.objects.all().delete()

    told = ada.post(address, sent, headers={"Accept": "application/json"})
    assert (told.status_code, told.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("charset", ["hex", "rot13"])
@pytest.mark.parametrize("method", ["authorize", "get_token", "revoke_token", "introspect_token"])
def test_charset_that_is_none_of_text_is_no_server_error(user, confidential, method, charset):
    pair = base64.b64encode(f"{confidential.client_id}:{SECRET}".encode()).decode()
    client = Client(headers={} if method == "authorize" else {"Authorization": f"Basic {pair}"})
    client.force_login(user)
    body = b'--b\r\nContent-Disposition: form-data; name="token"\r\n\r\nabcd\r\n--b--\r\n'
    form = f"multipart/form-data; boundary=b; charset={charset}"

    response = client.generic("POST", METHODS + method, body, content_type=form)
    assert response.status_code == 400
    assert response.json()["error"] == "invalid_request"


@pytest.mark.parametrize("down", [OperationalError, InterfaceError])
@pytest.mark.parametrize("method", ["authorize", "get_token", "revoke_token", "introspect_token"])
def test_database_that_does_not_answer_is_503_in_json(ada, confidential, method, down, settings):
    settings.DEBUG = True

    def fail(*args):
        raise down("the server closed the connection")

    sent = {"token": "a-token-of-somebody", "client_id": confidential.client_id}
    sent |= {"client_secret": SECRET, "grant_type": "client_credentials"}
    client = ada if method == "authorize" else Client()
    call = client.get if method == "authorize" else client.post
    with connection.execute_wrapper(fail):
        response = call(METHODS + method, sent, headers={"Accept": "*/*"})
    assert response.status_code == 503
    assert response.json() == {"error": "temporarily_unavailable"}
    assert int(response["Retry-After"]) > 0
    assert_not_stored_by_caches(response)


def test_login_that_the_project_requires_is_not_for_clients(
    confidential, public, settings, toolkit
):
    toolkit(OIDC_ENABLED=True)
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    sent = {"client_id": confidential.client_id, "client_secret": SECRET}
    asked = {**sent, "grant_type": "client_credentials", "scope": "openid"}
    token = Client().post(METHODS + "get_token", asked).json()["access_token"]
    sent["token"] = token

    bearer = {"Authorization": f"Bearer {token}"}
    profile = Client(headers=bearer).get(METHODS + "openid_profile")
    assert profile.json()["name"] == "owner"
    assert Client().post(METHODS + "introspect_token", sent).json()["active"]
    assert Client().post(METHODS + "revoke_token", sent).json() == {}
    for document in (
        "openid-configuration",
        "oauth-authorization-server",
        "oauth-protected-resource",
        "jwks.json",
    ):
        assert Client().get(f"/.well-known/{document}").status_code == 200
    silent = question(public, prompt="none")
    told = back(Client().get(f"{METHODS}authorize?{urlencode(silent)}"))
    assert told["error"] == "login_required"
    assert_asks_for_login(Client().get(f"{METHODS}authorize?{urlencode(question(public))}"))


class Silent(OAuth2Validator):
    """Of a project that lets its users in without a question."""

    def validate_silent_login(self, request):
        return True

    def validate_silent_authorization(self, request):
        return False


def test_silent_login_is_the_projects_to_offer(ada, public, toolkit):
    toolkit(OIDC_ENABLED=True)
    address = f"{METHODS}authorize?{urlencode(question(public, prompt='none', scope='openid'))}"
    for browser in (ada, Client()):
        assert back(browser.get(address))["error"] == "login_required"
    toolkit(OAUTH2_VALIDATOR_CLASS=f"{__name__}.Silent")
    assert back(ada.get(address))["error"] == "consent_required"


def assert_asks_for_login(response):
    assert response.status_code == 302
    assert urlsplit(response["Location"]).path == "/account/login/"


# Tokens


def test_code_gets_a_token_with_frappes_answer(ada, public, user):
    response = redeem(public, code_for(ada, public))

    assert response.status_code == 200
    told = response.json()
    assert set(told) == {"access_token", "expires_in", "token_type", "scope", "refresh_token"}
    assert (told["token_type"], told["expires_in"], told["scope"]) == ("Bearer", 3600, "read todos")
    assert_not_stored_by_caches(response)
    stored = AccessToken.objects.get()
    assert (stored.user, stored.token) == (user, "")
    assert told["access_token"] not in json.dumps([*AccessToken.objects.values()], default=str)
    assert told["refresh_token"] not in json.dumps([*RefreshToken.objects.values()], default=str)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": VERIFIER[::-1]}, "invalid_grant"),
        ({"redirect_uri": "https://evil.example.com/callback"}, "invalid_request"),
        ({"code": "another"}, "invalid_grant"),
        ({"code": "a\x00b"}, "invalid_grant"),
        ({"client_id": None}, "invalid_client"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"grant_type": "nothing"}, "unsupported_grant_type"),
        ({"grant_type": None}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "invalid_client"),
        ({"grant_type": "password", "username": "ada", "password": "x"}, "invalid_grant"),
    ],
)
def test_wrong_request_for_a_token_is_400(ada, public, change, error):
    code = code_for(ada, public)
    response = redeem(public, code, **change)
    assert response.status_code == 400
    # PostgreSQL takes no NUL.
    assert response.json()["error"] in (error, *(["invalid_request"] if "code" in change else []))
    assert "WWW-Authenticate" not in response
    assert not AccessToken.objects.exists()


def test_code_works_once(ada, public):
    code = code_for(ada, public)
    assert redeem(public, code).status_code == 200
    assert redeem(public, code).json()["error"] == "invalid_grant"


def test_code_is_its_own_clients(ada, public, make_user):
    other = Application.objects.create(
        client_type="public",
        authorization_grant_type="authorization-code",
        redirect_uris=REDIRECT_URI,
    )
    assert redeem(other, code_for(ada, public)).json()["error"] == "invalid_grant"


def test_client_credentials_by_header_and_by_body(confidential):
    pair = base64.b64encode(f"{confidential.client_id}:{SECRET}".encode()).decode()
    sent = {"grant_type": "client_credentials", "scope": "todos"}
    by_header = Client().post(
        METHODS + "get_token", sent, headers={"Authorization": f"Basic {pair}"}
    )
    both = {"client_id": confidential.client_id, "client_secret": SECRET}
    by_body = Client().post(METHODS + "get_token", {**sent, **both})
    for response in (by_header, by_body):
        assert response.status_code == 200
        assert response.json()["scope"] == "todos"
        assert "refresh_token" not in response.json()


def test_middleware_leaves_the_clients_credentials_to_the_toolkit(
    confidential, issue, user, settings
):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "frappe_tokens.middleware.TokenAuthenticationMiddleware",
    ]
    settings.ROOT_URLCONF = "tests.oauth.test_well_known"
    pair = base64.b64encode(f"{confidential.client_id}:{SECRET}".encode()).decode()
    client = Client(headers={"Authorization": f"Basic {pair}"}, enforce_csrf_checks=True)
    sent = {"grant_type": "client_credentials", "scope": "todos"}
    assert client.post(METHODS + "get_token", sent).status_code == 200
    assert client.post("/o/token/", sent).status_code == 200
    assert client.post(METHODS + "introspect_token", {"token": issue(user).raw}).json()["active"]
    assert client.post(METHODS + "revoke_token", {"token": "x"}).json() == {}


def test_scope_is_the_default_one_where_none_is_asked_for(service):
    told = service("get_token", grant_type="client_credentials").json()
    assert told["scope"] == "read todos"


def test_wrong_secret_is_401_by_header_and_400_by_body(confidential):
    pair = base64.b64encode(f"{confidential.client_id}:wrong".encode()).decode()
    sent = {"grant_type": "client_credentials"}
    by_header = Client().post(
        METHODS + "get_token", sent, headers={"Authorization": f"Basic {pair}"}
    )
    both = {"client_id": confidential.client_id, "client_secret": "wrong"}
    by_body = Client().post(METHODS + "get_token", {**sent, **both})
    assert (by_header.status_code, by_body.status_code) == (401, 400)
    assert by_header["WWW-Authenticate"]
    assert by_header.json()["error"] == by_body.json()["error"] == "invalid_client"


@pytest.mark.parametrize("method", ["get_token", "revoke_token"])
def test_by_get_nothing_is_given(confidential, method):
    sent = {
        "grant_type": "client_credentials",
        "client_id": confidential.client_id,
        "client_secret": SECRET,
    }
    response = Client().get(METHODS + method, sent)
    assert response.status_code == 400
    assert response.json()["error"] == "invalid_request"
    assert_not_stored_by_caches(response)


def test_device_flow_without_its_code_is_no_server_error(db):
    sent = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}
    assert Client().post(METHODS + "get_token", sent).status_code == 400


def test_token_that_is_deleted_meanwhile_is_no_server_error(service):
    def delete(instance, **told):
        AccessToken.objects.filter(pk=instance.pk).delete()

    post_save.connect(delete, sender=AccessToken)
    try:
        response = service("get_token", grant_type="client_credentials")
    finally:
        post_save.disconnect(delete, sender=AccessToken)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_refresh_token_gets_a_new_pair_once(ada, public):
    first = redeem(public, code_for(ada, public)).json()
    sent = {
        "grant_type": "refresh_token",
        "client_id": public.client_id,
        "refresh_token": first["refresh_token"],
    }
    second = Client().post(METHODS + "get_token", sent)
    assert second.status_code == 200
    assert second.json()["access_token"] != first["access_token"]
    bearer = {"Authorization": f"Bearer {first['access_token']}"}
    assert Client(headers=bearer).get("/api/resource/ToDo").status_code == 401
    assert Client().post(METHODS + "get_token", sent).json()["error"] == "invalid_grant"
    # Whoever tries the old one ends them all: it may have been stolen.
    assert not AccessToken.objects.exists()


# Introspection


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


def test_introspection_tells_the_profile_with_openid(service, issue, user):
    told = service("introspect_token", token=issue(user, "openid").raw).json()
    assert (told["active"], told["sub"], told["name"]) == (True, str(user.pk), "ada")


def test_introspection_of_client_credentials(service):
    token = service("get_token", grant_type="client_credentials", scope="openid").json()
    told = service("introspect_token", token=token["access_token"]).json()
    assert told["active"]
    assert "username" not in told
    assert "sub" not in told


def test_introspection_of_a_refresh_token(service, issue_refresh_token, user, public):
    live = issue_refresh_token(user, "read")
    told = service("introspect_token", token=live, token_type_hint="refresh_token").json()
    assert told == {
        "active": True,
        "scope": "read",
        "client_id": public.client_id,
        "trusted_client": False,
        "username": "ada",
    }
    orphan = issue_refresh_token(user, access_token=None)
    revoked = issue_refresh_token(user, revoked=timezone.now())
    for raw in (orphan, revoked):
        assert service("introspect_token", token=raw).json() == {"active": False}


def test_introspection_of_what_does_not_work_any_more(service, issue, user, make_user):
    expired = issue(user, "openid", expires=timezone.now())
    inactive = issue(make_user("grace", is_active=False))
    nobodys = issue(user, application=None)
    for raw in (expired.raw, inactive.raw, "nobody-issued-this", "a\x00"):
        told = service("introspect_token", token=raw).json()
        assert told["active"] is False
    assert set(service("introspect_token", token=inactive.raw).json()) == {"active"}
    assert set(service("introspect_token", token=expired.raw).json()) == {"active"}
    assert service("introspect_token", token=nobodys.raw).json()["active"]
    assert service("introspect_token").status_code == 400


def test_introspection_of_what_runs_as_nobody_active(service, issue, public, make_user):
    tokens = [issue(None).raw, issue(None, application=None).raw]
    for raw in tokens:
        assert service("introspect_token", token=raw).json() == {"active": False}
    Application.objects.filter(pk=public.pk).update(user=make_user("grace", is_active=False))
    assert service("introspect_token", token=tokens[0]).json() == {"active": False}
    Application.objects.filter(pk=public.pk).update(user=make_user("mary"))
    assert service("introspect_token", token=tokens[0]).json() == {"active": False}
    allow_application(Application.objects.get(pk=public.pk))
    assert service("introspect_token", token=tokens[0]).json()["active"]


@pytest.mark.parametrize("lasts", [60, timedelta(seconds=60)])
def test_introspection_of_a_refresh_token_that_has_expired(
    service, issue_refresh_token, user, toolkit, lasts
):
    raw = issue_refresh_token(user)
    toolkit(REFRESH_TOKEN_EXPIRE_SECONDS=lasts)
    AccessToken.objects.update(expires=timezone.now() - timedelta(seconds=30))
    assert service("introspect_token", token=raw).json()["active"]
    AccessToken.objects.update(expires=timezone.now() - timedelta(seconds=61))
    assert service("introspect_token", token=raw).json() == {"active": False}
    toolkit(REFRESH_TOKEN_EXPIRE_SECONDS=None)
    assert service("introspect_token", token=raw).json()["active"]


def test_nobody_else_learns_anything(issue, user, confidential, public):
    token = issue(user, "todos")
    inactive = issue(None, "introspection", application=confidential)
    confidential.user.is_active = False
    Application.objects.filter(pk=public.pk).update(client_secret="")
    address = METHODS + "introspect_token"
    sent = {"token": token.raw}
    answers = [
        Client().post(address, sent),
        Client().post(address, {**sent, "client_id": public.client_id}),
        Client().post(address, {**sent, "client_id": public.client_id, "client_secret": ""}),
        Client().post(address, {**sent, "client_id": confidential.client_id}),
        Client().post(
            address, {**sent, "client_id": confidential.client_id, "client_secret": "wrong"}
        ),
        Client().post(address, {**sent, "access_token": inactive.raw}),
        Client().post(address, sent, headers={"Authorization": token.header}),
        Client().post(address, sent, headers={"Authorization": "Bearer nobody-issued-this"}),
    ]
    for response in answers:
        assert response.status_code == 401
        assert response.json()["error"] == "invalid_client"
        assert response["WWW-Authenticate"] == 'Basic realm="api"'
        assert_not_stored_by_caches(response)
    assert Client().get(address, sent).status_code == 405


def test_access_token_with_the_scope_may_ask_as_long_as_its_user_is_active(issue, user):
    asking = issue(user, "introspection")
    headers = {"Authorization": asking.header}
    address = METHODS + "introspect_token"

    assert Client().post(address, {"token": asking.raw}, headers=headers).json()["active"]
    user.is_active = False
    user.save()
    assert Client().post(address, {"token": asking.raw}, headers=headers).status_code == 401


def test_nor_may_a_token_of_client_credentials_whose_owner_is_inactive(issue, confidential):
    asking = issue(None, "introspection", application=confidential)
    headers = {"Authorization": asking.header}
    address = METHODS + "introspect_token"

    assert Client().post(address, {"token": asking.raw}, headers=headers).json()["active"]
    confidential.user.is_active = False
    confidential.user.save()
    assert Client().post(address, {"token": asking.raw}, headers=headers).status_code == 401


# Revocation


def test_whoever_holds_a_token_may_end_it(issue, user):
    token = issue(user)
    response = Client().post(METHODS + "revoke_token", {"token": token.raw})

    assert (response.status_code, response.json()) == (200, {})
    assert_not_stored_by_caches(response)
    assert not AccessToken.objects.exists()


def test_token_of_no_application_ends_and_no_other(issue, user):
    token, other = issue(user, application=None), issue(user, application=None)
    response = Client().post(METHODS + "revoke_token", {"token": token.raw})

    assert (response.status_code, response.json()) == (200, {})
    assert [*AccessToken.objects.all()] == [other.instance]


def test_client_does_not_end_a_token_of_no_application(issue, user, service):
    assert service("revoke_token", token=issue(user, application=None).raw).json() == {}
    assert AccessToken.objects.exists()


def test_the_pair_ends_together(issue_refresh_token, user):
    raw = issue_refresh_token(user)
    response = Client().post(METHODS + "revoke_token", {"token": raw})
    assert response.status_code == 200
    assert not AccessToken.objects.exists()
    assert RefreshToken.objects.get().revoked is not None


def test_unknown_token_is_ended_as_well(db):
    for raw in ("nobody-issued-this", "a\x00"):
        assert Client().post(METHODS + "revoke_token", {"token": raw}).json() == {}
    response = Client().post(METHODS + "revoke_token")
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_client_that_says_who_it_is_ends_its_own_tokens_only(
    issue, user, service, public, confidential
):
    theirs = issue(user)
    assert service("revoke_token", token=theirs.raw).json() == {}
    assert AccessToken.objects.exists()
    sent = {"token": theirs.raw, "client_id": confidential.client_id}
    assert Client().post(METHODS + "revoke_token", sent).status_code == 401
    assert AccessToken.objects.exists()
    sent = {"token": theirs.raw, "client_id": public.client_id}
    assert Client().post(METHODS + "revoke_token", sent).json() == {}
    assert not AccessToken.objects.exists()


# Who the user is


class WithClaims(OAuth2Validator):
    oidc_claim_scope = None

    def get_additional_claims(self, request):
        return {"name": "Countess", "department": "engines"}


def test_profile_has_frappes_claims(issue, user):
    user.first_name, user.last_name, user.email = "Ada", "Lovelace", "ada@example.com"
    user.save()
    user.groups.add(Group.objects.create(name="Writer"), Group.objects.create(name="Reader"))
    header = {"Authorization": issue(user, "openid").header}
    response = Client(headers=header).get(METHODS + "openid_profile")

    assert response.json() == {
        "sub": str(user.pk),
        "name": "Ada Lovelace",
        "given_name": "Ada",
        "family_name": "Lovelace",
        "email": "ada@example.com",
        "picture": None,
        "roles": ["Reader", "Writer"],
        "iss": "http://testserver",
    }
    assert_not_stored_by_caches(response)


def test_profile_has_the_projects_own_claims(issue, user, toolkit):
    toolkit(OAUTH2_VALIDATOR_CLASS=f"{__name__}.WithClaims", OIDC_ISS_ENDPOINT="https://id.test")
    header = {"Authorization": issue(user, "openid").header}
    told = Client(headers=header).get(METHODS + "openid_profile").json()
    assert (told["name"], told["department"]) == ("Countess", "engines")
    assert told["iss"] == "https://id.test"


def test_profile_by_an_api_key_too(user):
    header = {"Authorization": bearer_header(generate_keys(user))}
    assert Client(headers=header).get(METHODS + "openid_profile").json()["sub"] == str(user.pk)


def test_profile_needs_openid_and_a_user(issue, user):
    address = METHODS + "openid_profile"
    header = {"Authorization": issue(user, "read todos").header}
    refused = Client(headers=header).get(address)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert refused.json()["exc_type"] == "PermissionError"
    anonymous = Client().get(address)
    assert (anonymous.status_code, anonymous.json()["exc_type"]) == (401, "AuthenticationError")
    signed_in = Client()
    signed_in.force_login(user)
    assert signed_in.get(address).status_code == 401


def test_expired_token_is_told_so(issue, user):
    header = {"Authorization": issue(user, "openid", expires=timezone.now()).header}
    response = Client(headers=header).get(METHODS + "openid_profile")
    assert response.json()["code"] == "key_expired"
