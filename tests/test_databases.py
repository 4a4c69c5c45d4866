"""A router that keeps users, keys and the admin's history in another database than the default."""

import math
from types import SimpleNamespace

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.management import call_command
from django.db import connections, transaction

from frappe_tokens.exceptions import Reason
from frappe_tokens.keys import (
    Actor,
    ImportedPair,
    allow_application,
    change_key,
    change_user,
    disable,
    enable,
    generate_keys,
    generate_keys_for_source,
    generate_keys_for_users,
    import_keys,
    is_application_allowed,
    revoke,
    revoke_leaked,
    rotate_itself,
    set_up_pair,
)
from frappe_tokens.keys.generation import Secret
from frappe_tokens.keys.locking import find_user, lock_active_users
from frappe_tokens.lookup import find
from frappe_tokens.lookup.cache import put
from frappe_tokens.models import ApiKey, SentNotice
from frappe_tokens.signals import key_disabled, key_enabled, key_revoked, keys_generated

from .client import DAY, NOON, attempt
from .conftest import receiving
from .replicas import KeysElsewhere
from .sources.models import Robot

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "replica"])

PAIR = "0a1b2c3d4e5f607", "Canary" * 6
APPS = ("admin", "contenttypes", "events", "sources")


@pytest.fixture
def elsewhere(settings):
    """Fails if the default database is asked, which is the same by another connection."""
    settings.DATABASE_ROUTERS = [KeysElsewhere("replica", *APPS)]
    asked = []

    def refuse(execute, sql, *arguments):
        asked.append(sql)
        raise AssertionError(sql)

    with connections["default"].execute_wrapper(refuse):
        yield
    settings.DATABASE_ROUTERS = []
    assert asked == []


def import_pair(keys, by):
    import_keys([ImportedPair(1, "ada", PAIR[0], Secret(PAIR[1]), "imported")])


def enable_again(keys, by):
    ApiKey.objects.filter(pk=keys.instance.pk).update(disabled_at=keys.instance.created_at)
    enable(keys.instance, by=by)


@pytest.mark.parametrize(
    "call",
    [
        lambda keys, by: generate_keys(keys.instance.user, by=by),
        lambda keys, by: generate_keys(find_user("ada"), name="new", by=by),
        lambda keys, by: generate_keys_for_users([keys.instance.user], by=by),
        lambda keys, by: generate_keys_for_source(
            Robot.objects.create(user=keys.instance.user), by=by
        ),
        lambda keys, by: rotate_itself(attempt(keys)),
        lambda keys, by: set_up_pair(keys.instance.user, *PAIR, name="pair"),
        import_pair,
        lambda keys, by: disable(keys.instance, by=by),
        enable_again,
        lambda keys, by: revoke(keys.instance, by=by),
        lambda keys, by: revoke_leaked(keys.api_key, keys.api_secret),
    ],
    ids=[
        *("rotate", "generate", "for users", "for source", "itself", "pair", "import"),
        *("disable", "enable", "revoke", "leaked"),
    ],
)
def test_keys_are_managed_where_they_are(elsewhere, make_user, call):
    keys = generate_keys(make_user("ada"), self_rotate=True)
    by = Actor(make_user("root", is_superuser=True))

    with receiving(keys_generated, key_revoked, key_disabled, key_enabled) as calls:
        with transaction.atomic(using="replica"):
            call(keys, by)
            assert calls == []  # not before the commit
        assert len(calls) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda keys, by: revoke(keys.instance, by=by),
        lambda keys, by: revoke_leaked(keys.api_key, keys.api_secret),
    ],
    ids=["revoke", "leaked"],
)
def test_mail_waits_for_the_commit_where_the_key_is(
    elsewhere, make_user, settings, mailoutbox, call
):
    keys = generate_keys(make_user("ada", email="ada@example.com"))
    by = Actor(make_user("root", is_superuser=True))
    settings.FRAPPE_TOKENS = {"NOTIFY_CHANGES": True}

    with transaction.atomic(using="replica"):
        call(keys, by)
        assert mailoutbox == []

    assert len(mailoutbox) == 1


def test_notices_are_sent_and_pruned_where_the_keys_are(elsewhere, make_user, mailoutbox):
    with time_machine.travel(NOON, tick=False) as clock:
        key = generate_keys(make_user("ada", email="ada@example.com")).instance

        clock.shift(100 * DAY)
        call_command("notify_keys", verbosity=0)
        assert len(mailoutbox) == SentNotice.objects.count() == 1

        key.delete()
        clock.shift(100 * DAY)
        call_command("notify_keys", verbosity=0)
        assert not SentNotice.objects.exists()


def test_applications_are_allowed_where_the_users_are(elsewhere, make_user):
    ada = make_user("ada")
    application = SimpleNamespace(pk=1, user=ada, user_id=ada.pk)
    assert not is_application_allowed(application)

    allow_application(application)

    assert is_application_allowed(application)


def test_replayed_secret_revokes_the_key_where_it_is(elsewhere, make_user, settings):
    settings.FRAPPE_TOKENS = {"REVOKE_ON_REPLAY": True}
    old = generate_keys(make_user("ada"))
    generate_keys(old.instance.user)

    attempt(old)

    assert ApiKey.objects.get().is_revoked


@pytest.mark.usefixtures("cached_keys")
def test_row_that_was_read_before_the_commit_is_not_kept(elsewhere, make_user):
    keys = generate_keys(make_user("ada"))
    found = find(ApiKey, keys.api_key)

    with transaction.atomic(using="replica"):
        revoke(keys.instance)
        cache.clear()  # it takes longer than the cache remembers the change
        put(found.slot, found.columns, math.inf)

    assert attempt(keys) is Reason.KEY_REVOKED


def test_keys_are_changed_and_deleted_where_they_are(elsewhere, make_user):
    ada, grace = make_user("ada"), make_user("grace")
    by = Actor(make_user("root", is_superuser=True))
    key = generate_keys(ada, by=by).instance
    with transaction.atomic(using="replica"):
        assert lock_active_users() == [ada.pk, grace.pk, by.user.pk]

    change_key(key, by=by, read_only=True)
    robot = Robot.objects.create(user=ada)
    change_user(robot, grace, by=by)
    assert LogEntry.objects.exists()

    ada.delete()
    grace.delete()
    assert not ApiKey.objects.exists()
    assert not Robot.objects.exists()
    assert list(get_user_model().objects.all()) == [by.user]
