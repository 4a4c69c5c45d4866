"""System checks: each has a hint, and finds what it should and nothing else."""

import re
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.core import checks
from django.core.checks import Tags
from django.db import connections
from django.urls import include, path
from django.utils import timezone
from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework import authentication as drf
from rest_framework.decorators import action
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet
from rest_framework_simplejwt.authentication import JWTAuthentication

from frappe_tokens import crypto
from frappe_tokens.authentication import (
    BasicAuthentication,
    BearerAuthentication,
    TokenAuthentication,
)
from frappe_tokens.checks import deployment
from frappe_tokens.conf import Settings
from frappe_tokens.middleware import RequestLogMiddleware
from frappe_tokens.models import ApiKey
from frappe_tokens.request_log import Sink
from frappe_tokens.verification import access_tokens

from .documentation import ROOT, blocks, page
from .sources.models import Robot

PEPPER = "long enough to be the key of an HMAC"
OURS = [TokenAuthentication, BasicAuthentication, BearerAuthentication]
SET_UP_WELL = {
    "SOURCES": {"Robot": "sources.Robot"},
    "PEPPERS": [PEPPER],
    "CACHE": "default",
    "NUM_PROXIES": 1,
    "REQUEST_LOG_RETENTION": timedelta(days=90),
}


@pytest.fixture(autouse=True)
def well_set_up(settings):
    """A project without any messages."""
    # Views read their default classes when they are imported.
    import_module(settings.ROOT_URLCONF)
    settings.REST_FRAMEWORK = {
        "DEFAULT_AUTHENTICATION_CLASSES": [
            "frappe_tokens.authentication.TokenAuthentication",
            "frappe_tokens.authentication.BasicAuthentication",
            "rest_framework.authentication.TokenAuthentication",
            "rest_framework.authentication.SessionAuthentication",
        ]
    }
    settings.CACHES = {"default": cache("redis.RedisCache")}
    settings.SECURE_SSL_REDIRECT = True
    settings.FRAPPE_TOKENS = SET_UP_WELL


def found(*, deploy=True, databases=None):
    """Our messages."""
    tags = ["frappe_tokens", *([Tags.database] if databases else [])]
    messages = checks.run_checks(tags=tags, include_deployment_checks=deploy, databases=databases)
    ours = [message for message in messages if str(message.id).startswith("frappe_tokens.")]
    assert all(message.hint for message in ours)
    return ours


def ids():
    return [str(message.id).removeprefix("frappe_tokens.") for message in found()]


def well(**options):
    return {"FRAPPE_TOKENS": {**SET_UP_WELL, **options}}


def default(*classes):
    paths = [f"{getattr(cls, 'path', cls.__module__)}.{cls.__name__}" for cls in classes]
    return {"REST_FRAMEWORK": {"DEFAULT_AUTHENTICATION_CLASSES": paths}}


def cache(backend):
    return {"BACKEND": f"django.core.cache.backends.{backend}", "LOCATION": "redis://127.0.0.1:1"}


def change(settings, changes):
    for name, value in changes.items():
        setattr(settings, name, value)


class TheirBasic(drf.BasicAuthentication): ...


class Hidden(drf.BaseAuthentication):
    def __init__(self):
        raise NotImplementedError


class ByQuery(drf.BaseAuthentication):
    """Its challenge depends on the request."""

    def authenticate_header(self, request):
        return f'Token realm="{request.query_params.get("realm", "api")}"'


class Session(drf.SessionAuthentication): ...


class OurToken(TokenAuthentication): ...


class OAuth2Authentication(drf.BaseAuthentication):
    """Looks like the toolkit's class."""

    __module__ = "oauth2_provider.contrib.rest_framework.authentication"
    path = __name__

    def authenticate_header(self, request):
        return 'Bearer realm="api"'


class OAuth2Child(OAuth2Authentication): ...


LOG = "frappe_tokens.middleware.RequestLogMiddleware"
OWN_LOG = f"{__name__}.OwnLogMiddleware"
COMMON = "django.middleware.common.CommonMiddleware"
SECURITY = "django.middleware.security.SecurityMiddleware"
OTHER = "tests.csp.content_security_policy"


class OwnLogMiddleware(RequestLogMiddleware): ...


