"""What receivers are told, and what they never are."""

from contextlib import contextmanager

import pytest
from django.db import transaction
from django.test import Client

from frappe_tokens import crypto, signals
from frappe_tokens.keys import (
    GeneratedKeys,
    generate_keys,
    generate_keys_for_source,
    generate_keys_for_users,
    revoke,
)
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey

from .conftest import token_header
from .sources.models import Robot

WHO = "/api/method/frappe.auth.get_logged_user"


@contextmanager
def received(signal):
    calls = []

    def receive(signal, **arguments):
        calls.append(arguments)

    signal.connect(receive)
    try:
        yield calls
    finally:
        signal.disconnect(receive)


def ask(header):
    client = Client(REMOTE_ADDR="192.0.2.1")
    return client.get(f"{WHO}?with=query", headers={"authorization": header})


@pytest.mark.django_db(transaction=True)
def test_generating_and_rotating_are_told_after_the_commit(user, system_manager):
    with received(signals.keys_generated) as calls:
        with transaction.atomic():
            first = generate_keys(user, by=Actor(system_manager))
            assert calls == []
        second = generate_keys(user)
    told = {"sender": ApiKey, "instance": first.instance}
    assert calls == [
        {**told, "by": system_manager, "rotated": False},
        {**told, "by": None, "rotated": True},
    ]
    assert first.api_secret not in repr(calls)
    assert second.api_secret not in repr(calls)


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_not_told(keys):
    made, ended = received(signals.keys_generated), received(signals.key_revoked)
    with made as made_calls, ended as ended_calls, transaction.atomic():
        generate_keys(keys.instance.user)
        revoke(keys.instance)
        transaction.set_rollback(True)
    assert (made_calls, ended_calls) == ([], [])


@pytest.mark.django_db(transaction=True)
def test_each_of_many_keys_is_told(user, make_user):
    other = make_user("grace")
    generate_keys(user)
    with received(signals.keys_generated) as calls:
        made = generate_keys_for_users([user, other])
    assert [(call["instance"], call["rotated"]) for call in calls] == [
        (made[0].instance, True),
        (made[1].instance, False),
    ]


@pytest.mark.django_db(transaction=True)
def test_keys_of_other_sources_are_told(user):
    robot = Robot.objects.create(user=user)
    with received(signals.keys_generated) as calls:
        generate_keys_for_source(robot)
        generate_keys_for_source(robot)
    assert [(call["sender"], call["rotated"]) for call in calls] == [(Robot, False), (Robot, True)]


@pytest.mark.django_db(transaction=True)
def test_revoking_is_told_once_with_its_reason(keys, system_manager):
    with received(signals.key_revoked) as calls:
        revoke(keys.instance, reason="lost", by=Actor(system_manager))
        revoke(keys.instance, reason="again", by=Actor(system_manager))
    assert calls == [
        {"sender": ApiKey, "instance": keys.instance, "by": system_manager, "reason": "lost"}
    ]


@pytest.mark.django_db
def test_success_is_told_with_the_key_and_where_from(keys):
    with received(signals.authentication_succeeded) as calls:
        ask(token_header(keys))
    assert calls == [
        {
            "sender": ApiKey,
            "instance": keys.instance,
            "address": "192.0.2.1",
            "method": "GET",
            "path": WHO,
        }
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("header", "code", "shows_key"),
    [
        ("token {key}:{wrong}", "invalid_credentials", True),
        ("token {key}:{secret}x", "malformed_credentials", False),
        ("token nonsense", "malformed_credentials", False),
    ],
)
def test_refusal_is_told_with_its_code(keys, header, code, shows_key):
    wrong = crypto.generate_api_secret()
    sent = header.format(key=keys.api_key, secret=keys.api_secret, wrong=wrong)
    with received(signals.authentication_failed) as calls:
        assert ask(sent).json()["code"] == code
    assert calls == [
        {
            "sender": None,
            "code": code,
            "api_key": keys.api_key if shows_key else "",
            "address": "192.0.2.1",
            "method": "GET",
            "path": WHO,
        }
    ]


@pytest.mark.django_db
def test_one_failure_too_many_is_told_as_such(keys, settings):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "1/minute"}
    wrong = GeneratedKeys(keys.api_key, crypto.generate_api_secret(), keys.instance)
    with received(signals.authentication_failed) as calls:
        for _ in range(3):
            ask(token_header(wrong))
    assert [call["code"] for call in calls] == [
        "invalid_credentials",
        "too_many_failures",
        "too_many_failures",
    ]


@pytest.mark.django_db(transaction=True)
def test_error_of_a_receiver_changes_nothing(keys, caplog):
    def fail(**_):
        raise RuntimeError("a receiver's own")

    sent = [
        signals.keys_generated,
        signals.key_revoked,
        signals.authentication_succeeded,
        signals.authentication_failed,
    ]
    for signal in sent:
        signal.connect(fail)
    try:
        rotated = generate_keys(keys.instance.user)
        assert ask(token_header(rotated)).status_code == 200
        assert revoke(rotated.instance)
        assert ask(token_header(rotated)).json()["code"] == "key_revoked"
    finally:
        for signal in sent:
            signal.disconnect(fail)
    assert "a receiver's own" in caplog.text
    assert rotated.api_secret not in caplog.text
