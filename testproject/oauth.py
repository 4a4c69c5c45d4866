"""The demo's two OAuth 2 clients, and the redirect page of the first one."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.crypto import get_random_string
from django.views.generic import TemplateView
from oauth2_provider.models import get_application_model

from frappe_tokens.contrib.oauth2 import allow_application

APP = "todo-app"
SERVICE = "report-service"


class Callback(TemplateView):
    """Shows the code, which a real application would use by itself."""

    template_name = "oauth/callback.html"


class Link(NamedTuple):
    """What an application needs for the authorization code flow."""

    address: str  # where to send the user
    redirect_uri: str  # where the user returns to, with the code
    code_verifier: str  # proves that the code belongs to this application (RFC 7636)


def public_client(site: str) -> Link:
    """Create an application without a secret, which uses the authorization code flow with PKCE."""
    redirect_uri = site + reverse("oauth_callback")
    _client(APP, name="To-do app", client_type="public", redirect_uris=redirect_uri)
    code_verifier = get_random_string(64)
    digest = hashlib.sha256(code_verifier.encode()).digest()
    params = {
        "response_type": "code",
        "client_id": APP,
        "redirect_uri": redirect_uri,
        "scope": "read write todos openid",
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
        "state": get_random_string(12),
    }
    authorize = site + reverse("oauth2_provider:authorize")
    return Link(f"{authorize}?{urlencode(params)}", redirect_uri, code_verifier)


def confidential_client(owner: Any) -> str:
    """Create a service that runs as ``owner``. Return its new secret, which is stored hashed."""
    secret = get_random_string(48)
    service = _client(
        SERVICE,
        name="Report service",
        client_type="confidential",
        authorization_grant_type="client-credentials",
        client_secret=secret,
        user=owner,
    )
    allow_application(service)
    return secret


def _client(client_id: str, **fields: Any) -> Any:
    fields = {"authorization_grant_type": "authorization-code", **fields}
    clients = get_application_model()._default_manager
    client, _ = clients.update_or_create(client_id=client_id, defaults=fields)
    return client
