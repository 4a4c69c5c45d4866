"""The charts of thirty days: who sees them on which pages, and that they show what is logged."""

import html
import re
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.admin import AdminSite
from django.db import transaction
from django.utils import timezone

import frappe_tokens
from frappe_tokens.admin.usage.chart import HEIGHT, LEAST, SERIES, Chart
from frappe_tokens.admin.usage.summary import MIDDLEWARE, usage_of_key, usage_of_user
from frappe_tokens.exceptions import Reason
from frappe_tokens.keys import generate_keys, generate_keys_for_source
from frappe_tokens.middleware import RequestLogMiddleware
from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import Day, Usage
from testproject.events.models import EventConsumer
from tests.html import attribute, elements, text
from tests.log_rows import logged, logged_days
from tests.log_tables import log_gone
from tests.request_log.population import utc

from .conftest import LOG, assert_no_inline_script_or_style, user_page

CHART = "frappe-tokens-usage-chart"
UNREADABLE = "The request log can't be read at the moment."
NONE_YET = "No requests logged yet."
MARKUP = '<b onclick="x">"&'


class OwnLogMiddleware(RequestLogMiddleware):
    """A project's own."""


@pytest.fixture
def consumer(user):
    consumer = EventConsumer.objects.create(user=user, name="gate")
    return generate_keys_for_source(consumer).instance


def key_page(key):
    return f"/admin/frappe_tokens/apikey/{key.pk}/change/"


def consumer_page(consumer):
    return f"/admin/events/eventconsumer/{consumer.pk}/change/"


def titles_on(page):
    """The titles of the bars: the day, the total, and the number of each outcome."""
    return [text(title) for title in elements(page, "title") if ": " in text(title)]


def numbers_on(page):
    """The numbers in the chart by day and outcome."""
    numbers = Counter()
    for title in titles_on(page):
        day, rest = title.split(": ", 1)
        for outcome, number in re.findall(r"(\w+): (\d+)", rest):
            numbers[day, outcome] = int(number)
    return numbers


def table_on(page):
    """The numbers in the table by day and outcome, which may be "Total"."""
    (region,) = elements(page, class_="frappe-tokens-usage-table")
    first, *rows = elements(region, "tr")
    heads = [text(head) for head in elements(first, "th")][1:]
    numbers = Counter()
    for row in rows:
        (day,) = map(text, elements(row, "th"))
        cells = [int(text(cell)) for cell in elements(row, "td")]
        numbers.update(dict(zip([(day, head) for head in heads], cells, strict=True)))
    return +numbers


def figures_on(page):
    """The total, and the share and the number of refusals."""
    return [text(number) for number in elements(page, "dd")[:2]]


@pytest.mark.parametrize(
    ("permissions", "sees"),
    [
        (["frappe_tokens.generate_keys"], True),
        (["frappe_tokens.view_apikey", "frappe_tokens.view_apirequestlog"], True),
        (["frappe_tokens.view_apikey"], False),
    ],
    ids=["manager", "viewer", "clerk"],
)
def test_chart_is_for_those_who_may_see_the_log(staff, key, consumer, permissions, sees):
    logged(key)
    logged(consumer, source="EventConsumer")
    client = staff("auth.view_user", "events.view_eventconsumer", *permissions)

    for address in (user_page(key.user), key_page(key), consumer_page(consumer)):
        page = client.get(address).content.decode()
        assert (CHART in page) == sees
        assert ("Show these requests" in page) == sees
        # The rest of the section depends on other permissions.
        assert ("/generate-keys/" in page) == ("frappe_tokens.generate_keys" in permissions)


def test_numbers_are_those_of_the_rows(get, key):
    outcomes = {"accepted": 9, "key_revoked": 2, "ip_not_allowed": 3, "other": 1}
    logged_days(key, outcomes, 30, until=timezone.now().replace(hour=12))
    rows = Counter(
        (f"{row.at:%B} {row.at.day}", row.outcome) for row in ApiRequestLog.objects.all()
    )
    logged(key, at=timezone.now() - timedelta(days=31))
    total = rows.total()
    refused = sum(rows[name] for name in rows if name[1] in {"key_revoked", "ip_not_allowed"})

    for address in (user_page(key.user), key_page(key), LOG):
        page = get(address)
        assert numbers_on(page) == rows
        table = table_on(page)
        assert sum(table.pop(name) for name in [*table] if name[1] == "Total") == total
        assert table == rows
        assert len(titles_on(page)) == 30
        assert figures_on(page) == [str(total), f"{100 * refused / total:.1f} % {refused}"]
        assert f"{total} requests from " in page


