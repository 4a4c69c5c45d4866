"""Fills both tables in the database server, by the models that the migrations make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection
from django.utils import timezone

from frappe_tokens import crypto

USERS = 1_000
# Rows that one INSERT makes.
CHUNK = 1_000_000
KEYS_OF_LOAD = 40

# A permutation of the numbers below this prime, so that keys are spread over the index.
SPREAD = "(({n}) * 48271) %% 2147483647"


@dataclass(frozen=True, slots=True)
class Dialect:
    """SQL for numbers ``n``, for a text with leading zeros, and for a time in the past."""

    series: str
    padded: str
    ago: str


DIALECTS = {
    "postgresql": Dialect(
        "generate_series({first}::bigint, {last}) AS s(n)",
        "'{prefix}' || lpad(({value})::text, {width}, '0')",
        "now() - ({seconds}) * interval '1 second'",
    ),
    "mysql": Dialect(
        "(SELECT seq AS n FROM seq_{first}_to_{last}) AS s",
        "CONCAT('{prefix}', LPAD({value}, {width}, '0'))",
        "UTC_TIMESTAMP(6) - INTERVAL ({seconds}) SECOND",
    ),
    "sqlite": Dialect(
        "(WITH RECURSIVE numbers(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers "
        "WHERE n < {last}) SELECT n FROM numbers) AS s",
        "'{prefix}' || printf('%%0{width}d', {value})",
        "strftime('%%Y-%%m-%%d %%H:%%M:%%f000', 'now', '-' || ({seconds}) || ' seconds')",
    ),
}


def fill(apps: Any, keys: int, rows: int) -> None:
    """Make a thousand users, ``keys`` keys of theirs, and ``rows`` rows in the log.

    Args:
        apps: the models as the database has them now.
        keys: how many keys.
        rows: how many rows.
    """
    users = get_user_model()._default_manager
    users.bulk_create(users.model(username=f"user-{n}") for n in range(USERS))
    first = users.order_by("pk").values_list("pk", flat=True)[0]
    dialect = DIALECTS[connection.vendor]
    user = f"{first} + n %% {USERS}"
    api_key = dialect.padded.format(prefix="ftk_", value=SPREAD.format(n="n"), width=16)
    digest = dialect.padded.format(prefix="sha256$", value=SPREAD.format(n="n + 1"), width=64)
    key = apps.get_model("frappe_tokens", "ApiKey")
    _insert(
        key(created_at=timezone.now()),
        {
            "user_id": user,
            "api_key": api_key,
            "secret_digest": digest,
            "name": dialect.padded.format(prefix="key ", value="n", width=10),
        },
        keys,
    )
    api_key = dialect.padded.format(
        prefix="ftk_", value=SPREAD.format(n=f"n %% {keys} + 1"), width=16
    )
    log = apps.get_model("frappe_tokens", "ApiRequestLog")
    row = log(
        source="User",
        method="GET",
        path="/api/resource/ToDo",
        status=200,
        duration_ms=7,
        ip="192.0.2.7",
        user_agent="python-requests/2.32",
        outcome="accepted",
    )
    expressions = {"at": dialect.ago.format(seconds="n"), "user_id": user, "api_key": api_key}
    # In an empty table, an index is made faster once the rows are there.
    with connection.schema_editor() as editor:
        for index in log._meta.indexes:
            # remove_index() adds one for the foreign key to the user on MariaDB.
            editor.execute(index.remove_sql(log, editor))
    _insert(row, expressions, rows)
    with connection.schema_editor() as editor:
        for index in log._meta.indexes:
            editor.add_index(log, index)
    _analyse(key, log)


def make_credentials(apps: Any) -> dict[str, list[str]]:
    """Make the keys that the load uses, and return their tokens."""
    users = get_user_model()._default_manager
    key = apps.get_model("frappe_tokens", "ApiKey")._default_manager
    manager, ada = users.create_user("manager", is_staff=True), users.create_user("ada")
    manager.groups.add(Group.objects.get(name="System Manager"))

    def token(user: Any, number: int) -> str:
        secret = crypto.generate_api_secret()
        made = key.create(
            user_id=user.pk,
            name=f"load {number}",
            api_key=crypto.generate_api_key(),
            secret_digest=crypto.make_digest(secret),
        )
        return f"{made.api_key}:{secret}"

    good = [token(ada, number) for number in range(KEYS_OF_LOAD)]
    wrong = f"{good[0].partition(':')[0]}:{crypto.generate_api_secret()}"
    return {"manager": [token(manager, 0)], "good": good, "wrong": [wrong]}


def _insert(template: Any, expressions: Mapping[str, str], count: int) -> None:
    """Insert ``count`` rows like ``template``, but for these columns."""
    columns, selected, params = [], [], []
    for field in template._meta.concrete_fields:
        if field.primary_key:
            continue
        columns.append(connection.ops.quote_name(field.column))
        if field.attname in expressions:
            selected.append(expressions[field.attname])
        else:
            selected.append("%s")
            value = field.pre_save(template, add=True)
            params.append(field.get_db_prep_save(value, connection))
    table = connection.ops.quote_name(template._meta.db_table)
    for first, last in _chunks(count):
        series = DIALECTS[connection.vendor].series.format(first=first, last=last)
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) "
                f"SELECT {', '.join(selected)} FROM {series}",
                params,
            )


def _chunks(count: int) -> Iterator[tuple[int, int]]:
    for first in range(1, count + 1, CHUNK):
        yield first, min(first + CHUNK - 1, count)


def _analyse(*models: Any) -> None:
    for model in models:
        table = connection.ops.quote_name(model._meta.db_table)
        verb = {"postgresql": "VACUUM ANALYZE", "mysql": "ANALYZE TABLE"}
        with connection.cursor() as cursor:
            cursor.execute(f"{verb.get(connection.vendor, 'ANALYZE')} {table}")
            if connection.vendor == "mysql":
                cursor.fetchall()
