import codecs
import io
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from io import StringIO
from typing import Any
from unittest.mock import Mock

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.views.debug import ExceptionReporter

from frappe_tokens import crypto
from frappe_tokens.crypto import Secret
from frappe_tokens.keys import (
    GeneratedKeys,
    ImportedPair,
    Problem,
    generate_keys,
    import_keys,
    importing,
    revoke,
)
from frappe_tokens.management.commands import import_keys as import_keys_command
from frappe_tokens.models import ApiKey
from frappe_tokens.signals import keys_generated

from ..groups import leave_out
from ..test_parallel import at_once

NOW = datetime(2026, 11, 1, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)
WHO = "/api/method/frappe.auth.get_logged_user"
PEPPER = "a pepper that is long enough for HMAC"
CANARY = "Canary0123456789"

# As Frappe makes them: 15 hexadecimal digits each.
API_KEY, API_SECRET = "a1b2c3d4e5f6071", "0f1e2d3c4b5a697"

pytestmark = pytest.mark.django_db

MakeUser = Callable[..., Any]
Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path):
    """Writes a file and gives its path."""

    def write(text):
        path = tmp_path / "keys.csv"
        path.write_bytes(text.encode())
        return str(path)

    return write


def listed(*lines):
    return "".join(f"{line}\n" for line in ("user,api_key,api_secret", *lines))


def pair(number):
    """A pair like those of a Frappe site."""
    return f"{number:015x},{number + 2**40:015x}"


