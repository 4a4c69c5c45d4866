"""The charts of thirty days: who sees them on which pages, and that they show what is logged."""

import html
import re
from collections import Counter
from datetime import date, datetime, timedelta
from itertools import combinations
from math import dist
from operator import mul
from pathlib import Path

import pytest
from django.contrib.admin import AdminSite
from django.db import transaction
from django.utils import timezone, translation

import frappe_tokens
from frappe_tokens.admin.usage.chart import HEIGHT, LEAST, Chart
from frappe_tokens.admin.usage.outcomes import LABELS, label_of, slug_of
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
    """A project's own subclass."""


@pytest.fixture
def consumer(user):
    consumer = EventConsumer.objects.create(user=user, name="gate")
    return generate_keys_for_source(consumer).instance


def key_page(key):
    return f"/admin/frappe_tokens/apikey/{key.pk}/change/"


def consumer_page(consumer):
    return f"/admin/events/eventconsumer/{consumer.pk}/change/"


def titles_on(page):
    """Return what a screen reader says about each bar: the day, the total, and each outcome."""
    (bars,) = elements(page, "ol", class_="frappe-tokens-usage-bars")
    return [attribute(bar, "aria-label") for bar in elements(bars, aria_label=True)]


def numbers_on(page):
    """Return the numbers in the chart by day and outcome."""
    numbers = Counter()
    for title in titles_on(page):
        day, *parts = (part.rsplit(": ", 1) for part in title.split("; "))
        for label, number in parts:
            numbers[day[0], label] = int(number)
    return numbers


def table_on(page):
    """Return the numbers in the table by day and outcome, which may be "Total"."""
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
    """Return the total, and the number of refusals with their share."""
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
        # Other permissions decide about the rest of the section.
        assert ("/generate-keys/" in page) == ("frappe_tokens.generate_keys" in permissions)


def test_numbers_are_those_of_the_rows(get, key):
    outcomes = {"accepted": 9, "key_revoked": 2, "ip_not_allowed": 3, "other": 1}
    logged_days(key, outcomes, 30, until=timezone.now().replace(hour=12))
    rows = Counter(
        (f"{row.at:%B} {row.at.day}", label_of(row.outcome)) for row in ApiRequestLog.objects.all()
    )
    logged(key, at=timezone.now() - timedelta(days=31))
    total = rows.total()
    labels = {"Key revoked", "Address not allowed"}
    refused = sum(rows[name] for name in rows if name[1] in labels)

    for address in (user_page(key.user), key_page(key), LOG):
        page = get(address)
        assert numbers_on(page) == rows
        table = table_on(page)
        assert sum(table.pop(name) for name in [*table] if name[1] == "Total") == total
        assert table == rows
        assert len(titles_on(page)) == 30
        assert figures_on(page) == [str(total), f"{refused} ({100 * refused / total:.0f} %)"]
        assert f"{total} requests from " in page


def test_chart_links_to_the_requests_that_it_counts(root_client, make_user, key, consumer):
    logged(key)
    # A wrong secret, so the row has no user.
    logged(key, "invalid_credentials", user_id=None)
    # Another source has the same API key.
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


def test_chart_above_the_log_counts_the_listed_requests(get, key):
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
    assert titles_on(page)[-1] == "March 20: 1 request; Accepted: 1"
    assert figures_on(get(LOG))[0] == "1"
    assert "No request matches this choice." in get(LOG, at__year=2020)


def test_works_without_use_tz(get, key, settings):
    settings.USE_TZ = False
    logged(key, at=datetime.now())

    assert figures_on(get(key_page(key)))[0] == "1"
    assert figures_on(get(LOG, at__year=date.today().year))[0] == "1"
    row = ApiRequestLog.objects.get()
    assert f"{row.at:%H:%M:%S.%f}<" in get(f"{LOG}{row.pk}/change/")


def test_markup_is_escaped_and_content_security_policy_blocks_nothing(get, key):
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
            # This runs in a transaction, which a failed statement would abort on PostgreSQL.
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
        (3, 0, "0"),
        (0, 3, "3 (100 %)"),
        (2, 1, "1 (33 %)"),
        (1, 2, "2 (67 %)"),
        (3000, 1, "1 (0.1 %)"),
        (1, 3000, "3,000 (99.9 %)"),
    ],
)
def test_share_of_refusals_is_not_rounded_to_none_or_all(key, user, accepted, refused, shown):
    outcomes = {"accepted": accepted, "key_expired": refused}
    logged_days(key, {name: number for name, number in outcomes.items() if number}, 1)

    page = usage_of_user(user, AdminSite())

    assert figures_on(page)[1] == shown
    with translation.override("de"):
        german = shown.replace(",", " ").replace(".", ",").replace(" 000", ".000")
        assert figures_on(usage_of_user(user, AdminSite()))[1] == german


