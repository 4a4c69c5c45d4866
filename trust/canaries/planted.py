"""The users, keys and clients of the site, and the secrets that only the driver knows."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from oauth2_provider.models import get_access_token_model, get_application_model, set_token_value

from frappe_tokens import crypto
from frappe_tokens.contrib.oauth2 import allow_application
from frappe_tokens.keys import GeneratedKeys, generate_keys, revoke
from frappe_tokens.models import ApiKey

from .driver import Answer, Site
from .kinds import canary

METHODS = "/api/method/frappe.integrations.oauth2."
DAY = timedelta(days=1)


class Planted:
    """What is there before the first request, and what puts it back after one."""

    def __init__(self, site: Site) -> None:
        self.site = site
        make = get_user_model()._default_manager.create_user
        self.users: dict[str, Any] = {
            "root": make("root", "root@example.com", is_staff=True, is_superuser=True),
            "ada": make("ada", "ada@example.com"),
            "bob": make("bob", "bob@example.com"),
        }
        for name, user in self.users.items():
            client = Client()
            client.force_login(user)
            site.sessions[name] = client.cookies["sessionid"].value
        ada, root = self.users["ada"], self.users["root"]
        self.pair = str(generate_keys(ada, name="sent").token)
        self.old_pair = str(generate_keys(ada, name="old").token)
        generate_keys(ada, name="old", grace=DAY)
        self.manager_pair = str(generate_keys(root).token)
        self.rotated_key = generate_keys(ada, name="rotated").api_key
        self.own_key = generate_keys(self.users["bob"], name="own").instance
        generate_keys(self.users["bob"])
        self.unknown = str(crypto.generate_api_secret())
        self.unknown_pair = f"{crypto.generate_api_key()}:{crypto.generate_api_secret()}"
        self.unknown_token = canary("UT")
        self.self_pair = self.leaked = self.alone = self.last_secret = ""
        self.restore_self()
        self.restore_leaked()
        self.restore_alone()
        self._plant_clients(ada)

    def _plant_clients(self, user: Any) -> None:
        models = get_application_model()._default_manager
        app = models.create(
            client_id="todo-app",
            name="To-do app",
            client_type="public",
            authorization_grant_type="authorization-code",
            redirect_uris="https://app.example.com/",
        )
        self.client_id, self.client_secret = "report-service", canary("CS")
        service = models.create(
            client_id=self.client_id,
            name="Report service",
            client_type="confidential",
            authorization_grant_type="client-credentials",
            client_secret=self.client_secret,
            user=user,
        )
        allow_application(service)
        self.access_token = canary("AT")
        token = get_access_token_model()(
            user=user, scope="todos read openid", application=app, expires=timezone.now() + DAY
        )
        set_token_value(token, self.access_token)
        token.save()
        self._verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(self._verifier.encode()).digest()
        self.authorization = {
            "response_type": "code",
            "client_id": "todo-app",
            "redirect_uri": "https://app.example.com/",
            "scope": "read todos openid",
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
            "state": "x",
        }
        self.code_form: dict[str, str] = {}
        self.refresh_form: dict[str, str] = {}
        self.revoke_form: dict[str, str] = {}

    def restore_self(self) -> None:
        """A key that may rotate itself, with the secret that it had."""
        self.self_pair = str(self._anew("self", "root", self_rotate=True).token)

    def restore_leaked(self) -> None:
        self.leaked = str(self._anew("leaked", "ada").token)

    def restore_alone(self) -> None:
        self.alone = str(self._anew("alone", "ada").api_secret)

    def _anew(self, name: str, user: str, **options: Any) -> GeneratedKeys:
        return generate_keys(self.users[user], name=name, **options)

    def forget_keys(self) -> None:
        """Revoke what the last request may have made, so that the name is free."""
        for key in ApiKey.objects.filter(name="new", revoked_at=None):
            revoke(key)

    def version_on(self, path: str, user: str) -> str:
        """What shows the site that a form wasn't sent twice."""
        return _version(self.site.send("GET", path, user=user))

    def action_form(self, action: dict[str, Any]) -> dict[str, Any]:
        page = self.site.send("POST", "/admin/auth/user/", form=action, user="root")
        return {**action, "version": _version(page), "grace": "0"}

    def get_code(self) -> None:
        form = {**self.authorization, "allow": "true"}
        answer = self.site.send("POST", f"{METHODS}authorize", form=form, user="bob")
        location = re.findall(r"^Location: (\S+)", answer.headers, re.MULTILINE)[0]
        self.code_form = {
            "grant_type": "authorization_code",
            "client_id": "todo-app",
            "redirect_uri": self.authorization["redirect_uri"],
            "code_verifier": self._verifier,
            "code": parse_qs(urlsplit(location).query)["code"][0],
        }

    def get_tokens(self) -> None:
        self.get_code()
        tokens = self.site.send("POST", f"{METHODS}get_token", form=self.code_form).json()
        refresh = tokens["refresh_token"]
        self.refresh_form = {
            "grant_type": "refresh_token",
            "client_id": "todo-app",
            "refresh_token": refresh,
        }
        self.revoke_form = {"token": refresh}


def generate_page(user: Any) -> str:
    return reverse("admin:auth_user_generate_keys", args=(user.pk,))


def _version(page: Answer) -> str:
    return re.findall(r'name="version" value="(\w+)"', page.body)[0]
