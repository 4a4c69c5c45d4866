"""docs/move/frappe.md, done step by step, from tables as a Frappe site has them."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from cryptography.fernet import Fernet, InvalidToken
from django.contrib.auth import get_user_model
from django.db import connection
from frappeclient import FrappeClient
from frappeclient.frappeclient import FrappeException

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

PAGE = "move/frappe"
ENCRYPTION_KEY = "8yUZIgAb2bDIEk2GsxVRS7QsDfFJgyX6cvbO0f3PqeU="

# As Frappe's frappe/database/*/framework_*.sql create it, and as its migration creates the table of
# the DocType User, of which these are the columns that concern keys.
TABLES = """
CREATE TABLE `__Auth` (
    `doctype` varchar(140) NOT NULL,
    `name` varchar(255) NOT NULL,
    `fieldname` varchar(140) NOT NULL,
    `password` text NOT NULL,
    `encrypted` {check} NOT NULL DEFAULT 0,
    PRIMARY KEY (`doctype`, `name`, `fieldname`)
) {options};
CREATE TABLE `tabUser` (
    `name` varchar(140) NOT NULL,
    `creation` {datetime} DEFAULT NULL,
    `modified` {datetime} DEFAULT NULL,
    `modified_by` varchar(140) DEFAULT NULL,
    `owner` varchar(140) DEFAULT NULL,
    `docstatus` {check} NOT NULL DEFAULT 0,
    `idx` {integer} NOT NULL DEFAULT 0,
    `enabled` {check} NOT NULL DEFAULT 1,
    `email` varchar(140) NOT NULL DEFAULT '',
    `user_type` varchar(140) DEFAULT 'System User',
    `restrict_ip` text,
    `api_key` varchar(140) DEFAULT NULL,
    `api_secret` text,
    PRIMARY KEY (`name`),
    UNIQUE (`api_key`)
) {options}
"""
_TYPES = {"check": "int(1)", "integer": "int(8)", "datetime": "datetime(6)", "options": ""}
TYPES = {
    "mysql": {
        **_TYPES,
        "options": "ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET=utf8mb4 "
        "COLLATE=utf8mb4_unicode_ci",
    },
    "postgresql": {
        "check": "smallint",
        "integer": "bigint",
        "datetime": "timestamp(6)",
        "options": "",
    },
    "sqlite": _TYPES,
}

ADA, GRACE = "ada@example.com", "grace@example.com"
# As Frappe generates them: 15 hexadecimal digits each.
PAIRS = {ADA: ("a1b2c3d4e5f6071", "0f1e2d3c4b5a697"), GRACE: ("001122334455667", "f" * 15)}
UNREADABLE, MISSING, DISABLED = "unreadable@example.com", "missing@example.com", "off@example.com"


def execute(sql, *parameters):
    """Execute a statement in Frappe's quotes, and return its rows."""
    sql = sql.replace("`", connection.ops.quote_name("x")[0])
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return list(cursor.fetchall()) if sql.startswith("SELECT") else []


def add_user(name, api_key=None, *, encrypted=None, enabled=1):
    """Add a user as Frappe does; ``encrypted`` is the secret in its table of passwords."""
    execute(
        "INSERT INTO `tabUser` (`name`, `email`, `enabled`, `api_key`, `api_secret`) "
        "VALUES (%s, %s, %s, %s, %s)",
        *(name, name, enabled, api_key, "*" * 15 if encrypted else None),
    )
    add_password("User", name, "password", "$pbkdf2-sha256$29000$made$up", 0)
    if encrypted:
        add_password("User", name, "api_secret", encrypted, 1)
        # Another DocType may have a document of the same name.
        add_password("EventConsumer", name, "api_secret", encrypt("another secret"), 1)


def add_password(*values):
    execute(
        "INSERT INTO `__Auth` (`doctype`, `name`, `fieldname`, `password`, `encrypted`) "
        "VALUES (%s, %s, %s, %s, %s)",
        *values,
    )


def encrypt(secret, key=ENCRYPTION_KEY):
    return Fernet(key).encrypt(secret.encode()).decode()


def stored():
    return [execute(f"SELECT * FROM `{table}` ORDER BY `name`") for table in ("tabUser", "__Auth")]


@pytest.fixture
def frappe_site(transactional_db, tmp_path):
    """The tables of a Frappe site, beside the test's, and its configuration."""
    tables = TABLES.format(**TYPES[connection.vendor]).split(";")
    for table in tables:
        execute(table.strip())
    try:
        for name, (api_key, secret) in PAIRS.items():
            add_user(name, api_key, encrypted=encrypt(secret))
        add_user(UNREADABLE, "1" * 15, encrypted=encrypt("2" * 15, Fernet.generate_key()))
        add_user(MISSING, "3" * 15)
        add_user(DISABLED, "4" * 15, encrypted=encrypt("5" * 15), enabled=0)
        add_user("Administrator")
        config = {"db_name": "_1bd3e0294da19198", "encryption_key": ENCRYPTION_KEY}
        (tmp_path / "site_config.json").write_text(json.dumps(config))
        yield
    finally:
        execute("DROP TABLE `tabUser`")
        execute("DROP TABLE `__Auth`")


