"""API access on the pages of users, and in their list."""

import base64
import csv
import io
from datetime import datetime, timedelta
from datetime import timezone as timezones

import pytest
import time_machine
from django.contrib import admin
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.models import LogEntry
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
from tests.html import attribute, elements, text

from .conftest import generate, generate_page, user_page

USERS = "/admin/auth/user/"
NOON = datetime(2026, 3, 1, 12, tzinfo=timezones.utc)


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
    form |= {"grace": "0", "expires_at": until.isoformat()}
    renewed = manager_client.post(generate_page(user), form)
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
    tabs = elements(text_of(answer), "label", for_=True)
    assert [text(tab) for tab in tabs] == ["curl", "Python (requests)", "JavaScript (fetch)"]
    programs = [text(program) for program in elements(text_of(answer), "pre")]
    assert all(f"{key.api_key}:{secret}" in program for program in programs)
    assert len(programs) == 3
    assert "no-store" in answer["Cache-Control"]
    assert_secret_is_only_in(answer, manager_client)
    assert key.created_by == User.objects.get(username="manager")

    again = manager_client.post(generate_page(user), form)
    assert again.status_code == 409
    assert "Nothing was generated." in text_of(again)
    assert not secrets_on(again)
    assert ApiKey.objects.get(user=user).secret_digest == key.secret_digest
    # The page has a new form.
    form = {"version": version_on(again), "grace": "0"}
    assert secrets_on(manager_client.post(generate_page(user), form))


def test_confirmation_says_what_happens_to_the_old_secrets(manager_client, user):
    def page():
        return text_of(manager_client.get(generate_page(user)))

    early = "The secret before the current one, which is still in its grace period, will stop"
    generated = generate_keys(user)
    assert f"The API key <code>{generated.api_key}</code> stays. Its secret is replaced" in page()
    assert early not in page()

    generate_keys(user, grace=timedelta(hours=1))
    assert early in page()

    ApiKey.objects.update(secret_digest="")
    assert "stays and gets its first secret." in page()
    assert "How long should the current secret" not in page()


@pytest.fixture
def noon(manager_client, system_manager):
    """Stop the clock at noon on March 1, 2026, after a manager has signed in."""
    with time_machine.travel(NOON, tick=False):
        manager_client.force_login(system_manager)
        yield NOON


@pytest.mark.parametrize(
    ("form", "grace"),
    [
        ({"grace": "0"}, None),
        ({"grace": "0", "grace_until": "soon"}, None),
        ({"grace": "3600"}, timedelta(hours=1)),
        ({"grace": "86400"}, timedelta(hours=24)),
        ({"grace": "604800"}, timedelta(days=7)),
        ({"grace": "until", "grace_until": "2026-03-01T12:30"}, timedelta(minutes=30)),
    ],
)
@pytest.mark.parametrize("is_action", [False, True])
def test_old_secret_works_for_the_chosen_time(manager_client, user, noon, is_action, form, grace):
    old = generate_keys(user)
    url, chosen = (USERS, action([user])) if is_action else (generate_page(user), {})
    asked = manager_client.post(url, chosen) if is_action else manager_client.get(url)

    answer = manager_client.post(url, {**chosen, "version": version_on(asked), **form})

    assert secrets_on(answer)
    key = ApiKey.objects.get()
    assert key.previous_expires_at == (grace and noon + grace)
    assert key.previous_digest == (old.instance.secret_digest if grace else "")


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({}, "This field is required."),
        ({"grace": "1"}, "Select a valid choice."),
        ({"grace": "until"}, "Enter a date and a time."),
        ({"grace": "until", "grace_until": "soon"}, "Enter a valid date/time."),
        ({"grace": "until", "grace_until": "2026-03-01T12:00"}, "must end in the future."),
        ({"grace": "until", "grace_until": "2040-03-01T12:00"}, "must be between 0 and 3650 days."),
    ],
)
@pytest.mark.parametrize("is_action", [False, True])
def test_invalid_end_of_the_grace_period_rotates_nothing(
    manager_client, user, noon, is_action, form, problem
):
    generate_keys(user)
    before = ApiKey.objects.values().get()
    url, chosen = (USERS, action([user])) if is_action else (generate_page(user), {})
    asked = manager_client.post(url, chosen) if is_action else manager_client.get(url)

    answer = manager_client.post(url, {**chosen, "version": version_on(asked), **form})

    assert answer.status_code == 200
    assert problem in text_of(answer)
    assert not secrets_on(answer)
    assert ApiKey.objects.values().get() == before


