"""Which view an address leads to, who decides for it, and what stands around the middleware."""

import base64
import re

import pytest
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.cache import cache
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from frappe_tokens.keys import generate_keys
from frappe_tokens.middleware import TokenAuthenticationMiddleware

from ..conftest import PASSWORD
from .conftest import AUTHENTICATION, MIDDLEWARE, Visitor

pytestmark = pytest.mark.django_db

SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
LOCALE = "django.middleware.locale.LocaleMiddleware"
REMOTE_USER = "django.contrib.auth.middleware.RemoteUserMiddleware"


def put(settings, name, *, before="", behind=""):
    """Put ``name`` into MIDDLEWARE, whether it is there already or not."""
    others = [other for other in settings.MIDDLEWARE if other != name]
    place = others.index(before) if before else others.index(behind) + 1
    settings.MIDDLEWARE = [*others[:place], name, *others[place:]]


# Unknown addresses, slashes


def test_an_unknown_address_is_404_to_a_right_credential(visitor, keys):
    assert visitor.get("/nowhere/", keys).status_code == 404
    assert visitor.get("/nowhere/", "token a:b").status_code == 401
    assert visitor.get("/nowhere/").status_code == 404


def test_a_slash_is_appended(visitor, keys, settings):
    response = visitor.get("/sync/who", keys)
    assert (response.status_code, response.headers["Location"]) == (301, "/sync/who/")
    assert visitor.get("/no-slash", keys).json()["user"] == "ada"
    assert visitor.get("/no-slash/", keys).status_code == 404
    settings.APPEND_SLASH = False
    assert visitor.get("/sync/who", keys).status_code == 404


# Another URLconf


class OtherSite:
    """What a middleware for several hosts does."""

    sync_capable = async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request):
        request.urlconf = "tests.plain.other_site"
        return self.get_response(request)


OTHER = f"{__name__}.OtherSite"


def test_the_scopes_are_those_of_the_view_in_a_urlconf_that_was_chosen_before(
    visitor, user, settings
):
    put(settings, OTHER, before=MIDDLEWARE)
    for scope, status in (("other", 200), ("reports:read", 403)):
        made = generate_keys(user, name=scope, scopes=[scope])
        assert visitor.get("declared/", made).status_code == status
        assert visitor.get("only-here/", made).status_code == status


def test_one_that_is_chosen_behind_is_an_error_to_whoever_has_a_credential(
    visitor, user, keys, settings
):
    """A scoped key would be let in for a view that is not the one that answers."""
    put(settings, OTHER, behind=MIDDLEWARE)
    made = generate_keys(user, name="scoped", scopes=["reports:read"])
    for credential in (made, keys):
        with pytest.raises(ImproperlyConfigured, match="Put it before"):
            visitor.get("declared/", credential)
    with pytest.raises(ImproperlyConfigured, match="Put it before"):
        visitor.get("only-here/", keys)
    assert visitor.get("declared/").status_code == 200


class MethodOverride:
    """What a middleware for forms does, which can send no DELETE."""

    sync_capable = async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request):
        request.method = request.headers.get("X-HTTP-Method-Override", request.method)
        return self.get_response(request)


OVERRIDE = f"{__name__}.MethodOverride"


def test_a_method_that_is_changed_behind_is_an_error_to_whoever_has_a_credential(
    visitor, user, keys, settings
):
    """A read-only key would be let in by GET and delete."""
    put(settings, OVERRIDE, behind=MIDDLEWARE)
    read_only = generate_keys(user, name="read-only", read_only=True)
    override = {"x-http-method-override": "DELETE"}
    for credential in (read_only, keys):
        with pytest.raises(ImproperlyConfigured, match=r"changes request\.method"):
            visitor.get("who/", credential, **override)
        assert visitor.get("who/", credential).status_code == 200


def test_a_method_that_was_changed_before_must_be_allowed_as_well(visitor, user, settings):
    put(settings, OVERRIDE, before=MIDDLEWARE)
    read_only = generate_keys(user, read_only=True)
    refused = visitor.get("who/", read_only, **{"x-http-method-override": "DELETE"})
    assert refused.status_code == 403


def test_languages_in_addresses(visitor, user, settings):
    settings.ROOT_URLCONF = "tests.plain.translated_site"
    put(settings, LOCALE, behind=SESSION)
    made = generate_keys(user, scopes=["reports:read"])
    for language in ("de", "en"):
        response = visitor.get(f"/{language}/declared/", made)
        assert response.json()["user"] == "ada"
        assert response.headers["Content-Language"] == language
        assert visitor.get(f"/{language}/who/", made).status_code == 403


