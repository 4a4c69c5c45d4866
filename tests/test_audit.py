"""The log has one line for each refusal, and receivers learn of every authentication."""

import logging
from types import SimpleNamespace

import pytest
from django.test import Client

from frappe_tokens import audit, crypto
from frappe_tokens.exceptions import Reason, Refused
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey
from frappe_tokens.signals import authentication_failed, authentication_succeeded

from .client import WHO, ask, with_wrong_secret
from .conftest import receiving, token_header
from .sources.models import Sensor


def lines(caplog):
    return [vars(record) for record in caplog.records if record.name == "frappe_tokens"]


def logged(caplog):
    """The events in the log and their fields."""
    return [
        (line["event"], {name: line[name] for name in audit.FIELDS[line["event"]]})
        for line in lines(caplog)
    ]


def only_line(caplog):
    ((_event, fields),) = logged(caplog)
    return fields


@pytest.fixture
def received():
    """The calls of receivers of the signals about requests."""
    with receiving(authentication_succeeded, authentication_failed) as calls:
        yield calls


def get(header, path=WHO, **headers):
    headers = {"authorization": header, **headers}
    return Client(REMOTE_ADDR="192.0.2.1").get(path, headers=headers)


def test_fields_are_none_that_logging_has_itself():
    own = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
    for fields in audit.FIELDS.values():
        assert not own & {"event", *fields}


@pytest.mark.django_db
def test_accepted_request_is_announced_and_not_logged(keys, log, received):
    assert get(token_header(keys), f"{WHO}?with=query").status_code == 200

    assert logged(log) == []
    assert received == [
        {
            "signal": authentication_succeeded,
            "sender": ApiKey,
            "instance": keys.instance,
            "address": "192.0.2.1",
            "method": "GET",
            "path": WHO,
        }
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("token", "code", "shows_key", "owner"),
    [
        ("{key}:{secret}", "key_revoked", True, "ada"),
        # Only the right secret shows whose the key is.
        ("{key}:{wrong}", "invalid_credentials", True, None),
        ("{key}:{secret}x", "malformed_credentials", False, None),
        ("nonsense", "malformed_credentials", False, None),
    ],
)
def test_refusal_is_announced_and_logged(keys, log, received, token, code, shows_key, owner):
    revoke(keys.instance)
    wrong = crypto.generate_api_secret()
    token = token.format(key=keys.api_key, secret=keys.api_secret, wrong=wrong)

    get(f"token {token}", f"{WHO}?with=query")

    api_key = keys.api_key if shows_key else ""
    request = {"code": code, "api_key": api_key, "method": "GET", "path": WHO}
    line = {**request, "status": 401, "source": "User", "user": owner, "ip": "192.0.2.1"}
    assert logged(log) == [("request_refused", line)]
    message = f"Refused GET {WHO} from 192.0.2.1: {code}, API key {api_key!r}."
    assert [line["message"] for line in lines(log)] == [message]
    assert received == [
        {"signal": authentication_failed, "sender": None, "address": "192.0.2.1", **request}
    ]


@pytest.mark.django_db
def test_one_failure_too_many_is_announced_as_such(keys, settings, received):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "1/minute"}

    for _ in range(3):
        ask(with_wrong_secret(keys))

    codes = [call["code"] for call in received]
    assert codes == ["invalid_credentials", "too_many_failures", "too_many_failures"]
    assert {call["api_key"] for call in received} == {keys.api_key}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("requested", "named"),
    [("User", "User"), ("EventConsumer", "EventConsumer"), ("my secret", "")],
)
def test_source_is_named_if_it_exists(log, requested, named):
    get("token key:secret", frappe_authorization_source=requested)

    line = only_line(log)
    assert (line["api_key"], line["source"]) == ("key", named)
    assert "my secret" not in repr(lines(log))


@pytest.mark.django_db
@pytest.mark.parametrize("source", ["User", "Nobody"])
def test_secret_in_place_of_the_api_key_is_not_shown(log, source):
    get(f"token {'a1' * 20}:secret", frappe_authorization_source=source)

    assert only_line(log)["api_key"] == "********"


@pytest.mark.django_db
def test_refusal_of_a_row_without_a_user_names_none(settings, log):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Sensor": "sources.Sensor"}}
    secret = crypto.generate_api_secret()
    row = Sensor.objects.create(secret_digest=crypto.make_digest(secret))

    get(f"token {row.api_key}:{secret}", frappe_authorization_source="Sensor")

    line = only_line(log)
    assert (line["code"], line["user"], line["source"]) == ("user_inactive", None, "Sensor")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("%0A%1B[31m2026 Accepted%0Dx%3Ftoken=hunter2", "\ufffd\ufffd[31m2026 Accepted\ufffdx"),
        ("{0.token}", "{0.api_key}:fts_********"),
    ],
    ids=["lines and colors", "secret"],
)
def test_path_shows_no_secret_and_cannot_forge_lines(keys, log, path, shown):
    get("token nonsense", "/api/method/" + path.format(keys))

    assert only_line(log)["path"] == "/api/method/" + shown.format(keys)
    assert log.messages[0].isprintable()
    assert keys.api_secret not in repr(lines(log))


def test_long_texts_are_cut(log):
    request = {"address": "", "method": "M" * 30, "path": "/-" * 400}

    audit.refused(Refused(Reason.MALFORMED_CREDENTIALS), None, "", request)

    line = only_line(log)
    assert (len(line["method"]), len(line["path"])) == (16, 500)


def test_names_cannot_forge_lines(log):
    user = SimpleNamespace(get_username=lambda: "ada\n2026 Revoked\x1b[2J" + "x" * 300)
    key = ApiKey(api_key="ftk_1", name="na\nme")
    key._state.fields_cache["user"] = user

    audit.key_event("keys_generated", key, user, False)

    line = only_line(log)
    assert line["key_name"] == "na\ufffdme"
    assert line["user"] == line["by"] == ("ada\ufffd2026 Revoked\ufffd[2J" + "x" * 300)[:200]
    assert log.messages[0].isprintable()


def test_names_that_are_not_text_are_logged_as_text(log):
    key = ApiKey(api_key="ftk_1")
    key._state.fields_cache["user"] = SimpleNamespace(get_username=lambda: 7)

    audit.key_event("key_revoked", key, None, "")

    assert only_line(log)["user"] == "7"


@pytest.mark.django_db(transaction=True)
def test_nothing_is_logged_unless_somebody_listens(monkeypatch, user):
    monkeypatch.setattr(audit.logger, "info", lambda *args, **extra: pytest.fail("was logged"))

    assert not audit.is_heard()
    keys = generate_keys(user)
    revoke(keys.instance)

    assert ask(keys).json()["code"] == "key_revoked"
