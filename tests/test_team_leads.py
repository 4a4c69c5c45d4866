"""Team leads manage the keys of those users that a backend lets them, and see no others."""

import json
import re
import sqlite3
import sys
import types
from functools import partial

import pytest
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext

from frappe_tokens.keys import (
    Actor,
    change_key,
    change_user,
    disable,
    enable,
    find_visible_user,
    generate_keys,
    generate_keys_for_users,
    revoke,
)
from frappe_tokens.models import ApiKey
from testproject.events.models import EventConsumer
from tests.sources.models import Sensor

from .admin.conftest import generate, generate_page, user_page
from .client import GENERATE, JSON, client_of, rows
from .documentation import blocks
from .documentation import page as documentation
from .groups import leave_out
from .team_leads import BACKENDS, PERMISSION, let_lead

pytestmark = pytest.mark.django_db

KEYS = "/admin/frappe_tokens/apikey/"


@pytest.fixture(params=BACKENDS)
def kind(request, settings):
    settings.AUTHENTICATION_BACKENDS = BACKENDS[request.param]
    return request.param


@pytest.fixture
def is_named(kind):
    return kind != "rules"


@pytest.fixture
def member(make_user):
    return make_user("member")


@pytest.fixture
def lead(kind, make_user, member):
    lead = make_user("lead", is_staff=True, permissions=("auth.view_user",))
    let_lead(kind, lead, member)
    return lead


@pytest.fixture
def lead_client(client, lead):
    client.force_login(lead, "django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def send(lead):
    """Sends requests with a key of the team lead."""
    client = client_of(generate_keys(lead, name="client"))
    return lambda method, path, body=None: client.generic(method, path, json.dumps(body), JSON)


# In the core


def test_lead_does_everything_with_keys_of_members(lead, member):
    by = Actor(lead)
    assert not by.may_generate

    key = generate_keys(member, by=by, read_only=True).instance
    change_key(key, by=by, read_only=False, self_rotate=True)

    assert disable(key, by=by)
    assert enable(key, by=by)
    assert revoke(key, by=by)
    assert key.created_by == key.revoked_by == lead


# What else leads may do is in ``test_deeds.py``.
def test_lead_does_nothing_with_other_keys(lead, keys, member):
    by, key = Actor(lead), keys.instance
    unowned = Sensor.objects.create(user=None)
    before = rows()

    for deed in (
        lambda: generate_keys(key.user, by=by),
        lambda: generate_keys_for_users([member, key.user], by=by),
        lambda: change_key(key, by=by, name="mine"),
        lambda: revoke(key, by=by),
        lambda: revoke(unowned, by=by),
    ):
        with pytest.raises(PermissionDenied):
            deed()

    assert rows() == before
    assert not by.may_manage(None)


def test_lead_may_not_make_a_row_of_a_member_their_own_that_they_could_not_generate(
    lead, member, settings
):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    by, row = Actor(lead), EventConsumer.objects.create(name="row", user=member)
    extras = {"self_rotate": True, "rate_limit": "9/second"}

    for name, value in extras.items():
        change_key(row, by=by, **{name: value})
        with pytest.raises(PermissionDenied, match="can't extend"):
            change_user(row, lead, by=by)
        change_key(row, by=None, **{name: type(value)()})

    change_user(row, lead, by=by)
    assert row.user == lead


@pytest.mark.parametrize(
    "rights",
    [{"is_superuser": True}, {"is_staff": True, "permissions": ["auth.change_user"]}],
    ids=["superuser", "helpdesk"],
)
def test_lead_may_only_revoke_keys_of_members_with_more_rights(kind, lead, make_user, rights):
    mighty = make_user("mighty", **rights)
    let_lead(kind, lead, mighty)
    key = generate_keys(mighty).instance

    with pytest.raises(PermissionDenied, match="has permissions that you don't have"):
        generate_keys(mighty, by=Actor(lead))
    assert revoke(key, by=Actor(lead))


@pytest.mark.parametrize("restriction", [{"read_only": True}, {"scopes": ["todos"]}])
def test_restricted_key_of_a_lead_does_nothing(lead, member, restriction):
    by = Actor(lead, generate_keys(lead, **restriction).instance)

    assert not by.is_lead
    assert not by.may_manage(member)
    assert [key.user for key in by.visible(ApiKey.objects.all())] == [lead]
    with pytest.raises(PermissionDenied, match="read-only"):
        generate_keys(member, by=by)


def test_inactive_lead_does_nothing(lead, member):
    lead.is_active = False

    assert not Actor(lead).may_manage(member)
    assert not Actor(lead).is_lead


def test_lead_of_a_lead_manages_their_keys_only_if_of_all_their_members(
    kind, is_named, lead, member, make_user
):
    head = make_user("head", is_staff=True, permissions=("auth.view_user",))
    if is_named:  # otherwise it is unknown who leads
        let_lead(kind, head, lead)
        assert not Actor(head).may_manage(User.objects.get(pk=lead.pk))
    if kind.startswith("guardian"):
        let_lead(kind, head, member)
        assert Actor(head).may_manage(lead)


class Refuses(BaseBackend):
    def has_perm(self, user_obj, perm, obj=None):
        raise PermissionDenied


def test_backend_may_refuse_before_others_decide(kind, lead, member, settings):
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Refuses", *BACKENDS[kind]]

    assert not Actor(lead).may_manage(member)


def test_generating_for_many_members_costs_no_permission_query_each(kind, lead, make_user):
    let_lead(kind, lead, *(make_user(f"member{number}") for number in range(5)))
    by, members = Actor(lead), list(User.objects.filter(username__startswith="member"))

    with CaptureQueriesContext(connection) as captured:
        by.preload(members)
        assert all(map(by.has_permission_for, members))

    assert len(captured) <= 6


def test_any_number_of_members_is_read_with_999_parameters(kind, lead, make_user):
    if not hasattr(sqlite3.Connection, "setlimit") or connection.vendor != "sqlite":
        leave_out("older SQLite", "Python 3.11 and SQLite set the limit", in_ci_too=True)
    by, members = Actor(lead), [make_user(f"member{number}") for number in range(100)]
    let_lead(kind, lead, *members)
    before = connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
    try:
        by.preload(members)
    finally:
        connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, before)

    assert all(map(by.may_manage, members))