def run(*arguments):
    out, err = StringIO(), StringIO()
    call_command("import_keys", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def complaint(*arguments):
    with pytest.raises(CommandError) as raised:
        run(*arguments)
    assert raised.value.returncode == 1
    assert raised.value.__cause__ is None
    return str(raised.value)


def make_users(count):
    model = get_user_model()
    users = (model(username=f"user{number}") for number in range(count))
    model._default_manager.bulk_create(users, batch_size=1000)


# What is imported


def test_pair_of_a_frappe_site_authenticates_by_each_scheme(user, write, header_of):
    out, _ = run(write(listed(f"ada,{API_KEY},{API_SECRET}")))

    assert out == "Imported 1 key for 1 user.\n"
    header = header_of(GeneratedKeys(API_KEY, Secret(API_SECRET), ApiKey.objects.get()))
    answer = Client().get(WHO, headers={"authorization": header})
    assert answer.json() == {"message": "ada"}


@pytest.mark.parametrize(
    ("api_key", "api_secret"),
    [
        ("ftk_0123456789abcdef", crypto.generate_api_secret()),
        ("k", "!" * 12),
        ("~" * 64, "~" * 256),
        ("other-app/7", "with:colons:in:it"),
        ("KEY", '"quotes",\'and;more='),
    ],
    ids=["generated", "shortest", "longest", "colons", "quotes"],
)
def test_pair_of_another_app_authenticates(user, write, api_key, api_secret):
    quoted = api_secret.replace('"', '""')

    run(write(listed(f'ada,{api_key},"{quoted}"')))

    answer = Client().get(WHO, headers={"authorization": f"token {api_key}:{api_secret}"})
    assert answer.json() == {"message": "ada"}


@pytest.mark.parametrize("peppers", [[], [PEPPER]], ids=["plain", "peppered"])
def test_stores_the_digest_alone(user, write, settings, peppers):
    settings.FRAPPE_TOKENS = {"PEPPERS": peppers}

    run(write(listed(f"ada,{API_KEY},{API_SECRET}")))

    (row,) = ApiKey.objects.values()
    assert row["secret_digest"] == crypto.make_digest(API_SECRET)
    assert API_SECRET not in str(row)


@time_machine.travel(NOW, tick=False)
@pytest.mark.parametrize(
    ("lifetimes", "expires_at"),
    [
        ({}, None),
        ({"DEFAULT_LIFETIME": 90 * DAY}, NOW + 90 * DAY),
        ({"DEFAULT_LIFETIME": 90 * DAY, "MAX_LIFETIME": 30 * DAY}, NOW + 30 * DAY),
    ],
)
def test_imported_key_is_a_new_key_without_limits(user, write, settings, lifetimes, expires_at):
    settings.FRAPPE_TOKENS = lifetimes

    run(write(listed(f"ada,{API_KEY},{API_SECRET}")))

    key = ApiKey.objects.get()
    assert (key.user, key.name, key.api_key, key.live) == (user, "", API_KEY, True)
    assert (key.created_at, key.rotated_at, key.expires_at) == (NOW, NOW, expires_at)
    assert (key.scopes, key.allowed_ips, key.read_only, key.rate_limit) == ([], [], False, "")
    assert (key.created_by, key.last_used_at, key.previous_digest) == (None, None, "")


def test_columns_come_in_any_order_and_name_the_keys(make_user, write):
    make_user("ada")
    make_user("grace")
    lines = [
        "API_Secret, name ,user,api_key",
        f"{API_SECRET},ci,ada,{API_KEY}",
        f"{API_SECRET}0,,ada,{API_KEY}0",
        f'{API_SECRET}1,"  a, b ",grace,{API_KEY}1',
    ]

    out, _ = run(write("\n".join(lines)))

    assert out == "Imported 3 keys for 2 users.\n"
    assert set(ApiKey.objects.values_list("user__username", "name", "api_key")) == {
        ("ada", "ci", API_KEY),
        ("ada", "", f"{API_KEY}0"),
        ("grace", "a, b", f"{API_KEY}1"),
    }


def test_superusers_keys_are_imported(make_user, write):
    make_user("root", is_superuser=True)
    run(write(listed(f"root,{API_KEY},{API_SECRET}")))
    assert ApiKey.objects.get().user.is_superuser


def test_revoked_key_of_the_name_is_not_in_the_way(keys, write):
    revoke(keys.instance)
    run(write(listed(f"ada,{API_KEY},{API_SECRET}")))
    assert ApiKey.objects.get(live=True).api_key == API_KEY


def test_api_keys_that_differ_by_case_alone_are_two(make_user, write):
    make_user("ada")
    generate_keys(make_user("grace"))
    ApiKey.objects.update(api_key="ABCDEF")
    run(write(f"user,api_key,api_secret,name\nada,abcdef,{API_SECRET},\nada,Abcdef,{API_SECRET},x"))
    assert ApiKey.objects.count() == 3


def test_finds_users_as_the_user_model_does(user, write, monkeypatch):
    """Some user models, and some databases, do not tell upper from lower case."""

    def get_by_natural_key(username):
        return get_user_model().objects.get(username=username.lower())

    monkeypatch.setattr(get_user_model().objects, "get_by_natural_key", get_by_natural_key)

    run(write(listed(f"ADA,{API_KEY},{API_SECRET}")))

    assert ApiKey.objects.get().user == user


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeffuser,api_key,api_secret\nada,{API_KEY},{API_SECRET}\n",
        f"user,api_key,api_secret\r\nada,{API_KEY},{API_SECRET}\r\n\r\n",
        f"\n\nuser,api_key,api_secret\n\nada,{API_KEY},{API_SECRET}",
        f'"user","api_key","api_secret"\n"ada","{API_KEY}","{API_SECRET}"\n',
    ],
    ids=["byte order mark", "CR LF", "blank lines", "quotes"],
)
def test_reads_what_programs_write(user, write, text):
    run(write(text))
    assert ApiKey.objects.get().api_key == API_KEY


def test_username_may_hold_anything_that_text_may(make_user, write):
    make_user('zoë, "the\nfirst"')
    run(write(listed(f'"zoë, ""the\nfirst""",{API_KEY},{API_SECRET}')))
    assert ApiKey.objects.get().user.username == 'zoë, "the\nfirst"'


class Stdin:
    def __init__(self, buffer):
        self.buffer = buffer


def test_reads_the_standard_input(user, monkeypatch):
    text = listed(f"ada,{API_KEY},{API_SECRET}").encode()
    monkeypatch.setattr(sys, "stdin", Stdin(io.BytesIO(text)))
    assert run("-")[0] == "Imported 1 key for 1 user.\n"


