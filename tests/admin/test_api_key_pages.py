"""The pages of ``ApiKey``, where they differ from those of other sources (``test_sources.py``)."""

from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.urls import resolve
from django.utils import timezone

from frappe_tokens import crypto
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey
from tests.account.conftest import secrets_on, text_of

from .conftest import generate

KEYS = "/admin/frappe_tokens/apikey/"
ADD = f"{KEYS}add/"


def form_of(owner, **fields):
    names = ("name", "scopes", "allowed_ips", "rate_limit", "expires_at_0", "expires_at_1")
    return {"user": owner.pk, **dict.fromkeys(names, ""), **fields}


def page_of(key, what="change"):
    return f"{KEYS}{key.pk}/{what}/"


def test_lists_keys_with_state_and_limits(manager_client, make_user):
    ada, grace, hedy = (make_user(name) for name in ("ada", "grace", "hedy"))
    generate_keys(ada, read_only=True, scopes=["todos"], allowed_ips=["192.0.2.0/24"])
    revoke(generate_keys(grace).instance)
    expired = generate_keys(hedy).instance
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=timezone.now())

    def listed(**query):
        response = manager_client.get(KEYS, query)
        return [key.user.username for key in response.context["cl"].result_list]

    assert "read-only; todos; 192.0.2.0/24" in text_of(manager_client.get(KEYS))
    assert listed(state="active") == listed(q="ada") == ["ada"]
    assert listed(state="revoked") == ["grace"]
    assert listed(state="expired") == ["hedy"]


def test_added_key_shows_its_secret_once(manager_client, user):
    assert "_addanother" not in text_of(manager_client.get(ADD))
    form = form_of(
        user,
        name="ci",
        scopes="todos, events",
        read_only="on",
        allowed_ips="192.0.2.0/24\n2001:db8::1",
        rate_limit="100/minute",
        expires_at_0=(timezone.now() + timedelta(days=90)).strftime("%Y-%m-%d"),
        expires_at_1="12:00:00",
    )

    answer = manager_client.post(ADD, form)

    key = ApiKey.objects.get()
    (secret,) = secrets_on(answer)
    assert crypto.matches(secret, key.secret_digest)
    assert "no-store" in answer["Cache-Control"]
    assert (key.user, key.name, key.scopes) == (user, "ci", ["todos", "events"])
    assert (key.read_only, key.rate_limit) == (True, "100/minute")
    assert key.allowed_ips == ["192.0.2.0/24", "2001:db8::1"]
    assert key.expires_at is not None
    assert key.created_by == User.objects.get(username="manager")
    assert secret not in "".join(entry.change_message for entry in LogEntry.objects.all())

    again = manager_client.post(ADD, form)
    assert "already has an API key with this name" in text_of(again)
    assert not secrets_on(again)
    assert ApiKey.objects.get().secret_digest == key.secret_digest


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"name": "a\x07b"}, "printable characters"), ({"user": 987654}, "valid choice")],
)
def test_invalid_values_are_refused(manager_client, user, fields, message):
    response = manager_client.post(ADD, form_of(user, **fields))

    assert message in text_of(response)
    assert not ApiKey.objects.exists()


def test_changes_what_was_edited_and_nothing_else(manager_client, user):
    expiry = timezone.now().replace(microsecond=0) + timedelta(days=2)
    key = generate_keys(user, scopes=["a", "b"], expires_at=expiry).instance
    date, time = expiry.strftime("%Y-%m-%d %H:%M:%S").split()
    form = form_of(user, scopes="a\nb", expires_at_0=date, expires_at_1=time)

    assert manager_client.post(page_of(key), form).status_code == 302
    assert ApiKey.objects.get().policies == key.policies
    form |= {"name": "ci", "scopes": "todos", "read_only": "on"}
    assert manager_client.post(page_of(key), form).status_code == 302

    changed = ApiKey.objects.get()
    expected = {**key.policies, "scopes": ["todos"], "read_only": True}
    assert (changed.name, changed.policies) == ("ci", expected)
    assert (changed.api_key, changed.secret_digest) == (key.api_key, key.secret_digest)


def test_name_of_another_key_is_refused(manager_client, user, keys):
    named = generate_keys(user, name="ci").instance

    response = manager_client.post(page_of(named), form_of(user, name=""))

    assert "already has an API key with this name" in text_of(response)


