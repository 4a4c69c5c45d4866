"""Requests whose user was set by neither a login nor one of our keys.

Other packages set ``request.user`` by an ``Authorization`` header, or start a session by an access
token, and don't set ``request.auth``. The app's own pages refuse such requests.
"""

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.test import Client
from oauth2_provider.backends import OAuth2Backend
from oauth2_provider.models import Grant
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from frappe_tokens.decorators import require_scopes
from frappe_tokens.keys import generate_keys, generate_keys_for_source
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey
from frappe_tokens.permissions import CanGenerateKeys, HasScope
from testproject.events.models import EventConsumer

from .client import JSON, client_of
from .conftest import PASSWORD
from .oauth.conftest import METHODS, REDIRECT_URI
from .oauth.conftest import issue as issue
from .oauth.conftest import public as public

pytestmark = pytest.mark.django_db

AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
OAUTH2_MIDDLEWARE = "oauth2_provider.middleware.OAuth2TokenMiddleware"
OAUTH2_BACKEND = "oauth2_provider.backends.OAuth2Backend"
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"

FORM = {"version": "by hand", "grace": "0", "name": "taken over", "reason": "by hand"}


class OtherScheme:
    """A middleware of another package: ``Authorization: Other <username>``."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        scheme, _, username = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme == "Other":
            request.user = get_user_model().objects.get(username=username)
        return self.get_response(request)


def by_another_scheme(settings, token):
    add_middleware(settings, f"{__name__}.OtherScheme")
    return Client(headers={"authorization": "Other root"})


def by_the_toolkits_middleware(settings, token):
    add_middleware(settings, OAUTH2_MIDDLEWARE)
    settings.AUTHENTICATION_BACKENDS = [OAUTH2_BACKEND, MODEL_BACKEND]
    return Client(headers={"authorization": token.header})


def by_a_session_beside_a_header(settings, token):
    client = Client(headers={"authorization": "Digest abc"})
    client.force_login(token.instance.user)
    return client


class ProjectBackend(OAuth2Backend):
    """A project's own, made from the toolkit's."""


def by_a_login_form(settings, token):
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.ProjectBackend", MODEL_BACKEND]
    client = Client()
    # In the body or in the header, the toolkit's backend takes it for a password.
    form = {"username": "anything", "password": "anything", "access_token": token.raw}
    headers = {"authorization": token.header}
    assert client.post("/admin/login/", form, headers=headers).status_code == 302
    return client


def add_middleware(settings, name):
    behind = settings.MIDDLEWARE.index(AUTHENTICATION) + 1
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:behind], name, *settings.MIDDLEWARE[behind:]]


WAYS = [
    by_another_scheme,
    by_the_toolkits_middleware,
    by_a_session_beside_a_header,
    by_a_login_form,
]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def impostor(request, settings, root, issue):
    """A client as which Django sees ``root``, and which has never signed in.

    It has to send CSRF tokens, and can get them.
    """
    client = request.param(settings, issue(root, "read write todos"))
    client.get("/account/login/", headers={"authorization": ""})
    client.handler.enforce_csrf_checks = True
    return client


def csrf_token(client):
    return {"csrfmiddlewaretoken": client.cookies["csrftoken"].value}


@pytest.fixture
def root(make_user, settings):
    """A superuser, so that only the credential matters."""
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "SELF_SERVICE": True}
    return make_user("root", is_staff=True, is_superuser=True)


@pytest.fixture
def their_key(root):
    return generate_keys(root)


@pytest.fixture
def consumer(root):
    row = EventConsumer.objects.create(name="shop", user=root)
    return generate_keys_for_source(row)


def pages_of(key, consumer):
    """All of our pages and addresses that are about keys."""
    keys = "/admin/frappe_tokens/apikey/"
    consumers = "/admin/events/eventconsumer/"
    own = "/account/api-keys/"
    return [
        keys,
        f"{keys}add/",
        f"{keys}{key.pk}/change/",
        f"{keys}{key.pk}/generate-keys/",
        f"{keys}{key.pk}/revoke/",
        f"/admin/auth/user/{key.user_id}/generate-keys/",
        "/admin/frappe_tokens/apirequestlog/",
        consumers,
        f"{consumers}add/",
        f"{consumers}{consumer.pk}/change/",
        f"{consumers}{consumer.pk}/delete/",
        f"{consumers}{consumer.pk}/generate-keys/",
        f"{consumers}{consumer.pk}/revoke/",
        own,
        f"{own}new/",
        *(f"{own}{key.pk}/{what}/" for what in ("rotate", "edit", "revoke")),
        "/api/keys/",
        f"/api/keys/{key.api_key}/",
        f"/api/keys/{key.api_key}/rotate/",
        f"/api/keys/{key.api_key}/usage/",
        "/api/method/frappe.core.doctype.user.user.generate_keys?user=root",
        f"{METHODS}openid_profile",
    ]


def stored():
    rows = (ApiKey.objects.order_by("pk"), EventConsumer.objects.order_by("pk"))
    return [list(each.values()) for each in rows]


def test_no_page_is_open(impostor, their_key, consumer):
    token = csrf_token(impostor)
    headers = {"x-csrftoken": token["csrfmiddlewaretoken"]}
    before = stored()

    for page in pages_of(their_key.instance, consumer.instance):
        responses = [impostor.get(page), impostor.post(page, {**FORM, **token, "user": "root"})]
        for method in ("post", "patch", "delete"):
            send = getattr(impostor, method)
            responses.append(send(page, {}, JSON, headers=headers))

        for response in responses:
            # 415 says that an address under keys/ takes no form.
            assert response.status_code in {401, 403, 405, 415}, page
            text = response.content.decode()
            assert their_key.api_key not in text
            assert consumer.api_key not in text
            assert "fts_" not in text
    assert stored() == before


def test_page_of_a_user_shows_no_keys(impostor, root, their_key):
    page = impostor.get(f"/admin/auth/user/{root.pk}/change/")
    users = impostor.get("/admin/auth/user/")

    assert page.status_code == users.status_code == 200
    assert "API Access" not in page.content.decode()
    assert their_key.api_key not in page.content.decode()
    assert 'value="generate_keys"' not in users.content.decode()
    own = impostor.get("/account/api-keys/")
    assert "Sign in again, without an Authorization header." in own.content.decode()


def test_application_gets_no_access(impostor, public):
    public.skip_authorization = True
    public.save()
    query = {
        "client_id": public.client_id,
        "response_type": "code",
        "redirect_uri": REDIRECT_URI,
        "scope": "todos",
        "code_challenge": "x" * 43,
        "code_challenge_method": "S256",
    }

    shown = impostor.get(f"{METHODS}authorize", query)
    sent = impostor.post(f"{METHODS}authorize", {**query, "allow": "1", **csrf_token(impostor)})

    assert (shown.status_code, sent.status_code) == (403, 403)
    assert not Grant.objects.exists()


def test_sessions_and_keys_are_accepted(root, their_key):
    person = Client()
    assert person.login(username="root", password=PASSWORD)
    for headers in ({}, {"authorization": ""}):
        assert person.get("/account/api-keys/", headers=headers).status_code == 200
        assert person.get("/admin/frappe_tokens/apikey/", headers=headers).status_code == 200
        assert person.get("/api/keys/", headers=headers).json()["results"]
    assert client_of(their_key).get("/api/keys/").json()["results"]


def test_session_of_a_removed_backend_is_anonymous(user, settings, client):
    client.force_login(user)
    session = client.session
    session["_auth_user_backend"] = "gone.Backend"
    session.save()

    assert client.get("/account/api-keys/").status_code == 302
    assert client.get("/api/keys/").status_code == 401


def test_request_without_user_and_session_is_no_error(rf):
    assert Actor.of(rf.get("/")) == Actor(None)


# Views of a project


@require_scopes("todos")
def scoped(request):
    return HttpResponse("in")


ascoped = require_scopes("todos")(sync_to_async(lambda request: HttpResponse("in")))


@pytest.mark.parametrize(("header", "opens"), [(None, True), ("", True), ("Other root", False)])
def test_request_with_a_header_is_not_a_sessions(root, header, opens):
    view = APIView()
    view.required_scopes = ["todos"]
    django = APIRequestFactory().get(
        "/", headers={} if header is None else {"authorization": header}
    )
    django.user = root
    request = Request(django)
    request.user, request.auth = root, None

    assert CanGenerateKeys().has_permission(request, view) is opens
    assert HasScope().has_permission(request, view) is opens
    assert scoped(django).status_code == (200 if opens else 403)
    assert async_to_sync(ascoped)(django).status_code == (200 if opens else 403)
