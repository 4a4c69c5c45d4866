from collections import OrderedDict
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.utils.safestring import mark_safe

from frappe_tokens.conf import Settings, conf

PEPPER = "long enough to be the key of an HMAC"
# Each setting: its default, another value, and invalid ones.
SETTINGS = {
    "SOURCES": (
        {"User": "frappe_tokens.ApiKey"},
        {"User": "events.EventConsumer"},
        [["frappe_tokens.ApiKey"], None],
    ),
    "KEY_PREFIX": (
        "ftk_",
        "k",
        ["", "with:colon", "with space", "ümlaut", "newline\n", "x" * 21, None],
    ),
    "SECRET_PREFIX": ("fts_", "a-long.prefix_of_20c", ["", b"fts_"]),
    "PEPPERS": ((), (PEPPER,), [PEPPER, ["short"], [PEPPER, 7], [PEPPER.encode()]]),
    "DEFAULT_LIFETIME": (None, timedelta(days=90), [90, timedelta(0)]),
    "MAX_LIFETIME": (
        None,
        timedelta(seconds=1),
        [timedelta(days=-1), "90d", timedelta(days=36_501)],
    ),
    "MAX_KEYS_PER_USER": (None, 1, [0, -1, True, "3"]),
    "ROTATION_GRACE": (timedelta(0), timedelta(hours=1), [None, timedelta(seconds=-1), 60]),
    "REVOKE_ON_REPLAY": (False, True, [1, None]),
    "LAST_USED_INTERVAL": (timedelta(minutes=1), timedelta(0), [timedelta.max, 60]),
    "CACHE": (None, "default", ["nowhere", True]),
    "CACHE_TIMEOUT": (timedelta(minutes=1), timedelta(seconds=10), [60, timedelta(0)]),
    "PAGES_ACCEPT_CREDENTIALS": (False, True, ["admin"]),
    "SELF_SERVICE": (False, True, [1, None]),
    "NOTIFY_CHANGES": (False, True, [1, None]),
    "SITE_URL": (
        "",
        "https://example.com:8443",
        [None, "example.com", "https://example.com/", "https://", "ftp://example.com"],
    ),
    "FAILURE_LIMIT": ((100, 60), None, [100, "100", "100/year", "0/minute", "1000000000/minute"]),
    "NUM_PROXIES": (None, 2, ["1", True, -1]),
    "CLIENT_ADDRESS_HEADER": (
        "X-Forwarded-For",
        "CF-Connecting-IP",
        ["", "HTTP_X_REAL_IP", "X Real IP", "remote-addr", "X-Real-IP\n", "X-Réal-IP", None],
    ),
    "REQUEST_LOG": ("buffered", "shop.logs.Shipper", [None, "bufferd", ""]),
    "REQUEST_LOG_LIMIT": (60, 5, [-1, "60/minute"]),
    "REQUEST_LOG_RETENTION": (None, timedelta(days=90), [timedelta(0)]),
    "OPENAPI_OPERATIONS": (True, False, [None, "False"]),
    "SECRET_SCANNING_KEYS_URL": (
        None,
        "https://api.github.com/meta/public_keys/secret_scanning",
        ["", "http://example.com/keys", "https://", "file:///etc/passwd"],
    ),
    "OAUTH_DYNAMIC_REGISTRATION": (False, True, [None, "yes"]),
    "OAUTH_REGISTRATION_LIMIT": ((6, 3600), None, [6, "0/hour", "six"]),
    "OAUTH_REGISTRATION_SCOPES": ((), ("todos", "openid"), ["todos", [1], ["a b"]]),
    "OAUTH_ALLOWED_ORIGINS": (
        (),
        ("https://spa.example.com", "http://localhost:3000", "*"),
        ["*", [None], ["spa.example.com"], ["https://spa.example.com/"]],
    ),
    "ALL_SCOPE": ("", "all", [None, "two words"]),
    "REALM": (
        "api",
        "Example Ltd. (api)",
        [None, 'with "quotes"', "with \\", "with\r\nSet-Cookie: x=1", "ümlaut"],
    ),
}
DEFAULTS = {name: default for name, (default, _, _) in SETTINGS.items()}
OTHERS = {name: other for name, (_, other, _) in SETTINGS.items()}
INVALID = [(name, value) for name, (_, _, values) in SETTINGS.items() for value in values]