def test_cleared_expiry_stays_within_the_longest_lifetime(manager_client, user, settings):
    key = generate_keys(user, expires_at=timezone.now() + timedelta(days=1)).instance
    settings.FRAPPE_TOKENS = {"MAX_LIFETIME": timedelta(days=30)}

    assert manager_client.post(page_of(key), form_of(user)).status_code == 302

    key.refresh_from_db()
    assert timedelta(days=29) < key.expires_at - timezone.now() <= timedelta(days=30)


def test_superusers_key_can_only_be_revoked_by_a_manager(manager_client, make_user):
    key = generate_keys(make_user("root", is_superuser=True), read_only=True).instance

    page = text_of(manager_client.get(page_of(key)))
    assert page_of(key, "revoke") in page
    assert page_of(key, "generate-keys") not in page
    assert manager_client.post(page_of(key), form_of(key.user)).status_code == 403
    assert manager_client.post(page_of(key, "revoke"), {"reason": "leaked"}).status_code == 302
    assert ApiKey.objects.get().is_revoked


def test_named_key_is_rotated_on_its_page(manager_client, user, keys):
    named = generate_keys(user, name="ci").instance
    url = page_of(named, "generate-keys")
    assert url in text_of(manager_client.get(page_of(named)))
    assert "Generate Keys for ci (" in text_of(manager_client.get(url))

    answer = generate(manager_client, url)

    (secret,) = secrets_on(answer)
    assert "Frappe-Authorization-Source" not in text_of(answer)
    named.refresh_from_db()
    assert crypto.matches(secret, named.secret_digest)
    assert ApiKey.objects.get(name="").secret_digest == keys.instance.secret_digest


def test_shows_the_name_of_a_source_that_is_not_the_default(manager_client, keys, settings):
    sources = {"User": "events.EventConsumer", "Key": "frappe_tokens.ApiKey"}
    settings.FRAPPE_TOKENS = {"SOURCES": sources}

    answer = generate(manager_client, page_of(keys.instance, "generate-keys"))

    assert "Frappe-Authorization-Source: Key" in text_of(answer)


def test_revoked_key_is_read_only(manager_client, user, keys):
    revoke(keys.instance, reason="leaked")

    page = text_of(manager_client.get(page_of(keys.instance)))
    assert "leaked" in page
    assert "_save" not in page
    assert manager_client.post(page_of(keys.instance), form_of(user)).status_code == 403


