"""Pages, REST, commands and the log, for a user model without a username and with a UUID."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey, ApiRequestLog
from frappe_tokens.request_log import current_sink
from tests.account.conftest import LIST, make_key, page_of, rotate, secrets_on, text_of
from tests.conftest import token_header
from tests.rest.conftest import send, works

pytestmark = pytest.mark.django_db


def test_a_person_serves_themselves_on_their_page(client, make_user, settings):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    person = make_user("ada@example.com")
    client.force_login(person)

    assert secrets_on(make_key(client, name="deploy"))
    key = ApiKey.objects.get()
    assert (key.user, key.created_by) == (person, person)
    assert "run as ada@example.com." in text_of(client.get(LIST))
    assert secrets_on(rotate(client, key))
    assert client.post(page_of(key, "edit"), {"name": "nightly"}).status_code == 302
    assert client.post(page_of(key, "revoke"), {"reason": "done"}).status_code == 302
    assert ApiKey.objects.get().revoked_by == person

    client.force_login(make_user("grace@example.com"))
    assert client.post(page_of(key, "revoke")).status_code == 404


def test_a_person_serves_themselves_over_rest(make_user, settings):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    ada = generate_keys(make_user("ada@example.com"))
    grace = generate_keys(make_user("grace@example.com"))

    made = send(ada, "POST", body={"user": "ada@example.com", "name": "deploy"}).json()
    assert made["user"] == "ada@example.com"
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


def test_imports_lists_and_revokes_by_email(make_user, tmp_path):
    emails = [f"user{number}@example.com" for number in range(3)]
    lines = [f"{email},key{number},0123456789abcdef" for number, email in enumerate(emails)]
    for email in emails:
        make_user(email)
    path = tmp_path / "keys.csv"
    path.write_text("\n".join(["user,api_key,api_secret", *lines]))

    def run(*arguments):
        out = StringIO()
        call_command(*arguments, stdout=out, stderr=StringIO())
        return out.getvalue()

    assert run("import_keys", str(path)) == "Imported 3 keys for 3 users.\n"
    assert works("key1", "0123456789abcdef")
    assert len(run("list_keys", "--user", emails[2]).splitlines()) == 2
    assert run("revoke_keys", "--user", emails[0]) == f"Revoked key0 of {emails[0]}.\n"
    assert ApiKey.objects.filter(live=True).count() == 2


@pytest.mark.parametrize("log", ["durable", "buffered"])
def test_requests_are_logged_with_their_user(make_user, settings, log):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": log}
    ada = generate_keys(make_user("ada@example.com"))

    for _ in range(2):
        Client().get("/api/keys/", headers={"Authorization": token_header(ada)})
    current_sink().flush()

    assert [row.user for row in ApiRequestLog.objects.all()] == [ada.instance.user] * 2
