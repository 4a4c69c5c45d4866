"""What a plain view gets of a request with a token, and what stands in its way."""

import json

import pytest

from frappe_tokens import crypto
from frappe_tokens.keys import GeneratedKeys, generate_keys, revoke
from frappe_tokens.middleware import TokenAuthenticationMiddleware

from ..conftest import basic_header, token_header

pytestmark = pytest.mark.django_db


@pytest.fixture(params=[False, True], ids=["alone", "beside a session"])
def beside(request, visitor, make_user):
    """Whether the visitor is logged in as somebody else as well."""
    if request.param:
        visitor.client.force_login(make_user("eve", is_superuser=True, is_staff=True))
    return bool(request.param)


# Whom the request runs as


def test_a_view_sees_the_keys_user_and_the_key(visitor, keys, beside, header_of):
    for path in ("/sync/who/", "/async/who/"):
        response = visitor.get(path, header_of(keys))
        assert response.json() == {"user": "ada", "auth": "ApiKey"}


@pytest.mark.parametrize("path", ["who/", "class/", "members/", "/members-class/"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_views_of_every_kind_are_open(visitor, keys, beside, path, method):
    response = visitor.send(method, path, keys)
    assert response.status_code == 200
    if method != "HEAD":
        assert response.json()["user"] == "ada"


def test_costs_one_select(visitor, keys, beside, statements):
    visitor.get("who/", keys)
    with statements() as verbs:
        assert visitor.get("who/", keys).status_code == 200
    # Less the one by which the request is logged.
    assert [verb for verb in verbs if verb != "INSERT"] == ["SELECT"]


@pytest.mark.parametrize("path", ["permitted/", "/permitted-class/"])
def test_permissions_are_the_keys_users(visitor, keys, make_user, beside, path):
    assert visitor.get(path, keys).status_code == 403
    may = generate_keys(make_user("mary", permissions=("auth.view_group",)))
    assert visitor.get(path, may).json()["user"] == "mary"


@pytest.mark.parametrize("path", ["members/", "/members-class/"])
def test_without_the_header_it_is_as_before(visitor, keys, path):
    assert visitor.get(path).headers["Location"].startswith("/login/?next=")
    visitor.client.force_login(keys.instance.user)
    assert visitor.get(path).json()["user"] == "ada"


def test_login_required_middleware_lets_it_in(visitor, keys, settings):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    assert visitor.get("who/", keys).json()["user"] == "ada"
    assert visitor.get("who/").status_code == 302
    assert visitor.get("for-all/").json()["user"] == ""


@pytest.mark.parametrize("header", ["Digest abc", "Negotiate abc", "tokens a:b", "", " "])
def test_other_schemes_pass_untouched(visitor, user, header):
    assert visitor.get("who/", header).json()["user"] == ""
    visitor.client.force_login(user)
    assert visitor.get("who/", header).json()["user"] == "ada"


class TokensOnly(TokenAuthenticationMiddleware):
    schemes = ("token",)


def test_a_subclass_answers_fewer_schemes(visitor, keys, settings):
    ours = "frappe_tokens.middleware.TokenAuthenticationMiddleware"
    settings.MIDDLEWARE = [
        f"{__name__}.TokensOnly" if name == ours else name for name in settings.MIDDLEWARE
    ]
    assert visitor.get("who/", token_header(keys)).json()["user"] == "ada"
    assert visitor.get("who/", basic_header(keys)).json()["user"] == ""


def test_works_without_sessions(visitor, keys, settings):
    settings.MIDDLEWARE = ["frappe_tokens.middleware.TokenAuthenticationMiddleware"]
    assert visitor.get("who/", keys).json()["user"] == "ada"
    assert visitor.get("same/").status_code == 200


# Who is refused

REFUSED = [
    ("Token", "malformed_credentials"),
    ("token 9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b", "malformed_credentials"),
    ("Basic YWRhOnBhc3N3b3Jk", "invalid_credentials"),
    ("Bearer eyJhbGciOiJub25lIn0.e30.", "invalid_credentials"),
    ("token a:b", "invalid_credentials"),
]


@pytest.mark.parametrize(("header", "code"), REFUSED)
@pytest.mark.parametrize("path", ["who/", "for-all/", "/nowhere/", "exempt/", "/login/"])
def test_a_wrong_credential_never_passes_as_anybody_else(visitor, user, beside, header, code, path):
    for method in ("GET", "POST"):
        response = visitor.send(method, path, header)
        assert (response.status_code, response.json()["code"]) == (401, code)


def test_why_a_right_secret_was_refused_is_told(visitor, keys):
    revoke(keys.instance)
    response = visitor.get("who/", keys)
    assert response.status_code == 401
    assert response.json() == {
        "detail": "This API key has been revoked. Ask for a new one.",
        "code": "key_revoked",
    }
    assert response.headers["WWW-Authenticate"] == 'token realm="api"'
    assert response.headers["Vary"] == "Authorization, Accept"
    wrong = GeneratedKeys(keys.api_key, crypto.generate_api_secret(), keys.instance)
    assert visitor.get("who/", wrong).json()["code"] == "invalid_credentials"


JSON, HTML = "application/json", "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/json", JSON),
        ("text/html,application/xhtml+xml,*/*;q=0.8", JSON),
        ("text/html,application/json;q=0.5", JSON),
        ("text/plain", JSON),
        ("", JSON),
        (";;,=/q", JSON),
        ("text/html; x*=foo'en'%41", JSON),
        ("text/html", HTML),
        ("text/html;q=0.1, image/png", HTML),
        ("text/*", HTML),
    ],
)
def test_refusals_are_html_where_only_that_is_accepted(visitor, accept, expected):
    headers = {} if accept is None else {"accept": accept}
    response = visitor.get("who/", "token a:b", **headers)
    assert response.status_code == 401
    assert response.headers["Content-Type"] == expected
    assert response.headers["WWW-Authenticate"] == 'token realm="api"'
    if expected == HTML:
        page = response.content.decode()
        assert "<title>401 Unauthorized</title>" in page
        assert "Invalid API key or API secret." in page
        assert "invalid_credentials" in page
    else:
        assert json.loads(response.content)["code"] == "invalid_credentials"


