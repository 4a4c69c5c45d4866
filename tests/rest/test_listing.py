"""``GET keys/`` and ``GET keys/{api_key}/``."""

from datetime import datetime, timedelta, timezone
from urllib.parse import urlencode

import pytest
import time_machine

from frappe_tokens.keys import disable, generate_keys, revoke
from frappe_tokens.models import ApiKey

from .conftest import (
    FIELDS,
    NOW,
    assert_no_secret,
    assert_refused,
    assert_unchanged,
    assert_wrong,
    send,
)

pytestmark = pytest.mark.django_db


def listed(response):
    """Return the API keys in a page."""
    assert response.status_code == 200, response.content
    assert_no_secret(response)
    return [key["api_key"] for key in response.json()["results"]]


def test_managers_see_all_keys_and_others_their_own(manager, keys):
    assert set(listed(send(manager, "GET"))) == {manager.api_key, keys.api_key}
    assert listed(send(keys, "GET")) == [keys.api_key]
    assert listed(send(manager, "GET", "?user=ada")) == [keys.api_key]


def test_digests_are_not_shown(user):
    created = datetime(2026, 1, 1, 9, 30, tzinfo=timezone.utc)
    policies = {"read_only": True, "allowed_ips": ["127.0.0.0/8"], "rate_limit": "5/minute"}

    with time_machine.travel(created, tick=False):
        expires_at = created + timedelta(days=1)
        generated = generate_keys(user, name="deploy", expires_at=expires_at, **policies)
        (key,) = send(generated, "GET").json()["results"]

    assert key == {
        **policies,
        "api_key": generated.api_key,
        "name": "deploy",
        "description": "",
        "metadata": {},
        "user": "ada",
        "scopes": [],
        "expires_at": "2026-01-02T09:30:00Z",
        "self_rotate": False,
        "disabled_at": None,
        "revoked_at": None,
        "last_used_at": None,
        "last_used_ip": None,
        "created_at": "2026-01-01T09:30:00Z",
        "rotated_at": "2026-01-01T09:30:00Z",
    }


def test_restricted_keys_of_a_manager_see_only_their_users_own(system_manager, keys):
    read_only = generate_keys(system_manager, name="read", read_only=True)
    scoped = generate_keys(system_manager, name="scoped", scopes=["todos"])

    assert set(listed(send(read_only, "GET"))) == {read_only.api_key, scoped.api_key}
    assert listed(send(read_only, "GET", "?user=ada")) == []
    assert_refused(send(scoped, "GET"), 403, "insufficient_scope")


def test_pages_of_fifty_with_the_latest_first(manager, user):
    keys = [ApiKey(user=user, name=str(number), created_at=NOW) for number in range(60)]
    ApiKey.objects.bulk_create(keys)

    pages = [send(manager, "GET", f"?user=ada&page={page}") for page in (1, 2)]

    assert [page.json()["count"] for page in pages] == [60, 60]
    assert [len(listed(page)) for page in pages] == [50, 10]
    expected = ApiKey.objects.filter(user=user).order_by("-created_at", "-pk")
    assert [*listed(pages[0]), *listed(pages[1])] == [key.api_key for key in expected]
    assert "page=2" in pages[0].json()["next"]
    assert pages[1].json()["next"] is None


def test_page_size_is_at_most_two_hundred(manager, user):
    ApiKey.objects.bulk_create(ApiKey(user=user, name=str(number)) for number in range(205))

    for size, length in [("1", 1), ("0", 50), ("x", 50), ("9" * 5000, 50), ("201", 200)]:
        assert len(listed(send(manager, "GET", f"?page_size={size}"))) == length
    for page in ("0", "-1", "9", "x", "9" * 5000, "%00"):
        assert_refused(send(manager, "GET", f"?page={page}"), 404, "not_found")


def test_settings_of_the_project_change_nothing(manager, settings):
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

    body = send(manager, "GET").json()

    assert body["count"] == 2
    assert [set(key) for key in body["results"]] == [FIELDS] * 2
    assert body["results"][0]["created_at"].endswith("Z")


def test_number_of_queries_does_not_grow(manager, make_user, statements):
    with statements() as few:
        send(manager, "GET")
    for number in range(10):
        generate_keys(make_user(f"user{number}"))
    with statements() as many:
        send(manager, "GET")

    # The caller, two for their permissions, the count and the page.
    assert len(many) == len(few) <= 5


