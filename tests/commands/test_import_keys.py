import os
import re
import sys
from datetime import datetime, timedelta, timezone
from functools import partial
from types import SimpleNamespace

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management import CommandError
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from frappe_tokens import crypto
from frappe_tokens.crypto import Secret
from frappe_tokens.keys import ImportedPair, generate_keys, import_keys, importing, revoke
from frappe_tokens.models import ApiKey
from frappe_tokens.signals import keys_generated

from ..conftest import receiving
from ..test_parallel import at_once
from . import running

NOW = datetime(2026, 11, 1, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)
PEPPER = "a pepper that is long enough for HMAC"
CANARY = "Canary0123456789"

# As Frappe generates them: 15 hexadecimal digits each.
API_KEY, API_SECRET = "a1b2c3d4e5f6071", "0f1e2d3c4b5a697"

HEADER = "user,api_key,api_secret"
ADA = f"ada,{API_KEY},{API_SECRET}"

run = partial(running.run, "import_keys")
error_of = partial(running.error_of, "import_keys")

pytestmark = pytest.mark.django_db


@pytest.fixture
def write(tmp_path):
    """Writes lines below a header to a file, and returns its path."""

    def write(*lines, header=HEADER, name="keys.csv"):
        path = tmp_path / name
        text = "".join(f"{line}\n" for line in (header, *lines))
        path.write_bytes(text.encode(errors="surrogateescape"))
        return str(path)

    return write


def make_users(count):
    model = get_user_model()
    users = (model(username=f"user{number}") for number in range(count))
    model._default_manager.bulk_create(users, batch_size=1000)


def lines_for(count):
    """A pair like those of a Frappe site for each user."""
    return [f"user{number},{number:015x},{number + 2**40:015x}" for number in range(count)]


@pytest.mark.parametrize(
    ("api_key", "api_secret"),
    [
        (API_KEY, API_SECRET),
        ("ftk_0123456789abcdef", crypto.generate_api_secret()),
        ("k", "!" * 12),
        ("~" * 64, "~" * 256),
        ("other-app/7", "with:colons:in:it"),
        ("KEY", '"quotes",\'and;more='),
    ],
    ids=["Frappe", "generated", "shortest", "longest", "colons", "quotes"],
)
def test_imported_pair_authenticates(user, client, write, api_key, api_secret):
    quoted = api_secret.replace('"', '""')

    assert run(write(f'ada,{api_key},"{quoted}"'))[0] == "Imported 1 key for 1 user.\n"

    header = f"token {api_key}:{api_secret}"
    response = client.get(
        "/api/method/frappe.auth.get_logged_user", headers={"authorization": header}
    )
    assert response.json() == {"message": "ada"}


@time_machine.travel(NOW, tick=False)
@pytest.mark.parametrize(
    ("options", "expires_at"),
    [
        ({}, None),
        ({"PEPPERS": [PEPPER], "DEFAULT_LIFETIME": 90 * DAY}, NOW + 90 * DAY),
        ({"DEFAULT_LIFETIME": 90 * DAY, "MAX_LIFETIME": 30 * DAY}, NOW + 30 * DAY),
    ],
)
def test_imported_key_is_a_new_key_without_limits(user, write, settings, options, expires_at):
    settings.FRAPPE_TOKENS = options

    run(write(ADA))

    key = ApiKey.objects.get()
    assert key.secret_digest == crypto.make_digest(API_SECRET)
    assert (key.user, key.name, key.api_key, key.live) == (user, "", API_KEY, True)
    assert (key.created_at, key.rotated_at, key.expires_at) == (NOW, NOW, expires_at)
    assert (key.scopes, key.allowed_ips, key.read_only, key.rate_limit) == ([], [], False, "")
    assert (key.created_by, key.last_used_at, key.previous_digest) == (None, None, "")


