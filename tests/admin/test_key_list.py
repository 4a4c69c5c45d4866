"""The list of keys: what it shows, finds, revokes and exports."""

import csv
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from frappe_tokens.admin import ApiKeyAdmin
from frappe_tokens.keys import disable, generate_keys, generate_keys_for_source, revoke
from frappe_tokens.models import SHOWN_FIELDS, ApiKey
from testproject.events.models import EventConsumer
from tests.account.conftest import text_of, version_on
from tests.html import attribute, elements, text
from tests.team_leads import BACKENDS, let_lead

from .conftest import assert_no_inline_script_or_style

KEYS = "/admin/frappe_tokens/apikey/"
DAY = timedelta(days=1)


@pytest.fixture
def make_key(user):
    """Make a key of ada: ``make_key("ci", last_used_at=...)``."""

    def make(name, owner=user, **columns):
        key = generate_keys(owner, name=name).instance
        ApiKey.objects.filter(pk=key.pk).update(**columns)
        return ApiKey.objects.get(pk=key.pk)

    return make


def cells_of(page, key):
    """The cells of the row of ``key``, by column."""
    for row in elements(page, "tr"):
        if elements(row, "input", value=str(key.pk)):
            return {attribute(cell, "class").split()[0]: cell for cell in row.children[1:]}
    return {}


def names_on(client, **query):
    return [key.name for key in client.get(KEYS, query).context["cl"].result_list]


def messages_of(response):
    return [str(message) for message in response.context["messages"]]


def test_row_shows_the_state_limits_and_use_of_a_key(manager_client, make_key, user):
    now = timezone.now()
    key = make_key(
        "ci",
        scopes=["a", "b", "c", "d", "e"],
        allowed_ips=["192.0.2.0/24"],
        read_only=True,
        rate_limit="5/minute",
        last_used_at=now - timedelta(minutes=3, seconds=5),
        expires_at=now + 9 * DAY + timedelta(hours=1),
    )
    plain = make_key("", expires_at=now + 15.5 * DAY)

    page = text_of(manager_client.get(KEYS))

    cells = cells_of(page, key)
    assert {name: text(cell) for name, cell in cells.items()} == {
        "field-key_name": f"ci {key.api_key}",
        "field-key_user": "ada",
        "field-key_state": "Active",
        "field-key_limits": "Scopes and limits a b c +2 more 192.0.2.0/24 read-only 5/minute",
        "field-key_last_used": "Last used 3 minutes ago",
        "field-key_expires": "Expires in 9 days",
    }
    (used,) = elements(cells["field-key_last_used"], "time")
    assert attribute(used, "datetime") == key.last_used_at.isoformat()
    assert attribute(used, "title").endswith(("a.m.", "p.m.", "noon", "midnight"))
    assert elements(cells["field-key_limits"], title="a, b, c, d, e")
    assert elements(cells["field-key_expires"], class_="frappe-tokens-warn")
    cells = cells_of(page, plain)
    assert text(cells["field-key_name"]) == plain.api_key
    assert text(cells["field-key_limits"]) == "Scopes and limits None"
    assert text(cells["field-key_last_used"]) == "Last used Never"
    assert text(cells["field-key_expires"]) == "Expires in 15 days"
    assert not elements(cells["field-key_expires"], class_="frappe-tokens-warn")
    assert_no_inline_script_or_style(page)


def test_unusable_key_has_no_warning(manager_client, make_key):
    soon = make_key("soon", expires_at=timezone.now() + DAY)
    disable(soon)
    forever = make_key("forever")

    page = text_of(manager_client.get(KEYS))

    assert not elements(cells_of(page, soon)["field-key_expires"], class_="frappe-tokens-warn")
    assert text(cells_of(page, forever)["field-key_expires"]) == "Expires Never"
    badges = elements(cells_of(page, soon)["field-key_state"], class_="frappe-tokens-state")
    assert [text(badge) for badge in badges] == ["Disabled"]


def test_filters_and_search_find_keys(manager_client, make_key, make_user):
    now = timezone.now()
    make_key("soon", expires_at=now + 13 * DAY, last_used_at=now)
    make_key("later", expires_at=now + 15 * DAY, last_used_at=now)
    make_key("expired", expires_at=now - DAY, last_used_at=now)
    make_key("ancient", make_user("grace"), last_used_at=now - 91 * DAY)
    never = make_key("never", rotated_at=now - 91 * DAY)
    revoke(make_key("revoked", last_used_at=now - 91 * DAY, expires_at=now + DAY))

    assert names_on(manager_client, expires_in="14") == ["soon"]
    assert names_on(manager_client, unused_for="90") == ["never", "ancient"]
    assert names_on(manager_client, state="revoked") == ["revoked"]
    assert names_on(manager_client, state="expired") == ["expired"]
    assert (
        names_on(manager_client, q="grace") == names_on(manager_client, q="ancien") == ["ancient"]
    )
    assert names_on(manager_client, q=never.api_key) == ["never"]
    everything = ["revoked", "never", "ancient", "expired", "later", "soon"]
    for unknown in ({}, {"expires_in": "x"}, {"unused_for": "1"}, {"state": "x"}):
        assert names_on(manager_client, **unknown) == everything


