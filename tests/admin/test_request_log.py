"""The request log in the admin: read-only, for those who may see it, and searched exactly."""

import re
from datetime import datetime, timedelta, timezone

import pytest
from django.contrib.admin.templatetags.admin_list import date_hierarchy
from django.db import connection
from django.test.utils import CaptureQueriesContext

from frappe_tokens.admin.request_log import change_list as request_log_list
from frappe_tokens.admin.request_log.log_filters import outcomes_that_occur
from frappe_tokens.admin.usage.outcomes import LABELS
from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiRequestLog
from tests.html import elements, text
from tests.log_rows import logged
from tests.log_tables import ELSEWHERE, log_elsewhere, log_gone
from tests.request_log.population import utc

from .conftest import LOG, assert_no_inline_script_or_style

MARKUP = '<b onclick="x">"&\''


def listed(client, **query):
    """Return the paths of the requests on the page for ``query``."""
    return [row.path for row in client.get(LOG, query).context["cl"].result_list]


def rows_on(page):
    """Return the texts of the cells of each row."""
    (table,) = elements(page, "table", id="result_list")
    rows = elements(table, "tr")[1:]
    return [[text(cell) for cell in row.children] for row in rows]


def page_of(row, what="change"):
    return f"{LOG}{row.pk}/{what}/"


@pytest.mark.parametrize(
    ("permissions", "status"),
    [
        (["frappe_tokens.generate_keys"], 200),
        (["frappe_tokens.view_apirequestlog"], 200),
        (["frappe_tokens.view_apikey", "auth.view_user"], 403),
    ],
    ids=["manager", "viewer", "clerk"],
)
def test_log_is_for_those_who_may_generate_keys_or_view_it(staff, permissions, status):
    client = staff(*permissions)

    assert client.get(LOG).status_code == status
    assert client.get(page_of(logged())).status_code == status
    assert (LOG in client.get("/admin/").content.decode()) == (status == 200)


def test_superuser_cannot_add_change_or_delete_requests(root_client):
    row = logged()
    action = {"action": "delete_selected", "_selected_action": row.pk, "post": "yes", "index": 0}

    for path in (f"{LOG}add/", page_of(row), page_of(row, "delete")):
        assert root_client.post(path, {"path": "/made/up/", "post": "yes"}).status_code == 403
    root_client.post(LOG, action)
    page = root_client.get(LOG).content.decode()

    assert [found.path for found in ApiRequestLog.objects.all()] == [row.path]
    assert "delete_selected" not in page
    assert f"{LOG}add/" not in page


def test_shows_the_number_of_counted_requests(get):
    unknown = {"method": "", "path": "", "status": 0, "duration_ms": 0, "ip": None}
    row = logged(None, "other", number=1234, **unknown)
    logged(None, "malformed_credentials", method="", path="", status=0, number=1)

    page = get()
    assert "1,234 more requests in this minute" in page
    assert "1 more request in this minute" in page
    assert "1,235 requests" in page
    details = get(page_of(row))
    assert "1,234 more requests in this minute" in details
    for unknown in ("0 ms", "None"):
        assert unknown not in page + details


def test_shows_all_columns_of_a_request(get, key):
    row = logged(
        key,
        "key_read_only",
        method="PUT",
        path="/api/x",
        duration_ms=345,
        at=utc(2026, 3, 4, 5, 6, 7),
    )

    (cells,) = rows_on(get())
    assert cells == [
        "2026-03-04 05:06:07",
        f"ada {key.api_key}",
        "PUT /api/ x",
        "Key is read-only 403",
        "345 ms",
    ]
    details = get(page_of(row))
    for text_on_page in [
        "2026-03-04 05:06:07.000000 UTC",
        *("ada", key.api_key, "User", "PUT", "/api/x", "345 ms", "192.0.2.7", "curl/8.5.0"),
        "Key is read-only",
        "This API key is read-only",
    ]:
        assert text_on_page in details


def test_row_has_no_history(get, key):
    page = get(page_of(logged(key)))

    assert not elements(page, class_="object-tools")
    assert "history" not in page


def test_hover_shows_the_whole_path_and_numbers_are_grouped(get, key):
    logged(key, path="/api/resource/Sales Invoice/" + "x" * 200, duration_ms=12345)

    page = get()

    assert elements(page, "code", title="/api/resource/Sales Invoice/" + "x" * 200)
    assert rows_on(page)[0][-1] == "12,345 ms"


def test_filter_offers_the_outcomes_that_occur(manager_client, key):
    def outcomes(**query):
        specs = manager_client.get(LOG, query).context["cl"].filter_specs
        (lookups,) = [spec.lookup_choices for spec in specs if spec.title == "outcome"] or [[]]
        return [label for _value, label in lookups]

    assert outcomes() == []
    logged(key)
    assert outcomes() == ["Accepted"]
    # The choice is still listed, so that it can be removed.
    assert outcomes(outcome="key_expired") == ["Accepted", "Refused", "Key expired"]
    logged(key, "invalid_credentials")
    logged(key, "key_revoked")
    logged(key, "of_another_version")
    assert outcomes() == ["Accepted", "Refused", "Wrong secret", "Key revoked"]


