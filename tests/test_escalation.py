"""No way in lets anyone do more than they may.

REST has the same rows, and more, in ``rest/test_escalation.py``; rows of other sources in
``admin/test_sources.py``; the core, by everyone, in ``test_deeds.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO
from typing import Any, NamedTuple

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.test import Client

from frappe_tokens.keys import GeneratedKeys, generate_keys
from frappe_tokens.models import ApiKey

from .client import DAY, GENERATE, JSON, NOON, client_of, rows
from .team_leads import BACKENDS, DJANGOS, let_lead

pytestmark = pytest.mark.django_db

USERS = "/admin/auth/user/"
KEYS = "/admin/frappe_tokens/apikey/"
ACCOUNT = "/account/api-keys/"
CHOSEN = "fts_" + "c" * 49
SECRET = re.compile(r"fts_[0-9A-Za-z]{49}")


@pytest.fixture(autouse=True)
def at_noon():
    with time_machine.travel(NOON, tick=False):
        yield


def version_on(client, page, **data):
    """The state that a form is made for, where the page has one."""
    answer = client.post(page, data) if data else client.get(page)
    found = re.search(r'name="version" value="(\w+)"', answer.content.decode())
    return found[1] if found else "none"


def by_page(page):
    def ask(client, target):
        address = page.format(user=target.instance.user.pk, key=target.instance.pk)
        return client.post(address, {"version": version_on(client, address), "grace": "0"})

    return ask


def by_list(client, target):
    chosen = {"action": "generate_keys", "_selected_action": [target.instance.user.pk]}
    form = {**chosen, "version": version_on(client, USERS, **chosen), "grace": "0"}
    return client.post(USERS, form)


def by_key_form(client, target):
    return client.post(f"{KEYS}add/", {"user": target.instance.user.pk, "name": "mine"})


def by_change_form(client, target):
    return client.post(f"{KEYS}{target.instance.pk}/change/", {"name": "mine", "rate_limit": ""})


def by_rpc(client, target):
    return client.post(GENERATE, {"user": target.instance.user.get_username()})


def by_rest(client, target):
    body = {"user": target.instance.user.get_username(), "name": "mine"}
    return client.post("/api/keys/", body, JSON)


def by_rest_rotation(client, target, **options):
    return client.post(f"/api/keys/{target.api_key}/rotate/", options, JSON)


def by_rest_renewal(client, target):
    return by_rest_rotation(client, target, expires_in=60)


def by_rest_widening(client, target):
    return client.patch(f"/api/keys/{target.api_key}/", {"read_only": False}, JSON)


USER_PAGE = by_page(USERS + "{user}/generate-keys/")
KEY_PAGE = by_page(KEYS + "{key}/generate-keys/")
ENABLING = by_page(KEYS + "{key}/enable-key/")
USER_ENABLING = by_page(USERS + "{user}/enable-key/")
ROTATION_PAGE = by_page(ACCOUNT + "{key}/rotate/")


class Way(NamedTuple):
    """A way in: how it generates for ``target``, and the statuses of its refusals."""

    ask: Callable[[Client, GeneratedKeys], Any]
    more_rights: int | None
    inactive: int | None
    no_permission: int | None


WAYS = [
    Way(USER_PAGE, 403, 409, 403),  # 409 is the page, which says why
    # The confirmation, which names the user as left out; or the list without the action.
    Way(by_list, 409, 409, 200),
    Way(by_key_form, 200, 200, 403),  # the form, with its error
    Way(by_change_form, 403, None, 403),
    Way(KEY_PAGE, 403, 409, 403),
    Way(ENABLING, 403, None, 403),
    Way(USER_ENABLING, 403, None, 403),
    Way(ROTATION_PAGE, 404, None, 403),  # it is for one's own keys
    Way(by_rpc, 403, 417, 403),
    Way(by_rest, None, 400, None),
    Way(by_rest_rotation, None, 400, None),
    Way(by_rest_renewal, 403, 400, None),
]


def ways_to(refusal):
    """A table of the ways in that refuse so: how to ask, and the status."""
    rows = [(way.ask, getattr(way, refusal)) for way in WAYS if getattr(way, refusal)]
    return pytest.mark.parametrize(("ask", "status"), rows)


def attempt(ask, client, target):
    """The response; nothing may be written, and no secret be in it."""
    before = rows()
    response = ask(client, target)
    assert rows() == before
    assert not SECRET.search(response.content.decode())
    return response


@pytest.fixture
def manager(client, system_manager):
    """A browser in which a System Manager is signed in."""
    client.force_login(system_manager)
    return client


@pytest.mark.parametrize(
    "rights",
    [
        {"is_superuser": True},
        {"is_staff": True, "permissions": ("auth.change_user",)},
        {"permissions": ("auth.change_group",)},
    ],
    ids=["superuser", "staff who may change users", "user who may change groups"],
)
@ways_to("more_rights")
def test_key_of_a_user_with_more_rights(manager, make_user, rights, ask, status):
    target = generate_keys(make_user("mighty", **rights), read_only=True)
    answer = attempt(ask, manager, target)
    assert answer.status_code == status


def test_key_of_a_user_with_ordinary_permissions(manager, make_user):
    """Users of an API, whose permissions a System Manager need not hold."""
    target = generate_keys(make_user("worker", permissions=("todos.add_todo", "events.add_event")))
    for ask in (USER_PAGE, by_list, by_key_form, KEY_PAGE, by_rpc, by_rest_rotation):
        answer = ask(manager, target)
        assert answer.status_code == 200
        assert SECRET.search(answer.content.decode())
    ApiKey.objects.exclude(pk=target.instance.pk).delete()
    assert by_rest(manager, target).status_code == 201
    assert by_rest_widening(manager, target).status_code == 200
    ApiKey.objects.exclude(pk=target.instance.pk).delete()
    assert by_change_form(manager, target).status_code == 302


@ways_to("inactive")
def test_inactive_users_key(manager, keys, ask, status):
    keys.instance.user.is_active = False
    keys.instance.user.save()
    assert attempt(ask, manager, keys).status_code == status


@ways_to("no_permission")
@pytest.mark.parametrize("self_service", [False, True])
def test_others_key_by_someone_without_the_permission(
    client, make_user, keys, settings, self_service, ask, status
):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": self_service}
    viewer = ("auth.view_user", "frappe_tokens.view_apikey")
    client.force_login(make_user("eve", is_staff=True, permissions=viewer))
    # With self-service the page is there, and others' keys are not to be found on it.
    expected = 404 if self_service and ask is ROTATION_PAGE else status
    assert attempt(ask, client, keys).status_code == expected


@pytest.mark.parametrize("ask", [*(way.ask for way in WAYS), by_rest_widening])
def test_key_of_someone_else_by_a_team_lead(client, make_user, keys, settings, ask):
    settings.AUTHENTICATION_BACKENDS = BACKENDS["guardian"]
    lead = make_user("lead", is_staff=True, permissions=("auth.view_user",))
    let_lead("guardian", lead, make_user("member"))
    client.force_login(lead, DJANGOS)

    answer = attempt(ask, client, keys)

    assert answer.status_code != 500
    assert keys.api_key not in answer.content.decode()


@pytest.mark.parametrize("restriction", [{"read_only": True}, {"scopes": ["keys"]}])
@pytest.mark.parametrize("own", [False, True])
def test_request_with_a_restricted_key(system_manager, keys, settings, own, restriction):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    restricted = generate_keys(system_manager, **restriction)
    assert attempt(by_rpc, client_of(restricted), restricted if own else keys).status_code == 403


def test_restricted_key_does_not_open_the_pages(system_manager):
    """They take sessions, and no header."""
    key = generate_keys(system_manager, read_only=True)
    for ask in (USER_PAGE, by_list, by_key_form, KEY_PAGE, ROTATION_PAGE):
        answer = attempt(ask, client_of(key), key)
        assert answer.status_code == 302
        assert "/login/" in answer["Location"]


def expiry(form, moment):
    """The fields of a form of the admin, or of the page of one's own."""
    if form == ACCOUNT:
        return {"expires_at": f"{moment:%Y-%m-%dT%H:%M}"}
    return {"expires_at_0": f"{moment:%Y-%m-%d}", "expires_at_1": f"{moment:%H:%M:%S}"}