def test_reads_a_pipe(user, monkeypatch):
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as end:
        end.write(listed(f"ada,{API_KEY},{API_SECRET}").encode())
    with os.fdopen(reader, "rb") as piped:
        monkeypatch.setattr(sys, "stdin", Stdin(piped))
        assert run("-")[0] == "Imported 1 key for 1 user.\n"


def test_dry_run_checks_all_and_writes_nothing(user, write):
    path = write(listed(f"ada,{API_KEY},{API_SECRET}"))
    with CaptureQueriesContext(connection) as captured:
        out, err = run(path, "--dry-run")
    assert out == "Checked 1 key for 1 user. Nothing was imported.\n"
    assert "PEPPERS" in err
    assert {query["sql"].split()[0] for query in captured} == {"SELECT"}

    path = write(listed(f"ada,{API_KEY},{API_SECRET}", f"nobody,{API_KEY}0,{API_SECRET}"))
    assert "line 3: There is no user 'nobody'." in complaint(path, "--dry-run")


@pytest.mark.parametrize(
    ("length", "peppers", "warned"),
    [(15, [], True), (31, [], True), (32, [], False), (15, [PEPPER], False)],
)
def test_warns_of_short_secrets_without_a_pepper(user, write, settings, length, peppers, warned):
    settings.FRAPPE_TOKENS = {"PEPPERS": peppers}

    _, err = run(write(listed(f"ada,{API_KEY},{'f' * length}")))

    expected = (
        "1 of the secrets are short. Weak imported secrets are only safe with a pepper: set "
        "FRAPPE_TOKENS['PEPPERS'].\n"
    )
    assert err == (expected if warned else "")


@pytest.mark.django_db(transaction=True)
def test_tells_of_every_key_once_it_is_stored(make_user, write, monkeypatch):
    monkeypatch.setattr(importing, "BATCH_SIZE", 2)
    make_users(5)
    told = []

    def receive(instance, by, rotated, **_):
        told.append((instance.user.username, instance.api_key, by, rotated))
        assert ApiKey.objects.count() == 5
        assert not connection.in_atomic_block

    keys_generated.connect(receive)
    try:
        run(write(listed(*(f"user{number},key{number},{API_SECRET}" for number in range(5)))))
    finally:
        keys_generated.disconnect(receive)

    assert told == [(f"user{number}", f"key{number}", None, False) for number in range(5)]


def test_tells_of_nothing_that_was_refused(user, write, django_capture_on_commit_callbacks):
    receive = Mock()
    keys_generated.connect(receive)
    try:
        with django_capture_on_commit_callbacks(execute=True) as callbacks:
            complaint(write(listed(f"ada,{API_KEY},{API_SECRET}", "nobody,k,{API_SECRET}")))
    finally:
        keys_generated.disconnect(receive)
    assert callbacks == []
    receive.assert_not_called()


def test_tells_of_nothing_that_is_gone_by_then(user, write, django_capture_on_commit_callbacks):
    receive = Mock()
    keys_generated.connect(receive)
    try:
        with django_capture_on_commit_callbacks() as callbacks:
            run(write(listed(f"ada,{API_KEY},{API_SECRET}")))
        ApiKey.objects.all().delete()
        for callback in callbacks:
            callback()
    finally:
        keys_generated.disconnect(receive)
    assert callbacks
    receive.assert_not_called()


# What is refused


