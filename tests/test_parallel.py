"""Parallel calls over real connections and transactions."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.test import Client
from django.utils import timezone

from frappe_tokens import crypto
from frappe_tokens import keys as keys_module
from frappe_tokens.keys import (
    GeneratedKeys,
    generate_keys,
    generate_keys_for_users,
    locking,
    revoke,
    rotate_itself,
)
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey, SentNotice
from frappe_tokens.signals import key_expiring

from .client import attempt
from .groups import leave_out

pytestmark = [pytest.mark.parallel, pytest.mark.django_db(transaction=True)]

WRITERS = 50


@pytest.fixture(autouse=True)
def patient_sqlite(monkeypatch):
    """On a busy machine, fifty threads wait longer for SQLite than its five seconds."""
    if connection.vendor == "sqlite":
        monkeypatch.setitem(connections.settings["default"]["OPTIONS"], "timeout", 60)


def at_once(*calls):
    """What the calls return and raise when all of them start at the same moment."""
    start = threading.Barrier(len(calls))

    def run(call):
        try:
            start.wait()
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as threads:
        futures = [threads.submit(run, call) for call in calls]
    outcomes = [(future, future.exception()) for future in futures]
    results = [future.result() for future, error in outcomes if error is None]
    return results, [error for _, error in outcomes if error is not None]


def secret_that_works(generated, key):
    return [keys for keys in generated if crypto.matches(keys.api_secret, key.secret_digest)]


@pytest.mark.parametrize("exists", [False, True])
def test_parallel_calls_leave_one_live_key_and_a_secret_that_works(user, exists):
    before = [generate_keys(user)] if exists else []

    generated, errors = at_once(*[lambda: generate_keys(user)] * WRITERS)
    assert errors == []
    key = ApiKey.objects.get()
    assert {keys.api_key for keys in [*before, *generated]} == {key.api_key}
    assert len({keys.api_secret for keys in generated}) == WRITERS
    assert len(secret_that_works(generated, key)) == 1


def test_parallel_calls_within_a_requests_transaction(user):
    stored = get_user_model()._default_manager.filter(pk=user.pk)
    if connection.vendor == "sqlite":
        # A transaction that has read before another wrote can't write.
        stored = stored.none()

    def request():
        with transaction.atomic():
            list(stored.all())  # takes the snapshot that an isolation level may hold on to
            return generate_keys(user)

    generated, errors = at_once(*[request] * WRITERS)
    assert errors == []
    assert len(secret_that_works(generated, ApiKey.objects.get())) == 1


def generate_for_each_other(name, ada, grace):
    return [
        lambda: generate_keys(ada, name=name, by=Actor(grace)),
        lambda: generate_keys(grace, name=name, by=Actor(ada)),
    ]


def rotate_and_revoke_ones_own(name, ada, grace):
    by = Actor(ada)
    key = generate_keys(ada, by=by).instance
    return [lambda: generate_keys(ada, by=by), lambda: revoke(key, by=by)]


@pytest.mark.parametrize("calls", [generate_for_each_other, rotate_and_revoke_ones_own])
def test_managers_do_not_block_each_other(make_user, calls):
    managers = [make_user(name, is_superuser=True) for name in ("ada", "grace")]

    for number in range(10):
        _, errors = at_once(*calls(f"{number}", *managers) * 3)
        assert errors == []


def test_revoking_and_generating_in_parallel(keys):
    user = keys.instance.user
    calls = [lambda: generate_keys(user)] * 20
    for key in [ApiKey.objects.get() for _ in range(20)]:
        calls.append(lambda key=key: revoke(key, reason="leaked"))
    results, errors = at_once(*calls)
    assert errors == []
    assert results.count(True) == 1
    assert results.count(False) == 19
    generated = [result for result in results if isinstance(result, GeneratedKeys)]
    revoked = ApiKey.objects.get(pk=keys.instance.pk)
    assert (revoked.revoked_reason, revoked.live) == ("leaked", None)
    assert ApiKey.objects.filter(live=True).count() <= 1
    for live in ApiKey.objects.filter(live=True):
        assert len(secret_that_works(generated, live)) == 1
    final = generate_keys(user)
    assert final.api_key != keys.api_key


def test_of_parallel_rotations_by_a_key_itself_one_wins(user):
    keys = generate_keys(user, self_rotate=True)

    def rotate():
        auth = attempt(keys)
        together.wait()
        return rotate_itself(auth)

    together = threading.Barrier(10)
    generated, errors = at_once(*[rotate] * 10)

    assert [type(error) for error in errors] == [PermissionDenied] * 9
    assert secret_that_works(generated, ApiKey.objects.get()) == generated


def test_bulk_calls_for_the_same_users_in_opposite_order(make_user, monkeypatch):
    # Several batches and several locking statements, and actors who are among the users.
    monkeypatch.setattr(keys_module, "BATCH_SIZE", 3)
    monkeypatch.setattr(locking, "LOCK_SIZE", 4)
    ada = make_user("ada", is_superuser=True)
    users = [ada, *(make_user(f"user{number}") for number in range(10))]
    users.append(make_user("grace", is_superuser=True))
    some = users[::2]
    calls = [
        lambda: generate_keys_for_users(users, by=Actor(ada)),
        lambda: generate_keys_for_users(users[::-1], by=Actor(users[-1])),
        lambda: generate_keys_for_users(some[::-1], by=Actor(users[-1])),
        lambda: [generate_keys(users[5], by=Actor(ada))],
    ]

    for _ in range(5):
        results, errors = at_once(*calls * 2)
        assert errors == []
        assert ApiKey.objects.count() == len(users)
        generated = [keys for result in results for keys in result]
        for key in ApiKey.objects.all():
            assert len(secret_that_works(generated, key)) == 1


def test_user_deactivated_meanwhile_does_not_count_as_active(make_user):
    for name in ("ada", "grace", "hedy"):
        make_user(name)
    deactivated, waiting = threading.Event(), threading.Event()

    def deactivate():
        with transaction.atomic():
            get_user_model()._default_manager.filter(username="grace").update(is_active=False)
            deactivated.set()
            waiting.wait(10)

    def notice(execute, *query):
        # The first statement is on its way, and will wait for the other transaction's end.
        waiting.set()
        return execute(*query)

    def command():
        out = StringIO()
        deactivated.wait(10)
        with connection.execute_wrapper(notice):
            call_command("generate_keys", "--all-active", stdout=out, stderr=StringIO())
        return out.getvalue()

    results, errors = at_once(deactivate, command)

    assert errors == []
    assert re.findall(r"^\w+$", results[1], re.MULTILINE) == ["ada", "hedy"]
    assert set(ApiKey.objects.values_list("user__username", flat=True)) == {"ada", "hedy"}


def superuser_client(make_user, username):
    client = Client()
    client.force_login(make_user(username, is_staff=True, is_superuser=True))
    return client


def test_list_actions_for_the_same_users_in_opposite_order(make_user):
    users = [make_user(f"user{number}") for number in range(8)]
    action = {"action": "generate_keys", "_selected_action": [user.pk for user in users]}
    clients = {order: superuser_client(make_user, f"root{order}") for order in ("1", "-1")}

    def confirm(order):
        url, client = f"/admin/auth/user/?o={order}", clients[order]
        page = client.post(url, action).content.decode()
        found = re.search(r'name="version" value="(\w+)"', page)
        assert found is not None
        return lambda: client.post(url, {**action, "version": found[1], "grace": "0"}).status_code

    for _ in range(5):
        statuses, errors = at_once(confirm("1"), confirm("-1"))
        assert errors == []
        # What the later of the two confirmed was no longer so, and nothing was generated for it.
        assert sorted(statuses) == [200, 409]


def test_adding_one_name_at_once_makes_one_key(make_user, user):
    clients = [superuser_client(make_user, f"root{number}") for number in range(4)]
    form = {"user": user.pk, "name": "ci"}

    def add(client):
        return lambda: client.post("/admin/frappe_tokens/apikey/add/", form)

    answers, errors = at_once(*[add(client) for client in clients])

    assert errors == []
    shown = [answer for answer in answers if b"Keys generated" in answer.content]
    assert len(shown) == ApiKey.objects.count() == 1


def test_renaming_while_that_name_is_generated_never_fails(make_user, user):
    client = superuser_client(make_user, "root")

    def rename_beside(old, new):
        page = f"/admin/frappe_tokens/apikey/{generate_keys(user, name=old).instance.pk}/change/"
        return at_once(
            lambda: client.post(page, {"name": new}).status_code,
            lambda: generate_keys(user, name=new),
            lambda: generate_keys(user, name=old),
        )

    for number in range(5):
        answers, errors = rename_beside(f"old{number}", f"new{number}")
        assert errors == []
        assert answers[0] in {200, 302}


def test_parallel_runs_mail_each_user_once(make_user, mailoutbox):
    soon = timezone.now() + timedelta(hours=12)
    users = [make_user(f"user{number}", email=f"{number}@example.com") for number in range(20)]
    for user in users:
        for name in ("a", "b"):
            generate_keys(user, name=name, expires_at=soon)

    _, errors = at_once(*[lambda: call_command("notify_keys", verbosity=0)] * 6)

    assert errors == []
    assert sorted(mail.to for mail in mailoutbox) == sorted([user.email] for user in users)
    assert SentNotice.objects.count() == 40


def test_parallel_run_waits_for_the_mail_and_leaves_the_key_out(make_user, mailoutbox):
    ada = make_user("ada", email="ada@example.com")
    shared, later = (
        generate_keys(ada, name=name, expires_at=timezone.now() + timedelta(hours=hours)).api_key
        for name, hours in (("shared", 12), ("later", 36))
    )
    claimed, arrived = threading.Event(), threading.Event()

    def receive(**_):
        # The first run has claimed its key, and is about to send the mail.
        if not claimed.is_set():
            claimed.set()
            assert arrived.wait(10)

    def insert(execute, sql, *arguments):
        if sql.startswith("INSERT"):
            arrived.set()
        return execute(sql, *arguments)

    def second():
        assert claimed.wait(10)
        with connection.execute_wrapper(insert):
            call_command("notify_keys", verbosity=0)

    key_expiring.connect(receive)
    try:
        first = ["notify_keys", "--expiring-in", "1d"]
        _, errors = at_once(lambda: call_command(*first, verbosity=0), second)
    finally:
        key_expiring.disconnect(receive)

    assert errors == []
    named = [re.findall("^API key: (.+)$", mail.body, re.MULTILINE) for mail in mailoutbox]
    assert named == [[shared], [later]]


def test_a_request_in_a_transaction_holds_no_lock_on_its_key(keys):
    """A long request must not make the others of its key wait, nor meet a rotation crosswise."""
    if connection.vendor == "sqlite":
        leave_out("database server", "SQLite commits nothing while another reads", in_ci_too=True)
    used, rotated = threading.Event(), threading.Event()

    def long_request():
        with transaction.atomic():
            assert attempt(keys) == keys.instance
            used.set()
            return rotated.wait(10)

    def rotation():
        used.wait(10)
        made = generate_keys(keys.instance.user)
        rotated.set()
        return made

    results, errors = at_once(long_request, rotation)

    assert errors == []
    assert True in results
    assert ApiKey.objects.get().last_used_at is not None
