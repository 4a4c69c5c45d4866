"""Credentials of every package, created as its documentation says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken
from oauth2_provider.models import AccessToken, Application
from rest_framework.authtoken.models import Token
from rest_framework_api_key.models import APIKey
from rest_framework_simplejwt.tokens import AccessToken as JSONWebToken

from frappe_tokens.keys import generate_keys

from . import views

# None expires during the benchmark.
LIFETIME = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to authenticate.

    Attributes:
        title: what the tables call it.
        view: the view that it protects.
        headers: of a request, by their names in WSGI. They're credentials, so not in repr().
        username: the user that the view then returns.
        middleware: classes that it needs, the outermost first.
    """

    title: str
    view: Any
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    username: str = ""
    middleware: tuple[Any, ...] = ()


def make_user(username: str) -> Any:
    """Get or create an active user without a password."""
    users = get_user_model()._default_manager
    return users.filter(username=username).first() or users.create_user(username)


def opened() -> Contender:
    """The view without authentication."""
    return Contender("open view", views.OpenView)


def frappe_tokens(user: Any, title: str = "frappe_tokens") -> Contender:
    """This package, with a new secret for the user's unnamed key."""
    header = f"token {generate_keys(user).token}"
    return _by_header(title, views.FrappeTokensView, header, user)


def drf_token(user: Any) -> Contender:
    """The yardstick."""
    token, _ = Token.objects.get_or_create(user=user)
    return _by_header("DRF TokenAuthentication", views.DRFTokenView, f"Token {token.key}", user)


def knox(user: Any) -> Contender:
    _, token = AuthToken.objects.create(user=user, expiry=LIFETIME)
    return _by_header("knox", views.KnoxView, f"Token {token}", user)


def api_key(user: Any) -> Contender:
    _, key = APIKey.objects.create_key(name=user.get_username())
    headers = {"HTTP_AUTHORIZATION": f"Api-Key {key}"}
    return Contender("djangorestframework-api-key", views.HasAPIKeyView, headers)


def simplejwt(user: Any) -> Contender:
    token = JSONWebToken.for_user(user)
    token.set_exp(lifetime=LIFETIME)
    return _by_header("simplejwt", views.JWTView, f"Bearer {token}", user)


def oauth_toolkit(user: Any) -> Contender:
    application = Application.objects.create(
        user=user,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )
    token = f"an access token of {user.get_username()} that is made up and long enough"
    token = token.replace(" ", "-")
    AccessToken.objects.create(
        user=user, application=application, token=token, expires=timezone.now() + LIFETIME
    )
    return _by_header("django-oauth-toolkit", views.OAuth2View, f"Bearer {token}", user)


def session(user: Any) -> Contender:
    client = Client()
    client.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    return Contender(
        "DRF session",
        views.SessionView,
        {"HTTP_COOKIE": f"{name}={client.cookies[name].value}"},
        user.get_username(),
        (SessionMiddleware, AuthenticationMiddleware),
    )


def _by_header(title: str, view: Any, header: str, user: Any) -> Contender:
    return Contender(title, view, {"HTTP_AUTHORIZATION": header}, user.get_username())