def test_columns_come_in_any_order_and_name_the_keys(make_user, write):
    make_user("ada")
    make_user("grace", is_superuser=True)
    header = "API_Secret, name ,user,api_key"
    lines = [
        f"{API_SECRET},ci,ada,{API_KEY}",
        f"{API_SECRET}0,,ada,{API_KEY}0",
        f'{API_SECRET}1,"  a, b ",grace,{API_KEY}1',
    ]

    out, _ = run(write(*lines, header=header))
    error = error_of(write(f"{API_SECRET}, ci ,ada,KEY", f"{API_SECRET},a\tb,ada,K", header=header))

    assert out == "Imported 3 keys for 2 users.\n"
    assert set(ApiKey.objects.values_list("user__username", "name", "api_key")) == {
        ("ada", "ci", API_KEY),
        ("ada", "", f"{API_KEY}0"),
        ("grace", "a, b", f"{API_KEY}1"),
    }
    assert "line 2: User 'ada' already has a live key with the name 'ci'." in error
    assert "line 3: Enter a name of at most 100 printable characters" in error


def test_revoked_key_does_not_block_its_name_nor_api_keys_in_another_case(keys, write):
    revoke(keys.instance)
    ApiKey.objects.update(api_key="ABCDEF")

    run(write(f"ada,abcdef,{API_SECRET},", f"ada,Abcdef,{API_SECRET},y", header=f"{HEADER},name"))

    live = ApiKey.objects.filter(live=True).values_list("api_key", "name")
    assert set(live) == {("abcdef", ""), ("Abcdef", "y")}


def test_usernames_may_be_numbers(user, write, monkeypatch):
    monkeypatch.setattr(type(user), "USERNAME_FIELD", "id")
    line = ADA.replace("ada", str(user.pk))

    assert error_of(write(line, f"abc,KEY,{CANARY}")).startswith("line 3: There is no user 'abc'.")
    run(write(line))

    assert ApiKey.objects.get().user == user


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{HEADER}\n{ADA}\n",
        f"{HEADER}\r\n{ADA}\r\n\r\n",
        f"\n\n{HEADER}\n\n{ADA}",
        f'"user","api_key","api_secret"\n"ada","{API_KEY}","{API_SECRET}"\n',
    ],
    ids=["byte order mark", "CR LF", "blank lines", "quotes"],
)
def test_reads_variants_of_csv(user, tmp_path, text):
    path = tmp_path / "keys.csv"
    path.write_bytes(text.encode())

    run(str(path))

    assert ApiKey.objects.get().api_key == API_KEY


def test_reads_a_pipe(user, monkeypatch):
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as end:
        end.write(f"{HEADER}\n{ADA}\n")
    with os.fdopen(reader, "rb") as pipe:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=pipe))
        assert run("-")[0] == "Imported 1 key for 1 user.\n"


def test_dry_run_checks_everything_and_writes_nothing(user, write):
    path = write(ADA)
    with CaptureQueriesContext(connection) as captured:
        out, err = run(path, "--dry-run")
    assert out == "Checked 1 key for 1 user. Nothing was imported.\n"
    assert "PEPPERS" in err
    assert {query["sql"].split()[0] for query in captured} == {"SELECT"}

    path = write(ADA, f"nobody,KEY,{API_SECRET}")
    assert "line 3: There is no user 'nobody'." in error_of(path, "--dry-run")


@pytest.mark.parametrize(
    ("length", "peppers", "warning"),
    [
        (31, [], "1 of the secrets are short. Weak imported secrets are only safe with a pepper"),
        (32, [], ""),
        (15, [PEPPER], ""),
    ],
)
def test_warns_about_short_secrets_without_a_pepper(
    user, write, settings, length, peppers, warning
):
    settings.FRAPPE_TOKENS = {"PEPPERS": peppers}

    _, err = run(write(f"ada,{API_KEY},{'f' * length}"))

    assert err.startswith(warning)
    assert bool(err) == bool(warning)


