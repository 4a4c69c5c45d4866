import re
import secrets
from datetime import timedelta
from html import unescape
from typing import NamedTuple

import pytest
import requests
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application, RefreshToken, set_token_value

from frappe_tokens.contrib.oauth2 import allow_application

from ..conftest import PASSWORD

HOUR = timedelta(hours=1)
REDIRECT_URI = "https://app.example.com/callback"
SECRET = "a client's made-up secret"

METHODS = "/api/method/frappe.integrations.oauth2."
MIDDLEWARE = "frappe_tokens.middleware.TokenAuthenticationMiddleware"


class Issued(NamedTuple):
    """An access token: as it is sent, and the toolkit's row."""

    raw: str
    instance: AccessToken

    @property
    def header(self):
        return f"Bearer {self.raw}"


def drf(header, path="/drf/", method="GET", **headers):
    return Client().generic(method, path, headers={"Authorization": header, **headers})


def refusal(response):
    return response.status_code, response.json()["code"]


def visit(username, url):
    """Log in by a browser without JavaScript, give access, and return where it is sent to."""
    browser = requests.Session()

    def press(page, fields, **options):
        hidden = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text)
        form = {**{name: unescape(value) for name, value in hidden}, **fields}
        return browser.post(page.url, form, headers={"Referer": page.url}, **options)

    page = browser.get(url)
    assert "/login/" in page.url
    page = press(page, {"username": username, "password": PASSWORD})
    answer = press(page, {"allow": "true"}, allow_redirects=False)
    assert answer.status_code == 302, answer.text
    return answer.headers["Location"]


def set_user(application, user):
    """Set the user past every guard and every signal."""
    Application.objects.filter(pk=application.pk).update(user=user)
    application.refresh_from_db()


@pytest.fixture(params=["drf", "sync", "async"])
def ask(request, settings):
    """Sends a request to ``test_access_tokens.urlpatterns`` by each of the ways in."""
    way = request.param
    if way != "drf":
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]

    def send(header, method="GET", **headers):
        if way != "async":
            return drf(header, f"/{way}/", method, **headers)

        async def asend():
            sent = {"Authorization": header, **headers}
            return await AsyncClient().generic(method, "/async/", headers=sent)

        # In the thread of the test, whose connection to the database it uses.
        return async_to_sync(asend)()

    return send


@pytest.fixture
def toolkit(settings):
    """Changes the toolkit's settings: ``toolkit(READ_SCOPE="look")``."""

    def change(**own):
        settings.OAUTH2_PROVIDER = {**settings.OAUTH2_PROVIDER, **own}

    return change


@pytest.fixture
def public(db):
    return Application.objects.create(
        name="To-do app",
        client_type="public",
        authorization_grant_type="authorization-code",
        redirect_uris=REDIRECT_URI,
    )


@pytest.fixture
def confidential(make_user):
    """A service that runs as the user ``owner``."""
    application = Application.objects.create(
        name="Report service",
        client_type="confidential",
        authorization_grant_type="client-credentials",
        client_secret=SECRET,
        user=make_user("owner", permissions=("todos.view_todo", "todos.add_todo")),
    )
    allow_application(application)
    return application


@pytest.fixture
def issue(public):
    """Issues tokens as the toolkit does: ``issue(user, "read todos")``."""

    def make(user, scope="todos", raw="", **fields):
        raw = raw or secrets.token_urlsafe(30)
        fields = {"application": public, "expires": timezone.now() + HOUR, **fields}
        token = AccessToken(user=user, scope=scope, **fields)
        set_token_value(token, raw)
        token.save()
        return Issued(raw, token)

    return make


@pytest.fixture
def issue_refresh_token(issue):
    """A refresh token beside a new access token."""

    def make(user, scope="todos", **fields):
        raw = secrets.token_urlsafe(30)
        access_token = issue(user, scope).instance
        fields = {"access_token": access_token, **fields}
        token = RefreshToken(user=user, application=access_token.application, **fields)
        set_token_value(token, raw)
        token.save()
        return raw

    return make


@pytest.fixture
def service(confidential):
    """Sends a request with the confidential client's secret."""

    def post(method, **sent):
        sent = {"client_id": confidential.client_id, "client_secret": SECRET, **sent}
        return Client().post(METHODS + method, sent)

    return post
