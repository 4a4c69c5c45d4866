"""With ``NOTIFY_CHANGES``, users get mails about what others did to their keys."""

import re
from datetime import timedelta

import pytest
from django.core.mail.backends.locmem import EmailBackend
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone, translation

from frappe_tokens.keys import (
    Actor,
    ImportedPair,
    disable,
    enable,
    generate_keys,
    generate_keys_for_source,
    generate_keys_for_users,
    generation,
    import_keys,
    importing,
    revoke,
)
from frappe_tokens.keys.mail import MOST_EMAILS

from .account.conftest import version_on
from .sources.models import Robot, Sensor

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def notify_changes(settings):
    settings.FRAPPE_TOKENS = {"NOTIFY_CHANGES": True, "SELF_SERVICE": True}


@pytest.fixture
def ada(make_user):
    return make_user("ada", email="ada@example.com")


@pytest.fixture
def by(make_user):
    return Actor(make_user("root", is_superuser=True, email="root@example.com"))


@pytest.fixture
def single_changes(monkeypatch):
    """The most emails that a request sends is one."""
    monkeypatch.setattr("frappe_tokens.keys.mail.MOST_EMAILS", 1)


@pytest.mark.usefixtures("single_changes")
def test_users_get_mails_about_what_others_did(ada, by, mailoutbox):
    made = generate_keys(ada, name="ci", by=by)
    until = timezone.now() + timedelta(days=1)
    rotated = generate_keys(ada, name="ci", grace=timedelta(hours=1), expires_at=until, by=by)
    key = rotated.instance
    disable(key, by=by)
    enable(key, by=by)
    revoke(key, reason=f"{rotated.api_secret} was in a chat", by=by)

    assert [(mail.to, mail.subject) for mail in mailoutbox] == [
        (["ada@example.com"], subject)
        for subject in (
            "An API key was generated for you",
            "Your API key has a new secret",
            "Your API key was disabled",
            "Your API key was enabled again",
            "Your API key was revoked",
        )
    ]
    for mail in mailoutbox:
        ((html, _kind),) = mail.alternatives
        for text in (mail.body, html):
            assert "root" in text
            assert made.api_key in text
            assert made.api_secret not in text
            assert rotated.api_secret not in text
    for part in ("Expires: ", "Old secret works until: "):
        assert [part in mail.body for mail in mailoutbox] == [False, True, False, False, False]
    assert "Reason: fts_******** was in a chat\nBy: root\n" in mailoutbox[-1].body


def test_digest_that_is_kept_against_replays_is_no_old_secret_that_works(
    ada, by, mailoutbox, settings
):
    settings.FRAPPE_TOKENS |= {"REVOKE_ON_REPLAY": True}
    generate_keys(ada)

    generate_keys(ada, by=by)

    assert mailoutbox[-1].subject == "Your API key has a new secret"
    assert "Old secret" not in mailoutbox[-1].body
    assert "Old secret" not in mailoutbox[-1].alternatives[0][0]


@pytest.mark.usefixtures("single_changes")
@pytest.mark.parametrize("command", [["generate_keys", "ada"], ["revoke_keys", "--user", "ada"]])
def test_users_get_mails_about_what_commands_did(ada, by, mailoutbox, command, capsys):
    generate_keys(ada, by=Actor(ada))

    call_command(*command)

    (mail,) = mailoutbox
    assert "By: the system" in mail.body


def test_users_get_mails_about_keys_of_other_sources(ada, by, mailoutbox):
    generate_keys_for_source(Robot.objects.create(user=ada), by=by)
    revoke(Sensor.objects.create(), by=by)

    assert [mail.subject for mail in mailoutbox] == ["An API key was generated for you"]


def test_users_get_no_mails_about_what_they_did_themselves(ada, by, make_user, mailoutbox):
    revoke(generate_keys(ada, by=Actor(ada)).instance, by=Actor(ada))
    # Nor do users without an address, or inactive ones.
    generate_keys(make_user("grace"), by=by)
    inactive = generate_keys(make_user("hedy", email="hedy@example.com"), by=by).instance
    inactive.user.is_active = False
    inactive.user.save()
    mailoutbox.clear()
    revoke(inactive, by=by)

    assert mailoutbox == []


def test_is_off_by_default(ada, by, mailoutbox, settings):
    settings.FRAPPE_TOKENS = {}

    generate_keys(ada, by=by)

    assert mailoutbox == []


