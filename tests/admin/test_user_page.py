import base64
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.contrib.sessions.models import Session
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from frappe_tokens import crypto
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey

from .conftest import generate_page, secrets_on, user_page, version_on


def test_offers_generate_keys_to_a_system_manager(manager_client, user):
    page = manager_client.get(user_page(user)).content.decode()

    assert "API Access" in page
    assert f'href="{generate_page(user)}"' in page
    assert "None yet." in page


def test_shows_the_key_its_state_and_its_last_use(manager_client, user):
    generated = generate_keys(user, expires_at=timezone.now() + timedelta(days=30))
    generate_keys(user, name="ci")
    ApiKey.objects.filter(pk=generated.instance.pk).update(
        last_used_at=timezone.now(), last_used_ip="192.0.2.7"
    )

    page = manager_client.get(user_page(user)).content.decode()

    assert generated.api_key in page
    assert "Active" in page
    assert "expires" in page
    assert "from 192.0.2.7" in page
    assert "and 1 named key" in page
    assert "ci" in page
    assert generated.instance.secret_digest not in page


def test_says_that_a_key_is_revoked(manager_client, user):
    revoke(generate_keys(user).instance)

    assert "Revoked" in manager_client.get(user_page(user)).content.decode()


def test_says_that_a_key_has_expired_and_refuses_to_generate(manager_client, user):
    key = generate_keys(user).instance
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now())

    assert "Expired" in manager_client.get(user_page(user)).content.decode()
    response = manager_client.get(generate_page(user))
    assert "The API key has expired." in response.content.decode()
    assert "version" not in response.content.decode()


def test_reads_the_keys_once_for_the_whole_section(manager_client, user):
    generate_keys(user)

    with CaptureQueriesContext(connection) as queries:
        manager_client.get(user_page(user))

    assert sum("frappe_tokens_apikey" in query["sql"] for query in queries) == 1


def test_generates_and_shows_the_secret_once(manager_client, user):
    confirmation = manager_client.get(generate_page(user))
    assert "A new API key and secret will be generated." in confirmation.content.decode()

    answer = manager_client.post(generate_page(user), {"version": version_on(confirmation)})

    key = ApiKey.objects.get(user=user)
    (secret,) = secrets_on(answer)
    assert crypto.matches(secret, key.secret_digest)
    assert f"Authorization: token {key.api_key}:{secret}" in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert key.created_by == User.objects.get(username="manager")


def test_says_what_becomes_of_the_old_secret(manager_client, user, settings):
    generated = generate_keys(user)

    page = manager_client.get(generate_page(user)).content.decode()
    assert f"The API key <code>{generated.api_key}</code> stays." in page
    assert "Its current secret stops working immediately." in page

    settings.FRAPPE_TOKENS = {"ROTATION_GRACE": timedelta(hours=24)}
    page = manager_client.get(generate_page(user)).content.decode()
    assert "Its current secret stops working on" in page

    ApiKey.objects.update(secret_digest="")
    page = manager_client.get(generate_page(user)).content.decode()
    assert "current secret" not in page


def test_reloading_the_answer_generates_nothing(manager_client, user):
    form = {"version": version_on(manager_client.get(generate_page(user)))}
    manager_client.post(generate_page(user), form)
    before = ApiKey.objects.get(user=user)

    again = manager_client.post(generate_page(user), form)

    assert again.status_code == 409
    assert "Nothing was generated." in again.content.decode()
    assert not secrets_on(again)
    after = ApiKey.objects.get(user=user)
    assert after.secret_digest == before.secret_digest
    # And the page offers the next step.
    assert secrets_on(manager_client.post(generate_page(user), {"version": version_on(again)}))


def test_keeps_the_secret_out_of_session_cookies_messages_and_history(manager_client, user):
    form = {"version": version_on(manager_client.get(generate_page(user)))}
    answer = manager_client.post(generate_page(user), form)

    (secret,) = secrets_on(answer)
    key = ApiKey.objects.get(user=user)
    kept = [
        *(str(session.get_decoded()) for session in Session.objects.all()),
        *(cookie.OutputString() for cookie in manager_client.cookies.values()),
        *(str(message) for message in get_messages(answer.wsgi_request)),
        *(f"{entry.object_repr} {entry.change_message}" for entry in LogEntry.objects.all()),
        str(key),
        repr(key),
        # What a template prints when it fails, for example in a project's own version of it.
        repr(answer.context),
    ]
    in_base64 = base64.b64encode(f"user,api_key,api_secret\r\nada,{key.api_key}".encode()).decode()
    leaks = (secret, key.secret_digest, in_base64[:40])
    assert not any(leak in text for text in kept for leak in leaks)
    notes = [entry.get_change_message() for entry in LogEntry.objects.all()]
    assert notes == [f"Generated a secret for API key {key.api_key}."] * 2


def test_shows_a_user_without_the_permission_nothing(client, make_user):
    clerk = make_user("clerk", is_staff=True, permissions=("auth.view_user", "auth.change_user"))
    target = make_user("target")
    client.force_login(clerk)

    page = client.get(user_page(target)).content.decode()
    assert "API Access" not in page
    assert "Generate Keys" not in page
    users = client.get("/admin/auth/user/").content.decode()
    assert "Generate Keys" not in users


