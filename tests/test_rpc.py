"""Frappe's remote calls, as they go over the wire."""

import json

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection
from django.test import Client
from django.urls import reverse

from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey

from .conftest import PASSWORD, basic_header, bearer_header, token_header

pytestmark = pytest.mark.django_db

WHO = "/api/method/frappe.auth.get_logged_user"
GENERATE = "/api/method/frappe.core.doctype.user.user.generate_keys"
ADDRESSES = [
    address + slash
    for address in (
        GENERATE,
        "/api/method/frappe.core.doctype.user.user",
        "/api/method/frappe.core.api.auth.generate_api_keys",
    )
    for slash in ("", "/")
]
# The example project's other address for it.
BY_COMMAND = "/?cmd=frappe.core.doctype.user.user.generate_keys"


@pytest.fixture
def manager_keys(system_manager):
    return generate_keys(system_manager)


@pytest.fixture
def call(manager_keys):
    """Calls with the manager's key: ``call("post", GENERATE, {"user": "ada"})``."""

    def make_call(method, url, data=None, **options):
        headers = {"authorization": token_header(manager_keys), **options.pop("headers", {})}
        return getattr(Client(), method)(url, data, headers=headers, **options)

    return make_call


def works(api_key, api_secret):
    response = Client().get(WHO, headers={"authorization": f"token {api_key}:{api_secret}"})
    return response.status_code == 200


def assert_generated(response, user):
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert set(response.json()) == {"message"}
    message = response.json()["message"]
    assert set(message) == {"api_key", "api_secret"}
    assert ApiKey.objects.get(api_key=message["api_key"]).user == user
    assert works(**message)
    assert "no-store" in response["Cache-Control"]


def assert_error(response, status, exc_type, code, message=""):
    assert response.status_code == status
    assert response["Content-Type"] == "application/json"
    body = response.json()
    assert set(body) == {"exc_type", "exception", "exc", "_server_messages", "code"}
    assert body["exc_type"] == exc_type
    assert body["code"] == code
    assert body["exception"].startswith(f"frappe.exceptions.{exc_type}: ")
    text = body["exception"].removeprefix(f"frappe.exceptions.{exc_type}: ")
    assert message in text
    assert text
    assert json.loads(body["exc"]) == [f"{exc_type}: {text}"]
    assert "Traceback" not in body["exc"]
    (shown,) = json.loads(body["_server_messages"])
    assert json.loads(shown)["message"] == text


def test_addresses_have_names():
    assert reverse("frappe_tokens:get_logged_user") == WHO
    assert reverse("frappe_tokens:generate_keys") == GENERATE


# get_logged_user


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_says_whom_the_request_runs_as(keys, header_of, method, slash):
    response = getattr(Client(), method)(WHO + slash, headers={"authorization": header_of(keys)})
    assert response.status_code == 200
    assert response.json() == {"message": "ada"}


def test_says_whom_a_session_belongs_to(user):
    client = Client(enforce_csrf_checks=True)
    assert client.login(username="ada", password=PASSWORD)
    assert client.get(WHO).json() == {"message": "ada"}
    assert_error(client.post(WHO), 403, "PermissionError", "permission_denied", "CSRF")


def test_says_nothing_to_nobody():
    response = Client().get(WHO)
    assert_error(response, 401, "AuthenticationError", "not_authenticated")
    assert response["WWW-Authenticate"] == 'token realm="api"'


