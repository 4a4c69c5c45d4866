"""Model fields."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


# CharField takes type arguments for the type checker only, and not at run time.
class ExactCharField(models.CharField):  # type: ignore[type-arg]
    """A CharField that compares exactly on every database, case and accents too.

    MySQL's and MariaDB's default collations do not: there a key in the wrong case would match.
    SQLite and PostgreSQL compare exactly by themselves.
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            # The character set goes with it: a table in utf8mb3 knows no utf8mb4 collation.
            parameters["type"] = f"{parameters['type']} CHARACTER SET utf8mb4"
            parameters["collation"] = "utf8mb4_bin"
        return parameters
