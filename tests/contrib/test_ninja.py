"""Django Ninja, the real package, besides what ``test_ways_in`` proves."""

from itertools import count

import pytest
from django.core import checks
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path
from ninja import NinjaAPI, Router
from ninja.constants import NOT_SET
from ninja.operation import PathView
from ninja.security import (
    APIKeyCookie,
    HttpBearer,
    django_auth,
    django_auth_is_staff,
    django_auth_superuser,
)

from frappe_tokens.contrib.ninja import TokenAuth, register
from frappe_tokens.exceptions import Reason
from frappe_tokens.keys import GeneratedKeys, generate_keys

from ..conftest import token_header
from .ways import described

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class Other(HttpBearer):
    """Another package's tokens."""

    def authenticate(self, request, token):
        return "other" if token == "theirs" else None


class ByCookie(APIKeyCookie):
    """Another package's cookie."""

    param_name = "theirs"

    def authenticate(self, request, key): ...


class TokensOnly(TokenAuth):
    schemes = ("token",)


api = register(NinjaAPI(auth=TokenAuth(), urls_namespace="registered"))


@api.api_operation(["GET", "POST"], "who/")
def who(request):
    return described(request)


@api.get("mixed/")
def mixed(request):
    return described(request)


@api.post("mixed/")
async def amixed(request):
    return described(request)


@api.get("read/", auth=TokenAuth("todos:read", "todos:all"))
def read(request):
    return described(request)


@api.api_operation(["GET", "POST"], "session-too/", auth=[TokenAuth(), django_auth])
def session_too(request):
    return described(request)


@api.api_operation(["GET", "POST"], "asession-too/", auth=[TokenAuth(), django_auth])
async def asession_too(request):
    return described(request)


@api.api_operation(["GET", "POST"], "session-first/", auth=[django_auth, TokenAuth()])
def session_first(request):
    return described(request)


@api.get("others-first/", auth=[Other(), TokenAuth()])
def others_first(request):
    return {"auth": str(request.auth)}


@api.get("some-schemes/", auth=[TokensOnly(), Other()])
async def some_schemes(request):
    return {"auth": str(request.auth)}


@api.get("by-session/", auth=django_auth)
def by_session(request):
    return described(request)


@api.get("open/", auth=None)
def opened(request):
    return described(request)


unregistered = NinjaAPI(auth=TokenAuth(), urls_namespace="unregistered")
unregistered.get("who/")(who)


def method_of(path_view):
    """What Ninja 1.4 has as a view."""
    return path_view._async_view if path_view.is_async else path_view._sync_view


bound = register(NinjaAPI(urls_namespace="bound"))
bound.get("read/", auth=TokenAuth("todos:read"))(read)
bound.get("open/", auth=None)(opened)
with pytest.MonkeyPatch.context() as patch:
    patch.setattr(PathView, "get_view", method_of)
    bound_urls = bound.urls


def unknown(request):
    """Like a view of a Ninja that is built in another way."""
    return HttpResponse(request.user.get_username())


unknown.__module__ = PathView.__module__


urlpatterns = [
    path("api/", api.urls),
    path("unregistered/", unregistered.urls),
    path("api/bound/", bound_urls),
    path("api/unknown/", unknown),
]


@pytest.fixture(params=[False, True], ids=["alone", "behind the middleware"])
def behind(request):
    """With and without the middleware for plain views."""
    if request.param:
        request.getfixturevalue("with_middleware")


def send(keys, path, method="GET", client=None):
    client = client or Client(enforce_csrf_checks=True)
    header = token_header(keys) if isinstance(keys, GeneratedKeys) else keys
    headers = {} if header is None else {"authorization": header}
    return client.generic(method, f"/api/{path}", headers=headers)


def test_each_operation_has_its_scopes(user, behind):
    for scopes, status in ((["todos:read", "todos:all"], 200), (["todos:read"], 403), ([], 200)):
        made = generate_keys(user, name=" ".join(scopes), scopes=scopes)
        assert send(made, "read/").status_code == status
        assert send(made, "who/").status_code == (403 if scopes else 200)


def test_request_takes_one_select_with_the_middleware_too(keys, behind, statements):
    for method in ("GET", "POST"):
        with statements() as verbs:
            assert send(keys, "mixed/", method).json() == {"user": "ada", "auth": "ApiKey"}
        assert verbs.count("SELECT") == 1