def test_can_be_sorted(manager_client, make_key, make_user):
    now = timezone.now()
    make_key("b", make_user("zoe"), last_used_at=now - DAY)
    make_key("a", last_used_at=now, expires_at=now + DAY)
    make_key("c", expires_at=now + 2 * DAY)

    assert names_on(manager_client) == ["c", "a", "b"]  # newest first
    assert names_on(manager_client, o="1") == ["a", "b", "c"]
    assert names_on(manager_client, o="-2")[0] == "b"
    # Keys without a value count as used the longest ago, and as expiring last.
    assert names_on(manager_client, o="5") == ["c", "b", "a"]
    assert names_on(manager_client, o="-5") == ["a", "b", "c"]
    assert names_on(manager_client, o="6") == ["a", "c", "b"]
    assert names_on(manager_client, o="-6") == ["b", "c", "a"]


def test_no_query_per_row(manager_client, make_key, make_user):
    counts = []
    for number in (1, 10):
        for place in range(number):
            make_key("ci", make_user(f"user {number} {place}"))
        with CaptureQueriesContext(connection) as queries:
            manager_client.get(KEYS)
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 7


# Revoking


def act(client, action, *keys, url=KEYS, **form):
    form = {"action": action, "_selected_action": [key.pk for key in keys], **form}
    return client.post(url, form, follow=True)


def revoked(*keys):
    return [type(key).objects.get(pk=key.pk).is_revoked for key in keys]


def test_revokes_the_selected_keys_with_a_reason(manager_client, make_key):
    key, other, kept, gone = map(make_key, ("key", "other", "kept", "gone"))
    revoke(gone, reason="before")

    asked = act(manager_client, "revoke_keys", key, other, gone)

    page = text_of(asked)
    assert "Revoke 2 API keys" in page
    assert "1 key is left out" in page
    assert_no_inline_script_or_style(page)
    assert revoked(key, other) == [False, False]
    version = version_on(asked)
    done = act(manager_client, "revoke_keys", key, other, gone, version=version, reason="Leaked")
    assert messages_of(done) == ["Revoked 2 API keys."]
    assert revoked(key, other, kept) == [True, True, False]
    reasons = set(ApiKey.objects.exclude(pk=kept.pk).values_list("revoked_reason", flat=True))
    assert reasons == {"Leaked", "before"}
    entries = LogEntry.objects.filter(content_type__model="apikey")
    assert {entry.object_id for entry in entries} == {str(key.pk), str(other.pk)}


def test_nothing_is_revoked_if_the_keys_have_changed(manager_client, make_key):
    key, other = map(make_key, ("key", "other"))
    version = version_on(act(manager_client, "revoke_keys", key, other))
    revoke(other)

    stale = act(manager_client, "revoke_keys", key, other, version=version, reason="")

    assert stale.status_code == 409
    assert "Nothing was revoked." in text_of(stale)
    assert revoked(key) == [False]
    long = {"version": version_on(stale), "reason": "x" * 201}
    assert "at most 200 characters" in text_of(
        act(manager_client, "revoke_keys", key, other, **long)
    )
    assert revoked(key) == [False]


def test_none_is_revoked_if_one_fails(manager_client, make_key, monkeypatch):
    key, other = map(make_key, ("key", "other"))
    version = version_on(act(manager_client, "revoke_keys", key, other))

    def fail(row, **options):
        if row.pk == other.pk:
            raise RuntimeError
        return revoke(row, **options)

    monkeypatch.setattr("frappe_tokens.admin.key_revoking.revoke", fail)
    with pytest.raises(RuntimeError):
        act(manager_client, "revoke_keys", key, other, version=version, reason="")

    assert revoked(key, other) == [False, False]


def test_says_if_none_can_be_revoked(manager_client, make_key):
    key = make_key("key")
    revoke(key)

    page = text_of(act(manager_client, "revoke_keys", key))

    assert "None of the selected keys can be revoked." in page
    assert not elements(page, id="id_reason")


def test_revokes_all_that_a_filter_finds(manager_client, make_key):
    keys = [make_key(name) for name in "abc"]
    across = {"select_across": "1"}
    asked = act(manager_client, "revoke_keys", keys[0], **across)

    form = {"version": version_on(asked), "reason": "", **across}
    act(manager_client, "revoke_keys", keys[0], **form)

    assert text_of(asked).count('name="_selected_action"') == 1
    assert revoked(*keys) == [True, True, True]


