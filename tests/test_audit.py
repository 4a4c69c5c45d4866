"""One line for each refusal, generation and revocation."""

import base64
import logging
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from django.db import transaction
from django.test import Client

from frappe_tokens import audit, crypto
from frappe_tokens.exceptions import Reason, Refused
from frappe_tokens.keys import (
    generate_keys,
    generate_keys_for_source,
    generate_keys_for_users,
    revoke,
    revoke_leaked,
)
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey
from frappe_tokens.signals import keys_generated

from .account.conftest import make_key
from .conftest import PASSWORD, token_header
from .sources.models import Robot, Sensor

WHO = "/api/method/frappe.auth.get_logged_user"
GENERATE = "/api/method/frappe.core.doctype.user.user.generate_keys"


class Lines(logging.Handler):
    """What was said, each record as its event and the fields that belong to it."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)

    def __iter__(self):
        for record in self.records:
            event = vars(record)["event"]
            yield event, {name: vars(record)[name] for name in audit.FIELDS[event]}

    def one(self):
        ((_event, fields),) = self
        return fields

    def text(self):
        ((record,)) = self.records
        return record.getMessage()


@pytest.fixture
def lines():
    lines = Lines()
    logger = logging.getLogger("frappe_tokens")
    before = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    yield lines
    logger.setLevel(before)
    logger.removeHandler(lines)


def ask(header, path=WHO, **extra):
    return Client(REMOTE_ADDR="192.0.2.1").get(path, headers={"authorization": header}, **extra)


def test_fields_are_none_that_logging_has_itself():
    own = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
    for fields in audit.FIELDS.values():
        assert not own & {"event", *fields}


def test_nobody_listens_by_default():
    assert not audit.is_heard()


# Refusals


@pytest.mark.django_db
def test_refusal_is_said_with_all_that_is_known(keys, lines):
    revoke(keys.instance)
    lines.records.clear()
    ask(token_header(keys), f"{WHO}?with=query")
    (record,) = lines.records
    assert (record.name, record.levelno) == ("frappe_tokens", logging.INFO)
    assert list(lines) == [
        (
            "request_refused",
            {
                "code": "key_revoked",
                "status": 401,
                "api_key": keys.api_key,
                "source": "User",
                "user": "ada",
                "ip": "192.0.2.1",
                "method": "GET",
                "path": WHO,
            },
        )
    ]
    assert record.getMessage() == (
        f"Refused GET {WHO} from 192.0.2.1: key_revoked, API key '{keys.api_key}'."
    )


@pytest.mark.django_db
def test_user_is_named_for_a_right_secret_alone(keys, lines):
    ask(f"token {keys.api_key}:{crypto.generate_api_secret()}")
    said = lines.one()
    assert (said["code"], said["api_key"]) == ("invalid_credentials", keys.api_key)
    assert said["user"] is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("header", "source"),
    [({}, "User"), ({"frappe-authorization-source": "EventConsumer"}, "EventConsumer")],
)
def test_source_is_named(lines, header, source):
    Client().get(WHO, headers={"authorization": "token key:secret", **header})
    assert lines.one()["source"] == source


@pytest.mark.django_db
def test_source_that_there_is_not_is_not_named(lines):
    Client().get(
        WHO, headers={"authorization": "token a:b", "frappe-authorization-source": "my secret"}
    )
    assert lines.one()["source"] == ""
    assert "my secret" not in repr(vars(lines.records[0]))


@pytest.mark.django_db
@pytest.mark.parametrize("scheme", ["token", "basic", "bearer"])
def test_swapped_halves_are_named_nowhere(scheme, lines):
    secret = crypto.generate_api_secret()
    token = f"{secret}:{crypto.generate_api_key()}"
    value = base64.b64encode(token.encode()).decode() if scheme == "basic" else token
    ask(f"{scheme} {value}")
    said = lines.one()
    assert (said["code"], said["api_key"]) == ("malformed_credentials", "")
    assert str(secret) not in repr(vars(lines.records[0]))


@pytest.mark.django_db
def test_refusal_of_a_row_without_a_user_names_none(settings, lines):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Sensor": "sources.Sensor"}}
    secret = crypto.generate_api_secret()
    row = Sensor.objects.create(secret_digest=crypto.make_digest(secret))
    Client().get(
        WHO,
        headers={
            "authorization": f"token {row.api_key}:{secret}",
            "frappe-authorization-source": "Sensor",
        },
    )
    said = lines.one()
    assert (said["code"], said["user"], said["source"]) == ("user_inactive", None, "Sensor")


@pytest.mark.django_db
def test_lines_and_terminals_are_safe_from_addresses(lines):
    ask("token nonsense", "/api/resource/ToDo/%0A%1B[31m2026 Accepted%0Dx%3Ftoken=hunter2")
    said = lines.one()
    assert said["path"] == "/api/resource/ToDo/\ufffd\ufffd[31m2026 Accepted\ufffdx"
    assert lines.text().isprintable()


@pytest.mark.django_db
def test_secret_in_the_address_is_hidden(keys, lines):
    ask("token nonsense", f"/api/method/{keys.token}")
    assert lines.one()["path"] == f"/api/method/{keys.api_key}:fts_********"
    assert keys.api_secret not in repr(vars(lines.records[0]))


def test_long_texts_are_cut(lines):
    request = {"address": "", "method": "M" * 30, "path": "/-" * 400}
    audit.refused(Refused(Reason.MALFORMED_CREDENTIALS), None, "", request)
    said = lines.one()
    assert (len(said["method"]), len(said["path"])) == (16, 500)


@pytest.mark.django_db
def test_accepted_request_is_not_said(keys, lines):
    assert ask(token_header(keys)).status_code == 200
    assert lines.records == []


@pytest.mark.django_db
def test_nothing_is_put_together_where_nobody_listens(monkeypatch, user):
    monkeypatch.delattr(audit, "_log")
    with transaction.atomic():
        keys = generate_keys(user)
        revoke(keys.instance)
    assert ask(token_header(keys)).json()["code"] == "key_revoked"


# Keys


@pytest.mark.django_db(transaction=True)
def test_generating_and_rotating_are_said_after_the_commit(user, system_manager, lines):
    with transaction.atomic():
        made = generate_keys(user, name="deploy", by=Actor(system_manager))
        assert lines.records == []
    generate_keys(user, name="deploy")
    said = {
        "api_key": made.api_key,
        "key_model": "frappe_tokens.ApiKey",
        "key_name": "deploy",
        "user": "ada",
    }
    assert list(lines) == [
        ("keys_generated", {**said, "by": "manager", "rotated": False}),
        ("keys_generated", {**said, "by": None, "rotated": True}),
    ]
    assert lines.records[0].getMessage() == (
        f"Generated a secret for API key {made.api_key} of ada."
    )
    assert made.api_secret not in repr([vars(record) for record in lines.records])


@pytest.mark.django_db(transaction=True)
def test_revoking_is_said_once(keys, system_manager, lines):
    revoke(keys.instance, reason="lost", by=Actor(system_manager))
    revoke(keys.instance, reason="again")
    assert list(lines) == [
        (
            "key_revoked",
            {
                "api_key": keys.api_key,
                "key_model": "frappe_tokens.ApiKey",
                "key_name": "",
                "user": "ada",
                "by": "manager",
                "reason": "lost",
            },
        )
    ]
    assert lines.text() == f"Revoked API key {keys.api_key} of ada. Reason: lost"


@pytest.mark.django_db(transaction=True)
def test_reason_is_shown_without_the_secret_that_it_tells_of(keys, lines):
    revoke(keys.instance, reason=f"{keys.token} was in a\nchat")
    assert lines.one()["reason"] == f"{keys.api_key}:fts_******** was in a\ufffdchat"


@pytest.mark.django_db(transaction=True)
def test_report_of_a_leaked_token_is_said(keys, lines):
    assert revoke_leaked(keys.api_key, keys.api_secret)
    said = lines.one()
    assert (said["api_key"], said["by"], said["reason"]) == (
        keys.api_key,
        None,
        "Reported as leaked.",
    )


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_not_said(keys, lines):
    with transaction.atomic():
        generate_keys(keys.instance.user)
        revoke(keys.instance)
        transaction.set_rollback(True)
    assert lines.records == []


@pytest.mark.django_db(transaction=True)
def test_each_of_many_is_said_without_a_query_more(make_user, lines, django_assert_num_queries):
    users = [make_user(f"user{number}") for number in range(300)]
    generate_keys(users[7])
    lines.records.clear()
    logging.getLogger("frappe_tokens").setLevel(logging.WARNING)
    keys_generated.connect(lambda **_: None)  # and it is gone
    with transaction.atomic():
        generate_keys_for_users(users)
        assert not transaction.get_connection().run_on_commit
    logging.getLogger("frappe_tokens").setLevel(logging.INFO)
    with transaction.atomic():
        made = generate_keys_for_users(users)
        callbacks = transaction.get_connection().run_on_commit
        assert len(callbacks) == 2  # one for every batch
        transaction.set_rollback(True)
        for _savepoints, tell, _robust in callbacks:
            with django_assert_num_queries(0):
                tell()
    assert [fields["api_key"] for _event, fields in lines] == [keys.api_key for keys in made]
    assert all(fields["rotated"] for _event, fields in lines)


@pytest.mark.django_db(transaction=True)
def test_key_of_another_source_is_said_with_its_model(user, lines):
    robot = Robot.objects.create(user=user)
    generate_keys_for_source(robot)
    said = lines.one()
    assert (said["key_model"], said["key_name"], said["user"]) == ("sources.Robot", "", "ada")


@pytest.mark.django_db(transaction=True)
def test_revoking_a_row_without_a_user_is_said(lines):
    sensor = Sensor.objects.create()
    revoke(sensor)
    said = lines.one()
    assert (said["key_model"], said["user"]) == ("sources.Sensor", None)


def test_names_cannot_forge_lines(lines):
    user = SimpleNamespace(get_username=lambda: "ada\n2026 Revoked\x1b[2J" + "x" * 300)
    key = ApiKey(api_key="ftk_1", name="na\nme")
    key._state.fields_cache["user"] = user
    audit.key_event("keys_generated", key, user, False)
    said = lines.one()
    assert said["key_name"] == "na\ufffdme"
    assert said["user"] == said["by"] == ("ada\ufffd2026 Revoked\ufffd[2J" + "x" * 300)[:200]
    assert lines.text().isprintable()


def test_names_that_are_no_text_are_said_as_text(lines):
    key = ApiKey(api_key="ftk_1")
    key._state.fields_cache["user"] = SimpleNamespace(get_username=lambda: 7)
    audit.key_event("key_revoked", key, None, "")
    assert lines.one()["user"] == "7"


# Every way in


@pytest.mark.django_db(transaction=True)
def test_calls_of_frappe_and_of_rest_are_said_with_who_asked(user, system_manager, lines):
    header = {"authorization": token_header(generate_keys(system_manager))}
    lines.records.clear()
    client = Client()
    assert client.post(GENERATE, {"user": "ada"}, headers=header).status_code == 200
    body = {"user": "ada", "name": "x"}
    made = client.post("/api/keys/", body, "application/json", headers=header).json()
    client.post(f"/api/keys/{made['api_key']}/rotate/", {}, "application/json", headers=header)
    client.delete(f"/api/keys/{made['api_key']}/", headers=header)
    assert [(event, said["key_name"], said["by"]) for event, said in lines] == [
        ("keys_generated", "", "manager"),
        ("keys_generated", "x", "manager"),
        ("keys_generated", "x", "manager"),
        ("key_revoked", "x", "manager"),
    ]
    assert [said.get("rotated") for _event, said in lines] == [False, False, True, None]


@pytest.mark.django_db(transaction=True)
def test_self_service_and_admin_are_said_with_who_asked(make_user, settings, lines):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    root = make_user("root", is_staff=True, is_superuser=True)
    client = Client()
    assert client.login(username="root", password=PASSWORD)
    make_key(client, name="mine")
    client.post("/admin/frappe_tokens/apikey/add/", {"user": root.pk, "name": "theirs"})
    assert [(said["key_name"], said["by"]) for _event, said in lines] == [
        ("mine", "root"),
        ("theirs", "root"),
    ]


@pytest.mark.django_db(transaction=True)
def test_commands_are_said(user, lines, tmp_path, capsys):
    call_command("generate_keys", "ada")
    (key,) = ApiKey.objects.all()
    call_command("revoke_keys", key.api_key)
    listed = tmp_path / "keys.csv"
    listed.write_text("user,api_key,api_secret\nada,0a1b2c3d4e5f607,fedcba987654321\n")
    call_command("import_keys", str(listed))
    assert [(event, said["api_key"], said["by"]) for event, said in lines] == [
        ("keys_generated", key.api_key, None),
        ("key_revoked", key.api_key, None),
        ("keys_generated", "0a1b2c3d4e5f607", None),
    ]
    secrets = [line.split()[-1] for line in capsys.readouterr().out.splitlines() if "fts_" in line]
    said = repr([vars(record) for record in lines.records])
    assert "fedcba987654321" not in said
    assert secrets
    assert not any(secret in said for secret in secrets)