@pytest.mark.parametrize("order", [1, -1], ids=["guardian first", "guardian last"])
def test_lists_show_the_keys_of_members_from_every_backend(make_user, settings, order):
    settings.AUTHENTICATION_BACKENDS = BACKENDS["rules beside guardian"][::order]
    lead, by_rules, by_guardian = map(make_user, ("lead", "one", "other"))
    let_lead("rules", lead, by_rules)
    let_lead("guardian", lead, by_guardian)
    generate_keys_for_users([make_user("stranger"), by_rules, by_guardian])

    shown = Actor(lead).visible(ApiKey.objects.all())

    assert {key.user for key in shown} == {by_rules, by_guardian}


@pytest.mark.parametrize(
    "rights", [{"permissions": ["auth.generate_keys"]}, {"is_superuser": True}]
)
def test_other_rights_do_not_make_a_lead(make_user, member, settings, rights):
    settings.AUTHENTICATION_BACKENDS = BACKENDS["guardian"]
    let_lead("guardian", make_user("lead"), member)  # creates the permission

    by = Actor(make_user("other", **rights))

    assert not by.is_lead
    assert by.may_manage(member) == bool(by.user.is_superuser)


# REST and GENERATE


def test_lists_show_the_keys_of_members_and_own_ones(send, is_named, lead, member, keys):
    shown = {lead.username} | ({member.username} if is_named else set())
    generate_keys(member)

    results = send("GET", "/api/keys/").json()["results"]
    filtered = send("GET", "/api/keys/?user=member").json()["results"]

    assert {key["user"] for key in results} == shown
    assert {key["user"] for key in filtered} == shown - {lead.username}
    for name in ("ada", "unknown"):
        assert send("GET", f"/api/keys/?user={name}").json()["results"] == []


def queries_of(call):
    with CaptureQueriesContext(connection) as captured:
        assert call().status_code == 200
    return len(captured)


@pytest.mark.parametrize("page", ["/api/keys/", KEYS])
def test_list_costs_the_same_for_any_number_of_members(
    send, lead_client, kind, is_named, lead, make_user, page
):
    if page == KEYS and not is_named:
        return
    call = partial(lead_client.get, page) if page == KEYS else partial(send, "GET", page)
    queries_of(call)
    before = queries_of(call)
    members = [make_user(f"member{number}") for number in range(5)]
    let_lead(kind, lead, *members)
    generate_keys_for_users(members)

    assert queries_of(call) <= before


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "", None, 200),
        ("PATCH", "", {"read_only": True}, 200),
        ("PATCH", "", {"rate_limit": "5/minute"}, 200),
        ("POST", "rotate/", {}, 200),
        ("GET", "usage/", None, 200),
        ("DELETE", "", None, 204),
    ],
)
def test_single_keys_of_members_are_open_and_others_not_found(
    send, keys, member, method, path, body, status
):
    theirs = generate_keys(member)

    assert send(method, f"/api/keys/{theirs.api_key}/{path}", body).status_code == status
    response = send(method, f"/api/keys/{keys.api_key}/{path}", body)
    assert (response.status_code, response.json()["code"]) == (404, "no_key")


