"""The pictures of thirty days: on whose pages, for whom, and that they show what is on record."""

import html
import re
from collections import Counter
from datetime import date, datetime, timedelta
from datetime import timezone as datetime_timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.contrib.admin import AdminSite
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import frappe_tokens
from frappe_tokens.admin.usage.chart import HEIGHT, LEAST, SERIES, Chart
from frappe_tokens.admin.usage.summary import MIDDLEWARE, usage_of_key, usage_of_user
from frappe_tokens.exceptions import Reason
from frappe_tokens.keys import generate_keys, generate_keys_for_source
from frappe_tokens.middleware import RequestLogMiddleware
from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log.usage import Day, Usage
from testproject.events.models import EventConsumer
from tests.log_rows import logged, logged_days
from tests.log_tables import log_gone

from .conftest import user_page

LOG = "/admin/frappe_tokens/apirequestlog/"
PICTURE = "frappe-tokens-usage-chart"
UNREADABLE = "The request log can't be read at the moment."
NONE_YET = "No requests logged yet."
MARKUP = '<b onclick="x">"&'


class OwnLogMiddleware(RequestLogMiddleware):
    """A project's own."""


@pytest.fixture
def key(user):
    return generate_keys(user).instance


@pytest.fixture
def consumer(user):
    made = EventConsumer.objects.create(user=user, name="gate")
    return generate_keys_for_source(made).instance


def key_page(key):
    return f"/admin/frappe_tokens/apikey/{key.pk}/change/"


def consumer_page(consumer):
    return f"/admin/events/eventconsumer/{consumer.pk}/change/"


def text_of(response):
    assert response.status_code == 200
    return response.content.decode()


def titles_on(page):
    """What the picture says of each day, the first one first."""
    return [html.unescape(title) for title in re.findall(r"<g><title>(.*?)</title>", page, re.S)]


def numbers_on(page):
    """By day and outcome, as the picture says."""
    numbers = Counter()
    for title in titles_on(page):
        first, *lines = title.split("\n")
        for line in lines:
            outcome, number = line.split(": ")
            numbers[first.split(":")[0], outcome] = int(number.replace(",", ""))
    return numbers


def table_on(page):
    """By day and outcome, as the table says; the outcome "Total" too."""
    table = page[page.index('<caption id="frappe-tokens-usage-caption">') :].partition("</table>")[
        0
    ]
    heads = re.findall(r'<th scope="col">(.*?)</th>', table)[1:]
    numbers = Counter()
    for day, cells in re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', table):
        for outcome, number in zip(heads, re.findall(r"<td>(.*?)</td>", cells), strict=True):
            numbers[day, outcome] = int(number.replace(",", ""))
    return +numbers


def figures_on(page):
    """The total, the share of refusals and how many they are."""
    numbers = re.findall(r"<dd>(.*?)</dd>", page)
    return [re.sub(r"<.*?>", "", number) for number in numbers]


PERMISSIONS = {
    "manager": ("frappe_tokens.generate_keys", "auth.view_user", "events.view_eventconsumer"),
    "viewer": (
        "frappe_tokens.view_apirequestlog",
        "frappe_tokens.view_apikey",
        "auth.view_user",
        "events.view_eventconsumer",
    ),
    "clerk": ("frappe_tokens.view_apikey", "auth.view_user", "events.view_eventconsumer"),
}


@pytest.mark.parametrize(("who", "sees"), [("manager", True), ("viewer", True), ("clerk", False)])
def test_shows_the_picture_to_those_who_may_see_the_log(
    client, make_user, key, consumer, who, sees
):
    logged(key)
    logged(consumer, source="EventConsumer")
    client.force_login(make_user(who, is_staff=True, permissions=PERMISSIONS[who]))

    for address in (user_page(key.user), key_page(key), consumer_page(consumer)):
        page = text_of(client.get(address))
        assert (PICTURE in page) == sees
        assert ("Show these requests" in page) == sees
        # And whatever else is in the section stays for those who may generate.
        assert ("/generate-keys/" in page) == (who == "manager")


def test_no_picture_where_there_is_nobody_yet(manager_client):
    assert "frappe-tokens-usage" not in text_of(
        manager_client.get("/admin/frappe_tokens/apikey/add/")
    )


