"""What users see of their own keys."""

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from frappe_tokens.account.views import REVOKED_SHOWN
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey

from .conftest import LIST, page_of, text_of

NOON = "2026-03-01T12:00:00+00:00"


def test_says_what_to_do_where_there_is_no_key(ada):
    page = text_of(ada.get(LIST))

    assert "No API key" in page
    assert "Choose “New key”" in page
    assert f'href="{LIST}new/"' in page


@time_machine.travel(NOON, tick=False)
def test_shows_a_key_with_its_limits_and_its_use(ada, user):
    key = generate_keys(
        user,
        name="deploy",
        scopes=["todos", "events"],
        read_only=True,
        allowed_ips=["192.0.2.0/24"],
        rate_limit="100/minute",
        expires_at=timezone.now() + timedelta(days=30),
    ).instance
    ApiKey.objects.update(last_used_at=timezone.now(), last_used_ip="192.0.2.7")

    page = text_of(ada.get(LIST))

    for shown in (
        "deploy",
        key.api_key,
        "Active",
        "read-only",
        "scope todos",
        "scope events",
        "from 192.0.2.0/24",
        "100/minute",
        "March 31, 2026, noon",
        "March 1, 2026, noon",
        "from 192.0.2.7",
        page_of(key, "rotate"),
        page_of(key, "rename"),
        page_of(key, "revoke"),
    ):
        assert shown in page


def test_says_that_a_key_was_never_used_and_has_no_limits(ada, user):
    generate_keys(user)

    page = text_of(ada.get(LIST))

    assert "Without a name" in page
    assert "None: it may do everything that you may do." in page
    assert page.count("Never") == 2


def test_shows_no_digest(ada, user):
    generate_keys(user)
    key = generate_keys(user, grace=timedelta(hours=1)).instance

    page = text_of(ada.get(LIST))

    assert key.secret_digest not in page
    assert key.previous_digest not in page
    assert "sha256" not in page


def test_tells_whether_an_old_secret_is_still_in_use(ada, user):
    with time_machine.travel(NOON, tick=False) as moment:
        ada.force_login(user)
        generate_keys(user)
        generate_keys(user, grace=timedelta(hours=1))
        page = text_of(ada.get(LIST))
        assert "Old secret works until" in page
        assert "March 1, 2026, 1 p.m." in page
        assert "not used since the rotation" in page

        ApiKey.objects.update(previous_used_at=timezone.now())
        assert "still in use: last used on March 1, 2026, noon" in text_of(ada.get(LIST))

        moment.shift(timedelta(hours=1))
        assert "Old secret" not in text_of(ada.get(LIST))


def test_an_expired_key_is_not_offered_for_rotation(ada, user):
    key = generate_keys(user).instance
    ApiKey.objects.update(expires_at=timezone.now())

    page = text_of(ada.get(LIST))

    assert "Expired" in page
    assert page_of(key, "rotate") not in page
    assert page_of(key, "revoke") in page


def test_revoked_keys_stay_listed_with_their_reason(ada, user):
    key = generate_keys(user, name="old").instance
    revoke(key, reason="the laptop was stolen")

    page = text_of(ada.get(LIST))

    assert "Revoked keys" in page
    assert key.api_key in page
    assert "the laptop was stolen" in page
    assert page_of(key, "revoke") not in page
    assert "older one" not in page


def test_counts_the_revoked_keys_that_it_does_not_list(ada, user):
    made = [generate_keys(user, name=str(n)).instance for n in range(REVOKED_SHOWN + 2)]
    for key in made:
        revoke(key)

    page = text_of(ada.get(LIST))

    assert "and 2 older keys" in page
    assert made[-1].api_key in page
    assert made[0].api_key not in page


def test_shows_a_row_without_a_secret(ada, user):
    ApiKey.objects.create(user=user)

    assert "None yet" in text_of(ada.get(LIST))


def test_shows_the_users_own_keys_alone(ada, keys, make_user):
    other = generate_keys(make_user("grace"), name="grace's own").instance
    revoked = generate_keys(make_user("hedy"), name="hedy's old one").instance
    revoke(revoked)

    page = text_of(ada.get(LIST))

    assert keys.api_key in page
    assert other.api_key not in page
    assert revoked.api_key not in page


def test_escapes_what_users_have_written(ada, user):
    key = generate_keys(user, name="<b>bold</b>").instance
    assert "<b>bold" not in text_of(ada.get(LIST))
    for what in ("rotate", "rename", "revoke"):
        assert "<b>bold" not in text_of(ada.get(page_of(key, what)))

    revoke(key, reason="<i>why</i>")

    assert "<i>why" not in text_of(ada.get(LIST))


def test_reads_from_where_keys_are_written(ada, user, settings):
    settings.DATABASE_ROUTERS = ["tests.admin.test_user_page.LaggingReplica"]
    key = generate_keys(user).instance

    assert key.api_key in text_of(ada.get(LIST))
    assert ada.get(page_of(key, "rotate")).status_code == 200


def test_costs_as_many_queries_with_many_keys(ada, user, statements):
    def ask():
        with statements() as verbs:
            ada.get(LIST)
        return verbs

    generate_keys(user)
    few = ask()
    for name in ("a", "b", "c"):
        generate_keys(user, name=name)

    assert ask() == few
    assert set(few) == {"SELECT"}


@pytest.mark.parametrize("language", ["en", "ar"])
def test_says_its_language_and_direction(ada, settings, language):
    settings.LANGUAGE_CODE = language
    direction = "rtl" if language == "ar" else "ltr"

    assert f'<html lang="{language}" dir="{direction}">' in text_of(ada.get(LIST))


def test_a_project_may_lay_the_pages_into_its_own(ada, settings):
    own = {
        "frappe_tokens/account/base.html": (
            "<title>{% block title %}{% endblock %} of ours</title>"
            "{% block extrahead %}{% endblock %}<nav>Our site</nav>"
            "{% block content %}{% endblock %}"
        )
    }
    (engine,) = settings.TEMPLATES
    loaders = [
        ("django.template.loaders.locmem.Loader", own),
        "django.template.loaders.app_directories.Loader",
    ]
    options = {**engine["OPTIONS"], "loaders": loaders}
    settings.TEMPLATES = [{"BACKEND": engine["BACKEND"], "OPTIONS": options}]

    page = text_of(ada.get(f"{LIST}new/"))

    assert "<title>New API key of ours</title>" in page
    assert "<nav>Our site</nav>" in page
    assert "account.css" in page
    assert 'name="allowed_ips"' in page
