"""The scopes of plain views. ``tests/test_scopes.py`` has every kind of declaration."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils.decorators import method_decorator
from django.views import View

from frappe_tokens.decorators import require_scopes
from frappe_tokens.keys import generate_keys
from frappe_tokens.signals import authentication_failed

from ..conftest import bearer_header, receiving
from .site import writes

pytestmark = pytest.mark.django_db

READ, WRITE = "reports:read", "reports:write"


def with_scopes(user, *scopes):
    return generate_keys(user, name=" ".join(scopes), scopes=scopes)


OPEN = [("GET", "declared/"), ("HEAD", "declared/"), ("GET", "decorated/"), ("GET", "handlers/")]
CLOSED = [
    ("GET", "who/"),
    ("GET", "class/"),
    ("POST", "handlers/"),
    ("OPTIONS", "handlers/"),
    ("DISPATCH", "handlers/"),
    ("GET", "calls-another/"),
    ("GET", "/nowhere/"),
]


@pytest.mark.parametrize(("method", "path"), OPEN)
def test_view_opens_to_a_key_that_holds_its_scopes(visitor, user, method, path):
    assert visitor.send(method, path, with_scopes(user, READ, "more")).status_code == 200
    assert visitor.send(method, path, with_scopes(user, WRITE)).status_code == 403
    assert visitor.post("handlers/", with_scopes(user, WRITE)).status_code == 200


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_view_with_other_or_no_scopes_is_closed(visitor, user, method, path):
    response = visitor.send(method, path, with_scopes(user, READ))

    assert response.status_code == 403
    assert response.json()["code"] == "insufficient_scope"


def test_key_without_scopes_opens_every_view_as_a_session_does(visitor, keys, user):
    for method, path in [*OPEN, *CLOSED[:-1]]:
        expected = 405 if method == "DISPATCH" else 200
        assert visitor.send(method, path, keys).status_code == expected
    visitor.client.force_login(user)
    for path in ("declared/", "decorated/", "handlers/", "calls-another/"):
        assert visitor.get(path).json()["user"] == "ada"


def test_view_that_another_calls_responds_as_the_middleware_does(visitor, user):
    made = with_scopes(user, READ)

    with receiving(authentication_failed) as calls:
        response = visitor.get("calls-another/", bearer_header(made))

    assert response.json() == {
        "detail": "This API key doesn't have the scopes that this view requires.",
        "code": "insufficient_scope",
    }
    assert response.headers["WWW-Authenticate"] == (
        'Bearer realm="api", error="insufficient_scope", scope="reports:write"'
    )
    reported = [(call["code"], call["api_key"]) for call in calls]
    assert reported == [("insufficient_scope", made.api_key)]
    html = visitor.get("calls-another/", made, accept="text/html")
    assert html.headers["Content-Type"].startswith("text/html")
    assert html.content.startswith(b"<!DOCTYPE html><title>403 Forbidden</title>")


def test_decorator_refuses_a_credential_of_another_package():
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    request.auth = "of another package"
    response = writes(request)
    assert response.status_code == 403
    assert b"This access token doesn't have the scopes that this view requires." in response.content
    request.auth = None
    assert writes(request).status_code == 200


def test_subclass_may_require_more_scopes(user):
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