def test_refusals_are_in_the_clients_language(visitor, settings):
    place = settings.MIDDLEWARE.index("django.middleware.common.CommonMiddleware")
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE[:place],
        "django.middleware.locale.LocaleMiddleware",
        *settings.MIDDLEWARE[place:],
    ]
    headers = {"accept-language": "de"}
    response = visitor.get("who/", "token a:b", **headers)
    assert response.headers["Content-Language"] == "de"


# What may follow


def test_the_admin_opens_to_staff_where_the_project_says_so(visitor, keys, make_user, settings):
    settings.FRAPPE_TOKENS = {"PAGES_ACCEPT_CREDENTIALS": True}
    response = visitor.get("/admin/", keys)
    assert response.status_code == 302
    staff = make_user("boss", is_staff=True, is_superuser=True)
    assert visitor.get("/admin/", generate_keys(staff)).status_code == 200
    for limited in ({"scopes": ["reports:read"]}, {"read_only": True}):
        made = generate_keys(staff, name=str(limited), **limited)
        assert visitor.post("/admin/auth/group/add/", made).status_code == 403
    assert visitor.get("/admin/", "token a:b").status_code == 401


def test_an_exception_in_a_view_tells_no_secret(visitor, keys, settings):
    settings.DEBUG = True
    visitor.client.raise_request_exception = False
    response = visitor.get("/sync/remember/", keys)
    assert response.status_code == 500
    page = response.content.decode()
    assert "MultiValueDictKeyError" in page
    assert keys.api_secret not in page
