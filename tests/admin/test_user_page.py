from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from frappe_tokens import crypto
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey
from tests.account.conftest import assert_secret_is_only_in, secrets_on, text_of, version_on

from .conftest import generate, generate_page, user_page


def test_shows_the_key_its_state_and_its_last_use(manager_client, user):
    page = text_of(manager_client.get(user_page(user)))
    assert f'href="{generate_page(user)}"' in page
    assert "None yet." in page

    key = generate_keys(user, expires_at=timezone.now() + timedelta(days=30)).instance
    generate_keys(user, name="ci")
    used = {"last_used_at": timezone.now(), "last_used_ip": "192.0.2.7"}
    ApiKey.objects.filter(pk=key.pk).update(**used)
    with CaptureQueriesContext(connection) as queries:
        page = text_of(manager_client.get(user_page(user)))
    for shown in (key.api_key, "Active", "expires", "from 192.0.2.7", "and 1 named key", "ci"):
        assert shown in page
    assert key.secret_digest not in page
    assert sum("frappe_tokens_apikey" in query["sql"] for query in queries) == 1

    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now())
    assert "Expired" in text_of(manager_client.get(user_page(user)))
    until = timezone.now().replace(microsecond=0) + timedelta(days=1)
    form = {"version": version_on(manager_client.get(generate_page(user)))}
    renewed = manager_client.post(generate_page(user), {**form, "expires_at": until.isoformat()})
    assert secrets_on(renewed)
    assert ApiKey.objects.get(pk=key.pk).expires_at == until

    revoke(key)
    assert "Revoked" in text_of(manager_client.get(user_page(user)))


def test_generates_and_shows_the_secret_once(manager_client, user):
    confirmation = manager_client.get(generate_page(user))
    assert "A new API key and secret will be generated." in text_of(confirmation)
    form = {"version": version_on(confirmation)}

    answer = manager_client.post(generate_page(user), form)

    key = ApiKey.objects.get(user=user)
    (secret,) = secrets_on(answer)
    assert crypto.matches(secret, key.secret_digest)
    assert f"Authorization: token {key.api_key}:{secret}" in text_of(answer)
    assert "no-store" in answer["Cache-Control"]
    assert key.created_by == User.objects.get(username="manager")

    again = manager_client.post(generate_page(user), form)
    assert again.status_code == 409
    assert "Nothing was generated." in text_of(again)
    assert not secrets_on(again)
    assert ApiKey.objects.get(user=user).secret_digest == key.secret_digest
    # And the page offers the next step.
    assert secrets_on(manager_client.post(generate_page(user), {"version": version_on(again)}))


def test_confirmation_says_what_happens_to_the_old_secrets(manager_client, user, settings):
    def page():
        return text_of(manager_client.get(generate_page(user)))

    early = "The secret before it, which is still in its grace period, stops working immediately."
    generated = generate_keys(user)
    assert f"The API key <code>{generated.api_key}</code> stays." in page()
    assert "Its current secret stops working immediately." in page()
    assert early not in page()

    settings.FRAPPE_TOKENS = {"ROTATION_GRACE": timedelta(hours=24)}
    assert "Its current secret stops working on" in page()
    generate_keys(user)
    assert early in page()

    ApiKey.objects.update(secret_digest="")
    assert "current secret" not in page()


def test_secret_stays_out_of_session_cookies_messages_and_history(manager_client, user):
    answer = generate(manager_client, generate_page(user))

    assert_secret_is_only_in(answer, manager_client)


def test_nothing_is_offered_without_the_permission(client, make_user, user):
    permissions = ("auth.view_user", "auth.change_user")
    client.force_login(make_user("clerk", is_staff=True, permissions=permissions))

    page = text_of(client.get(user_page(user)))
    assert "API Access" not in page
    assert "Generate Keys" not in page
    assert "Generate Keys" not in text_of(client.get("/admin/auth/user/"))


@pytest.mark.parametrize("method", ["get", "post"])
def test_user_must_be_visible(client, make_user, user, method):
    permissions = ("frappe_tokens.generate_keys",)
    client.force_login(make_user("blind", is_staff=True, permissions=permissions))

    response = getattr(client, method)(generate_page(user), {"version": "by hand"})

    assert response.status_code == 403
    assert not ApiKey.objects.exists()


def test_only_superusers_generate_for_superusers(manager_client, make_user):
    superuser = make_user("root", is_superuser=True, is_staff=True)
    page = text_of(manager_client.get(user_page(superuser)))
    assert "This user has permissions that you don" in page
    assert generate_page(superuser) not in page
    assert manager_client.get(generate_page(superuser)).status_code == 403

    manager_client.force_login(superuser)
    assert secrets_on(generate(manager_client, generate_page(superuser)))


def test_user_who_does_not_exist_is_not_found(manager_client, user, monkeypatch):
    assert manager_client.get("/admin/auth/user/987654/generate-keys/").status_code == 404

    form = {"version": version_on(manager_client.get(generate_page(user)))}
    monkeypatch.setattr("frappe_tokens.admin.api_access.lock_users", lambda pks, by: {})
    assert manager_client.post(generate_page(user), form).status_code == 404


def test_adding_a_user_offers_no_api_access(root_client):
    assert "API Access" not in text_of(root_client.get("/admin/auth/user/add/"))


def test_lagging_replica_generates_no_second_secret(manager_client, user, settings):
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
