"""``GET keys/self/`` and ``POST keys/self/rotate/``."""

from datetime import timedelta

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.core.cache import caches
from django.test import Client
from django.urls import include, path
from rest_framework.response import Response
from rest_framework.views import APIView

from frappe_tokens.keys import (
    GeneratedKeys,
    change_key,
    disable,
    generate_keys,
    generate_keys_for_source,
    revoke,
)
from frappe_tokens.models import ApiKey
from frappe_tokens.throttling import ApiKeyRateThrottle
from tests.conftest import token_header
from tests.sources.models import Robot

from .conftest import (
    FIELDS,
    NOW,
    after_lookup,
    assert_no_secret,
    assert_refused,
    assert_unchanged,
    assert_wrong,
    send,
    works,
)

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
NARROW = {"read_only": True, "scopes": ["todos"], "allowed_ips": ["127.0.0.0/8"]}


@pytest.fixture
def ci(user):
    """A narrow key that may rotate itself."""
    with time_machine.travel(NOW, tick=False):
        return generate_keys(user, name="ci", self_rotate=True, expires_at=NOW + DAY, **NARROW)


def rotate(by, body=None, at=NOW, **options):
    with time_machine.travel(at, tick=False):
        return send(by, "POST", "self/rotate/", body, **options)


def stored(keys):
    return ApiKey.objects.get(pk=keys.instance.pk)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("policies", [{}, NARROW], ids=["unlimited", "narrow"])
def test_key_is_described_to_itself(user, policies, slash):
    keys = generate_keys(user, description="runs the tests", **policies)

    response = send(keys, "GET", f"self{slash}")

    assert response.status_code == 200
    assert_no_secret(response)
    body = response.json()
    assert set(body) == FIELDS | {"rate"}
    assert (body["api_key"], body["user"]) == (keys.api_key, "ada")
    assert body["description"] == "runs the tests"
    assert {name: body[name] for name in policies} == policies


def test_row_of_another_source_is_described_and_rotates_itself(user, settings):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Robot": "sources.Robot"}}
    row = Robot.objects.create(user=user, self_rotate=True, read_only=True, scopes=["todos"])
    keys = generate_keys_for_source(row)

    described = send(keys, "GET", "self/", HTTP_FRAPPE_AUTHORIZATION_SOURCE="Robot")
    rotated = send(keys, "POST", "self/rotate/", HTTP_FRAPPE_AUTHORIZATION_SOURCE="Robot")

    assert described.status_code == 200
    assert set(described.json()) == FIELDS - {"name", "description", "metadata"} | {"rate"}
    assert described.json()["scopes"] == ["todos"]
    assert rotated.status_code == 200, rotated.content
    assert rotated.json()["api_secret"] != keys.api_secret
    digest = row.secret_digest
    row.refresh_from_db()
    assert row.secret_digest != digest


@pytest.mark.parametrize("value", [{"team": "ops"}, DAY, ApiKey.objects, {1, 2}])
def test_attribute_of_another_source_with_the_name_of_ours_loses_no_secret(
    user, settings, monkeypatch, value
):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Robot": "sources.Robot"}}
    monkeypatch.setattr(Robot, "metadata", value, raising=False)
    keys = generate_keys_for_source(Robot.objects.create(user=user, self_rotate=True))

    rotated = send(keys, "POST", "self/rotate/", HTTP_FRAPPE_AUTHORIZATION_SOURCE="Robot")

    assert rotated.status_code == 200
    assert rotated.json()["metadata"] == (value if isinstance(value, dict) else str(value))
    assert rotated.json()["api_secret"] != keys.api_secret


def test_session_has_no_credential(browser):
    headers = {"x-csrftoken": browser.cookies["csrftoken"].value}

    responses = [
        browser.get("/api/keys/self/"),
        browser.post("/api/keys/self/rotate/", content_type="application/json", headers=headers),
    ]

    for response in responses:
        assert_refused(response, 404, "no_credential", "Send an API key.")
    assert Client().get("/api/keys/self/").status_code == 401


