"""What the row of a request contains."""

import asyncio
from http import HTTPStatus
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

from frappe_tokens import crypto
from frappe_tokens.exceptions import Reason, Refused
from frappe_tokens.middleware import RequestLogMiddleware
from frappe_tokens.models import ApiKey, ApiRequestLog
from frappe_tokens.request_log.entries import entry_for
from frappe_tokens.request_log.usage import requests_of_key, requests_of_user, usage_of
from frappe_tokens.verification import Outcome
from frappe_tokens.verification.request import set_outcome

from ..conftest import PASSWORD, token_header
from ..sources.models import Sensor
from .population import utc

AT = utc(2026, 2, 28, 12)
AGENT = "curl/8.5.0"
URL = "/api/method/frappe.auth.get_logged_user"


def make_request(method="GET", path="/todos/", outcome=None, **meta):
    request = RequestFactory(REMOTE_ADDR="192.0.2.7", HTTP_USER_AGENT=AGENT).generic(
        method, path, **meta
    )
    if outcome is not None:
        set_outcome(request, outcome)
    return request


def entry_of(request, seconds=0.1):
    return entry_for(request, AT, seconds, 200)


def key_of(model=ApiKey, **fields):
    return model(api_key="ftk_1", **fields)


def refused(reason):
    return Refused(reason, api_key="ftk_1")


@pytest.mark.parametrize(
    ("outcome", "user_id"),
    [
        (Outcome(key_of(user=get_user_model()(pk=7)), refused(Reason.KEY_EXPIRED)), 7),
        # Anyone can present a key. The secret was wrong.
        (Outcome(None, refused(Reason.INVALID_CREDENTIALS)), None),
        (Outcome(key_of(Sensor), refused(Reason.USER_INACTIVE)), None),
    ],
    ids=["correct secret", "wrong secret", "no user"],
)
def test_entry_of_a_refused_request(outcome, user_id):
    request = make_request(outcome=outcome)
    request.user = get_user_model()(pk=3)

    entry = entry_of(request)

    assert (entry.user_id, entry.api_key) == (user_id, "ftk_1")
    assert entry.outcome == outcome.refused.reason.code


def test_status_is_a_plain_number():
    """Drivers write an enum's member in different ways."""
    entry = entry_for(make_request(), AT, 0.1, HTTPStatus.NOT_FOUND)

    assert (type(entry.status), entry.status) == (int, 404)


@pytest.mark.parametrize(
    ("header", "source"),
    [
        ("EventConsumer", "EventConsumer"),
        ("x" * 200, "x" * 140),
        ("hunter2", ""),
        ("", ""),
    ],
)
def test_source_is_a_known_one_and_fits_its_column(settings, header, source):
    settings.FRAPPE_TOKENS = {
        "SOURCES": dict.fromkeys(("EventConsumer", "x" * 200), "events.EventConsumer")
    }
    outcome = Outcome(None, Refused(Reason.INVALID_CREDENTIALS))
    request = make_request(outcome=outcome, HTTP_FRAPPE_AUTHORIZATION_SOURCE=header)

    assert entry_of(request).source == source


def test_text_of_the_client_is_redacted_and_cut():
    secret = str(crypto.generate_api_secret())
    request = make_request(
        "M" * 20, f"/a%0Ab/{secret}%3Ftoken=hunter2", HTTP_USER_AGENT=f"x/{secret}\0" + "-" * 300
    )

    entry = entry_of(request)

    assert entry.method == "M" * 16
    assert entry.path == "/a\ufffdb/fts_********"
    assert entry.user_agent == "x/fts_********\ufffd" + "-" * 185
    assert entry_of(make_request(path="/" + "a-" * 400)).path == ("/" + "a-" * 400)[:500]


@pytest.mark.parametrize(("seconds", "duration"), [(0.0129, 12), (1e9, 2**31 - 1)])
def test_duration_is_in_milliseconds_and_fits_its_column(seconds, duration):
    assert entry_of(make_request(), seconds).duration_ms == duration


