import base64
import csv
import html
import io
import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from frappe_tokens import crypto
from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

from .conftest import secrets_on, version_on

USERS = "/admin/auth/user/"


@pytest.fixture
def three(make_user):
    return [make_user(name) for name in ("ada", "grace", "hedy")]


def action(rows, **more):
    return {
        "action": "generate_keys",
        "_selected_action": [row.pk for row in rows],
        **more,
    }


def csv_on(response):
    link = re.search(
        r'href="data:text/csv;charset=utf-8;base64,([^"]+)"', response.content.decode()
    )
    assert link is not None
    text = base64.b64decode(html.unescape(link[1])).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_asks_before_it_generates(manager_client, three):
    kept = generate_keys(three[0])

    page = manager_client.post(USERS, action(three)).content.decode()

    assert "Generate Keys for 3 users" in page
    assert f"The API key <code>{kept.api_key}</code> stays." in page
    assert page.count("A new API key and secret will be generated.") == 2
    assert ApiKey.objects.count() == 1
    assert ApiKey.objects.get().secret_digest == kept.instance.secret_digest


def test_generates_for_all_and_shows_them_once_with_a_csv(manager_client, three):
    confirmation = manager_client.post(USERS, action(three))
    answer = manager_client.post(USERS, action(three, version=version_on(confirmation)))

    assert "no-store" in answer["Cache-Control"]
    rows = csv_on(answer)
    assert {row["user"] for row in rows} == {"ada", "grace", "hedy"}
    assert {row["api_secret"] for row in rows} == secrets_on(answer)
    for row in rows:
        key = ApiKey.objects.get(user__username=row["user"])
        assert key.api_key == row["api_key"]
        assert crypto.matches(row["api_secret"], key.secret_digest)


def test_reloading_the_answer_generates_nothing(manager_client, three):
    version = version_on(manager_client.post(USERS, action(three)))
    manager_client.post(USERS, action(three, version=version))
    digests = set(ApiKey.objects.values_list("secret_digest", flat=True))

    again = manager_client.post(USERS, action(three, version=version))

    assert again.status_code == 409
    assert not secrets_on(again)
    assert set(ApiKey.objects.values_list("secret_digest", flat=True)) == digests


def test_leaves_out_whom_it_may_not_and_says_why(manager_client, three, make_user):
    superuser = make_user("root", is_superuser=True)
    inactive = make_user("gone", is_active=False)
    expired = three[2]
    generate_keys(expired)
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(days=1))
    chosen = [*three, superuser, inactive]

    confirmation = manager_client.post(USERS, action(chosen))
    page = confirmation.content.decode()
    assert "Generate Keys for 2 users" in page
    assert "This user has permissions that you don" in page
    assert "The user is inactive." in page
    assert "The API key has expired." in page

    answer = manager_client.post(USERS, action(chosen, version=version_on(confirmation)))
    assert {row["user"] for row in csv_on(answer)} == {"ada", "grace"}
    assert "Left out:" in answer.content.decode()
    assert not ApiKey.objects.filter(user__in=[superuser, inactive]).exists()


def test_generates_for_none_where_none_is_left(manager_client, make_user):
    inactive = make_user("gone", is_active=False)

    page = manager_client.post(USERS, action([inactive], version="x"))

    assert "Keys can't be generated for any of these users." in page.content.decode()
    assert not ApiKey.objects.exists()


def test_ignores_the_action_of_a_user_without_the_permission(client, make_user, three):
    client.force_login(
        make_user("clerk", is_staff=True, permissions=("auth.view_user", "auth.change_user"))
    )

    client.post(USERS, action(three, version="by hand"))

    assert not ApiKey.objects.exists()


def test_quotes_a_username_that_a_spreadsheet_would_run(manager_client, make_user):
    user = make_user("@SUM(1+9)")

    version = version_on(manager_client.post(USERS, action([user])))
    answer = manager_client.post(USERS, action([user], version=version))

    assert [row["user"] for row in csv_on(answer)] == ["'@SUM(1+9)"]


