"""Keys over REST, for a user model without a username and with a UUID."""

import pytest

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey
from tests.rest.conftest import send, works

pytestmark = pytest.mark.django_db


def test_a_person_serves_themselves_by_email(make_user, settings):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    ada = generate_keys(make_user("ada@example.com"))
    grace = generate_keys(make_user("grace@example.com"))

    made = send(ada, "POST", body={"user": "ada@example.com", "name": "deploy"}).json()
    assert made["user"] == "ada@example.com"
    assert works(made["api_key"], made["api_secret"])
    assert send(ada, "POST", body={"user": "grace@example.com"}).status_code == 403
    listed = send(ada, "GET", "?user=ada@example.com").json()["results"]
    assert {key["api_key"] for key in listed} == {ada.api_key, made["api_key"]}
    assert send(ada, "GET", "?user=grace@example.com").json()["results"] == []

    rotated = send(ada, "POST", f"{made['api_key']}/rotate/").json()
    assert works(made["api_key"], rotated["api_secret"])
    assert not works(made["api_key"], made["api_secret"])
    assert send(ada, "DELETE", made["api_key"]).status_code == 204
    assert send(ada, "DELETE", grace.api_key).status_code == 404
    assert ApiKey.objects.get(name="deploy").revoked_by == ada.instance.user