def test_the_numbers_are_those_of_the_rows(manager_client, key):
    outcomes = {"accepted": 9, "key_revoked": 2, "ip_not_allowed": 3, "other": 1}
    logged_days(key, outcomes, 30, until=timezone.now().replace(hour=12))
    logged(key, at=timezone.now() - timedelta(days=31))
    first = timezone.now().date() - timedelta(days=29)
    rows = Counter(
        (f"{row.at:%B} {row.at.day}", row.outcome)
        for row in ApiRequestLog.objects.filter(at__date__gte=first)
    )

    for address in (user_page(key.user), key_page(key), LOG):
        page = text_of(manager_client.get(address))
        assert numbers_on(page) == rows
        table = table_on(page)
        totals = Counter({key: table.pop(key) for key in [*table] if key[1] == "Total"})
        assert table == rows
        assert totals.total() == rows.total()
        assert len(titles_on(page)) == 30
        refused = sum(
            n for (_, outcome), n in rows.items() if outcome in {"key_revoked", "ip_not_allowed"}
        )
        share = f"{100 * refused / rows.total():.1f} %"
        assert figures_on(page) == [str(rows.total()), f"{share} {refused}"]
        assert f"{rows.total()} requests from " in page


def test_shows_a_key_its_own_requests_alone(manager_client, key, consumer, make_user):
    logged(key)
    # With another secret, so that no user is named.
    logged(key, "invalid_credentials", user_id=None)
    # Of another source, under the same API key.
    logged(consumer, source="EventConsumer", api_key=key.api_key)
    logged(consumer, source="EventConsumer")
    logged(generate_keys(make_user("grace")).instance)

    assert figures_on(text_of(manager_client.get(user_page(key.user))))[0] == "3"
    assert figures_on(text_of(manager_client.get(key_page(key)))) == ["2", "50.0 % 1"]


def test_leads_to_the_rows_that_it_counts(manager_client, make_user, key, consumer, client):
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    logged(key)
    logged(key, "key_expired")
    logged(consumer, source="EventConsumer", api_key=key.api_key)
    logged(consumer, source="EventConsumer")

    for address, number in [
        (user_page(key.user), 4),
        (key_page(key), 2),
        (consumer_page(consumer), 1),
    ]:
        page = text_of(client.get(address))
        assert figures_on(page)[0] == str(number)
        (link,) = re.findall(r'<a href="(\S+)">Show these requests', page)
        assert len(client.get(html.unescape(link)).context["cl"].result_list) == number


def test_has_no_link_on_a_site_without_the_log(key):
    logged(key)

    picture = usage_of_key(key, AdminSite())

    assert PICTURE in picture
    assert "Show these requests" not in picture


def test_leads_to_the_key_in_all_sources_that_name_its_model(key, settings, manager_client):
    model = "frappe_tokens.ApiKey"
    settings.FRAPPE_TOKENS = {"SOURCES": {"User": model, "Customer": model}}
    logged(key)
    logged(key, source="Customer")

    page = text_of(manager_client.get(key_page(key)))

    assert figures_on(page)[0] == "2"
    assert f'href="{LOG}?api_key={key.api_key}"' in page


def test_asks_the_log_twice_for_a_picture(manager_client, key, consumer):
    logged_days(key, {"accepted": 5, "other": 2}, 30)

    for address in (user_page(key.user), key_page(key)):
        with CaptureQueriesContext(connection) as queries:
            manager_client.get(address)
        asked = [query["sql"] for query in queries if '"at"' in query["sql"].replace("`", '"')]
        assert len(asked) == 2


def test_says_what_to_do_where_nothing_is_on_record(manager_client, key, settings):
    def page():
        text = text_of(manager_client.get(key_page(key)))
        assert PICTURE not in text
        assert "Show these requests" not in text
        assert NONE_YET in text
        return html.unescape(text)

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
    assert "Requests aren&#x27;t logged" not in page()


def test_says_that_nothing_is_added_to_what_is_there(manager_client, key, settings):
    logged(key)
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "null"}

    page = text_of(manager_client.get(key_page(key)))

    assert PICTURE in page
    assert "Requests aren&#x27;t logged." in page


def test_says_when_the_last_one_was_where_it_was_long_ago(manager_client, key):
    logged(key, at=datetime(2024, 2, 3, 4, 5, tzinfo=datetime_timezone.utc))

    page = text_of(manager_client.get(key_page(key)))

    assert PICTURE not in page
    assert "No requests in these 30 days. The last one was on Feb. 3, 2024, 4:05 a.m." in page
    assert "Show these requests" in page


