"""``POST keys/revoke-leaked/``: anyone who holds a leaked token can revoke its key."""

import hashlib
from datetime import datetime, timedelta, timezone

import pytest
import time_machine
from django.core.cache import caches
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from frappe_tokens import crypto
from frappe_tokens.keys import (
    disable,
    generate_keys,
    generate_keys_for_source,
    lock_rows,
    revoke,
    revoke_leaked,
)
from frappe_tokens.models import ApiKey

from ..conftest import PASSWORD, token_header
from ..sources.models import Robot
from .conftest import assert_refused, assert_unchanged, assert_wrong, send, works

pytestmark = pytest.mark.django_db

PATH = "revoke-leaked/"
# Twenty seconds into a minute.
NOW = datetime(2026, 1, 31, 12, 0, 20, tzinfo=timezone.utc)


def report(token, **options):
    return send(None, "POST", PATH, {"token": token}, **options)


def wrong(generated):
    return f"{generated.api_key}:{crypto.generate_api_secret()}"


def everything(response):
    return response.status_code, response.content, str(response.headers)


@pytest.fixture
def limit(settings):
    """Allow three failures per minute, and stop the clock."""
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "3/minute"}
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.mark.parametrize("slash", ["", "/"])
def test_key_of_a_leaked_token_is_revoked(keys, user, slash):
    other = generate_keys(user, name="other")
    body = {"token": f" \t{keys.token} ", "url": "https://example.com/leak"}

    response = send(None, "POST", f"revoke-leaked{slash}", body)

    assert (response.status_code, response.content) == (204, b"")
    assert "no-store" in response["Cache-Control"]
    key = ApiKey.objects.get(pk=keys.instance.pk)
    assert key.is_revoked
    assert (key.revoked_by, key.revoked_reason) == (None, "Reported as leaked.")
    assert not works(keys.api_key, keys.api_secret)
    assert works(other.api_key, other.api_secret)


@time_machine.travel(NOW, tick=False)  # the header Expires has the time
def test_response_does_not_disclose_whether_there_was_a_key(keys, root):
    revoked = generate_keys(keys.instance.user, name="revoked")
    revoke(revoked.instance)
    unknown = f"ftk_0000000000000000:{crypto.generate_api_secret()}"

    responses = {
        everything(report(token))
        for token in (
            *(keys.token, keys.token, root.token, revoked.token, wrong(revoked), unknown),
            *("0123456789abcde:0123456789abcde", str(keys.token)[:-1], f"token {keys.token}"),
            *(keys.api_secret, root.api_secret, revoked.api_secret, crypto.generate_api_secret()),
            *("", " ", "x", ":", "a:b", "a:b:c", "\x00", "a:\x00", "\ud800:\udfff", "ü:ü"),
            *("a" * 50_000, "a:" + "b" * 50_000, f"\u00a0{keys.token}"),
        )
    }

    assert len(responses) == 1
    assert {status for status, _, _ in responses} == {204}


@pytest.mark.parametrize("text", ["{0}\n", "\n{0}", "\u00a0{0}", "token {0}", "{0}x", '"{0}"'])
@pytest.mark.parametrize("part", ["token", "api_secret"])
def test_malformed_token_revokes_nothing_without_a_query(keys, statements, text, part):
    with assert_unchanged(), statements() as verbs:
        assert report(text.format(getattr(keys, part))).status_code == 204

    assert verbs == []


@pytest.mark.parametrize(
    "body", [None, {}, {"Token": "x"}, *({"token": token} for token in (None, 1, True, ["a:b"]))]
)
def test_missing_or_unusable_token_is_refused(body):
    assert_wrong(send(None, "POST", PATH, body), "token")


@pytest.mark.parametrize("scheme", ["token", "token a:b", "Basic !", "Bearer x", "revoked"])
def test_credentials_and_sessions_are_ignored(keys, manager, scheme):
    revoke(manager.instance)
    authorization = token_header(manager) if scheme == "revoked" else scheme
    browser = Client(enforce_csrf_checks=True, headers={"authorization": authorization})
    assert browser.login(username="ada", password=PASSWORD)

    response = browser.post(f"/api/keys/{PATH}", {"token": keys.token}, "application/json")

    assert response.status_code == 204
    key = ApiKey.objects.get(pk=keys.instance.pk)
    assert (key.is_revoked, key.revoked_by) == (True, None)


