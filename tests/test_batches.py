from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import connection

from frappe_tokens.batches import in_batches, update_rows
from frappe_tokens.models import ApiKey

NOON = datetime(2030, 2, 28, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("count", "batches"),
    [(0, []), (1, [[0]]), (3, [[0, 1, 2]]), (4, [[0, 1, 2], [3]]), (6, [[0, 1, 2], [3, 4, 5]])],
)
def test_cuts_into_batches(count: int, batches: list[list[int]]) -> None:
    assert list(in_batches(range(count), 3)) == batches


@pytest.fixture
def rows(user: Any) -> list[ApiKey]:
    return [ApiKey.objects.create(user=user, name=f"{number}") for number in range(7)]


def test_writes_what_is_the_same_and_what_differs_with_one_statement(
    rows: list[ApiKey], statements: Callable[[], AbstractContextManager[list[str]]]
) -> None:
    for number, row in enumerate(rows):
        row.secret_digest = f"sha256${number}"
        row.expires_at = NOON + timedelta(microseconds=number) if number % 2 else None
        row.rate_limit = "5/minute"
        row.scopes = ["todo"]
        row.last_used_at = NOON  # not among the fields

    fields = ("secret_digest", "expires_at", "rate_limit", "scopes")
    with statements() as verbs:
        update_rows(rows, fields, "default")

    assert verbs == ["UPDATE"]
    for row in rows:
        stored = ApiKey.objects.get(pk=row.pk)
        assert [getattr(stored, name) for name in fields] == [getattr(row, name) for name in fields]
        assert stored.last_used_at is None


def test_leaves_other_rows_alone(rows: list[ApiKey]) -> None:
    for row in rows:
        row.secret_digest = f"sha256${row.pk}"

    update_rows(rows[:2], ["secret_digest"], "default")

    assert ApiKey.objects.filter(secret_digest="").count() == 5


@pytest.mark.parametrize(("parameters", "updates"), [(22, 1), (21, 2), (10, 3), (1, 7)])
def test_takes_more_statements_where_the_database_takes_fewer_parameters(
    rows: list[ApiKey],
    statements: Callable[[], AbstractContextManager[list[str]]],
    monkeypatch: pytest.MonkeyPatch,
    parameters: int,
    updates: int,
) -> None:
    for row in rows:
        row.secret_digest = f"sha256${row.pk}"
        row.rate_limit = "5/minute"
    monkeypatch.setattr(type(connection.features), "max_query_params", parameters)

    with statements() as verbs:
        update_rows(rows, ["secret_digest", "rate_limit"], "default")

    assert verbs == ["UPDATE"] * updates
    for row in rows:
        assert ApiKey.objects.get(pk=row.pk).secret_digest == row.secret_digest