def test_above_the_log_it_shows_what_is_listed(manager_client, key):
    logged(key, path="/api/a")
    logged(key, "key_expired", path="/api/b", method="POST")
    logged(None, "other", path="/c")

    for query, number in [
        ({}, 3),
        ({"outcome": "refused"}, 1),
        ({"method": "GET"}, 2),
        ({"q": "/api/"}, 2),
        ({"q": "ada", "outcome": "accepted"}, 1),
        ({"api_key": key.api_key}, 2),
    ]:
        page = text_of(manager_client.get(LOG, query))
        assert figures_on(page)[0] == str(number)
        assert "Show these requests" not in page

    page = text_of(manager_client.get(LOG, {"q": "/nowhere"}))
    assert "No request matches this choice." in page
    assert NONE_YET not in page


def test_above_the_log_a_chosen_time_ends_the_days(manager_client, key):
    utc = datetime_timezone.utc
    logged(key, at=datetime(2025, 3, 9, 12, tzinfo=utc))
    logged(key, at=datetime(2025, 3, 20, 12, tzinfo=utc))
    logged(key)

    page = text_of(manager_client.get(LOG, {"at__year": 2025, "at__month": 3}))
    assert figures_on(page)[0] == "2"
    assert titles_on(page)[-1].startswith("March 20: 1 request\n")
    assert figures_on(text_of(manager_client.get(LOG)))[0] == "1"
    page = text_of(manager_client.get(LOG, {"at__year": 2020}))
    assert "No request matches this choice." in page


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York"])
def test_a_day_is_one_of_the_present_time_zone(manager_client, key, settings, zone):
    settings.TIME_ZONE = zone
    midnight = datetime.combine(timezone.localdate(), datetime.min.time(), ZoneInfo(zone))
    logged(key, at=midnight - timedelta(microseconds=1))
    logged(key, "other", at=midnight)
    logged(key, "other", at=midnight - timedelta(days=29))
    logged(key, at=midnight - timedelta(days=29, microseconds=1))

    titles = titles_on(text_of(manager_client.get(key_page(key))))

    assert [title.split(": ", 1)[1] for title in titles if "0 requests" not in title] == [
        "1 request\nother: 1",
        "1 request\naccepted: 1",
        "1 request\nother: 1",
    ]
    assert titles[-1].startswith(f"{midnight:%B} {midnight.day}: 1 request\nother")


def test_without_time_zones(manager_client, key, settings):
    settings.USE_TZ = False
    logged(key, at=datetime.now())

    assert figures_on(text_of(manager_client.get(key_page(key))))[0] == "1"
    page = manager_client.get(LOG, {"at__year": date.today().year})
    assert figures_on(text_of(page))[0] == "1"
    row = ApiRequestLog.objects.get()
    assert f"{row.at:%H:%M:%S.%f}<" in text_of(manager_client.get(f"{LOG}{row.pk}/change/"))


def test_shows_markup_as_text_and_no_query(manager_client, key):
    logged(key, MARKUP, path=f"/{MARKUP}")

    for address in (user_page(key.user), key_page(key), LOG):
        page = text_of(manager_client.get(address))
        assert "<b onclick" not in page
        assert html.escape(f"/{MARKUP}") in page


def test_has_nothing_that_a_content_security_policy_forbids(manager_client, key):
    logged(key)
    logged(key, "key_expired")

    for address in (user_page(key.user), key_page(key), LOG):
        page = text_of(manager_client.get(address))
        assert PICTURE in page
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=)[^>]*>\s*\S", page)


@pytest.mark.django_db(transaction=True)
def test_the_pages_open_without_the_log(manager_client, key, caplog):
    with log_gone():
        pages = [
            manager_client.get(user_page(key.user)),
            manager_client.get(key_page(key)),
            # In a transaction, which a failed statement would end on PostgreSQL.
            manager_client.post(key_page(key), {"rate_limit": "fast"}),
        ]

    for response in pages:
        assert UNREADABLE in text_of(response)
        assert PICTURE not in text_of(response)
    assert "The request log can't be read." in caplog.text
    assert UNREADABLE not in text_of(manager_client.get(key_page(key)))


@pytest.mark.django_db(transaction=True)
def test_a_transaction_goes_on_without_the_log(user, key):
    with log_gone(), transaction.atomic():
        assert UNREADABLE in usage_of_user(user, AdminSite())
        user.refresh_from_db()


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
def test_the_share_of_refusals_is_never_rounded_to_none_or_all(key, user, accepted, refused, shown):
    outcomes = {"accepted": accepted, "key_expired": refused}
    logged_days(key, {name: number for name, number in outcomes.items() if number}, 1)

    page = usage_of_user(user, AdminSite())

    assert figures_on(page)[1] == f"{shown} {refused:,}"


