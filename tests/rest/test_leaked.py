"""``POST keys/revoke-leaked/``: whoever holds a leaked token can end it."""

import json
from datetime import datetime, timedelta, timezone

import pytest
import time_machine
from django.db import OperationalError, connection
from django.test import Client

from frappe_tokens import crypto
from frappe_tokens.keys import generate_keys, generate_keys_for_source, revoke
from frappe_tokens.models import ApiKey
from tests.sources.models import Robot

from ..conftest import PASSWORD, token_header
from .conftest import assert_refused, assert_wrong, rows, send, works

pytestmark = pytest.mark.django_db

REPORT = "revoke-leaked/"
# Twenty seconds into a minute.
NOW = datetime(2026, 1, 31, 12, 0, 20, tzinfo=timezone.utc)


def report(token, **options):
    return send(None, "POST", REPORT, {"token": token}, **options)


def wrong(generated):
    return f"{generated.api_key}:{crypto.generate_api_secret()}"


def info(response):
    return response.status_code, response.content, str(response.headers)


@pytest.mark.parametrize("slash", ["", "/"])
def test_ends_the_key_of_a_token(keys, user, slash):
    other = generate_keys(user, name="other")
    response = send(None, "POST", f"revoke-leaked{slash}", {"token": keys.token})
    assert response.status_code == 204
    assert response.content == b""
    assert "no-store" in response["Cache-Control"]
    assert not works(keys.api_key, keys.api_secret)
    assert works(other.api_key, other.api_secret)
    key = ApiKey.objects.get(pk=keys.instance.pk)
    assert key.is_revoked
    assert key.revoked_by is None
    assert key.revoked_reason == "Reported as leaked."


def test_ends_the_key_of_an_old_secret_in_its_grace(keys):
    rotated = generate_keys(keys.instance.user, grace=timedelta(days=1))
    assert report(keys.token).status_code == 204
    assert not works(rotated.api_key, rotated.api_secret)


def test_replaced_secret_ends_nothing(keys):
    rotated = generate_keys(keys.instance.user)
    assert report(keys.token).status_code == 204
    assert works(rotated.api_key, rotated.api_secret)


def test_ends_keys_of_every_source(user, settings):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Robot": "sources.Robot"}}
    robot = Robot.objects.create(user=user)
    generated = generate_keys_for_source(robot)
    assert report(generated.token).status_code == 204
    assert Robot.objects.get().is_revoked


def test_spaces_around_the_token_do_not_matter(keys):
    report(f" \t{keys.token} ")
    assert not works(keys.api_key, keys.api_secret)


@time_machine.travel(NOW, tick=False)  # Expires has the time
def test_answer_does_not_tell_whether_there_was_such_a_key(keys, root, make_user):
    revoked = generate_keys(keys.instance.user, name="revoked")
    revoke(revoked.instance)
    unknown = f"ftk_0000000000000000:{crypto.generate_api_secret()}"
    answers = {
        info(report(token))
        for token in (
            keys.token,
            keys.token,  # revoked by now
            root.token,
            revoked.token,
            wrong(revoked),
            unknown,
            "0123456789abcde:0123456789abcde",
            str(keys.token)[:-1],
            "",
            " ",
            "x",
            ":",
            "a:b",
            "a:b:c",
            f"token {keys.token}",
            f"\u00a0{keys.token}",
            "\x00",
            "a:\x00",
            "\ud800:\udfff",
            "ü:ü",
            "a" * 50_000,
            "a:" + "b" * 50_000,
        )
    }
    assert len(answers) == 1
    assert {status for status, _, _ in answers} == {204}


@pytest.mark.parametrize("text", ["{0}\n", "\n{0}", "\u00a0{0}", "token {0}", "{0} {0}", '"{0}"'])
def test_what_is_no_token_ends_nothing(keys, text):
    before = rows()
    assert report(text.format(keys.token)).status_code == 204
    assert rows() == before


@pytest.mark.parametrize(
    "body", [None, {}, {"Token": "x"}, *({"token": t} for t in (None, 1, True, [], ["a:b"], {}))]
)
def test_missing_token_is_wrong(keys, body):
    assert_wrong(send(None, "POST", REPORT, body), "token")


@pytest.mark.parametrize("body", [b"null", b"1", b'"a:b"', b"[]"])
def test_body_that_is_no_object_is_wrong(keys, body):
    assert_wrong(send(None, "POST", REPORT, body), "non_field_errors")


@pytest.mark.parametrize("body", [b"{", b"\xff", b"token=x", b"[" * 50_000])
def test_broken_json_is_a_parse_error(body):
    assert_refused(send(None, "POST", REPORT, body), 400, "parse_error")


def test_whatever_else_is_said_does_not_keep_a_key_alive(keys):
    send(None, "POST", REPORT, {"token": keys.token, "url": "https://example.com/leak"})
    assert not works(keys.api_key, keys.api_secret)


