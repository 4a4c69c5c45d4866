from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from frappe_tokens.conf import conf

PEPPER = "long enough to be the key of an HMAC"
DEFAULTS = {
    "SOURCES": {"User": "frappe_tokens.ApiKey"},
    "KEY_PREFIX": "ftk_",
    "SECRET_PREFIX": "fts_",
    "PEPPERS": (),
    "DEFAULT_LIFETIME": None,
    "MAX_LIFETIME": None,
    "MAX_KEYS_PER_USER": None,
    "ROTATION_GRACE": timedelta(0),
    "REVOKE_ON_REPLAY": False,
    "LAST_USED_INTERVAL": timedelta(minutes=1),
    "CACHE": None,
    "CACHE_TIMEOUT": timedelta(minutes=1),
    "PAGES_ACCEPT_CREDENTIALS": False,
    "SELF_SERVICE": False,
    "NOTIFY_CHANGES": False,
    "SITE_URL": "",
    "FAILURE_LIMIT": (100, 60),
    "NUM_PROXIES": None,
    "CLIENT_ADDRESS_HEADER": "X-Forwarded-For",
    "REQUEST_LOG": "buffered",
    "REQUEST_LOG_LIMIT": 60,
    "REQUEST_LOG_RETENTION": None,
    "OPENAPI_OPERATIONS": True,
    "SECRET_SCANNING_KEYS_URL": None,
    "REALM": "api",
}
OTHERS = {
    "SOURCES": {"User": "events.EventConsumer"},
    "KEY_PREFIX": "k",
    "SECRET_PREFIX": "a-long.prefix_of_20c",
    "PEPPERS": (PEPPER,),
    "DEFAULT_LIFETIME": timedelta(days=90),
    "MAX_LIFETIME": timedelta(seconds=1),
    "MAX_KEYS_PER_USER": 1,
    "ROTATION_GRACE": timedelta(hours=1),
    "REVOKE_ON_REPLAY": True,
    "LAST_USED_INTERVAL": timedelta(0),
    "CACHE": "default",
    "CACHE_TIMEOUT": timedelta(seconds=10),
    "PAGES_ACCEPT_CREDENTIALS": True,
    "SELF_SERVICE": True,
    "NOTIFY_CHANGES": True,
    "SITE_URL": "https://example.com:8443",
    "FAILURE_LIMIT": None,
    "NUM_PROXIES": 2,
    "CLIENT_ADDRESS_HEADER": "CF-Connecting-IP",
    "REQUEST_LOG": "shop.logs.Shipper",
    "REQUEST_LOG_LIMIT": 5,
    "REQUEST_LOG_RETENTION": timedelta(days=90),
    "OPENAPI_OPERATIONS": False,
    "SECRET_SCANNING_KEYS_URL": "https://api.github.com/meta/public_keys/secret_scanning",
    "REALM": "Example Ltd. (api)",
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_default(settings, name):
    settings.FRAPPE_TOKENS = {}
    assert getattr(conf, name) == DEFAULTS[name]
    del settings.FRAPPE_TOKENS
    assert getattr(conf, name) == DEFAULTS[name]


@pytest.mark.parametrize("name", DEFAULTS)
def test_is_read_live(settings, name):
    settings.FRAPPE_TOKENS = {}
    assert getattr(conf, name) == DEFAULTS[name]
    with override_settings(FRAPPE_TOKENS={name: OTHERS[name]}):
        assert getattr(conf, name) == OTHERS[name]
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


def test_settings_must_be_a_dictionary(settings):
    settings.FRAPPE_TOKENS = [("REALM", "api")]
    with pytest.raises(ImproperlyConfigured, match="must be a dictionary"):
        _ = conf.CACHE


INVALID = {
    "SOURCES": [["frappe_tokens.ApiKey"], None],
    "KEY_PREFIX": ["", "with:colon", "with space", "ümlaut", "newline\n", "x" * 21, None],
    "SECRET_PREFIX": ["", b"fts_"],
    "PEPPERS": [PEPPER, ["short"], [PEPPER, 7], [PEPPER.encode()]],
    "DEFAULT_LIFETIME": [90, timedelta(0)],
    "MAX_LIFETIME": [timedelta(days=-1), "90d", timedelta(days=36_501)],
    "ROTATION_GRACE": [None, timedelta(seconds=-1), 60],
    "REVOKE_ON_REPLAY": [1, None],
    "LAST_USED_INTERVAL": [timedelta.max, 60],
    "CACHE": ["nowhere", True],
    "CACHE_TIMEOUT": [60, timedelta(0)],
    "SELF_SERVICE": [1, None],
    "NOTIFY_CHANGES": [1, None],
    "SITE_URL": [None, "example.com", "https://example.com/", "https://", "ftp://example.com"],
    "PAGES_ACCEPT_CREDENTIALS": ["admin"],
    "FAILURE_LIMIT": [100, "100", "100/year", "0/minute", "1000000000/minute"],
    "MAX_KEYS_PER_USER": [0, -1, True, "3"],
    "NUM_PROXIES": ["1", True, -1],
    "CLIENT_ADDRESS_HEADER": [
        "",
        "HTTP_X_REAL_IP",
        "X Real IP",
        "remote-addr",
        "X-Real-IP\n",
        "X-Réal-IP",
        None,
    ],
    "REQUEST_LOG": [None, "bufferd", ""],
    "REQUEST_LOG_LIMIT": [-1, "60/minute"],
    "REQUEST_LOG_RETENTION": [timedelta(0)],
    "OPENAPI_OPERATIONS": [None, "False"],
    "SECRET_SCANNING_KEYS_URL": ["", "http://example.com/keys", "https://", "file:///etc/passwd"],
    "REALM": [None, 'with "quotes"', "with \\", "with\r\nSet-Cookie: x=1", "ümlaut"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in INVALID.items() for value in values]
)
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
    settings.FRAPPE_TOKENS = {"SOURCES": {"Event Consumer": "events.EventConsumer"}}
    assert conf.SOURCES == {
        "User": "frappe_tokens.ApiKey",
        "Event Consumer": "events.EventConsumer",
    }


def test_number_of_proxies_is_that_of_drf_unless_ours_is_set(settings):
    settings.REST_FRAMEWORK = {"NUM_PROXIES": 3}
    assert conf.NUM_PROXIES == 3
    settings.FRAPPE_TOKENS = {"NUM_PROXIES": 1}
    assert conf.NUM_PROXIES == 1
    settings.FRAPPE_TOKENS = {"NUM_PROXIES": 0}
    assert conf.NUM_PROXIES == 0
    settings.FRAPPE_TOKENS = {"NUM_PROXIES": None}
    assert conf.NUM_PROXIES == 3
    del settings.REST_FRAMEWORK
    assert conf.NUM_PROXIES is None