@pytest.mark.parametrize("prefix", ["fts_", "another_"])
def test_secret_in_a_wrong_column_gets_into_no_statement(user, write, settings, prefix):
    secret = crypto.generate_api_secret()
    settings.FRAPPE_TOKENS = {"SECRET_PREFIX": prefix}

    for line in (
        f"ada,{secret},ftk_0123456789abcdef",
        f"{secret},ada,ftk_0123456789abcdef",
        f"{secret},{API_KEY},{API_SECRET}",
        f"ftk_0123456789abcdef:{secret},{API_KEY},{API_SECRET}",
    ):
        with CaptureQueriesContext(connection) as captured:
            assert "Are the " in error_of(write(line))
        assert secret not in repr(captured.captured_queries)


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OperationalError("deadlock"), CommandError), (BrokenPipeError(), BrokenPipeError)],
)
def test_failure_to_write_is_not_blamed_on_the_file(user, write, monkeypatch, error, raised):
    def fail(*args):
        raise error

    monkeypatch.setattr(importing, "insert_rows", fail)

    with pytest.raises(raised) as caught:
        run(write(ADA))

    assert raised is not CommandError or "Import again." in str(caught.value)
    assert not ApiKey.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("returns_ids", [True, False])
def test_announces_every_key(write, monkeypatch, returns_ids):
    monkeypatch.setattr(importing, "BATCH_SIZE", 2)
    if not returns_ids:
        features = type(connection.features)
        monkeypatch.setattr(features, "can_return_rows_from_bulk_insert", False)
    make_users(5)

    with receiving(keys_generated, sender=ApiKey) as calls:
        run(write(*lines_for(5)))

    seen = [(call["instance"].user.username, call["by"], call["rotated"]) for call in calls]
    assert seen == [(f"user{number}", None, False) for number in range(5)]


# Fixed, because each process must collect tests with the same names.
_BODY = "fts_" + "0123456789" * 4 + "abc"
COMPLETE = _BODY + crypto.checksum(_BODY)
CUT_OFF = COMPLETE[:-1]

IS_SECRET = "The API key is a secret. Are the two mixed up?"
IS_NO_USER = "The user is not a username. Are the columns mixed up?"
KEY_FORM = "The API key must have 1 to 64 printable ASCII characters"
SECRET_FORM = "The secret must have at most 256 printable"
GUESSED = "The secret can be guessed"
CHECKSUM = "The secret starts with fts_ like generated ones"
NOT_TEXT = "The line is not valid CSV: it is not text in UTF-8."


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f"nobody,KEY,{CANARY}", "There is no user 'nobody'."),
        (f"no\x1bbody,KEY,{CANARY}", r"There is no user 'no\x1bbody'."),
        (f"\ufeffada,KEY,{CANARY}", r"There is no user '\ufeffada'."),
        (f"gone,KEY,{CANARY}", "'gone': The user is inactive. Activate the user first."),
        *((f"{u},KEY,{CANARY}", IS_NO_USER) for u in (COMPLETE, f"{API_KEY}:{API_SECRET}")),
        *((f"ada,{key},{CANARY}", KEY_FORM) for key in ("", "a:b", "ключ", "k" * 65)),
        *((f"ada,{key},{CANARY}", IS_SECRET) for key in (CANARY, COMPLETE)),
        (f"ada,{CANARY},ftk_a_longer_name", IS_SECRET),
        (f"ada,{CANARY},short", GUESSED),
        ("ada,KEY,", "The secret is missing."),
        ("ada,KEY,elevenchars", GUESSED),
        *((f"ada,KEY,{secret}", SECRET_FORM) for secret in (CANARY * 17, f"{CANARY}é")),
        (f"ada,KEY,{CUT_OFF}", CHECKSUM),
        (f"ada,taken,{CANARY}", "API key taken already exists."),
        (f"grace,KEY,{CANARY}", "User 'grace' already has a live key with the name ''."),
        (f"first,KEY,{CANARY}", "User 'first' has a key with the same name on line 2."),
        (f"ada,first,{CANARY}", "API key first is already on line 2."),
        ("ada,KEY", "There are 2 fields, but 3 in the header."),
        (f'ada,KEY,"{CANARY}"x', "The line is not valid CSV: ',' expected after '\"'."),
        (f'ada,KEY,"{CANARY}', "The line is not valid CSV: unexpected end of data."),
        *((f"ada,KEY,{CANARY}{text}", NOT_TEXT) for text in ("\0", "\udcff")),
        (f"ada,KEY,{CANARY * 700}", "The line is not valid CSV: it is longer than 10,000 bytes."),
    ],
)
def test_refuses_a_wrong_line_with_its_number_and_imports_nothing(make_user, write, line, problem):
    make_user("ada")
    make_user("first")
    make_user("gone", is_active=False)
    generate_keys(make_user("grace"))
    ApiKey.objects.update(api_key="taken")

    error = error_of(write(f"first,first,{CANARY}", line))

    assert error.startswith(f"line 3: {problem}")
    assert error.endswith("\nNothing was imported.")
    for secret in (CANARY, COMPLETE, CUT_OFF, API_SECRET, "elevenchars"):
        assert secret not in error
    assert ApiKey.objects.get().api_key == "taken"