def test_missing_address_and_user_agent_are_empty():
    request = make_request(REMOTE_ADDR="")
    del request.META["HTTP_USER_AGENT"]

    entry = entry_of(request)

    assert (entry.ip, entry.user_agent, entry.outcome) == (None, "", "other")


def test_address_is_the_one_in_the_header_of_the_proxy(settings):
    settings.FRAPPE_TOKENS = {"CLIENT_ADDRESS_HEADER": "X-Real-IP"}

    assert entry_of(make_request(HTTP_X_REAL_IP="2001:db8:0::9")).ip == "2001:db8::9"
    assert entry_of(make_request(HTTP_X_REAL_IP="unknown")).ip is None


@pytest.mark.parametrize(
    ("user", "user_id"),
    [
        (None, None),
        (AnonymousUser(), None),
        (SimpleNamespace(pk="not a number", is_authenticated=True), None),
        (get_user_model()(), None),
        (get_user_model()(pk=7), 7),
    ],
)
def test_only_rows_of_the_user_model_are_users(user, user_id):
    request = make_request()
    assert entry_of(request).user_id is None

    request.user = user

    entry = entry_of(request)
    assert (entry.user_id, entry.api_key, entry.source) == (user_id, "", "")
    assert entry.outcome == "other"


def in_session(user, view=lambda request: None):
    """A request with a session, after ``view`` has had it."""
    request = make_request()
    client = Client()
    client.force_login(user)
    request.COOKIES.update({name: morsel.value for name, morsel in client.cookies.items()})

    def answer(request):
        view(request)
        return HttpResponse()

    SessionMiddleware(AuthenticationMiddleware(answer))(request)
    return request


@pytest.mark.django_db
def test_user_of_the_session_costs_no_query(user, django_assert_num_queries):
    loaded, not_loaded = in_session(user, lambda request: request.user.is_active), in_session(user)

    with django_assert_num_queries(0):
        assert entry_of(loaded).user_id == user.pk
        assert entry_of(not_loaded).user_id is None


@pytest.mark.django_db(transaction=True)
def test_user_that_an_async_view_loaded_is_logged(user):
    request = in_session(user)

    async def view():
        assert await request.auser() == user
        await sync_to_async(connections.close_all)()  # of the thread that loaded it

    asyncio.run(view())
    assert entry_of(request).user_id == user.pk


@pytest.mark.django_db
def test_user_deleted_by_the_view_does_not_lose_the_row(keys, user):
    def view(request):
        request.user = user
        user.delete()
        return HttpResponse()

    RequestLogMiddleware(view)(make_request(HTTP_AUTHORIZATION="Digest x"))

    assert ApiRequestLog.objects.get().user_id is None


def test_accepted_request_is_logged(client, user, keys):
    headers = {"Authorization": token_header(keys), "User-Agent": "curl/8"}

    client.get(f"{URL}?page=2", headers=headers, REMOTE_ADDR="192.0.2.7")

    row = ApiRequestLog.objects.get()
    assert (row.user, row.api_key, row.source) == (user, keys.api_key, "User")
    assert (row.method, row.path, row.status, row.outcome) == ("GET", URL, 200, "accepted")
    assert (row.ip, row.user_agent) == ("192.0.2.7", "curl/8")
    assert usage_of(requests_of_key(keys.instance)).total == 1
    assert usage_of(requests_of_user(user)).total == 1


def test_header_for_another_app_is_logged_with_the_user_of_the_session(user, client):
    assert client.login(username="ada", password=PASSWORD)

    client.get("/account/api-keys/", headers={"authorization": "Digest x"})

    row = ApiRequestLog.objects.get()
    assert (row.user, row.outcome) == (user, "other")


def test_request_without_the_header_is_not_logged(client, db):
    client.get(URL)

    assert not ApiRequestLog.objects.exists()
