from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.utils import timezone

from frappe_tokens import crypto
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.keys.locking import lock_users
from frappe_tokens.models import ApiKey

from .conftest import secrets_on, version_on

KEYS = "/admin/frappe_tokens/apikey/"


def form_of(owner, **fields):
    return {
        "user": owner.pk,
        "name": "",
        "scopes": "",
        "allowed_ips": "",
        "rate_limit": "",
        "expires_at_0": "",
        "expires_at_1": "",
        **fields,
    }


def page_of(key, what="change"):
    return f"{KEYS}{key.pk}/{what}/"


def test_lists_keys_with_state_and_limits(manager_client, make_user):
    ada, grace, hedy = (make_user(name) for name in ("ada", "grace", "hedy"))
    generate_keys(ada, read_only=True, scopes=["todos"], allowed_ips=["192.0.2.0/24"])
    revoke(generate_keys(grace).instance)
    expired = generate_keys(hedy).instance
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=timezone.now())

    page = manager_client.get(KEYS).content.decode()
    assert "read-only; todos; 192.0.2.0/24" in page
    for state, username in [("active", "ada"), ("revoked", "grace"), ("expired", "hedy")]:
        response = manager_client.get(KEYS, {"state": state})
        assert [key.user.username for key in response.context["cl"].result_list] == [username]


def test_finds_keys_by_username(manager_client, user, make_user):
    generate_keys(user)
    generate_keys(make_user("grace"))

    response = manager_client.get(KEYS, {"q": "grace"})

    assert [key.user.username for key in response.context["cl"].result_list] == ["grace"]


def test_adds_a_key_and_shows_its_secret_once(manager_client, user):
    assert "_addanother" not in manager_client.get(f"{KEYS}add/").content.decode()
    expiry = timezone.now() + timedelta(days=90)

    answer = manager_client.post(
        f"{KEYS}add/",
        form_of(
            user,
            name="ci",
            scopes="todos, events",
            read_only="on",
            allowed_ips="192.0.2.0/24\n2001:db8::1",
            rate_limit="100/minute",
            expires_at_0=expiry.strftime("%Y-%m-%d"),
            expires_at_1="12:00:00",
        ),
    )

    key = ApiKey.objects.get()
    (secret,) = secrets_on(answer)
    assert crypto.matches(secret, key.secret_digest)
    assert "no-store" in answer["Cache-Control"]
    assert (key.user, key.name) == (user, "ci")
    assert key.scopes == ["todos", "events"]
    assert key.read_only
    assert key.allowed_ips == ["192.0.2.0/24", "2001:db8::1"]
    assert key.rate_limit == "100/minute"
    assert key.expires_at is not None
    assert key.created_by == User.objects.get(username="manager")
    assert secret not in "".join(entry.change_message for entry in LogEntry.objects.all())


def test_reloading_the_answer_of_adding_makes_no_second_key(manager_client, user):
    manager_client.post(f"{KEYS}add/", form_of(user))
    before = ApiKey.objects.get().secret_digest

    again = manager_client.post(f"{KEYS}add/", form_of(user))

    assert "already has an API key with this name" in again.content.decode()
    assert not secrets_on(again)
    assert ApiKey.objects.get().secret_digest == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scopes": 'a"b'}, "is not a valid scope"),
        ({"allowed_ips": "192.0.2.300"}, "is not a valid address or network"),
        ({"rate_limit": "fast"}, "Enter a rate as &lt;number&gt;/&lt;period&gt;"),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}, "must be in the future"),
        ({"name": "a\x07b"}, "printable characters"),
        ({"user": 987654}, "valid choice"),
    ],
)
def test_refuses_what_is_not_usable(manager_client, user, fields, message):
    response = manager_client.post(f"{KEYS}add/", form_of(user, **fields))

    assert response.status_code == 200
    assert message in response.content.decode()
    assert not ApiKey.objects.exists()


def test_adds_no_key_for_a_superuser_or_an_inactive_user(manager_client, make_user):
    for user in (make_user("root", is_superuser=True), make_user("gone", is_active=False)):
        response = manager_client.post(f"{KEYS}add/", form_of(user))
        assert response.context["errors"]
    assert not ApiKey.objects.exists()


def test_takes_no_secret_from_the_form(manager_client, user):
    manager_client.post(
        f"{KEYS}add/",
        form_of(user, api_key="ftk_chosen", secret_digest="sha256$00", api_secret="chosen"),
    )

    key = ApiKey.objects.get()
    assert key.api_key != "ftk_chosen"
    assert not crypto.matches("chosen", key.secret_digest)


