"""Which requests need a CSRF token."""

import pytest
from django.middleware.csrf import get_token
from django.test import RequestFactory

pytestmark = pytest.mark.django_db

VIEWS = ["who/", "class/", "protected/", "members/"]


@pytest.fixture(autouse=True, params=[False, True], ids=["by cookie", "by session"])
def in_sessions(request, settings):
    settings.CSRF_USE_SESSIONS = request.param


def test_only_requests_that_the_header_authenticated_need_none(visitor, user, keys, make_user):
    assert visitor.post("who/").status_code == 403
    visitor.client.force_login(make_user("eve"))

    for path in VIEWS:
        assert visitor.post(path, keys).json()["user"] == "ada"
        for header in (None, "Digest abc", ""):
            assert visitor.get(path, header).json()["user"] == "eve"
            assert visitor.post(path, header).status_code == 403
        for header in ("token a:b", "Bearer x", "Basic"):
            assert visitor.post(path, header).status_code == 401
    assert visitor.post("exempt/", "token a:b").status_code == 401


def test_session_with_its_csrf_token_is_accepted(visitor, user, settings):
    settings.CSRF_USE_SESSIONS = False
    visitor.client.force_login(user)
    request = RequestFactory().get("/")
    token = get_token(request)
    visitor.client.cookies["csrftoken"] = request.META["CSRF_COOKIE"]

    response = visitor.post("who/", **{"x-csrftoken": token})

    assert response.json()["user"] == "ada"


@pytest.mark.parametrize("header", ["token a:b", "valid"])
def test_rest_views_by_session_need_one(visitor, user, keys, header):
    """They are left to their own classes, none of which reads the header."""
    visitor.client.force_login(user)
    sent = keys if header == "valid" else header

    assert visitor.get("rest-by-session/", sent).json()["auth"] == "NoneType"
    assert visitor.post("rest-by-session/", sent).status_code == 403
