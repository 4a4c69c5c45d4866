"""A replaced secret that is used after its end revokes the key, with ``REVOKE_ON_REPLAY``."""

from datetime import timedelta

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.db import OperationalError, connection
from django.test import AsyncClient

from frappe_tokens import crypto
from frappe_tokens.keys import (
    GeneratedKeys,
    generate_keys,
    generate_keys_for_source,
    generate_keys_for_users,
)
from frappe_tokens.models import ApiKey, ApiRequestLog
from frappe_tokens.signals import key_revoked, secret_replayed
from tests.sources.models import Robot

from .client import HOUR, NOON, WHO, ask, attempt, client_of, with_wrong_secret
from .conftest import receiving, token_header
from .test_parallel import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _revoke_on_replay(settings):
    settings.FRAPPE_TOKENS = {"REVOKE_ON_REPLAY": True, "REQUEST_LOG": "durable"}


@pytest.fixture(params=[timedelta(0), HOUR], ids=["no grace", "grace"])
def pair(user, request):
    """The old keys and the new ones, after the end of the old secret."""
    with time_machine.travel(NOON, tick=False) as clock:
        old = generate_keys(user)
        new = generate_keys(user, grace=request.param)
        clock.move_to(NOON + request.param)
        yield old, new


@pytest.mark.django_db(transaction=True)
def test_replay_revokes_the_key_on_record(pair, log):
    old, new = pair
    reason = "A replaced secret was used."

    with receiving(key_revoked) as calls, receiving(secret_replayed) as replays:
        refused, replayed = ask(with_wrong_secret(old)), ask(old)

    assert replayed.status_code == 401
    assert (replayed.content, replayed.headers) == (refused.content, refused.headers)
    assert ApiKey.objects.get().revoked_reason == reason
    assert ask(new).json()["code"] == "key_revoked"
    assert [(call["by"], call["reason"]) for call in calls] == [(None, reason)]
    assert [(call["sender"], call["instance"]) for call in replays] == [(ApiKey, new.instance)]
    events = [record.event for record in log.records if hasattr(record, "event")]
    assert events == ["request_refused", "key_revoked", "request_refused", "request_refused"]
    logged = ApiRequestLog.objects.order_by("pk").values_list("api_key", "outcome")
    outcomes = ["invalid_credentials", "invalid_credentials", "key_revoked"]
    assert [*logged] == [(new.api_key, outcome) for outcome in outcomes]


def test_without_the_setting_nothing_changes(user, settings):
    settings.FRAPPE_TOKENS = {}
    with time_machine.travel(NOON, tick=False) as clock:
        old = generate_keys(user)
        assert not generate_keys(user).instance.previous_digest
        second = generate_keys(user, grace=HOUR)
        clock.move_to(NOON + HOUR)
        before = ApiKey.objects.values().get()

        with receiving(secret_replayed) as calls:
            assert ask(old).json()["code"] == "invalid_credentials"
            generate_keys(user, grace=HOUR)
            clock.move_to(NOON + 2 * HOUR)
            assert ask(second).json()["code"] == "invalid_credentials"

    assert calls == []
    assert ApiKey.objects.get().pk == before["id"]
    assert not ApiKey.objects.get().is_revoked


@pytest.mark.parametrize("which", ["current", "in grace", "older", "wrong", "unknown"])
def test_other_secrets_revoke_nothing(user, which):
    older = generate_keys(user)
    in_grace = generate_keys(user, grace=HOUR)
    current = generate_keys(user, grace=HOUR)
    wrong = with_wrong_secret(older)
    unknown = GeneratedKeys(crypto.generate_api_key(), older.api_secret, older.instance)
    named = {"current": current, "in grace": in_grace, "older": older}
    keys = {**named, "wrong": wrong, "unknown": unknown}[which]

    ask(keys)

    assert not ApiKey.objects.get().is_revoked


def test_key_of_another_source_ends_too(user, settings):
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "SOURCES": {"Robot": "sources.Robot"}}
    row = Robot.objects.create(user=user)
    old = generate_keys_for_source(row)
    generate_keys_for_source(row)

    ask(old, frappe_authorization_source="Robot")

    row.refresh_from_db()
    assert row.is_revoked


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("atomic", [False, True], ids=["autocommit", "atomic requests"])
def test_revocation_outlives_the_transaction_of_the_request(user, atomic, monkeypatch):
    """DRF rolls it back, because it refuses the request."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic)
    old = generate_keys(user)
    generate_keys(user)

    response = client_of(old).get("/api/resource/ToDo")

    assert response.status_code == 401
    assert ApiKey.objects.get().is_revoked


def test_each_key_that_was_replayed_in_a_transaction_is_revoked_after_the_request(make_user):
    """For example, a batch request that contains other requests."""
    first, second = (generate_keys(make_user(name)) for name in ("ada", "grace"))
    generate_keys_for_users([first.instance.user, second.instance.user])

    attempt(first)
    before = [key.is_revoked for key in ApiKey.objects.all()]
    ask(second)

    assert before == [False, False]
    assert [key.is_revoked for key in ApiKey.objects.all()] == [True, True]


@pytest.mark.django_db(transaction=True)
def test_async_requests_revoke_too(user, settings):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "frappe_tokens.middleware.TokenAuthenticationMiddleware",
    ]
    old = generate_keys(user)
    generate_keys(user)

    async_to_sync(AsyncClient().get)(WHO, headers={"authorization": token_header(old)})

    assert ApiKey.objects.get().is_revoked


@pytest.mark.django_db(transaction=True)
def test_cached_key_is_revoked_too(user, settings, statements):
    old = generate_keys(user)
    new = generate_keys(user)
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "CACHE": "default"}
    ask(new)
    with statements() as verbs:
        assert ask(new).status_code == 200
    assert verbs == []

    ask(old)

    assert ask(new).json()["code"] == "key_revoked"


def test_secrets_that_changed_in_the_meantime_count(user):
    old = generate_keys(user)
    generate_keys(user)
    pending = [lambda: generate_keys(user)]

    def execute_then_act(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if "JOIN" in sql and pending:
            pending.pop()()
        return result

    with connection.execute_wrapper(execute_then_act):
        ask(old)

    assert not ApiKey.objects.get().is_revoked


def test_failing_database_changes_no_response(user, caplog):
    old = generate_keys(user)
    generate_keys(user)

    def refuse_updates(execute, sql, params, many, context):
        if sql.startswith("UPDATE"):
            raise OperationalError
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse_updates):
        response = ask(old)

    assert response.json()["code"] == "invalid_credentials"
    assert "can't be revoked" in caplog.text
    assert old.api_secret not in caplog.text
    assert not ApiKey.objects.get().is_revoked


@pytest.mark.django_db(transaction=True)
@pytest.mark.parallel
def test_parallel_replays_revoke_once(user):
    old = generate_keys(user)
    generate_keys(user)

    with receiving(key_revoked) as calls:
        responses, errors = at_once(*[lambda: ask(old)] * 10)

    assert errors == []
    assert {response.status_code for response in responses} == {401}
    assert len(calls) == 1