class Shipper(Sink): ...


@dataclass
class NeedsArgument(Sink):
    address: str


def source(name, label):
    return well(SOURCES={"Meter": "sources.Meter", name: label})


def documented(name):
    """What the example with this name on the page about deployment defines."""
    (block,) = [
        block for block in blocks(page("how-to/run-on-many-machines"), "python") if name in block
    ]
    module = {}
    exec(block, module)  # noqa: S102 - our own documentation
    return module


SHARED = cache("redis.RedisCache")
LOCAL = cache("locmem.LocMemCache")
OTHER_CACHE = {"CACHES": {"default": SHARED, "k": LOCAL}}
TWO = ["redis://127.0.0.1:1", "redis://127.0.0.1:2"]
SENTINEL = documented("SENTINELS")["CACHES"]["default"]
CLIENT = {"CLIENT_CLASS": "django_redis.client.SentinelClient"}
REPLICATED = [
    {"CACHES": {"default": {**SHARED, "LOCATION": location}}}
    for location in (TWO, tuple(TWO), ",".join(TWO), ";".join(TWO))
]
REPLICATED += [{"CACHES": {"default": {**SENTINEL, "OPTIONS": SENTINEL["OPTIONS"] | CLIENT}}}]
IN_DATABASE = {"CACHES": {"default": cache("db.DatabaseCache")}}
FORWARDED = {"CACHE": "default", "CLIENT_ADDRESS_HEADER": "Forwarded"}
COUNTS_NOTHING = {"FAILURE_LIMIT": None, "NUM_PROXIES": 1}
WRONG_ORDER = [
    "frappe_tokens.middleware.TokenAuthenticationMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
BEHIND = [OTHER, SECURITY, COMMON]


@pytest.mark.parametrize(
    ("name", "changes", "texts"),
    [
        ("E001", {"FRAPPE_TOKENS": [("REALM", "api")]}, ["is of type list"]),
        ("E002", well(PEPPER=["canary"]), ["'PEPPER'", "Did you mean 'PEPPERS'?"]),
        ("E002", well(WHATEVER=1), ["'WHATEVER'", "The settings are: ALL_SCOPE, CACHE, "]),
        ("E003", well(REQUEST_LOG="durabel"), ["REQUEST_LOG"]),
        ("E004", source("Robot", "sources.Nobody"), ["'Robot'", "'sources.Nobody'"]),
        ("E004", source("Robot", "frappe_tokens.AbstractApiKey"), ["concrete"]),
        ("E004", source("Robot", Robot), []),
        ("E004", source("User", "auth.User"), ["'User'", "AbstractApiKey"]),
        ("E004", source(7, "sources.Robot"), ["[7]", "a string"]),
        ("E005", well(REQUEST_LOG="nowhere.Shipper"), ["No module named 'nowhere'"]),
        ("E005", well(REQUEST_LOG=f"{__name__}.NeedsArgument"), ["TypeError"]),
        ("E005", well(REQUEST_LOG="builtins.dict"), ["does not extend", "Sink"]),
        ("E006", {"MIDDLEWARE": [LOG, *WRONG_ORDER]}, [f"{WRONG_ORDER[1]} comes after"]),
        ("W001", default(drf.TokenAuthentication, OurToken), [f"Put {__name__}.OurToken"]),
        ("W001", default(TheirBasic, BasicAuthentication), ['"basic"', "TheirBasic comes before"]),
        ("W001", default(JWTAuthentication, BearerAuthentication), ['"bearer"']),
        ("W001", default(ByQuery, TokenAuthentication), ['"token"']),
        ("W001", default(KnoxAuthentication, TokenAuthentication), ['"token"']),
        ("W001", default(OAuth2Child, *OURS), ["is active", f"Remove {__name__}.OAuth2Child."]),
        ("W002", default(drf.SessionAuthentication, *OURS), ["DEFAULT_AUTH", "Session", "last"]),
        ("W002", default(OURS[0], Session, OURS[1]), [f"{__name__}.Session comes before"]),
        ("W003", {"CACHES": {"default": LOCAL}}, ["'default'", "If one process revokes a key"]),
        ("W003", {"CACHES": {"default": cache("dummy.DummyCache")}}, ["Redis"]),
        ("W003", {**OTHER_CACHE, **well(CACHE="k", FAILURE_LIMIT=None)}, ["'k'"]),
        ("W005", {"SECURE_SSL_REDIRECT": False}, ["SECURE_PROXY_SSL_HEADER", '_tokens.W005"']),
        ("W005", {"MIDDLEWARE": [LOG]}, ["SecurityMiddleware"]),
        ("W006", well(FAILURE_LIMIT=None), ["100/minute"]),
        ("W007", well(NUM_PROXIES=None), ["X-Forwarded-For", "in CLIENT_ADDRESS_HEADER"]),
        ("W008", IN_DATABASE, ["ATOMIC_REQUESTS", "Redis"]),
        ("W009", {"MIDDLEWARE": [SECURITY], **well(REQUEST_LOG="durable")}, [LOG]),
        ("W010", {"MIDDLEWARE": [*BEHIND, LOG]}, [f"{SECURITY}, {COMMON} before {LOG}"]),
        ("W010", {"MIDDLEWARE": [*BEHIND, OWN_LOG, COMMON]}, [f"{COMMON} before {OWN_LOG}"]),
        ("W013", well(REQUEST_LOG_RETENTION=None), ["kept forever", "prune_request_log"]),
        *(
            ("W019", each, ["'default'", "replicas", "run-on-many-machines.md"])
            for each in REPLICATED
        ),
        ("W015", {"FRAPPE_TOKENS": FORWARDED}, ["'Forwarded'", "not read", "Set NUM_PROXIES"]),
    ],
)
def test_finds_what_is_wrong(settings, name, changes, texts):
    change(settings, changes)

    (message,) = [message for message in found() if str(message.id).endswith(name)]

    levels = {"E": checks.ERROR, "W": checks.WARNING}
    assert message.level == levels[name[0]]
    text = f"{message.msg}\n{message.hint}"
    for expected in texts:
        assert expected in text
    assert "canary" not in text
    reported = any(str(it.id).endswith(name) for it in found(deploy=False))
    assert reported == (name not in {"W003", "W005", "W006", "W007", "W008", "W013", "W019"})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        well(REALM="api", FAILURE_LIMIT="5/hour", NUM_PROXIES=0),
        well(SOURCES={name: f"sources.{name}" for name in ("Robot", "drone", "Sensor", "Meter")}),
        *(well(REQUEST_LOG=sink) for sink in ("buffered", "null", f"{__name__}.Shipper")),
        {"FRAPPE_TOKENS": {"CACHE": "default"}, "REST_FRAMEWORK": {"NUM_PROXIES": 2}},
        {"FRAPPE_TOKENS": {**FORWARDED, "NUM_PROXIES": 0}},
        well(NUM_PROXIES=None, CLIENT_ADDRESS_HEADER="CF-Connecting-IP"),
        # Other orders of authentication classes
        default(drf.TokenAuthentication, BasicAuthentication),
        default(KnoxAuthentication, BearerAuthentication),
        default(Hidden, *OURS),
        default(Session, drf.BasicAuthentication),
        default(*OURS, OAuth2Child),
        # Other caches
        {"CACHES": {"default": cache("filebased.FileBasedCache")}},
        {"CACHES": {"default": LOCAL}, "FRAPPE_TOKENS": COUNTS_NOTHING},
        {**IN_DATABASE, "FRAPPE_TOKENS": COUNTS_NOTHING},
        {"CACHES": {**IN_DATABASE["CACHES"], "k": SHARED}, **well(CACHE="k")},
        {"CACHES": {"default": SENTINEL}},
        {"CACHES": {"default": {**cache("memcached.PyMemcacheCache"), "LOCATION": TWO}}},
        {"CACHES": {"default": {**SHARED, "LOCATION": TWO[:1]}}},
        {**REPLICATED[0], **well(CACHE=None)},
        # Other middleware
        {"MIDDLEWARE": [OTHER, LOG, SECURITY, COMMON]},
        {"MIDDLEWARE": [OWN_LOG, SECURITY], **well(REQUEST_LOG="durable")},
        {"MIDDLEWARE": [SECURITY], **well(REQUEST_LOG="null")},
        {"MIDDLEWARE": [SECURITY], **well()},
    ],
)
def test_finds_nothing_if_nothing_is_wrong(settings, changes):
    change(settings, changes)
    # These are about what some of these turn off, or leave out.
    assert set(ids()) <= {"W006", "W013"}