def test_chart_links_to_the_requests_that_it_counts(root_client, make_user, key, consumer):
    logged(key)
    # With another secret, so that no user is named.
    logged(key, "invalid_credentials", user_id=None)
    # Of another source, with the same API key.
    logged(consumer, source="EventConsumer", api_key=key.api_key)
    logged(consumer, source="EventConsumer")
    logged(generate_keys(make_user("grace")).instance)

    for address, number in [
        (user_page(key.user), 3),
        (key_page(key), 2),
        (consumer_page(consumer), 1),
    ]:
        page = root_client.get(address).content.decode()
        assert figures_on(page)[0] == str(number)
        (link,) = elements(elements(page, class_="frappe-tokens-usage-link")[0], "a")
        assert len(root_client.get(attribute(link, "href")).context["cl"].result_list) == number


def test_chart_of_a_model_with_two_sources_counts_and_links_to_both(key, settings, get):
    model = "frappe_tokens.ApiKey"
    settings.FRAPPE_TOKENS = {"SOURCES": {"User": model, "Customer": model}}
    logged(key)
    logged(key, source="Customer")

    page = get(key_page(key))

    assert figures_on(page)[0] == "2"
    assert f'href="{LOG}?api_key={key.api_key}"' in page
    assert "Show these requests" not in usage_of_key(key, AdminSite())  # a site without the log


def test_page_says_what_to_do_if_nothing_is_logged(get, key, settings):
    def page():
        text = html.unescape(get(key_page(key)))
        assert CHART not in text
        assert "Show these requests" not in text
        assert NONE_YET in text
        return text

    assert "The first request with an API key will be shown here." in page()

    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "null"}
    assert 'set REQUEST_LOG to "durable" or "buffered" in FRAPPE_TOKENS' in page()

    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "shipping.LogShipper"}
    assert "shipping.LogShipper logs the requests." in page()

    settings.FRAPPE_TOKENS = {}
    others = [name for name in settings.MIDDLEWARE if name != MIDDLEWARE]
    settings.MIDDLEWARE = others
    assert f"put {MIDDLEWARE} first in MIDDLEWARE" in page()

    settings.MIDDLEWARE = [f"{__name__}.OwnLogMiddleware", *others]
    assert "Requests aren't logged" not in page()

    logged(key)
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "null"}
    chart = get(key_page(key))
    assert CHART in chart
    assert "Requests aren&#x27;t logged." in chart


def test_page_names_the_last_request_if_it_was_long_ago(get, key):
    logged(key, at=utc(2024, 2, 3, 4, 5))

    page = get(key_page(key))

    assert CHART not in page
    assert "No requests in these 30 days. The last one was on Feb. 3, 2024, 4:05 a.m." in page
    assert "Show these requests" in page


def test_chart_above_the_log_is_of_the_listed_requests(get, key):
    logged(key, path="/api/a")
    logged(key, "key_expired", path="/api/b", method="POST")
    logged(None, "other", path="/c")

    for query, number in [
        ({}, 3),
        ({"outcome": "refused"}, 1),
        ({"method": "GET"}, 2),
        ({"q": "ada", "outcome": "accepted"}, 1),
        ({"api_key": key.api_key}, 2),
    ]:
        page = get(LOG, **query)
        assert figures_on(page)[0] == str(number)
        assert "Show these requests" not in page

    page = get(LOG, q="/nowhere")
    assert "No request matches this choice." in page
    assert NONE_YET not in page


def test_chart_above_the_log_ends_with_the_latest_request_of_a_chosen_date(get, key):
    logged(key, at=utc(2025, 3, 9, 12))
    logged(key, at=utc(2025, 3, 20, 12))
    logged(key)

    page = get(LOG, at__year=2025, at__month=3)

    assert figures_on(page)[0] == "2"
    assert titles_on(page)[-1].startswith("March 20: 1 request ")
    assert figures_on(get(LOG))[0] == "1"
    assert "No request matches this choice." in get(LOG, at__year=2020)


def test_works_without_use_tz(get, key, settings):
    settings.USE_TZ = False
    logged(key, at=datetime.now())

    assert figures_on(get(key_page(key)))[0] == "1"
    assert figures_on(get(LOG, at__year=date.today().year))[0] == "1"
    row = ApiRequestLog.objects.get()
    assert f"{row.at:%H:%M:%S.%f}<" in get(f"{LOG}{row.pk}/change/")


def test_markup_is_text_and_content_security_policy_forbids_nothing(get, key):
    logged(key, MARKUP, path=f"/{MARKUP}")

    for address in (user_page(key.user), key_page(key), LOG):
        page = get(address)
        assert CHART in page
        assert html.escape(f"/{MARKUP}") in page
        assert_no_inline_script_or_style(page)