def test_header_is_not_read(keys, manager):
    revoke(manager.instance)
    for authorization in (token_header(manager), "token", "Basic !", "Bearer x"):
        response = Client().post(
            f"/api/keys/{REPORT}",
            {"token": keys.token},
            content_type="application/json",
            headers={"authorization": authorization},
        )
        assert response.status_code == 204
    assert not works(keys.api_key, keys.api_secret)


def test_session_needs_no_csrf_token(keys):
    browser = Client(enforce_csrf_checks=True)
    assert browser.login(username="ada", password=PASSWORD)
    body = {"token": keys.token}
    response = browser.post(f"/api/keys/{REPORT}", body, content_type="application/json")
    assert response.status_code == 204
    key = ApiKey.objects.get(pk=keys.instance.pk)
    assert (key.is_revoked, key.revoked_by) == (True, None)


def test_malformed_token_costs_no_query(keys, statements):
    with statements() as verbs:
        report("x")
        report(str(keys.token)[:-1])
    assert verbs == []


# Too many


def test_too_many_guesses_have_to_wait(keys, settings):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "3/minute"}
    with time_machine.travel(NOW, tick=False):
        guesses = [wrong(keys) for _ in range(4)]
        assert [report(guess).status_code for guess in guesses[:3]] == [204] * 3
        for _ in range(2):
            response = report(guesses[3])
            assert_refused(response, 429, "too_many_failures")
            assert response["Retry-After"] == "40"
    with time_machine.travel(NOW + timedelta(seconds=40), tick=False):
        assert report(guesses[3]).status_code == 204


def test_right_token_is_revoked_however_many_wrong_ones_were_reported(keys, settings):
    """The answer is that to a wrong one, so that it tells nothing."""
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "3/minute"}
    with time_machine.travel(NOW, tick=False):
        for _ in range(5):
            told_of_wrong = info(report(wrong(keys)))

        assert info(report(keys.token)) == told_of_wrong

    assert told_of_wrong[0] == 429
    assert ApiKey.objects.get().is_revoked


def test_repeated_guess_costs_no_query(keys, settings, statements):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "1/minute"}
    guess = wrong(keys)
    with time_machine.travel(NOW, tick=False):
        report(guess)
        with statements() as verbs:
            assert_refused(report(guess), 429, "too_many_failures")

    assert verbs == []


def test_count_does_not_tell_a_right_secret_from_a_wrong_one(user, settings):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "3/minute"}
    first, second = generate_keys(user), generate_keys(user, name="second")
    with time_machine.travel(NOW, tick=False):
        told = [
            [info(report(token)) for token in (wrong(key), candidate, *[wrong(key)] * 3)]
            for key, candidate in ((first, first.token), (second, wrong(second)))
        ]
    assert told[0] == told[1]
    assert [status for status, _, _ in told[0]] == [204, 204, 204, 429, 429]


def test_guesses_are_counted_with_those_in_the_header(keys, settings):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "3/minute"}
    with time_machine.travel(NOW, tick=False):
        for _ in range(3):
            works(keys.api_key, crypto.generate_api_secret())
        assert_refused(report(wrong(keys)), 429, "too_many_failures")


def test_guess_from_another_process_that_fills_the_count_is_refused(keys, settings, monkeypatch):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "3/minute"}
    with time_machine.travel(NOW, tick=False):
        for _ in range(3):
            report(wrong(keys))
        # What a process has not met itself.
        monkeypatch.setattr("frappe_tokens.verification.limiter._refused", set())
        assert_refused(report(wrong(keys)), 429, "too_many_failures")


def test_other_addresses_need_not_wait(keys, settings):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "3/minute"}
    with time_machine.travel(NOW, tick=False):
        for _ in range(5):
            report(wrong(keys), REMOTE_ADDR="192.0.2.1")
        assert report(wrong(keys), REMOTE_ADDR="192.0.2.2").status_code == 204


# Secrets and failures


def test_token_is_nowhere_else(keys, caplog):
    caplog.set_level("DEBUG")
    response = report(keys.token)
    for place in (str(response.headers), str(response.cookies), caplog.text, repr(rows())):
        assert keys.api_secret not in place


def test_database_that_does_not_answer_is_503(keys):
    def fail(*args):
        raise OperationalError("the server went away")

    with connection.execute_wrapper(fail):
        response = report(keys.token)
    assert_refused(response, 503, "service_unavailable")
    assert response["Retry-After"]


def test_error_page_shows_no_token(keys, monkeypatch, settings):
    def broken(*args):
        raise RuntimeError("broken")

    monkeypatch.setattr("frappe_tokens.api.keys.revoke_leaked", broken)
    settings.DEBUG = True
    client = Client(raise_request_exception=False)
    body = json.dumps({"token": keys.token})
    response = client.post(f"/api/keys/{REPORT}", body, content_type="application/json")
    assert response.status_code == 500
    assert "RuntimeError" in response.content.decode()
    assert keys.api_secret not in response.content.decode()