def test_nothing_is_sent_before_the_commit(ada, by, mailoutbox):
    with transaction.atomic():
        generate_keys(ada, by=by)
        assert mailoutbox == []
    assert len(mailoutbox) == 1

    with transaction.atomic():
        generate_keys(ada, name="other", by=by)
        transaction.set_rollback(True)
    assert len(mailoutbox) == 1


def test_mail_is_in_the_language_and_time_zone_of_the_site(ada, by, mailoutbox, settings):
    settings.LANGUAGE_CODE = "fr"
    settings.TIME_ZONE = "Europe/Paris"
    generate_keys(ada)

    with translation.override("de"), timezone.override("Asia/Tokyo"):
        generate_keys(ada, grace=timedelta(hours=1), by=by)

    mail = mailoutbox[-1]
    assert '<html lang="fr">' in mail.alternatives[0][0]
    assert re.search(r"^Old secret works until: .+ CES?T$", mail.body, re.MULTILINE)


@pytest.mark.parametrize(
    ("site", "urls", "has_link"),
    [
        ("https://example.com", "testproject.urls", True),
        ("", "testproject.urls", False),
        ("https://example.com", "frappe_tokens.urls", False),
    ],
    ids=["with both", "without SITE_URL", "without the page"],
)
def test_mail_links_to_the_users_own_page(ada, by, mailoutbox, settings, site, urls, has_link):
    settings.FRAPPE_TOKENS = {"NOTIFY_CHANGES": True, "SITE_URL": site}
    settings.ROOT_URLCONF = urls

    generate_keys(ada, by=by)

    ((html, _kind),) = mailoutbox[0].alternatives
    assert ("https://example.com/account/api-keys/" in mailoutbox[0].body) == has_link
    assert ('<a href="https://example.com/account/api-keys/">' in html) == has_link
    for text in (mailoutbox[0].body, html):
        assert ("Manage your API keys" in text) == has_link


def test_failing_mail_server_is_logged_and_changes_nothing(ada, by, monkeypatch, caplog):
    def fail(self, messages):
        raise OSError("the mail server is away")

    monkeypatch.setattr(EmailBackend, "send_messages", fail)

    key = generate_keys(ada, by=by).instance

    assert key.pk is not None
    assert "the mail server is away" in caplog.text


@pytest.mark.parametrize(("count", "mails"), [(MOST_EMAILS, MOST_EMAILS), (MOST_EMAILS + 1, 0)])
def test_bulk_generation_sends_few_mails_or_none(
    make_user, by, mailoutbox, caplog, monkeypatch, count, mails
):
    # The last user is a batch of their own.
    for module in (generation, importing):
        monkeypatch.setattr(module, "BATCH_SIZE", MOST_EMAILS)
    users = [make_user(f"user{number}", email=f"{number}@example.com") for number in range(count)]

    generate_keys_for_users(users, by=by)
    assert len(mailoutbox) == mails

    pairs = [
        ImportedPair(number, user.get_username(), f"imported{number}", "0123456789abcdef", "other")
        for number, user in enumerate(users)
    ]
    import_keys(pairs)

    assert len(mailoutbox) == 2 * mails
    assert caplog.text.count("No email is sent") == (0 if mails else 4)


KEYS = "/admin/frappe_tokens/apikey/"


@pytest.mark.parametrize("action", ["disable_keys", "enable_keys", "revoke_keys", "generate_keys"])
@pytest.mark.parametrize(("most", "mails"), [(2, 2), (1, 0)], ids=["few", "many"])
def test_action_of_the_admin_sends_few_mails_or_none(
    client, make_user, mailoutbox, monkeypatch, action, most, mails
):
    monkeypatch.setattr("frappe_tokens.keys.mail.MOST_EMAILS", most)
    users = [make_user(name, email=f"{name}@example.com") for name in ("ada", "grace")]
    keys = [generate_keys(user).instance for user in users]
    if action == "enable_keys":
        for key in keys:
            disable(key)
    mailoutbox.clear()
    client.force_login(make_user("root", is_superuser=True, is_staff=True))

    form = {"action": action, "_selected_action": [key.pk for key in keys]}
    asked = client.post(KEYS, form)
    if action in ("revoke_keys", "generate_keys"):
        client.post(KEYS, {**form, "version": version_on(asked), "grace": 0})

    assert len(mailoutbox) == mails
