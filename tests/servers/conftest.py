import json
import shutil
import tempfile
from pathlib import Path

import pytest

from frappe_tokens.management.commands import check_token

from ..commands.test_check_token import check as check
from .processes import manage


@pytest.fixture(autouse=True)
def _time_to_start(monkeypatch):
    """A server's first response takes as long as Django's import, and a CGI script's every one.

    On a busy machine, that is longer than ``check_token`` waits.
    """
    monkeypatch.setattr(check_token, "TIMEOUT_SECONDS", 60)


@pytest.fixture(scope="session")
def folder():
    """A folder that other users of the machine can read, unlike pytest's."""
    path = Path(tempfile.mkdtemp(prefix="servers-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def site(folder):
    """A site of its own with one key: its database, its environment, and the token."""
    database = folder / "db"
    database.mkdir()
    environment = {
        "DATABASE_URL": f"sqlite:///{database / 'site.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "testproject.settings",
        "DJANGO_SECRET_KEY": "made up for the tests of servers",
    }
    manage(environment, "migrate", "--verbosity", "0")
    token = make_token(environment, "robot")
    # The server's own user writes there.
    database.chmod(0o777)
    (database / "site.sqlite3").chmod(0o666)
    return environment, token


def make_token(environment, username, *options):
    """The token of a new user."""
    made = manage(
        environment, "generate_keys", username, "--create-user", "--format", "json", *options
    )
    pair = json.loads(made)
    return f"{pair['api_key']}:{pair['api_secret']}"
