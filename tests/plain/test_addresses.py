"""Which view a path resolves to, what decides for it, and other middleware."""

import re

import pytest
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.cache import cache
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.urls import path
from django.utils.decorators import sync_and_async_middleware

from frappe_tokens.decorators import require_scopes
from frappe_tokens.keys import generate_keys

from .conftest import AUTHENTICATION, LOCALE, MIDDLEWARE, SESSION, put
from .site import described

pytestmark = pytest.mark.django_db

REMOTE_USER = "django.contrib.auth.middleware.RemoteUserMiddleware"


def test_unknown_path_is_404_for_a_correct_credential(visitor, keys):
    assert visitor.get("/nowhere/", keys).status_code == 404
    assert visitor.get("/nowhere/", "token a:b").status_code == 401
    assert visitor.get("/nowhere/").status_code == 404


def test_slash_is_appended(visitor, keys, settings):
    response = visitor.get("/sync/who", keys)
    assert (response.status_code, response.headers["Location"]) == (301, "/sync/who/")
    assert visitor.get("/no-slash", keys).json()["user"] == "ada"
    assert visitor.get("/no-slash/", keys).status_code == 404
    settings.APPEND_SLASH = False
    assert visitor.get("/sync/who", keys).status_code == 404


@require_scopes("other")
def other(request):
    return described(request)


# Of another site, where the same addresses lead to another view.
KINDS, NAMES = ("sync", "async"), ("declared", "only-here")
urlpatterns = [path(f"{kind}/{name}/", other) for kind in KINDS for name in NAMES]


@sync_and_async_middleware
def change_request(get_response):
    """Does what a middleware for several hosts, or for forms, does."""

    def change(request):
        request.urlconf = request.headers.get("X-URLconf")
        request.method = request.headers.get("X-HTTP-Method-Override", request.method)
        return get_response(request)

    return markcoroutinefunction(change) if iscoroutinefunction(get_response) else change


CHANGE = f"{__name__}.change_request"
OTHER_SITE = {"x-urlconf": __name__}
OVERRIDE = {"x-http-method-override": "DELETE"}


def test_changes_by_an_earlier_middleware_are_checked(visitor, user, settings):
    put(settings, CHANGE, before=MIDDLEWARE)
    for scope, status in (("other", 200), ("reports:read", 403)):
        made = generate_keys(user, name=scope, scopes=[scope])
        assert visitor.get("declared/", made, **OTHER_SITE).status_code == status
        assert visitor.get("only-here/", made, **OTHER_SITE).status_code == status
    read_only = generate_keys(user, read_only=True)
    assert visitor.get("who/", read_only, **OVERRIDE).status_code == 403


def test_changes_by_a_later_middleware_are_errors(visitor, user, keys, settings):
    """A scoped key would open another view, and a read-only key could delete."""
    put(settings, CHANGE, behind=MIDDLEWARE)
    scoped = generate_keys(user, name="scoped", scopes=["reports:read"])
    read_only = generate_keys(user, name="read-only", read_only=True)

    for credential, changed in [
        (scoped, OTHER_SITE),
        (keys, OTHER_SITE),
        (read_only, OVERRIDE),
        (keys, OVERRIDE),
    ]:
        with pytest.raises(ImproperlyConfigured, match=r"changes request\.method, or the view"):
            visitor.get("declared/" if changed is OTHER_SITE else "who/", credential, **changed)
    assert visitor.get("declared/", **OTHER_SITE).status_code == 200
    assert visitor.get("who/", read_only).status_code == 200


def test_view_depends_on_the_language_of_the_path(visitor, user, settings):
    settings.ROOT_URLCONF = "tests.plain.translated_site"
    put(settings, LOCALE, behind=SESSION)
    made = generate_keys(user, scopes=["reports:read"])

    response = visitor.get("/de/declared/", made)

    assert response.json()["user"] == "ada"
    assert response.headers["Content-Language"] == "de"
    assert visitor.get("/de/who/", made).status_code == 403


@pytest.mark.parametrize("other", [SESSION, AUTHENTICATION, REMOTE_USER, LOCALE])
def test_server_does_not_start_in_a_wrong_order(visitor, keys, settings, other):
    put(settings, other, behind=MIDDLEWARE)

    with pytest.raises(ImproperlyConfigured, match=f"put {re.escape(other)} before"):
        visitor.get("who/", keys)
    (message,) = order_errors()
    assert other in message


def test_check_ignores_what_it_cannot_import(site, settings):
    assert not order_errors()
    settings.MIDDLEWARE = [AUTHENTICATION]
    assert not order_errors()
    settings.MIDDLEWARE = [MIDDLEWARE, "tests.nothing.Here", AUTHENTICATION, "tests.csp.here"]
    message = f"In MIDDLEWARE, {AUTHENTICATION} comes after TokenAuthenticationMiddleware."
    assert order_errors() == [message]


def order_errors():
    messages = run_checks(tags=["frappe_tokens"])
    return [message.msg for message in messages if message.id == "frappe_tokens.E006"]


@pytest.mark.parametrize("sent", ["keys", "token a:b"])
def test_rest_views_are_left_to_their_classes(visitor, keys, statements, sent):
    with statements() as verbs:
        response = visitor.get("rest/", keys if sent == "keys" else sent)
    assert verbs.count("SELECT") == 1
    if sent == "keys":
        assert response.json() == {"user": "ada", "auth": "ApiKey"}
    else:
        assert response.status_code == 401
    assert "Authorization" in response.headers["Vary"]


def test_cache_of_the_site_keeps_users_apart(visitor, keys, make_user, settings):
    for address, header in (("who/", keys), ("same/", keys), ("who/", None)):
        assert "Authorization" in visitor.get(address, header).headers["Vary"]
    assert "Authorization" not in visitor.get("same/").headers.get("Vary", "")
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    cache.clear()
    other = generate_keys(make_user("eve"))

    for _ in range(2):
        assert visitor.get("who/").json()["user"] == ""
        assert visitor.get("who/", keys).json()["user"] == "ada"
        assert visitor.get("who/", other).json()["user"] == "eve"
        assert visitor.get("who/", "token a:b").status_code == 401
    assert visitor.get("who/").json()["user"] == ""
