"""Declared scopes, and what a scoped key opens."""

import functools
from types import SimpleNamespace

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views.generic import View
from rest_framework.decorators import action, api_view
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from frappe_tokens import policy
from frappe_tokens.decorators import require_scopes
from frappe_tokens.keys import generate_keys
from frappe_tokens.verification.scopes import view_scopes

from .client import client_of

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@api_view(["GET"])
@require_scopes("todos:read")
def below(request):
    return Response()


@require_scopes("todos:read")
@api_view(["GET", "POST"])
def above(request):
    """A documented view."""
    return Response()


@api_view(["GET"])
def undeclared(request):
    return Response()


def respond(view, request, **kwargs):
    return Response()


@require_scopes("todos:read")
class Declared(APIView):
    get = respond


class Shared(APIView):
    get = respond


class ByMethod(APIView):
    required_scopes = {"get": ["todos:read"], "post": "todos:read todos:write"}

    def get(self, request):
        return Response()

    post = delete = get


class ByAction(ViewSet):
    required_scopes = {"list": ["todos:read"], "create": ["todos:write"]}
    list = create = destroy = respond

    @action(detail=False, required_scopes=["todos:read"])
    def extra(self, request):
        return Response()

    @action(detail=False)
    def open(self, request):
        return Response()


class SharedSet(ViewSet):
    required_scopes = None
    list = respond


router = SimpleRouter()
router.register("by-action", ByAction, basename="by-action")

urlpatterns = [
    path("below/", below),
    path("above/", above),
    path("undeclared/", undeclared),
    path("declared/", Declared.as_view()),
    path("shared/", Shared.as_view()),
    path("shared/read/", require_scopes("todos:read")(Shared.as_view())),
    path("shared-set/", SharedSet.as_view({"get": "list"})),
    path("shared-set/read/", require_scopes("todos:read")(SharedSet.as_view({"get": "list"}))),
    path("by-method/", ByMethod.as_view()),
    path("", include(router.urls)),
]


@pytest.fixture
def scoped(user):
    """A key that may read todos."""
    return generate_keys(user, name="reader", scopes=["todos:read", "users:read"])


def ask(keys, url, method="GET"):
    return client_of(keys).generic(method, url)


VIEWS = {
    "/above/": {"GET": 200, "OPTIONS": 200},
    "/declared/": {"GET": 200},
    "/undeclared/": {"GET": 403},
    "/shared/": {"GET": 403},
    "/shared/read/": {"GET": 200},
    "/shared-set/": {"GET": 403},
    "/shared-set/read/": {"GET": 200},
    "/by-method/": {"GET": 200, "HEAD": 200, "POST": 403, "OPTIONS": 403, "PROPFIND": 403},
    "/by-action/": {"GET": 200, "HEAD": 200, "POST": 403},
    "/by-action/1/": {"DELETE": 403},
    "/by-action/extra/": {"GET": 200},
    "/by-action/open/": {"GET": 403},
}


@pytest.mark.parametrize("url", VIEWS)
def test_scoped_key_opens_only_views_whose_scopes_it_holds(scoped, keys, url):
    for method, status in VIEWS[url].items():
        response = ask(scoped, url, method)
        assert response.status_code == status
        if status == 403:
            assert response.json()["code"] == "insufficient_scope"
        assert ask(keys, url, method).status_code == (405 if method == "PROPFIND" else 200)


@pytest.mark.parametrize("url", VIEWS)
def test_scope_for_everything_opens_what_a_key_without_scopes_opens(settings, user, keys, url):
    everything = generate_keys(user, name="everything", scopes=["all"])

    for method in VIEWS[url]:
        settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "ALL_SCOPE": ""}
        assert ask(everything, url, method).status_code == 403
        settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "ALL_SCOPE": "all"}
        assert ask(everything, url, method).status_code == ask(keys, url, method).status_code


@pytest.mark.urls("testproject.urls")
def test_scope_for_everything_manages_no_keys(settings, system_manager):
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "ALL_SCOPE": "all"}
    everything = generate_keys(system_manager, name="everything", scopes=["all"])

    assert client_of(everything).get("/api/keys/").status_code == 200
    made = client_of(everything).post("/api/keys/", {"user": "ada", "name": "new"})
    assert made.status_code == 403


