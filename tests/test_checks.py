"""System checks: each fires where it should, says what to do, and keeps quiet where all is well."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from django.apps import apps
from django.core import checks
from django.core.checks import Tags
from django.core.management import call_command
from django.db import connections
from django.urls import include, path
from django.utils.module_loading import import_string
from knox.auth import TokenAuthentication as KnoxAuthentication
from knox.settings import knox_settings
from rest_framework import authentication as drf
from rest_framework.decorators import action
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet
from rest_framework_simplejwt.authentication import JWTAuthentication

from frappe_tokens import checks as our_checks
from frappe_tokens import crypto
from frappe_tokens.authentication import (
    BasicAuthentication,
    BearerAuthentication,
    TokenAuthentication,
)
from frappe_tokens.checks import middleware_order, stored_secrets
from frappe_tokens.conf import Settings
from frappe_tokens.keys import generate_keys
from frappe_tokens.middleware import RequestLogMiddleware
from frappe_tokens.models import ApiKey
from frappe_tokens.request_log import Sink
from frappe_tokens.verification import access_tokens

from .sources.models import Robot

ROOT = Path(__file__).resolve().parent.parent
PEPPER = "long enough to be the key of an HMAC"
OURS = [TokenAuthentication, BasicAuthentication, BearerAuthentication]


def found(ids="", *, deploy=False, databases=None):
    """Our messages whose id ends with ``ids``; each of them has a hint."""
    tags = ["frappe_tokens", *([Tags.database] if databases else [])]
    messages = [
        message
        for message in checks.run_checks(
            tags=tags, include_deployment_checks=deploy, databases=databases
        )
        if str(message.id).startswith("frappe_tokens.")
    ]
    assert all(message.hint for message in messages)
    return [message for message in messages if str(message.id).endswith(ids)]


def deployed(ids):
    return found(ids, deploy=True)


@pytest.fixture
def well_set_up(settings):
    """Settings that nothing is to be said about."""
    settings.REST_FRAMEWORK = {
        "DEFAULT_AUTHENTICATION_CLASSES": [
            "frappe_tokens.authentication.TokenAuthentication",
            "frappe_tokens.authentication.BasicAuthentication",
            "rest_framework.authentication.TokenAuthentication",
            "rest_framework.authentication.SessionAuthentication",
        ]
    }
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1",  # nobody asks it
        }
    }
    settings.SECURE_SSL_REDIRECT = True
    settings.FRAPPE_TOKENS = {
        "SOURCES": {"Robot": "sources.Robot"},
        "PEPPERS": [PEPPER],
        "CACHE": "default",
        "NUM_PROXIES": 1,
    }
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    return settings


@pytest.mark.django_db
def test_nothing_is_said_about_a_project_that_is_well_set_up(well_set_up, user):
    generate_keys(user)
    assert found(deploy=True, databases=["default"]) == []


def test_ids_are_unique():
    sources = "".join(file.read_text() for file in (ROOT / "frappe_tokens/checks").glob("*.py"))
    ids = re.findall(r'id="frappe_tokens\.([A-Z]\d{3})"', sources)
    assert sorted(ids) == [
        "E001",
        "E002",
        "E003",
        "E004",
        "E005",
        "E006",
        "I001",
        *(f"W{n:03}" for n in range(1, 12)),
    ]


def test_registering_again_changes_nothing():
    before = checks.registry.registry.get_checks(include_deployment_checks=True)
    our_checks.register()
    after = checks.registry.registry.get_checks(include_deployment_checks=True)
    assert len(after) == len(before)


def test_those_about_deployment_are_among_djangos_about_security(settings):
    settings.SECURE_SSL_REDIRECT = False
    messages = checks.run_checks(tags=[Tags.security], include_deployment_checks=True)
    assert "frappe_tokens.W005" in {message.id for message in messages}
    messages = checks.run_checks(tags=[Tags.security])
    assert "frappe_tokens.W005" not in {message.id for message in messages}


def test_each_is_in_the_documentation():
    sources = "".join(file.read_text() for file in (ROOT / "frappe_tokens/checks").glob("*.py"))
    table = (ROOT / "docs/deployment.md").read_text()
    for name in re.findall(r'id="(frappe_tokens\.[A-Z]\d{3})"', sources):
        assert f"| `{name}` |" in table


# The settings


@pytest.mark.parametrize("value", [7, "REALM", [("REALM", "api")], True])
def test_e001_settings_that_are_no_dictionary(settings, value):
    settings.FRAPPE_TOKENS = value
    (error,) = found("E001")
    assert error.level == checks.ERROR
    assert type(value).__name__ in error.msg
    assert found("E003") == []


@pytest.mark.parametrize("value", [None, {}, {"REALM": "api"}])
def test_none_where_they_are_a_dictionary_or_missing(settings, value):
    settings.FRAPPE_TOKENS = value
    assert found("E001") == found("E002") == found("E003") == found("E004") == []
    del settings.FRAPPE_TOKENS
    assert found("E001") == found("E002") == found("E003") == found("E004") == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("PEPPER", "Did you mean 'PEPPERS'?"),
        ("max_lifetime", "Did you mean 'MAX_LIFETIME'?"),
        ("FAILURES_LIMIT", "Did you mean 'FAILURE_LIMIT'?"),
        ("WHATEVER", "The settings are: CACHE, "),
        (7, "The settings are: CACHE, "),
    ],
)
def test_e002_an_unknown_setting(settings, name, hint):
    settings.FRAPPE_TOKENS = {name: ["canary"], "REALM": "api"}
    (error,) = found("E002")
    assert error.level == checks.ERROR
    assert repr(name) in error.msg
    assert error.hint.startswith(hint)
    assert "canary" not in str(error)


@pytest.mark.parametrize("name", sorted(n for n in vars(Settings) if n.isupper()))
def test_e003_a_setting_of_the_wrong_type(settings, name):
    settings.FRAPPE_TOKENS = {name: object()}
    (error,) = found("E003")
    assert error.level == checks.ERROR
    assert error.msg.startswith(f"FRAPPE_TOKENS['{name}'] must be of type ")
    assert str(getattr(Settings, name).__doc__) in error.hint


def test_e003_says_all_that_is_wrong_at_once(settings):
    settings.FRAPPE_TOKENS = {
        "PEPPERS": ["canary"],
        "FAILURE_LIMIT": "often",
        "ROTATION_GRACE": timedelta(-1),
    }
    errors = found("E003")
    assert [error.msg.split("'")[1] for error in errors] == [
        "FAILURE_LIMIT",
        "PEPPERS",
        "ROTATION_GRACE",
    ]
    assert not any("canary" in str(error) for error in errors)


def test_e003_for_what_cannot_be_read_at_all(settings):
    settings.REST_FRAMEWORK = "canary"
    (error,) = found("E003")
    assert error.msg == "FRAPPE_TOKENS['NUM_PROXIES'] can't be read: AttributeError."


@pytest.mark.parametrize(
    ("name", "label", "problem"),
    [
        ("Robot", "sources.Nobody", "is not a model"),
        ("Robot", "nowhere.Robot", "is not a model"),
        ("Robot", "frappe_tokens.AbstractApiKey", "is not a model"),
        ("Robot", "auth.Group", "does not extend AbstractApiKey"),
        ("Robot", "Robot", "app_label.ModelName"),
        ("Robot", "tests.sources.models.Robot", "app_label.ModelName"),
        ("Robot", "", "app_label.ModelName"),
        ("Robot", Robot, "app_label.ModelName"),
        ("Robot", None, "app_label.ModelName"),
        (7, "sources.Robot", "is not named by a string"),
        ("User", "auth.User", "does not extend AbstractApiKey"),
    ],
)
def test_e004_a_source_that_is_none(settings, name, label, problem):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Meter": "sources.Meter", name: label}}
    (error,) = found("E004")
    assert error.level == checks.ERROR
    assert error.msg.startswith(f"FRAPPE_TOKENS['SOURCES'][{name!r}] ")
    assert problem in error.msg


def test_no_e004_where_the_sources_are_models_of_keys(settings):
    labels = ("sources.Robot", "sources.drone", "sources.Sensor", "sources.Meter")
    settings.FRAPPE_TOKENS = {"SOURCES": {label: label for label in labels}}
    assert found("E004") == []


# The order of authentication classes


class TheirBasic(drf.BasicAuthentication):
    pass


class Hidden(drf.BaseAuthentication):
    """One that cannot be made outside its own project."""

    def __init__(self):
        raise NotImplementedError


class Session(drf.SessionAuthentication):
    pass


class OurToken(TokenAuthentication):
    pass


OAuth2 = type(
    "OAuth2Authentication",
    (drf.BaseAuthentication,),
    {
        "__module__": "oauth2_provider.contrib.rest_framework.authentication",
        "authenticate_header": lambda self, request: 'Bearer realm="api"',
    },
)
OAuth2Child = type("OAuth2Child", (OAuth2,), {"__module__": __name__})


def view(*classes):
    return type("View", (APIView,), {"authentication_classes": list(classes)}).as_view()


def by_default(settings, *classes):
    paths = [
        f"{__name__}.OAuth2" if cls is OAuth2 else f"{cls.__module__}.{cls.__name__}"
        for cls in classes
    ]
    settings.REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": paths}


RIVALS = [
    (drf.TokenAuthentication, TokenAuthentication, "token"),
    (drf.TokenAuthentication, OurToken, "token"),
    (drf.BasicAuthentication, BasicAuthentication, "basic"),
    (TheirBasic, BasicAuthentication, "basic"),
    (JWTAuthentication, BearerAuthentication, "bearer"),
    (KnoxAuthentication, TokenAuthentication, "token"),
]


@pytest.mark.parametrize(("rival", "ours", "scheme"), RIVALS)
def test_w001_another_packages_class_of_the_same_scheme_before_ours(settings, rival, ours, scheme):
    by_default(settings, rival, ours)
    (warning,) = found("W001")
    assert warning.level == checks.WARNING
    assert "DEFAULT_AUTHENTICATION_CLASSES" in warning.msg
    assert f"{rival.__module__}.{rival.__name__} comes before" in warning.msg
    assert f'"{scheme}"' in warning.msg
    assert f"{ours.__module__}.{ours.__name__} first" in warning.hint


@pytest.mark.parametrize(("rival", "ours", "scheme"), RIVALS)
def test_no_w001_behind_ours_or_of_another_scheme(settings, rival, ours, scheme):
    by_default(settings, ours, rival)
    assert found("W001") == []
    by_default(settings, rival, *(cls for cls in OURS if cls.scheme != scheme))
    assert found("W001") == []


def test_w001_by_the_prefix_that_knox_is_given(settings, monkeypatch):
    by_default(settings, KnoxAuthentication, BearerAuthentication)
    assert found("W001") == []
    monkeypatch.setattr(knox_settings, "AUTH_HEADER_PREFIX", "Bearer")
    assert len(found("W001")) == 1


def test_no_w001_for_classes_that_pass_over_our_credentials_or_cannot_be_asked(
    settings,
):
    for cls in (Hidden, drf.RemoteUserAuthentication):
        by_default(settings, cls, *OURS)
        assert found("W001") == []


@pytest.mark.parametrize("cls", [OAuth2, OAuth2Child])
def test_w001_the_toolkits_class_before_ours_where_the_tokens_are_the_same(
    settings, cls, monkeypatch
):
    by_default(settings, cls, *OURS)
    (warning,) = found("W001")
    assert f"{cls.__name__} comes before" in warning.msg
    assert "whether their user is active" in warning.msg
    assert warning.hint is not None
    assert warning.hint.startswith(f"Remove {cls.__module__}.{cls.__name__}.")
    by_default(settings, *OURS, cls)
    assert found("W001") == []
    # Without the toolkit installed, nobody's tokens are ours, and it passes over our keys.
    by_default(settings, cls, *OURS)
    monkeypatch.setattr(access_tokens, "_finder", None)
    assert found("W001") == []


@pytest.mark.parametrize("session", [drf.SessionAuthentication, Session])
def test_w002_the_session_before_ours(settings, session):
    for place in range(3):
        by_default(settings, *OURS[:place], session, *OURS[place:])
        (warning,) = found("W002")
        assert warning.level == checks.WARNING
        assert f"{session.__module__}.{session.__name__} comes before" in warning.msg
        assert "last" in warning.hint


def test_no_w002_where_the_session_comes_last_or_without_ours(settings):
    by_default(settings, *OURS, Session)
    assert found("W002") == []
    by_default(settings, Session, drf.BasicAuthentication)
    assert found("W002") == []


class Actions(ViewSet):
    authentication_classes = [TokenAuthentication]

    @action(detail=False, authentication_classes=[Session, TokenAuthentication])
    def other(self, request): ...


class Computed(APIView):
    @property
    def authentication_classes(self): ...


class Odd(APIView):
    authentication_classes = ["not a class", Session, BearerAuthentication]


def plain(request): ...


def of_another_framework(request): ...


of_another_framework.cls = type("View", (), {"authentication_classes": [Session, *OURS]})

router = SimpleRouter()
router.register("actions", Actions, basename="actions")
wrong_view = view(Session, BasicAuthentication)

urlpatterns = [
    path("a/", wrong_view),
    path("b/", wrong_view),
    path("c/", view(Session, BasicAuthentication)),
    path("right/", view(BasicAuthentication, Session)),
    path("as-default/", view(Session, *OURS)),
    path("plain/", plain),
    path("other/", of_another_framework),
    path(
        "deep/",
        include(
            [
                path("", include(router.urls)),
                path("computed/", Computed.as_view()),
                path("odd/", Odd.as_view()),
            ]
        ),
    ),
]


def test_w002_in_the_views_of_the_urlconf_once_for_each_order(settings):
    by_default(settings, Session, *OURS)
    settings.ROOT_URLCONF = __name__
    places = [warning.msg.split(", ")[0] for warning in found("W002")]
    assert places == [
        "In REST_FRAMEWORK['DEFAULT_AUTHENTICATION_CLASSES']",
        f"In {__name__}.View.authentication_classes",
        f"In {__name__}.Actions.authentication_classes",
        f"In {__name__}.Odd.authentication_classes",
    ]


def test_w001_in_the_views_of_the_urlconf_names_one_and_counts_the_others(settings, monkeypatch):
    classes = [drf.BasicAuthentication, BasicAuthentication]
    monkeypatch.setattr(Computed, "authentication_classes", tuple(classes))
    monkeypatch.setattr(Odd, "authentication_classes", classes)
    del settings.REST_FRAMEWORK
    settings.ROOT_URLCONF = __name__
    (warning,) = found("W001")
    assert (
        f"In {__name__}.Computed.authentication_classes and 1 more, rest_framework." in warning.msg
    )


def test_no_w002_without_a_urlconf_or_with_one_that_is_broken(settings):
    settings.ROOT_URLCONF = "nowhere.urls"
    assert found("W002") == []
    del settings.ROOT_URLCONF
    assert found("W002") == []


# OAuth 2


def test_i001_says_why_an_opaque_bearer_token_is_refused(settings, monkeypatch):
    by_default(settings, BearerAuthentication, Session)
    assert apps.is_installed("oauth2_provider")
    assert deployed("I001") == []
    monkeypatch.delitem(apps.app_configs, "oauth2_provider")
    (info,) = deployed("I001")
    assert info.level == checks.INFO
    assert "OAuth 2 access token gets 401" in info.msg
    assert "frappe-tokens[oauth]" in info.hint
    # Most projects want no OAuth 2, and are not to read this at every runserver.
    assert found("I001") == []


@pytest.mark.parametrize(
    "classes", [[TokenAuthentication], [BearerAuthentication, JWTAuthentication], []]
)
def test_no_i001_where_nobody_or_somebody_else_answers_opaque_tokens(
    settings, classes, monkeypatch
):
    monkeypatch.delitem(apps.app_configs, "oauth2_provider")
    by_default(settings, *classes)
    assert deployed("I001") == []


# Deployments


CACHES = {
    name: {"BACKEND": f"django.core.cache.backends.{name}", "LOCATION": "/nowhere"}
    for name in (
        "locmem.LocMemCache",
        "dummy.DummyCache",
        "redis.RedisCache",
        "memcached.PyMemcacheCache",
        "filebased.FileBasedCache",
        "db.DatabaseCache",
    )
}


@pytest.mark.parametrize("name", ["locmem.LocMemCache", "dummy.DummyCache"])
def test_w003_a_cache_that_processes_do_not_share(settings, name):
    settings.CACHES = {"default": CACHES[name]}
    (warning,) = deployed("W003")
    assert warning.level == checks.WARNING
    assert "'default'" in warning.msg
    assert "CACHE_TIMEOUT" not in warning.msg
    assert "Redis" in warning.hint
    assert found("W003") == []  # while developing there is one process

    settings.CACHES = {"default": CACHES["redis.RedisCache"], "keys": CACHES[name]}
    assert deployed("W003") == []
    settings.FRAPPE_TOKENS = {"CACHE": "keys", "FAILURE_LIMIT": None}
    (warning,) = deployed("W003")
    assert "'keys'" in warning.msg
    assert "If one process revokes a key, it keeps working in the others" in warning.msg


@pytest.mark.parametrize(
    "name", ["redis.RedisCache", "filebased.FileBasedCache", "db.DatabaseCache"]
)
def test_no_w003_with_a_cache_that_they_share(settings, name):
    settings.CACHES = {"default": CACHES[name]}
    assert deployed("W003") == []


def test_no_w003_where_nothing_is_shared_or_the_cache_cannot_be_made(settings):
    settings.CACHES = {"default": CACHES["locmem.LocMemCache"]}
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": None}
    assert deployed("W003") == []
    settings.FRAPPE_TOKENS = {}
    settings.CACHES = {"default": {"BACKEND": "nowhere.Cache"}}
    assert deployed("W003") == []


def test_w008_failures_counted_in_the_database(settings):
    settings.CACHES = {"default": CACHES["db.DatabaseCache"], "other": CACHES["redis.RedisCache"]}
    (warning,) = deployed("W008")
    assert "ATOMIC_REQUESTS" in warning.msg
    assert "Redis" in warning.hint
    assert found("W008") == []
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": None}
    assert deployed("W008") == []
    settings.FRAPPE_TOKENS = {"CACHE": "other"}
    assert deployed("W008") == []
    settings.FRAPPE_TOKENS = {}
    settings.CACHES = {"default": {"BACKEND": "nowhere.Cache"}}
    assert deployed("W008") == []


def test_w005_plain_http(settings):
    settings.SECURE_SSL_REDIRECT = False
    (warning,) = deployed("W005")
    assert warning.level == checks.WARNING
    assert "SECURE_PROXY_SSL_HEADER" in warning.hint
    assert '"frappe_tokens.W005"' in warning.hint
    assert found("W005") == []
    settings.SECURE_SSL_REDIRECT = True
    assert deployed("W005") == []
    settings.MIDDLEWARE = []
    assert len(deployed("W005")) == 1


def test_w006_failures_without_limit(settings):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": None}
    (warning,) = deployed("W006")
    assert warning.level == checks.WARNING
    assert "100/minute" in warning.hint
    assert found("W006") == []
    for value in ({}, {"FAILURE_LIMIT": "5/hour"}, {"FAILURE_LIMIT": "often"}):
        settings.FRAPPE_TOKENS = value
        assert deployed("W006") == []


def test_w007_proxies_that_nobody_counted(settings):
    settings.FRAPPE_TOKENS = {}
    (warning,) = deployed("W007")
    assert warning.level == checks.WARNING
    assert "allowed addresses of an API key" in warning.msg
    assert "X-Forwarded-For" in warning.hint
    assert found("W007") == []


@pytest.mark.parametrize("number", [0, 1, "wrong"])
def test_no_w007_where_they_are_counted(settings, number):
    settings.FRAPPE_TOKENS = {"NUM_PROXIES": number}
    assert deployed("W007") == []


def test_no_w007_where_drf_has_their_number(settings):
    settings.FRAPPE_TOKENS = {}
    settings.REST_FRAMEWORK = {"NUM_PROXIES": 2}
    assert deployed("W007") == []


# What is stored


def about_secrets():
    return found("W004", databases=["default"])


@pytest.fixture
def frappe_key(user):
    """A key as a Frappe site makes them."""
    return ApiKey.objects.create(
        user=user, api_key="0123456789abcde", secret_digest=crypto.make_digest("fedcba987654321")
    )


@pytest.mark.django_db
def test_w004_short_secrets_without_a_pepper(frappe_key, settings):
    (warning,) = about_secrets()
    assert warning.level == checks.WARNING
    assert warning.msg.startswith(
        "1 unrevoked API keys of frappe_tokens.ApiKey (database 'default')"
    )
    assert "Set FRAPPE_TOKENS['PEPPERS']" in warning.hint
    assert frappe_key.api_key not in str(warning)
    settings.FRAPPE_TOKENS = {"PEPPERS": [PEPPER]}
    (warning,) = about_secrets()
    assert "Rotate or revoke" in warning.hint
    assert found("W004") == []  # nobody asked for the database


@pytest.mark.django_db
def test_w004_of_every_source_once(frappe_key, settings):
    fields = {"user": frappe_key.user, "secret_digest": frappe_key.secret_digest}
    Robot.objects.create(api_key="abcdef012345678", **fields)
    sources = {"Robot": "sources.Robot", "Meter": "sources.Meter", "None": "sources.Nobody"}
    settings.FRAPPE_TOKENS = {"SOURCES": sources}
    assert len(about_secrets()) == 2


@pytest.mark.django_db
def test_no_w004_for_long_or_peppered_secrets_and_revoked_keys(frappe_key, settings):
    def change(**fields):
        ApiKey.objects.update(**fields)
        assert about_secrets() == []
        ApiKey.objects.update(**{name: getattr(frappe_key, name) for name in fields})
        assert len(about_secrets()) == 1

    change(api_key="0123456789ABCDE")
    change(api_key="0123456789abcdef")
    change(revoked_at=frappe_key.created_at, live=None)
    change(rotated_at=frappe_key.created_at + timedelta(seconds=1))
    settings.FRAPPE_TOKENS = {"PEPPERS": [PEPPER]}
    change(secret_digest=crypto.make_digest("fedcba987654321"))


class NotHere:
    """A database router that keeps the keys out of every database."""

    def allow_migrate(self, db, app_label, **hints):
        return False


@pytest.mark.django_db
def test_no_w004_where_the_keys_are_elsewhere(frappe_key, settings):
    settings.DATABASE_ROUTERS = [NotHere()]
    assert about_secrets() == []


# Whatever is wrong


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FRAPPE_TOKENS", 7),
        ("FRAPPE_TOKENS", {"SOURCES": 7, "CACHE": 7, "NUM_PROXIES": "1", "PEPPERS": 7}),
        ("FRAPPE_TOKENS", {"SOURCES": {None: None}}),
        ("REST_FRAMEWORK", None),
        ("REST_FRAMEWORK", {"DEFAULT_AUTHENTICATION_CLASSES": ["nowhere.Authentication"]}),
        ("REST_FRAMEWORK", {"DEFAULT_AUTHENTICATION_CLASSES": [7, Hidden]}),
        ("ROOT_URLCONF", "nowhere.urls"),
        ("CACHES", {}),
    ],
)
def test_checks_never_raise(settings, name, value):
    setattr(settings, name, value)
    assert isinstance(found(deploy=True, databases=["default"]), list)
    assert list(stored_secrets.check_secrets(databases=["nowhere"])) == []


# From a shell


def ids_of(finished):
    output = finished.stdout + finished.stderr
    assert "Traceback" not in output
    return set(re.findall(r"\(([a-z_]+\.[A-Z]\d{3})\)", output))


def run(*arguments, **environment):
    # The last is what the browser's tests leave behind.
    without = {"DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "DJANGO_ALLOW_ASYNC_UNSAFE"}
    inherited = {name: value for name, value in os.environ.items() if name not in without}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**inherited, **environment},
        timeout=120,
    )


def test_the_example_project_deploys_with_nothing_but_a_shared_cache_to_add():
    key = "as long as Django wants it, and with enough different characters 0123456789"
    command = ("manage.py", "check", "--deploy", "--fail-level", "ERROR")
    finished = run(*command, DJANGO_DEBUG="0", DJANGO_SECRET_KEY=key)
    assert finished.returncode == 0, finished.stderr
    # I001 by what else happens to be installed.
    assert ids_of(finished) - {"frappe_tokens.I001"} == {"frappe_tokens.W003"}


MINIMAL = """
import sys
sys.modules["rest_framework"] = None
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "frappe_tokens"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
from django.core.management import call_command
call_command("check", databases=["default"], fail_level="DEBUG")
call_command("check", deploy=True, tags=["frappe_tokens"], fail_level="ERROR")
assert sys.modules["rest_framework"] is None
"""


def test_runs_on_minimal_settings_without_rest_framework_and_before_the_first_migration():
    finished = run("-c", MINIMAL)
    assert finished.returncode == 0, finished.stderr
    ids = {f"frappe_tokens.{name}" for name in ("W003", "W005", "W007")}
    assert ids_of(finished) == ids


def test_ours_can_be_run_alone(well_set_up, capsys):
    well_set_up.MIDDLEWARE = []  # Django's would say something
    call_command("check", tags=["frappe_tokens"])
    assert capsys.readouterr().out == "System check identified no issues (0 silenced).\n"


# The request log

LOG = "frappe_tokens.middleware.RequestLogMiddleware"
OWN_LOG = f"{__name__}.OwnLogMiddleware"
COMMON = "django.middleware.common.CommonMiddleware"
SECURITY = "django.middleware.security.SecurityMiddleware"
OTHER = "tests.csp.content_security_policy"


class OwnLogMiddleware(RequestLogMiddleware):
    pass


class Shipper(Sink):
    """A project's own."""


