"""The decision: its order, its clock, its costs."""

import hashlib
import hmac
from collections import Counter
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
)
from django.test import RequestFactory
from django.views import View
from rest_framework.request import Request

from frappe_tokens import crypto
from frappe_tokens.credentials import Credential, parse
from frappe_tokens.exceptions import Reason, Refused
from frappe_tokens.keys import GeneratedKeys, generate_keys, revoke
from frappe_tokens.models import ApiKey
from frappe_tokens.verification import (
    Outcome,
    RequestInfo,
    get_outcome,
    report_failure,
    verify,
)
from frappe_tokens.waiting import MustWait

from .client import DAY, HOUR, NOON, TICK, attempt, with_wrong_secret
from .conftest import basic_header, info_of, token_header
from .groups import leave_out

pytestmark = pytest.mark.django_db

LONG_AGO = datetime(2020, 2, 29, tzinfo=timezone.utc)
NEW = "the newest pepper, long enough for HMAC"
SOURCE = "HTTP_FRAPPE_AUTHORIZATION_SOURCE"
OLD = "an older pepper, long enough for HMAC"


def credential(keys):
    return parse(token_header(keys), "token")


# The order

REASONS_IN_ORDER = [
    (Reason.KEY_REVOKED, ApiKey, {"revoked_at": LONG_AGO, "live": None}),
    (Reason.KEY_EXPIRED, ApiKey, {"expires_at": LONG_AGO}),
    (Reason.USER_INACTIVE, User, {"is_active": False}),
    (Reason.IP_NOT_ALLOWED, ApiKey, {"allowed_ips": ["192.0.2.0/24"]}),
    (Reason.KEY_READ_ONLY, ApiKey, {"read_only": True}),
    (Reason.INSUFFICIENT_SCOPE, ApiKey, {"scopes": ["todo"]}),
]


@pytest.mark.parametrize("first", range(len(REASONS_IN_ORDER)))
def test_first_of_several_reasons_is_reported_to_the_right_secret_only(keys, first, statements):
    for _, model, change in REASONS_IN_ORDER[first:]:
        model.objects.update(**change)
    elsewhere = {"REMOTE_ADDR": "203.0.113.9"}

    with statements() as verbs:
        assert attempt(keys, "POST", **elsewhere) is REASONS_IN_ORDER[first][0]
        wrong = attempt(with_wrong_secret(keys), "POST", **elsewhere)

    assert wrong is Reason.INVALID_CREDENTIALS
    assert verbs == ["SELECT", "SELECT"]


def test_malformed_credential_is_refused_before_anything_else(django_assert_num_queries):
    with django_assert_num_queries(0), pytest.raises(Refused) as raised:
        verify(Credential("token"), info_of(**{SOURCE: "Nobody"}))

    assert raised.value.reason is Reason.MALFORMED_CREDENTIALS
    assert raised.value.api_key == ""


@pytest.mark.parametrize("source", ["", "user", "ApiKey", "x\x00", " User", "User,User"])
def test_unknown_source_is_refused_without_a_query(keys, source, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert attempt(keys, **{SOURCE: source}) is Reason.INVALID_CREDENTIALS


def test_refusal_names_the_presented_key_and_never_the_secret(keys):
    wrong = with_wrong_secret(keys)
    with pytest.raises(Refused) as raised:
        verify(credential(wrong), info_of())
    assert raised.value.api_key == keys.api_key
    assert str(raised.value) == "invalid_credentials"
    shown = repr(raised.value) + repr(vars(raised.value))
    assert wrong.api_secret not in shown


def test_only_its_own_secret_opens_a_key(user, keys, make_user):
    without = ApiKey.objects.create(user=user, name="without a secret")
    others = generate_keys(make_user("grace")).api_secret

    attempts = [(without, secret) for secret in ("sha256$", "x", keys.api_secret)]
    attempts += [(keys.instance, secret) for secret in (keys.instance.secret_digest, others)]
    for key, secret in attempts:
        pair = GeneratedKeys(key.api_key, crypto.Secret(secret), key)
        assert attempt(pair) is Reason.INVALID_CREDENTIALS


@pytest.mark.parametrize("wrap", [lambda request: request, Request])
def test_outcome_is_set_on_djangos_request(keys, wrap):
    request = RequestFactory().get("/")
    info = RequestInfo(wrap(request))
    assert get_outcome(request) is None

    verify(credential(keys), info)
    assert get_outcome(request) == Outcome(keys.instance)

    revoke(keys.instance)
    with pytest.raises(Refused) as raised:
        verify(credential(keys), info)
    assert get_outcome(request) == Outcome(keys.instance, raised.value)


class OpenToEveryKey(View):
    accepts_any_scope = accepts_read_only = True


@pytest.mark.parametrize("view", [OpenToEveryKey(), OpenToEveryKey.as_view()])
def test_view_may_be_open_to_every_key(user, view):
    narrow = generate_keys(user, scopes=["todo"], read_only=True)
    info = RequestInfo(RequestFactory().post("/"), view)

    assert verify(credential(narrow), info) == narrow.instance


@pytest.mark.parametrize("options", [{}, {"is_websocket": True}])
def test_page_of_another_site_may_send_a_safe_request_but_open_no_websocket(keys, options):
    request = RequestFactory().get("/", headers={"origin": "https://evil.example"})
    basic = parse(basic_header(keys), "basic")

    try:
        reason = verify(basic, RequestInfo(request, **options)) and None
    except Refused as refused:
        reason = refused.reason

    assert reason is (Reason.CROSS_SITE_REQUEST if options else None)


def test_object_that_resembles_a_request_may_lack_everything():
    info = RequestInfo(SimpleNamespace(META={}, method=None))

    assert info.methods == ("", "")
    assert info.described() == {"address": "", "method": "", "path": ""}


def test_method_that_was_sent_is_reported_and_not_an_override():
    request = RequestFactory().post("/")
    request.method = "PUT"

    assert RequestInfo(request).described()["method"] == "POST"


def test_refusal_by_a_view_leaves_on_record_whose_key_it_was(keys):
    info = info_of()
    verify(credential(keys), info)

    refused = report_failure(Refused(Reason.INSUFFICIENT_SCOPE), info)

    assert get_outcome(info.request) == Outcome(keys.instance, refused)


def test_refusal_is_not_reported_where_nothing_may_wait(log):
    info = info_of()
    info.may_wait = False

    with pytest.raises(MustWait):
        verify(Credential("token"), info)

    assert get_outcome(info.request) is None
    assert log.records == []


def test_access_token_that_failed_too_often_is_refused(settings):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "1/day"}
    unknown = parse("Bearer nobody-issued-this", "bearer")

    reasons = []
    for _ in range(3):
        with pytest.raises(Refused) as raised:
            verify(unknown, info_of())
        reasons.append(raised.value.reason)

    assert reasons == [Reason.INVALID_CREDENTIALS] + [Reason.TOO_MANY_FAILURES] * 2


