"""docs/move/api-key.md, done step by step, with djangorestframework-api-key."""

import csv
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.urls import path
from django.utils import timezone
from rest_framework_api_key.models import APIKey

from frappe_tokens.models import ApiKey, ApiRequestLog

PAGE = "move/api-key"
DAY = timedelta(days=1)

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

current = {}
urlpatterns = [path("prices/", lambda request: current["view"](request))]


def accept_both(reader, *, step=1):
    """Have the view of the page, changed as it says from step 4 on."""
    (source,) = reader.python("Accept both")
    changed = re.sub(r"= \[.+\]  # (\[.+\]) in step 4\n", r"= \1\n", source)
    assert changed != source
    names = {}
    exec(source if step < 4 else changed, names)  # noqa: S102 - our own documentation
    current["view"] = names["Prices"].as_view()


def ask(**headers):
    return Client().get("/prices/", headers=headers).status_code


@pytest.fixture
def old():
    """The header of a client that hasn't moved."""
    return f"Api-Key {APIKey.objects.create_key(name='The door')[1]}"


def handed_out():
    """Return the tokens in the file of the page, by the old key's name."""
    with open("keys.csv", newline="") as file:
        return {name: f"{api_key}:{secret}" for name, api_key, secret in csv.reader(file)}


def test_both_work_until_the_old_keys_are_switched_off_and_back_on(reader, old):
    accept_both(reader)
    assert ask(authorization=old) == 200
    reader.execute("Generate users and keys")
    new = f"token {handed_out()['The door']}"
    assert (ask(authorization=old), ask(authorization=new), ask()) == (200, 200, 401)

    accept_both(reader, step=4)
    assert (ask(authorization=old), ask(authorization=new)) == (401, 200)

    accept_both(reader)
    assert (ask(authorization=old), ask(authorization=new)) == (200, 200)


def test_each_usable_key_gets_a_user_that_can_only_use_the_api(reader, old):
    objects, now = APIKey.objects, timezone.now()
    objects.create_key(name="Expired", expiry_date=now - DAY)
    objects.create_key(name="Revoked", revoked=True)
    objects.create_key(name="Expiring", expiry_date=now + DAY)

    reader.execute("Generate users and keys")

    assert handed_out().keys() == {"The door", "Expiring"}
    found = {key.description: key for key in ApiKey.objects.all()}
    assert (found["The door"].expires_at, found["Expiring"].expires_at) == (None, now + DAY)
    for name, key in found.items():
        assert key.user.username == f"api-{objects.get(name=name).prefix}"
        assert not key.user.has_usable_password()
        assert not key.user.is_staff


def test_command_for_a_single_client(reader):
    reader.run("Generate users and keys")

    key = ApiKey.objects.get()
    assert (key.user.username, key.description) == ("billing", "The billing service")
    assert not Path("keys.csv").exists()


def test_log_has_old_keys_in_the_authorization_header_only(reader, old, settings):
    accept_both(reader)
    ask(authorization=old)
    assert ApiRequestLog.objects.values_list("user", "outcome", "path").get() == (
        None,
        "other",
        "/prices/",
    )

    settings.API_KEY_CUSTOM_HEADER = "HTTP_X_API_KEY"
    assert ask(x_api_key=old.removeprefix("Api-Key ")) == 200
    assert ApiRequestLog.objects.count() == 1


def test_table_can_be_dropped(reader):
    reader.run("Switch the old keys off", "--plan", "--verbosity=0")