def test_key_with_this_name_is_reached_by_neither_call(user, root):
    ApiKey.objects.create(api_key="self", user=user)

    assert send(root, "GET", "self/").json()["api_key"] == root.api_key
    for method in ("PATCH", "DELETE"):
        assert_refused(send(root, method, "self/"), 405, "method_not_allowed")
    assert not ApiKey.objects.get(api_key="self").is_revoked


def test_key_that_was_just_deleted_is_not_found(keys):
    with after_lookup("JOIN", lambda: ApiKey.objects.all().delete()):
        response = send(keys, "GET", "self/")

    assert_refused(response, 404, "no_key")


class Throttled(APIView):
    """Counts requests that the tests send to it."""

    throttle_classes = [ApiKeyRateThrottle]
    permission_classes = []
    required_scopes = ["todos"]

    def get(self, request):
        return Response()


class Burst(ApiKeyRateThrottle):
    scope = "burst"


urlpatterns = [path("throttled", Throttled.as_view()), path("api/", include("frappe_tokens.urls"))]

counted = pytest.mark.urls(__name__)


@pytest.fixture
def clock(settings):
    memory = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": memory, "LOCATION": "own key"}}
    caches["default"].clear()
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


def use(keys, times=1):
    for _ in range(times):
        Client().get("/throttled", headers={"authorization": token_header(keys)})


def rate_of(keys):
    response = send(keys, "GET", "self/")
    assert response.status_code == 200
    return response.json()["rate"]


@counted
@pytest.mark.parametrize("policies", [{}, NARROW], ids=["unlimited", "narrow"])
def test_says_how_much_of_the_rate_is_left_and_uses_none_of_it(user, clock, policies):
    keys = generate_keys(user, rate_limit="3/minute", **policies)
    rate = {"limit": 3, "period": 60}
    assert [rate_of(keys) for _ in range(5)] == [{**rate, "remaining": 3, "reset": 0}] * 5

    use(keys)
    clock.shift(20)

    assert [rate_of(keys) for _ in range(5)] == [{**rate, "remaining": 2, "reset": 40}] * 5
    use(keys, 5)
    assert rate_of(keys) == {**rate, "remaining": 0, "reset": 40}
    clock.shift(40)
    assert rate_of(keys) == {**rate, "remaining": 3, "reset": 0}


@counted
def test_rate_is_the_default_or_none(keys, settings, clock):
    assert rate_of(keys) is None

    settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": {"api_key": "9/hour"}}

    assert rate_of(keys) == {"limit": 9, "period": 3600, "remaining": 9, "reset": 0}


@counted
def test_rate_is_the_closest_limit_of_the_default_throttles(keys, settings, clock):
    settings.REST_FRAMEWORK = {
        "DEFAULT_THROTTLE_RATES": {"api_key": "9/hour", "burst": "4/minute"},
        "DEFAULT_THROTTLE_CLASSES": [
            "rest_framework.throttling.UserRateThrottle",
            "frappe_tokens.throttling.ApiKeyRateThrottle",
            f"{__name__}.Burst",
        ],
    }
    use(keys, 6)

    assert rate_of(keys) == {"limit": 9, "period": 3600, "remaining": 3, "reset": 3600}


@counted
def test_rate_of_zero_never_has_a_request_left(user, clock):
    keys = generate_keys(user, rate_limit="0/minute")

    assert rate_of(keys) == {"limit": 0, "period": 60, "remaining": 0, "reset": None}


@counted
def test_without_the_cache_it_is_unknown_what_is_left(user, settings, caplog):
    settings.CACHES = {"default": {"BACKEND": "tests.caches.DeadCache"}}
    keys = generate_keys(user, rate_limit="3/minute")

    assert rate_of(keys) == {"limit": 3, "period": 60, "remaining": None, "reset": None}
    assert "No rates are limited." in caplog.text


@counted
def test_clock_that_was_set_back_starts_a_new_period(user, clock):
    keys = generate_keys(user, rate_limit="3/minute")
    use(keys)

    clock.shift(-DAY)

    assert rate_of(keys)["remaining"] == 3


