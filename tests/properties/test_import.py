"""Files of ``import_keys``: stored as they are written, or not at all."""

import base64
import csv
import io
import sys
from types import SimpleNamespace

import pytest
from django.core.management import CommandError
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from frappe_tokens import crypto
from frappe_tokens.admin.csv_file import csv_file
from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

from ..commands import running
from .made import FRAPPE, GENERATED, IMPORTED, complete

pytestmark = pytest.mark.django_db

# Among them those that spreadsheets would take for formulas.
USERNAMES = ["ada", "@grace", "+1-555", "-", "two, words", '"quoted"', "'single", "=1+1", "é"]
# No two that a database takes for the same.
NAMES = st.sampled_from(["", "ci", "a, b", "日本", 'say "hi"', "x" * 100])
PAIRS = (GENERATED | FRAPPE | IMPORTED).filter(
    lambda pair: len(pair[1]) >= 12 and pair[1] != pair[0] and pair[1][:4] != "ftk_"
)
ROWS = st.lists(
    st.tuples(st.sampled_from(USERNAMES), PAIRS, NAMES),
    min_size=1,
    max_size=6,
    unique_by=(lambda row: row[1][0], lambda row: (row[0], row[2])),
)
COLUMNS = st.permutations(["user", "api_key", "api_secret", "name"])
DIALECTS = st.fixed_dictionaries(
    {
        "lineterminator": st.sampled_from(["\n", "\r\n", "\n\n"]),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    }
)


@pytest.fixture
def users(make_user):
    return {name: make_user(name) for name in USERNAMES}


@pytest.fixture
def load(monkeypatch):
    """Imports a file's content by the command, and returns what it prints."""

    def load(content):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        return running.run("import_keys", "-")[0]

    return load


def written(rows, columns, dialect):
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, **dialect)
    writer.writeheader()
    for user, (api_key, api_secret), name in rows:
        writer.writerow({"user": user, "api_key": api_key, "api_secret": api_secret, "name": name})
    return file.getvalue()


@given(ROWS, COLUMNS, DIALECTS, st.sampled_from(["", "\ufeff"]))
def test_pairs_are_imported_as_they_are_written(users, load, rows, columns, dialect, mark):
    with transaction.atomic():
        load((mark + written(rows, columns, dialect)).encode())

        stored = {key.api_key: key for key in ApiKey.objects.select_related("user")}
        transaction.set_rollback(True)
    assert len(stored) == len(rows)
    for user, (api_key, api_secret), name in rows:
        key = stored[api_key]
        assert (key.user.username, key.name) == (user, name)
        assert crypto.matches(api_secret, key.secret_digest)


BAD = [
    lambda user, key, secret: ("nobody", key, secret),
    lambda user, key, secret: (user, complete("fts_" + "a" * 43), secret),
    lambda user, key, secret: (user, f"{key}:", secret),
    lambda user, key, secret: (user, key, ""),
    lambda user, key, secret: (user, key, f"{secret} x"),
    lambda user, key, secret: (user, key, f"fts_{secret}"),
    lambda user, key, secret: (user, key, "\x7f" * 12),
]


@given(ROWS, COLUMNS, DIALECTS, st.data(), st.sampled_from(BAD))
def test_wrong_line_is_named_and_nothing_is_stored(
    users, load, rows, columns, dialect, data, damage
):
    place = data.draw(st.integers(0, len(rows) - 1))
    user, pair, name = rows[place]
    user, *pair = damage(user, *pair)
    lines = 2 if dialect["lineterminator"] == "\n\n" else 1
    content = written([*rows[:place], (user, pair, name), *rows[place + 1 :]], columns, dialect)

    with pytest.raises(CommandError) as raised:
        load(content.encode())

    message = str(raised.value)
    assert message.startswith(f"line {1 + lines * (place + 1)}: ")
    assert message.endswith("Nothing was imported.")
    assert not any(secret in message for _, (_, secret), _ in rows)
    assert not ApiKey.objects.exists()


PIECES = [
    b"user,api_key,api_secret",
    b"name",
    b",",
    b'"',
    b"\n",
    b"\r",
    b"ada",
    b"ftk_a",
    b"s" * 12,
]
PIECES += [b"\0", b"\xff", b"\xef\xbb\xbf", b"x" * 10_001, "é".encode()]
CONTENT = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=12).map(b"".join)


@given(CONTENT | CONTENT.map(b"user,api_key,api_secret\nada,ftk_a,".__add__))
def test_any_file_is_imported_or_refused(users, load, content):
    with transaction.atomic():
        try:
            said = load(content)
        except CommandError as error:
            said = str(error)
        stored = ApiKey.objects.count()
        transaction.set_rollback(True)
    assert said.startswith(f"Imported {stored} key") == bool(stored)
    assert said.endswith("Nothing was imported.") == (not stored)


@given(st.sets(st.sampled_from(USERNAMES), min_size=1))
def test_file_of_the_admin_can_be_imported(users, load, names):
    """On another site, for example. But no name is taken for another, which may be another user."""
    with transaction.atomic():
        generated = [(users[name], generate_keys(users[name])) for name in sorted(names)]
        content = base64.b64decode(csv_file(generated).link.partition(",")[2])
        ApiKey.objects.all().delete()
        try:
            load(content)
        except CommandError as error:
            refused = str(error).count("There is no user")
        else:
            refused = 0
        stored = {key.api_key: key for key in ApiKey.objects.all()}
        transaction.set_rollback(True)
    assert refused == sum(name.startswith(("@", "+", "-", "=")) for name in names)
    assert len(stored) == (0 if refused else len(names))
    for user, keys in generated if stored else ():
        assert stored[keys.api_key].user == user
        assert crypto.matches(keys.api_secret, stored[keys.api_key].secret_digest)
