"""The request log in the admin: who reads it, that nobody changes it, and what is found in it."""

import re
from datetime import datetime, timedelta, timezone

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from frappe_tokens.admin.request_log import change_list as request_log_list
from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiRequestLog
from tests.log_rows import logged
from tests.log_tables import ELSEWHERE, log_elsewhere

LOG = "/admin/frappe_tokens/apirequestlog/"
MARKUP = '<b onclick="x">"&\''


@pytest.fixture
def key(user):
    return generate_keys(user).instance


def listed(client, **query):
    """The rows on the page for ``query``."""
    response = client.get(LOG, query)
    assert response.status_code == 200, response
    return [*response.context["cl"].result_list]


def page_of(row, what="change"):
    return f"{LOG}{row.pk}/{what}/"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"is_superuser": True}, 200),
        ({"permissions": ("frappe_tokens.generate_keys",)}, 200),
        ({"permissions": ("frappe_tokens.view_apirequestlog",)}, 200),
        ({"permissions": ("frappe_tokens.view_apikey", "auth.view_user")}, 403),
    ],
    ids=["superuser", "manager", "viewer", "clerk"],
)
def test_is_for_those_who_may_generate_keys_or_view_it(client, make_user, fields, status):
    row = logged()
    client.force_login(make_user("staff", is_staff=True, **fields))

    assert client.get(LOG).status_code == status
    assert client.get(page_of(row)).status_code == status
    assert (LOG in client.get("/admin/").content.decode()) == (status == 200)


def test_is_read_only_in_every_way(client, make_user):
    row = logged()
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    action = {"action": "delete_selected", "_selected_action": row.pk, "post": "yes", "index": 0}

    assert client.get(f"{LOG}add/").status_code == 403
    assert client.post(f"{LOG}add/", {"path": "/made/up/"}).status_code == 403
    assert client.post(page_of(row), {"path": "/made/up/"}).status_code == 403
    assert client.get(page_of(row, "delete")).status_code == 403
    assert client.post(page_of(row, "delete"), {"post": "yes"}).status_code == 403
    client.post(LOG, action)
    page = client.get(LOG).content.decode()

    assert [found.path for found in ApiRequestLog.objects.all()] == [row.path]
    assert "delete_selected" not in page
    assert f"{LOG}add/" not in page
    form = page[page.index('<form id="changelist-form"') :]
    assert form.count("<input") == form.count("csrfmiddlewaretoken") == 1


def test_lists_what_was_asked_and_what_came_of_it(manager_client, key):
    at = datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone.utc)
    row = logged(key, "key_read_only", method="PUT", path="/api/x", duration_ms=345, at=at)

    page = manager_client.get(LOG).content.decode()
    for text in ("2026-03-04 05:06:07", "ada", key.api_key, "PUT", "/api/x", "403", "345 ms"):
        assert text in page
    assert "192.0.2.7" in page
    assert "key_read_only" in page

    page = manager_client.get(page_of(row)).content.decode()
    assert "2026-03-04 05:06:07.000000 UTC" in page
    assert "curl/8.5.0" in page
    assert "This API key is read-only" in page


def test_leaves_blank_what_is_not_known(manager_client):
    row = logged(None, "malformed_credentials", ip=None)

    for address in (LOG, page_of(row)):
        assert "None" not in manager_client.get(address).content.decode()


def test_names_a_user_who_was_deleted_by_the_primary_key(manager_client, key, user):
    row, pk = logged(key), user.pk
    user.delete()

    assert f">{pk} (deleted)<" in manager_client.get(LOG).content.decode()
    assert f">{pk} (deleted)<" in manager_client.get(page_of(row)).content.decode()
    response = manager_client.get(LOG, {"user__id__exact": pk})
    assert [found.pk for found in response.context["cl"].result_list] == [row.pk]


