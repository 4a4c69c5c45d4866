"""The scopes of plain views, however they are declared."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils.decorators import method_decorator
from django.views import View

from frappe_tokens.decorators import require_scopes
from frappe_tokens.keys import generate_keys
from frappe_tokens.signals import authentication_failed

from ..conftest import bearer_header
from .site import writes

pytestmark = pytest.mark.django_db

READ, WRITE = "reports:read", "reports:write"


def with_scopes(user, *scopes):
    return generate_keys(user, name=" ".join(scopes), scopes=scopes)


OF_BOTH_KINDS = ["declared/", "required/", "decorated/", "handlers/"]
OPEN = [
    *(("GET", path) for path in OF_BOTH_KINDS),
    *(("HEAD", path) for path in OF_BOTH_KINDS),
    ("GET", "/declared-class/"),
    ("POST", "/declared-class/"),
    ("GET", "/once/"),
    ("GET", "/behind-login/"),
    ("GET", "/by-method/"),
    ("HEAD", "/by-method/"),
    ("GET", "/decorated-twice/"),
    ("GET", "rest-required/"),
]
CLOSED = [
    ("GET", "who/"),
    ("GET", "class/"),
    ("GET", "members/"),
    ("POST", "handlers/"),
    ("OPTIONS", "handlers/"),
    ("PROPFIND", "handlers/"),
    ("DISPATCH", "handlers/"),
    ("GET", "/declared-class/once/"),
    ("POST", "/by-method/"),
    ("OPTIONS", "/by-method/"),
    ("GET", "/declared-and-decorated/"),
    ("GET", "calls-another/"),
    ("GET", "/nowhere/"),
]


@pytest.mark.parametrize(("method", "path"), OPEN)
def test_opens_to_a_key_that_holds_them(visitor, user, method, path):
    response = visitor.send(method, path, with_scopes(user, READ, "more"))
    assert response.status_code == 200
    if method != "HEAD":
        assert response.json()["user"] == "ada"


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_closed_to_one_that_does_not_and_where_none_is_declared(visitor, user, method, path):
    response = visitor.send(method, path, with_scopes(user, READ))
    assert response.status_code == 403
    assert response.json()["code"] == "insufficient_scope"


@pytest.mark.parametrize(("method", "path"), OPEN)
def test_closed_to_another_scope(visitor, user, method, path):
    assert visitor.send(method, path, with_scopes(user, WRITE)).status_code == 403


@pytest.mark.parametrize(("method", "path"), [*OPEN, *CLOSED])
def test_opens_to_a_key_without_scopes(visitor, keys, method, path):
    if path != "/nowhere/":
        expected = 405 if method in {"PROPFIND", "DISPATCH"} else 200
        assert visitor.send(method, path, keys).status_code == expected


@pytest.mark.parametrize("path", ["handlers/", "/by-method/"])
def test_a_method_may_need_more(visitor, user, path):
    assert visitor.post(path, with_scopes(user, READ, WRITE)).status_code == 200


def test_what_the_class_and_the_handler_need_adds_up(visitor, user):
    for scopes, status in (
        ((READ,), 403),
        (("reports:export",), 403),
        ((READ, "reports:export"), 200),
    ):
        made = with_scopes(user, *scopes)
        assert visitor.get("/declared-and-decorated/", made).status_code == status


@pytest.mark.parametrize("path", [*OF_BOTH_KINDS, "calls-another/"])
def test_a_session_is_not_narrowed(visitor, user, path):
    visitor.client.force_login(user)
    assert visitor.get(path).json()["user"] == "ada"


def test_a_scoped_key_is_sent_to_the_slash(visitor, user, settings):
    made = with_scopes(user, READ)
    response = visitor.get("/sync/declared", made)
    assert (response.status_code, response.headers["Location"]) == (301, "/sync/declared/")
    settings.APPEND_SLASH = False
    assert visitor.get("/sync/declared", made).status_code == 403


# Asked again where the view is called


def test_a_view_that_another_calls_answers_as_the_middleware_does(visitor, user, settings):
    told = []

    def listen(**kwargs):
        told.append((kwargs["code"], kwargs["api_key"]))

    made = with_scopes(user, READ)
    authentication_failed.connect(listen)
    try:
        response = visitor.get("calls-another/", bearer_header(made))
    finally:
        authentication_failed.disconnect(listen)
    assert response.json() == {
        "detail": "This API key doesn't have the scopes that this view requires.",
        "code": "insufficient_scope",
    }
    assert response.headers["WWW-Authenticate"] == (
        'Bearer realm="api", error="insufficient_scope", scope="reports:write"'
    )
    assert told == [("insufficient_scope", made.api_key)]
    html = visitor.get("calls-another/", made, accept="text/html")
    assert html.headers["Content-Type"].startswith("text/html")


def test_so_it_does_to_the_credential_of_another_package():
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    request.auth = "nobody knows its scopes"
    response = writes(request)
    assert response.status_code == 403
    assert b"This access token doesn't have the scopes that this view requires." in response.content
    request.auth = None
    assert writes(request).status_code == 200


def test_a_subclass_may_require_scopes_of_its_own_besides(user):
    @method_decorator(require_scopes(READ), name="dispatch")
    class Report(View):
        def get(self, request):
            return HttpResponse("read")

    @method_decorator(require_scopes(WRITE), name="dispatch")
    class Special(Report):
        pass

    def status(*scopes):
        request = RequestFactory().get("/")
        request.user = user
        request.auth = with_scopes(user, *scopes).instance
        return Special.as_view()(request).status_code

    assert status(READ) == status(WRITE) == 403
    assert status(READ, WRITE) == 200
