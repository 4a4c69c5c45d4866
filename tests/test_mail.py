"""Mails to the users of keys."""

import pytest
from django.utils import translation

from frappe_tokens.keys.mail import send

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
    assert (mail.to, mail.subject, mail.body) == (
        ["ada@example.com"],
        "ada's key 7",
        "Text for ada",
    )
    assert [tuple(each) for each in mail.alternatives] == [("<p>7</p>", "text/html")]
    assert mail.message()["Auto-Submitted"] == "auto-generated"


def test_mail_is_in_the_language_of_the_site(user, mailoutbox, templates, settings):
    user.email = "ada@example.com"
    settings.LANGUAGE_CODE = "fr"
    templates(f"{NAME}_subject.txt", "{% load i18n %}{% translate 'Yes' %}")

    with translation.override("de"):
        send(user, NAME, {})

    assert mailoutbox[0].subject == "Oui"


@pytest.mark.parametrize(("address", "subject"), [("", "A subject"), ("ada@example.com", " \n")])
def test_nothing_is_sent_without_an_address_or_a_subject(
    user, mailoutbox, templates, address, subject
):
    user.email = address
    templates(f"{NAME}_subject.txt", subject)

    assert send(user, NAME, {}) is False
    assert mailoutbox == []
