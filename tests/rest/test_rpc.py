"""Frappe's remote calls."""

import json

import pytest
from django.test import Client

from frappe_tokens import __version__
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey

from ..conftest import PASSWORD, basic_header, bearer_header, token_header
from .conftest import GENERATE, WHO, works

pytestmark = pytest.mark.django_db

URLS = [
    GENERATE,
    f"{GENERATE}/",
    "/api/method/frappe.core.doctype.user.user",
    "/api/method/frappe.core.api.auth.generate_api_keys/",
]
# The example project's other URL for it.
BY_COMMAND = "/?cmd=frappe.core.doctype.user.user.generate_keys"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"


def send(by, method, url, data=None, header_of=token_header, headers=(), **options):
    headers = {"authorization": header_of(by), **dict(headers)} if by else dict(headers)
    return getattr(Client(), method)(url, data, headers=headers, **options)


def assert_generated(response, user):
    assert response.status_code == 200, response.content
    assert response["Content-Type"] == "application/json"
    assert "no-store" in response["Cache-Control"]
    message = response.json()["message"]
    assert response.json() == {"message": message}
    assert set(message) == {"api_key", "api_secret"}
    assert ApiKey.objects.get(api_key=message["api_key"]).user == user
    assert works(**message)


def assert_error(response, status, exc_type, code, sentence=""):
    assert response.status_code == status
    assert response["Content-Type"] == "application/json"
    assert "no-store" in response["Cache-Control"]
    body = response.json()
    assert set(body) == {"exc_type", "exception", "exc", "_server_messages", "code"}
    assert (body["exc_type"], body["code"]) == (exc_type, code)
    prefix, _, message = body["exception"].partition(": ")
    assert prefix == f"frappe.exceptions.{exc_type}"
    assert message
    assert sentence in message
    assert json.loads(body["exc"]) == [f"{exc_type}: {message}"]
    (shown,) = json.loads(body["_server_messages"])
    assert json.loads(shown)["message"] == message


def test_logged_user_of_a_session(user):
    client = Client(enforce_csrf_checks=True)
    assert client.login(username="ada", password=PASSWORD)

    assert client.get(WHO).json() == {"message": "ada"}
    assert_error(client.post(WHO), 403, "PermissionError", "permission_denied", "CSRF")


def test_anonymous_client_is_refused():
    response = Client().get(WHO)

    assert_error(response, 401, "AuthenticationError", "not_authenticated")
    assert response["WWW-Authenticate"].startswith('token realm="api", Bearer realm="api"')


def test_refused_credential_is_in_the_envelope(keys, header_of):
    revoke(keys.instance)

    response = send(keys, "get", WHO, header_of=header_of)

    sentence = "This API key has been revoked."
    assert_error(response, 401, "AuthenticationError", "key_revoked", sentence)
    scheme = header_of(keys).split()[0].lower()
    assert response["WWW-Authenticate"].lower().startswith(scheme)


@pytest.mark.parametrize("call", ["frappe.auth.get_logged_user", "version", "ping"])
def test_any_valid_key_may_ask_who_it_is(user, call):
    narrow = generate_keys(user, name="narrow", scopes=["todos"], read_only=True)

    response = send(narrow, "get", f"/api/method/{call}")

    expected = {"ping": "pong", "version": __version__}.get(call, "ada")
    assert (response.status_code, response.json()) == (200, {"message": expected})


def test_scoped_key_still_opens_nothing_else(manager):
    scoped = generate_keys(manager.instance.user, name="scoped", scopes=["todos"])

    for url in (*URLS, "/api/v1" + GENERATE[4:], "/api/keys/"):
        assert send(scoped, "get", url).json()["code"] == "insufficient_scope"


def test_anyone_may_ping_but_not_with_a_wrong_credential(keys):
    assert Client().get("/api/method/ping").json() == {"message": "pong"}
    assert Client().get("/api/method/version").status_code == 401

    response = Client().get("/api/method/ping", headers={"Authorization": "token ftk_a:fts_b"})
    assert_error(response, 401, "AuthenticationError", "malformed_credentials")


def at_version(version, url):
    return url.replace("/api/", f"/api/v{version}/", 1)


@pytest.mark.parametrize(
    "url", [WHO, f"{WHO}/", "/api/method/frappe.core.api.auth.get_logged_user"]
)
def test_each_address_names_the_user(keys, header_of, url):
    for method in ("get", "post"):
        response = send(keys, method, url, header_of=header_of)
        assert (response.status_code, response.json()) == (200, {"message": "ada"})
        assert "no-store" in response["Cache-Control"]

    assert send(keys, "get", at_version(1, url)).json() == {"message": "ada"}
    assert send(keys, "get", at_version(2, url)).json() == {"data": "ada"}