WRONG_HEADER = "line 1: The header must name the columns user, api_key, api_secret"


@pytest.mark.parametrize(
    ("header", "line", "problem"),
    [
        ("", "", "There are no keys to import."),
        (HEADER, "", "There are no keys to import."),
        ("user,api_key", "ada,k", WRONG_HEADER),
        (f"ada,{API_KEY},{CANARY}", "", WRONG_HEADER),
        ("user;api_key;api_secret", f"ada;k;{CANARY}", WRONG_HEADER),
        ("user,user,api_key,api_secret", f"ada,ada,k,{CANARY}", WRONG_HEADER),
        ("user,api_key,api_secret,roles", f"ada,k,{CANARY},admin", WRONG_HEADER),
        (f"{HEADER}\rada,k,{CANARY}", "", "line 1: The line is not valid CSV: new-line character"),
    ],
)
def test_refuses_a_file_that_is_not_a_list_of_keys(write, header, line, problem):
    error = error_of(write(line, header=header))
    assert error.startswith(problem)
    assert CANARY not in error


def test_refuses_a_file_that_cannot_be_read(tmp_path):
    assert "none.csv' can't be read: No such file" in error_of(str(tmp_path / "none.csv"))
    assert "can't be read: Is a directory" in error_of(str(tmp_path))


def test_reports_all_wrong_lines_up_to_twenty(user, write, monkeypatch):
    monkeypatch.setattr(importing, "BATCH_SIZE", 7)

    lines = [f"ada,KEY,{CANARY}", "ada,short", f"nobody,K,{CANARY}", f"ada,a:b,{CANARY}"]
    error = error_of(write(*lines))
    assert re.findall(r"^line \d+", error, re.MULTILINE) == ["line 3", "line 4", "line 5"]

    error = error_of(write(*lines_for(30)))
    numbers = re.findall(r"^line (\d+): There is no user", error, re.MULTILINE)
    assert numbers == [str(number) for number in range(2, 22)]


def test_numbers_lines_like_an_editor(make_user, write):
    make_user('two\n"lines"')
    lines = ["", f'"two\n""lines""",{API_KEY},{CANARY}', "", f'"no\nbody",KEY,{CANARY}', "ada"]

    error = error_of(write(*lines))

    assert re.findall(r"^line \d+", error, re.MULTILINE) == ["line 6", "line 8"]


@pytest.mark.parametrize(
    "change",
    [
        lambda user: type(user).objects.filter(pk=user.pk).update(is_active=False),
        lambda user: user.delete(),
        generate_keys,
        lambda user: ApiKey.objects.create(user=user, api_key=API_KEY, name="other"),
    ],
    ids=["deactivated", "deleted", "same name", "same API key"],
)
def test_refuses_keys_that_became_impossible_after_the_check(user, make_user, change):
    make_user("grace")
    pairs = [
        ImportedPair(2, "grace", "graces", Secret(CANARY)),
        ImportedPair(3, "ada", API_KEY, Secret(CANARY)),
    ]
    with pytest.raises(ValidationError, match="Keys or users changed in the meantime"):
        import_keys(pairs, show_progress=lambda line: change(user))
    assert not ApiKey.objects.filter(api_key__in=[API_KEY, "graces"], name="").exists()