@pytest.mark.parametrize("part", ["token", "api_secret"])
def test_old_secret_counts_until_its_grace_period_ends(keys, part):
    with time_machine.travel(NOW, tick=False) as clock:
        generate_keys(keys.instance.user, grace=timedelta(hours=1))
        clock.move_to(NOW + timedelta(hours=1))
        with assert_unchanged():
            report(getattr(keys, part))
        clock.move_to(NOW + timedelta(hours=1, microseconds=-1))
        report(getattr(keys, part))

    assert ApiKey.objects.get().is_revoked


@pytest.mark.parametrize("change", ["rotate", "delete"])
def test_secret_that_was_replaced_meanwhile_revokes_nothing(keys, monkeypatch, change):
    def lock_after_another_process(*args):
        if change == "rotate":
            generate_keys(keys.instance.user)
        else:
            ApiKey.objects.all().delete()
        return lock_rows(*args)

    monkeypatch.setattr("frappe_tokens.keys.revocation.lock_rows", lock_after_another_process)

    assert not revoke_leaked(keys.api_key, keys.api_secret)
    assert [key.is_revoked for key in ApiKey.objects.all()] == [False] * (change == "rotate")


PEPPERS = ["an older pepper that is long enough", "a newer pepper that is long enough"]


@pytest.mark.parametrize("peppers", [[], PEPPERS[:1], PEPPERS[::-1]], ids=["none", "same", "newer"])
@pytest.mark.parametrize("made_with", [[], PEPPERS[:1]], ids=["unpeppered", "peppered"])
@pytest.mark.parametrize("form", ["{1}", " {1}\t", "ftk_0000000000000000:{1}"])
def test_secret_alone_revokes_its_key(user, settings, made_with, peppers, form):
    settings.FRAPPE_TOKENS = {"PEPPERS": made_with, "SECRET_PREFIX": "X_"}
    keys, other = generate_keys(user), generate_keys(user, name="other")
    settings.FRAPPE_TOKENS = {"PEPPERS": peppers}

    response = report(form.format(keys.api_key, keys.api_secret))

    assert (response.status_code, response.content) == (204, b"")
    # Nothing verifies a digest whose pepper is gone.
    is_known = not made_with or bool(peppers)
    revoked = ApiKey.objects.filter(revoked_at__isnull=False)
    assert list(revoked) == [keys.instance] * is_known
    assert works(other.api_key, other.api_secret) == is_known


def test_secret_alone_is_looked_up_in_every_source(user, settings, statements):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Robot": "sources.Robot"}}
    robot, other = Robot.objects.create(user=user), Robot.objects.create(user=user)
    keys, _ = generate_keys_for_source(robot), generate_keys_for_source(other)

    with statements() as verbs:
        report(crypto.generate_api_secret())
    report(keys.api_secret)

    assert verbs == ["SELECT"] * 2
    assert [row.is_revoked for row in Robot.objects.order_by("pk")] == [True, False]


@pytest.mark.parametrize("change", [revoke, disable])
def test_key_that_does_not_work_is_known_by_its_secret(keys, change):
    change(keys.instance)
    before = ApiKey.objects.get().revoked_at

    assert revoke_leaked("", keys.api_secret)
    key = ApiKey.objects.get()
    assert key.is_revoked
    assert before in (None, key.revoked_at)


@pytest.mark.parametrize(
    "secret", ["0123456789abcde", "A" * 40, crypto.generate_api_secret()[:-1]], ids=len
)
def test_secret_without_a_checksum_is_not_looked_up_alone(user, secret, statements):
    ApiKey.objects.create(user=user, api_key="abcde", secret_digest=crypto.make_digest(secret))

    with assert_unchanged(), statements() as verbs:
        assert report(secret).status_code == 204

    assert verbs == []
    assert revoke_leaked("abcdef", secret) is False
    assert revoke_leaked("abcde", secret)


