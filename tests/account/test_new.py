"""Users generate keys for themselves."""

from datetime import datetime, timezone

import pytest
import time_machine
from django.test import Client
from django.urls import include, path

from frappe_tokens import crypto
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey

from ..test_parallel import at_once
from .conftest import (
    LIST,
    NEW,
    assert_secret_is_only_in,
    make_key,
    page_of,
    secrets_on,
    text_of,
    version_on,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)

# A project that has the pages of keys, but not our API.
urlpatterns = [path("keys/", include("frappe_tokens.account.urls"))]


def test_key_is_generated_and_its_secret_shown_once(ada, user, make_user):
    """Fields that aren't in the form are ignored; for credentials, see ``test_escalation``."""
    other = make_user("grace").pk

    answer = make_key(ada, user=other, user_id=other, created_by=other, rate_limit="1/day")

    key = ApiKey.objects.get()
    (secret,) = secrets_on(answer)
    assert answer.status_code == 200
    assert crypto.matches(secret, key.secret_digest)
    assert (key.user, key.created_by, key.name) == (user, user, "")
    assert (key.scopes, key.read_only, key.allowed_ips, key.rate_limit) == ([], False, [], "")
    assert f"Authorization: token {key.api_key}:{secret}" in text_of(answer)
    assert "no-store" in answer["Cache-Control"]
    assert answer["X-Frame-Options"] == "DENY"
    assert key.secret_digest not in text_of(answer)
    assert not secrets_on(ada.get(LIST))
    assert_secret_is_only_in(answer, ada)


def test_key_has_the_chosen_limits(ada, user):
    with time_machine.travel(NOON, tick=False):
        ada.force_login(user)
        answer = make_key(
            ada,
            name=" deploy ",
            expires_at="2026-06-01T09:30",
            read_only="on",
            scopes="todos, events",
            allowed_ips="192.0.2.0/24\n2001:db8::1",
        )

    key = ApiKey.objects.get()
    assert secrets_on(answer)
    assert (key.name, key.read_only, key.scopes) == ("deploy", True, ["todos", "events"])
    assert key.expires_at == datetime(2026, 6, 1, 9, 30, tzinfo=timezone.utc)
    assert key.allowed_ips == ["192.0.2.0/24", "2001:db8::1"]
    assert "only from these addresses: 192.0.2.0/24, 2001:db8::1." in text_of(answer)


@pytest.mark.parametrize(
    ("urls", "new", "url"),
    [
        ("testproject.urls", NEW, "http://localhost:8123/api/method/frappe.auth.get_logged_user"),
        (__name__, "/keys/new/", "http://localhost:8123/"),
    ],
    ids=["with our API", "without"],
)
def test_shows_a_command_for_this_site(ada, settings, urls, new, url):
    settings.ROOT_URLCONF = urls
    form = {"version": version_on(ada.get(new))}

    answer = ada.post(new, form, headers={"host": "localhost:8123"})

    (secret,) = secrets_on(answer)
    header = f"Authorization: token {ApiKey.objects.get().api_key}:{secret}"
    assert f"curl {url} \\\n  -H &#x27;{header}&#x27;</code>" in text_of(answer)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scopes": 'a"b'}, "is not a valid scope"),
        ({"allowed_ips": "192.0.2.300"}, "is not a valid address or network"),
        ({"name": "a\x07b"}, "printable characters"),
        ({"name": "n" * 101}, "at most 100 characters"),
        ({"name": ""}, "There is already an API key without a name."),
        ({"name": "ci"}, "There is already an API key with this name."),
    ],
)
def test_invalid_values_are_refused(ada, user, fields, message):
    for name in ("", "ci"):
        generate_keys(user, name=name)
    before = list(ApiKey.objects.values())

    answer = make_key(ada, **{"name": "new", **fields})

    assert answer.status_code == 200
    assert message in text_of(answer)
    assert 'aria-invalid="true"' in text_of(answer)
    assert not secrets_on(answer)
    assert list(ApiKey.objects.values()) == before


@pytest.mark.parametrize("what", ["new", "new and revoked", "one more", "rotate"])
def test_form_sent_twice_generates_nothing_again(ada, user, what):
    if what == "one more":
        generate_keys(user)
    page = page_of(generate_keys(user).instance, "rotate") if what == "rotate" else NEW
    form = {"name": "ci", "grace": "0", "version": version_on(ada.get(page))}
    assert secrets_on(ada.post(page, form))
    if what == "new and revoked":
        revoke(ApiKey.objects.get())
    before = list(ApiKey.objects.values())

    again = ada.post(page, form)

    assert again.status_code == 409
    assert "Nothing was generated." in text_of(again)
    assert not secrets_on(again)
    assert list(ApiKey.objects.values()) == before
    # The page has a new form.
    assert secrets_on(ada.post(page, {**form, "name": "cd", "version": version_on(again)}))


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["new", "rotate"])
def test_form_sent_many_times_at_once_generates_one_secret(ada, user, what):
    page = NEW if what == "new" else page_of(generate_keys(user).instance, "rotate")
    form = {"version": version_on(ada.get(page)), "name": "ci", "grace": "3600"}

    def send():
        window = Client()
        window.cookies = ada.cookies
        return window.post(page, form)

    answers, errors = at_once(*[send] * 10)

    assert errors == []
    (secret,) = set().union(*map(secrets_on, answers))
    assert crypto.matches(secret, ApiKey.objects.get().secret_digest)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
