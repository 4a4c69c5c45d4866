from datetime import datetime, timedelta, timezone

import pytest
from django.db import connection

from frappe_tokens.db import in_batches, insert_rows, update_rows
from frappe_tokens.models import ApiKey

NOON = datetime(2030, 2, 28, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("count", "batches"),
    [(0, []), (1, [[0]]), (3, [[0, 1, 2]]), (4, [[0, 1, 2], [3]]), (6, [[0, 1, 2], [3, 4, 5]])],
)
def test_cuts_into_batches(count, batches):
    assert list(in_batches(range(count), 3)) == batches


@pytest.fixture
def rows(user):
    return [ApiKey.objects.create(user=user, name=f"{number}") for number in range(7)]


def takes_no_more_than(parameters, patch):
    features = connection.features
    patch.setattr(type(features), "max_query_params", parameters)
    # Where Django has looked it up before.
    patch.delitem(vars(features), "max_query_params", raising=False)


def test_writes_what_is_the_same_and_what_differs_with_one_statement(rows, statements):
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


def test_leaves_other_rows_alone(rows):
    for row in rows:
        row.secret_digest = f"sha256${row.pk}"

    update_rows(rows[:2], ["secret_digest"], "default")

    assert ApiKey.objects.filter(secret_digest="").count() == 5


@pytest.mark.parametrize(("parameters", "updates"), [(22, 1), (21, 2), (10, 3), (1, 7)])
def test_takes_more_statements_where_the_database_takes_fewer_parameters(
    rows,
    statements,
    monkeypatch,
    parameters,
    updates,
):
    for row in rows:
        row.secret_digest = f"sha256${row.pk}"
        row.rate_limit = "5/minute"
    takes_no_more_than(parameters, monkeypatch)

    with statements() as verbs:
        update_rows(rows, ["secret_digest", "rate_limit"], "default")

    assert verbs == ["UPDATE"] * updates
    for row in rows:
        assert ApiKey.objects.get(pk=row.pk).secret_digest == row.secret_digest


def test_new_rows_have_their_primary_keys_on_every_database(user):
    new = [ApiKey(user=user, name=f"{number}", scopes=["todo"]) for number in range(3)]

    insert_rows(new, "api_key", "default")

    for key in new:
        assert (key._state.adding, key._state.db) == (False, "default")
        stored = ApiKey.objects.filter(pk=key.pk).values().get()
        assert stored == {f.attname: getattr(key, f.attname) for f in key._meta.fields}
