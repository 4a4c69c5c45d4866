"""``GET keys/``."""

from datetime import datetime, timedelta, timezone

import pytest
import time_machine

from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey

from .conftest import FIELDS, assert_no_secret, assert_refused, assert_wrong, send

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


def shown(response):
    """The API keys in a page."""
    assert response.status_code == 200, response.content
    assert_no_secret(response)
    return {key["api_key"] for key in response.json()["results"]}


def test_manager_sees_all_keys(manager, keys):
    assert shown(send(manager, "GET")) == {manager.api_key, keys.api_key}


def test_others_see_their_own(manager, keys):
    assert shown(send(keys, "GET")) == {keys.api_key}


def test_key_is_shown_without_its_digests(user):
    made = datetime(2026, 1, 1, 9, 30, tzinfo=timezone.utc)
    with time_machine.travel(made, tick=False):
        generated = generate_keys(
            user,
            name="deploy",
            read_only=True,
            allowed_ips=["127.0.0.0/8"],
            rate_limit="5/minute",
            expires_at=made + timedelta(days=1),
        )
        (key,) = send(generated, "GET").json()["results"]
    assert key == {
        "api_key": generated.api_key,
        "name": "deploy",
        "user": "ada",
        "scopes": [],
        "read_only": True,
        "allowed_ips": ["127.0.0.0/8"],
        "rate_limit": "5/minute",
        "expires_at": "2026-01-02T09:30:00Z",
        "revoked_at": None,
        "last_used_at": None,
        "last_used_ip": None,
        "created_at": "2026-01-01T09:30:00Z",
    }
    assert set(key) == FIELDS


def test_restricted_keys_see_no_more_than_their_users_own(system_manager, keys):
    read_only = generate_keys(system_manager, name="look", read_only=True)
    scoped = generate_keys(system_manager, name="some", scopes=["todos"])
    assert shown(send(read_only, "GET")) == {read_only.api_key, scoped.api_key}
    assert shown(send(read_only, "GET", "?user=ada")) == set()
    assert_refused(send(scoped, "GET"), 403, "insufficient_scope")


