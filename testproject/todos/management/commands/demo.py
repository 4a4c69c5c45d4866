"""``make demo``: everything that it takes to try the app, in one go."""

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
# To find their way in the admin. Users may only be looked at: whoever may change a user in Django's
# admin can make it a superuser.
LOOK_AROUND = Q(content_type__app_label="auth", codename="view_user") | Q(
    content_type__app_label__in=["frappe_tokens", "events"], codename__startswith="view_"
)

SAMPLES: list[dict[str, Any]] = [
    {"description": "Send a request with each of the three schemes", "priority": "High"},
    {"description": "Generate Keys for a user in the admin", "priority": "Medium"},
    {"description": "Revoke a key and watch its requests fail", "priority": "Low"},
]


class Command(BaseCommand):
    help = "Prepares the example project (database, users, keys, ToDos) and serves it on PORT."
    requires_system_checks = []  # migrate and runserver make them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--no-serve", action="store_true", help="prepare and print only, start no server"
        )

    def handle(self, *args: Any, no_serve: bool, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("The demo prints secrets. It runs with DEBUG only.")
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
            port,
            password,
            _keys(generate_keys, manager),
            _keys(generate_keys, api_user),
            _keys(generate_keys_for_source, _consumer(api_user)),
        )
        self._show_oauth(f"http://{HOST}:{port}", api_user)
        if not no_serve:
            self.stdout.write("")
            self.stdout.flush()  # a pipe would keep it until the server ends
            call_command("runserver", f"{HOST}:{port}", use_reloader=False)

    def _show(
        self,
        port: int,
        password: str,
        manager: GeneratedKeys,
        api_user: GeneratedKeys,
        consumer: GeneratedKeys,
    ) -> None:
        site = f"http://{HOST}:{port}"
        me = f"{site}/api/method/frappe.auth.get_logged_user"
        token = api_user.token
        basic = base64.b64encode(token.encode()).decode()
        fields = json.dumps(["name", "description", "priority"])
        self._title("Who am I? Paste any of these into another terminal:")
        self._command("token", f"curl -s -w '\\n' -H 'Authorization: token {token}' {me}")
        self._command("Basic", f"curl -s -w '\\n' -H 'Authorization: Basic {basic}' {me}")
        self._command("Bearer", f"curl -s -w '\\n' -H 'Authorization: Bearer {token}' {me}")
        self._title("What is there to do?")
        self._command(
            "the ToDos",
            f"curl -s -w '\\n' -H 'Authorization: token {token}' "
            f"-G --data-urlencode 'fields={fields}' {site}/api/resource/ToDo",
        )
        event = json.dumps({"kind": "door opened", "payload": {"door": "north"}})
        self._title("Post an event with the key of a consumer, which is no user's own:")
        self._command(
            "another source",
            f"curl -s -w '\\n' -H 'Authorization: token {consumer.token}' "
            f"-H 'Frappe-Authorization-Source: EventConsumer' "
            f"-H 'Content-Type: application/json' -d '{event}' {site}/api/events/",
        )
        self._title("Then generate keys for a user in the admin, and run as them:")
        self._fact("Admin", f"{site}/admin/")
        self._fact("Login", f"manager / {password}")
        self._fact("Token", f"{manager.token}  (of manager, a System Manager)")
        self._title("Users look after their own keys here:")
        self._fact("Keys", f"{site}/account/api-keys/")

    def _show_oauth(self, site: str, owner: Any) -> None:
        get_token = site + reverse("oauth2_provider:token")
        todos = f"{site}/api/resource/ToDo"
        secret = oauth.confidential_client(owner)
        link = oauth.public_client(site)
        ask = (
            f"curl -s -u {oauth.SERVICE}:{secret} -d grant_type=client_credentials "
            f"-d 'scope=read todos' {get_token}"
        )
        take = r"""sed 's/.*"access_token": *"\([^"]*\)".*/\1/'"""
        self._title("OAuth 2: a service gets an access token by its own credentials, and uses it:")
        self._command("a token", ask.replace("curl -s", "curl -s -w '\\n'"))
        self._command(
            "the ToDos", f"curl -s -w '\\n' -H \"Authorization: Bearer $({ask} | {take})\" {todos}"
        )
        self._title("OAuth 2: an application asks a user. Open this, log in, and copy the code:")
        self.stdout.write(f"\n{link.address}")
        self._command(
            "a token for the code",
            f"curl -s -w '\\n' -d grant_type=authorization_code -d client_id={oauth.APP} "
            f"-d redirect_uri={link.redirect_uri} -d code_verifier={link.code_verifier} "
            f"-d code=PUT_IN_THE_CODE {get_token}",
        )

    def _title(self, text: str) -> None:
        self.stdout.write(f"\n{self.style.MIGRATE_HEADING(text)}")

    def _command(self, label: str, line: str) -> None:
        self.stdout.write(f"\n{self.style.HTTP_NOT_MODIFIED('# ' + label)}\n{line}")

    def _fact(self, label: str, text: str) -> None:
        self.stdout.write(f"  {label}  {text}")


def _port() -> int:
    given = os.environ.get("PORT") or "8000"
    if not (given.isascii() and given.isdigit() and 0 < int(given) < 65536):
        raise CommandError(f"PORT={given} is no port. Choose one up to 65535, such as PORT=8000.")
    return int(given)


def _check_free(port: int) -> None:
    """Before anything is changed: the keys of a demo that runs already are to go on working."""
    with socket.socket() as probe:
        # As the server does it, so that a port that has just been left counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            other = 8002 if port == 8001 else 8001
            raise CommandError(
                f"Port {port} cannot be had: {error.strerror}. "
                f"Choose another: PORT={other} make demo"
            ) from error


def _user(username: str, **fields: Any) -> Any:
    """The user of this name. One that is made here has no password, so the API alone is open."""
    users = get_user_model()
    user, made = users._default_manager.get_or_create(
        **{users.USERNAME_FIELD: username}, defaults=fields
    )
    if made:
        user.set_unusable_password()
        user.save()
    return user


def _add_roles(user: Any, roles: dict[str, Q]) -> None:
    for name, permissions in roles.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.add(*Permission.objects.filter(permissions))
        user.groups.add(group)


def _keys(generate: Callable[[Any], GeneratedKeys], whose: Any) -> GeneratedKeys:
    try:
        return generate(whose)
    except ValidationError as error:  # someone deactivated the user, or let the key expire
        raise CommandError(f"{whose}: {error.messages[0]}") from error


def _consumer(user: Any) -> EventConsumer:
    """The sensor that posts events as ``user``: another one where its key was revoked."""
    sensors: QuerySet[EventConsumer] = EventConsumer.objects.filter(user=user, revoked_at=None)
    return sensors.get_or_create(name="Door sensor", defaults={"user": user})[0]