@pytest.mark.django_db(transaction=True)
def test_all_outcomes_are_offered_if_they_cannot_be_read(caplog):
    with log_gone():
        assert set(outcomes_that_occur()) == set(LABELS)

    assert "The outcomes in the request log can't be read." in caplog.text


def test_deleted_user_is_named_by_the_primary_key(get, manager_client, key, user):
    row, pk = logged(key), user.pk
    user.delete()

    assert f">{pk} (deleted)<" in get(page_of(row))
    assert f">{pk} (deleted)<" in get(user__id__exact=pk)
    assert listed(manager_client, user__id__exact=pk) == [row.path]


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
        ({"method": "POST"}, {"read-only"}),
        ({"source": "Robot"}, {"invalid"}),
        ({"source": "User", "outcome": "refused"}, {"read-only"}),
        ({"user__id__exact": "9" * 23}, set()),
    ],
)
def test_filters(manager_client, key, query, found):
    logged(key, path="accepted")
    logged(key, "invalid_credentials", path="invalid", user_id=None, source="Robot")
    logged(key, "key_read_only", path="read-only", method="POST")
    logged(None, "other", path="other", status=500)

    assert set(listed(manager_client, **query)) == found


def test_rows_link_to_the_requests_of_their_user_and_key(manager_client, get, key, make_user):
    logged(key, path="/mine")
    logged(generate_keys(make_user("grace")).instance)
    logged()

    page = get()

    for parameter, value in [("user__id__exact", key.user_id), ("api_key", key.api_key)]:
        assert f'href="{LOG}?{parameter}={value}"' in page
        assert listed(manager_client, **{parameter: value}) == ["/mine"]
        assert "Clear all filters" in get(**{parameter: value})
    chosen = {"user__id__exact": key.user_id, "source": "Removed"}
    specs = manager_client.get(LOG, chosen).context["cl"].filter_specs
    filters = {spec.title: spec.lookup_choices for spec in specs}
    assert filters["user"] == [(str(key.user_id), "ada")]
    assert filters["source"][-2:] == [("EventConsumer", "EventConsumer"), ("Removed", "Removed")]


@pytest.mark.parametrize(
    "query",
    [
        {"user__id__exact": "x"},
        {"status_class": "x"},
        {"at__year": "x"},
        {"at__year": "1"},
        {"at__year": "9999", "at__month": "12"},
        {"at__year": "9" * 30},
        {"at__year": "9" * 5000},
        {"at__year": "2026", "at__month": "2", "at__day": "31"},
        {"at__year": "2026", "at__day": "31"},
        {"at__month": "2"},
        {"api_key": "\0"},
        {"outcome": "\N{GRINNING FACE}"},
        {"user__id__exact": "\0"},
    ],
)
def test_invalid_filter_is_removed(manager_client, query):
    assert manager_client.get(LOG, query).headers["Location"].endswith("?e=1")
    assert manager_client.get(LOG, {**query, "e": 1}).status_code == 200


@pytest.mark.parametrize(
    "lookup", ["user__password__startswith", "ip__in", "path__regex", "user", "at__gte", "unknown"]
)
def test_other_lookups_are_refused(manager_client, lookup):
    """They could be slow, invalid for a database, or reveal something about users."""
    assert manager_client.get(LOG, {lookup: "1"}).status_code == 400


@pytest.mark.django_db(transaction=True, databases=["default", ELSEWHERE])
def test_log_can_have_a_database_of_its_own(get, client, key, make_user, settings, tmp_path):
    gone = make_user("gone")
    pk = gone.pk
    with log_elsewhere(settings, tmp_path):
        row, orphan = logged(key), logged(generate_keys(gone).instance)
        gone.delete()

        with CaptureQueriesContext(connection) as queries:
            page = get()

        assert ">ada<" in page
        assert f">{pk} (deleted)<" in page
        asked = [query["sql"].translate({ord('"'): "", ord("`"): ""}) for query in queries]
        # One query for the signed-in user, and one for all users of the rows.
        assert len([sql for sql in asked if "FROM auth_user WHERE" in sql]) == 2
        assert ">ada<" in get(page_of(row))
        assert f">{pk} (deleted)<" in get(page_of(orphan))
        assert len(listed(client, user__id__exact=pk)) == 1
    assert not ApiRequestLog.objects.exists()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("ada", {"/api/a", "/api/b"}),
        ("ad", set()),
        # Another user's name is this key.
        ("{key}", {"/api/a", "/api/b", "/other"}),
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
        ("\0", {"/api/a", "/api/b", "/api/c d", "/other"}),
    ],
)
def test_search_is_exact(manager_client, key, make_user, words, found):
    # MySQL and MariaDB ignore the case of usernames.
    other = make_user("grace" if words == "{lower}" else key.api_key)
    logged(generate_keys(other).instance, path="/other")
    logged(key, path="/api/a")
    logged(key, path="/api/b", ip="198.51.100.7")
    logged(None, "other", path="/api/c d", ip="2001:db8::1")
    words = words.format(key=key.api_key, lower=key.api_key.lower())

    assert set(listed(manager_client, q=words)) == found


