from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import (
    AccessToken,
    Application,
    RefreshToken,
    set_token_value,
)

from frappe_tokens.contrib.oauth2 import allow_application

HOUR = timedelta(hours=1)
REDIRECT_URI = "https://app.example.com/callback"
SECRET = "a client's made-up secret"

METHODS = "/api/method/frappe.integrations.oauth2."


class Issued(NamedTuple):
    """An access token: as it is sent, and the toolkit's row."""

    raw: str
    instance: AccessToken

    @property
    def header(self) -> str:
        return f"Bearer {self.raw}"


@pytest.fixture
def toolkit(settings: Any) -> Callable[..., None]:
    """Changes the toolkit's settings: ``toolkit(READ_SCOPE="look")``."""

    def change(**own: Any) -> None:
        settings.OAUTH2_PROVIDER = {**settings.OAUTH2_PROVIDER, **own}

    return change


@pytest.fixture
def public(db: None) -> Application:
    return Application.objects.create(
        name="To-do app",
        client_type="public",
        authorization_grant_type="authorization-code",
        redirect_uris=REDIRECT_URI,
    )


@pytest.fixture
def confidential(make_user: Callable[..., Any]) -> Application:
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
def issue(public: Application) -> Callable[..., Issued]:
    """Issues tokens as the toolkit does: ``issue(user, "read todos")``."""

    def make(user: Any, scope: str = "todos", raw: str = "", **fields: Any) -> Issued:
        raw = raw or secrets.token_urlsafe(30)
        fields = {"application": public, "expires": timezone.now() + HOUR, **fields}
        token = AccessToken(user=user, scope=scope, **fields)
        set_token_value(token, raw)
        token.save()
        return Issued(raw, token)

    return make


@pytest.fixture
def issue_refresh_token(issue: Callable[..., Issued]) -> Callable[..., str]:
    """A refresh token beside a new access token."""

    def make(user: Any, scope: str = "todos", **fields: Any) -> str:
        raw = secrets.token_urlsafe(30)
        access_token = issue(user, scope).instance
        fields = {"access_token": access_token, **fields}
        token = RefreshToken(user=user, application=access_token.application, **fields)
        set_token_value(token, raw)
        token.save()
        return raw

    return make


@pytest.fixture
def service(confidential: Application) -> Callable[..., Any]:
    """Asks for something with the confidential client's secret."""

    def post(method: str, **sent: Any) -> Any:
        sent = {"client_id": confidential.client_id, "client_secret": SECRET, **sent}
        return Client().post(METHODS + method, sent)

    return post
