"""Receivers of the signals, the log and the admin's history learn what was done to keys."""

import logging

import pytest
from django.contrib.admin.models import LogEntry
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.db import transaction
from django.db.models.signals import pre_save
from django.test import Client, modify_settings

from frappe_tokens import signals
from frappe_tokens.base_models import KeyState
from frappe_tokens.keys import (
    change_key,
    generate_keys,
    generate_keys_for_source,
    generate_keys_for_users,
    revoke,
    revoke_leaked,
)
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey
from frappe_tokens.signals import key_revoked, keys_generated

from .account.conftest import make_key
from .client import GENERATE, JSON, ask, client_of, rows
from .conftest import receiving
from .sources.models import Robot, Sensor
from .test_audit import lines, logged, only_line

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def received():
    """The calls of receivers of the signals about keys."""
    with receiving(keys_generated, key_revoked) as calls:
        yield calls


def history():
    entries = LogEntry.objects.select_related("user", "content_type").order_by("pk")
    return [
        (entry.user.get_username(), entry.content_type.model, entry.object_id, entry.change_message)
        for entry in entries
    ]


def of_user_and_key(key, text):
    """The entries on both by the manager."""
    return [
        ("manager", "user", str(key.user.pk), text),
        ("manager", key._meta.model_name, str(key.pk), text),
    ]


# Generating and revoking


def line_of(key, **more):
    """The fields of a line in the log about ``key``."""
    model = "frappe_tokens.ApiKey"
    return {"api_key": key.api_key, "key_model": model, "key_name": key.name, "user": "ada", **more}


def test_new_secrets_are_announced_after_the_commit(user, system_manager, log, received):
    with transaction.atomic():
        first = generate_keys(user, name="deploy", by=Actor(system_manager))
        assert (received, logged(log)) == ([], [])
    second = generate_keys(user, name="deploy")

    key, call = first.instance, {"signal": keys_generated, "sender": ApiKey}
    assert received == [
        {**call, "instance": key, "by": system_manager, "rotated": False},
        {**call, "instance": key, "by": None, "rotated": True},
    ]
    assert logged(log) == [
        ("keys_generated", line_of(key, by="manager", rotated=False)),
        ("keys_generated", line_of(key, by=None, rotated=True)),
    ]
    assert log.messages == [
        f"Generated a secret for API key {first.api_key} of ada.",
        f"Rotated the secret of API key {first.api_key} of ada.",
    ]
    text = f"Generated a secret for API key {first.api_key}."
    assert history() == of_user_and_key(first.instance, text)
    for secret in (first.api_secret, second.api_secret):
        assert secret not in repr(received) + repr(lines(log)) + repr(history())


def test_revocation_is_announced_once(keys, system_manager, log, received):
    key, by = keys.instance, Actor(system_manager)

    revoke(key, reason="lost", by=by)
    revoke(key, reason="again", by=by)

    call = {"signal": key_revoked, "sender": ApiKey, "instance": key}
    assert received == [{**call, "by": system_manager, "reason": "lost"}]
    ((stored,), announced) = rows(), received[0]["instance"]
    assert {name: getattr(announced, name) for name in stored} == stored
    assert logged(log) == [("key_revoked", line_of(key, by="manager", reason="lost"))]
    assert log.messages == [f"Revoked API key {keys.api_key} of ada. Reason: lost"]
    assert history() == of_user_and_key(key, f"Revoked API key {keys.api_key}.")


def test_secret_in_the_reason_is_hidden(keys, log, received):
    revoke(keys.instance, reason=f"{keys.token} was in a\nchat")

    (call,) = received
    reason = f"{keys.api_key}:fts_******** was in a\ufffdchat"
    assert reason == only_line(log)["reason"] == call["reason"]


def test_report_of_a_leaked_token_is_announced(keys, log):
    assert revoke_leaked(keys.api_key, keys.api_secret)

    line = only_line(log)
    assert (line["api_key"], line["by"]) == (keys.api_key, None)
    assert line["reason"] == "Reported as leaked."


def test_what_is_rolled_back_is_not_announced(keys, system_manager, log, received):
    by = Actor(system_manager)

    with transaction.atomic():
        generate_keys(keys.instance.user, by=by)
        revoke(keys.instance, by=by)
        transaction.set_rollback(True)

    assert (received, logged(log), history()) == ([], [], [])


def test_each_of_many_keys_is_announced(make_user, system_manager, log, received):
    users = [make_user(f"user{number}") for number in range(300)]
    generate_keys(users[7])
    received.clear()
    log.clear()

    made = generate_keys_for_users(users, by=Actor(system_manager))

    expected = [(keys.api_key, number == 7) for number, keys in enumerate(made)]
    assert [(call["instance"].api_key, call["rotated"]) for call in received] == expected
    assert [(line["api_key"], line["rotated"]) for _, line in logged(log)] == expected
    assert len(history()) == 600


def test_rows_of_other_sources_are_announced(user, system_manager, log, received):
    robot, sensor = Robot.objects.create(user=user), Sensor.objects.create()
    by = Actor(system_manager)

    for _ in range(2):
        generate_keys_for_source(robot, by=by)
    revoke(sensor, by=by)

    calls = [(call["sender"], call.get("rotated")) for call in received]
    assert calls == [(Robot, False), (Robot, True), (Sensor, None)]
    assert [(line["key_model"], line["key_name"], line["user"]) for _, line in logged(log)] == [
        ("sources.Robot", "", "ada"),
        ("sources.Robot", "", "ada"),
        ("sources.Sensor", "", None),
    ]
    generated = of_user_and_key(robot, f"Generated a secret for API key {robot.api_key}.")
    revoked = ("manager", "sensor", str(sensor.pk), f"Revoked API key {sensor.api_key}.")
    rotated = of_user_and_key(robot, f"Rotated the secret of API key {robot.api_key}.")
    assert history() == [*generated, *rotated, revoked]