def test_narrow_key_rotates_itself_and_keeps_its_policies(ci):
    response = rotate(ci, {"grace": 60}, NOW + DAY / 2)

    assert response.status_code == 200, response.content
    assert "no-store" in response["Cache-Control"]
    body, key = response.json(), stored(ci)
    assert set(body) == FIELDS | {"api_secret"}
    assert key.policies == ci.instance.policies
    assert key.rotated_at == NOW + DAY / 2
    assert key.previous_expires_at == NOW + DAY / 2 + timedelta(seconds=60)
    with time_machine.travel(NOW + DAY / 2 + timedelta(seconds=60), tick=False):
        assert works(ci.api_key, body["api_secret"])
        assert not works(ci.api_key, ci.api_secret)
    entry = LogEntry.objects.get(content_type__model="apikey")
    assert (entry.user, entry.change_message) == (
        key.user,
        f"Rotated the secret of API key {key.api_key}.",
    )


@pytest.mark.parametrize(("setting", "days"), [(0, 1), (2, 2)])
def test_old_secret_does_not_stay_for_long(ci, settings, setting, days):
    settings.FRAPPE_TOKENS = {"ROTATION_GRACE": timedelta(days=setting)}
    longest = days * 86_400

    with assert_unchanged():
        refused = rotate(ci, {"grace": longest + 1})
    assert_refused(refused, 400, "grace", f"a grace period of at most {days * 24} hours.")
    assert rotate(ci, {"grace": longest}).status_code == 200


def test_key_needs_the_right(keys, ci):
    change_key(ci.instance, self_rotate=False)

    with assert_unchanged():
        for each in (keys, ci):
            response = rotate(each)
            assert_refused(response, 403, "permission_denied", "may not rotate itself")


def test_right_opens_no_other_call(ci, user):
    own = {"POST": f"{ci.api_key}/rotate/", "PATCH": ci.api_key, "DELETE": "self/"}
    with assert_unchanged(), time_machine.travel(NOW, tick=False):
        for method, path in own.items():
            assert_refused(send(ci, method, path), 403, "key_read_only")


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (revoke, "key_revoked"),
        (disable, "key_disabled"),
        (lambda key: ApiKey.objects.filter(pk=key.pk).update(expires_at=NOW), "key_expired"),
        (lambda key: type(key.user).objects.update(is_active=False), "user_inactive"),
    ],
    ids=["revoked", "disabled", "expired", "inactive"],
)
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_key_that_has_ended_may_not(ci, end, code, when):
    if when == "before":
        end(ci.instance)
        assert_refused(rotate(ci, {"expires_in": 60}), 401, code)
    else:
        with after_lookup("JOIN", lambda: end(stored(ci))):
            response = rotate(ci, {"expires_in": 60})
        assert_refused(response, 409 if code == "key_revoked" else 400, code)
    assert stored(ci).secret_digest == ci.instance.secret_digest


def test_secret_must_be_the_current_one(ci):
    new = rotate(ci, {"grace": 3600}).json()["api_secret"]

    with assert_unchanged():
        assert_refused(rotate(ci), 403, "permission_denied", "was replaced")
    current = GeneratedKeys(ci.api_key, new, ci.instance)
    with after_lookup("JOIN", lambda: generate_keys(ci.instance.user, name="ci")):
        assert_refused(rotate(current), 403, "permission_denied", "was replaced")


@pytest.mark.parametrize(
    ("body", "expires_at"),
    [
        ({}, NOW + DAY),
        ({"expires_in": 86400}, NOW + 1.5 * DAY),
        # Computed a moment before, or by another clock.
        ({"expires_in": 86430}, NOW + 1.5 * DAY),
        ({"expires_in": 86460}, NOW + 1.5 * DAY),
        ({"expires_at": (NOW + 1.5 * DAY).isoformat()}, NOW + 1.5 * DAY),
        ({"expires_in": 60.5}, NOW + DAY / 2 + timedelta(seconds=60.5)),
    ],
    ids=str,
)
def test_expiry_moves_by_at_most_the_lifetime(ci, body, expires_at):
    response = rotate(ci, body, NOW + DAY / 2)

    assert response.status_code == 200, response.content
    assert stored(ci).expires_at == expires_at