@pytest.mark.parametrize("url", URLS)
def test_second_version_generates_keys_in_its_envelope(manager, user, url):
    response = send(manager, "post", at_version(2, url), {"user": "ada"})

    assert set(response.json()) == {"data"}
    assert works(**response.json()["data"])
    assert "no-store" in response["Cache-Control"]


def test_second_version_has_its_own_errors(manager):
    response = send(manager, "post", at_version(2, GENERATE), {"user": "nobody"})

    assert response.status_code == 404
    assert response.json() == {
        "errors": [
            {
                "type": "DoesNotExistError",
                "message": "User nobody not found.",
                "title": "Message",
                "indicator": "red",
            }
        ],
        "code": "not_found",
    }
    refused = Client().get(at_version(2, WHO), headers={"Authorization": "token ftk_a:fts_b"})
    assert refused.status_code == 401
    assert refused.json()["errors"][0]["type"] == "AuthenticationError"
    assert refused.json()["code"] == "malformed_credentials"


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("name", ["ada", '"ada"'], ids=["bare", "quoted"])
def test_each_url_generates_keys(manager, user, url, method, name):
    assert_generated(send(manager, method, url, {"user": name}), user)

    assert ApiKey.objects.get(user=user).created_by == manager.instance.user


@pytest.mark.parametrize(
    ("query", "body", "content_type"),
    [
        ("?user=ada", "", FORM),
        ("?user=ada", "{}", JSON),
        ("", '{"user": "ada"}', JSON),
        ("?user=grace", "user=ada", FORM),
        ("", "user=ada&api_key=mine&api_secret=mine&name=mine&scopes=[]", FORM),
    ],
)
def test_user_is_in_the_body_or_the_query(manager, user, make_user, query, body, content_type):
    make_user("grace")

    response = send(manager, "post", GENERATE + query, body, content_type=content_type)

    assert_generated(response, user)
    assert "mine" not in response.content.decode()
    assert ApiKey.objects.get(user=user).name == ""


def test_user_whose_name_has_quotes_comes_first(manager, user, make_user):
    quoted = make_user('"ada"')

    assert_generated(send(manager, "post", GENERATE, {"user": '"ada"'}), quoted)


@pytest.mark.parametrize("name", ['""ada""', "'ada'", '"ada', '""', '"', '" ada"', '"nobody"'])
def test_only_one_pair_of_double_quotes_is_taken_off(manager, user, name):
    response = send(manager, "post", GENERATE, {"user": name})

    assert_error(response, 404, "DoesNotExistError", "not_found", f"User {name} not found.")


def test_each_call_rotates_the_unnamed_key(manager, keys):
    named = generate_keys(keys.instance.user, name="backup")

    responses = [send(manager, "post", GENERATE, {"user": "ada"}) for _ in range(2)]

    first, second = (response.json()["message"] for response in responses)
    assert first["api_key"] == second["api_key"] == keys.api_key
    assert [works(**first), works(**second)] == [False, True]
    assert works(named.api_key, named.api_secret)


NO_USER = [
    *("", "{}", '{"user": ""}', '{"user": null}', '{"user": 1}', '{"user": ["ada"]}'),
    *('{"user": {"name": "ada"}}', '["ada"]', "null"),
]
UNREADABLE = ["{", " ", b"\xff", '{"user": "ada"', "user=ada", "NaN", "[" * 50_000]


def test_unusable_body_is_417(manager):
    for bodies, content_type, code, sentence in [
        (NO_USER, JSON, "no_user", "Name the user"),
        (["user=", "users=ada"], FORM, "no_user", "Name the user"),
        (UNREADABLE, JSON, "parse_error", ""),
    ]:
        for body in bodies:
            response = send(manager, "post", GENERATE, body, content_type=content_type)
            assert_error(response, 417, "ValidationError", code, sentence)


def test_body_with_more_fields_than_django_reads_is_417(manager, settings):
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 2

    response = send(manager, "post", GENERATE, "user=ada&user=bob&user=cyd", content_type=FORM)

    assert_error(response, 417, "ValidationError", "parse_error")


