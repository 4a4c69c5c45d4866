"""From a request and its answer to a row."""

import asyncio
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import connections
from django.http import HttpResponse
from django.test import Client, RequestFactory
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication
from rest_framework_simplejwt.tokens import AccessToken

from frappe_tokens import crypto
from frappe_tokens.exceptions import Reason, Refused
from frappe_tokens.middleware import RequestLogMiddleware
from frappe_tokens.models import ApiKey, ApiRequestLog
from frappe_tokens.request_log import Entry, entry_for
from frappe_tokens.verification import Outcome
from frappe_tokens.verification.request import set_outcome

from ..conftest import PASSWORD
from ..sources.models import Sensor

AT = datetime(2026, 2, 28, 12, tzinfo=timezone.utc)
AGENT = "curl/8.5.0"


def requested(method="GET", path="/todos/", **meta):
    return RequestFactory(REMOTE_ADDR="192.0.2.7", HTTP_USER_AGENT=AGENT).generic(
        method, path, **meta
    )


def logged(request, seconds=0.0129, status=200):
    return entry_for(request, AT, seconds, status)


def test_columns_are_those_of_the_model():
    columns = {
        getattr(field, "attname", field.name)
        for field in ApiRequestLog._meta.get_fields()
        if field.name != "id"
    }
    assert set(Entry._fields) == columns


def test_accepted_request():
    key = ApiKey(api_key="ftk_1", user=get_user_model()(pk=7))
    request = requested(path="/todos/?token=x")
    set_outcome(request, Outcome(key))
    assert logged(request) == Entry(
        at=AT,
        user_id=7,
        api_key="ftk_1",
        source="User",
        method="GET",
        path="/todos/",
        status=200,
        duration_ms=12,
        ip="192.0.2.7",
        user_agent=AGENT,
        outcome="accepted",
    )


def test_refusal_of_a_right_secret_names_the_user():
    key = ApiKey(api_key="ftk_1", user=get_user_model()(pk=7))
    request = requested()
    set_outcome(request, Outcome(key, Refused(Reason.KEY_EXPIRED, api_key="ftk_1")))
    entry = logged(request, status=401)
    assert (entry.user_id, entry.api_key, entry.outcome) == (7, "ftk_1", "key_expired")


def test_refusal_of_a_wrong_secret_names_the_key_alone():
    request = requested()
    request.user = get_user_model()(pk=3)
    set_outcome(request, Outcome(None, Refused(Reason.INVALID_CREDENTIALS, api_key="ftk_1")))
    entry = logged(request, status=401)
    assert (entry.user_id, entry.api_key, entry.outcome) == (None, "ftk_1", "invalid_credentials")


def test_key_without_a_user_names_none():
    request = requested()
    refused = Refused(Reason.USER_INACTIVE, api_key="ftk_1")
    set_outcome(request, Outcome(Sensor(api_key="ftk_1"), refused))
    assert logged(request).user_id is None


@pytest.mark.parametrize(
    ("header", "source"),
    [
        ({}, "User"),
        ({"HTTP_FRAPPE_AUTHORIZATION_SOURCE": "EventConsumer"}, "EventConsumer"),
        ({"HTTP_FRAPPE_AUTHORIZATION_SOURCE": "hunter2"}, ""),
        ({"HTTP_FRAPPE_AUTHORIZATION_SOURCE": ""}, ""),
    ],
)
def test_source_is_one_that_there_is(header, source):
    request = requested(**header)
    set_outcome(request, Outcome(None, Refused(Reason.INVALID_CREDENTIALS)))
    assert logged(request).source == source


def test_source_fits_its_column(settings):
    name = "x" * 200
    settings.FRAPPE_TOKENS = {"SOURCES": {name: "events.EventConsumer"}}
    request = requested(HTTP_FRAPPE_AUTHORIZATION_SOURCE=name)
    set_outcome(request, Outcome(None, Refused(Reason.INVALID_CREDENTIALS)))
    assert logged(request).source == "x" * 140


def test_what_the_client_chose_is_fit_for_a_row():
    secret = str(crypto.generate_api_secret())
    request = requested(
        "M" * 20, f"/a%0Ab/{secret}%3Ftoken=hunter2", HTTP_USER_AGENT=f"x/{secret}\0" + "-" * 300
    )
    entry = logged(request)
    assert entry.method == "M" * 16
    assert entry.path == "/a\ufffdb/fts_********"
    assert entry.user_agent == "x/fts_********\ufffd" + "-" * 185


