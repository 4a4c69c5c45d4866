"""Who may not, by which call: the right status, nothing written, and no secret in the answer."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

from ..conftest import basic_header
from .conftest import assert_no_secret, assert_refused, rows, send

pytestmark = pytest.mark.django_db

# By name, how a call is made on a key of a user.
CALLS = {
    "make": lambda by, of: send(
        by, "POST", body={"user": of.instance.user.get_username(), "name": "new"}
    ),
    "make by a taken name": lambda by, of: send(
        by, "POST", body={"user": of.instance.user.get_username()}
    ),
    "narrow": lambda by, of: send(by, "PATCH", of.api_key, {"read_only": True}),
    "rename": lambda by, of: send(by, "PATCH", of.api_key, {"name": "mine"}),
    "rotate": lambda by, of: send(by, "POST", f"{of.api_key}/rotate/"),
    "rotate with a grace": lambda by, of: send(
        by, "POST", f"{of.api_key}/rotate/", {"grace": 3600}
    ),
    "revoke": lambda by, of: send(by, "DELETE", of.api_key),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
but_revoke = pytest.mark.parametrize("call", list(CALLS.values())[:-1], ids=list(CALLS)[:-1])


def assert_nothing_happens(
    call,
    by,
    of,
    status,
    code,
):
    before = rows()
    assert_refused(call(by, of), status, code)
    assert rows() == before


@but_revoke
@pytest.mark.parametrize("rights", ["superuser", "helpdesk"])
def test_manager_does_nothing_but_revoke_keys_of_a_user_with_more_rights(
    manager,
    root,
    make_user,
    rights,
    call,
):
    helpdesk = make_user("helpdesk", is_staff=True, permissions=("auth.change_user",))
    target = root if rights == "superuser" else generate_keys(helpdesk)

    assert_nothing_happens(call, manager, target, 403, "permission_denied")
    assert CALLS["revoke"](manager, target).status_code == 204


@every_call
def test_superuser_may(root, keys, call):
    assert call(root, keys).status_code in {200, 201, 204, 409}


@every_call
def test_user_without_the_permission_does_nothing_to_their_own_keys(keys, call):
    assert_nothing_happens(call, keys, keys, 403, "permission_denied")


@every_call
@pytest.mark.parametrize("own", [False, True], ids=["permission", "self-service"])
def test_read_only_key_does_nothing(system_manager, keys, settings, call, own):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": own}
    by = generate_keys(keys.instance.user if own else system_manager, name="ro", read_only=True)
    assert_nothing_happens(call, by, keys, 403, "key_read_only")


@every_call
@pytest.mark.parametrize("own", [False, True], ids=["permission", "self-service"])
def test_scoped_key_does_nothing(system_manager, keys, settings, call, own):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": own}
    by = generate_keys(keys.instance.user if own else system_manager, name="s", scopes=["todos"])
    assert_nothing_happens(call, by, keys, 403, "insufficient_scope")


@pytest.mark.parametrize("by", ["keys", "nobody"])
@pytest.mark.parametrize("own", [False, True], ids=["no permission", "self-service"])
def test_making_for_others_does_not_tell_who_there_is(
    keys,
    root,
    make_user,
    settings,
    by,
    own,
):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": own}
    make_user("gone", is_active=False)
    generate_keys(make_user("grace"))
    before = rows()
    asking = keys if by == "keys" else None
    answers = [
        send(asking, "POST", body={"user": name})
        for name in ("grace", "gone", "root", "nobody", "Ada", "a" * 1000)
    ]
    status, code = (403, "permission_denied") if asking else (401, "not_authenticated")
    for answer in answers:
        assert_refused(answer, status, code)
    assert len({answer.content for answer in answers}) == 1
    assert rows() == before


def test_whoever_may_make_no_key_learns_nothing_of_what_a_body_lacks(
    keys,
):
    for body in ({}, {"user": 1}, {"api_secret": "mine"}, []):
        assert_refused(send(keys, "POST", body=body), 403, "permission_denied")


def test_name_of_another_is_not_even_looked_for(keys, self_service):
    with CaptureQueriesContext(connection) as captured:
        send(keys, "POST", body={"user": "somebody-else"})
    assert captured.captured_queries
    assert "somebody-else" not in str(captured.captured_queries)


def test_whoever_may_do_nothing_to_a_key_learns_nothing_of_what_a_body_lacks(
    keys,
):
    for body in ({"name": 1}, {"api_secret": "mine"}, {"grace": -1}, []):
        for method, path in (("PATCH", keys.api_key), ("POST", f"{keys.api_key}/rotate/")):
            assert_refused(send(keys, method, path, body), 403, "permission_denied")


@every_call
def test_key_of_another_user_is_out_of_reach_of_self_service(keys, make_user, self_service, call):
    foreign = generate_keys(make_user("grace"))
    before = rows()
    response = call(keys, foreign)
    assert response.status_code == (403 if response.wsgi_request.path == "/api/keys/" else 404)
    assert set(response.json()) == {"detail", "code"}
    assert_no_secret(response)
    assert rows() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"read_only": False},
        {"scopes": []},
        {"scopes": ["todos", "events"]},
        {"allowed_ips": []},
        {"allowed_ips": ["0.0.0.0/0", "::/0"]},
        {"rate_limit": ""},
        {"rate_limit": "6/minute"},
        {"expires_at": None},
        {"expires_at": "2100-01-02T00:00:00Z"},
        {"name": "mine", "allowed_ips": ["127.0.0.0/8"], "read_only": False},
    ],
    ids=str,
)
def test_user_who_serves_themselves_does_not_widen_their_key(keys, self_service, changes):
    narrow = generate_keys(keys.instance.user, name="narrow", rate_limit="5/minute")
    body = {
        "read_only": True,
        "scopes": ["todos"],
        "allowed_ips": ["127.0.0.0/8"],
        "expires_at": "2100-01-01T00:00:00Z",
    }
    assert send(keys, "PATCH", narrow.api_key, body).status_code == 200
    assert_nothing_happens(
        lambda by, of: send(by, "PATCH", of.api_key, changes),
        keys,
        narrow,
        403,
        "permission_denied",
    )


def test_user_who_serves_themselves_gives_no_key_a_rate(keys, self_service):
    rate = {"rate_limit": "999999999/second"}
    before = rows()
    assert_refused(send(keys, "PATCH", keys.api_key, rate), 403, "permission_denied")
    made = send(keys, "POST", body={"name": "new", **rate})
    assert_refused(made, 403, "permission_denied")
    assert rows() == before


@every_call
def test_inactive_users_key_opens_nothing(manager, keys, call):
    manager.instance.user.is_active = False
    manager.instance.user.save()
    assert_nothing_happens(call, manager, keys, 401, "user_inactive")


@every_call
def test_permission_that_was_taken_away_opens_nothing(manager, keys, call):
    manager.instance.user.groups.clear()
    before = rows()
    response = call(manager, keys)
    assert response.status_code in {403, 404}
    assert_no_secret(response)
    assert rows() == before


def test_rotating_does_not_lengthen_a_key_beyond_the_longest_lifetime(manager, keys, settings):
    settings.FRAPPE_TOKENS = {"MAX_LIFETIME": timedelta(days=30)}
    assert send(manager, "POST", f"{keys.api_key}/rotate/").status_code == 200
    key = ApiKey.objects.get(pk=keys.instance.pk)
    assert key.expires_at is not None
    assert key.rotated_at is not None
    assert key.expires_at <= key.rotated_at + timedelta(days=30)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/keys/"),
        ("PATCH", "/api/keys/{}/"),
        ("DELETE", "/api/keys/{}/"),
        ("POST", "/api/keys/{}/rotate/"),
        ("POST", "/api/resource/ToDo"),
        ("POST", "/api/method/frappe.client.insert"),
        ("POST", "/?cmd=frappe.client.delete"),
    ],
)
def test_another_site_does_nothing_by_a_basic_login(root, keys, method, path):
    headers = {"authorization": basic_header(root), "origin": "https://evil.example"}
    before = rows()

    answer = Client().generic(
        method, path.format(keys.api_key), b"{}", "application/json", headers=headers
    )

    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site_request")
    assert rows() == before
