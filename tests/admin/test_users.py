"""API access on the pages of users, and in their list."""

import base64
import csv
import io
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from frappe_tokens import crypto
from frappe_tokens.admin import ApiAccessMixin, add_api_access
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey
from tests.account.conftest import assert_secret_is_only_in, secrets_on, text_of, version_on
from tests.html import attribute, elements

from .conftest import generate, generate_page, user_page

USERS = "/admin/auth/user/"


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
    page = text_of(manager_client.get(generate_page(user)))
    assert "The API key has expired." in page
    assert "version" not in page

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
    assert_secret_is_only_in(answer, manager_client)
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


def test_nothing_is_offered_without_the_permission(staff, user):
    client = staff("auth.view_user", "auth.change_user")

    page = text_of(client.get(user_page(user)))
    assert "API Access" not in page
    assert "Generate Keys" not in page + text_of(client.get(USERS))


def test_user_must_be_visible(staff, user):
    client = staff("frappe_tokens.generate_keys")

    for send in (client.get, client.post):
        assert send(generate_page(user), {"version": "by hand"}).status_code == 403
    assert not ApiKey.objects.exists()


def test_only_superusers_generate_for_superusers(manager_client, make_user):
    superuser = make_user("root", is_superuser=True, is_staff=True)
    page = text_of(manager_client.get(user_page(superuser)))
    assert "This user has permissions that you don" in page
    assert generate_page(superuser) not in page
    assert manager_client.get(generate_page(superuser)).status_code == 403

    manager_client.force_login(superuser)
    assert secrets_on(generate(manager_client, generate_page(superuser)))
    assert "API Access" not in text_of(manager_client.get(f"{USERS}add/"))


def test_user_who_does_not_exist_is_not_found(manager_client, user, monkeypatch):
    assert manager_client.get(f"{USERS}987654/generate-keys/").status_code == 404

    form = {"version": version_on(manager_client.get(generate_page(user)))}
    monkeypatch.setattr("frappe_tokens.admin.api_access.lock_users", lambda pks, by: {})
    assert manager_client.post(generate_page(user), form).status_code == 404


def test_lagging_replica_generates_no_second_secret(manager_client, user, settings):
    settings.DATABASE_ROUTERS = ["tests.admin.test_users.LaggingReplica"]
    form = {"version": version_on(manager_client.get(generate_page(user)))}
    assert secrets_on(manager_client.post(generate_page(user), form))

    assert not secrets_on(manager_client.post(generate_page(user), form))


class LaggingReplica:
    """A router whose replica knows users, and no keys yet."""

    def db_for_read(self, model, **hints):
        return "missing" if model is ApiKey else None

    def allow_relation(self, one, other, **hints):
        return True


# The action of the list


@pytest.fixture
def three(make_user):
    return [make_user(name) for name in ("ada", "grace", "hedy")]


def action(rows, **more):
    return {"action": "generate_keys", "_selected_action": [row.pk for row in rows], **more}


def all_of(count):
    """The action for all users, after ``count`` were added."""
    User.objects.bulk_create(User(username=f"user{number}") for number in range(count))
    return action([User.objects.get(username="user0")], select_across="1")


def csv_on(response):
    (link,) = elements(text_of(response), "a", download=True)
    content = attribute(link, "href").removeprefix("data:text/csv;charset=utf-8;base64,")
    return list(csv.DictReader(io.StringIO(base64.b64decode(content).decode())))


def test_generates_for_all_after_a_confirmation(manager_client, three):
    existing = generate_keys(three[0])

    confirmation = manager_client.post(USERS, action(three))
    page = text_of(confirmation)
    assert "Generate Keys for 3 users" in page
    assert f"The API key <code>{existing.api_key}</code> stays." in page
    assert page.count("A new API key and secret will be generated.") == 2
    assert ApiKey.objects.get().secret_digest == existing.instance.secret_digest

    form = action(three, version=version_on(confirmation))
    answer = manager_client.post(USERS, form)
    assert "no-store" in answer["Cache-Control"]
    rows = csv_on(answer)
    assert {row["user"] for row in rows} == {"ada", "grace", "hedy"}
    assert {row["api_secret"] for row in rows} == secrets_on(answer)
    for row in rows:
        key = ApiKey.objects.get(user__username=row["user"])
        assert key.api_key == row["api_key"]
        assert crypto.matches(row["api_secret"], key.secret_digest)

    digests = set(ApiKey.objects.values_list("secret_digest", flat=True))
    again = manager_client.post(USERS, form)
    assert again.status_code == 409
    assert not secrets_on(again)
    assert set(ApiKey.objects.values_list("secret_digest", flat=True)) == digests


def test_action_asks_for_the_permission_on_each_user(manager_client, three, monkeypatch):
    monkeypatch.setattr(
        type(admin.site.get_model_admin(User)),
        "has_view_permission",
        lambda self, request, obj=None: obj is None or obj.username != "grace",
    )

    answer = generate(manager_client, USERS, **action(three))

    assert {row["user"] for row in csv_on(answer)} == {"ada", "hedy"}
    assert not ApiKey.objects.filter(user__username="grace").exists()


def test_generates_for_more_users_than_a_form_may_have_fields(
    manager_client, django_assert_max_num_queries
):
    chosen = all_of(1_100)

    # Older SQLite inserts 47 keys per statement.
    with django_assert_max_num_queries(180):
        answer = generate(manager_client, USERS, **chosen)

    assert len(csv_on(answer)) == len(secrets_on(answer)) == User.objects.count()


def test_lists_some_hundred_users_and_counts_the_others(manager_client, make_user):
    chosen = all_of(400)
    left_out = [make_user(f"z-gone{number}", is_active=False) for number in range(3)]

    page = text_of(manager_client.post(USERS, {**chosen, "o": "-1"}))

    rows = page.count('<th scope="row">')
    assert "Generate Keys for 401 users" in page
    assert 300 <= rows <= 303
    assert f"{User.objects.count() - rows} more users are not listed" in page
    assert all(user.username in page for user in left_out)
    assert page.count("The user is inactive.") == 3


# A project's own ModelAdmin


class MixedUserAdmin(ApiAccessMixin, UserAdmin):
    """A project's own, with the mixin."""


@pytest.mark.parametrize("own_admin", [ModelAdmin, MixedUserAdmin])
def test_adds_api_access_to_a_projects_own_model_admin(own_admin):
    own_site = AdminSite(name="own")
    add_api_access(own_site)
    assert not own_site.is_registered(User)
    own_site.register(User, own_admin)

    add_api_access(own_site)

    user_admin = own_site.get_model_admin(User)
    assert isinstance(user_admin, ApiAccessMixin)
    assert isinstance(user_admin, own_admin)
    assert (type(user_admin) is own_admin) == (own_admin is MixedUserAdmin)


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        (["greet"], ["greet", "generate_keys"]),
        (["generate_keys"], ["generate_keys"]),
        (None, None),
    ],
)
def test_action_is_added_to_those_of_the_project(actions, expected):
    own_admin = type("OwnAdmin", (MixedUserAdmin,), {"actions": actions})

    assert own_admin(User, admin.site).actions == expected
