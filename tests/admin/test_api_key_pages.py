"""The pages of ``ApiKey``, where they differ from those of other sources (``test_sources.py``)."""

from datetime import datetime, timedelta
from datetime import timezone as timezones

import pytest
import time_machine
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.urls import resolve
from django.utils import timezone

from frappe_tokens import crypto
from frappe_tokens.keys import Actor, disable, generate_keys, revoke
from frappe_tokens.models import ApiKey
from tests.account.conftest import secrets_on, text_of
from tests.html import attribute, elements, text

from .conftest import generate

KEYS = "/admin/frappe_tokens/apikey/"
ADD = f"{KEYS}add/"
NOON = datetime(2026, 3, 1, 12, tzinfo=timezones.utc)


def form_of(owner, **fields):
    names = ("name", "scopes", "allowed_ips", "rate_limit", "expires_at_0", "expires_at_1")
    return {"user": owner.pk, **dict.fromkeys(names, ""), **fields}


def page_of(key, what="change"):
    return f"{KEYS}{key.pk}/{what}/"


def history():
    return [
        (entry.content_type.model, entry.get_change_message())
        for entry in LogEntry.objects.order_by("pk")
    ]


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
    note = f"Generated a secret for API key {key.api_key}."
    assert history() == [("user", note), ("apikey", "Added.")]

    again = manager_client.post(ADD, form)
    assert "already has an API key with this name" in text_of(again)
    assert not secrets_on(again)
    assert ApiKey.objects.get().secret_digest == key.secret_digest


def test_saving_changes_only_what_was_edited(manager_client, user):
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
    assert changed.lifetime == key.lifetime
    assert (changed.api_key, changed.secret_digest) == (key.api_key, key.secret_digest)
    assert history() == [
        ("apikey", "No fields changed."),
        ("user", f"Changed scopes, read-only of API key {key.api_key}."),
        ("apikey", "Changed Name, Scopes and Read-only."),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [("", "already has an API key with this name"), ("a\x07b", "printable characters")],
)
def test_name_that_is_taken_or_not_printable_is_refused(manager_client, user, keys, name, message):
    named = generate_keys(user, name="ci").instance

    response = manager_client.post(page_of(named), form_of(user, name=name))

    assert message in text_of(response)
    assert ApiKey.objects.get(pk=named.pk).name == "ci"


def test_cleared_expiry_stays_within_the_longest_lifetime(manager_client, user, settings):
    key = generate_keys(user, expires_at=timezone.now() + timedelta(days=1)).instance
    settings.FRAPPE_TOKENS = {"MAX_LIFETIME": timedelta(days=30)}

    assert manager_client.post(page_of(key), form_of(user)).status_code == 302

    key.refresh_from_db()
    assert timedelta(days=29) < key.expires_at - timezone.now() <= timedelta(days=30)
    assert timedelta(days=29) < key.lifetime <= timedelta(days=30)


def test_shows_the_name_of_a_source_that_is_not_the_default(manager_client, keys, settings):
    sources = {"User": "events.EventConsumer", "Key": "frappe_tokens.ApiKey"}
    settings.FRAPPE_TOKENS = {"SOURCES": sources}

    answer = generate(manager_client, page_of(keys.instance, "generate-keys"))

    assert "Frappe-Authorization-Source: Key" in text_of(answer)