@pytest.mark.parametrize("kind", ["guardian", "rules that name"])
def test_team_lead_revokes_keys_of_members_only(client, make_user, settings, kind, make_key):
    settings.AUTHENTICATION_BACKENDS = BACKENDS[kind]
    lead, member = make_user("lead", is_staff=True), make_user("member")
    let_lead(kind, lead, member)
    own, theirs, strange = make_key("a", lead), make_key("b", member), make_key("c")
    client.force_login(lead, backend=BACKENDS["rules"][0])

    asked = act(client, "revoke_keys", own, theirs, strange)

    # The lead sees their own key, but revokes it on the users' own page.
    assert "Revoke 1 API key" in text_of(asked)
    form = {"version": version_on(asked), "reason": ""}
    act(client, "revoke_keys", own, theirs, strange, **form)
    assert revoked(own, theirs, strange) == [False, True, False]


def test_viewer_exports_and_does_not_revoke(staff, make_key):
    client, key = staff("frappe_tokens.view_apikey"), make_key("key")

    act(client, "revoke_keys", key, version="x", reason="")
    exported = act(client, "export_keys", key)

    assert revoked(key) == [False]
    assert key.api_key in exported.getvalue().decode()


def test_source_has_the_same_actions_and_columns(root_client, user, settings):
    settings.FRAPPE_TOKENS = {"SOURCES": {"EventConsumer": "events.EventConsumer"}}
    consumer = EventConsumer.objects.create(name="Door sensor", user=user)
    generate_keys_for_source(consumer)
    url = "/admin/events/eventconsumer/"

    cells = cells_of(text_of(root_client.get(url)), consumer)
    exported = act(root_client, "export_keys", consumer, url=url)
    asked = act(root_client, "revoke_keys", consumer, url=url)
    form = {"version": version_on(asked), "reason": ""}
    act(root_client, "revoke_keys", consumer, url=url, **form)

    assert text(cells["field-api_key"]) == consumer.api_key
    assert text(cells["field-key_state"]) == "Active"
    assert "Door sensor" in exported.getvalue().decode()
    assert revoked(consumer) == [True]


# Exporting


@pytest.mark.django_db(transaction=True)
def test_exports_keys_in_parts_under_asgi(make_user, make_key, monkeypatch):
    monkeypatch.setattr("frappe_tokens.admin.key_export.CHUNK", 2)
    root = make_user("root", is_superuser=True, is_staff=True)
    form = {
        "action": "export_keys",
        "_selected_action": [make_key(name).pk for name in ("a", "b", "c")],
    }

    async def export():
        client = AsyncClient()
        await client.aforce_login(root)
        response = await client.post(KEYS, form)
        return [part.decode() async for part in response]

    parts = async_to_sync(export)()

    rows = [*csv.DictReader("".join(parts).splitlines())]
    assert [row["name"] for row in rows] == ["c", "b", "a"]
    assert len(parts) == 2


def test_exports_keys_without_secrets(manager_client, make_key, make_user):
    keys = generate_keys(make_user("grace"), name="ci", scopes=["a", "b"])
    make_key("=1+1", description="+cmd", metadata={"team": "ops"}, last_used_at=timezone.now())
    with CaptureQueriesContext(connection) as queries:
        response = act(
            manager_client, "export_keys", keys.instance, ApiKey.objects.get(name="=1+1")
        )
        content = response.getvalue().decode()

    assert response.streaming
    assert "no-store" in response["Cache-Control"]
    name = f'attachment; filename="apikey-{timezone.now():%Y-%m-%d}.csv"'
    assert response["Content-Disposition"] == name
    formula, key = csv.DictReader(content.splitlines())
    assert list(key) == SHOWN_FIELDS
    assert (key["user"], key["scopes"], key["api_key"]) == ("grace", "a b", keys.api_key)
    assert (formula["name"], formula["description"]) == ("'=1+1", "'+cmd")
    assert formula["metadata"] == '{"team": "ops"}'
    for secret in (keys.api_secret, "sha256$", keys.instance.secret_digest):
        assert secret not in content
    selects = [query["sql"] for query in queries if "metadata" in query["sql"]]
    assert "digest" not in selects[-1]


def test_exports_only_what_the_project_shows(manager_client, make_key, monkeypatch):
    shown, hidden = make_key("shown"), make_key("hidden")
    monkeypatch.setattr(
        ApiKeyAdmin, "has_view_permission", lambda self, request, obj=None: obj != hidden
    )

    content = act(manager_client, "export_keys", shown, hidden).getvalue().decode()

    assert shown.api_key in content
    assert hidden.api_key not in content