# Fixed, as the names of the tests have it, which are the same in every process.
_BODY = "fts_" + "0123456789" * 4 + "abc"
WHOLE = _BODY + crypto.checksum(_BODY)
CUT_OFF = WHOLE[:-1]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (f"nobody,KEY,{CANARY}", "There is no user 'nobody'."),
        (f",KEY,{CANARY}", "There is no user ''."),
        (f"no\x1bbody,KEY,{CANARY}", r"There is no user 'no\x1bbody'."),
        (f"gone,KEY,{CANARY}", "'gone': The user is inactive. Activate the user first."),
        (f"ada,,{CANARY}", "The API key must have 1 to 64 printable ASCII characters"),
        (f"ada,a:b,{CANARY}", "The API key must have 1 to 64 printable ASCII characters"),
        (f"ada, KEY,{CANARY}", "The API key must have 1 to 64 printable ASCII characters"),
        (f"ada,KEY\x7f,{CANARY}", "The API key must have 1 to 64 printable ASCII characters"),
        (f"ada,ключ,{CANARY}", "The API key must have 1 to 64 printable ASCII characters"),
        (f"ada,{'k' * 65},{CANARY}", "The API key must have 1 to 64 printable ASCII characters"),
        (f"ada,{CANARY},{CANARY}", "The API key is a secret. Are the columns mixed up?"),
        (f"ada,{WHOLE},{CANARY}", "The API key is a secret. Are the columns mixed up?"),
        (f"ada,{CUT_OFF},{CANARY}", "The API key is a secret. Are the columns mixed up?"),
        (f"{WHOLE},KEY,{CANARY}", "The user is not a username. Are the columns mixed up?"),
        (f"{API_SECRET},KEY,{CANARY}", "The user is not a username. Are the columns mixed up?"),
        ("ada,KEY,", "The secret of API key KEY is missing."),
        ("ada,KEY,elevenchars", "The secret of API key KEY can be guessed"),
        (f"ada,KEY,{CANARY * 17}", "The secret of API key KEY must have at most 256 printable"),
        (f"ada,KEY, {CANARY}", "The secret of API key KEY must have at most 256 printable"),
        (f"ada,KEY,{CANARY} ", "The secret of API key KEY must have at most 256 printable"),
        (f"ada,KEY,{CANARY}é", "The secret of API key KEY must have at most 256 printable"),
        (f"ada,KEY,{CUT_OFF}", "The secret of API key KEY starts with fts_ like generated ones"),
        (f"ada,KEY,fts_{CANARY}", "its checksum is wrong. It was mistyped or cut off."),
        (f"ada,taken,{CANARY}", "API key taken already exists."),
        (f"grace,KEY,{CANARY}", "User 'grace' already has a live key with the name ''."),
        (f"first,KEY,{CANARY}", "User 'first' has a key with the same name on line 2."),
        (f"ada,first,{CANARY}", "API key first is already on line 2."),
        ("ada,KEY", "The number of fields is 2, and in the header 3."),
        (f"ada,KEY,{CANARY},x", "The number of fields is 4, and in the header 3."),
        (f'ada,KEY,"{CANARY}"x', "The line is not valid CSV: ',' expected after '\"'."),
        (f'ada,KEY,"{CANARY}', "The line is not valid CSV: unexpected end of data."),
        (f"ada,KEY,{CANARY}\0", "The line is not text in UTF-8."),
        (f"ada,KEY,{CANARY}\udcff", "The line is not text in UTF-8."),
        (f'ada,KEY,"{CANARY}\0', "The line is not text in UTF-8."),
        (f"ada,KEY,{CANARY * 700}", "The line is longer than 10,000 bytes."),
    ],
)
def test_refuses_a_wrong_line_with_its_number_and_imports_nothing(make_user, tmp_path, line, what):
    make_user("ada")
    make_user("first")
    make_user("gone", is_active=False)
    generate_keys(make_user("grace"))
    ApiKey.objects.update(api_key="taken")
    path = tmp_path / "keys.csv"
    text = listed(f"first,first,{CANARY}", line)
    path.write_bytes(text.encode(errors="surrogateescape"))

    said = complaint(str(path))

    assert said.startswith("line 3: ")
    assert what in said
    assert said.endswith("\nNothing was imported.")
    for secret in (CANARY, WHOLE, CUT_OFF, API_SECRET, "elevenchars"):
        assert secret not in said
    assert ApiKey.objects.get().api_key == "taken"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (f"grace,KEY,{CANARY},ci", "User 'grace' already has a live key with the name 'ci'."),
        (f"grace,KEY,{CANARY}, ci ", "User 'grace' already has a live key with the name 'ci'."),
        (f"ada,KEY,{CANARY},{'x' * 101}", "a name of at most 100 printable characters"),
        (f"ada,KEY,{CANARY},a\tb", "a name of at most 100 printable characters"),
    ],
)
def test_refuses_a_name_that_cannot_be_had(make_user, write, line, what):
    make_user("ada")
    generate_keys(make_user("grace"), name="ci")
    said = complaint(write(f"user,api_key,api_secret,name\n{line}\n"))
    assert said.startswith("line 2: ")
    assert what in said


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "There are no keys to import."),
        ("\ufeff", "There are no keys to import."),
        ("\n\n", "There are no keys to import."),
        (listed(), "There are no keys to import."),
        ("user,api_key\n", "line 1: The header must name the columns user, api_key, api_secret"),
        (f"ada,{API_KEY},{CANARY}\n", "line 1: The header must name the columns"),
        (f"user;api_key;api_secret\nada;k;{CANARY}\n", "line 1: The header must name the columns"),
        ("\nuser,user,api_key,api_secret\n", "line 2: The header names a column twice."),
        (
            "user,api_key,api_secret,roles,email\n",
            "line 1: The header names 'email', 'roles', which can't be imported.",
        ),
        (
            "user,api_key,api_secret\rada,k,s",
            "line 1: The line is not valid CSV: new-line character",
        ),
    ],
)
def test_refuses_a_file_that_is_no_list(db, write, text, what):
    said = complaint(write(text))
    assert said.startswith(what)
    assert CANARY not in said