class AuthenticationError(Exception):
    """As ``frappe.AuthenticationError``."""


class ValidationError(Exception):
    """As ``frappe.ValidationError``."""


def get_all(doctype, filters, fields):
    """Do what ``frappe.get_all`` does with the page's filters."""
    assert filters == {"enabled": 1, "api_key": ["is", "set"]}
    names = ", ".join(f"`{field}`" for field in fields)
    rows = execute(
        f"SELECT {names} FROM `tab{doctype}` WHERE `enabled` = 1 AND COALESCE(`api_key`, '') <> ''"
    )
    return [SimpleNamespace(**dict(zip(fields, row, strict=True))) for row in rows]


def get_decrypted_password(doctype, name, fieldname):
    """Do what ``frappe.utils.password.get_decrypted_password`` does."""
    rows = execute(
        "SELECT `password` FROM `__Auth` WHERE `doctype` = %s AND `name` = %s "
        "AND `fieldname` = %s AND `encrypted` = 1",
        *(doctype, name, fieldname),
    )
    if not rows:
        raise AuthenticationError("Password not found")
    try:
        return Fernet(ENCRYPTION_KEY).decrypt(rows[0][0]).decode()
    except InvalidToken:
        raise ValidationError("Encryption key is invalid") from None


def export_in_console(source, monkeypatch):
    module = ModuleType("frappe.utils.password")
    module.get_decrypted_password = get_decrypted_password
    for name in ("frappe", "frappe.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(source, {"frappe": SimpleNamespace(get_all=get_all)})  # noqa: S102 - our documentation


def export_from_database(source, command):
    """Run the page's command with settings that name the database, and return what it reports."""
    Path("export_keys.py").write_text(source)
    Path("mysite").mkdir()
    database = json.loads(json.dumps(connection.settings_dict, default=str))
    databases = {"default": database, "frappe": database}
    Path("mysite/settings.py").write_text(f"DATABASES = {databases!r}\n")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stderr


def exported():
    with open("keys.csv", newline="") as file:
        return sorted(csv.reader(file))


EXPORTED = sorted([["user", "api_key", "api_secret"], *([n, *pair] for n, pair in PAIRS.items())])


def test_export_in_the_console(frappe_site, reader, monkeypatch, capsys):
    console, _ = reader.python("Export the pairs")

    export_in_console(console, monkeypatch)

    assert exported() == EXPORTED
    assert set(capsys.readouterr().out.splitlines()) == {
        f"Left out: {UNREADABLE} (ValidationError)",
        f"Left out: {MISSING} (AuthenticationError)",
    }


@pytest.mark.process
def test_clients_move_and_return_with_the_same_pair(
    frappe_site, reader, settings, monkeypatch, live_server
):
    before = stored()

    # Set a pepper
    monkeypatch.setenv("TOKEN_PEPPER", "a pepper that is long enough for HMAC")
    peppers = reader.execute("Set a pepper")["FRAPPE_TOKENS"]
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, **peppers}

    # Export the pairs
    _, script = reader.python("Export the pairs")
    (command,) = (text for language, text in reader.section("Export the pairs") if language == "sh")
    reported = export_from_database(script, command)
    assert exported() == EXPORTED
    assert set(reported.splitlines()) == {f"Left out: {name}" for name in (UNREADABLE, MISSING)}

    # Create the users
    users = get_user_model().objects
    users.create_user(GRACE, password="theirs")
    reader.execute("Create the users")
    assert {user.username: user.has_usable_password() for user in users.all()} == {
        ADA: False,
        GRACE: True,
    }
    assert users.get(username=ADA).email == ADA

    # Import
    reader.run("Import")
    assert not Path("keys.csv").exists()
    assert all(key.secret_digest.startswith("hmac-sha256$") for key in ApiKey.objects.all())

    # Move the clients
    for name, (api_key, secret) in PAIRS.items():
        assert logged_user(live_server, api_key, secret) == name
    assert stored() == before

    # The way back: the site still has the pair, even after a rotation here.
    generate_keys(users.get(username=ADA))
    with pytest.raises(FrappeException, match="AuthenticationError"):
        logged_user(live_server, *PAIRS[ADA])
    assert stored() == before
    assert get_decrypted_password("User", ADA, "api_secret") == PAIRS[ADA][1]


def logged_user(live_server, api_key, secret):
    """Return whom the unmodified client of Frappe is."""
    client = FrappeClient(live_server.url, api_key=api_key, api_secret=secret)
    try:
        return client.get_api("frappe.auth.get_logged_user")
    finally:
        client.session.close()