def test_a_user_with_requests_can_be_deleted_in_the_admin(client, make_user, key, user):
    row = logged(key)
    client.force_login(make_user("root", is_staff=True, is_superuser=True))

    client.post(f"/admin/auth/user/{user.pk}/delete/", {"post": "yes"})

    assert not type(user).objects.filter(username="ada").exists()
    assert ApiRequestLog.objects.get() == row


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, {"accepted", "invalid", "read-only", "other"}),
        ({"outcome": "accepted"}, {"accepted"}),
        ({"outcome": "refused"}, {"invalid", "read-only"}),
        ({"outcome": "other"}, {"other"}),
        ({"outcome": "key_read_only"}, {"read-only"}),
        ({"status_class": "4xx"}, {"invalid", "read-only"}),
        ({"status_class": "5xx"}, {"other"}),
        ({"status_class": "3xx", "outcome": "accepted"}, set()),
        ({"method": "POST"}, {"read-only"}),
        ({"source": "Robot"}, {"invalid"}),
        ({"source": "User", "outcome": "refused"}, {"read-only"}),
    ],
)
def test_filters(manager_client, key, query, found):
    logged(key, path="accepted")
    logged(key, "invalid_credentials", path="invalid", user_id=None, source="Robot")
    logged(key, "key_read_only", path="read-only", method="POST")
    logged(None, "other", path="other", status=500)

    assert {row.path for row in listed(manager_client, **query)} == found


def test_filters_by_user_and_key_which_the_rows_link_to(manager_client, key, make_user):
    mine = logged(key)
    logged(generate_keys(make_user("grace")).instance)
    logged()

    page = manager_client.get(LOG).content.decode()
    for parameter, value in [("user__id__exact", key.user_id), ("api_key", key.api_key)]:
        assert f'href="{LOG}?{parameter}={value}"' in page
        assert listed(manager_client, **{parameter: value}) == [mine]
        chosen = manager_client.get(LOG, {parameter: value}).content.decode()
        assert "Clear all filters" in chosen


def test_says_which_user_and_source_are_chosen(manager_client, key):
    page = manager_client.get(LOG, {"user__id__exact": key.user_id, "source": "Old"})

    filters = {spec.title: spec.lookup_choices for spec in page.context["cl"].filter_specs}
    assert filters["user"] == [(str(key.user_id), "ada")]
    assert filters["source"][-1] == ("Old", "Old")
    assert len(filters["source"]) > 1


@pytest.mark.parametrize(
    "query",
    [
        {"user__id__exact": "x"},
        {"status_class": "x"},
        {"at__year": "x"},
        {"at__year": "1"},
        {"at__year": "9999"},
        {"at__year": "9999", "at__month": "12"},
        {"at__year": "9" * 30},
        {"at__year": "9" * 5000},
        {"at__year": "2026", "at__month": "13"},
        {"at__year": "2026", "at__month": "2", "at__day": "31"},
        {"at__year": "2026", "at__day": "31"},
        {"at__month": "2", "at__day": "31"},
        {"at__month": "2"},
        {"api_key": "\0"},
        {"method": "\0"},
        {"outcome": "\0"},
        {"outcome": "\N{GRINNING FACE}"},
        {"source": "\0"},
        {"status_class": "\0"},
        {"user__id__exact": "\0"},
        {"user__id__exact": "9" * 23},
    ],
)
def test_takes_back_a_filter_that_means_nothing(manager_client, query):
    assert manager_client.get(LOG, query).headers["Location"].endswith("?e=1")
    assert manager_client.get(LOG, {**query, "e": 1}).status_code == 200


def test_cannot_be_used_to_guess_at_users(manager_client, key):
    logged(key)

    for lookup in ("user__password__startswith", "user__email__contains"):
        assert manager_client.get(LOG, {lookup: "a"}).status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        {"ip": "abc"},
        {"ip__gt": "abc"},
        {"ip__in": "1,2"},
        {"path": "\0"},
        {"path__regex": "("},
        {"user": "9" * 23},
        {"at__gte": "0001-01-01T00:00+05:30"},
        {"at__week_day": "1"},
        {"nonsense": "1"},
    ],
)
def test_is_narrowed_by_its_own_filters_and_dates_alone(manager_client, query):
    logged()

    assert manager_client.get(LOG, query).status_code == 400


