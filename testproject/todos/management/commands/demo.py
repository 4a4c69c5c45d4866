"""``make demo``: everything you need to try the app."""

from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import get_random_string

from frappe_tokens.keys import GeneratedKeys, generate_keys, generate_keys_for_source
from testproject import oauth
from testproject.events.models import EventConsumer
from testproject.todos.models import ToDo

HOST = "127.0.0.1"

SYSTEM_MANAGER = Q(content_type__app_label="frappe_tokens", codename="generate_keys")
TODO_USER = Q(content_type__app_label="todos", content_type__model="todo")
EVENT_CONSUMERS = Q(content_type__app_label="events", content_type__model="eventconsumer") & ~Q(
    codename__startswith="delete_"
)
# To look around in the admin. Users can only be viewed, because anyone who may change users in
# Django's admin can make them superusers.
LOOK_AROUND = Q(content_type__app_label="auth", codename="view_user") | Q(
    content_type__app_label__in=["frappe_tokens", "events"], codename__startswith="view_"
)

SAMPLES: list[dict[str, Any]] = [
    {"description": "Send a request with each of the three schemes", "priority": "High"},
    {"description": "Generate Keys for a user in the admin", "priority": "Medium"},
    {"description": "Revoke a key and watch its requests fail", "priority": "Low"},
]

TEXT = """
Who am I? Paste any of these into another terminal:

# token
{curl} -H 'Authorization: token {token}' {me}

# Basic
{curl} -H 'Authorization: Basic {basic}' {me}

# Bearer
{curl} -H 'Authorization: Bearer {token}' {me}

What is there to do?

# the ToDos
{curl} -H 'Authorization: token {token}' -G --data-urlencode 'fields={fields}' {todos}

Post an event with the key of a consumer, which is not a user's own key:

# another source
{curl} -H 'Authorization: token {consumer}' -H 'Frappe-Authorization-Source: EventConsumer' \
-H 'Content-Type: application/json' -d '{event}' {site}/api/events/

Then generate keys for a user in the admin, and send requests as that user:
  Admin  {site}/admin/
  Login  manager / {password}
  Token  {manager}  (of manager, a System Manager)

Users manage their own keys here:
  Keys  {site}/account/api-keys/

OAuth 2: a service gets an access token with its own credentials, and uses it:

# a token
{curl} {service}

# the ToDos
{curl} -H "Authorization: Bearer $(curl -s {service} | {extract})" {todos}

OAuth 2: an application asks a user. Open this, log in, and copy the code:

{link.address}

# a token for the code
{curl} -d grant_type=authorization_code -d client_id={app} -d redirect_uri={link.redirect_uri} \
-d code_verifier={link.code_verifier} -d code=PUT_IN_THE_CODE {get_token}

Agents get to the ToDos here, with a key or, by OAuth 2, with the address alone:
  MCP  {mcp}

# an agent's call
{curl} -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -d '{call}' {mcp}
"""

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_todos"}}


class Command(BaseCommand):
    help = "Prepares the example project (database, users, keys, ToDos) and serves it on PORT."
    requires_system_checks = []  # migrate and runserver make them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--no-serve", action="store_true", help="prepare and print only, start no server"
        )

    def handle(self, *args: Any, no_serve: bool, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("The demo prints secrets. Run it with DEBUG only.")
        port = _port()
        if not no_serve:
            _check_free(port)
        call_command("migrate", interactive=False, verbosity=0)
        password = get_random_string(12)
        manager = _user("manager", is_staff=True)
        manager.set_password(password)
        manager.save()
        manager.user_permissions.add(*Permission.objects.filter(LOOK_AROUND | EVENT_CONSUMERS))
        _add_roles(manager, {"System Manager": SYSTEM_MANAGER, "ToDo User": TODO_USER})
        api_user = _user("api-user")
        _add_roles(api_user, {"ToDo User": TODO_USER})
        if not ToDo.objects.exists():
            due = timezone.localdate() + timedelta(days=7)
            for values in SAMPLES:
                ToDo.objects.create(owner=api_user, date=due, **values)
        self._show(
            f"http://{HOST}:{port}",
            api_user,
            manager=_keys(generate_keys, manager).token,
            token=_keys(generate_keys, api_user).token,
            consumer=_keys(generate_keys_for_source, _consumer(api_user)).token,
            password=password,
        )
        if not no_serve:
            self.stdout.flush()  # otherwise, a pipe would buffer it until the server stops
            call_command("runserver", f"{HOST}:{port}", use_reloader=False)

    def _show(self, site: str, owner: Any, *, token: str, **shown: str) -> None:
        get_token = site + reverse("oauth2_provider:token")
        secret = oauth.confidential_client(owner)
        text = TEXT.format(
            **shown,
            site=site,
            token=token,
            curl="curl -s -w '\\n'",
            me=f"{site}/api/method/frappe.auth.get_logged_user",
            todos=f"{site}/api/resource/ToDo",
            basic=base64.b64encode(token.encode()).decode(),
            fields=json.dumps(["name", "description", "priority"]),
            event=json.dumps({"kind": "door opened", "payload": {"door": "north"}}),
            mcp=site + reverse("mcp"),
            call=json.dumps(CALL),
            link=oauth.public_client(site),
            app=oauth.APP,
            get_token=get_token,
            service=f"-u {oauth.SERVICE}:{secret} -d grant_type=client_credentials "
            f"-d 'scope=read todos' {get_token}",
            extract=r"""sed 's/.*"access_token": *"\([^"]*\)".*/\1/'""",
        )
        for line in text.splitlines():
            self.stdout.write(self.style.MIGRATE_HEADING(line) if line[-1:] in {":", "?"} else line)


def _port() -> int:
    given = os.environ.get("PORT") or "8000"
    if not (given.isascii() and given.isdigit() and 0 < int(given) < 65536):
        raise CommandError(f"PORT={given} is not a port. Choose one up to 65535, such as 8000.")
    return int(given)


def _check_free(port: int) -> None:
    """Call it before anything changes, so that the keys of a running demo keep working."""
    with socket.socket() as probe:
        # As the server does, so that a port that was just closed is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            other = 8002 if port == 8001 else 8001
            raise CommandError(
                f"Port {port} is not available: {error.strerror}. "
                f"Choose another: PORT={other} make demo"
            ) from error


def _user(username: str, **fields: Any) -> Any:
    """Return the user of this name. A new one has no password, and so can only use the API."""
    users = get_user_model()
    defaults = {"password": make_password(None), **fields}
    name = {users.USERNAME_FIELD: username}
    return users._default_manager.get_or_create(**name, defaults=defaults)[0]


def _add_roles(user: Any, roles: dict[str, Q]) -> None:
    for name, permissions in roles.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.add(*Permission.objects.filter(permissions))
        user.groups.add(group)


def _keys(generate: Callable[[Any], GeneratedKeys], owner: Any) -> GeneratedKeys:
    try:
        return generate(owner)
    except ValidationError as error:  # the user is inactive, or the key expired
        raise CommandError(f"{owner}: {error.messages[0]}") from error


def _consumer(user: Any) -> EventConsumer:
    """Return the sensor that posts events as ``user``, a new one if its key was revoked."""
    sensors: QuerySet[EventConsumer] = EventConsumer.objects.filter(user=user, revoked_at=None)
    return sensors.get_or_create(name="Door sensor", defaults={"user": user})[0]
