import base64
import csv
import io

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from frappe_tokens import crypto
from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey
from tests.account.conftest import secrets_on, text_of, version_on
from tests.html import attribute, elements

from .conftest import generate

USERS = "/admin/auth/user/"


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


def test_says_who_is_left_out_and_why(manager_client, three, make_user):
    superuser = make_user("root", is_superuser=True)
    inactive = make_user("gone", is_active=False)
    generate_keys(three[2])
    ApiKey.objects.update(expires_at=timezone.now())
    chosen = action([*three, superuser, inactive])

    page = text_of(manager_client.post(USERS, chosen))
    for shown in (
        "Generate Keys for 2 users",
        "This user has permissions that you don",
        "The user is inactive.",
        "The API key has expired.",
    ):
        assert shown in page

    answer = generate(manager_client, USERS, **chosen)
    assert {row["user"] for row in csv_on(answer)} == {"ada", "grace"}
    assert "Left out:" in text_of(answer)
    assert not ApiKey.objects.filter(user__in=[superuser, inactive]).exists()


def test_action_asks_for_the_permission_on_each_user(manager_client, three, monkeypatch):
    monkeypatch.setattr(
        type(admin.site.get_model_admin(User)),
        "has_view_permission",
        lambda self, request, obj=None: obj is None or obj.username != "grace",
    )

    answer = generate(manager_client, USERS, **action(three))

    assert {row["user"] for row in csv_on(answer)} == {"ada", "hedy"}
    assert not ApiKey.objects.filter(user__username="grace").exists()


def test_more_users_than_a_form_may_have_fields_take_few_statements(manager_client):
    chosen = all_of(1_100)

    with CaptureQueriesContext(connection) as confirming:
        confirmation = manager_client.post(USERS, chosen)
    with CaptureQueriesContext(connection) as generating:
        answer = manager_client.post(USERS, {**chosen, "version": version_on(confirmation)})

    assert text_of(confirmation).count('name="_selected_action"') == 1
    assert len(csv_on(answer)) == len(secrets_on(answer)) == User.objects.count()
    assert len(confirming) < 40
    # Older SQLite inserts 47 keys per statement.
    assert len(generating) < 140


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