def test_changes_policies_and_nothing_else(manager_client, user, keys):
    assert manager_client.get(page_of(keys.instance)).status_code == 200

    response = manager_client.post(
        page_of(keys.instance), form_of(user, scopes="todos", read_only="on", name="ci")
    )

    assert response.status_code == 302
    key = ApiKey.objects.get()
    assert (key.name, key.scopes, key.read_only) == ("ci", ["todos"], True)
    assert (key.api_key, key.secret_digest) == (keys.api_key, keys.instance.secret_digest)


def test_saving_unchanged_policies_changes_nothing(manager_client, user):
    expiry = timezone.now().replace(microsecond=0) + timedelta(days=2)
    key = generate_keys(user, scopes=["a", "b"], expires_at=expiry).instance

    form = form_of(
        user,
        scopes="a\nb",
        expires_at_0=expiry.strftime("%Y-%m-%d"),
        expires_at_1=expiry.strftime("%H:%M:%S"),
    )
    assert manager_client.post(page_of(key), form).status_code == 302

    assert ApiKey.objects.get().scopes == ["a", "b"]
    assert ApiKey.objects.get().expires_at == expiry


def test_refuses_a_name_that_another_key_of_the_user_has(manager_client, user, keys):
    named = generate_keys(user, name="ci").instance

    response = manager_client.post(page_of(named), form_of(user, name=""))

    assert "already has an API key with this name" in response.content.decode()


def test_a_rotation_during_an_edit_is_not_undone(manager_client, user, keys, monkeypatch):
    """The form was loaded with the old digest; a secret made meanwhile must survive its saving."""
    from frappe_tokens.admin.apikeys import ApiKeyAdmin

    save_model = ApiKeyAdmin.save_model

    def rotate_then_save(self, request, obj, form, change):
        rotated.append(generate_keys(user))
        save_model(self, request, obj, form, change)

    rotated = []
    monkeypatch.setattr(ApiKeyAdmin, "save_model", rotate_then_save)
    manager_client.post(page_of(keys.instance), form_of(user, read_only="on"))

    key = ApiKey.objects.get()
    assert key.read_only
    assert crypto.matches(rotated[0].api_secret, key.secret_digest)


def test_does_not_change_a_superusers_key(manager_client, make_user):
    superuser = make_user("root", is_superuser=True)
    key = generate_keys(superuser, read_only=True).instance

    assert manager_client.get(page_of(key)).status_code == 200
    assert manager_client.post(page_of(key), form_of(superuser)).status_code == 403
    assert manager_client.post(page_of(key, "generate-keys"), {"version": "x"}).status_code == 403
    assert ApiKey.objects.get().read_only


def test_rotates_a_named_key(manager_client, user):
    named = generate_keys(user, name="ci")
    generate_keys(user)
    page = manager_client.get(page_of(named.instance))
    assert page_of(named.instance, "generate-keys") in page.content.decode()

    confirmation = manager_client.get(page_of(named.instance, "generate-keys"))
    assert "Generate Keys for ci (" in confirmation.content.decode()
    answer = manager_client.post(
        page_of(named.instance, "generate-keys"), {"version": version_on(confirmation)}
    )

    (secret,) = secrets_on(answer)
    named.instance.refresh_from_db()
    assert crypto.matches(secret, named.instance.secret_digest)


def test_rotates_several_keys_from_the_list(manager_client, user):
    generated = [generate_keys(user, name=name) for name in ("ci", "deploy")]
    form = {
        "action": "generate_keys",
        "_selected_action": [keys.instance.pk for keys in generated],
    }
    confirmation = manager_client.post(KEYS, form)

    answer = manager_client.post(KEYS, {**form, "version": version_on(confirmation)})

    assert len(secrets_on(answer)) == 2
    assert "Frappe-Authorization-Source" not in answer.content.decode()
    for keys in generated:
        keys.instance.refresh_from_db()
        assert not crypto.matches(keys.api_secret, keys.instance.secret_digest)


def test_says_which_source_to_name_if_it_is_not_the_default(manager_client, keys, settings):
    settings.FRAPPE_TOKENS = {
        "SOURCES": {"User": "events.EventConsumer", "Key": "frappe_tokens.ApiKey"}
    }
    url = page_of(keys.instance, "generate-keys")

    answer = manager_client.post(url, {"version": version_on(manager_client.get(url))})

    assert "Frappe-Authorization-Source: Key" in answer.content.decode()


def test_shows_the_grace_of_an_old_secret(manager_client, user):
    generate_keys(user)
    key = generate_keys(user, grace=timedelta(hours=1)).instance

    assert "Old secret" in manager_client.get(page_of(key)).content.decode()


def test_revokes_with_a_reason(manager_client, keys):
    assert (
        "Revoking is final" in manager_client.get(page_of(keys.instance, "revoke")).content.decode()
    )

    response = manager_client.post(page_of(keys.instance, "revoke"), {"reason": "leaked"})

    assert response.status_code == 302
    key = ApiKey.objects.get()
    assert key.is_revoked
    assert key.revoked_reason == "leaked"
    assert key.revoked_by == User.objects.get(username="manager")
    assert LogEntry.objects.filter(change_message__contains="Revoked").count() == 2