@pytest.mark.parametrize("what", ["change", "generate-keys", "revoke"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_staff_without_the_permission_are_refused(client, make_user, keys, what, method):
    client.force_login(make_user("clerk", is_staff=True))

    assert getattr(client, method)(page_of(keys.instance, what)).status_code == 403
    assert not ApiKey.objects.get().is_revoked
    assert "API keys" not in text_of(client.get("/admin/"))


def test_viewing_needs_no_permission_to_generate(client, make_user, keys):
    permissions = ("frappe_tokens.view_apikey",)
    client.force_login(make_user("auditor", is_staff=True, permissions=permissions))

    page = text_of(client.get(page_of(keys.instance)))
    assert keys.api_key in page
    assert "generate-keys" not in page
    assert client.get(ADD).status_code == 403
    assert client.get(KEYS, {"secret_digest__startswith": "sha256$"}).status_code == 400


LIST_OF_USERS = "/admin/auth/user/"


@pytest.fixture
def personnel(client, make_user):
    """A browser of someone who may delete users, and may do nothing with keys."""
    permissions = ("auth.view_user", "auth.delete_user")
    client.force_login(make_user("personnel", is_staff=True, permissions=permissions))
    return client


@pytest.mark.parametrize("way", ["page", "action"])
def test_who_may_delete_users_may_delete_one_with_a_key(personnel, user, keys, way):
    url, form = f"{LIST_OF_USERS}{user.pk}/delete/", {}
    if way == "action":
        url, form = LIST_OF_USERS, {"action": "delete_selected", "_selected_action": user.pk}

    page = personnel.post(url, form) if form else personnel.get(url)
    assert keys.api_key in text_of(page)
    personnel.post(url, {**form, "post": "yes"})

    assert not ApiKey.objects.exists()


def test_who_may_delete_users_may_not_delete_a_key(personnel, keys):
    assert personnel.post(page_of(keys.instance, "delete"), {"post": "yes"}).status_code == 403
    form = {"action": "delete_selected", "_selected_action": keys.instance.pk, "post": "yes"}
    assert personnel.post(KEYS, form).status_code == 403

    assert ApiKey.objects.exists()


def test_only_pages_that_delete_something_else_ask_for_no_permission(rf, keys, make_user):
    request = rf.post("/")
    request.user = make_user("staff", is_staff=True)
    keys_admin = admin.site.get_model_admin(ApiKey)

    for path in ("/admin/auth/user/add/", "/admin/", "/api/keys/"):
        request.resolver_match = resolve(path)
        assert not keys_admin.has_delete_permission(request, keys.instance)
    request.resolver_match = None
    assert not keys_admin.has_delete_permission(request, keys.instance)
    request.resolver_match = resolve(LIST_OF_USERS)
    assert not keys_admin.has_delete_permission(request)
    assert keys_admin.has_delete_permission(request, keys.instance)


def test_unknown_credential_deletes_no_user_with_a_key(rf, keys, make_user):
    request = rf.post("/")
    request.user = make_user("staff", is_staff=True, permissions=("auth.delete_user",))
    request.resolver_match = resolve(LIST_OF_USERS)
    request.auth = object()

    keys_admin = admin.site.get_model_admin(ApiKey)
    assert not keys_admin.has_delete_permission(request, keys.instance)


def test_who_may_not_delete_users_may_not_with_their_keys(client, make_user, user, keys):
    client.force_login(make_user("staff", is_staff=True, permissions=("auth.view_user",)))

    response = client.post(f"{LIST_OF_USERS}{user.pk}/delete/", {"post": "yes"})

    assert response.status_code == 403
    assert ApiKey.objects.exists()


def test_keys_are_deleted_only_with_their_user(root_client, user, keys):
    delete = page_of(keys.instance, "delete")
    assert root_client.post(delete, {"post": "yes"}).status_code == 403
    assert "delete_selected" not in text_of(root_client.get(KEYS))

    response = root_client.post(f"/admin/auth/user/{user.pk}/delete/", {"post": "yes"})
    assert response.status_code == 302
    assert not ApiKey.objects.exists()


def test_user_is_chosen_by_id_where_users_cannot_be_searched(client, make_user, monkeypatch):
    permissions = ("frappe_tokens.generate_keys",)
    client.force_login(make_user("blind", is_staff=True, permissions=permissions))
    assert "vForeignKeyRawIdAdminField" in text_of(client.get(ADD))

    monkeypatch.delitem(admin.site._registry, User)
    assert '<input type="text" name="user"' in text_of(client.get(ADD))


def test_description_metadata_and_the_right_to_rotate_itself(manager_client, user):
    form = form_of(
        user, description="Nightly\r\nbuild", metadata='{"team": "ops"}', self_rotate="on"
    )
    assert secrets_on(manager_client.post(ADD, form))

    key = ApiKey.objects.get()
    assert (key.description, key.metadata, key.self_rotate) == (
        *("Nightly\nbuild", {"team": "ops"}, True),
    )
    changed = form_of(user, description="", metadata="")
    assert manager_client.post(page_of(key), changed).status_code == 302
    key.refresh_from_db()
    assert (key.description, key.metadata, key.self_rotate) == ("", {}, False)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("description", "a\ab", "printable characters"),
        ("description", "fts_", "contains an API secret"),
        ("metadata", "fts_", "contains an API secret"),
        ("metadata", "ops", "valid JSON"),
        ("metadata", "1" * 5000, "valid JSON"),
        ("metadata", "[" * 100_000, "valid JSON"),
        ("metadata", "[]", "as a JSON object"),
        ("metadata", '{"a b": 1}', "as a JSON object"),
    ],
    ids=lambda value: value[:10],
)
def test_unusable_description_and_metadata_are_refused(
    manager_client, user, key, field, value, message
):
    if value == "fts_":
        value = crypto.generate_api_secret()
        value = f'{{"a": "{value}"}}' if field == "metadata" else value

    for page in (ADD, page_of(key)):
        response = manager_client.post(page, form_of(user, name="new", **{field: value}))

        assert response.status_code == 200
        assert message in text_of(response)
    assert ApiKey.objects.get().name == ""
