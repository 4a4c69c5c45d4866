"""The limits for the locks of a migration, as the page about deployment shows them."""

import os
import shlex

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from .documentation import blocks, page
from .groups import leave_out

SECTION = page("how-to/upgrade")
COMMANDS = [shlex.split(block) for block in blocks(SECTION, "sh")]


def variable_of(name):
    """What a command of the page sets the variable to."""
    (found,) = [word for words in COMMANDS for word in words if word.startswith(f"{name}=")]
    return found.partition("=")[2]


@pytest.fixture
def another_connection(db):
    """A connection that isn't open yet, with its own settings."""
    another = connection.copy()
    another.settings_dict = {
        **another.settings_dict,
        "OPTIONS": {**connection.settings_dict["OPTIONS"]},
    }
    yield another
    another.close()


def value_on(another, sql):
    with another.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def test_limit_reaches_postgresql(another_connection, monkeypatch):
    if connection.vendor != "postgresql":
        leave_out("database server", "the variable is PostgreSQL's", in_ci_too=True)
    another_connection.settings_dict["OPTIONS"].pop("options", None)
    monkeypatch.setenv("PGOPTIONS", variable_of("PGOPTIONS"))

    assert value_on(another_connection, "SHOW lock_timeout") == "2s"


def test_limit_reaches_mysql_and_mariadb(another_connection, monkeypatch):
    if connection.vendor != "mysql":
        leave_out("database server", "the setting is for MySQL and MariaDB", in_ci_too=True)
    another_connection.settings_dict["OPTIONS"] = settings_with_limit(
        monkeypatch, another_connection.settings_dict["OPTIONS"]
    )

    assert value_on(another_connection, "SELECT @@lock_wait_timeout") == 2


def test_setting_keeps_other_options(monkeypatch):
    options = settings_with_limit(monkeypatch, {"charset": "utf8mb4"})

    assert options == {"charset": "utf8mb4", "init_command": "SET SESSION lock_wait_timeout = 2"}


def settings_with_limit(monkeypatch, options):
    """The options of the database, with what the page adds to them."""
    monkeypatch.setenv("LOCK_WAIT_TIMEOUT", variable_of("LOCK_WAIT_TIMEOUT"))
    (example,) = blocks(SECTION, "python")
    settings = {"os": os, "DATABASES": {"default": {"OPTIONS": options}}}
    exec(example, settings)  # noqa: S102 - our own documentation
    return settings["DATABASES"]["default"]["OPTIONS"]


def test_migration_to_go_back_to_exists():
    (command,) = [words for words in COMMANDS if "frappe_tokens" in words]
    loader = MigrationLoader(None)

    assert loader.get_migration_by_prefix("frappe_tokens", command[-1])


def test_no_limit_by_default(monkeypatch):
    monkeypatch.delenv("LOCK_WAIT_TIMEOUT", raising=False)
    (example,) = blocks(SECTION, "python")
    settings = {"os": os, "DATABASES": {"default": {}}}
    exec(example, settings)  # noqa: S102 - our own documentation

    assert settings["DATABASES"] == {"default": {}}
