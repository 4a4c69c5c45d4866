"""Mails to the users of keys."""

import logging

import pytest
import time_machine
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import transaction

from frappe_tokens import crypto
from frappe_tokens.keys import (
    disable,
    enable,
    generate_keys,
    generate_keys_for_source,
    revoke,
    revoke_leaked,
)
from frappe_tokens.keys.mail import send
from frappe_tokens.models import ApiKey

from .client import NOON
from .sources.models import Sensor

NAME = "key_leaked"


@pytest.fixture
def templates(settings, tmp_path):
    """Templates of the project, which come before those of the app: a function that adds one."""
    folder = tmp_path / "frappe_tokens/mail"
    folder.mkdir(parents=True)
    engine = {**settings.TEMPLATES[0], "DIRS": [tmp_path]}
    settings.TEMPLATES = [engine, *settings.TEMPLATES[1:]]
    return lambda name, text: (folder / name).write_text(text)


def test_mail_has_text_and_html_and_goes_to_the_user(user, mailoutbox, templates):
    user.email = "ada@example.com"
    templates(f"{NAME}_subject.txt", "{{ user }}'s\r\nkey {{ number }}\n")
    templates(f"{NAME}.txt", "Text for {{ user }}")
    templates(f"{NAME}.html", "<p>{{ number }}</p>")

    assert send(user, NAME, {"number": 7}) is True

    (mail,) = mailoutbox
    assert (mail.to, mail.subject) == (["ada@example.com"], "ada's key 7")
    assert mail.body == "Text for ada"
    assert [tuple(each) for each in mail.alternatives] == [("<p>7</p>", "text/html")]
    assert mail.message()["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize(("address", "subject"), [("", "A subject"), ("ada@example.com", " \n")])
def test_nothing_is_sent_without_an_address_or_a_subject(
    user, mailoutbox, templates, address, subject
):
    user.email = address
    templates(f"{NAME}_subject.txt", subject)

    assert send(user, NAME, {}) is False
    assert mailoutbox == []


def test_nothing_is_sent_if_the_user_model_has_no_email_address(
    user, mailoutbox, templates, monkeypatch
):
    monkeypatch.setattr(type(user), "EMAIL_FIELD", "no_such_field")
    templates(f"{NAME}_subject.txt", "A subject")

    assert send(user, NAME, {}) is False
    assert mailoutbox == []


def test_template_of_a_project_gets_every_variable_about_every_change(
    make_user, mailoutbox, templates, settings, django_capture_on_commit_callbacks
):
    settings.FRAPPE_TOKENS = {"NOTIFY_CHANGES": True}
    options = settings.TEMPLATES[0]["OPTIONS"] | {"string_if_invalid": "missing"}
    settings.TEMPLATES = [settings.TEMPLATES[0] | {"OPTIONS": options}, *settings.TEMPLATES[1:]]
    variables = ("event", "rotated", "by", "reason")
    templates("key_changed.txt", "|".join(f"{{{{ {name} }}}}" for name in variables))
    ada = make_user("ada", email="ada@example.com")

    with django_capture_on_commit_callbacks(execute=True):
        key = generate_keys(ada).instance
        generate_keys(ada)
        disable(key)
        enable(key)
        revoke(key, reason="leaked")

    assert [mail.body for mail in mailoutbox] == [
        "keys_generated|False|None|",
        "keys_generated|True|None|",
        "key_disabled|False|None|",
        "key_enabled|False|None|",
        "key_revoked|False|None|leaked",
    ]


class FailingHandler(logging.Handler):
    def emit(self, record):
        raise RuntimeError("a handler's own")


@pytest.mark.parametrize(
    "end",
    [
        lambda keys: revoke(keys.instance),
        lambda keys: revoke_leaked("", keys.api_secret),
    ],
    ids=["revoked", "leaked"],
)
def test_failing_mail_and_log_stop_nothing_else(
    make_user, settings, templates, monkeypatch, django_capture_on_commit_callbacks, end
):
    settings.FRAPPE_TOKENS = {"NOTIFY_CHANGES": True}
    templates("key_changed.txt", "{% no_such_tag %}")
    templates("key_leaked.txt", "{% no_such_tag %}")
    keys = generate_keys(make_user("ada", email="ada@example.com"))
    monkeypatch.setattr(logging.getLogger("frappe_tokens.notices"), "handlers", [FailingHandler()])
    later = []

    with django_capture_on_commit_callbacks(execute=True):
        end(keys)
        transaction.on_commit(lambda: later.append("called"))

    assert later == ["called"]


# A key was revoked because it leaked

URL = "https://github.com/octocat/hello/blob/12345600b9cbe38a219f39a9941c9319b600c002/a.txt"


@pytest.fixture
def leak(django_capture_on_commit_callbacks):
    """Report a secret: what is sent after the commit."""

    def report(keys, secret=None, **options):
        with django_capture_on_commit_callbacks(execute=True):
            revoke_leaked("", secret or keys.api_secret, **options)
            assert mail.outbox == []
        return mail.outbox

    return report


@time_machine.travel(NOON, tick=False)
def test_user_of_a_leaked_key_gets_a_mail(make_user, leak, mailoutbox, settings):
    settings.FRAPPE_TOKENS = {"SITE_URL": "https://keys.example", "NOTIFY_CHANGES": True}
    ada = make_user("ada", email="ada@example.com")
    keys = generate_keys(ada, name="R&D <deploy>", description="In CI")
    ApiKey.objects.update(last_used_at=NOON)

    (sent,) = leak(keys, url=URL)  # and no second mail about the revocation

    html, media_type = sent.alternatives[0]
    assert (sent.to, media_type) == (["ada@example.com"], "text/html")
    assert sent.subject == "Your API key was found in public and has been revoked"
    for text in (sent.body, html):
        for part in ("Hello ada,", keys.api_key, "In CI", "Generate a new API key", URL):
            assert part in text
        assert "https://keys.example/account/api-keys/" in text
        assert text.count("2030-02-28 12:00 UTC") == 2
        assert "fts_" not in text
        assert "sha256$" not in text
    assert "Name: R&D <deploy>\n" in sent.body
    assert "R&amp;D &lt;deploy&gt;" in html


def test_mail_leaves_out_what_is_not_known(make_user, leak, mailoutbox):
    (sent,) = leak(generate_keys(make_user("ada", email="ada@example.com")))

    for text in (sent.body, sent.alternatives[0][0]):
        for part in ("Name:", "Description:", "Found at:", "Manage"):
            assert part not in text


def test_secrets_in_the_url_are_hidden(make_user, leak, mailoutbox, settings):
    keys = generate_keys(make_user("ada", email="ada@example.com"))
    settings.FRAPPE_TOKENS = {"SECRET_PREFIX": "acme_"}
    other = crypto.generate_api_secret()

    (sent,) = leak(keys, url=f"https://example.com/?q={keys.api_secret}&r={other[:-1]}\n\nHi")

    assert "https://example.com/?q=********&r=********\ufffd\ufffdHi" in sent.body


@pytest.mark.parametrize("why", ["unknown secret", "no address", "no user", "revoked before"])
def test_no_mail_is_sent(make_user, leak, mailoutbox, settings, why):
    address = "" if why == "no address" else "ada@example.com"
    keys = generate_keys(make_user("ada", email=address))
    secret = crypto.generate_api_secret() if why == "unknown secret" else None
    if why == "no user":
        settings.FRAPPE_TOKENS = {"SOURCES": {"Sensor": "sources.Sensor"}}
        keys = generate_keys_for_source(Sensor.objects.create(user=keys.instance.user))
        Sensor.objects.update(user=None)
    if why == "revoked before":
        revoke(keys.instance)

    assert leak(keys, secret=secret) == []


def test_failure_of_the_mail_is_logged_and_changes_nothing(make_user, leak, monkeypatch, caplog):
    keys = generate_keys(make_user("ada", email="ada@example.com"))
    # None can't be called.
    monkeypatch.setattr(EmailBackend, "send_messages", None)

    leak(keys)

    assert ApiKey.objects.get().is_revoked
    (record,) = caplog.records
    assert record.name == "frappe_tokens.notices"
    assert f"The email about API key {keys.api_key} can't be sent." in caplog.text
    assert keys.api_secret not in caplog.text