@pytest.mark.django_db(transaction=True)
def test_pages_work_without_the_log(manager_client, get, key, user, caplog):
    with log_gone():
        pages = [
            get(user_page(key.user)),
            # In a transaction, which a failed statement would end on PostgreSQL.
            manager_client.post(key_page(key), {"rate_limit": "fast"}).content.decode(),
        ]
        with transaction.atomic():
            pages.append(usage_of_user(user, AdminSite()))
            user.refresh_from_db()

    for page in pages:
        assert UNREADABLE in page
        assert CHART not in page
    assert "The request log can't be read." in caplog.text
    assert UNREADABLE not in get(key_page(key))


@pytest.mark.parametrize(
    ("accepted", "refused", "shown"),
    [
        (3, 0, "0 %"),
        (0, 3, "100 %"),
        (2, 1, "33.3 %"),
        (3000, 1, "0.1 %"),
        (1, 3000, "99.9 %"),
    ],
)
def test_share_of_refusals_is_not_rounded_to_none_or_all(key, user, accepted, refused, shown):
    outcomes = {"accepted": accepted, "key_expired": refused}
    logged_days(key, {name: number for name, number in outcomes.items() if number}, 1)

    page = usage_of_user(user, AdminSite())

    assert figures_on(page)[1] == f"{shown} {refused:,}"


def test_most_frequent_paths_are_named(key, user):
    for number in range(7):
        for _ in range(number):
            logged(key, path=f"/api/{number}/")

    page = usage_of_user(user, AdminSite())

    (paths,) = map(text, elements(page, "ol"))
    assert paths == "/api/6/ 6 /api/5/ 5 /api/4/ 4 /api/3/ 3 /api/2/ 2"
    assert "the latest requests (at most 1,000)" in page


def chart_of(*days):
    first = date(2026, 3, 1)
    return Chart(Usage([Day(first + timedelta(number), day) for number, day in enumerate(days)]))


@pytest.mark.parametrize(
    ("most", "labels"),
    [
        (1, ["1", "0"]),
        (4, ["4", "3", "2", "1", "0"]),
        (5, ["6", "4", "2", "0"]),
        (81, ["100", "50", "0"]),
        (12_345, ["15,000", "10,000", "5,000", "0"]),
    ],
)
def test_scale_has_round_numbers(most, labels):
    ticks = chart_of({"accepted": most}, {}).ticks

    assert [label for label, _ in ticks] == labels
    assert (ticks[0][1], ticks[-1][1]) == (0, HEIGHT)


def test_bars_are_as_high_as_their_numbers():
    low, high, empty = chart_of({"accepted": 20}, {"accepted": 60, "other": 20}, {}).bars

    assert low.segments == [("accepted", 75, 25)]
    assert high.segments == [("accepted", 25, 75), ("other", 0, 25)]
    assert empty.segments == []


def test_single_refusal_among_many_requests_is_visible():
    outcomes = {"accepted": 99_997, "key_expired": 1, "ip_not_allowed": 1, "other": 1}
    (bar,) = chart_of(outcomes).bars

    assert len(bar.segments) == 4
    for _, y, height in bar.segments:
        assert height > 0.9 * LEAST
        assert y >= 0
    assert sum(height for _, _, height in bar.segments) == pytest.approx(HEIGHT, abs=0.1)


def test_every_outcome_has_a_colour():
    codes = {reason.code: 1 for reason in Reason}
    chart = chart_of({"accepted": 2, "other": 3, "of_another_version": 4, **codes})

    numbers = {series.slug: int(number) for series, number in chart.legend}

    assert numbers.pop("accepted") == 2
    assert numbers.pop("other") == 7
    for series in SERIES[2:]:
        refusals = [reason for reason in Reason if reason.status in series.statuses]
        assert numbers.pop(series.slug) == len(refusals)
    assert not numbers


def luminance(colour):
    """The relative luminance of WCAG 2.2."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_colours_stand_out_from_the_page_in_both_themes():
    path = Path(frappe_tokens.__file__).parent / "static" / "frappe_tokens" / "admin.css"
    style = path.read_text()

    for series in SERIES:
        colours = re.findall(rf"--frappe-tokens-{series.slug}: (#\w{{6}});", style)
        light, dark_by_system, dark_by_choice = colours
        assert dark_by_system == dark_by_choice != light
        for colour, page in [(light, "#ffffff"), (dark_by_choice, "#121212")]:
            darker, lighter = sorted([luminance(colour), luminance(page)])
            # WCAG 2.2, 1.4.11
            assert (lighter + 0.05) / (darker + 0.05) >= 3