def test_lead_creates_keys_by_rest_for_members_only(send, keys):
    assert send("POST", "/api/keys/", {"user": "member", "self_rotate": 1}).status_code == 400
    response = send("POST", "/api/keys/", {"user": "member", "name": "new"})
    assert (response.status_code, response.json()["user"]) == (201, "member")

    others = [
        send("POST", "/api/keys/", body)
        for body in ({"user": "ada"}, {"user": "unknown"}, {"user": "lead"}, {}, {"user": 1}, [])
    ]
    assert {response.status_code for response in others} == {403}
    assert len({response.content for response in others}) == 1


def test_lead_learns_of_no_other_user(lead, member, user):
    names = ["member", "lead", "ada", "unknown"]
    assert [find_visible_user(name, Actor(lead)) for name in names] == [member, lead, None, None]


def test_lead_generates_by_rpc_for_members_only(send, keys):
    assert set(send("POST", GENERATE, {"user": "member"}).json()["message"]) == {
        "api_key",
        "api_secret",
    }
    assert send("GET", f'{GENERATE}?user="member"').status_code == 200

    others = [send("POST", GENERATE, {"user": name}) for name in ("ada", "unknown", "lead", "", 1)]
    assert {response.status_code for response in others} == {403}
    assert len({response.content for response in others}) == 1


# The admin


def test_admin_lists_the_keys_of_members(lead_client, is_named, lead, member, keys):
    theirs, own = generate_keys(member).instance, generate_keys(lead).instance

    response = lead_client.get(KEYS)

    if is_named:
        assert set(response.context["cl"].queryset) == {theirs, own}
        assert lead_client.get(f"{KEYS}{theirs.pk}/change/").status_code == 200
        assert lead_client.get(f"{KEYS}{theirs.pk}/revoke/").status_code == 200
    else:
        assert response.status_code == 403
    for page in ("change", "revoke", "generate-keys"):
        response = lead_client.get(f"{KEYS}{keys.instance.pk}/{page}/")
        assert response.status_code in {302, 403}
    assert "apirequestlog" not in lead_client.get("/admin/").content.decode()
    assert lead_client.get("/admin/frappe_tokens/apirequestlog/").status_code == 403


def test_lead_adds_keys_of_members_in_the_admin(lead_client, is_named, lead, member, user):
    def add(owner):
        return lead_client.post(f"{KEYS}add/", {"user": owner.pk, "name": "new"})

    assert "fts_" not in add(user).content.decode()
    assert "fts_" not in add(lead).content.decode()
    assert ("fts_" in add(member).content.decode()) == is_named
    assert ApiKey.objects.count() == is_named


def test_admin_names_no_other_user_to_a_lead_who_sees_none(
    lead_client, is_named, lead, member, make_user
):
    lead.user_permissions.clear()
    form = {"user": make_user("stranger").pk, "name": "new"}

    pages = [lead_client.get(f"{KEYS}add/", form), lead_client.post(f"{KEYS}add/", form)]

    for page in pages:
        assert page.status_code == (200 if is_named else 403)
        assert "stranger" not in page.content.decode()
        assert (f">{member}</option>" in page.content.decode()) == is_named


def test_lead_generates_on_the_page_of_a_member(lead_client, member, user):
    assert "Generate Keys" in lead_client.get(user_page(member)).content.decode()
    assert "API Access" not in lead_client.get(user_page(user)).content.decode()

    assert "fts_" in generate(lead_client, generate_page(member)).content.decode()
    assert lead_client.get(generate_page(user)).status_code == 403
    assert ApiKey.objects.get().user == member


def test_action_leaves_out_other_users(lead_client, is_named, member, keys):
    form = {"action": "generate_keys", "_selected_action": [member.pk, keys.instance.user.pk]}
    if not is_named:
        assert "version" not in lead_client.post("/admin/auth/user/", form).content.decode()
        return

    confirmation = lead_client.post("/admin/auth/user/", form).content.decode()
    page = generate(lead_client, "/admin/auth/user/", **form).content.decode()

    assert "You don&#x27;t have permission" in confirmation
    assert keys.api_key not in confirmation + page
    assert len(set(re.findall(r"fts_\w{49}", page))) == 1
    assert ApiKey.objects.get(user=member)