# The order


def complaints():
    """What the system check says of it."""
    messages = run_checks(tags=["frappe_tokens"])
    return [message.msg for message in messages if message.id == "frappe_tokens.E006"]


@pytest.mark.parametrize("other", [SESSION, AUTHENTICATION, REMOTE_USER, LOCALE])
def test_no_server_starts_in_a_wrong_order(visitor, keys, settings, other):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, LOCALE] if other == LOCALE else settings.MIDDLEWARE
    put(settings, other, behind=MIDDLEWARE)
    with pytest.raises(ImproperlyConfigured, match=f"put {re.escape(other)} before"):
        visitor.get("who/", keys)
    (message,) = complaints()
    assert other in message


def test_the_right_order_is_no_error(site, settings):
    assert not complaints()
    settings.MIDDLEWARE = [MIDDLEWARE]
    assert not complaints()
    settings.MIDDLEWARE = [AUTHENTICATION]
    assert not complaints()


def test_what_cannot_be_imported_is_for_django_to_say(site, settings):
    settings.MIDDLEWARE = [MIDDLEWARE, "tests.nothing.Here", AUTHENTICATION, "tests.csp.here"]
    message = f"In MIDDLEWARE, {AUTHENTICATION} comes after TokenAuthenticationMiddleware."
    assert complaints() == [message]


# Views that decide for themselves


@pytest.mark.parametrize("sent", ["keys", "token a:b"])
def test_rest_views_decide_for_themselves(visitor, keys, statements, sent):
    with statements() as verbs:
        response = visitor.get("rest/", keys if sent == "keys" else sent)
    assert verbs.count("SELECT") == 1
    if sent == "keys":
        assert response.json() == {"user": "ada", "auth": "ApiKey"}
    else:
        assert response.status_code == 401
    assert "Authorization" in response.headers["Vary"]


def test_a_rest_view_is_told_nothing_of_a_header_that_none_of_its_classes_reads(visitor, keys):
    assert visitor.get("rest-by-session/", keys).status_code == 403


class OnlyReports(TokenAuthenticationMiddleware):
    """As the documentation has it."""

    def leaves(self, request, view):
        return not request.path.startswith("/sync/") or super().leaves(request, view)


def test_a_subclass_says_what_else_is_left(keys, site, settings):
    settings.MIDDLEWARE = [
        f"{__name__}.OnlyReports" if name == MIDDLEWARE else name for name in settings.MIDDLEWARE
    ]
    visitor = Visitor("sync")
    assert visitor.get("/sync/who/", keys).json()["user"] == "ada"
    assert visitor.get("/async/who/", keys).json()["user"] == ""
    assert visitor.get("/sync/rest/", keys).json()["user"] == "ada"


# Caches


@pytest.fixture
def cached(site, settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    cache.clear()


def test_answers_say_that_they_vary_where_they_do(visitor, keys):
    assert "Authorization" in visitor.get("who/", keys).headers["Vary"]
    assert "Authorization" in visitor.get("same/", keys).headers["Vary"]
    assert "Authorization" in visitor.get("who/").headers["Vary"]
    assert "Authorization" not in visitor.get("same/").headers.get("Vary", "")


@pytest.mark.usefixtures("cached")
def test_no_cache_gives_one_users_answer_to_another(visitor, keys, make_user):
    other = generate_keys(make_user("eve"))
    for _ in range(2):
        assert visitor.get("who/").json()["user"] == ""
        assert visitor.get("who/", keys).json()["user"] == "ada"
        assert visitor.get("who/", other).json()["user"] == "eve"
        assert visitor.get("who/", "token a:b").status_code == 401
    assert visitor.get("who/").json()["user"] == ""


# Other packages' ways to log in


def test_a_password_is_no_credential_of_ours(visitor, user):
    header = "Basic " + base64.b64encode(f"ada:{PASSWORD}".encode()).decode()
    assert visitor.get("who/", header).status_code == 401


def test_a_streamed_answer_varies_too(keys, site, settings):
    settings.ROOT_URLCONF = "tests.plain.other_site"
    response = Client().get("/streamed/", headers={"authorization": f"token {keys.token}"})
    assert "Authorization" in response.headers["Vary"]
    assert b"".join(response.streaming_content) == b"ada"