def test_refuses_a_file_in_another_encoding(user, tmp_path):
    path = tmp_path / "keys.csv"
    text = listed(f"ada,{API_KEY},{CANARY}")
    path.write_bytes(codecs.BOM_UTF16_LE + text.encode("utf-16-le"))
    assert complaint(str(path)).startswith("line 1: The line is not text in UTF-8.")


def test_refuses_a_file_that_cannot_be_read(tmp_path):
    assert "none.csv' can't be read: No such file" in complaint(str(tmp_path / "none.csv"))
    assert "can't be read: Is a directory" in complaint(str(tmp_path))


def test_names_all_wrong_lines_up_to_twenty(user, write, monkeypatch):
    monkeypatch.setattr(importing, "BATCH_SIZE", 7)
    lines = [f"ada,KEY,{CANARY}", "ada,short", f"nobody,K,{CANARY}", f"ada,a:b,{CANARY}"]

    said = complaint(write(listed(*lines)))
    assert re.findall(r"^line \d+", said, re.MULTILINE) == ["line 3", "line 4", "line 5"]

    said = complaint(write(listed(*(f"nobody{number},K,{CANARY}" for number in range(30)))))
    numbers = re.findall(r"^line (\d+): There is no user", said, re.MULTILINE)
    assert numbers == [str(number) for number in range(2, 22)]


def test_numbers_lines_as_an_editor_does(make_user, write):
    make_user("two\nlines")
    lines = ["", f'"two\nlines",{API_KEY},{CANARY}', "", f'"no\nbody",KEY,{CANARY}', "ada"]
    said = complaint(write(listed(*lines)))
    assert re.findall(r"^line \d+", said, re.MULTILINE) == ["line 6", "line 8"]


def test_leaves_nothing_behind_when_the_file_changes_meanwhile(make_user):
    make_users(3)
    first = [ImportedPair(line, f"user{line}", f"key{line}", Secret(CANARY)) for line in range(3)]
    stranger = ImportedPair(2, "stranger", "key2", Secret(CANARY))
    make_user("stranger")

    for changed, what in [
        (first[:2], "The list changed while it was read."),
        ([*first[:2], stranger], "line 2: There is no user 'stranger'."),
        ([*first[:2], Problem(2, "It is wrong.")], "line 2: It is wrong."),
    ]:
        readings = iter([first, changed])

        def read(readings=readings):
            yield from next(readings)

        with pytest.raises(ValidationError) as raised:
            import_keys(read)
        assert [text for text in raised.value.messages if text.startswith(what)]
        assert not ApiKey.objects.exists()


def reading_that(act, *pairs):
    """Gives the pairs, and does something between the first reading and the second."""
    acts = iter([lambda: None, act])

    def read():
        next(acts)()
        yield from pairs

    return read