def test_names_the_paths_that_are_asked_for_most(key, user):
    for number in range(7):
        for _ in range(number):
            logged(key, path=f"/api/{number}/")

    page = usage_of_user(user, AdminSite())

    paths = re.findall(r"<li><code>(.*?)</code> <span>(.*?)</span>", page)
    assert paths == [(f"/api/{number}/", str(number)) for number in (6, 5, 4, 3, 2)]
    assert "the latest requests (at most 1,000)" in page


def chart_of(*days):
    first = date(2026, 3, 1)
    return Chart(Usage([Day(first + timedelta(number), day) for number, day in enumerate(days)]))


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (1, ["1", "0"]),
        (4, ["4", "3", "2", "1", "0"]),
        (5, ["6", "4", "2", "0"]),
        (9, ["10", "5", "0"]),
        (75, ["80", "60", "40", "20", "0"]),
        (81, ["100", "50", "0"]),
        (12_345, ["15,000", "10,000", "5,000", "0"]),
    ],
)
def test_the_scale_is_of_round_numbers(most, ticks):
    chart = chart_of({"accepted": most}, {})

    assert chart.ticks == ticks
    assert len(chart.lines) == len(ticks) - 1
    assert chart.lines[0] == 0


def test_a_bar_is_as_high_as_its_number():
    low, high, none = chart_of({"accepted": 20}, {"accepted": 60, "other": 20}, {}).bars

    (only,) = low.segments
    assert (only.y, only.height) == (75, 25)
    below, above = high.segments
    assert (below.slug, below.y, below.height) == ("accepted", 25, 75)
    assert (above.slug, above.y, above.height) == ("other", 0, 25)
    assert below.x == above.x > only.x
    assert none.segments == []


def test_a_single_refusal_among_many_requests_is_seen():
    outcomes = {"accepted": 99_997, "key_expired": 1, "ip_not_allowed": 1, "other": 1}
    (bar,) = chart_of(outcomes).bars

    assert len(bar.segments) == 4
    for segment in bar.segments:
        assert segment.height > 0.9 * LEAST
        assert segment.y >= 0
    assert sum(segment.height for segment in bar.segments) == pytest.approx(HEIGHT, abs=0.1)


def test_every_outcome_has_a_colour():
    codes = {reason.code: 1 for reason in Reason}
    chart = chart_of({"accepted": 2, "other": 3, "of_another_version": 4, **codes})

    numbers = {series.slug: int(number) for series, number in chart.legend}

    assert numbers["accepted"] == 2
    assert numbers["other"] == 7
    for series in SERIES:
        refusals = [reason for reason in Reason if reason.status in series.statuses]
        assert not refusals or numbers[series.slug] == len(refusals)
    assert sum(numbers.values()) == 9 + len(codes)


def linear(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in channels
    ]


def luminance(light):
    red, green, blue = light
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def lightness_and_colour(light):
    """CIE L*a*b* of linear sRGB."""
    red, green, blue = light
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    x, y, z = (
        value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116
        for value in (x, luminance(light), z)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


# Machado, Oliveira and Fernandes (2009), severity 1.
SIGHTS = {
    "all": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def colours_of(theme):
    """The colours in the style sheet; the dark ones stand there twice."""
    path = Path(frappe_tokens.__file__).parent / "static" / "frappe_tokens" / "admin.css"
    style = path.read_text()
    sets = [re.findall(rf"--frappe-tokens-{series.slug}: (#\w{{6}});", style) for series in SERIES]
    for light, by_system, by_choice in sets:
        assert by_system == by_choice != light
    return [colours[0 if theme == "light" else 1] for colours in sets]


@pytest.mark.parametrize(("theme", "page"), [("light", "#ffffff"), ("dark", "#121212")])
def test_the_colours_stand_out_from_the_page(theme, page):
    for colour in colours_of(theme):
        darker, lighter = sorted([luminance(linear(colour)), luminance(linear(page))])
        # WCAG 2.2, 1.4.11
        assert (lighter + 0.05) / (darker + 0.05) >= 3


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("sight", SIGHTS)
def test_the_colours_differ_to_every_sight(theme, sight):
    seen = []
    for colour in colours_of(theme):
        light = linear(colour)
        seen.append(
            lightness_and_colour(
                [
                    min(1, max(0, sum(a * b for a, b in zip(row, light, strict=True))))
                    for row in SIGHTS[sight]
                ]
            )
        )
    for number, one in enumerate(seen):
        for other in seen[:number]:
            assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5 > 15