@pytest.mark.django_db(transaction=True, databases=["default", ELSEWHERE])
def test_can_be_in_a_database_of_its_own(manager_client, key, make_user, settings, tmp_path):
    gone = make_user("gone")
    with log_elsewhere(settings, tmp_path):
        row, orphan = logged(key), logged(generate_keys(gone).instance)
        pk = gone.pk
        gone.delete()

        with CaptureQueriesContext(connection) as queries:
            page = manager_client.get(LOG).content.decode()
        assert ">ada<" in page
        assert f">{pk} (deleted)<" in page
        asked = [query["sql"].translate({ord('"'): "", ord("`"): ""}) for query in queries]
        # For whoever is signed in, and for all whom the rows name.
        assert len([sql for sql in asked if "FROM auth_user WHERE" in sql]) == 2
        assert ">ada<" in manager_client.get(page_of(row)).content.decode()
        assert f">{pk} (deleted)<" in manager_client.get(page_of(orphan)).content.decode()
        assert len(listed(manager_client, user__id__exact=pk)) == 1
        assert ApiRequestLog.objects.using(ELSEWHERE).count() == 2
    assert not ApiRequestLog.objects.exists()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ada", {"/api/a", "/api/b"}),
        ("ad", set()),
        ("{key}", {"/api/a", "/api/b"}),
        ("{lower}", set()),
        ("ftk_", set()),
        ("/api/", {"/api/a", "/api/b", "/api/c d"}),
        ('"/api/c d"', {"/api/c d"}),
        ("/a", {"/api/a", "/api/b", "/api/c d"}),
        ("api", set()),
        ("198.51.100.7", {"/api/b"}),
        ("ada 198.51.100.7", {"/api/b"}),
        ("/api/a {key}", {"/api/a"}),
        ("2001:db8::1", {"/api/c d"}),
        ('"', set()),
        ("fe80::1%eth0", set()),
        ("\0", {"/api/a", "/api/b", "/api/c d"}),
    ],
)
def test_searches_exactly(manager_client, key, text, found):
    logged(key, path="/api/a")
    logged(key, path="/api/b", ip="198.51.100.7")
    logged(None, "other", path="/api/c d", ip="2001:db8::1")
    text = text.format(key=key.api_key, lower=key.api_key.lower())

    assert {row.path for row in listed(manager_client, q=text)} == found


def test_a_username_does_not_hide_the_key_of_its_name(manager_client, key, make_user):
    logged(key, path="/with/the/key/")
    logged(generate_keys(make_user(key.api_key)).instance, path="/of/the/user/")

    found = {row.path for row in listed(manager_client, q=key.api_key)}

    assert found == {"/with/the/key/", "/of/the/user/"}


@pytest.mark.parametrize("query", [{}, {"q": "ada"}, {"q": "/api/"}, {"outcome": "refused"}])
def test_asks_the_same_few_questions_however_many_rows_there_are(manager_client, key, query):
    asked = []
    for number in (1, 150):
        for _ in range(number):
            logged(key, "ip_not_allowed", path="/api/x")
        with CaptureQueriesContext(connection) as queries:
            manager_client.get(LOG, query)
        asked.append([query["sql"] for query in queries if "apirequestlog" in query["sql"]])

    few, many = asked
    assert len(few) == len(many) <= 9
    for sql in many:
        assert "DISTINCT" not in sql
        assert "UPPER" not in sql
        assert "LIKE '%" not in sql
        # By one column of the index; a second one would make some databases sort all rows.
        assert not re.search(r"ORDER BY \S+ (ASC|DESC),", sql)
        if "COUNT(" in sql and "GROUP BY" not in sql:
            assert "LIMIT" in sql


def test_sorts_by_time_alone(manager_client):
    now = datetime.now(timezone.utc)
    later, earlier = logged(status=200), logged(status=500, at=now - timedelta(hours=1))

    assert listed(manager_client) == [later, earlier]
    assert listed(manager_client, o="0") == [earlier, later]
    assert listed(manager_client, o="-0") == [later, earlier]
    assert listed(manager_client, o="-5") == [later, earlier]


def test_counts_to_a_bound_and_says_so(manager_client, monkeypatch):
    monkeypatch.setattr(request_log_list, "COUNT_MAX", 2)
    logged()
    assert "1 API request\n" in manager_client.get(LOG).content.decode()
    logged()
    page = manager_client.get(LOG).content.decode()
    assert "2 API requests\n" in page
    logged()

    page = manager_client.get(LOG).content.decode()

    assert "2 API requests and more, which are not listed" in page


