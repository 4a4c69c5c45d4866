"""Model fields."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


# CharField takes type arguments for the type checker only, and not at run time.
class UnicodeCharField(models.CharField):  # type: ignore[type-arg]
    """A CharField that takes every character on every database.

    MySQL's and MariaDB's do not where the database is in utf8mb3: there a client would keep itself
    out of the request log by an emoji.
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            parameters["type"] = f"{parameters['type']} CHARACTER SET utf8mb4"
        return parameters


class ExactCharField(UnicodeCharField):
    """A CharField that compares exactly on every database, case and accents too.

    MySQL's and MariaDB's default collations do not: there a key in the wrong case would match.
    SQLite and PostgreSQL compare exactly by themselves.
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            # A table in utf8mb3 knows it only because of the character set that goes with it.
            parameters["collation"] = "utf8mb4_bin"
        return parameters
