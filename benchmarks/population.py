"""Inserts many users and keys with SQL, because the models would take too long."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import islice
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone

from frappe_tokens.base_models import AbstractApiKey
from frappe_tokens.keys import generate_keys

from . import contenders

BATCH = 5000


def username(number: int) -> str:
    """Return the name of a user by number, from 1."""
    return f"user-{number}"


def api_key(number: int) -> str:
    """Return that user's API key. They are spread over the index, like random ones."""
    return "ftk_" + hashlib.md5(username(number).encode(), usedforsecurity=False).hexdigest()[:16]


def make_users(count: int) -> None:
    """Create active users with the first ``count`` numbers."""
    users = get_user_model()
    first = users._default_manager.create_user(username(1))
    if connection.vendor == "postgresql":
        columns = _columns(users, without="username")
        _execute(
            f"INSERT INTO {_table(users)} (username, {columns}) "
            f"SELECT 'user-' || n, {columns} "
            f"FROM {_table(users)}, generate_series(2, %s) AS n WHERE id = %s",
            [count, first.pk],
        )
        return
    _put_in(users, (users(username=username(n)) for n in range(2, count + 1)))


def make_keys(model: type[AbstractApiKey], count: int) -> str:
    """Create a key for each of the first ``count`` users, and return the secret that they share.

    That the secrets are equal doesn't matter, because keys are looked up by the API key.
    """
    users = get_user_model()
    owner = users._default_manager.get(username=username(1))
    generated = generate_keys(contenders.make_user("ada"))
    shared = {
        "secret_digest": generated.instance.secret_digest,
        "last_used_at": timezone.now(),
    }
    first = model._default_manager.create(user=owner, api_key=api_key(1), **shared)
    if connection.vendor == "postgresql":
        columns = _columns(model, without="api_key", also_without="user_id", prefix="k.")
        _execute(
            f"INSERT INTO {_table(model)} (api_key, user_id, {columns.replace('k.', '')}) "
            f"SELECT 'ftk_' || substr(md5(u.username), 1, 16), u.id, {columns} "
            f"FROM {_table(model)} AS k, {_table(users)} AS u "
            "WHERE k.id = %s AND u.username LIKE 'user-%%' AND u.id <> %s ORDER BY u.id LIMIT %s",
            [first.pk, owner.pk, count - 1],
        )
    else:
        found = users._default_manager.filter(username__startswith="user-").exclude(pk=owner.pk)
        numbered = found.order_by("pk").values_list("username", "pk")[: count - 1]
        keys = (
            model(user_id=pk, api_key=api_key(int(name.removeprefix("user-"))), **shared)
            for name, pk in numbered.iterator()
        )
        _put_in(model, keys)
    return generated.api_secret


def analyse(*models: Any) -> None:
    """Have the database update its statistics, as it does itself after some time."""
    for model in models:
        table = _table(model)
        statements = {"postgresql": f"VACUUM ANALYZE {table}", "mysql": f"ANALYZE TABLE {table}"}
        with connection.cursor() as cursor:
            cursor.execute(statements.get(connection.vendor, f"ANALYZE {table}"))
            if connection.vendor == "mysql":
                cursor.fetchall()


def _put_in(model: Any, instances: Iterable[Any]) -> None:
    remaining = iter(instances)
    while batch := list(islice(remaining, BATCH)):
        model._base_manager.bulk_create(batch)


def _columns(model: Any, *, without: str, also_without: str = "", prefix: str = "") -> str:
    """Return the columns of a row to copy, without its primary key and these."""
    return ", ".join(
        prefix + connection.ops.quote_name(field.column)
        for field in model._meta.concrete_fields
        if not field.primary_key and field.column not in (without, also_without)
    )


def _table(model: Any) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _execute(sql: str, params: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
