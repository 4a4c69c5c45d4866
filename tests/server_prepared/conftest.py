from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.backends.utils import CursorWrapper

from frappe_tokens import prepared, server_prepared

from ..groups import leave_out
from .clients import connected


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> Iterator[None]:
    """Nothing is known of the database yet, as when a process starts."""
    if connection.vendor == "sqlite":
        leave_out("database server", "SQLite prepares nothing in a server", in_ci_too=True)
    monkeypatch.setattr(prepared, "_prepared", {})
    server_prepared._shared.cache_clear()
    yield
    server_prepared._shared.cache_clear()


@pytest.fixture
def client() -> Iterator[Any]:
    with connected() as twin:
        yield twin


@pytest.fixture
def sent(client: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first words of the statements that are sent from now on."""
    first_words: list[str] = []
    execute = CursorWrapper.execute

    def note(cursor: Any, sql: str, params: Any = None) -> Any:
        first_words.append(" ".join(statement.split()[0] for statement in sql.split("; ")))
        return execute(cursor, sql, params)

    client.ensure_connection()
    monkeypatch.setattr(CursorWrapper, "execute", note)
    return first_words