def test_unknown_user_is_404(manager):
    for name in ("nobody", "ad", "a" * 10_000, "\x00", "ada\x00", "\ud800", "\U0001f511"):
        response = send(manager, "post", GENERATE, {"user": name}, content_type=JSON)
        assert_error(response, 404, "DoesNotExistError", "not_found", "not found")
    for name in ("%00", "%ff", "%ED%A0%80"):
        response = send(manager, "get", f"{GENERATE}?user={name}")
        assert_error(response, 404, "DoesNotExistError", "not_found", "not found")


def test_inactive_user_and_expired_key_are_417(manager, keys, make_user):
    make_user("gone", is_active=False)
    ApiKey.objects.filter(pk=keys.instance.pk).update(expires_at=keys.instance.created_at)

    inactive = send(manager, "post", GENERATE, {"user": "gone"})
    expired = send(manager, "post", GENERATE, {"user": "ada"})

    assert_error(inactive, 417, "ValidationError", "user_inactive", "inactive")
    assert_error(expired, 417, "ValidationError", "key_expired", keys.api_key)


def test_other_content_type_is_415(manager):
    response = send(manager, "post", GENERATE, "<user/>", content_type="application/xml")

    assert_error(response, 415, "ValidationError", "unsupported_media_type")


def test_other_methods_generate_nothing(manager, user):
    for method in ("head", "put", "patch", "delete", "trace", "options"):
        response = send(manager, method, f"{GENERATE}?user=ada")
        assert response.status_code == (200 if method == "options" else 405)
        assert set(response["Allow"].split(", ")) == {"GET", "POST", "OPTIONS"}
        if method not in {"head", "options"}:
            assert_error(response, 405, "PermissionError", "method_not_allowed")
    assert not ApiKey.objects.filter(user=user).exists()


def test_user_without_the_permission_may_not_generate_keys(keys):
    for username in ("ada", "nobody", ""):
        response = send(keys, "post", GENERATE, {"user": username})
        assert_error(response, 403, "PermissionError", "permission_denied")

    assert works(keys.api_key, keys.api_secret)


def test_restricted_key_may_not_generate_keys(system_manager, user):
    read_only = generate_keys(system_manager, name="read-only", read_only=True)
    scoped = generate_keys(system_manager, name="scoped", scopes=["todo"])

    for restricted, method, code in [
        (read_only, "post", "key_read_only"),
        (read_only, "get", "permission_denied"),
        (scoped, "post", "insufficient_scope"),
        (scoped, "get", "insufficient_scope"),
    ]:
        response = send(restricted, method, GENERATE, {"user": "ada"})
        assert_error(response, 403, "PermissionError", code)
    assert not ApiKey.objects.filter(user=user).exists()


def test_session_needs_its_csrf_token(browser, user):
    token = browser.cookies["csrftoken"].value

    for headers in ({}, {"x-csrftoken": token[::-1]}):
        response = browser.post(GENERATE, {"user": "ada"}, headers=headers)
        assert_error(response, 403, "PermissionError", "permission_denied", "CSRF")
    assert not ApiKey.objects.filter(user=user).exists()
    headers = {"x-csrftoken": token}
    assert_generated(browser.post(GENERATE, {"user": "ada"}, headers=headers), user)


@pytest.mark.parametrize("url", URLS)
def test_session_may_not_generate_keys_by_get(browser, user, url):
    response = browser.get(url, {"user": "ada"})

    assert_error(response, 405, "PermissionError", "method_not_allowed", "POST")
    assert not ApiKey.objects.filter(user=user).exists()


MOZILLA = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"


# What a link or an image on another site does.
@pytest.mark.parametrize("url", [*URLS, BY_COMMAND])
def test_browser_may_not_generate_keys_by_get_with_basic(manager, keys, url):
    url = f"{url}{'&' if '?' in url else '?'}user=ada"

    for headers in ({"user-agent": MOZILLA}, {"origin": "https://evil.example"}):
        response = send(manager, "get", url, header_of=basic_header, headers=headers)
        assert_error(response, 405, "PermissionError", "method_not_allowed", "POST")
    assert works(keys.api_key, keys.api_secret)


@pytest.mark.parametrize(
    ("header_of", "headers"),
    [
        (basic_header, {"user-agent": "curl/8.5.0"}),
        (basic_header, {"sec-fetch-site": "same-origin"}),
        # Only a page's script sends these, and not another site's.
        (token_header, {"user-agent": MOZILLA}),
        (bearer_header, {"user-agent": MOZILLA}),
    ],
)
def test_programs_and_own_pages_may_use_get(manager, user, header_of, headers):
    response = send(manager, "get", GENERATE, {"user": "ada"}, header_of, headers)

    assert_generated(response, user)