def test_the_action_keeps_to_the_permission_for_each_user(manager_client, three, monkeypatch):
    user_admin = type(admin.site.get_model_admin(User))
    monkeypatch.setattr(
        user_admin,
        "has_view_permission",
        lambda self, request, obj=None: obj is None or obj.username != "grace",
    )

    confirmation = manager_client.post(USERS, action(three))
    answer = manager_client.post(USERS, action(three, version=version_on(confirmation)))

    assert {row["user"] for row in csv_on(answer)} == {"ada", "hedy"}
    assert not ApiKey.objects.filter(user__username="grace").exists()


def test_generates_for_more_users_than_a_form_may_have_fields(manager_client):
    User.objects.bulk_create(User(username=f"user{number}") for number in range(1_100))
    chosen = action([User.objects.get(username="user0")], select_across="1")

    confirmation = manager_client.post(USERS, chosen)
    page = confirmation.content.decode()
    assert page.count('name="_selected_action"') == 1
    answer = manager_client.post(USERS, {**chosen, "version": version_on(confirmation)})

    assert len(csv_on(answer)) == User.objects.filter(is_active=True).count()


def people(count):
    """The action for all users, of whom there are ``count`` more."""
    User.objects.bulk_create(User(username=f"user{number}") for number in range(count))
    return action([User.objects.get(username="user0")], select_across="1")


def test_thousands_of_users_take_few_statements(manager_client):
    chosen = people(3_000)

    with CaptureQueriesContext(connection) as confirming:
        version = version_on(manager_client.post(USERS, chosen))
    with CaptureQueriesContext(connection) as generating:
        answer = manager_client.post(USERS, {**chosen, "version": version})

    everyone = User.objects.count()
    assert len(csv_on(answer)) == len(secrets_on(answer)) == everyone
    assert len(confirming) < 50
    # Older SQLite takes 47 keys a statement.
    assert len(generating) < 300


def test_writes_the_history_of_every_user_and_every_key(manager_client, system_manager, make_user):
    chosen = people(20)
    generate_keys(User.objects.get(username="user7"))

    version = version_on(manager_client.post(USERS, chosen))
    answer = manager_client.post(USERS, {**chosen, "version": version})

    entries = LogEntry.objects.filter(user=system_manager, action_flag=CHANGE)
    assert entries.count() == 2 * User.objects.count() == 2 * ApiKey.objects.count()
    for key in ApiKey.objects.select_related("user"):
        for changed in (key, key.user):
            entry = entries.get(
                content_type=ContentType.objects.get_for_model(changed), object_id=changed.pk
            )
            assert entry.get_change_message() == f"Generated a secret for API key {key.api_key}."
            assert entry.object_repr == str(changed)
            assert entry.get_edited_object() == changed
    history = repr(list(LogEntry.objects.values()))
    assert not any(secret in history for secret in secrets_on(answer))


def test_tells_a_project_that_writes_its_own_history_of_each(manager_client, three, monkeypatch):
    told = []
    user_admin = type(admin.site.get_model_admin(User))
    monkeypatch.setattr(
        user_admin, "log_change", lambda self, request, changed, note: told.append(changed)
    )

    version = version_on(manager_client.post(USERS, action(three)))
    manager_client.post(USERS, action(three, version=version))

    assert [changed for changed in told if isinstance(changed, User)] == three
    assert {changed for changed in told if isinstance(changed, ApiKey)} == set(ApiKey.objects.all())


def test_lists_some_hundred_users_and_counts_the_others(manager_client, make_user):
    chosen = people(400)
    for user in User.objects.filter(username__startswith="user")[:5]:
        generate_keys(user)
    left_out = [make_user(f"z-gone{number}", is_active=False) for number in range(3)]

    confirmation = manager_client.post(USERS, {**chosen, "o": "-1"})

    page = confirmation.content.decode()
    assert "Generate Keys for 401 users" in page
    rows = page.count('<th scope="row">')
    more = User.objects.count() - rows
    assert 300 <= rows <= 303
    assert f"{more} more users are not listed" in page
    for user in left_out:
        assert user.username in page
    assert page.count("The user is inactive.") == 3

    answer = manager_client.post(USERS, {**chosen, "version": version_on(confirmation)})
    assert len(csv_on(answer)) == 401