@pytest.mark.parametrize(
    ("act", "what"),
    [
        (lambda user: type(user).objects.update(is_active=False), "'ada': The user is inactive."),
        (lambda user: user.delete(), "There is no user 'ada'."),
        (lambda user: generate_keys(user), "User 'ada' already has a live key with the name ''."),
    ],
    ids=["deactivated", "deleted", "generated"],
)
def test_sees_what_happened_to_a_user_since_the_file_was_checked(user, act, what):
    read = reading_that(lambda: act(user), ImportedPair(2, "ada", API_KEY, Secret(CANARY)))
    with pytest.raises(ValidationError, match=f"line 2: {what}"):
        import_keys(read)
    assert not ApiKey.objects.filter(api_key=API_KEY).exists()


def test_refuses_cleanly_what_only_the_database_can_tell(make_user, write):
    """Another import of the same API key, for a user whom this one does not wait for."""
    make_user("ada")
    other = make_user("grace")
    path = write(listed(f"ada,{API_KEY},{CANARY}"))

    inserts = []

    def once(execute, sql, *more):
        if sql.startswith("INSERT"):
            inserts.append(sql)
            if len(inserts) == 1:
                ApiKey.objects.create(user=other, api_key=API_KEY)
        return execute(sql, *more)

    with connection.execute_wrapper(once):
        said = complaint(path)

    assert said.startswith("Keys changed in the meantime")
    assert not ApiKey.objects.exists()


def test_exits_with_1_on_the_command_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "manage.py", "import_keys", str(tmp_path / "none.csv")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.search(r"^CommandError: '.*none\.csv' can't be read: .*\.\n\Z", done.stderr, re.M)


@pytest.mark.parametrize("verb", ["SELECT", "INSERT"])
@pytest.mark.parametrize("debug", [True, False])
def test_error_page_about_a_failing_import_hides_the_secrets(
    make_user, write, settings, verb, debug
):
    make_user("ada")
    path = write(listed(f"ada,{API_KEY},{CANARY}"))

    def full(execute, sql, params, *more):
        if sql.startswith(verb) and "api_key" in sql:
            raise RuntimeError("the disk is full")
        return execute(sql, params, *more)

    settings.DEBUG = debug
    with connection.execute_wrapper(full), pytest.raises(RuntimeError) as raised:
        run(path)
    reporter = ExceptionReporter(RequestFactory().get("/"), raised.type, raised.value, raised.tb)
    page = reporter.get_traceback_html() + reporter.get_traceback_text()
    assert "import_keys" in page
    assert "the disk is full" in page
    assert CANARY not in page


# Many


@pytest.mark.parametrize("batches", [2, 8])
def test_statements_are_as_many_as_batches(
    write,
    statements,
    monkeypatch,
    batches,
):
    monkeypatch.setattr(importing, "BATCH_SIZE", 5)
    make_users(5 * batches)
    path = write(listed(*(f"user{number},{pair(number)}" for number in range(5 * batches))))
    with statements() as verbs:
        run(path)
    assert len(verbs) <= 12 * batches


def test_a_long_file_is_imported_or_nothing_of_it(write):
    # IMPORT_ROWS=100000 for as many as a large site has; where coverage is measured, that takes
    # some minutes.
    count = int(os.environ.get("IMPORT_ROWS", "5000"))
    make_users(count)
    lines = [f"user{number},{pair(number)}" for number in range(count)]

    wrong = [*lines[:-2], "nobody,wrong", lines[-1]]
    said = complaint(write(listed(*wrong)))
    assert said.startswith(f"line {count}: The number of fields is 2")
    assert not ApiKey.objects.exists()

    out, _ = run(write(listed(*lines)))
    assert out == f"Imported {count} keys for {count} users.\n"
    assert ApiKey.objects.count() == count
    last = ApiKey.objects.select_related("user").get(api_key=f"{count - 1:015x}")
    assert last.user.username == f"user{count - 1}"
    assert crypto.matches(f"{count - 1 + 2**40:015x}", last.secret_digest)


