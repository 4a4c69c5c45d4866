"""What a plain view gets of a request with a token, and which requests it doesn't get."""

import json

import pytest
from asgiref.sync import async_to_sync

from frappe_tokens.middleware import TokenAuthenticationMiddleware
from frappe_tokens.middleware.admission import admit

from ..conftest import basic_header, token_header
from .conftest import LOCALE, MIDDLEWARE, SESSION, put

pytestmark = pytest.mark.django_db


@pytest.fixture(params=[False, True], ids=["alone", "beside a session"])
def beside(request, visitor, make_user):
    """Whether the visitor is logged in as another user."""
    if request.param:
        visitor.client.force_login(make_user("eve", is_superuser=True, is_staff=True))
    return bool(request.param)


def test_views_of_every_kind_run_as_the_keys_user(visitor, keys, beside):
    for path in ("/sync/who/", "/async/who/", "class/", "members/", "/members-class/"):
        for method in ("GET", "POST"):
            response = visitor.send(method, path, keys)
            assert response.json() == {"user": "ada", "auth": "ApiKey"}
        assert visitor.send("HEAD", path, keys).status_code == 200


def test_login_required_middleware_accepts_it(visitor, keys, settings):
    put(settings, "django.contrib.auth.middleware.LoginRequiredMiddleware", behind=MIDDLEWARE)
    assert visitor.get("who/", keys).json()["user"] == "ada"
    assert visitor.get("who/").status_code == 302


def test_user_is_not_read_again_in_an_event_loop(keys, rf):
    request = rf.get("/")
    admit(request, keys.instance)

    keys.instance._state.fields_cache.clear()  # as refresh_from_db() does

    assert async_to_sync(request.auser)() is request.user


class TokensOnly(TokenAuthenticationMiddleware):
    schemes = ("token",)


def test_subclass_may_answer_fewer_schemes(visitor, keys, settings):
    settings.MIDDLEWARE[settings.MIDDLEWARE.index(MIDDLEWARE)] = f"{__name__}.TokensOnly"
    assert visitor.get("who/", token_header(keys)).json()["user"] == "ada"
    assert visitor.get("who/", basic_header(keys)).json()["user"] == ""


def test_works_without_sessions(visitor, keys, settings):
    settings.MIDDLEWARE = [MIDDLEWARE]
    assert visitor.get("who/", keys).json()["user"] == "ada"
    assert visitor.get("same/").status_code == 200


# Refused

REFUSED = [
    ("Token", "malformed_credentials"),
    ("Basic YWRhOnBhc3N3b3Jk", "invalid_credentials"),
    ("Bearer eyJhbGciOiJub25lIn0.e30.", "invalid_credentials"),
    ("token a:b", "invalid_credentials"),
]


@pytest.mark.parametrize(("header", "code"), REFUSED)
def test_wrong_credential_never_passes_as_another_user(visitor, beside, header, code):
    for path in ("who/", "/nowhere/", "exempt/", "/login/"):
        for method in ("GET", "POST"):
            response = visitor.send(method, path, header)
            assert (response.status_code, response.json()["code"]) == (401, code)
            assert response.headers["Vary"] == "Authorization, Accept"


JSON, HTML = "application/json", "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("text/html,application/xhtml+xml,*/*;q=0.8", JSON),
        ("text/html, application/json", JSON),
        (";;,=/q", JSON),
        ("text/html; x*=foo'en'%41", JSON),
        ("text/html", HTML),
        ("text/*", HTML),
    ],
)
def test_refusal_is_html_if_only_that_is_accepted(visitor, accept, expected):
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


def test_refusal_is_in_the_clients_language(visitor, settings):
    put(settings, LOCALE, behind=SESSION)
    response = visitor.get("who/", "token a:b", **{"accept-language": "de"})
    assert response.headers["Content-Language"] == "de"


def test_debug_page_of_a_view_shows_no_secret(visitor, keys, settings):
    settings.DEBUG = True
    visitor.client.raise_request_exception = False
    response = visitor.get("/sync/remember/", keys)
    assert response.status_code == 500
    page = response.content.decode()
    assert "MultiValueDictKeyError" in page
    assert keys.api_secret not in page