def test_filter_by_user_does_not_disclose_users(manager, keys):
    for name in ("nobody", "", "%00", "ada%00", "%ED%A0%80", "a" * 5000):
        assert listed(send(manager, "GET", f"?user={name}")) == []

    responses = {send(keys, "GET", f"?user={name}").content for name in ("manager", "nobody", "")}

    assert len(responses) == 1
    assert listed(send(keys, "GET", "?user=manager")) == []


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name=deploy", ["deploy"]),
        ("name=", [""]),
        ("name=Deploy", []),
        ("name=deploy%00", []),
        ("read_only=true", ["deploy"]),
        ("read_only=false", [""]),
        ("unused=true", [""]),
        ("unused=false", ["deploy"]),
        ("last_used_before=2026-01-31T12:00:00Z", []),
        ("last_used_before=2026-01-31T12:00:01Z", ["deploy"]),
        ("expires_before=2100-01-01T00:00:00-05:00", ["deploy"]),
        ("expires_before=2027-01-01T00:00:00Z", []),
        ("read_only=&unused=&expires_before=", ["", "deploy"]),
        ("user=ada&state=active&read_only=true&name=deploy", ["deploy"]),
        ("user=ada&state=active&read_only=true&name=", []),
        ("last_used_before=0001-01-01T00:00:00Z", []),
        ("last_used_before=9999-12-31T23:59:59.999999Z", ["deploy"]),
    ],
)
def test_filters(user, query, names):
    keys = generate_keys(user)
    expires_at = datetime(2099, 1, 1, tzinfo=timezone.utc)
    other = generate_keys(user, name="deploy", read_only=True, expires_at=expires_at)
    ApiKey.objects.filter(pk=other.instance.pk).update(last_used_at=NOW)

    found = send(keys, "GET", f"?{query}").json()["results"]

    assert sorted(key["name"] for key in found) == names


def test_filter_by_state(user):
    with time_machine.travel(NOW, tick=False):
        keys = generate_keys(user)
        later = generate_keys(user, name="later", expires_at=NOW + timedelta(days=2))
        soon = generate_keys(user, name="soon", expires_at=NOW + timedelta(days=1))
        revoked = generate_keys(user, name="revoked", expires_at=NOW + timedelta(seconds=1))
        revoke(revoked.instance)
        disabled = generate_keys(user, name="disabled")
        disable(disabled.instance)

    with time_machine.travel(NOW + timedelta(days=1), tick=False):
        by_state = {
            state: listed(send(keys, "GET", f"?state={state}"))
            for state in ("active", "disabled", "expired", "revoked")
        }

    assert by_state == {
        "active": [later.api_key, keys.api_key],
        "disabled": [disabled.api_key],
        "expired": [soon.api_key],
        "revoked": [revoked.api_key],
    }


METADATA = {
    "ops": {"team": "ops", "app-name.v2": "x"},
    "object": {"team": {"a": "b"}},
    "text like an object": {"team": '{"a": "b"}'},
    "true": {"team": True},
    "text true": {"team": "true"},
    "null": {"team": None},
    "text null": {"team": "null"},
    "1": {"team": 1},
    "text 1": {"team": "1"},
    "list": {"team": ["ops"]},
    "empty": {"team": ""},
    "quotes": {"team": "a\"b\\c'%s"},
    "umlaut": {"team": "Ä\U0001f511"},
    "none": {},
}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"team": "ops"}, ["ops"]),
        ({"team": "OPS"}, []),
        ({"team": "ops "}, []),
        ({"team": "op%"}, []),
        ({"team": "ops", "app-name.v2": "x"}, ["ops"]),
        ({"team": "ops", "app-name.v2": "y"}, []),
        ({"app-name": "x"}, []),
        ({"Team": "ops"}, []),
        ({"team": '{"a": "b"}'}, ["text like an object"]),
        ({"team": '{"a":"b"}'}, []),
        ({"team": '["ops"]'}, []),
        ({"team": '"ops"'}, []),
        ({"team": "true"}, ["text true"]),
        ({"team": "null"}, ["text null"]),
        ({"team": "1"}, ["text 1"]),
        ({"team": ""}, ["empty"]),
        ({"team": METADATA["quotes"]["team"]}, ["quotes"]),
        ({"team": "Ä\U0001f511"}, ["umlaut"]),
        ({"team": "ä\U0001f511"}, []),
        ({"a__b": "x", "team": "ops"}, []),
    ],
    ids=str,
)
def test_filter_by_metadata_takes_texts(user, query, names):
    for name, metadata in METADATA.items():
        generated = generate_keys(user, name=name, metadata=metadata)

    text = urlencode({f"metadata.{name}": value for name, value in query.items()})
    found = send(generated, "GET", f"?{text}").json()["results"]

    assert [key["name"] for key in found] == names


