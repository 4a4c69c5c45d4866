"""The examples for plain Django, Ninja and Channels."""

from types import ModuleType

import pytest
from asgiref.sync import async_to_sync
from channels.testing import WebsocketCommunicator
from django.test import Client
from django.urls import include, path

from frappe_tokens.keys import generate_keys

from ..conftest import token_header
from ..documentation import blocks, page

pytestmark = pytest.mark.django_db

EXAMPLES = [
    example
    for name in ("django-views", "ninja", "channels")
    for example in blocks(page(f"how-to/protect-{name}"), "python")
]


def example(containing):
    """The names that the only example with these words defines."""
    (source,) = [source for source in EXAMPLES if containing in source]
    names = {"__name__": "example"}
    exec(compile(source, "the documentation", "exec"), names)  # noqa: S102 - our own documentation
    return names


def whoami():
    return example("def whoami(request):\n    return Json")["whoami"]


def serve(settings, *patterns, middleware=""):
    urls = ModuleType("urls")
    urls.urlpatterns = list(patterns)
    settings.ROOT_URLCONF = urls
    settings.MIDDLEWARE = example("MIDDLEWARE = [")["MIDDLEWARE"]
    if middleware:
        ours = "frappe_tokens.middleware.TokenAuthenticationMiddleware"
        settings.MIDDLEWARE = [middleware if m == ours else m for m in settings.MIDDLEWARE]


def send(keys, where, method="GET"):
    client = Client(enforce_csrf_checks=True)
    return client.generic(method, where, headers={"authorization": token_header(keys)})


def test_middleware(settings, keys):
    serve(settings, path("whoami/", whoami()))
    assert send(keys, "/whoami/").json() == {"user": "ada"}


def ReportsByToken(get_response):  # noqa: N802 - the example's class, where MIDDLEWARE finds it
    return example("class ReportsByToken")["ReportsByToken"](get_response)


def ReportsAreForPeople(get_response):  # noqa: N802
    return example("class ReportsAreForPeople")["ReportsAreForPeople"](get_response)


def test_subclasses(settings, keys):
    reports = include(([path("", whoami())], "reports"))
    urls = [path("reports/", reports), path("whoami/", whoami())]
    settings.LOGIN_URL = "/login/"

    serve(settings, *urls, middleware=f"{__name__}.ReportsByToken")
    assert send(keys, "/reports/").json() == {"user": "ada"}
    assert send(keys, "/whoami/").status_code == 302
    serve(settings, *urls, middleware=f"{__name__}.ReportsAreForPeople")
    assert send(keys, "/reports/").json()["code"] == "session_required"
    assert send(keys, "/whoami/").json() == {"user": "ada"}


def test_scopes(settings, user):
    views = example("async def report(request)")
    serve(
        settings,
        path("report/", views["report"]),
        path("reports/", views["Reports"].as_view()),
        path("export/", views["Export"].as_view()),
    )
    reader = generate_keys(user, name="reader", scopes=["reports:read"])
    writer = generate_keys(user, name="writer", scopes=["reports:read", "reports:write"])
    assert send(reader, "/report/").json() == {"sold": 3}
    assert send(reader, "/reports/").json() == {"reports": []}
    assert send(reader, "/reports/", "POST").status_code == 403
    assert send(writer, "/reports/", "POST").status_code == 201
    assert send(reader, "/export/").json() == {"rows": 3}
    other = generate_keys(user, name="other", scopes=["other"])
    for where in ("/report/", "/reports/", "/export/"):
        assert send(other, where).status_code == 403


def test_ninja(settings, user, keys):
    serve(settings, path("api/", example("NinjaAPI(")["api"].urls))
    assert send(keys, "/api/whoami").json() == {"user": "ada"}
    assert send(keys, "/api/reports", "POST").json() == {"made": True}
    scoped = generate_keys(user, name="scoped", scopes=["reports:write"])
    assert send(scoped, "/api/whoami").json()["code"] == "insufficient_scope"
    assert send(scoped, "/api/reports", "POST").json() == {"made": True}


def test_channels(user):
    application = example("class Prices")["websocket"]
    made = generate_keys(user, scopes=["prices:read"], read_only=True)

    async def connect():
        headers = [(b"authorization", token_header(made).encode())]
        socket = WebsocketCommunicator(application, "/prices/", headers)
        assert await socket.connect() == (True, None)
        received = await socket.receive_from()
        await socket.disconnect()
        return received

    assert async_to_sync(connect)() == "ada"