def test_later_expiry_does_not_extend_the_replaced_secret(ci):
    rotate(ci, {"expires_in": 86400, "grace": 86400}, NOW + DAY / 2)

    assert stored(ci).expires_at == NOW + 1.5 * DAY
    assert stored(ci).previous_expires_at == NOW + DAY


@pytest.mark.parametrize("first", [{}, {"expires_in": 60}, {"expires_in": 86400}], ids=str)
def test_repeated_rotations_dont_change_the_lifetime(ci, first):
    at = NOW + DAY / 2
    new = rotate(ci, first, at).json()["api_secret"]
    current = GeneratedKeys(ci.api_key, new, ci.instance)

    with assert_unchanged():
        assert_refused(
            rotate(current, {"expires_in": 86461}, at),
            400,
            "expiry",
            "The key must expire by Feb. 2, 2026, midnight.",
        )
    assert rotate(current, {"expires_in": 86400}, at).status_code == 200
    assert (stored(ci).expires_at, stored(ci).lifetime) == (at + DAY, DAY)


@pytest.mark.parametrize("by_rest", [False, True])
def test_expiry_that_a_person_shortened_moves_by_no_more(ci, root, by_rest):
    with time_machine.travel(NOW + DAY / 4, tick=False):
        ends = NOW + DAY / 2
        if by_rest:
            send(root, "PATCH", ci.api_key, {"expires_at": ends.isoformat()})
        else:
            change_key(ci.instance, expires_at=ends)
    later = NOW + DAY / 3

    with assert_unchanged():
        assert_refused(rotate(ci, {"expires_in": 86400}, later), 400, "expiry", "must expire by")
        assert_refused(rotate(ci, {"expires_in": 21661}, later), 400, "expiry", "must expire by")
    assert rotate(ci, {"expires_in": 21600}, later).status_code == 200
    assert stored(ci).expires_at == later + DAY / 4


def test_same_expiry_is_no_other_lifetime(ci, root):
    with time_machine.travel(NOW + DAY / 2, tick=False):
        body = {"expires_at": (NOW + DAY).isoformat(), "name": "renamed"}
        assert send(root, "PATCH", ci.api_key, body).status_code == 200

    assert stored(ci).lifetime == DAY


def test_expiry_that_other_code_wrote_is_the_latest(user):
    keys = generate_keys(user, self_rotate=True)
    ApiKey.objects.update(expires_at=NOW + DAY)

    with assert_unchanged():
        assert_refused(rotate(keys, {"expires_in": 86461}), 400, "expiry", "must expire by")
    assert rotate(keys, {"expires_in": 86400}, NOW).status_code == 200
    assert stored(keys).lifetime == DAY


def test_lifetime_is_bounded_by_the_setting(ci, settings):
    settings.FRAPPE_TOKENS = {"MAX_LIFETIME": DAY / 2}

    assert rotate(ci).status_code == 200

    assert (stored(ci).expires_at, stored(ci).lifetime) == (NOW + DAY / 2, DAY / 2)


def test_later_expiry_is_refused(ci, settings):
    with assert_unchanged():
        assert_refused(rotate(ci, {"expires_in": 86461}), 400, "expiry", "must expire by")
        settings.FRAPPE_TOKENS = {"MAX_LIFETIME": DAY / 2}
        assert_wrong(rotate(ci, {"expires_in": 86400}), "expires_in", sentence="must expire by")


@pytest.mark.parametrize("longest", [None, DAY])
def test_key_without_an_expiry_does_not_choose_one(user, settings, longest):
    keys = generate_keys(user, self_rotate=True)
    settings.FRAPPE_TOKENS = {"MAX_LIFETIME": longest}

    with assert_unchanged():
        response = rotate(keys, {"expires_in": 60})

    assert_refused(response, 400, "expiry", "Leave out expires_at")


def test_key_without_an_expiry_keeps_none(user):
    keys = generate_keys(user, self_rotate=True)

    assert rotate(keys).json()["expires_at"] is None


def test_header_decides_before_the_middleware_too(ci, settings):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "frappe_tokens.middleware.TokenAuthenticationMiddleware",
    ]

    assert rotate(ci).status_code == 200
    assert_refused(rotate(ci), 401, "invalid_credentials")