def test_settings_may_be_missing(settings):
    settings.FRAPPE_TOKENS = None
    assert found(deploy=False) == []
    del settings.FRAPPE_TOKENS, settings.REST_FRAMEWORK
    assert found(deploy=False) == []


def test_reports_every_invalid_setting_with_its_meaning(settings):
    names = sorted(name for name in dir(Settings) if name.isupper())
    settings.FRAPPE_TOKENS = dict.fromkeys(names, object())

    errors = found(deploy=False)

    assert {error.id for error in errors} == {"frappe_tokens.E003"}
    for name, error in zip(names, errors, strict=True):
        assert error.msg.startswith(f"FRAPPE_TOKENS['{name}'] must be of type ")
        assert getattr(Settings, name).__doc__ in error.hint


def test_reports_a_setting_that_cannot_be_read(settings):
    settings.FRAPPE_TOKENS = {}
    settings.REST_FRAMEWORK = "canary"
    (error,) = found(deploy=False)
    assert error.msg == "FRAPPE_TOKENS['NUM_PROXIES'] can't be read: AttributeError."


def test_no_w001_for_the_toolkits_class_without_the_toolkit(settings, monkeypatch):
    change(settings, default(OAuth2Authentication, *OURS))
    # Its tokens aren't ours, and it passes over our keys.
    monkeypatch.setattr(access_tokens, "_finder", None)
    assert ids() == []