@pytest.mark.parametrize("what", ["change", "generate-keys", "revoke"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_staff_without_the_permission_are_refused(staff, keys, what, method):
    client = staff()

    assert getattr(client, method)(page_of(keys.instance, what)).status_code == 403
    assert not ApiKey.objects.get().is_revoked
    assert "API keys" not in text_of(client.get("/admin/"))


def test_viewing_needs_no_permission_to_generate(staff, keys):
    client = staff("frappe_tokens.view_apikey")

    page = text_of(client.get(page_of(keys.instance)))
    assert keys.api_key in page
    assert "generate-keys" not in page
    assert client.get(ADD).status_code == 403
    assert client.get(KEYS, {"secret_digest__startswith": "sha256$"}).status_code == 400


def rows_of(client, key):
    """Return the texts of the page's fields by name, and the messages at its top."""
    response = client.get(page_of(key))
    rows = {
        name.removeprefix("field-"): text(value)
        for row in elements(text_of(response), class_="form-row")
        for name in attribute(row, "class").split()
        if name.startswith("field-")
        for value in elements(row, class_="readonly")
    }
    return rows, [str(message) for message in response.context["messages"]]


@pytest.mark.parametrize("may_only_view", [True, False], ids=["view-only", "revoked"])
def test_values_that_cannot_be_changed_are_not_shown_as_json(staff, user, may_only_view):
    metadata = {"team": "ops", "owner": {"rooms": [1, "two"]}, "empty": {}, "billed": True}
    limits = {"scopes": ["todos", "events"], "allowed_ips": ["192.0.2.0/24"]}
    keys = generate_keys(user, name="ci", metadata=metadata, **limits)
    other = generate_keys(user).instance
    if not may_only_view:
        revoke(keys.instance)
        revoke(other)
    client = staff(f"frappe_tokens.{'view_apikey' if may_only_view else 'generate_keys'}")

    rows, _ = rows_of(client, keys.instance)
    assert rows["readable_scopes"] == "todos events"
    assert rows["readable_allowed_ips"] == "192.0.2.0/24"
    assert rows["readable_metadata"] == "billed true empty {} owner.rooms 1, two team ops"
    rows, _ = rows_of(client, other)
    assert rows["readable_scopes"] == "None. The key opens all views."
    assert rows["readable_allowed_ips"] == "All addresses."
    assert rows["readable_metadata"] == "None."


def test_top_of_the_page_says_why_requests_are_refused(manager_client, system_manager, user):
    by = Actor(system_manager)
    key = generate_keys(user).instance
    when = "March 1, 2026, noon"

    def note(**changes):
        ApiKey.objects.filter(pk=key.pk).update(**changes)
        return " ".join(rows_of(manager_client, key)[1])

    assert note() == ""
    with time_machine.travel(NOON, tick=False):
        manager_client.force_login(system_manager)
        assert note(expires_at=NOON).startswith(f"This API key expired on {when}. Requests with")
        disable(key, by=by)
        assert note() == (
            f"This API key was disabled on {when} by manager. "
            "Requests with it are refused until it is enabled."
        )
        assert f"disabled on {when}. Requests" in note(disabled_by=None)
        revoke(key, reason="Left the company", by=by)
        assert note() == (
            f"This API key was revoked on {when} by manager. Requests with it are refused. "
            "This is final. Reason: Left the company"
        )
        assert note(revoked_by=None, revoked_reason="") == (
            f"This API key was revoked on {when}. Requests with it are refused. This is final."
        )


LIST_OF_USERS = "/admin/auth/user/"


@pytest.mark.parametrize("is_superuser", [False, True])
@pytest.mark.parametrize("way", ["page", "action"])
def test_key_is_deleted_only_with_its_user(staff, user, keys, way, is_superuser):
    client = staff("auth.view_user", "auth.delete_user")
    User.objects.filter(username="staff").update(is_superuser=is_superuser)

    def delete(url, row):
        form = {}
        if way == "page":
            url = f"{url}{row.pk}/delete/"
        else:
            form = {"action": "delete_selected", "_selected_action": row.pk}
        asked = client.post(url, form) if form else client.get(url)
        return asked, client.post(url, {**form, "post": "yes"})

    delete(KEYS, keys.instance)
    assert ApiKey.objects.exists()
    asked, _ = delete(LIST_OF_USERS, user)
    assert keys.api_key in text_of(asked)
    assert not ApiKey.objects.exists()


def test_only_pages_that_delete_users_ask_for_no_permission_on_keys(rf, keys, make_user):
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
    request.auth = object()  # of another package
    assert not keys_admin.has_delete_permission(request, keys.instance)


def test_user_is_chosen_by_id_where_users_cannot_be_searched(staff, monkeypatch):
    client = staff("frappe_tokens.generate_keys")
    assert "vForeignKeyRawIdAdminField" in text_of(client.get(ADD))

    monkeypatch.delitem(admin.site._registry, User)
    assert '<input type="text" name="user"' in text_of(client.get(ADD))


def test_parts_of_the_expiry_have_names(manager_client):
    page = text_of(manager_client.get(ADD))

    (date,) = elements(page, "input", class_="vDateField")
    (time,) = elements(page, "input", class_="vTimeField")
    assert attribute(date, "aria-label") == "Expiry date"
    assert attribute(time, "aria-label") == "Expiry time"


def test_description_metadata_and_self_rotate_can_be_changed(manager_client, user):
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