def test_refused_credential_comes_in_the_envelope(keys, header_of):
    revoke(keys.instance)
    response = Client().get(WHO, headers={"authorization": header_of(keys)})
    assert_error(
        response, 401, "AuthenticationError", "key_revoked", "This API key has been revoked."
    )
    assert response["WWW-Authenticate"].lower().startswith(header_of(keys).split()[0].lower())


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense", "*/*;q=0", ""])
def test_answers_json_whatever_is_accepted(keys, accept):
    headers = {"authorization": token_header(keys), "accept": accept}
    assert Client().get(WHO, headers=headers).json() == {"message": "ada"}
    assert_error(
        Client().get(WHO, headers={"accept": accept}),
        401,
        "AuthenticationError",
        "not_authenticated",
    )
    assert Client().get(WHO + "?format=xml", headers=headers).json() == {"message": "ada"}


def test_database_that_does_not_answer_is_503(keys):
    def fail(*args):
        raise OperationalError("the server went away")

    with connection.execute_wrapper(fail):
        response = Client().get(WHO, headers={"authorization": token_header(keys)})
    assert_error(response, 503, "SessionStopped", "service_unavailable")
    assert response["Retry-After"]


# generate_keys


@pytest.mark.parametrize("url", ADDRESSES)
def test_generates_at_each_address(call, user, url):
    assert_generated(call("post", url, {"user": "ada"}), user)
    assert_generated(call("get", url, {"user": "ada"}), user)


def test_user_comes_with_the_query_a_form_or_json(call, user):
    assert_generated(call("get", f"{GENERATE}?user=ada"), user)
    assert_generated(call("post", f"{GENERATE}?user=ada"), user)
    assert_generated(call("post", GENERATE, {"user": "ada"}), user)
    form = "application/x-www-form-urlencoded"
    assert_generated(call("post", GENERATE, "user=ada", content_type=form), user)
    body = json.dumps({"user": "ada"})
    assert_generated(call("post", GENERATE, body, content_type="application/json"), user)
    empty = "application/json"
    assert_generated(call("post", f"{GENERATE}?user=ada", "{}", content_type=empty), user)


def test_body_has_precedence_over_the_query(call, user, make_user):
    make_user("grace")
    assert_generated(call("post", f"{GENERATE}?user=grace", {"user": "ada"}), user)


def test_rotates_the_unnamed_key(call, keys):
    named = generate_keys(keys.instance.user, name="backup")
    message = call("post", GENERATE, {"user": "ada"}).json()["message"]
    assert message["api_key"] == keys.api_key
    assert message["api_secret"] != keys.api_secret
    assert not works(keys.api_key, keys.api_secret)
    assert works(named.api_key, named.api_secret)


def test_key_remembers_who_made_it(call, user, system_manager):
    call("post", GENERATE, {"user": "ada"})
    assert ApiKey.objects.get(user=user).created_by == system_manager


def test_client_cannot_choose_anything_else(call, user):
    chosen = {"api_key": "mine", "api_secret": "mine", "name": "mine", "scopes": "[]"}
    response = call("post", GENERATE, {"user": "ada", **chosen})
    assert_generated(response, user)
    assert "mine" not in response.content.decode()
    assert ApiKey.objects.get(user=user).name == ""


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        ("", "application/json"),
        ("{}", "application/json"),
        ('{"user": ""}', "application/json"),
        ('{"user": null}', "application/json"),
        ('{"user": 1}', "application/json"),
        ('{"user": ["ada"]}', "application/json"),
        ('{"user": {"name": "ada"}}', "application/json"),
        ('["ada"]', "application/json"),
        ('"ada"', "application/json"),
        ("null", "application/json"),
        ("1", "application/json"),
        ("user=", "application/x-www-form-urlencoded"),
        ("users=ada", "application/x-www-form-urlencoded"),
    ],
)
def test_missing_user_is_417(call, data, content_type):
    response = call("post", GENERATE, data, content_type=content_type)
    assert_error(response, 417, "ValidationError", "no_user", "Name the user")


@pytest.mark.parametrize("data", ["{", "", "\xff", '{"user": "ada"', "user=ada", "NaN"])
def test_broken_json_is_417(call, data, user):
    body = data.encode("latin-1") or b" "
    response = call("post", GENERATE, body, content_type="application/json")
    assert_error(response, 417, "ValidationError", "parse_error")
    assert not ApiKey.objects.filter(user=user).exists()


@pytest.mark.parametrize(
    "username",
    ["nobody", "ad", "ada!", "a" * 10_000, "\x00", "ada\x00", "\ud800", "a\udfffb", "\U0001f511"],
    ids=ascii,
)
def test_unknown_user_is_404(call, username):
    body = json.dumps({"user": username})
    response = call("post", GENERATE, body, content_type="application/json")
    assert_error(response, 404, "DoesNotExistError", "not_found", "not found")


@pytest.mark.parametrize(
    "query", ["user=nobody", "user=%00", "user=ada%00", "user=%ff", "user=%ED%A0%80"]
)
def test_unknown_user_in_the_query_is_404(call, query):
    assert_error(call("get", f"{GENERATE}?{query}"), 404, "DoesNotExistError", "not_found")


def test_inactive_user_is_417(call, make_user):
    make_user("gone", is_active=False)
    response = call("post", GENERATE, {"user": "gone"})
    assert_error(response, 417, "ValidationError", "user_inactive", "inactive")
    assert "no-store" in response["Cache-Control"]


def test_expired_key_is_417(call, keys):
    ApiKey.objects.filter(pk=keys.instance.pk).update(expires_at=keys.instance.created_at)
    response = call("post", GENERATE, {"user": "ada"})
    assert_error(response, 417, "ValidationError", "key_expired", keys.api_key)


def test_other_content_type_is_415(call):
    response = call("post", GENERATE, "<user>ada</user>", content_type="application/xml")
    assert_error(response, 415, "ValidationError", "unsupported_media_type")


@pytest.mark.parametrize("method", ["head", "put", "patch", "delete", "trace"])
def test_other_methods_are_405(call, user, method):
    data = None if method == "trace" else {"user": "ada"}
    options = {} if method in {"head", "trace"} else {"content_type": "application/json"}
    url = f"{GENERATE}?user=ada"
    response = call(method, url, data, **options) if data else call(method, url)
    assert response.status_code == 405
    assert set(response["Allow"].split(", ")) == {"GET", "POST", "OPTIONS"}
    if method != "head":
        assert_error(response, 405, "PermissionError", "method_not_allowed")
    assert not ApiKey.objects.filter(user=user).exists()


def test_options_generates_nothing(call, user):
    assert call("options", f"{GENERATE}?user=ada").status_code == 200
    assert not ApiKey.objects.filter(user=user).exists()


# Who may


def test_nobody_may_not(user):
    for method in (Client().get, Client().post):
        response = method(f"{GENERATE}?user=ada")
        assert_error(response, 401, "AuthenticationError", "not_authenticated")
        assert "no-store" in response["Cache-Control"]


def test_user_without_the_permission_may_not_and_learns_of_no_user(keys):
    for user in ("ada", "nobody", ""):
        headers = {"authorization": token_header(keys)}
        response = Client().post(GENERATE, {"user": user}, headers=headers)
        assert_error(response, 403, "PermissionError", "permission_denied")
    assert works(keys.api_key, keys.api_secret)


def test_manager_may_not_generate_for_a_superuser(call, make_user):
    root = make_user("root", is_superuser=True)
    for method in ("get", "post"):
        response = call(method, GENERATE, {"user": "root"})
        assert_error(
            response, 403, "PermissionError", "permission_denied", "This user has permissions"
        )
    assert not ApiKey.objects.filter(user=root).exists()


def test_superuser_may(make_user):
    root = make_user("root", is_superuser=True)
    headers = {"authorization": token_header(generate_keys(root, name="shell"))}
    assert_generated(Client().post(GENERATE, {"user": "root"}, headers=headers), root)


@pytest.mark.parametrize(
    ("policies", "method", "code"),
    [
        ({"read_only": True}, "post", "key_read_only"),
        ({"read_only": True}, "get", "permission_denied"),
        ({"scopes": ["todo"]}, "post", "insufficient_scope"),
        ({"scopes": ["todo"]}, "get", "insufficient_scope"),
    ],
)
def test_limited_key_may_not(system_manager, user, policies, method, code):
    limited = generate_keys(system_manager, **policies)
    headers = {"authorization": token_header(limited)}
    response = getattr(Client(), method)(GENERATE, {"user": "ada"}, headers=headers)
    assert_error(response, 403, "PermissionError", code)
    assert not ApiKey.objects.filter(user=user).exists()


# With a session


@pytest.fixture
def browser(system_manager):
    client = Client(enforce_csrf_checks=True)
    assert client.login(username="manager", password=PASSWORD)
    return client


def test_session_needs_its_csrf_token(browser, user):
    response = browser.post(GENERATE, {"user": "ada"})
    assert_error(response, 403, "PermissionError", "permission_denied", "CSRF")
    assert not ApiKey.objects.filter(user=user).exists()

    browser.get("/admin/password_change/")
    token = browser.cookies["csrftoken"].value
    headers = {"x-csrftoken": token}
    assert_generated(browser.post(GENERATE, {"user": "ada"}, headers=headers), user)
    wrong = {"x-csrftoken": token[::-1]}
    assert browser.post(GENERATE, {"user": "ada"}, headers=wrong).status_code == 403


@pytest.mark.parametrize("url", ADDRESSES)
def test_session_may_not_generate_by_get(browser, user, url):
    response = browser.get(url, {"user": "ada"})
    assert_error(response, 405, "PermissionError", "method_not_allowed", "POST")
    assert browser.head(url, {"user": "ada"}).status_code == 405
    assert not ApiKey.objects.filter(user=user).exists()


def test_session_beside_a_header_changes_nothing(browser, user, keys):
    browser.get("/admin/password_change/")
    headers = {"x-csrftoken": browser.cookies["csrftoken"].value}
    for authorization in (token_header(keys), "token a:b", "token", "Basic !"):
        headers["authorization"] = authorization
        response = browser.post(GENERATE, {"user": "ada"}, headers=headers)
        assert response.status_code == (403 if authorization == token_header(keys) else 401)
    assert works(keys.api_key, keys.api_secret)


# Secrets


def test_secret_is_in_the_answer_and_nowhere_else(call, user, caplog):
    caplog.set_level("DEBUG")
    response = call("post", GENERATE, {"user": "ada"})
    secret = response.json()["message"]["api_secret"]
    assert secret not in str(response.headers)
    assert secret not in str(response.cookies)
    assert secret not in caplog.text
    assert secret not in repr(list(ApiKey.objects.values()))
    assert secret not in repr(response.data)


def test_second_answer_has_another_secret(call, user):
    answers = [call("post", GENERATE, {"user": "ada"}).json()["message"] for _ in range(3)]
    assert len({answer["api_key"] for answer in answers}) == 1
    assert len({answer["api_secret"] for answer in answers}) == 3
    assert [works(**answer) for answer in answers] == [False, False, True]


def test_user_deleted_meanwhile_is_417(call, user, monkeypatch):
    find = type(get_user_model()._default_manager).get_by_natural_key

    def find_and_lose(self, username):
        found = find(self, username)
        get_user_model()._default_manager.filter(pk=found.pk).delete()
        return found

    monkeypatch.setattr(
        type(get_user_model()._default_manager), "get_by_natural_key", find_and_lose
    )
    response = call("post", GENERATE, {"user": "ada"})
    assert_error(response, 417, "ValidationError", "no_user", "no longer exists")


def test_body_nested_too_deeply_is_a_validation_error(client, manager_keys):
    response = client.post(
        GENERATE,
        data="[" * 50_000,
        content_type="application/json",
        headers={"authorization": token_header(manager_keys)},
    )

    assert response.status_code == 417
    assert response.json()["exc_type"] == "ValidationError"


def test_body_of_too_many_fields_is_a_validation_error(client, manager_keys, settings):
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 2

    response = client.post(
        GENERATE,
        data="user=ada&user=bob&user=cyd",
        content_type="application/x-www-form-urlencoded",
        headers={"authorization": token_header(manager_keys)},
    )

    assert response.status_code == 417
    assert "DATA_UPLOAD_MAX_NUMBER_FIELDS" in json.loads(response.json()["exc"])[0]


def test_body_that_is_too_large_is_a_validation_error(client, manager_keys, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100

    response = client.post(
        GENERATE,
        data={"user": "x" * 1000},
        content_type="application/x-www-form-urlencoded",
        headers={"authorization": token_header(manager_keys)},
    )

    assert response.status_code == 417
    assert json.loads(response.json()["exc"])


def test_what_is_no_answer_stays_a_server_error(client, manager_keys, user, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("broken")

    monkeypatch.setattr("frappe_tokens.api.rpc.generate_keys", broken)

    with pytest.raises(RuntimeError, match="broken"):
        client.post(
            GENERATE,
            {"user": user.get_username()},
            headers={"authorization": token_header(manager_keys)},
        )


def test_answers_are_kept_in_no_cache(client, keys):
    response = client.get(WHO, headers={"authorization": token_header(keys)})

    assert "no-store" in response["Cache-Control"]


# By a browser's Basic login

MOZILLA = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"

# A link or a picture of another site's; the address bar; and both over plain HTTP, where a browser
# says nothing else.
SIGNS_OF_A_BROWSER = [
    {"sec-fetch-site": "cross-site", "user-agent": MOZILLA},
    {"sec-fetch-site": "same-site", "user-agent": MOZILLA},
    {"sec-fetch-site": "none", "user-agent": MOZILLA},
    {"origin": "https://evil.example"},
    {"user-agent": MOZILLA},
]


@pytest.mark.parametrize("url", [*ADDRESSES, BY_COMMAND])
@pytest.mark.parametrize("signs", SIGNS_OF_A_BROWSER)
def test_browser_does_not_generate_by_get_and_basic(manager_keys, keys, url, signs):
    headers = {"authorization": basic_header(manager_keys), **signs}

    response = Client().get(f"{url}{'&' if '?' in url else '?'}user=ada", headers=headers)

    assert_error(response, 405, "PermissionError", "method_not_allowed", "POST")
    assert works(keys.api_key, keys.api_secret)


@pytest.mark.parametrize(
    "signs", [{"user-agent": "curl/8.5.0"}, {"sec-fetch-site": "same-origin"}, {}]
)
def test_program_and_own_page_do(manager_keys, user, signs):
    headers = {"authorization": basic_header(manager_keys), **signs}

    assert_generated(Client().get(GENERATE, {"user": "ada"}, headers=headers), user)


@pytest.mark.parametrize("header_of", [token_header, bearer_header])
def test_other_schemes_do_in_a_browser_too(manager_keys, user, header_of):
    """A page's script sends them, which another site's cannot."""
    headers = {"authorization": header_of(manager_keys), "user-agent": MOZILLA}

    assert_generated(Client().get(GENERATE, {"user": "ada"}, headers=headers), user)


@pytest.mark.parametrize("url", [*ADDRESSES, BY_COMMAND])
def test_another_site_does_not_by_post(manager_keys, keys, url):
    headers = {"authorization": basic_header(manager_keys), "origin": "https://evil.example"}

    response = Client().post(url, {"user": "ada"}, headers=headers)

    assert_error(response, 403, "PermissionError", "cross_site_request", "another site")
    assert works(keys.api_key, keys.api_secret)