def test_each_setting_is_in_the_table():
    # The default of SCOPES is django-oauth-toolkit's: tests/test_declared_scopes.py.
    assert {*SETTINGS, "SCOPES"} == {name for name in dir(Settings) if name.isupper()}


@pytest.mark.parametrize("name", DEFAULTS)
def test_default_and_live_value(settings, name):
    settings.FRAPPE_TOKENS = {}
    assert getattr(conf, name) == DEFAULTS[name]
    with override_settings(FRAPPE_TOKENS={name: OTHERS[name]}):
        assert getattr(conf, name) == OTHERS[name]
    assert getattr(conf, name) == DEFAULTS[name]
    del settings.FRAPPE_TOKENS
    assert getattr(conf, name) == DEFAULTS[name]


@pytest.mark.parametrize("name", ["SOURCES", "PEPPERS", "LAST_USED_INTERVAL"])
def test_change_in_place_counts(settings, name):
    settings.FRAPPE_TOKENS = {"SOURCES": {}, "PEPPERS": []}
    assert getattr(conf, name) == DEFAULTS[name]
    settings.FRAPPE_TOKENS["SOURCES"]["User"] = "events.EventConsumer"
    settings.FRAPPE_TOKENS["PEPPERS"].append(PEPPER)
    settings.FRAPPE_TOKENS["LAST_USED_INTERVAL"] = timedelta(0)
    assert getattr(conf, name) == OTHERS[name]


def test_cache_that_was_removed_is_refused(settings):
    settings.FRAPPE_TOKENS = {"CACHE": "keys"}
    settings.CACHES = {**settings.CACHES, "keys": settings.CACHES["default"]}
    assert conf.CACHE == "keys"
    settings.CACHES = {"default": settings.CACHES["default"]}
    with pytest.raises(ImproperlyConfigured, match="isn't in CACHES"):
        _ = conf.CACHE


def test_value_may_be_of_a_subclass(settings):
    sources = OrderedDict(Sensor="sources.Sensor")
    settings.FRAPPE_TOKENS = {"SOURCES": sources, "REALM": mark_safe("intern")}

    assert conf.SOURCES["Sensor"] == "sources.Sensor"
    assert conf.REALM == "intern"


def test_settings_must_be_a_dictionary(settings):
    settings.FRAPPE_TOKENS = [("REALM", "api")]
    with pytest.raises(ImproperlyConfigured, match="must be a dictionary"):
        _ = conf.CACHE


@pytest.mark.parametrize(("name", "value"), INVALID)
def test_refuses_a_wrong_value_and_names_the_setting(settings, name, value):
    settings.FRAPPE_TOKENS = {name: value}
    with pytest.raises(ImproperlyConfigured, match=rf"FRAPPE_TOKENS\['{name}'\]"):
        getattr(conf, name)


def test_message_about_a_pepper_does_not_show_it(settings):
    settings.FRAPPE_TOKENS = {"PEPPERS": ["canary"]}
    with pytest.raises(ImproperlyConfigured) as raised:
        _ = conf.PEPPERS
    assert "canary" not in str(raised.value)


def test_user_stays_a_source_beside_others(settings):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Shop": "events.EventConsumer"}}

    assert conf.SOURCES == {"User": "frappe_tokens.ApiKey", "Shop": "events.EventConsumer"}


@pytest.mark.parametrize(
    ("ours", "drfs", "number"),
    [({}, 3, 3), ({"NUM_PROXIES": None}, 3, 3), ({"NUM_PROXIES": 0}, 3, 0)],
)
def test_number_of_proxies_is_that_of_drf_unless_ours_is_set(settings, ours, drfs, number):
    settings.FRAPPE_TOKENS = ours
    settings.REST_FRAMEWORK = {"NUM_PROXIES": drfs}
    assert number == conf.NUM_PROXIES

    del settings.REST_FRAMEWORK
    assert ours.get("NUM_PROXIES") == conf.NUM_PROXIES
