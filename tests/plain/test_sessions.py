"""A request that the header authenticated neither uses nor modifies a session."""

import pytest
from django.contrib.sessions.models import Session

from ..conftest import PASSWORD
from .conftest import MIDDLEWARE

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["db", "cache", "signed_cookies"])
def engine(request, settings):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"


def user_of_session(visitor):
    """The user of the session whose cookie the visitor has."""
    return str(visitor.get("/sync/who/").json()["user"])


QUIET = ["who/", "log-out/", "new-hash/", "remember/?page=1"]


@pytest.mark.parametrize("is_listed_twice", [False, True])
def test_no_session_is_started(visitor, keys, engine, settings, is_listed_twice):
    settings.SESSION_SAVE_EVERY_REQUEST = True
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, *[MIDDLEWARE] * is_listed_twice]

    for path in QUIET:
        response = visitor.post(path, keys)
        assert response.status_code == 200
        assert not response.cookies
    assert not Session.objects.exists()


def test_session_of_a_cookie_is_neither_used_nor_modified(visitor, keys, make_user, engine):
    visitor.client.force_login(make_user("eve"))
    visitor.client.cookies["theme"] = "dark"
    assert visitor.get("remember/?page=7").json()["cookies"] == ["sessionid", "theme"]
    before = visitor.client.cookies["sessionid"].value

    for path in QUIET:
        response = visitor.post(path, keys)
        assert response.status_code == 200
        assert not response.cookies

    seen = visitor.get("remember/?page=9", keys).json()
    assert seen == {"before": None, "cookies": ["theme"]}
    assert visitor.client.cookies["sessionid"].value == before
    assert visitor.get("remember/?page=9").json()["before"] == "7"
    assert user_of_session(visitor) == "eve"


@pytest.mark.parametrize("beside", [False, True])
def test_login_starts_a_session(visitor, keys, make_user, engine, beside):
    before = ""
    if beside:
        visitor.client.force_login(make_user("eve"))
        before = visitor.client.cookies["sessionid"].value
    response = visitor.post("log-in/", keys)
    assert response.cookies["sessionid"].value not in {"", before, "None"}
    assert user_of_session(visitor) == "ada"


def test_view_may_create_a_session(visitor, keys):
    made = visitor.post("make-session/", keys)
    assert made.cookies["sessionid"].value == made.json()["key"]
    assert visitor.get("remember/?page=2").json()["before"] == "1"
    assert Session.objects.count() == 1


def test_changing_a_password_by_a_key_changes_no_session(visitor, keys, make_user):
    visitor.client.force_login(make_user("eve"))
    new = "another made-up password"
    data = f"old_password={PASSWORD}&new_password1={new}&new_password2={new}"
    response = visitor.post("/password/", keys, data)
    assert (response.status_code, response.headers["Location"]) == (302, "/sync/who/")
    assert not response.cookies
    keys.instance.user.refresh_from_db()
    assert keys.instance.user.check_password(new)
    assert user_of_session(visitor) == "eve"