def passed_on(view):
    @functools.wraps(view)
    def wrapper(*args, **kwargs):
        return view(*args, **kwargs)

    return wrapper


def test_decorated_function_or_use_of_a_class_keeps_what_it_is():
    assert not hasattr(Shared, "required_scopes")
    assert SharedSet.required_scopes is None

    @require_scopes("todos:read", "todos:all")
    def view(request):
        """A view."""
        return HttpResponse(view.__doc__)

    for wrapped in (view, passed_on(view)):
        assert policy.required_scopes(wrapped, "GET") == ("todos:read", "todos:all")
        assert (wrapped.__name__, wrapped.__doc__) == ("view", "A view.")
        assert wrapped(HttpRequest()).content == b"A view."
    assert not iscoroutinefunction(view)
    assert iscoroutinefunction(require_scopes("a")(acoroutine))
    assert (above.cls.__name__, above.cls.__doc__) == ("above", "A documented view.")


# Mistakes


def test_second_declaration_and_method_are_errors():
    declare = require_scopes("todos:write")
    for declared in (Declared, ByMethod, above, passed_on(declare(lambda request: None))):
        with pytest.raises(TypeError, match="already"):
            declare(declared)
    with pytest.raises(TypeError, match=r"is a method.*required_scopes = \{"):
        declare(ByMethod.get)


def test_missing_and_invalid_scopes_are_errors():
    for scopes in ((), (ask,), (["todos:read"],), (None,)):
        with pytest.raises(TypeError, match="Pass the scopes"):
            require_scopes(*scopes)
    for scope in ("", "todos:read todos:write", 'to"do', "to\\do", "tödo", "a\n"):
        with pytest.raises(ValueError, match="is not a valid scope"):
            require_scopes("todos:read", scope)


def test_decorator_below_api_view_is_an_error(scoped, keys):
    assert ask(scoped, "/below/").status_code == 403
    with pytest.raises(ImproperlyConfigured, match="above @api_view"):
        ask(keys, "/below/")


async def acoroutine(request, number=1):
    return number


def test_decorated_coroutine_gets_the_arguments_of_the_path():
    closed = require_scopes("todos:read")(acoroutine)
    assert async_to_sync(closed)(HttpRequest(), number=2) == 2
    fixed = require_scopes("todos:read")(functools.partial(acoroutine, number=3))
    assert async_to_sync(fixed)(HttpRequest()) == 3
    assert policy.required_scopes(fixed, "GET") == ("todos:read",)


# Plain Django views


class Plain(View):
    required_scopes = "class"

    @method_decorator(require_scopes("handler"))
    def get(self, request): ...

    def post(self, request): ...


class WithHead(Plain):
    @method_decorator(require_scopes("head"))
    def head(self, request): ...


DECLARED = [
    (None, "GET", ()),
    (object(), "GET", ()),
    (View.as_view(), "GET", ()),
    (Plain.as_view(), "GET", ("class", "handler")),
    (SimpleNamespace(required_scopes={"get": "a", "head": "b"}), "HEAD", ("b",)),
    (Plain.as_view(), "HEAD", ("class", "handler")),
    (WithHead.as_view(), "HEAD", ("class", "head")),
    (Plain.as_view(), "POST", ("class",)),
    (Plain.as_view(), "REQUIRED_SCOPES", ("class",)),
    (Plain.as_view(required_scopes=["once"]), "POST", ("once",)),
    (Plain.as_view(required_scopes=[]), "POST", ()),
    (Plain.as_view(required_scopes={"get": "a b"}), "POST", ()),
    (Plain.as_view(required_scopes={"get": "a b"}), "HEAD", ("a", "b", "handler")),
    (require_scopes("here")(Plain.as_view()), "POST", ("here",)),
    (passed_on(Plain.as_view()), "POST", ("class",)),
]


@pytest.mark.parametrize(("view", "method", "scopes"), DECLARED)
def test_scopes_of_view_class_and_handler_add_up(view, method, scopes):
    assert view_scopes(view, method) == scopes


def test_arguments_of_as_view_name_no_other_entry_than_the_method():
    class Plain(View):
        action = None
        required_scopes = {}

        def post(self, request): ...

    scopes = {"get": ["read"], "post": ["write"], "export": ["read"]}
    view = Plain.as_view(required_scopes=scopes, action="export")

    assert view_scopes(view, "POST") == ("write",)