@pytest.mark.parametrize("text", ["\0", "\udcff"])
def test_refuses_text_that_databases_do_not_accept(user, text):
    pairs = [
        ImportedPair(1, f"ada{text}", API_KEY, Secret(CANARY)),
        ImportedPair(2, "ada", f"{API_KEY}{text}", Secret(CANARY)),
        ImportedPair(3, "ada", API_KEY, Secret(CANARY), f"ci{text}"),
    ]
    with pytest.raises(ValidationError) as raised:
        import_keys(pairs)
    assert [message[:7] for message in raised.value.messages] == ["line 1:", "line 2:", "line 3:"]


@pytest.mark.parametrize("verb", ["SELECT", "INSERT"])
@pytest.mark.parametrize("debug", [True, False])
def test_error_page_about_a_failing_import_hides_the_secrets(user, write, settings, verb, debug):
    settings.DEBUG = debug
    path = write(f"ada,{API_KEY},{CANARY}")

    with running.failing(verb, "api_key"), pytest.raises(RuntimeError) as raised:
        run(path)

    page = running.error_page(raised)
    assert "import_keys" in page
    assert "the disk is full" in page
    assert CANARY not in page


def test_long_file_is_imported_completely_or_not_at_all(write, statements):
    # IMPORT_ROWS=100000 for as many as a large site has. With coverage, that takes minutes.
    count = int(os.environ.get("IMPORT_ROWS", "2000"))
    make_users(count)
    lines = lines_for(count)

    error = error_of(write(*lines[:-2], "nobody,wrong", lines[-1]))
    assert error.startswith(f"line {count}: There are 2 fields")
    assert not ApiKey.objects.exists()

    with statements() as verbs:
        out, _ = run(write(*lines))
    assert out == f"Imported {count} keys for {count} users.\n"
    assert ApiKey.objects.count() == count
    last = ApiKey.objects.select_related("user").get(api_key=f"{count - 1:015x}")
    assert last.user.username == f"user{count - 1}"
    assert crypto.matches(f"{count - 1 + 2**40:015x}", last.secret_digest)
    assert len(verbs) < count / 20


def test_shows_progress_of_checking_and_of_writing(write, monkeypatch):
    monkeypatch.setattr(importing, "BATCH_SIZE", 2)
    make_users(4)

    _, shown = running.run_on_terminal("import_keys", write(*lines_for(4)))

    assert re.findall(r"\d/5", shown) == ["0/5", "3/5", "5/5", "3/5", "5/5"]


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
def test_parallel_imports_of_one_file_import_it_once(write):
    make_users(60)
    path = write(*lines_for(60))

    results, errors = at_once(lambda: run(path), lambda: run(path))

    assert [out for out, _ in results] == ["Imported 60 keys for 60 users.\n"]
    (error,) = errors
    assert isinstance(error, CommandError)
    assert ApiKey.objects.count() == 60


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
def test_parallel_imports_in_opposite_order_wait_for_each_other(write, monkeypatch):
    monkeypatch.setattr(importing, "BATCH_SIZE", 3)
    monkeypatch.setattr("frappe_tokens.keys.locking.LOCK_SIZE", 4)
    make_users(20)

    def listing(source, numbers):
        lines = [f"user{number},{source}{number},{API_SECRET},{source}" for number in numbers]
        return write(*lines, header=f"{HEADER},name", name=source)

    paths = [listing(f"up{n}", range(20)) for n in range(3)]
    paths += [listing(f"down{n}", range(19, -1, -1)) for n in range(3)]
    _, errors = at_once(*(partial(run, path) for path in paths))

    assert errors == []
    assert ApiKey.objects.count() == 6 * 20


def test_key_deleted_before_the_commit_is_not_announced(
    user, django_capture_on_commit_callbacks, caplog
):
    with receiving(keys_generated) as calls, django_capture_on_commit_callbacks(execute=True):
        import_keys([ImportedPair(2, "ada", API_KEY, Secret(API_SECRET))])
        ApiKey.objects.all().delete()

    assert calls == []
    assert not [record for record in caplog.records if record.exc_info]