@pytest.mark.parametrize(
    "query",
    [
        *("metadata.=x", "metadata.1=x", "metadata.a%20b=x", "metadata.%00=x", "metadata.a=%00"),
        *("metadata.a'b=x", "&".join(f"metadata.a{number}=x" for number in range(500))),
    ],
    ids=lambda query: query[:20],
)
def test_unusable_metadata_says_how_to_filter(keys, query):
    assert_wrong(send(keys, "GET", f"?{query}"), "metadata", sentence="?metadata.team=ops")


FLAGS = ["x", "yes", "TRUE", "1", "%00", "%ED%A0%80"]
TIMES = [
    *("x", "true", "2026-01-31T12:00:00", "2026-13-31T12:00:00Z", "%00", "%ED%A0%80"),
    *("0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"),
]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("state", ["", "Active", "dead", "%00"]),
        *[(name, FLAGS) for name in ("read_only", "unused")],
        *[(name, TIMES) for name in ("last_used_before", "expires_before")],
    ],
)
def test_unusable_values_are_refused(keys, name, values):
    sentence = "active, disabled, expired, revoked" if name == "state" else ""

    for value in values:
        assert_wrong(send(keys, "GET", f"?{name}={value}"), name, sentence=sentence)


def test_filter_by_the_servers_time_without_time_zones(user, settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = "America/New_York"
    keys = generate_keys(user, expires_at=datetime(2100, 1, 1, 12))

    for time in ("2100-01-01T12:00:00", "2100-01-01T17:00:00Z"):
        assert listed(send(keys, "GET", f"?expires_before={time}")) == []
    for time in ("2100-01-01T12:00:01", "2100-01-01T17:00:01Z"):
        assert listed(send(keys, "GET", f"?expires_before={time}")) == [keys.api_key]
    assert send(keys, "GET", keys.api_key).json()["expires_at"] == "2100-01-01T12:00:00"


def test_one_key_is_shown_to_its_user_and_to_managers(manager, keys):
    for by, slash in ((manager, "/"), (keys, "")):
        response = send(by, "GET", keys.api_key + slash)
        assert response.status_code == 200
        assert set(response.json()) == FIELDS
        assert response.json()["api_key"] == keys.api_key
        assert_no_secret(response)

    revoke(keys.instance)
    assert send(manager, "GET", keys.api_key).json()["revoked_at"]


def test_key_may_contain_a_slash(user):
    keys = generate_keys(user)
    ApiKey.objects.create(user=user, name="imported", api_key="q+/9/a==")

    assert send(keys, "GET", "q+%2F9%2Fa==/").json()["name"] == "imported"


@pytest.mark.parametrize(
    ("method", "action", "body"),
    [
        ("GET", "/", None),
        ("PATCH", "/", {"name": "x"}),
        ("DELETE", "/", None),
        ("POST", "/rotate/", None),
        ("GET", "/usage/?days=0", None),
    ],
)
@time_machine.travel(NOW, tick=False)  # the header Expires has the time
def test_keys_of_other_users_look_like_unknown_ones(
    manager, keys, self_service, method, action, body
):
    send(keys, "GET")  # writes the time of its last use
    api_keys = [
        *(manager.api_key, "ftk_0000000000000000", keys.api_key.swapcase(), keys.api_key + "%20"),
        *("%00", "%ED%A0%80", "ü", "a%0Ab", "%0D%0A", "a%2Fb", "%E2%80%A8", "k" * 5000),
    ]

    with assert_unchanged():
        responses = [send(keys, method, api_key + action, body) for api_key in api_keys]

    for response in responses:
        assert_refused(response, 404, "no_key")
    assert len({response.content for response in responses}) == 1
    assert len({str(response.headers) for response in responses}) == 1
