"""``manage.py generate_keys USER...``: an API key and secret for each user."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldError, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import IntegrityError, router, transaction
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from ...db import in_batches
from ...keys import (
    BATCH_SIZE,
    GeneratedKeys,
    find_user,
    generate_keys_for_users,
    lock_active_users,
    lock_users,
)
from ...models import ApiKey
from ..arguments import duration
from ..progress import progress_bar
from ..selection import printable

DEFAULT_URL = "http://localhost:8000"


class Command(BaseCommand):
    help = (
        "Generate an API key and secret for each USER. A key that exists is kept, and its secret "
        "replaced. The secrets are printed once and stored nowhere."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("users", nargs="*", metavar="USER", help="username")
        parser.add_argument("--all-active", action="store_true", help="for every active user")
        parser.add_argument(
            "--create-user",
            action="store_true",
            help="make each USER that does not exist: API only, without a password",
        )
        parser.add_argument("--name", default="", help="which of the user's keys; default: unnamed")
        parser.add_argument("--read-only", action="store_true", help="only GET, HEAD and OPTIONS")
        parser.add_argument(
            "--scope", action="append", default=[], metavar="S", help="may be repeated"
        )
        parser.add_argument(
            "--allow-ip",
            action="append",
            default=[],
            metavar="CIDR",
            help="address or network that the key may be used from; may be repeated",
        )
        parser.add_argument("--expires-in", type=duration, metavar="90d", help="life of the key")
        parser.add_argument(
            "--grace", type=duration, metavar="24h", help="how long the old secret goes on working"
        )
        parser.add_argument("--format", choices=sorted(_FORMATS), default="text")
        parser.add_argument(
            "--url", default=DEFAULT_URL, help=f"site for --format curl; default: {DEFAULT_URL}"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["users"]) == options["all_active"]:
            raise CommandError("Name the users, or give --all-active.")
        expires_in = options["expires_in"]
        policies = {
            "name": options["name"],
            "grace": options["grace"],
            "expires_at": None if expires_in is None else timezone.now() + expires_in,
            "scopes": options["scope"],
            "read_only": options["read_only"],
            "allowed_ips": options["allow_ip"],
        }
        as_lines = _FORMATS[options["format"]]
        # The lines and not the keys: an instance takes up far more.
        texts = []
        try:
            # All or nothing: a secret is printed only when every one is stored.
            with transaction.atomic(using=router.db_for_write(ApiKey)):
                users = lock_active_users() if options["all_active"] else _users(options)
                with progress_bar(self.stderr, len(users), options["verbosity"]) as advance:
                    for batch in in_batches(users, BATCH_SIZE):
                        made = generate_keys_for_users(batch, **policies)
                        lines = (line for keys in made for line in as_lines(keys, options["url"]))
                        texts.append("".join(f"{line}\n" for line in lines))
                        advance(len(batch))
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        for text in texts:
            self.stdout.write(text, ending="")
        if options["format"] == "text":
            self.stderr.write("Store the secrets now: they are not shown again.")


def _users(options: dict[str, Any]) -> list[Any]:
    """The primary keys of the users who were named, locked.

    Raises:
        CommandError: naming every one that is unknown or inactive.
    """
    lock_users([])  # SQLite: before the first read
    found, wrong = [], []
    for username in dict.fromkeys(options["users"]):
        user = find_user(username)
        if user is None and not options["create_user"]:
            wrong.append(f"There is no user {username!r}. (--create-user would make one.)")
            continue
        if user is None:
            user = _create_user(username)
        if not user.is_active:
            wrong.append(f"User {username!r} is inactive. Activate the user first.")
        found.append(user.pk)
    if wrong:
        raise CommandError("\n".join([*wrong, "Nothing was generated."]))
    # All of them before the first batch, because they stay in the order in which they were named.
    lock_users(found)
    # Two names may be one user's, where the database thinks nothing of upper and lower case.
    return list(dict.fromkeys(found))


def _create_user(username: str) -> Any:
    model = get_user_model()
    try:
        field: Any = model._meta.get_field(model.USERNAME_FIELD)
        field.clean(username, None)
        with transaction.atomic():
            return model._default_manager.create_user(**{model.USERNAME_FIELD: username})
    except ValidationError as error:
        raise CommandError(
            f"{username!r} cannot be a username: {' '.join(error.messages)}"
        ) from None
    except (TypeError, FieldError, ValueError, IntegrityError) as error:
        raise CommandError(
            f"User {username!r} cannot be made from a username alone ({error}). "
            "Make the user another way, then generate keys without --create-user."
        ) from None


def _as_text(generated: GeneratedKeys, url: str) -> Iterator[str]:
    key = generated.instance
    name = getattr(key, "name", "")
    yield f"{printable(str(key.user.get_username()))}{f' ({name})' if name else ''}"
    yield f"  API key     {generated.api_key}"
    yield f"  API secret  {generated.api_secret}"
    if key.expires_at is not None:
        yield f"  Expires     {key.expires_at:%Y-%m-%d %H:%M %Z}"
    yield ""


def _as_json(generated: GeneratedKeys, url: str) -> Iterator[str]:
    key = generated.instance
    yield json.dumps(
        {
            "user": str(key.user.get_username()),
            "name": getattr(key, "name", ""),
            "api_key": generated.api_key,
            "api_secret": generated.api_secret,
        }
    )


def _as_env(generated: GeneratedKeys, url: str) -> Iterator[str]:
    # A username is not ours to trust in a file that a shell reads.
    yield "# " + json.dumps(str(generated.instance.user.get_username()))
    yield f"API_KEY={shlex.quote(generated.api_key)}"
    yield f"API_SECRET={shlex.quote(generated.api_secret)}"


def _as_curl(generated: GeneratedKeys, url: str) -> Iterator[str]:
    try:
        path = reverse("frappe_tokens:get_logged_user")
    except NoReverseMatch:
        path = "/api/method/frappe.auth.get_logged_user"
    header = shlex.quote(f"Authorization: token {generated.token}")
    yield f"curl -H {header} {shlex.quote(url.rstrip('/') + path)}"


_FORMATS: dict[str, Callable[[GeneratedKeys, str], Iterator[str]]] = {
    "text": _as_text,
    "json": _as_json,
    "env": _as_env,
    "curl": _as_curl,
}