@dataclass
class NeedsArgument(Sink):
    address: str


@pytest.mark.parametrize("name", ["durable", "buffered", "null", f"{__name__}.Shipper"])
def test_none_where_the_sink_can_be_made(settings, name):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": name}
    assert found("E005") == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nowhere.Shipper", "No module named 'nowhere'"),
        (f"{__name__}.Missing", "Missing"),
        (f"{__name__}.NeedsArgument", "TypeError"),
        (OTHER, "TypeError"),
        ("builtins.dict", "does not extend frappe_tokens.request_log.Sink"),
    ],
)
def test_e005_sink_that_cannot_be_made(settings, name, why):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": name}
    (error,) = found("E005")
    assert error.level == checks.ERROR
    assert repr(name) in error.msg
    assert why in error.msg
    assert found("E003") == []


@pytest.mark.parametrize("name", ["durabel", 7])
def test_e003_says_what_is_no_name_of_a_sink(settings, name):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": name}
    settings.MIDDLEWARE = []
    assert len(found("E003")) == 1
    assert found("E005") == found("W009") == []


@pytest.mark.parametrize("others", [[], [COMMON, OTHER], ["nowhere.Middleware"]])
def test_w009_log_that_no_request_comes_by(settings, others):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "durable"}
    settings.MIDDLEWARE = others
    (warning,) = found("W009")
    assert warning.level == checks.WARNING
    assert LOG in warning.hint
    settings.MIDDLEWARE = [LOG, *others]
    assert found("W009") == []
    settings.MIDDLEWARE = [OWN_LOG, *others]
    assert found("W009") == []