def test_proposes_a_grace_period_as_long_as_the_projects(manager_client, user, settings):
    generate_keys(user)
    settings.FRAPPE_TOKENS = {"ROTATION_GRACE": timedelta(hours=5)}

    for answer in (
        manager_client.get(generate_page(user)),
        manager_client.post(USERS, action([user])),
    ):
        choices = elements(text_of(answer), "input", type="radio")
        chosen = [choice for choice in choices if "checked" in dict(choice.attributes)]
        assert [attribute(choice, "value") for choice in chosen] == ["86400"]


def test_expired_key_is_renewed_by_a_later_expiry_and_left_out_by_the_action(manager_client, user):
    until = timezone.now().replace(microsecond=0) + timedelta(days=1)
    old = generate_keys(user).instance
    ApiKey.objects.update(expires_at=timezone.now())

    confirmation = manager_client.post(USERS, action([user]))
    renewed = generate(manager_client, generate_page(user), expires_at=until.isoformat())

    assert "The API key has expired. Rotate it alone" in text_of(confirmation)
    assert secrets_on(renewed)
    key = ApiKey.objects.get()
    assert (key, key.expires_at) == (old, until)


def test_generates_a_first_secret_and_rotates_the_next(manager_client, user):
    def words(page):
        (heading,) = elements(page, id="frappe-tokens-heading")
        (button,) = elements(page, type="submit", class_="default")
        return text(heading), attribute(button, "value")

    first = text_of(manager_client.get(generate_page(user)))
    assert "Generate Keys" in text_of(manager_client.get(user_page(user)))
    assert words(first) == ("Generate Keys for ada", "Generate Keys")
    generated = text_of(generate(manager_client, generate_page(user)))
    assert "Keys generated for ada" in generated

    section = text_of(manager_client.get(user_page(user)))
    assert [text(link) for link in elements(section, "a", class_="frappe-tokens-button")] == [
        "Rotate secret"
    ]
    assert words(text_of(manager_client.get(generate_page(user)))) == (
        *("Rotate secret of ada", "Rotate secret"),
    )
    assert "Secret rotated for ada" in text_of(generate(manager_client, generate_page(user)))
    api_key = ApiKey.objects.get().api_key
    notes = LogEntry.objects.order_by("pk").values_list("change_message", flat=True)
    assert [*notes] == [
        *[f"Generated a secret for API key {api_key}."] * 2,
        *[f"Rotated the secret of API key {api_key}."] * 2,
    ]


@pytest.mark.parametrize("as_list", [True, False], ids=["from Django 6.1 on", "before"])
def test_breadcrumbs_lead_back_to_the_user_and_the_list(manager_client, user, monkeypatch, as_list):
    monkeypatch.setattr("frappe_tokens.admin.secret_pages.BREADCRUMBS_ARE_A_LIST", as_list)

    def crumbs(response):
        (trail,) = elements(text_of(response), class_="breadcrumbs")
        assert trail.name == ("ol" if as_list else "div")
        return [(text(link), attribute(link, "href")) for link in elements(trail, "a")], text(trail)

    home = [
        ("Home", "/admin/"),
        ("Authentication and Authorization", "/admin/auth/"),
        ("Users", USERS),
    ]
    links, trail = crumbs(manager_client.get(generate_page(user)))
    assert links == [*home, ("ada", user_page(user))]
    assert trail.endswith("Generate Keys")
    links, _ = crumbs(manager_client.post(USERS, action([user])))
    assert links == home
    links, trail = crumbs(generate(manager_client, generate_page(user)))
    assert links == [*home, ("ada", user_page(user))]
    assert trail.endswith("Keys generated")


def test_section_is_hidden_without_the_permission(staff, user):
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
    """A router whose replica has the users, but no keys yet."""

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
    """Return the action's form for all users, after adding ``count``."""
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

    form = action(three, version=version_on(confirmation), grace="0")
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


def test_user_whom_the_confirmation_left_out_gets_no_key_without_another(manager_client, three):
    User.objects.filter(pk=three[0].pk).update(is_active=False)
    confirmation = manager_client.post(USERS, action(three))
    assert "The user is inactive." in text_of(confirmation)
    User.objects.filter(pk=three[0].pk).update(is_active=True)

    form = action(three, version=version_on(confirmation), grace="0")
    answer = manager_client.post(USERS, form)

    assert answer.status_code == 409
    assert not ApiKey.objects.exists()


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


def test_lists_300_users_and_counts_the_others(manager_client, make_user):
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
    """A project's own ModelAdmin, with the mixin."""


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