def test_nobody_sees_nothing(keys):
    response = send(None, "GET")
    assert_refused(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"] == 'token realm="api"'


def test_comes_in_pages_of_fifty_the_latest_first(manager, user):
    made = [generate_keys(user, name=str(number)).api_key for number in range(60)]
    pages = [send(manager, "GET", f"?user=ada&page={page}").json() for page in (1, 2)]
    assert [page["count"] for page in pages] == [60, 60]
    assert [len(page["results"]) for page in pages] == [50, 10]
    listed = [key["api_key"] for page in pages for key in page["results"]]
    assert listed == made[::-1]
    assert "page=2" in pages[0]["next"]
    assert pages[1]["next"] is None


def test_keys_of_one_moment_have_an_order_too(manager, user):
    for number in range(5):
        generate_keys(user, name=str(number))
    ApiKey.objects.update(created_at=NOW)
    pages = [send(manager, "GET", f"?page={page}&page_size=2").json() for page in (1, 2, 3)]
    listed = [key["api_key"] for page in pages for key in page["results"]]
    assert listed == list(ApiKey.objects.order_by("-pk").values_list("api_key", flat=True))


@pytest.mark.parametrize(
    ("asked", "length"),
    [("1", 1), ("3", 3), ("0", 50), ("-1", 50), ("x", 50), ("9" * 5000, 50), ("201", 200)],
    ids=lambda value: str(value)[:5],
)
def test_page_size_is_the_clients_up_to_two_hundred(manager, user, asked, length):
    ApiKey.objects.bulk_create(ApiKey(user=user, name=str(number)) for number in range(205))
    assert len(shown(send(manager, "GET", f"?page_size={asked}"))) == length


@pytest.mark.parametrize("page", ["0", "-1", "3", "x", "9" * 5000, "%00"], ids=ascii)
def test_page_that_is_not_there_is_404(manager, page):
    assert_refused(send(manager, "GET", f"?page={page}"), 404, "not_found")


def test_is_the_same_whatever_the_project_does(manager, settings):
    settings.REST_FRAMEWORK = {
        "PAGE_SIZE": 1,
        "DEFAULT_PAGINATION_CLASS": None,
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.BrowsableAPIRenderer"],
        "DEFAULT_FILTER_BACKENDS": [],
        "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.AcceptHeaderVersioning",
        "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
        "DEFAULT_THROTTLE_RATES": {"user": "0/day"},
        "DATETIME_FORMAT": "%d.%m.%Y",
    }
    generate_keys(manager.instance.user, name="second")
    answer = send(manager, "GET").json()
    assert answer["count"] == 2
    assert [set(key) for key in answer["results"]] == [FIELDS] * 2
    assert answer["results"][0]["created_at"].endswith("Z")


def test_takes_as_many_queries_for_many_keys_as_for_few(manager, make_user, statements):
    generate_keys(make_user("first"))
    counts = []
    for number in range(3):
        with statements() as verbs:
            send(manager, "GET")
        counts.append(len(verbs))
        for other in range(10):
            generate_keys(make_user(f"user{number}-{other}"))
    assert len(set(counts)) == 1
    # The caller, two for their permissions, the count and the page.
    assert counts[0] <= 5


# Filters


def test_filters_by_user(manager, keys, root):
    assert shown(send(manager, "GET", "?user=ada")) == {keys.api_key}
    assert shown(send(manager, "GET", "?user=manager")) == {manager.api_key}


@pytest.mark.parametrize("name", ["nobody", "", "%00", "ada%00", "%ED%A0%80", "a" * 5000])
def test_unknown_user_has_no_keys(manager, keys, name):
    assert shown(send(manager, "GET", f"?user={name}")) == set()


def test_user_sees_no_keys_of_others_by_asking_for_them(manager, keys):
    assert shown(send(keys, "GET", "?user=ada")) == {keys.api_key}
    answers = {send(keys, "GET", f"?user={name}").content for name in ("manager", "nobody", "")}
    assert len(answers) == 1
    assert shown(send(keys, "GET", "?user=manager")) == set()


def test_filters_by_name(manager, user):
    named = generate_keys(user, name="deploy")
    assert shown(send(manager, "GET", "?name=deploy")) == {named.api_key}
    assert shown(send(manager, "GET", "?name=")) == {manager.api_key}
    assert shown(send(manager, "GET", "?name=Deploy")) == set()
    assert shown(send(manager, "GET", "?name=deploy%00")) == set()


def test_filters_by_state(user):
    with time_machine.travel(NOW, tick=False):
        keys = generate_keys(user)
        later = generate_keys(user, name="later", expires_at=NOW + timedelta(days=2))
        soon = generate_keys(user, name="soon", expires_at=NOW + timedelta(days=1))
        revoked = generate_keys(user, name="revoked")
        revoke(revoked.instance)
        gone = generate_keys(user, name="gone", expires_at=NOW + timedelta(seconds=1))
        revoke(gone.instance)
    with time_machine.travel(NOW + timedelta(days=1), tick=False):
        active = {keys.api_key, later.api_key}
        assert shown(send(keys, "GET", "?state=active")) == active
        assert shown(send(keys, "GET", "?state=expired")) == {soon.api_key}
        assert shown(send(keys, "GET", "?state=revoked")) == {revoked.api_key, gone.api_key}


@pytest.mark.parametrize("state", ["", "Active", "dead", "%00"])
def test_unknown_state_is_wrong(keys, state):
    response = send(keys, "GET", f"?state={state}")
    assert_wrong(response, "state", sentence="active, expired, revoked")


def test_filters_by_what_a_key_may_and_how_it_is_used(user):
    keys = generate_keys(user)
    look = generate_keys(user, name="look", read_only=True, expires_at=NOW + timedelta(days=3650))
    ApiKey.objects.filter(pk=look.instance.pk).update(last_used_at=NOW)
    both = {keys.api_key, look.api_key}
    assert shown(send(keys, "GET", "?read_only=true")) == {look.api_key}
    assert shown(send(keys, "GET", "?read_only=false")) == {keys.api_key}
    assert shown(send(keys, "GET", "?unused=true")) == {keys.api_key}
    assert shown(send(keys, "GET", "?unused=false")) == {look.api_key}
    assert shown(send(keys, "GET", "?last_used_before=2026-01-31T12:00:00Z")) == set()
    assert shown(send(keys, "GET", "?last_used_before=2026-01-31T12:00:01Z")) == {look.api_key}
    assert shown(send(keys, "GET", "?expires_before=2100-01-01T00:00:00-05:00")) == {look.api_key}
    assert shown(send(keys, "GET", "?expires_before=2027-01-01T00:00:00Z")) == set()
    assert shown(send(keys, "GET", "?read_only=&unused=&expires_before=")) == both


def test_filters_hold_together(manager, user):
    generate_keys(user, name="open")
    look = generate_keys(user, name="look", read_only=True)
    asked = "?user=ada&state=active&read_only=true&name=look"
    assert shown(send(manager, "GET", asked)) == {look.api_key}


@pytest.mark.parametrize("name", ["read_only", "unused", "last_used_before", "expires_before"])
@pytest.mark.parametrize(
    "value",
    [
        "x",
        "yes",
        "2026-01-31T12:00:00",
        "2026-13-31T12:00:00Z",
        "0001-01-01T00:00:00%2B14:00",
        "9999-12-31T23:59:59-14:00",
        "%00",
        "%ED%A0%80",
    ],
)
def test_unusable_values_are_wrong(keys, name, value):
    assert_wrong(send(keys, "GET", f"?{name}={value}"), name)


def test_compares_with_any_time_there_is(keys):
    for time in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
        for name in ("last_used_before", "expires_before"):
            assert shown(send(keys, "GET", f"?{name}={time}")) == set()


def test_filters_by_the_servers_time_where_zones_are_off(user, settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = "America/New_York"
    keys = generate_keys(user, expires_at=datetime(2100, 1, 1, 12))
    assert send(keys, "GET").json()["results"][0]["expires_at"] == "2100-01-01T12:00:00"
    for asked, found in [
        ("2100-01-01T12:00:00", set()),
        ("2100-01-01T12:00:01", {keys.api_key}),
        ("2100-01-01T17:00:00Z", set()),
        ("2100-01-01T17:00:01Z", {keys.api_key}),
    ]:
        assert shown(send(keys, "GET", f"?expires_before={asked}")) == found


# One key


def test_shows_one_key(manager, keys):
    for by in (manager, keys):
        for slash in ("", "/"):
            response = send(by, "GET", keys.api_key + slash)
            assert response.status_code == 200
            assert set(response.json()) == FIELDS
            assert response.json()["api_key"] == keys.api_key
            assert_no_secret(response)


def test_shows_a_revoked_key(manager, keys):
    revoke(keys.instance)
    assert send(manager, "GET", keys.api_key).json()["revoked_at"]


def test_shows_a_key_with_a_slash_in_it(user):
    keys = generate_keys(user)
    ApiKey.objects.create(user=user, name="imported", api_key="q+/9/a==")
    assert send(keys, "GET", "q+%2F9%2Fa==/").json()["name"] == "imported"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE", "POST"])
@time_machine.travel(NOW, tick=False)  # Expires has the time
def test_foreign_key_looks_like_none(manager, keys, self_service, method):
    before = rows_by(manager)
    action = "/rotate/" if method == "POST" else "/"
    answers = [
        send(keys, method, api_key + action, {"name": "x"} if method == "PATCH" else None)
        for api_key in (
            manager.api_key,
            "ftk_0000000000000000",
            keys.api_key.swapcase(),
            keys.api_key + "%20",
            "%00",
            "%ED%A0%80",
            "ü",
            "k" * 5000,
        )
    ]
    for answer in answers:
        assert_refused(answer, 404, "no_key")
    assert len({answer.content for answer in answers}) == 1
    assert len({str(answer.headers) for answer in answers}) == 1
    assert rows_by(manager) == before


def rows_by(generated):
    return list(ApiKey.objects.filter(user=generated.instance.user).values())
