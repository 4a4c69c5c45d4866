"""Parallel calls in orders that a seed repeats, and what must hold after them."""

from __future__ import annotations

from typing import NamedTuple

NO_ERROR = "No user sees an error, or a refusal that the other calls don't explain"
NO_REVIVAL = "A revoked key stays revoked, and a user has at most one live key of a name"
NO_STALE_HIT = "A request after a change is decided by what is stored, also with a cache"
LAST_WINS = "The secret that was committed last works"
NO_ORPHANS = "A deleted user leaves no row, and no other row is lost"


class Server(NamedTuple):
    """A database to race on.

    Attributes:
        variable: the environment variable with its address; "" for SQLite.
        address: the address without that variable.
        settings: further environment variables, for ``settings.py``.
    """

    title: str
    variable: str
    address: str
    settings: dict[str, str]


_POSTGRESQL = ("POSTGRES_URL", "postgres://root@127.0.0.1:5432/test")
_MARIADB = ("MARIADB_URL", "mysql://root@127.0.0.1:3306/test")

SERVERS = {
    "sqlite": Server("SQLite", "", "", {}),
    "postgresql": Server("PostgreSQL", *_POSTGRESQL, {}),
    "mariadb": Server("MariaDB", *_MARIADB, {}),
    "mariadb-repeatable-read": Server(
        "MariaDB, *repeatable read*", *_MARIADB, {"RACES_ISOLATION": "repeatable read"}
    ),
}
