"""A request that the header authenticated has no part in anybody's session."""

import pytest
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session

from ..conftest import PASSWORD
from .conftest import MIDDLEWARE

pytestmark = pytest.mark.django_db

ENGINES = ["db", "cached_db", "cache", "file", "signed_cookies"]


@pytest.fixture(params=ENGINES)
def engine(request, settings, tmp_path):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    return str(request.param)


def user_of_session(visitor):
    """Whom the cookie that the visitor now has stands for."""
    return str(visitor.get("/sync/who/").json()["user"])


QUIET = ["who/", "log-out/", "new-hash/", "remember/?page=1"]


@pytest.mark.parametrize("path", QUIET)
def test_none_is_begun(visitor, keys, engine, settings, path):
    settings.SESSION_SAVE_EVERY_REQUEST = True
    response = visitor.post(path, keys)
    assert response.status_code == 200
    assert not response.cookies
    assert not Session.objects.exists()


def test_middleware_that_is_listed_twice_starts_none_either(visitor, keys, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]

    response = visitor.post("who/", keys)

    assert response.json()["user"] == "ada"
    assert not response.cookies
    assert not Session.objects.exists()


@pytest.mark.parametrize("path", QUIET)
def test_that_of_a_cookie_beside_it_takes_no_harm(visitor, keys, make_user, engine, path):
    visitor.client.force_login(make_user("eve"))
    before = visitor.client.cookies["sessionid"].value
    response = visitor.post(path, keys)
    assert response.status_code == 200
    assert not response.cookies
    assert visitor.client.cookies["sessionid"].value == before
    assert user_of_session(visitor) == "eve"


def test_what_that_holds_counts_for_nothing(visitor, keys, make_user, engine):
    visitor.client.force_login(make_user("eve"))
    visitor.get("remember/?page=7")
    assert visitor.get("remember/?page=8").json() == {"before": "7", "cookies": ["sessionid"]}
    assert visitor.get("remember/?page=9", keys).json() == {"before": None, "cookies": []}
    assert visitor.get("remember/?page=9").json()["before"] == "8"


def test_other_cookies_stay(visitor, keys):
    visitor.client.cookies["theme"] = "dark"
    assert visitor.get("remember/?page=9", keys).json()["cookies"] == ["theme"]


@pytest.mark.parametrize("beside", [False, True])
def test_login_begins_one(visitor, keys, make_user, engine, beside):
    before = ""
    if beside:
        visitor.client.force_login(make_user("eve"))
        before = visitor.client.cookies["sessionid"].value
    response = visitor.post("log-in/", keys)
    assert response.cookies["sessionid"].value not in {"", before, "None"}
    assert user_of_session(visitor) == "ada"


def test_so_does_making_one(visitor, keys):
    made = visitor.post("make-session/", keys)
    assert made.cookies["sessionid"].value == made.json()["key"]
    assert visitor.get("remember/?page=2").json()["before"] == "1"
    assert Session.objects.count() == 1


def test_a_session_hash_is_that_of_its_own_user(visitor, keys, make_user):
    eve = make_user("eve")
    visitor.client.force_login(eve)
    visitor.post("new-hash/", keys)
    (session,) = Session.objects.all()
    held = session.get_decoded()
    assert held[SESSION_KEY] == str(eve.pk)
    assert held[HASH_SESSION_KEY] == eve.get_session_auth_hash()
    assert user_of_session(visitor) == "eve"


def test_a_password_changed_by_token_logs_nobody_in_or_out(visitor, keys, make_user):
    visitor.client.force_login(make_user("eve"))
    new = "another made-up password"
    data = f"old_password={PASSWORD}&new_password1={new}&new_password2={new}"
    response = visitor.post("/password/", keys, data)
    assert (response.status_code, response.headers["Location"]) == (302, "/sync/who/")
    assert not response.cookies
    keys.instance.user.refresh_from_db()
    assert keys.instance.user.check_password(new)
    assert user_of_session(visitor) == "eve"