# What it costs


@pytest.fixture
def hashes(monkeypatch):
    """Counts the hashes that are computed, and the comparisons."""
    counts = Counter()

    def counted(name, function):
        def call(*args):
            counts[name] += 1
            return function(*args)

        return call

    monkeypatch.setattr(crypto, "hashlib", SimpleNamespace(sha256=counted("hash", hashlib.sha256)))
    compare_digest = counted("compare", hmac.compare_digest)
    counting = SimpleNamespace(digest=counted("hash", hmac.digest), compare_digest=compare_digest)
    monkeypatch.setattr(crypto, "hmac", counting)
    return counts


@pytest.mark.parametrize("peppers", [[], [NEW, OLD]])
@pytest.mark.parametrize("made_with", [[], [OLD], [NEW]])
@pytest.mark.parametrize("grace", [timedelta(0), HOUR])
def test_unknown_key_costs_the_same_hash_work_as_a_wrong_secret(
    user, settings, hashes, peppers, made_with, grace
):
    settings.FRAPPE_TOKENS = {"PEPPERS": made_with}
    generate_keys(user)
    keys = generate_keys(user, grace=grace)
    settings.FRAPPE_TOKENS = {"PEPPERS": peppers}
    unknown = GeneratedKeys("ftk_unknown", keys.api_secret, keys.instance)
    crypto.make_digest("warm")
    for pepper in peppers:
        crypto._hmac_label(pepper)

    costs = []
    for pair in (unknown, with_wrong_secret(keys)):
        hashes.clear()
        assert attempt(pair) is Reason.INVALID_CREDENTIALS
        costs.append(dict(hashes))
    assert costs[0] == costs[1] == {"hash": 2, "compare": 2}


# The clock


def test_key_works_until_its_expiry_and_not_at_that_moment(user):
    with time_machine.travel(NOON - DAY, tick=False) as clock:
        keys = generate_keys(user, expires_at=NOON)
        clock.move_to(NOON - TICK)
        assert attempt(keys) == keys.instance
        clock.move_to(NOON)
        assert attempt(keys) is Reason.KEY_EXPIRED


# A database that doesn't answer


def failing(error, verb):
    def fail(execute, sql, params, many, context):
        if sql.startswith(verb):
            raise error("server closed the connection unexpectedly")
        return execute(sql, params, many, context)

    return fail


@pytest.mark.parametrize("error", [OperationalError, InterfaceError, DataError])
def test_database_that_does_not_answer_is_503_and_in_the_log_once(keys, error, caplog):
    with connection.execute_wrapper(failing(error, "SELECT")):
        for _ in range(2):
            with pytest.raises(Refused) as raised:
                verify(credential(keys), info_of())
            assert raised.value.reason is Reason.SERVICE_UNAVAILABLE
            assert raised.value.api_key == keys.api_key

    (record,) = (entry for entry in caplog.records if entry.name == "frappe_tokens.verification")
    assert "server closed the connection unexpectedly" in str(record.exc_info)
    assert keys.api_secret not in caplog.text


@pytest.mark.parametrize("error", [ProgrammingError, IntegrityError])
def test_wrong_statement_is_an_error_of_the_server(keys, error):
    with connection.execute_wrapper(failing(error, "SELECT")), pytest.raises(error):
        attempt(keys)


@pytest.mark.django_db(transaction=True)
def test_broken_connection_is_503_for_one_request(keys):
    if connection.vendor == "sqlite":
        leave_out("database server", "SQLite has no connection that breaks", in_ci_too=True)
    mysql = connection.vendor == "mysql"
    number = connection.connection.thread_id() if mysql else connection.connection.info.backend_pid
    other = connections.create_connection("default")
    with other.cursor() as cursor:
        cursor.execute("KILL %s" if mysql else "SELECT pg_terminate_backend(%s)", [number])
    other.close()
    assert attempt(keys) is Reason.SERVICE_UNAVAILABLE
    connection.close_if_unusable_or_obsolete()  # as Django does between requests
    assert attempt(keys) == keys.instance
