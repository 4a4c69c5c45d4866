"""Users rotate, edit and revoke their own keys."""

from datetime import datetime, timedelta, timezone

import pytest
import time_machine

from frappe_tokens import crypto
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey

from .conftest import LIST, page_of, rotate, secrets_on, text_of, version_on

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def stored(key):
    return ApiKey.objects.get(pk=key.pk)


def test_rotating_replaces_only_the_secret(ada, user):
    before = generate_keys(user, read_only=True, scopes=["todos"])

    answer = rotate(ada, before.instance, read_only="", scopes="", expires_at="", name="other")

    key = stored(before.instance)
    (secret,) = secrets_on(answer)
    assert (key.api_key, key.name, key.policies) == (before.api_key, "", before.instance.policies)
    assert crypto.matches(secret, key.secret_digest)
    assert not crypto.matches(before.api_secret, key.secret_digest)
    assert key.previous_digest == ""
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize("hours", [1, 24, 168])
def test_old_secret_works_for_the_chosen_grace_period(ada, user, keys, hours):
    with time_machine.travel(NOON, tick=False):
        ada.force_login(user)
        assert secrets_on(rotate(ada, keys.instance, grace=str(hours * 3600)))

    key = stored(keys.instance)
    assert key.previous_expires_at == NOON + timedelta(hours=hours)
    assert crypto.matches(keys.api_secret, key.previous_digest)


def test_end_of_the_grace_period_has_no_time_zone_without_use_tz(ada, keys, settings):
    settings.USE_TZ = False

    page = rotate(ada, keys.instance, grace="until", grace_until="2040-03-01T12:00:00Z")

    assert "Enter a date and a time." in text_of(page)
    assert stored(keys.instance).secret_digest == keys.instance.secret_digest


@pytest.mark.parametrize("grace", ["", "1", "-3600", "soon"])
def test_grace_period_that_is_not_offered_is_refused(ada, keys, grace):
    answer = rotate(ada, keys.instance, grace=grace)

    assert "errorlist" in text_of(answer)
    assert not secrets_on(answer)
    assert stored(keys.instance).secret_digest == keys.instance.secret_digest


@pytest.mark.parametrize(("usual", "chosen"), [(0, 0), (5, 60), (24 * 60, 24 * 60), (43200, 10080)])
def test_proposes_a_grace_period_as_long_as_the_projects(ada, keys, settings, usual, chosen):
    """The parameters are in minutes."""
    usual = timedelta(minutes=usual)
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True, "ROTATION_GRACE": usual}

    form = ada.get(page_of(keys.instance, "rotate")).context["form"]

    assert form["grace"].value() == chosen * 60


def test_says_that_a_secret_in_its_grace_period_ends_early(ada, user, keys):
    early = "still in its grace period, will stop working immediately."
    page = page_of(keys.instance, "rotate")
    assert early not in text_of(ada.get(page))

    generate_keys(user, grace=timedelta(hours=1))

    assert early in text_of(ada.get(page))


@pytest.mark.parametrize("what", ["rotate", "edit", "revoke"])
def test_revoked_key_cannot_be_changed(ada, keys, what):
    version = version_on(ada.get(page_of(keys.instance, "rotate")))
    form = {"version": version, "grace": "0", "name": "x", "reason": "y"}

    def assert_unchanged(what, message):
        before, page = ApiKey.objects.values().get(), page_of(keys.instance, what)
        for answer in (ada.get(page), ada.post(page, form)):
            assert answer.status_code == 409
            assert message in text_of(answer)
            assert not secrets_on(answer)
        assert ApiKey.objects.values().get() == before

    revoke(keys.instance)
    assert_unchanged(what, "was revoked, which is final")


def test_key_without_a_secret_gets_its_first(ada, user):
    key = ApiKey.objects.create(user=user, name="planned")
    assert "Generate secret" in text_of(ada.get(LIST))

    page = text_of(ada.get(page_of(key, "rotate")))
    assert "Generate a secret for planned" in page
    assert "current secret" not in page
    (secret,) = secrets_on(rotate(ada, key, grace=""))

    assert crypto.matches(secret, stored(key).secret_digest)


def test_renaming_changes_only_the_name(ada, keys):
    page = page_of(keys.instance, "edit")
    assert ada.get(page).status_code == 200

    answer = ada.post(page, {"name": "deploy", "read_only": "on", "api_key": "ftk_chosen"})

    assert (answer.status_code, answer["Location"]) == (302, LIST)
    key = stored(keys.instance)
    assert (key.name, key.read_only, key.api_key) == ("deploy", False, keys.api_key)
    assert key.secret_digest == keys.instance.secret_digest
    assert f"Changed API key {keys.api_key}." in text_of(ada.get(LIST))


@pytest.mark.parametrize(
    ("name", "message"), [("ci", "already"), ("a\x07b", "printable characters")]
)
def test_name_that_is_taken_or_not_printable_is_refused(ada, user, keys, name, message):
    generate_keys(user, name="ci")

    answer = ada.post(page_of(keys.instance, "edit"), {"name": name})

    assert answer.status_code == 200
    assert message in text_of(answer)
    assert stored(keys.instance).name == ""


@pytest.mark.parametrize("has_messages", [True, False])
def test_revokes_with_a_reason(ada, user, keys, settings, has_messages):
    if not has_messages:
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "messages" not in name]
    page = page_of(keys.instance, "revoke")
    assert "Revoking is final." in text_of(ada.get(page))
    assert "at most 200 characters" in text_of(ada.post(page, {"reason": "r" * 201}))
    assert not stored(keys.instance).is_revoked

    answer = ada.post(page, {"reason": "the laptop was stolen"})

    assert (answer.status_code, answer["Location"]) == (302, LIST)
    key = stored(keys.instance)
    assert (key.revoked_by, key.revoked_reason) == (user, "the laptop was stolen")
    assert (f"Revoked API key {keys.api_key}." in text_of(ada.get(LIST))) is has_messages
