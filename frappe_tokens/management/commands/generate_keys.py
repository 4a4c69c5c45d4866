"""``manage.py generate_keys USER...``: an API key and secret for each user."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldError, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import IntegrityError, router, transaction
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from ...base_models import KeyState
from ...crypto import Secret
from ...db import in_batches
from ...keys import (
    BATCH_SIZE,
    GeneratedKeys,
    clean_name,
    find_user,
    generate_keys_for_users,
    lock_active_users,
    lock_users,
    set_up_pair,
)
from ...models import ApiKey
from ..key_options import add_key_options
from ..pairs import add_pair_arguments, describe, format_pair, has_pair, read_pair
from ..progress import progress_bar
from ..selection import moment, named_users, owner_of, username_of

DEFAULT_URL = "http://localhost:8000"


class Command(BaseCommand):
    help = (
        "Generate an API key and secret for each USER. An existing API key gets a new secret. The "
        "secrets are only printed once, and stored nowhere. With --from-env or --secret-file, "
        "store a pair that was chosen elsewhere."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("users", nargs="*", metavar="USER", help="Usernames.")
        parser.add_argument("--all-active", action="store_true", help="For every active user.")
        parser.add_argument(
            "--create-user",
            action="store_true",
            help="Create missing users, who can only use the API: they have no password.",
        )
        parser.add_argument(
            "--if-missing",
            action="store_true",
            help="Leave out users who have an unrevoked key of this name, even an expired one.",
        )
        add_pair_arguments(parser)
        add_key_options(parser)
        parser.add_argument(
            "--format",
            choices=["curl", "env", "json", "text"],
            default="text",
            help="json: an object per line; env: for a shell; curl: a request. Default: text.",
        )
        parser.add_argument(
            "--url",
            default=DEFAULT_URL,
            help=f"The site for --format curl. Default: {DEFAULT_URL}.",
        )

    def handle(self, *args: object, **options: Any) -> None:
        if not has_pair(options) and bool(options["users"]) == options["all_active"]:
            raise CommandError("Enter usernames, or use --all-active.")
        expires_in = options["expires_in"]
        names = ("name", "grace", "read_only", "self_rotate", "description", "metadata")
        policies = {name: options[name] for name in names}
        policies |= {"scopes": options["scope"], "allowed_ips": options["allow_ip"]}
        policies["expires_at"] = None if expires_in is None else timezone.now() + expires_in
        if has_pair(options):
            self._set_up_pair(options, policies)
            return
        # Text takes less memory than instances.
        texts: list[Secret] = []
        present: list[str] = []
        missing = _missing(options)
        try:
            # Secrets are printed after all of them are stored.
            with transaction.atomic(using=router.db_for_write(ApiKey)):
                users = lock_active_users() if options["all_active"] else _users(options, missing)
                if options["if_missing"]:
                    generate_keys_for_users([], **policies)  # refuses wrong options
                    users, present = _without_key(users, clean_name(options["name"]))
                with progress_bar(self.stderr, len(users), options["verbosity"]) as show:
                    for batch in in_batches(users, BATCH_SIZE):
                        generated = generate_keys_for_users(batch, **policies)
                        texts += [_formatted(keys, options) for keys in generated]
                        show(len(texts))
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        for text in present:
            self.stderr.write(text)
        for text in texts:
            self.stdout.write(text)
        if texts and options["format"] == "text":
            self.stderr.write("Store the secrets now. They aren't shown again.")
        if texts:
            self._check_url(options)

    @sensitive_variables()
    def _set_up_pair(self, options: Mapping[str, Any], policies: Mapping[str, Any]) -> None:
        if len(options["users"]) != 1 or options["all_active"] or options["if_missing"]:
            raise CommandError(
                "Enter one username with --from-env or --secret-file, and neither --all-active nor "
                "--if-missing."
            )
        api_key, api_secret = read_pair(options)
        missing = _missing(options)
        try:
            with transaction.atomic(using=router.db_for_write(ApiKey)):
                _users(options, missing)
                (user,) = named_users(options["users"])
                result = set_up_pair(user, api_key, api_secret, **policies)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        done, *warnings = describe(result)
        if options["format"] == "text":
            self.stdout.write(done)
        else:
            self.stderr.write(done)
            self.stdout.write(format_pair(result, options, _url(options)))
        for warning in warnings:
            self.stderr.write(warning)
        self._check_url(options)

    def _check_url(self, options: Mapping[str, Any]) -> None:
        if options["format"] == "curl" and not _path():
            self.stderr.write(
                "The URLs of frappe_tokens aren't included in this project. Replace the address "
                "with one of your own views."
            )


def _missing(options: Mapping[str, Any]) -> list[str]:
    """Return the names of the users to create.

    Call it before the transaction: in its snapshot, a user that another process creates at the same
    time could be missing.
    """
    names = dict.fromkeys(options["users"] if options["create_user"] else [])
    return [name for name in names if find_user(name) is None]


def _users(options: Mapping[str, Any], missing: list[str]) -> list[object]:
    """Create the ``missing`` users, lock the named ones, and return their primary keys."""
    lock_users([])  # SQLite: before the first read
    for username in missing:
        _create_user(username)
    users = named_users(options["users"], "Use --create-user to create them.")
    inactive = [user.get_username() for user in users if not user.is_active]
    if inactive:
        lines = [f"User {name!r} is inactive. Activate the user first." for name in inactive]
        raise CommandError("\n".join([*lines, "Nothing was generated."]))
    # Two names can belong to the same user if the database ignores case.
    pks = list(dict.fromkeys(user.pk for user in users))
    # Before the first batch, because batches are in the order of the arguments.
    lock_users(pks)
    return pks


def _without_key(users: list[Any], name: str) -> tuple[list[Any], list[str]]:
    """Return the locked ``users`` without a key of that name, and lines about the others."""
    present: dict[object, str] = {}
    for batch in in_batches(users):
        keys = ApiKey.objects.stored().filter(user__in=batch, name=name, live=True)
        for key in keys.select_related("user"):
            state = f" ({key.state})" if key.state != KeyState.ACTIVE else ""
            present[key.user_id] = f"{owner_of(key)} has the API key {key.api_key}{state} already."
    return [pk for pk in users if pk not in present], list(present.values())


def _create_user(username: str) -> None:
    model = get_user_model()
    try:
        field: Any = model._meta.get_field(model.USERNAME_FIELD)
        field.clean(username, None)
        with transaction.atomic():
            model._default_manager.create_user(**{model.USERNAME_FIELD: username})
    except ValidationError as error:
        problem = " ".join(error.messages)
        raise CommandError(f"{username!r} can't be a username: {problem}") from None
    except (TypeError, FieldError, ValueError, IntegrityError) as error:
        if find_user(username) is not None:
            return  # another process created the user
        raise CommandError(
            f"User {username!r} can't be created from a username alone ({error}). "
            "Create the user in another way, then generate keys without --create-user."
        ) from None


def _formatted(generated: GeneratedKeys, options: Mapping[str, Any]) -> Secret:
    key, username = generated.instance, username_of(generated.instance)
    if options["format"] == "json":
        fields = {"user": username, "name": getattr(key, "name", "")}
        fields |= {"api_key": generated.api_key, "api_secret": generated.api_secret}
        return Secret(json.dumps(fields))
    if options["format"] == "env":
        # A shell reads this file, and a username can't be trusted.
        return Secret(
            f"# {json.dumps(username)}\n"
            f"API_KEY={shlex.quote(generated.api_key)}\n"
            f"API_SECRET={shlex.quote(generated.api_secret)}"
        )
    if options["format"] == "curl":
        return Secret(f"curl -H {shlex.quote(generated.header)} {shlex.quote(_url(options))}")
    expires = "" if key.expires_at is None else f"  Expires     {moment(key.expires_at)}\n"
    return Secret(
        f"{owner_of(key)}\n"
        f"  API key     {generated.api_key}\n"
        f"  API secret  {generated.api_secret}\n"
        f"{expires}\n"
    )


def _url(options: Mapping[str, Any]) -> str:
    return str(options["url"]).rstrip("/") + (_path() or "/")


def _path() -> str:
    """Return the path of ``get_logged_user``; "" if the project doesn't include it."""
    try:
        return reverse("frappe_tokens:get_logged_user")
    except NoReverseMatch:
        return ""
