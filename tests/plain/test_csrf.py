"""Which requests need a CSRF token."""

import pytest
from django.middleware.csrf import get_token
from django.test import RequestFactory

from frappe_tokens.keys import generate_keys

pytestmark = pytest.mark.django_db

VIEWS = ["who/", "class/", "protected/", "members/"]


@pytest.fixture(params=[False, True], ids=["by cookie", "by session"])
def in_sessions(request, settings):
    settings.CSRF_USE_SESSIONS = request.param
    return bool(request.param)


@pytest.mark.parametrize("path", VIEWS)
def test_a_header_request_needs_none(visitor, keys, in_sessions, path):
    assert visitor.post(path, keys).json()["user"] == "ada"


@pytest.mark.parametrize("path", VIEWS)
def test_so_does_one_beside_a_session(visitor, keys, make_user, in_sessions, path):
    visitor.client.force_login(make_user("eve"))
    assert visitor.post(path, keys).json()["user"] == "ada"


@pytest.mark.parametrize("path", VIEWS)
@pytest.mark.parametrize("header", [None, "Digest abc", ""])
def test_a_session_alone_needs_one(visitor, user, in_sessions, path, header):
    visitor.client.force_login(user)
    assert visitor.get(path).status_code == 200
    assert visitor.post(path, header).status_code == 403


def test_and_is_let_in_with_it(visitor, user):
    visitor.client.force_login(user)
    request = RequestFactory().get("/")
    token = get_token(request)
    visitor.client.cookies["csrftoken"] = request.META["CSRF_COOKIE"]
    response = visitor.post("who/", **{"x-csrftoken": token})
    assert response.json()["user"] == "ada"


@pytest.mark.parametrize("path", [*VIEWS, "exempt/"])
def test_a_session_with_a_wrong_header_is_refused(visitor, user, in_sessions, path):
    visitor.client.force_login(user)
    for header in ("token a:b", "Bearer x", "Basic"):
        assert visitor.post(path, header).status_code == 401


def test_nobody_needs_one(visitor, in_sessions):
    assert visitor.post("who/").status_code == 403


def test_a_refused_request_lifts_nothing_from_the_next(visitor, user, keys):
    visitor.client.force_login(user)
    assert visitor.post("who/", keys).status_code == 200
    assert visitor.post("who/").status_code == 403


@pytest.mark.parametrize("header", ["token a:b", "valid"])
def test_rest_views_by_session_still_need_one(visitor, user, keys, header):
    """They are left to their own classes, of which none reads the header."""
    visitor.client.force_login(user)
    sent = keys if header == "valid" else header
    assert visitor.get("rest-by-session/", sent).json()["auth"] == "NoneType"
    assert visitor.post("rest-by-session/", sent).status_code == 403


def test_a_scoped_key_is_no_session_to_a_rest_view(visitor, user):
    made = generate_keys(user, name="scoped", scopes=["reports:read"])
    assert visitor.get("rest-by-session/", made).status_code == 403
