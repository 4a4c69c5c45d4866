"""What the page about MySQL and MariaDB says holds on the one that the tests run on."""

import re

import pytest
from django.apps import apps
from django.db import connection

from frappe_tokens.fields import ExactCharField
from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import insertion, usage_of

from .documentation import blocks, page
from .groups import leave_out
from .request_log.conftest import an_entry

PAGE = page("reference/databases")

(EXACT,) = re.findall(r"`utf8mb4_bin`, which both have: the columns ([^.]+)\.", PAGE)


@pytest.fixture
def one_of_both(db):
    if connection.vendor != "mysql":
        leave_out("database server", "the page is about MySQL and MariaDB", in_ci_too=True)


def test_exact_columns_are_those_that_the_page_names():
    fields = (
        field
        for model in apps.get_app_config("frappe_tokens").get_models()
        for field in model._meta.fields
    )

    exact = {field.name for field in fields if isinstance(field, ExactCharField)}

    assert exact == set(re.findall("`(.+?)`", EXACT))


def test_exact_columns_have_the_collation_that_the_page_names(one_of_both):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() "
            "AND table_name LIKE 'frappe_tokens_%%' AND collation_name = 'utf8mb4_bin' "
            # MariaDB's JSON
            "AND data_type = 'varchar'"
        )
        found = {name for (name,) in cursor}

    assert found == set(re.findall("`(.+?)`", EXACT))


def test_example_of_the_settings_has_the_default_isolation_level(one_of_both, monkeypatch):
    monkeypatch.setenv("DATABASE_PASSWORD", "made up")
    (example,) = blocks(PAGE, "python")
    settings = {}
    exec(example, settings)  # noqa: S102 - our own documentation

    options = settings["DATABASES"]["default"]["OPTIONS"]

    assert options["isolation_level"] == connection.isolation_level


def test_hint_is_taken(one_of_both):
    """MariaDB reads it as a comment."""
    if connection.mysql_is_mariadb:
        leave_out("database server", "only MySQL sets a variable by a hint", in_ci_too=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT /*+ SET_VAR(lock_wait_timeout=1) */ @@lock_wait_timeout")
        assert cursor.fetchone() == (1,)


def test_usage_is_counted_in_the_default_mode_of_mysql(one_of_both):
    insertion.insert([an_entry()])
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@sql_mode")
        (before,) = cursor.fetchone()
        cursor.execute("SET SESSION sql_mode = %s", [f"{before},ONLY_FULL_GROUP_BY"])
        try:
            total = usage_of(ApiRequestLog.objects.all()).total
        finally:
            cursor.execute("SET SESSION sql_mode = %s", [before])

    assert total == 1
