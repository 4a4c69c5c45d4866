import pytest
from django.db import connection

from frappe_tokens.lookup import statement as statements

from ..groups import leave_out
from .clients import connected


@pytest.fixture
def postgresql(transactional_db):
    if connection.vendor != "postgresql":
        leave_out("PostgreSQL", "is what psycopg prepares statements in", in_ci_too=True)


@pytest.fixture
def client(postgresql):
    """A connection that prepares what it has sent twice."""
    with connected(prepare_threshold=2) as twin:
        yield twin


@pytest.fixture
def chosen(postgresql, monkeypatch):
    """The connection of the site itself, which prepares what it has sent twice."""
    connection.close()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict["OPTIONS"], "prepare_threshold", 2)
        patch.setattr(statements, "_statements", {})
        yield connection
    connection.close()