def test_a_reason_that_is_too_long_revokes_nothing(manager_client, keys):
    response = manager_client.post(page_of(keys.instance, "revoke"), {"reason": "x" * 201})

    assert response.status_code == 200
    assert not ApiKey.objects.get().is_revoked


def test_a_revoked_key_is_read_only(manager_client, user, keys):
    revoke(keys.instance, reason="leaked")

    page = manager_client.get(page_of(keys.instance)).content.decode()
    assert "leaked" in page
    assert "_save" not in page
    assert "generate-keys" not in page
    assert manager_client.post(page_of(keys.instance), form_of(user)).status_code == 403
    assert manager_client.get(page_of(keys.instance, "revoke")).status_code == 404
    assert manager_client.get(page_of(keys.instance, "generate-keys")).status_code == 404


@pytest.mark.parametrize("what", ["change", "generate-keys", "revoke"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_is_closed_to_staff_without_the_permission(client, make_user, keys, what, method):
    client.force_login(make_user("clerk", is_staff=True))

    assert getattr(client, method)(page_of(keys.instance, what)).status_code == 403
    assert not ApiKey.objects.get().is_revoked
    assert "API keys" not in client.get("/admin/").content.decode()


def test_viewing_needs_no_right_to_generate(client, make_user, keys):
    client.force_login(
        make_user("auditor", is_staff=True, permissions=("frappe_tokens.view_apikey",))
    )

    page = client.get(page_of(keys.instance)).content.decode()
    assert keys.api_key in page
    assert "generate-keys" not in page
    assert client.get(f"{KEYS}add/").status_code == 403


def test_keys_are_deleted_with_their_user_only(client, make_user, user, keys):
    client.force_login(make_user("root", is_superuser=True, is_staff=True))

    assert client.post(page_of(keys.instance, "delete"), {"post": "yes"}).status_code == 403
    assert "delete_selected" not in client.get(KEYS).content.decode()
    response = client.post(f"/admin/auth/user/{user.pk}/delete/", {"post": "yes"})
    assert response.status_code == 302
    assert not ApiKey.objects.exists()


def test_asks_for_the_id_where_users_cannot_be_searched(client, make_user):
    client.force_login(
        make_user("blind", is_staff=True, permissions=("frappe_tokens.generate_keys",))
    )
    assert "vForeignKeyRawIdAdminField" in client.get(f"{KEYS}add/").content.decode()

    registered = type(admin.site.get_model_admin(User))
    admin.site.unregister(User)
    try:
        assert '<input type="text" name="user"' in client.get(f"{KEYS}add/").content.decode()
    finally:
        admin.site.register(User, registered)


def test_a_cleared_expiry_stays_within_the_longest_lifetime(manager_client, user, settings):
    key = generate_keys(user, expires_at=timezone.now() + timedelta(days=1)).instance
    settings.FRAPPE_TOKENS = {"MAX_LIFETIME": timedelta(days=30)}

    assert manager_client.post(page_of(key), form_of(user)).status_code == 302

    key.refresh_from_db()
    assert key.expires_at is not None
    assert timedelta(days=29) < key.expires_at - timezone.now() <= timedelta(days=30)


@pytest.mark.parametrize("field", ["secret_digest", "previous_digest"])
def test_no_filter_tells_a_digest_letter_by_letter(client, make_user, keys, field):
    client.force_login(
        make_user("auditor", is_staff=True, permissions=("frappe_tokens.view_apikey",))
    )

    assert client.get(KEYS, {f"{field}__startswith": "sha256$"}).status_code == 400
    assert client.get(KEYS, {"name__startswith": ""}).status_code == 200


def test_a_manager_may_end_a_superusers_leaked_key(manager_client, make_user):
    key = generate_keys(make_user("root", is_superuser=True)).instance

    page = manager_client.get(page_of(key)).content.decode()
    assert page_of(key, "revoke") in page
    assert page_of(key, "generate-keys") not in page
    assert manager_client.post(page_of(key, "revoke"), {"reason": "leaked"}).status_code == 302
    assert ApiKey.objects.get().is_revoked


def test_a_key_that_is_revoked_while_its_form_is_read_stays_as_it_was(
    manager_client, keys, monkeypatch
):
    def lock_after_another_process(*args):
        revoke(ApiKey.objects.get())
        return lock_users(*args)

    monkeypatch.setattr("frappe_tokens.admin.source_forms.lock_users", lock_after_another_process)
    response = manager_client.post(
        page_of(keys.instance), form_of(keys.instance.user, read_only="on")
    )
    assert response.status_code == 200
    assert "was revoked, which is final" in response.content.decode()
    assert not ApiKey.objects.get().read_only
