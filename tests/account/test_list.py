"""What users see of their own keys."""

from datetime import datetime, timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from frappe_tokens.account.views import REVOKED_SHOWN
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey
from tests.html import elements, text

from .conftest import LIST, NEW, page_of, text_of

NOON = datetime.fromisoformat("2026-03-01T12:00:00+00:00")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def test_user_without_a_key_sees_what_to_do(ada):
    page = text_of(ada.get(LIST))

    for shown in ("No API keys yet", "Choose “Generate new key”", f'href="{NEW}"'):
        assert shown in page


@time_machine.travel(NOON, tick=False)
def test_shows_a_key_with_its_limits_and_its_use(ada, user):
    key = generate_keys(
        user,
        name="deploy",
        scopes=["todos", "events"],
        read_only=True,
        allowed_ips=["192.0.2.0/24"],
        rate_limit="100/minute",
        expires_at=NOON + timedelta(days=30),
    ).instance
    ApiKey.objects.update(last_used_at=NOON, last_used_ip="192.0.2.7")

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
        'title="March 31, 2026, noon">in 30 days</time>',
        'title="March 1, 2026, noon">just now</time>',
        "from 192.0.2.7",
        *(page_of(key, what) for what in ("rotate", "edit", "revoke")),
    ):
        assert shown in page


def test_shows_a_key_that_was_never_used_and_has_no_limits(ada, keys):
    page = text_of(ada.get(LIST))

    for shown in ("Unnamed key", "None: it may do everything that you may do."):
        assert shown in page
    assert page.count("Never") == 2
    assert page_of(keys.instance, "rotate") in page

    # A key that has expired can be renewed.
    ApiKey.objects.update(secret_digest="", rotated_at=None, expires_at=timezone.now())
    page = text_of(ada.get(LIST))
    for shown in (
        "None yet",
        "Expired",
        "Rotate it with a later expiry, or revoke it.",
        *(page_of(keys.instance, w) for w in ("revoke", "rotate")),
    ):
        assert shown in page


def test_shows_whether_an_old_secret_is_still_in_use(ada, user):
    with time_machine.travel(NOON, tick=False) as clock:
        ada.force_login(user)
        generate_keys(user)
        key = generate_keys(user, grace=HOUR).instance
        page = text_of(ada.get(LIST))
        for shown in ("Old secret stops working", ">in 1 hour<", "not used since"):
            assert shown in page
        for digest in (key.secret_digest, key.previous_digest, "sha256"):
            assert digest not in page

        ApiKey.objects.update(previous_used_at=NOON)
        assert "still in use: last used <time" in text_of(ada.get(LIST))

        clock.shift(HOUR)
        assert "Old secret" not in text_of(ada.get(LIST))


def test_newest_key_is_first(ada, user):
    for name in ("b", "c", "a"):
        generate_keys(user, name=name)

    shown = elements(text_of(ada.get(LIST)), "h2")

    assert [text(each) for each in shown] == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("fields", "badge", "warning"),
    [
        ({}, "Active", None),
        ({"expires_at": NOON + 15 * DAY}, "Active", None),
        ({"expires_at": NOON + 14 * DAY}, "Active", "This key expires in 14 days"),
        ({"expires_at": NOON}, "Expired", "This key expired just now"),
        ({"disabled_at": NOON - HOUR}, "Disabled", "Someone else disabled this key 1 hour ago"),
        ({"secret_digest": ""}, "No secret yet", None),
        ({"secret_digest": "", "expires_at": NOON + DAY}, "No secret yet", None),
    ],
)
def test_state_is_the_admins_badge_and_keys_that_expire_soon_have_a_warning(
    ada, system_manager, keys, fields, badge, warning
):
    ApiKey.objects.update(**fields)
    with time_machine.travel(NOON, tick=False):
        for browser in (ada, manager := Client()):
            browser.force_login(keys.instance.user if browser is ada else system_manager)
        page = text_of(ada.get(LIST))
        admins = text_of(manager.get("/admin/frappe_tokens/apikey/"))

    (shown,) = elements(elements(page, class_="frappe-tokens-title")[0], "span")
    assert text(shown) == badge
    assert shown in elements(admins, class_="frappe-tokens-state")
    notes = [text(note) for note in elements(page, class_="frappe-tokens-warning")]
    assert [note.startswith(warning) for note in notes] == [True] * bool(warning)


def test_lists_the_latest_revoked_keys_and_counts_the_others(ada, user):
    key = generate_keys(user, name="0").instance
    revoke(key, reason="the laptop was stolen")
    page = text_of(ada.get(LIST))
    for shown in ("Revoked keys", key.api_key, "the laptop was stolen"):
        assert shown in page
    assert page_of(key, "revoke") not in page
    assert "older key" not in page

    for _ in range(REVOKED_SHOWN + 1):
        latest = generate_keys(user, name="old").instance
        revoke(latest)
    page = text_of(ada.get(LIST))
    assert "and 2 older keys" in page
    assert latest.api_key in page
    assert key.api_key not in page


def test_shows_only_the_users_own_keys(ada, keys, make_user):
    others = [generate_keys(make_user(name), name=name).instance for name in ("grace", "hedy")]
    revoke(others[1])

    page = text_of(ada.get(LIST))

    assert keys.api_key in page
    assert not any(other.api_key in page for other in others)


def test_escapes_what_users_have_written(ada, user):
    key = generate_keys(user, name="<b>bold</b>").instance
    for page in (LIST, *(page_of(key, what) for what in ("rotate", "edit", "revoke"))):
        assert "<b>bold" not in text_of(ada.get(page))

    revoke(key, reason="<i>why</i>")

    assert "<i>why" not in text_of(ada.get(LIST))


def test_many_keys_take_as_many_queries_as_one(ada, user, keys, statements, settings):
    # Keys are read from the database for writing.
    settings.DATABASE_ROUTERS = ["tests.admin.test_users.LaggingReplica"]
    with statements() as few:
        assert keys.api_key in text_of(ada.get(LIST))
    for name in ("a", "b", "c"):
        generate_keys(user, name=name)
    with statements() as many:
        ada.get(LIST)

    assert ada.get(page_of(keys.instance, "rotate")).status_code == 200
    assert many == few
    assert set(few) == {"SELECT"}


@pytest.mark.parametrize(("language", "direction"), [("en", "ltr"), ("ar", "rtl")])
def test_has_a_language_and_a_direction(ada, settings, language, direction):
    settings.LANGUAGE_CODE = language

    assert f'<html lang="{language}" dir="{direction}">' in text_of(ada.get(LIST))