def test_holds_neither_the_secrets_nor_the_keys_of_a_long_file(write):
    secret = CANARY * 16  # 256 characters

    def peak(count):
        ApiKey.objects.all().delete()
        path = write(listed(*(f"user{number},k{number},{secret}" for number in range(count))))
        tracemalloc.start()
        try:
            run(path)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    make_users(2500)
    peak(300)  # fills what Django keeps
    # A secret takes up 300 bytes by itself, and an instance more than a thousand.
    assert peak(2500) - peak(500) < 2000 * 550


# The progress bar


def on_terminal(*arguments):
    """What reaches the terminal that the command's stderr is."""
    controller, terminal = os.openpty()
    with os.fdopen(controller, "rb", buffering=0) as screen, os.fdopen(terminal, "w") as err:
        call_command("import_keys", *arguments, stdout=StringIO(), stderr=err)
        # Read before the terminal is closed, which loses the rest on some systems.
        err.write("END")
        err.flush()
        shown = ""
        while not shown.endswith("END"):
            shown += screen.read(65_536).decode()
    return shown.removesuffix("END")


@pytest.mark.parametrize("end", ["", "\n"])
def test_shows_progress_of_checking_and_of_importing(write, settings, monkeypatch, end):
    settings.FRAPPE_TOKENS = {"PEPPERS": [PEPPER]}
    monkeypatch.setattr(import_keys_command, "BATCH_SIZE", 2)
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("LINES", "24")
    make_users(4)
    path = write(listed(*(f"user{number},{pair(number)}" for number in range(4)))[:-1] + end)

    assert on_terminal(path, "--dry-run", "--verbosity", "0") == ""
    shown = on_terminal(path)

    bars = [
        "[             ] 0/5",
        "[#####        ] 2/5",
        "[##########   ] 4/5",
        "[#############] 5/5",
        " " * 19,
    ]
    assert shown.split("\r") == ["", *bars, "", *bars, ""]


# At once


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
def test_two_imports_of_one_file_leave_one_set(write):
    make_users(60)
    path = write(listed(*(f"user{number},{pair(number)}" for number in range(60))))

    results, errors = at_once(lambda: run(path), lambda: run(path))

    assert [out for out, _ in results] == ["Imported 60 keys for 60 users.\n"]
    (error,) = errors
    assert isinstance(error, CommandError)
    assert str(error).startswith("line 2: ")
    assert ApiKey.objects.count() == 60


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
def test_two_imports_of_one_key_for_two_users_leave_one(make_user, tmp_path):
    if connection.vendor == "sqlite":
        leave_out("database server", "SQLite lets one write after the other", in_ci_too=True)
    paths = []
    for name in ("ada", "grace"):
        make_user(name)
        paths.append(tmp_path / name)
        paths[-1].write_text(listed(f"{name},{API_KEY},{API_SECRET}"))

    results, errors = at_once(*[lambda path=path: run(str(path)) for path in paths])

    assert len(results) == len(errors) == ApiKey.objects.count() == 1
    assert isinstance(errors[0], CommandError)


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
def test_imports_for_the_same_users_in_opposite_order(tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "BATCH_SIZE", 3)
    monkeypatch.setattr(importing, "LOCK_SIZE", 4)
    make_users(20)

    def listing(source, numbers):
        path = tmp_path / source
        lines = [f"user{number},{source}{number},{API_SECRET},{source}" for number in numbers]
        path.write_text("\n".join(["user,api_key,api_secret,name", *lines]))
        return str(path)

    numbers = list(range(20))
    paths = [listing(f"up{n}", numbers) for n in range(3)]
    paths += [listing(f"down{n}", numbers[::-1]) for n in range(3)]
    _, errors = at_once(*[lambda path=path: run(path) for path in paths])
    assert errors == []
    assert ApiKey.objects.count() == 6 * 20


def test_name_that_no_user_can_have_is_named_beside_those_that_they_have(user, write, monkeypatch):
    """Where users are named by a number, say."""
    monkeypatch.setattr(type(user), "USERNAME_FIELD", "id")
    said = complaint(write(listed(f"{user.pk},{pair(1)}", f"abc,{pair(2)}")))
    assert said.startswith("line 3: There is no user 'abc'.")
    assert "line 2" not in said
    run(write(listed(f"{user.pk},{pair(1)}")))
    assert ApiKey.objects.get().user == user