@pytest.mark.parametrize("peppers", [[], PEPPERS], ids=["unpeppered", "peppered"])
def test_lookup_by_secret_uses_the_indexes(user, settings, peppers):
    settings.FRAPPE_TOKENS = {"PEPPERS": peppers}
    ApiKey.objects.bulk_create(
        ApiKey(user=user, name=f"{number}", secret_digest=f"sha256${number:064}")
        for number in range(3000)
    )
    with connection.cursor() as cursor, CaptureQueriesContext(connection) as captured:
        if connection.vendor == "postgresql":  # knows too little of new rows
            cursor.execute(f"ANALYZE {ApiKey._meta.db_table}")
        revoke_leaked("", crypto.generate_api_secret())
        (select,) = [each["sql"] for each in captured if each["sql"].startswith("SELECT")]
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' * (connection.vendor == 'sqlite')}{select}")
        plan = str(cursor.fetchall())

    for index in ApiKey._meta.indexes:
        assert index.name in plan, plan


@pytest.mark.parametrize("function", [None, "tests.caches.tenants_name"])
def test_too_many_guesses_are_refused_until_the_minute_ends(
    keys, limit, settings, statements, function
):
    memory = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": memory, "KEY_FUNCTION": function}}
    guesses = [wrong(keys) for _ in range(4)]

    assert [report(guess).status_code for guess in guesses[:3]] == [204] * 3
    response = report(guesses[3])

    assert_refused(response, 429, "too_many_failures")
    assert response["Retry-After"] == "40"
    with statements() as verbs:
        assert_refused(report(guesses[3]), 429, "too_many_failures")
    assert verbs == []
    assert report(wrong(keys), REMOTE_ADDR="192.0.2.2").status_code == 204
    with time_machine.travel(NOW + timedelta(seconds=40), tick=False):
        assert report(guesses[3]).status_code == 204


def test_right_token_is_revoked_after_too_many_wrong_ones(keys, limit):
    for _ in range(5):
        refused = report(wrong(keys))

    response = report(keys.token)

    # The same, so that it discloses nothing.
    assert everything(response) == everything(refused)
    assert response.status_code == 429
    assert ApiKey.objects.get().is_revoked


def test_count_does_not_distinguish_a_right_secret_from_a_wrong_one(user, limit):
    first, second = generate_keys(user), generate_keys(user, name="second")

    by_right, by_wrong = (
        [everything(report(token)) for token in (wrong(key), candidate, *[wrong(key)] * 3)]
        for key, candidate in ((first, first.token), (second, wrong(second)))
    )

    assert by_right == by_wrong
    assert [status for status, _, _ in by_right] == [204, 204, 204, 429, 429]


def test_secrets_alone_are_counted_one_by_one(keys, limit):
    secret = crypto.generate_api_secret()

    assert [report(secret).status_code for _ in range(4)] == [204, 204, 204, 429]
    assert_refused(report(secret), 429, "too_many_failures")
    assert report(crypto.generate_api_secret()).status_code == 204
    assert report(secret, REMOTE_ADDR="192.0.2.2").status_code == 204
    by_right = [everything(report(keys.api_secret)) for _ in range(5)]
    other = crypto.generate_api_secret()
    assert by_right == [everything(report(other)) for _ in range(5)]


def test_count_does_not_show_the_secret(limit, monkeypatch):
    counted, secret = [], crypto.generate_api_secret()
    cache = caches["default"]
    add = cache.add
    monkeypatch.setattr(cache, "add", lambda name, *args: counted.append(name) or add(name, *args))

    report(secret)

    (name,) = counted
    assert secret not in name
    assert hashlib.sha256(secret.encode()).hexdigest()[:16] not in name


def test_guesses_count_with_those_in_the_header(keys, limit):
    for _ in range(3):
        works(keys.api_key, crypto.generate_api_secret())

    assert_refused(report(wrong(keys)), 429, "too_many_failures")


def test_error_page_shows_no_token(keys, monkeypatch, settings):
    def fail(*args):
        raise RuntimeError("broken")

    monkeypatch.setattr("frappe_tokens.api.key_actions.revoke_leaked", fail)
    settings.DEBUG = True
    client = Client(raise_request_exception=False)

    response = client.post(f"/api/keys/{PATH}", {"token": str(keys.token)}, "application/json")

    assert response.status_code == 500
    assert "RuntimeError" in response.content.decode()
    assert keys.api_secret not in response.content.decode()