@pytest.mark.parametrize("action", ["generate_keys", "disable_keys", "enable_keys"])
@pytest.mark.parametrize("page", ["/admin/auth/user/", KEYS], ids=["users", "keys"])
def test_actions_ask_for_all_members_at_once(lead_client, kind, lead, make_user, page, action):
    """Apart from what they do with each key."""
    of_users = page != KEYS
    if kind.startswith("rules") or (of_users and action != "generate_keys"):
        return

    def questions(count):
        members = [make_user(f"member{count}-{number}") for number in range(count)]
        let_lead(kind, lead, *members)
        generate_keys_for_users(members)
        keys = ApiKey.objects.filter(user__in=members)
        if action == "enable_keys":
            for key in keys:
                disable(key)
        selected = [row.pk for row in (members if of_users else keys)]
        form = {"action": action, "_selected_action": selected}
        with CaptureQueriesContext(connection) as captured:
            response = (
                generate(lead_client, page, **form)
                if action == "generate_keys"
                else lead_client.post(page, form)
            )
        if action == "generate_keys":
            assert len(set(re.findall(r"fts_\w{49}", response.content.decode()))) == count
        else:
            is_disabled = keys.filter(disabled_at__isnull=False).count() == count
            assert is_disabled == (action == "disable_keys")
        return len([query for query in captured if of_users or "guardian" in query["sql"]])

    assert questions(2) == questions(8)


def test_action_leaves_out_a_member_who_leads_others(lead_client, is_named, kind, lead, make_user):
    if not is_named:
        return
    members = [make_user(f"member{number}") for number in range(30)]
    let_lead(kind, lead, *members)
    if kind.startswith("rules"):
        make_user("other", last_name="member28")
    else:
        let_lead(kind, members[28], make_user("other"))
    form = {"action": "generate_keys", "_selected_action": [member.pk for member in members]}

    page = generate(lead_client, "/admin/auth/user/", **form).content.decode()

    assert len(set(re.findall(r"fts_\w{49}", page))) == 29
    assert not ApiKey.objects.filter(user=members[28]).exists()


def test_row_of_another_source_needs_its_models_permissions(lead_client, lead, member, user):
    owners = (member, user)
    rows = [EventConsumer.objects.create(name=owner.username, user=owner) for owner in owners]
    pages = [f"/admin/events/eventconsumer/{row.pk}/change/" for row in rows]
    assert {lead_client.get(page).status_code for page in pages} == {403}

    lead.user_permissions.add(Permission.objects.get(codename="view_eventconsumer"))
    shown = ["Generate Keys" in lead_client.get(page).content.decode() for page in pages]
    assert shown == [True, False]


def test_lead_adds_no_row_of_their_own_that_may_do_more(
    lead_client, is_named, lead, member, settings
):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    lead.user_permissions.add(
        *Permission.objects.filter(codename__in=("add_eventconsumer", "view_eventconsumer"))
    )

    def add(owner, **policies):
        form = {"name": "new", "user": owner.pk, **policies}
        lead_client.post("/admin/events/eventconsumer/add/", form)
        return EventConsumer.objects.filter(user=owner).exists()

    assert not add(lead, self_rotate="on")
    assert not add(lead, rate_limit="9/second")
    assert add(lead) == add(member, self_rotate="on", rate_limit="9/second") == is_named


# Stock projects


def test_without_such_a_backend_no_query_is_made(make_user, member, django_assert_num_queries):
    plain = make_user("plain", last_name="member")
    by = Actor(plain)
    assert not plain.has_perm(PERMISSION)

    with django_assert_num_queries(0):
        assert not by.may_lead
        assert not by.is_lead
        assert not by.may_manage(member)
        by.preload([plain, member])


# The documentation

SETTINGS, ASSIGN, BACKEND = blocks(documentation("how-to/let-leads-manage-keys"), "python")


def test_documented_use_of_guardian(make_user, member, settings):
    names = {"lead": make_user("lead"), "member": member}
    exec(SETTINGS + ASSIGN, names)  # noqa: S102 - the examples on the page
    settings.AUTHENTICATION_BACKENDS = names["AUTHENTICATION_BACKENDS"]

    assert generate_keys(member, by=Actor(names["lead"]))


def test_documented_backend(make_user, member, settings, monkeypatch):
    module = types.ModuleType("documented")
    exec(BACKEND, vars(module))  # noqa: S102 - the example on the page
    monkeypatch.setitem(sys.modules, "documented", module)
    settings.AUTHENTICATION_BACKENDS = ["documented.TeamLeadBackend"]
    team = Group.objects.create(name="team")
    lead = make_user("lead", is_staff=True)
    team.user_set.add(lead, member)

    assert Actor(lead).is_lead
    assert generate_keys(member, by=Actor(lead))
    assert not Actor(lead).may_manage(make_user("other"))
    assert not Actor(member).may_manage(lead)
