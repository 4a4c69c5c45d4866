"""Many at once, over real connections and transactions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections, transaction

from frappe_tokens import crypto
from frappe_tokens.actors import Actor
from frappe_tokens.keys import GeneratedKeys, generate_keys, revoke
from frappe_tokens.models import ApiKey

pytestmark = [pytest.mark.parallel, pytest.mark.django_db(transaction=True)]

WRITERS = 50


def at_once(*calls: Callable[[], Any]) -> tuple[list[Any], list[BaseException]]:
    """What the calls return and raise when all of them start at the same moment."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
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


def secret_that_works(generated: list[GeneratedKeys], key: ApiKey) -> list[GeneratedKeys]:
    return [keys for keys in generated if crypto.matches(keys.api_secret, key.secret_digest)]


def test_parallel_calls_leave_one_live_key_and_a_secret_that_works(user: Any) -> None:
    generated, errors = at_once(*[lambda: generate_keys(user)] * WRITERS)
    assert errors == []
    key = ApiKey.objects.get()
    assert {keys.api_key for keys in generated} == {key.api_key}
    assert len({keys.api_secret for keys in generated}) == WRITERS
    assert len(secret_that_works(generated, key)) == 1


def test_parallel_calls_keep_the_api_key_that_there_was(keys: GeneratedKeys) -> None:
    generated, errors = at_once(*[lambda: generate_keys(keys.instance.user)] * WRITERS)
    assert errors == []
    key = ApiKey.objects.get()
    assert {keys.api_key for keys in generated} == {keys.api_key}
    assert len(secret_that_works(generated, key)) == 1


def test_parallel_calls_within_a_requests_transaction(user: Any) -> None:
    stored = get_user_model()._default_manager.filter(pk=user.pk)
    if connection.vendor == "sqlite":
        # It lets nobody write who has read in the same transaction before another wrote.
        stored = stored.none()

    def request() -> GeneratedKeys:
        with transaction.atomic():
            list(stored.all())  # takes the snapshot that an isolation level may hold on to
            return generate_keys(user)

    generated, errors = at_once(*[request] * WRITERS)
    assert errors == []
    assert len(secret_that_works(generated, ApiKey.objects.get())) == 1


def test_parallel_calls_for_several_users_and_names(make_user: Callable[..., Any]) -> None:
    users = [make_user(f"user{number}") for number in range(5)]
    manager = make_user("manager", is_superuser=True)
    calls = [
        lambda user=user, name=name: generate_keys(user, name=name, by=Actor(manager))
        for user in [*users, manager]
        for name in ("", "a", "b", "") * 2
    ]
    generated, errors = at_once(*calls)
    assert errors == []
    assert len(generated) == len(calls)
    assert ApiKey.objects.count() == 6 * 3
    for key in ApiKey.objects.all():
        assert len(secret_that_works(generated, key)) == 1


def test_managers_may_generate_for_each_other_at_once(make_user: Callable[..., Any]) -> None:
    ada, grace = make_user("ada", is_superuser=True), make_user("grace", is_superuser=True)
    for round_ in range(10):
        calls = [
            lambda user=user, by=by, name=f"{round_}": generate_keys(user, name=name, by=Actor(by))
            for user, by in [(ada, grace), (grace, ada)]
        ]
        assert at_once(*calls * 2)[1] == []


def test_revoking_and_generating_in_parallel(keys: GeneratedKeys) -> None:
    user = keys.instance.user
    calls: list[Callable[[], Any]] = [lambda: generate_keys(user)] * 20
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


def test_manager_may_revoke_and_generate_their_own_key_at_once(
    make_user: Callable[..., Any],
) -> None:
    manager = make_user("manager", is_superuser=True)
    actor = Actor(manager)
    for _ in range(10):
        key = generate_keys(manager, by=actor).instance
        calls = [
            lambda: generate_keys(manager, by=actor),
            lambda key=key: revoke(key, by=actor),
        ]
        assert at_once(*calls * 3)[1] == []
