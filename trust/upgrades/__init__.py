"""Migrations of large tables, while the version before them serves requests."""

from __future__ import annotations

from typing import NamedTuple

APP = "frappe_tokens"
# What version 0.1.0 has.
BASE = "0002_system_manager"


class Server(NamedTuple):
    """A database to migrate.

    Attributes:
        variable: the environment variable with its address; "" for SQLite.
        address: the address without that variable.
        is_online: whether nothing may wait for a migration. On SQLite, writes wait.
        not_online: the migrations for which writes wait nevertheless.
    """

    title: str
    variable: str
    address: str
    is_online: bool
    not_online: frozenset[str] = frozenset()


SERVERS = {
    "sqlite": Server("SQLite", "", "", is_online=False),
    "postgresql": Server(
        "PostgreSQL", "POSTGRES_URL", "postgres://root@127.0.0.1:5432/test", is_online=True
    ),
    "mariadb": Server(
        "MariaDB",
        "MARIADB_URL",
        "mysql://root@127.0.0.1:3306/test",
        is_online=True,
        not_online=frozenset({"next_6_key_check"}),
    ),
}
