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


@pytest.fixture
def sorts(user, make_user):
    """Values of new keys that have in every column, one or the other, what is hard to write."""
    revoked = {"live": None, "revoked_at": NOON, "revoked_reason": "it leaked"}
    return [
        {"user": user},
        {"user": make_user("grace"), "expires_at": NOON + timedelta(microseconds=7)},
        {"user": user, "name": "100 % 'sure'; \\ \N{SNOWMAN}\N{GRINNING FACE} %s"},
        {"user": user, "name": "revoked", "revoked_by": user, **revoked},
        {"user": user, "name": "narrow", "scopes": ["todo", "\u00e9"], "read_only": True},
        {"user": user, "name": "near", "allowed_ips": ["2001:db8::/32"], "created_by": user},
        {"user": user, "name": "used", "last_used_at": NOON, "last_used_ip": "2001:db8::7"},
        {
            "user": user,
            "name": "rotated",
            "api_key": "exactly AS it is",
            "secret_digest": "sha256$new",
            "previous_digest": "sha256$old",
            "previous_expires_at": NOON,
            "previous_used_at": NOON,
            "rotated_at": NOON,
            "rate_limit": "5/minute",
        },
    ]


def written_by(insert, values):
    """What is stored then, but for the primary keys, which the instances have to have too."""
    new = [ApiKey(**{"api_key": f"key {n}", "created_at": NOON, **v}) for n, v in enumerate(values)]
    insert(new)
    rows = []
    for key in new:
        row = ApiKey.objects.filter(pk=key.pk).values().get()
        assert row == {field.attname: getattr(key, field.attname) for field in key._meta.fields}
        assert (key._state.adding, key._state.db) == (False, "default")
        rows.append({name: value for name, value in row.items() if name != "id"})
    ApiKey.objects.all().delete()
    return rows


def inserted(keys):
    insert_rows(keys, "api_key", "default")


def created(keys):
    ApiKey.objects.bulk_create(keys)


@pytest.mark.django_db
def test_inserts_what_bulk_create_does(sorts):
    assert written_by(inserted, sorts) == written_by(created, sorts)