def test_i001_without_a_server_of_oauth2(settings, monkeypatch):
    change(settings, default(BearerAuthentication, Session))
    assert ids() == []

    monkeypatch.delitem(apps.app_configs, "oauth2_provider")
    (info,) = found()
    assert info.level == checks.INFO
    assert "OAuth 2 access token gets 401" in info.msg
    assert "frappe-tokens[oauth]" in info.hint
    assert found(deploy=False) == []

    for classes in ([TokenAuthentication], [BearerAuthentication, JWTAuthentication], []):
        change(settings, default(*classes))
        assert ids() == []


@pytest.mark.parametrize(
    ("autocommit", "log", "expected"),
    [(False, "durable", ["W011"]), (False, "buffered", []), (True, "durable", [])],
)
def test_w011_for_a_durable_log_without_commits(settings, monkeypatch, autocommit, log, expected):
    change(settings, well(REQUEST_LOG=log))
    monkeypatch.setitem(connections.settings["default"], "AUTOCOMMIT", autocommit)
    assert ids() == expected
    settings.MIDDLEWARE = [SECURITY]
    assert "W011" not in ids()


# Views


def view(*classes):
    return type("View", (APIView,), {"authentication_classes": list(classes)}).as_view()


class Actions(ViewSet):
    authentication_classes = [TokenAuthentication]

    @action(detail=False, authentication_classes=[Session, TokenAuthentication])
    def other(self, request): ...


class Computed(APIView):
    @property
    def authentication_classes(self): ...


class Odd(APIView):
    authentication_classes = ["not a class", Session, BearerAuthentication]


def of_another_framework(request): ...


of_another_framework.cls = type("View", (), {"authentication_classes": [Session, *OURS[::-1]]})

router = SimpleRouter()
router.register("actions", Actions, basename="actions")

urlpatterns = [
    path("a/", view(Session, BasicAuthentication)),
    path("b/", view(Session, BasicAuthentication)),
    path("right/", view(BasicAuthentication, Session)),
    path("as-default/", view(Session, *OURS)),
    path("other/", of_another_framework),
    path("deep/", include([path("", include(router.urls)), path("computed/", Computed.as_view())])),
    path("odd/", Odd.as_view()),
]


def test_checks_each_order_of_classes_in_the_views_once(settings):
    change(settings, default(Session, *OURS))
    settings.ROOT_URLCONF = __name__
    assert [warning.msg.split(", ")[0] for warning in found()] == [
        "In REST_FRAMEWORK['DEFAULT_AUTHENTICATION_CLASSES']",
        f"In {__name__}.View.authentication_classes",
        f"In {__name__}.Actions.authentication_classes",
        f"In {__name__}.Odd.authentication_classes",
    ]