def test_long_path_is_cut():
    assert logged(requested(path="/" + "a-" * 400)).path == ("/" + "a-" * 400)[:500]


def test_duration_fits_its_column():
    assert logged(requested(), seconds=1e9).duration_ms == 2**31 - 1


def test_address_that_is_none_is_left_out():
    entry = logged(requested(REMOTE_ADDR=""))
    assert (entry.ip, entry.outcome) == (None, "other")


def test_missing_user_agent_is_empty():
    request = requested()
    del request.META["HTTP_USER_AGENT"]
    assert logged(request).user_agent == ""


# Whom another authentication found


@pytest.mark.parametrize(
    "user",
    [
        None,
        AnonymousUser(),
        SimpleNamespace(pk="not a number", is_authenticated=True),
        get_user_model()(),
    ],
)
def test_what_is_no_row_of_the_user_model_is_not_named(user):
    request = requested()
    assert logged(request).user_id is None
    request.user = user
    assert logged(request).user_id is None


def test_user_of_another_authentication_is_named():
    request = requested()
    request.user = get_user_model()(pk=7)
    entry = logged(request)
    assert (entry.user_id, entry.api_key, entry.source, entry.outcome) == (7, "", "", "other")


def in_session(user, view):
    """The request as the session's middleware make it, after ``view`` has had it."""
    request = requested()
    client = Client()
    client.force_login(user)
    request.COOKIES.update({name: morsel.value for name, morsel in client.cookies.items()})

    def answer(request):
        view(request)
        return HttpResponse()

    SessionMiddleware(AuthenticationMiddleware(answer))(request)
    return request


@pytest.mark.django_db
def test_user_of_the_session_is_named_where_the_view_asked(user, django_assert_num_queries):
    request = in_session(user, lambda request: request.user.is_active)
    with django_assert_num_queries(0):
        assert logged(request).user_id == user.pk


@pytest.mark.django_db
def test_user_of_the_session_costs_no_query_where_nobody_asked(user, django_assert_num_queries):
    request = in_session(user, lambda request: None)
    with django_assert_num_queries(0):
        assert logged(request).user_id is None


@pytest.mark.django_db(transaction=True)
def test_user_of_the_session_is_named_where_an_async_view_asked(user):
    request = in_session(user, lambda request: None)

    async def view():
        assert await request.auser() == user
        # The connection of the thread that asked: nobody else can close it.
        await sync_to_async(connections.close_all)()

    asyncio.run(view())
    assert logged(request).user_id == user.pk


class Stateless(APIView):
    """Its user is made from what the token says."""

    authentication_classes = [JWTStatelessUserAuthentication]

    def get(self, request):
        return Response({"pk": request.user.pk})


class Stored(Stateless):
    authentication_classes = [TokenAuthentication]


@pytest.mark.django_db
def test_user_that_is_made_from_a_token_does_not_lose_the_row():
    token = AccessToken()
    token["user_id"] = "6f1c no number"
    request = RequestFactory().get("/", headers={"authorization": f"Bearer {token}"})
    response = RequestLogMiddleware(Stateless.as_view())(request)
    assert response.data == {"pk": "6f1c no number"}
    row = ApiRequestLog.objects.get()
    assert (row.user_id, row.outcome, row.status) == (None, "other", 200)
    assert str(token) not in repr(vars(row))


@pytest.mark.django_db
def test_users_of_other_packages_are_named(user):
    token = Token.objects.create(user=user)
    request = RequestFactory().get("/", headers={"authorization": f"Token {token.key}"})
    RequestLogMiddleware(Stored.as_view())(request)
    row = ApiRequestLog.objects.get()
    assert (row.user, row.outcome) == (user, "other")


@pytest.mark.django_db
def test_user_deleted_by_the_view_is_not_named_and_does_not_lose_the_row(keys, user):
    def view(request):
        request.user = user
        user.delete()
        return HttpResponse()

    RequestLogMiddleware(view)(requested(HTTP_AUTHORIZATION="Digest x"))
    assert ApiRequestLog.objects.get().user_id is None


@pytest.mark.django_db
def test_header_for_nobody_is_logged_as_other(user, client):
    assert client.login(username="ada", password=PASSWORD)
    client.get("/account/api-keys/", headers={"authorization": "Digest x"})
    row = ApiRequestLog.objects.get()
    assert (row.user, row.outcome) == (user, "other")
