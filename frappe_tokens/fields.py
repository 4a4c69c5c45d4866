"""Model fields."""

from __future__ import annotations

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


# The stubs make CharField generic; at run time, subscripting it is a TypeError.
class UnicodeCharField(models.CharField):  # type: ignore[type-arg]
    """A CharField for all characters, including those outside utf8mb3 on MySQL and MariaDB.

    Otherwise, a request with an emoji could not be logged.
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, str | None]:
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            parameters["type"] = f"{parameters['type']} CHARACTER SET utf8mb4"
        return parameters


class ExactCharField(UnicodeCharField):
    """A CharField that compares exactly on every database, including case and accents.

    The default collations of MySQL and MariaDB don't: a key in the wrong case would match.
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, str | None]:
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            # It requires the character set above.
            parameters["collation"] = "utf8mb4_bin"
        return parameters