@pytest.mark.parametrize("own", [None, {}, {"REQUEST_LOG": "null"}, {"REALM": "api"}, 7])
def test_none_where_no_log_is_asked_for(settings, own):
    settings.FRAPPE_TOKENS = own
    settings.MIDDLEWARE = []
    assert found("W009") == found("W010") == found("E005") == []
    del settings.FRAPPE_TOKENS
    assert found("W009") == []


@pytest.mark.parametrize("log", [LOG, OWN_LOG])
def test_w010_log_behind_what_answers_by_itself(settings, log):
    settings.MIDDLEWARE = [OTHER, SECURITY, COMMON, log, COMMON]
    (warning,) = found("W010")
    assert f"{SECURITY}, {COMMON} before {log}" in warning.msg
    assert log in warning.hint
    settings.MIDDLEWARE = [OTHER, log, SECURITY, COMMON]
    assert found("W010") == []


def test_those_that_answer_by_themselves_are_djangos_and_ours():
    ours = {name for name in middleware_order._RESPONDING if name.startswith("frappe_tokens.")}
    assert len(ours) == 1
    for name in middleware_order._RESPONDING - ours:
        assert isinstance(import_string(name), type)


@pytest.mark.parametrize(
    ("autocommit", "log", "said"),
    [(False, "durable", 1), (False, "buffered", 0), (True, "durable", 0)],
)
def test_warns_of_a_durable_log_that_nobody_commits(settings, monkeypatch, autocommit, log, said):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": log}
    monkeypatch.setitem(connections.settings["default"], "AUTOCOMMIT", autocommit)
    assert len(found("W011")) == said
    settings.MIDDLEWARE = []
    assert found("W011") == []