@pytest.mark.parametrize("moment", [NOON - DAY, NOON, NOON + 31 * DAY], ids=["past", "now", "late"])
@pytest.mark.parametrize("form", ["add", "change", "account", "rest", "rest change"])
def test_expiry_that_is_past_or_beyond_the_longest_life(manager, keys, settings, form, moment):
    settings.FRAPPE_TOKENS = {"MAX_LIFETIME": 30 * DAY}
    user, pk, path = keys.instance.user, keys.instance.pk, f"/api/keys/{keys.api_key}/"
    data = {"name": "new", **expiry(ACCOUNT if form == "account" else KEYS, moment)}
    body = {"name": "new", "expires_at": moment.isoformat()}
    version = version_on(manager, f"{ACCOUNT}new/")
    ways = {
        "add": lambda: manager.post(f"{KEYS}add/", {"user": user.pk, **data}),
        "change": lambda: manager.post(f"{KEYS}{pk}/change/", data),
        "account": lambda: manager.post(f"{ACCOUNT}new/", {"version": version, **data}),
        "rest": lambda: manager.post("/api/keys/", {"user": user.get_username(), **body}, JSON),
        "rest change": lambda: manager.patch(path, body, JSON),
    }

    response = attempt(lambda client, target: ways[form](), manager, keys)

    assert response.status_code == (400 if "rest" in form else 200)
    assert re.search(r"must be in the future|must expire by", response.content.decode())