# Stored secrets


@pytest.fixture
def frappe_key(user, settings):
    """A key as Frappe generates them."""
    settings.FRAPPE_TOKENS = {}
    digest = crypto.make_digest("fedcba987654321")
    return ApiKey.objects.create(user=user, api_key="0123456789abcde", secret_digest=digest)


def about_secrets():
    messages = found(deploy=False, databases=["default"])
    return [message for message in messages if message.id == "frappe_tokens.W004"]


@pytest.mark.django_db
def test_w004_for_short_secrets_without_a_pepper(frappe_key, settings):
    (warning,) = about_secrets()
    assert "1 unrevoked API keys of frappe_tokens.ApiKey (database 'default')" in warning.msg
    assert "Set FRAPPE_TOKENS['PEPPERS']" in warning.hint
    assert frappe_key.api_key not in str(warning)
    assert found(deploy=False) == []

    digest = frappe_key.secret_digest
    Robot.objects.create(user=frappe_key.user, api_key="abcdef012345678", secret_digest=digest)
    # Meter is a proxy of Robot.
    sources = {"Robot": "sources.Robot", "Meter": "sources.Meter", "None": "sources.Nobody"}
    settings.FRAPPE_TOKENS = {"PEPPERS": [PEPPER], "SOURCES": sources}
    warnings = about_secrets()
    assert len(warnings) == 2
    assert "Rotate or revoke" in warnings[0].hint


@pytest.mark.django_db
@pytest.mark.parametrize(
    "changes",
    [
        {"api_key": "0123456789ABCDE"},
        {"api_key": "0123456789abcdef"},
        {"revoked_at": timezone.now(), "live": None},
        {"rotated_at": timezone.now() + timedelta(days=1)},
        {"secret_digest": "hmac-sha256$01234567$"},
    ],
)
def test_no_w004_for_long_or_peppered_secrets_and_revoked_keys(frappe_key, changes):
    ApiKey.objects.update(**changes)
    assert about_secrets() == []


@pytest.mark.django_db
def test_no_w004_if_the_keys_are_in_another_database(frappe_key, settings):
    router = type("Router", (), {"allow_migrate": lambda self, db, app_label, **hints: False})
    settings.DATABASE_ROUTERS = [router()]
    assert about_secrets() == []


# All checks


def test_ids_are_unique_and_documented():
    sources = "".join(file.read_text() for file in (ROOT / "frappe_tokens/checks").glob("*.py"))
    names = re.findall(r'id="(frappe_tokens\.[A-Z]\d{3})"', sources)
    table = page("reference/checks")
    assert len(names) == len(set(names)) > 0
    assert [name for name in names if f"| `{name}` |" not in table] == []


def test_checks_of_deployments_are_tagged_as_security(settings):
    settings.SECURE_SSL_REDIRECT = False
    messages = checks.run_checks(tags=[Tags.security], include_deployment_checks=True)
    assert "frappe_tokens.W005" in {message.id for message in messages}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FRAPPE_TOKENS", 7),
        ("FRAPPE_TOKENS", {"SOURCES": 7, "CACHE": 7, "NUM_PROXIES": "1", "PEPPERS": 7}),
        ("FRAPPE_TOKENS", {"CLIENT_ADDRESS_HEADER": 7}),
        ("FRAPPE_TOKENS", {"SOURCES": {None: None}}),
        ("REST_FRAMEWORK", None),
        ("REST_FRAMEWORK", {"DEFAULT_AUTHENTICATION_CLASSES": ["nowhere.Authentication"]}),
        ("REST_FRAMEWORK", {"DEFAULT_AUTHENTICATION_CLASSES": [7, Hidden]}),
        ("ROOT_URLCONF", "nowhere.urls"),
        ("CACHES", {}),
        ("CACHES", {"default": {"BACKEND": "nowhere.Cache"}}),
    ],
)
def test_checks_never_raise(settings, name, value):
    setattr(settings, name, value)
    assert isinstance(found(databases=["default"]), list)
    assert list(deployment.check_secrets(databases=["nowhere"])) == []