def test_most_frequent_paths_are_named(key, user):
    for number in range(7):
        for _ in range(number):
            logged(key, path=f"/api/{number}/")

    page = usage_of_user(user, AdminSite())

    (region,) = elements(page, class_="frappe-tokens-usage-paths")
    (paths,) = map(text, elements(region, "ol"))
    assert paths == "/api/6/ 6 /api/5/ 5 /api/4/ 4 /api/3/ 3 /api/2/ 2"
    assert "the latest requests (at most 1,000)" in page


def chart_of(*days):
    first = date(2026, 3, 1)
    usage = Usage([Day(first + timedelta(number), day) for number, day in enumerate(days)])
    return Chart(usage, lambda parameters: "")


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


def test_bars_are_proportional_to_their_numbers():
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


def test_every_reason_has_its_own_segment():
    codes = {reason.code: number for number, reason in enumerate(Reason, start=5)}
    chart = chart_of({"accepted": 2, "other": 3, "of_another_version": 4, **codes})

    numbers = {part.label: int(part.number) for part in chart.legend}

    assert numbers.pop("Accepted") == 2
    assert numbers.pop("Other") == 7
    assert numbers == {str(reason.label): codes[reason.code] for reason in Reason}
    (bar,) = chart.bars
    slugs = [slug for slug, _y, _height in bar.segments]
    assert slugs == [part.slug for part in chart.legend] == [*map(slug_of, LABELS)]
    assert "of_another_version" in chart.columns


@pytest.mark.parametrize("where", ["user", "key", "log"])
def test_legend_and_bars_link_to_what_they_count(manager_client, get, key, where):
    pages = {"user": user_page(key.user), "key": key_page(key), "log": f"{LOG}?source=User"}
    today = timezone.now().replace(hour=12)
    logged_days(key, {"accepted": 3, "key_revoked": 2, "invalid_credentials": 1}, 2, until=today)
    page = get(pages[where])

    def listed(link):
        url = attribute(link, "href")
        response = manager_client.get(f"{LOG}{url}" if url.startswith("?") else url)
        return len(response.context["cl"].result_list)

    (legend,) = elements(page, "ul", class_="frappe-tokens-usage-legend")
    for item in elements(legend, "li"):
        (link,) = elements(item, "a")
        assert f"{text(link)} {listed(link)}" == text(item)
    (bars,) = elements(page, "ol", class_="frappe-tokens-usage-bars")
    for link in elements(bars, "a")[-3:]:
        assert f": {listed(link)} request" in attribute(link, "aria-label")
    labels = [text(item).rsplit(" ", 1)[0] for item in elements(legend, "li")]
    assert labels == ["Accepted", "Wrong secret", "Key revoked"]


def luminance(colour):
    """Return the relative luminance (WCAG 2.2)."""
    return sum(map(mul, (0.2126, 0.7152, 0.0722), linear(colour)))


def linear(colour):
    """Return the linear red, green and blue of ``#rrggbb``."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


# How people without cones for red, or for green, see. Machado, Oliveira and Fernandes, 2009.
EYES = {
    "all": [(1, 0, 0), (0, 1, 0), (0, 0, 1)],
    "no red": [
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ],
    "no green": [
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ],
}


def oklab(rgb):
    """Convert to a space whose distances are those that people see (Ottosson, 2020)."""
    cones = [
        max(0, sum(map(mul, row, rgb))) ** (1 / 3)
        for row in (
            (0.4122214708, 0.5363325363, 0.0514459929),
            (0.2119034982, 0.6806995451, 0.1073969566),
            (0.0883024619, 0.2817188376, 0.6299787005),
        )
    ]
    return [
        sum(map(mul, row, cones))
        for row in (
            (0.2104542553, 0.7936177850, -0.0040720468),
            (1.9779984951, -2.4285922050, 0.4505937099),
            (0.0259040371, 0.7827717662, -0.8086757660),
        )
    ]


@pytest.fixture
def colours():
    """Return the colours of each outcome, in light and in dark."""
    path = Path(frappe_tokens.__file__).parent / "static" / "frappe_tokens" / "usage.css"
    style = path.read_text()
    return {
        outcome: re.search(
            rf"--frappe-tokens-{slug_of(outcome)}: light-dark\((#\w{{6}}), (#\w{{6}})\);", style
        ).groups()
        for outcome in LABELS
    }


def test_colours_stand_out_from_the_page_in_both_themes(colours):
    for light, dark in colours.values():
        assert light != dark
        for colour, page in [(light, "#ffffff"), (dark, "#121212")]:
            darker, lighter = sorted([luminance(colour), luminance(page)])
            # WCAG 2.2, 1.4.11
            assert (lighter + 0.05) / (darker + 0.05) >= 3


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_differ_for_all_eyes(colours, theme, eyes):
    seen = {
        outcome: oklab([sum(map(mul, row, linear(of_themes[theme]))) for row in EYES[eyes]])
        for outcome, of_themes in colours.items()
    }

    # The least difference that people notice is about 0.02.
    assert min(dist(*pair) for pair in combinations(seen.values(), 2)) > 0.06
