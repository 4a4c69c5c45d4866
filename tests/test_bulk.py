"""Writing many rows with few statements."""

from datetime import timedelta

import pytest
from django.db import connection

from frappe_tokens.db import insert_rows, update_rows
from frappe_tokens.models import ApiKey

from .client import NOON

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(user):
    return [ApiKey.objects.create(user=user, name=f"{number}") for number in range(7)]


def test_given_fields_of_given_rows_are_written_with_one_statement(rows, statements):
    for number, row in enumerate(rows):
        row.secret_digest = f"sha256${number}"
        row.expires_at = NOON + timedelta(microseconds=number) if number % 2 else None
        row.rate_limit = "5/minute"
        row.scopes = ["todo"]
        row.last_used_at = NOON  # not among the fields

    fields = ("secret_digest", "expires_at", "rate_limit", "scopes")
    with statements() as verbs:
        update_rows(rows[1:], fields, "default")

    assert verbs == ["UPDATE"]
    for row in rows[1:]:
        stored = ApiKey.objects.get(pk=row.pk)
        assert [getattr(stored, name) for name in fields] == [getattr(row, name) for name in fields]
    assert not ApiKey.objects.exclude(last_used_at=None).exists()
    assert ApiKey.objects.get(pk=rows[0].pk).secret_digest == ""


@pytest.mark.parametrize(("parameters", "updates"), [(22, 1), (21, 2), (10, 3), (1, 7)])
def test_database_that_takes_few_parameters_gets_several_statements(
    rows, statements, monkeypatch, parameters, updates
):
    for row in rows:
        row.secret_digest = f"sha256${row.pk}"
        row.rate_limit = "5/minute"
    features = connection.features
    monkeypatch.setattr(type(features), "max_query_params", parameters)
    # Django may have looked it up before.
    monkeypatch.delitem(vars(features), "max_query_params", raising=False)

    with statements() as verbs:
        update_rows(rows, ["secret_digest", "rate_limit"], "default")

    assert verbs == ["UPDATE"] * updates
    for row in rows:
        assert ApiKey.objects.get(pk=row.pk).secret_digest == row.secret_digest


def test_new_rows_have_their_primary_keys_on_every_database(user):
    new = [ApiKey(user=user, name=f"{number}", scopes=["todo"]) for number in range(3)]

    insert_rows(new, "api_key")

    for key in new:
        assert (key._state.adding, key._state.db) == (False, "default")
        stored = ApiKey.objects.filter(pk=key.pk).values().get()
        assert stored == {f.attname: getattr(key, f.attname) for f in key._meta.fields}