@pytest.mark.parametrize("method", ["get", "post"])
def test_refuses_a_user_without_the_permission(client, make_user, method):
    clerk = make_user("clerk", is_staff=True, permissions=("auth.view_user",))
    target = make_user("target")
    client.force_login(clerk)

    response = getattr(client, method)(generate_page(target), {"version": "by hand"})

    assert response.status_code == 403
    assert not ApiKey.objects.exists()


def test_refuses_a_manager_who_may_not_see_users(client, make_user):
    manager = make_user("blind", is_staff=True, permissions=("frappe_tokens.generate_keys",))
    target = make_user("target")
    client.force_login(manager)

    assert client.get(generate_page(target)).status_code == 403


@pytest.mark.parametrize("method", ["get", "post"])
def test_refuses_to_generate_for_a_superuser(manager_client, make_user, method):
    superuser = make_user("root", is_superuser=True)

    page = manager_client.get(user_page(superuser)).content.decode()
    assert "This user has permissions that you don" in page
    assert generate_page(superuser) not in page
    response = getattr(manager_client, method)(generate_page(superuser), {"version": "x"})
    assert response.status_code == 403
    assert not ApiKey.objects.exists()


def test_lets_a_superuser_generate_for_a_superuser(client, make_user):
    superuser = make_user("root", is_superuser=True, is_staff=True)
    client.force_login(superuser)

    form = {"version": version_on(client.get(generate_page(superuser)))}
    assert secrets_on(client.post(generate_page(superuser), form))


def test_refuses_to_generate_for_an_inactive_user(manager_client, make_user):
    inactive = make_user("gone", is_active=False)

    response = manager_client.post(generate_page(inactive), {"version": "x"})

    assert "The user is inactive. Activate the user first." in response.content.decode()
    assert not ApiKey.objects.exists()


def test_knows_no_page_for_a_user_who_does_not_exist(manager_client):
    assert manager_client.get("/admin/auth/user/987654/generate-keys/").status_code == 404


def test_adding_a_user_offers_no_api_access(client, make_user):
    client.force_login(make_user("root", is_superuser=True, is_staff=True))

    assert "API Access" not in client.get("/admin/auth/user/add/").content.decode()


def test_saving_the_user_page_leaves_the_keys_alone(client, make_user):
    client.force_login(make_user("root", is_superuser=True, is_staff=True))
    target = make_user("target")
    generated = generate_keys(target)

    response = client.post(
        user_page(target),
        {
            "username": "renamed",
            "is_active": "on",
            "date_joined_0": "2026-01-01",
            "date_joined_1": "00:00:00",
            "last_login_0": "",
            "last_login_1": "",
            "api_key": "ftk_chosen",
            "secret_digest": "sha256$chosen",
        },
    )

    assert response.status_code == 302, response.context["errors"]
    key = ApiKey.objects.get(user=target)
    assert key.user.username == "renamed"
    assert (key.api_key, key.secret_digest) == (
        generated.api_key,
        generated.instance.secret_digest,
    )


def test_actor_without_any_credential_needs_the_permission(user):
    assert not Actor(user).may_generate
    user.user_permissions.add(Permission.objects.get(codename="generate_keys"))
    assert Actor(User.objects.get(pk=user.pk)).may_generate


def test_what_changed_since_the_confirmation_is_not_generated(manager_client, user):
    form = {"version": version_on(manager_client.get(generate_page(user)))}
    User.objects.filter(pk=user.pk).update(is_active=False)

    answer = manager_client.post(generate_page(user), form)

    assert answer.status_code == 409
    assert "The user is inactive." in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_a_user_deleted_since_the_page_was_asked_for_gets_no_key(manager_client, user, monkeypatch):
    form = {"version": version_on(manager_client.get(generate_page(user)))}
    monkeypatch.setattr("frappe_tokens.admin.api_access.lock_users", lambda pks, by: {})

    answer = manager_client.post(generate_page(user), form)

    assert answer.status_code == 404


def test_says_that_a_secret_in_its_grace_ends_early(manager_client, user):
    generate_keys(user)
    early = "The secret before it, which is still in its grace period, stops working immediately."
    assert early not in manager_client.get(generate_page(user)).content.decode()
    generate_keys(user, grace=timedelta(hours=1))
    assert early in manager_client.get(generate_page(user)).content.decode()


def test_a_replica_that_lags_behind_generates_no_second_secret(manager_client, user, settings):
    settings.DATABASE_ROUTERS = ["tests.admin.test_user_page.LaggingReplica"]
    form = {"version": version_on(manager_client.get(generate_page(user)))}
    assert secrets_on(manager_client.post(generate_page(user), form))

    assert not secrets_on(manager_client.post(generate_page(user), form))


class LaggingReplica:
    """A router whose replica knows users, and no keys yet."""

    def db_for_read(self, model, **hints):
        return "missing" if model is ApiKey else None

    def allow_relation(self, one, other, **hints):
        return True