def test_searches_the_latest_of_many_for_what_no_index_finds(manager_client, key, monkeypatch):
    monkeypatch.setattr(request_log_list, "WINDOW", 2)
    now = datetime.now(timezone.utc)
    for hours, path in enumerate(("/0", "/1", "/2", "/3")):
        logged(key if hours % 2 else None, path=path, status=500, at=now - timedelta(hours=hours))

    def found(**query):
        return [row.path for row in listed(manager_client, **query)]

    assert found(status_class="5xx") == ["/0", "/1"]
    assert found(q="/") == ["/0", "/1"]
    # Of what the indexes find, as many.
    assert found(status_class="5xx", user__id__exact=key.user_id) == ["/1", "/3"]
    assert found(status_class="5xx", q="ada") == ["/1", "/3"]
    assert found(status_class="5xx", api_key=key.api_key) == ["/1", "/3"]
    assert found(status_class="5xx", at__year=now.year + 1) == []
    assert found(outcome="accepted") == ["/0", "/1", "/2", "/3"]
    page = manager_client.get(LOG, {"status_class": "5xx"}).content.decode()
    assert "Only the latest 2 requests were searched." in page
    page = manager_client.get(LOG, {"status_class": "5xx", "q": "ada"}).content.decode()
    assert "were searched for this" not in page


def dates_on(client, **query):
    """What there is to choose, and what leads back."""
    dates = client.get(LOG, query).context["cl"].dates
    choices = dates.get("choices", [])
    return [choice["title"] for choice in choices], dates.get("back", {}).get("title")


def test_leads_to_years_months_and_days(manager_client):
    assert dates_on(manager_client) == ([], None)

    rows = {
        day: logged(path=str(day), at=datetime(*day, 12, tzinfo=timezone.utc))
        for day in [(2025, 11, 28), (2025, 11, 30), (2025, 12, 2), (2026, 2, 3)]
    }

    assert dates_on(manager_client) == (["2025", "2026"], None)
    year = {"at__year": "2025"}
    assert dates_on(manager_client, **year) == (["November 2025", "December 2025"], "All dates")
    month = {**year, "at__month": "11"}
    assert dates_on(manager_client, **month) == (
        ["November 28", "November 29", "November 30"],
        "2025",
    )
    day = {**month, "at__day": "30"}
    assert dates_on(manager_client, **day) == (["November 30"], "November 2025")
    assert {row.path for row in listed(manager_client, **month)} == {
        "(2025, 11, 28)",
        "(2025, 11, 30)",
    }
    assert listed(manager_client, **day) == [rows[2025, 11, 30]]
    page = manager_client.get(LOG, {**month, "outcome": "accepted"}).content.decode()
    assert "?at__day=30&amp;at__month=11&amp;at__year=2025&amp;outcome=accepted" in page


@pytest.mark.parametrize(
    ("first", "choices"),
    [
        ((2026, 2, 1), ["February 1", "February 2", "February 3"]),
        ((2026, 1, 1), ["January 2026", "February 2026"]),
        ((2026, 2, 3), ["February 3"]),
    ],
)
def test_begins_with_the_dates_that_differ(manager_client, first, choices):
    logged(at=datetime(*first, tzinfo=timezone.utc))
    logged(at=datetime(2026, 2, 3, tzinfo=timezone.utc))

    assert dates_on(manager_client) == (choices, None)


def test_shows_markup_as_text(manager_client, key):
    row = logged(key, path=f"/{MARKUP}", user_agent=MARKUP, source=MARKUP, method=MARKUP[:10])
    logged(api_key=MARKUP)

    for address in (LOG, page_of(row), f"{LOG}?q=/{MARKUP}&source={MARKUP}&api_key={MARKUP}"):
        page = manager_client.get(address).content.decode()
        assert MARKUP not in page
        assert "<b " not in page


@pytest.mark.parametrize("what", ["list", "detail"])
def test_has_nothing_that_a_content_security_policy_forbids(manager_client, key, what):
    row = logged(key)

    page = manager_client.get(LOG if what == "list" else page_of(row)).content.decode()

    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=)[^>]*>\s*\S", page)