@pytest.mark.parametrize("query", [{}, {"q": "ada"}, {"q": "/api/"}, {"outcome": "refused"}])
def test_queries_are_few_and_bounded_however_many_rows_there_are(get, key, query):
    asked = []
    for number in (1, 150):
        for _ in range(number):
            logged(key, "ip_not_allowed", path="/api/x")
        with CaptureQueriesContext(connection) as queries:
            get(**query)
        asked.append([query["sql"] for query in queries if "apirequestlog" in query["sql"]])

    few, many = asked
    assert len(few) == len(many) <= 9
    for sql in many:
        assert not re.search("DISTINCT|UPPER|LIKE '%", sql)
        # A second column would make some databases sort all rows.
        assert not re.search(r"ORDER BY \S+ (ASC|DESC),", sql)
        if "COUNT(" in sql and "GROUP BY" not in sql:
            assert "LIMIT" in sql


def test_list_can_be_sorted_only_by_time(manager_client):
    logged(path="/later", status=200)
    logged(path="/earlier", status=500, at=datetime.now(timezone.utc) - timedelta(hours=1))

    assert listed(manager_client) == ["/later", "/earlier"]
    assert listed(manager_client, o="0") == ["/earlier", "/later"]
    for column in range(-8, 9):
        if column:
            assert listed(manager_client, o=str(column)) == ["/later", "/earlier"]


def test_counts_to_a_limit_and_says_so(get, monkeypatch):
    monkeypatch.setattr(request_log_list, "COUNT_MAX", 3)
    for number in ("1 row\n", "2 rows\n", "3 rows\n"):
        logged()
        assert number in get()
    logged()
    assert "3 rows; more are not listed" in get()


def test_conditions_without_an_index_are_checked_on_the_latest_rows(
    manager_client, get, key, monkeypatch
):
    monkeypatch.setattr(request_log_list, "WINDOW", 2)
    now = datetime.now(timezone.utc)
    for hours, path in enumerate(("/0", "/1", "/2", "/3")):
        logged(key if hours % 2 else None, path=path, status=500, at=now - timedelta(hours=hours))

    def found(**query):
        return listed(manager_client, **query)

    assert found(status_class="5xx") == found(q="/") == ["/0", "/1"]
    # The latest ones that the indexes find.
    assert found(status_class="5xx", user__id__exact=key.user_id) == ["/1", "/3"]
    assert found(status_class="5xx", q="ada") == ["/1", "/3"]
    assert found(status_class="5xx", api_key=key.api_key) == ["/1", "/3"]
    assert found(status_class="5xx", at__year=now.year + 1) == []
    assert found(outcome="accepted") == ["/0", "/1", "/2", "/3"]
    assert "Only the latest 2 requests were searched." in get(status_class="5xx")
    assert "requests were searched." not in get(status_class="5xx", q="ada")


def dates_on(client, **query):
    """Return the dates to choose from."""
    dates = date_hierarchy(client.get(LOG, query).context["cl"].dated)
    return [choice["title"] for choice in dates["choices"]]


def test_offers_the_dates_between_the_first_and_the_last_request(manager_client, get):
    assert dates_on(manager_client) == []

    for day in [(2025, 11, 28), (2025, 11, 30), (2025, 12, 2), (2026, 2, 3)]:
        logged(path=str(day), at=utc(*day, 12))

    assert dates_on(manager_client) == ["2025", "2026"]
    year = {"at__year": "2025"}
    assert dates_on(manager_client, **year) == ["November 2025", "December 2025"]
    month = {**year, "at__month": "11"}
    days = ["November 28", "November 29", "November 30"]
    assert dates_on(manager_client, **month) == days
    day = {**month, "at__day": "30"}
    assert dates_on(manager_client, **day) == ["November 30"]
    assert listed(manager_client, **month) == ["(2025, 11, 30)", "(2025, 11, 28)"]
    assert listed(manager_client, **day) == ["(2025, 11, 30)"]
    link = "?at__day=30&amp;at__month=11&amp;at__year=2025&amp;outcome=accepted"
    assert link in get(**month, outcome="accepted")


def test_markup_is_escaped_and_content_security_policy_blocks_nothing(get, key):
    row = logged(key, path=f"/{MARKUP}", user_agent=MARKUP, source=MARKUP, method=MARKUP[:10])
    logged(api_key=MARKUP)

    for page in (get(), get(page_of(row)), get(q=f"/{MARKUP}", source=MARKUP, api_key=MARKUP)):
        assert "onclick" in page
        assert_no_inline_script_or_style(page)