def test_errors_of_receivers_change_nothing(keys, caplog):
    def fail(**_):
        raise RuntimeError("a receiver's own")

    requests = [signals.authentication_succeeded, signals.authentication_failed]
    sent = [keys_generated, key_revoked, *requests]
    for signal in sent:
        signal.connect(fail)
    try:
        rotated = generate_keys(keys.instance.user)
        assert ask(rotated).status_code == 200
        assert revoke(rotated.instance)
        assert ask(rotated).status_code == 401
    finally:
        for signal in sent:
            signal.disconnect(fail)

    assert caplog.text.count("a receiver's own") >= len(sent)
    assert rotated.api_secret not in caplog.text


def test_code_of_a_project_that_saves_keys_does_not_stop_a_revocation(user, settings):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Robot": "sources.Robot"}}
    first, second = (
        generate_keys_for_source(Robot.objects.create(user=user, serial_number=number))
        for number in (1, 2)
    )

    def fail(**_):
        raise RuntimeError("a project's own")

    pre_save.connect(fail, sender=Robot)
    try:
        assert revoke(first.instance)
        assert revoke_leaked("", second.api_secret)
    finally:
        pre_save.disconnect(fail, sender=Robot)

    assert {robot.state for robot in Robot.objects.all()} == {KeyState.REVOKED}


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING], ids=["logged", "not logged"])
def test_receiver_of_one_kind_of_key_needs_no_log(user, log, level):
    calls = []

    def receive(**arguments):
        calls.append(arguments["instance"])

    log.set_level(level, logger="frappe_tokens")
    keys_generated.connect(receive, sender=ApiKey)
    try:
        generated = generate_keys(user)
    finally:
        keys_generated.disconnect(receive, sender=ApiKey)

    assert calls == [generated.instance]


def test_log_that_fails_changes_nothing(user, monkeypatch, log):
    def fail(record):
        raise OSError("the disk is full")

    monkeypatch.setattr(logging.getLogger("frappe_tokens"), "filters", [fail])

    assert ask(generate_keys(user)).status_code == 200


# The admin's history


def test_changes_are_in_the_history(keys, system_manager):
    change_key(keys.instance, scopes=["todos"], read_only=True, by=Actor(system_manager))

    text = f"Changed scopes, read-only of API key {keys.api_key}."
    assert history() == of_user_and_key(keys.instance, text)


def test_history_has_neither_trusted_code_nor_refusals(keys):
    change_key(keys.instance, read_only=True)
    with pytest.raises(PermissionDenied):
        generate_keys(keys.instance.user, by=Actor(keys.instance.user))
    revoke(keys.instance)

    assert history() == []


def test_history_names_the_user_and_the_key(user, system_manager, monkeypatch):
    monkeypatch.setattr(type(user), "__str__", lambda user: "a" * 300)
    key = generate_keys(user, name="ci", by=Actor(system_manager)).instance

    names = LogEntry.objects.order_by("pk").values_list("object_repr", flat=True)
    assert list(names) == ["a" * 200, f"ci ({key.api_key})"]


def test_project_without_the_admin_has_no_history(user, system_manager):
    with modify_settings(INSTALLED_APPS={"remove": ["django.contrib.admin"]}):
        revoke(generate_keys(user, by=Actor(system_manager)).instance, by=Actor(system_manager))

    assert history() == []


# Every way in


def test_calls_of_frappe_and_rest_are_announced(user, system_manager, log):
    client = client_of(generate_keys(system_manager))
    log.clear()

    client.post(GENERATE, {"user": "ada"})
    made = client.post("/api/keys/", {"user": "ada", "name": "x"}, JSON).json()
    client.post(f"/api/keys/{made['api_key']}/rotate/", {}, JSON)
    client.delete(f"/api/keys/{made['api_key']}/")

    assert [(line["key_name"], line["by"], line.get("rotated")) for _, line in logged(log)] == [
        ("", "manager", False),
        ("x", "manager", False),
        ("x", "manager", True),
        ("x", "manager", None),
    ]
    assert len(history()) == 8


def test_self_service_and_the_admin_are_announced(make_user, settings, log):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    root = make_user("root", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(root)

    make_key(client, name="mine")
    client.post("/admin/frappe_tokens/apikey/add/", {"user": root.pk, "name": "theirs"})

    by_name = [(line["key_name"], line["by"]) for _, line in logged(log)]
    assert by_name == [("mine", "root"), ("theirs", "root")]


def test_commands_are_announced(user, log, tmp_path, capsys):
    listed = tmp_path / "keys.csv"
    listed.write_text("user,api_key,api_secret\nada,0a1b2c3d4e5f607,fedcba987654321\n")

    call_command("generate_keys", "ada")
    key = ApiKey.objects.get()
    call_command("revoke_keys", key.api_key)
    call_command("import_keys", str(listed))

    assert [(event, line["api_key"], line["by"]) for event, line in logged(log)] == [
        ("keys_generated", key.api_key, None),
        ("key_revoked", key.api_key, None),
        ("keys_generated", "0a1b2c3d4e5f607", None),
    ]
    printed = [line.split()[-1] for line in capsys.readouterr().out.splitlines() if "fts_" in line]
    assert printed
    for secret in [*printed, "fedcba987654321"]:
        assert secret not in repr(lines(log))