@pytest.fixture
def browser(make_user):
    """Signed in as eve."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user("eve"))
    return client


@pytest.mark.parametrize("url", ["session-too/", "asession-too/"])
def test_header_decides_beside_a_session(keys, browser, behind, url):
    for method in ("GET", "POST"):
        assert send(keys, url, method, browser).json() == {"user": "ada", "auth": "ApiKey"}
        wrong = send("token a:b", url, method, browser)
        assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")


def test_session_counts_without_a_header(browser):
    assert send(None, "session-too/", "GET", browser).json()["user"] == "eve"
    assert send(None, "session-too/", "POST", browser).status_code == 403
    browser.cookies["csrftoken"] = token = "a" * 32
    sent = browser.post("/api/session-too/", headers={"X-CSRFToken": token})
    assert sent.json()["user"] == "eve"


def test_session_that_comes_first_decides(keys, browser, behind):
    """Which is what W014 warns of."""
    assert send(keys, "session-first/", "GET", browser).json()["user"] == "eve"
    assert send(keys, "session-first/", "POST", browser).status_code == 403
    assert send(keys, "session-first/", "POST").status_code == 403


OURS_FIRST = [TokenAuth(), django_auth]
OURS_LAST = [django_auth, TokenAuth()]


def warnings(settings, api=NOT_SET, router=NOT_SET, operation=NOT_SET):
    """Return what the check reports about two operations, with ``auth`` on each of these levels."""
    name = f"checked {next(numbers)}"
    checked, routes = NinjaAPI(auth=api, urls_namespace=name), Router(auth=router)
    for method in (routes.get, routes.post):
        method("who/", auth=operation)(who)
    checked.add_router("", routes)
    settings.ROOT_URLCONF = (path("", include([path("api/", checked.urls)])),)
    messages = checks.run_checks(tags=["frappe_tokens"])
    found = [message for message in messages if message.id == "frappe_tokens.W014"]
    assert all(message.hint.startswith("Put ") for message in found)
    return [message.msg.replace(name, "checked") for message in found]


numbers = count()


@pytest.mark.parametrize(
    ("levels", "where", "earlier", "ours"),
    [
        ({"api": OURS_LAST}, "NinjaAPI 'checked'", "SessionAuth", "TokenAuth"),
        (
            {"api": (django_auth_superuser, django_auth_is_staff, TokensOnly(), TokenAuth())},
            "NinjaAPI 'checked'",
            "SessionAuthSuperUser, ninja.security.session.SessionAuthIsStaff",
            "TokensOnly",
        ),
        ({"api": OURS_FIRST, "router": OURS_LAST}, f"{__name__}.who", "SessionAuth", "TokenAuth"),
        (
            {"api": TokenAuth(), "operation": [ByCookie(csrf=False), Other(), TokenAuth()]},
            f"{__name__}.who",
            "ByCookie",
            "TokenAuth",
        ),
    ],
)
def test_w014_if_a_cookie_comes_first(settings, levels, where, earlier, ours):
    (message,) = warnings(settings, **levels)

    assert message.startswith(f"In auth of {where}, ")
    assert f"{earlier} comes before " in message
    assert f".{ours}: a request" in message


@pytest.mark.parametrize(
    "levels",
    [
        {},
        {"api": None},
        {"api": django_auth},
        {"api": OURS_FIRST},
        {"api": [Other(), lambda request: None, TokenAuth(), django_auth, TokensOnly()]},
        {"api": OURS_LAST, "operation": OURS_FIRST},
        {"api": OURS_LAST, "router": django_auth},
        {"router": OURS_LAST, "operation": None},
    ],
)
def test_no_w014_otherwise(settings, levels):
    assert warnings(settings, **levels) == []


@pytest.mark.parametrize("url", ["others-first/", "some-schemes/"])
def test_other_class_may_accept_other_bearer_tokens(keys, behind, url):
    unknown = send("Bearer unknown", url).json()

    assert send("Bearer theirs", url).json() == {"auth": "other"}
    assert send(keys, url).json() == {"auth": str(keys.instance)}
    # Refused by ours, unless a subclass leaves them to the later class.
    assert unknown.get("code") == ("invalid_credentials" if url == "others-first/" else None)


@pytest.mark.usefixtures("with_middleware")
@pytest.mark.parametrize("url", ["by-session/", "open/", "bound/open/", "unknown/"])
def test_middleware_decides_for_operations_without_our_class(user, keys, url):
    scoped = generate_keys(user, name="scoped", scopes=["todos:read"])

    assert b"ada" in send(keys, url).content
    assert send(scoped, url).status_code == 403
    assert send("token a:b", url).status_code == 401


@pytest.mark.usefixtures("with_middleware")
def test_middleware_leaves_operations_of_ninja_1_4_to_our_class(user):
    scoped = generate_keys(user, name="scoped", scopes=["todos:read"])

    assert send(scoped, "bound/read/").json() == {"user": "ada", "auth": "ApiKey"}
    assert send("token a:b", "bound/read/").status_code == 401


def test_unregistered_api_refuses_with_the_right_status():
    response = Client().get("/unregistered/who/", headers={"authorization": "token a:b"})
    assert response.status_code == 401
    assert response.json() == {"detail": str(Reason.INVALID_CREDENTIALS.sentence)}


def test_cache_of_the_site_stores_no_response(keys, make_user, behind, settings):
    other = generate_keys(make_user("eve"))
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    cache.clear()
    for _ in range(2):
        assert send(keys, "who/").json()["user"] == "ada"
        assert send(other, "who/").json()["user"] == "eve"
        assert send(None, "who/").status_code == 401


def test_schema_describes_the_authentication():
    schema = api.get_openapi_schema()
    assert schema["components"]["securitySchemes"]["TokenAuth"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "<api_key>:<api_secret>",
    }
    assert schema["paths"]["/api/who/"]["get"]["security"] == [{"TokenAuth": []}]


@pytest.mark.parametrize("scope", ["", "a b", 'a"'])
def test_invalid_scope_is_refused(scope):
    with pytest.raises(ValueError, match="is not a valid scope"):
        TokenAuth(scope)
