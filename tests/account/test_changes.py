"""Users rotate, rename and revoke their own keys."""

from datetime import datetime, timedelta, timezone

import pytest
import time_machine
from django.utils import timezone as clock

from frappe_tokens import crypto
from frappe_tokens.account import views
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey

from .conftest import LIST, page_of, rotate, secrets_on, text_of, version_on

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def stored(key):
    return ApiKey.objects.get(pk=key.pk)


def test_rotating_replaces_the_secret_and_changes_nothing_else(ada, user):
    before = generate_keys(user, read_only=True, scopes=["todos"])

    answer = rotate(ada, before.instance, read_only="", scopes="", expires_at="", name="other")

    key = stored(before.instance)
    (secret,) = secrets_on(answer)
    assert (key.api_key, key.name, key.policies) == (before.api_key, "", before.instance.policies)
    assert crypto.matches(secret, key.secret_digest)
    assert not crypto.matches(before.api_secret, key.secret_digest)
    assert key.previous_digest == ""
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize(
    ("seconds", "grace"),
    [("3600", timedelta(hours=1)), ("86400", timedelta(days=1)), ("604800", timedelta(days=7))],
)
def test_old_secret_works_for_the_chosen_grace_period(ada, user, keys, seconds, grace):
    with time_machine.travel(NOON, tick=False):
        ada.force_login(user)
        assert secrets_on(rotate(ada, keys.instance, grace=seconds))

    key = stored(keys.instance)
    assert key.previous_expires_at == NOON + grace
    assert crypto.matches(keys.api_secret, key.previous_digest)


@pytest.mark.parametrize("grace", ["", "1", "-3600", "soon"])
def test_grace_period_that_is_not_offered_is_refused(ada, keys, grace):
    answer = rotate(ada, keys.instance, grace=grace)

    assert "errorlist" in text_of(answer)
    assert not secrets_on(answer)
    assert stored(keys.instance).secret_digest == keys.instance.secret_digest


@pytest.mark.parametrize(
    ("usual", "chosen"),
    [
        (timedelta(0), "0"),
        (timedelta(minutes=5), "3600"),
        (timedelta(hours=24), "86400"),
        (timedelta(days=30), "604800"),
    ],
)
def test_proposes_a_grace_period_as_long_as_the_projects(ada, keys, settings, usual, chosen):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True, "ROTATION_GRACE": usual}

    form = ada.get(page_of(keys.instance, "rotate")).context["form"]

    assert str(form["grace"].value()) == chosen


def test_says_that_a_secret_in_its_grace_period_ends_early(ada, user, keys):
    early = "still in its grace period, stops working immediately."
    page = page_of(keys.instance, "rotate")
    assert early not in text_of(ada.get(page))
    generate_keys(user, grace=timedelta(hours=1))
    assert early in text_of(ada.get(page))


def test_expired_key_is_not_rotated(ada, keys):
    page = page_of(keys.instance, "rotate")
    form = {"version": version_on(ada.get(page)), "grace": "0"}
    ApiKey.objects.update(expires_at=clock.now())

    for answer in (ada.get(page), ada.post(page, form)):
        assert answer.status_code == 409
        assert "has expired. Revoke it and generate a new key." in text_of(answer)
        assert not secrets_on(answer)
    assert stored(keys.instance).secret_digest == keys.instance.secret_digest


@pytest.mark.parametrize("what", ["rotate", "rename", "revoke"])
def test_revoked_key_stays_unchanged(ada, keys, what):
    form = {"version": version_on(ada.get(page_of(keys.instance, "rotate"))), "grace": "0"}
    revoke(keys.instance, reason="leaked")
    before = ApiKey.objects.values().get()

    page = page_of(keys.instance, what)
    for answer in (ada.get(page), ada.post(page, {**form, "name": "x", "reason": "y"})):
        assert answer.status_code == 409
        assert "was revoked, which is final" in text_of(answer)
        assert not secrets_on(answer)
    assert ApiKey.objects.values().get() == before


def test_form_that_is_sent_again_rotates_nothing(ada, keys):
    page = page_of(keys.instance, "rotate")
    form = {"version": version_on(ada.get(page)), "grace": "0"}
    ada.post(page, form)
    before = stored(keys.instance)

    again = ada.post(page, form)

    assert again.status_code == 409
    assert "Nothing was generated." in text_of(again)
    assert not secrets_on(again)
    assert stored(keys.instance).secret_digest == before.secret_digest
    assert secrets_on(ada.post(page, {**form, "version": version_on(again)}))


def test_deactivated_user_gets_no_secret(user, keys, rf):
    """The request's user was read before."""

    def respond(request):
        request.user = user
        request._dont_enforce_csrf_checks = True
        return views.rotate_key(request, pk=keys.instance.pk).render()

    version = version_on(respond(rf.get("/")))
    type(user).objects.update(is_active=False)

    answer = respond(rf.post("/", {"version": version, "grace": "0"}))

    assert "The user is inactive." in text_of(answer)
    assert not secrets_on(answer)
    assert stored(keys.instance).secret_digest == keys.instance.secret_digest


def test_renaming_changes_nothing_else(ada, keys):
    page = page_of(keys.instance, "rename")
    assert ada.get(page).status_code == 200

    answer = ada.post(page, {"name": "deploy", "read_only": "on", "api_key": "ftk_chosen"})

    assert (answer.status_code, answer["Location"]) == (302, LIST)
    key = stored(keys.instance)
    assert (key.name, key.read_only, key.api_key) == ("deploy", False, keys.api_key)
    assert key.secret_digest == keys.instance.secret_digest
    assert f"Renamed API key {keys.api_key}." in text_of(ada.get(LIST))


@pytest.mark.parametrize(
    ("name", "message"), [("ci", "already"), ("a\x07b", "printable characters")]
)
def test_name_that_is_taken_or_not_printable_is_refused(ada, user, keys, name, message):
    generate_keys(user, name="ci")

    answer = ada.post(page_of(keys.instance, "rename"), {"name": name})

    assert answer.status_code == 200
    assert message in text_of(answer)
    assert stored(keys.instance).name == ""


def test_revokes_with_a_reason(ada, user, keys):
    page = page_of(keys.instance, "revoke")
    assert "Revoking is final." in text_of(ada.get(page))
    assert "at most 200 characters" in text_of(ada.post(page, {"reason": "r" * 201}))
    assert not stored(keys.instance).is_revoked

    answer = ada.post(page, {"reason": "the laptop was stolen"})

    assert (answer.status_code, answer["Location"]) == (302, LIST)
    key = stored(keys.instance)
    assert (key.revoked_by, key.revoked_reason) == (user, "the laptop was stolen")
    assert f"Revoked API key {keys.api_key}." in text_of(ada.get(LIST))


def test_works_in_a_project_without_messages(ada, keys, settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "messages" not in name]

    assert ada.post(page_of(keys.instance, "revoke")).status_code == 302
    assert stored(keys.instance).is_revoked
