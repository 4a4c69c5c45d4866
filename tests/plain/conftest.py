import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client

from frappe_tokens.keys import GeneratedKeys

from ..conftest import token_header

MIDDLEWARE = "frappe_tokens.middleware.TokenAuthenticationMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"

SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
LOCALE = "django.middleware.locale.LocaleMiddleware"


def put(settings, name, *, before="", behind=""):
    """Put ``name`` into MIDDLEWARE, whether it is there already or not."""
    others = [other for other in settings.MIDDLEWARE if other != name]
    place = others.index(before) if before else others.index(behind) + 1
    settings.MIDDLEWARE = [*others[:place], name, *others[place:]]


@pytest.fixture
def site(settings):
    """The site of plain views, with the middleware where it belongs."""
    settings.ROOT_URLCONF = "tests.plain.site"
    settings.LOGIN_URL = "/login/"
    put(settings, MIDDLEWARE, behind=AUTHENTICATION)


class Visitor:
    """A client that is asked for CSRF tokens, over WSGI or ASGI, and the views of that kind."""

    def __init__(self, kind):
        self.kind = kind
        cls = AsyncClient if kind == "async" else Client
        self.client = cls(enforce_csrf_checks=True)

    def send(self, method, path, keys=None, data=b"", **headers):
        """What a request is answered with. A path without a slash before it is of the own kind."""
        if isinstance(keys, GeneratedKeys):
            keys = token_header(keys)
        if keys is not None:
            headers["authorization"] = keys
        path = path if path.startswith("/") else f"/{self.kind}/{path}"
        content_type = "application/x-www-form-urlencoded"

        async def send():
            return await self.client.generic(method, path, data, content_type, headers=headers)

        if self.kind == "async":
            return async_to_sync(send)()
        return self.client.generic(method, path, data, content_type, headers=headers)

    def get(self, path, keys=None, **headers):
        return self.send("GET", path, keys, **headers)

    def post(self, path, keys=None, data=b"", **headers):
        return self.send("POST", path, keys, data, **headers)


@pytest.fixture(params=["sync", "async"])
def visitor(request, site):
    return Visitor(request.param)