def test_command_refuses_a_life_beyond_the_longest(user, settings):
    settings.FRAPPE_TOKENS = {"MAX_LIFETIME": 30 * DAY}
    with pytest.raises(CommandError, match="must expire by"):
        call_command("generate_keys", user.get_username(), "--expires-in", "31d")
    assert not ApiKey.objects.exists()


CHOICE = {"api_key": "chosen", "api_secret": CHOSEN, "secret_digest": f"sha256${'0' * 64}"}


@pytest.mark.parametrize("way", ["admin", "admin change", "account", "rpc"])
def test_secret_cannot_be_chosen(manager, keys, settings, way):
    """It is ignored; REST, which is for programs, refuses it with 400."""
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    user, pk = keys.instance.user, keys.instance.pk
    new = f"{ACCOUNT}new/"
    path, data = {
        "admin": (f"{KEYS}add/", {"user": user.pk, "name": "new"}),
        "admin change": (f"{KEYS}{pk}/change/", {"name": "new", "rate_limit": ""}),
        "account": (new, {"version": version_on(manager, new), "name": "new"}),
        "rpc": (GENERATE, {"user": user.get_username()}),
    }[way]

    response = manager.post(path, {**data, **CHOICE})

    assert response.status_code in {200, 302}
    assert CHOSEN not in response.content.decode()
    for key in ApiKey.objects.all():
        assert key.api_key.startswith("ftk_")
        assert key.secret_digest != CHOICE["secret_digest"]
    if way == "admin change":
        assert ApiKey.objects.get(pk=pk).secret_digest == keys.instance.secret_digest


@pytest.mark.parametrize("flag", ["--api-secret", "--secret", "--api-key"])
def test_command_takes_no_secret(user, flag):
    # --secret is short for --secret-file.
    with pytest.raises(CommandError, match=r"unrecognized arguments|file .* can't be read"):
        call_command("generate_keys", user.get_username(), flag, CHOSEN, stderr=StringIO())
    assert not ApiKey.objects.exists()


def test_others_key_by_its_id_in_the_address(client, make_user, keys, settings):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    client.force_login(make_user("eve"))
    for what in ("rotate", "edit", "disable", "enable", "revoke"):
        page = f"{ACCOUNT}{keys.instance.pk}/{what}/"
        ask = by_page(page)
        assert attempt(ask, client, keys).status_code == 404
        assert client.get(page).status_code == 404
    for action in ("disable", "enable"):
        assert client.post(f"/api/keys/{keys.api_key}/{action}/").status_code == 404
    for method in (client.get, client.patch, client.delete):
        assert method(f"/api/keys/{keys.api_key}/").status_code == 404
    assert attempt(by_rest_rotation, client, keys).status_code == 404


def test_manager_who_lost_the_permission_meanwhile(manager, system_manager, keys):
    system_manager.groups.clear()
    for ask in (USER_PAGE, KEY_PAGE, by_rpc):
        assert attempt(ask, manager, keys).status_code == 403
