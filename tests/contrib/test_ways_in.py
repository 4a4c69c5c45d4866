"""Every refusal, by every way in. What the schemes differ in is in ``test_authentication``."""

from contextlib import nullcontext
from datetime import datetime, timedelta

import pytest
import time_machine
from django.db import OperationalError, connection, transaction
from django.test import Client, RequestFactory
from django.utils import timezone

from frappe_tokens import crypto
from frappe_tokens.credentials import parse
from frappe_tokens.exceptions import Mistake, Reason, Refused
from frappe_tokens.keys import GeneratedKeys, generate_keys, generate_keys_for_source, revoke
from frappe_tokens.models import ApiKey
from frappe_tokens.verification import RequestInfo, verify

from ..conftest import basic_header, bearer_header, token_header
from ..sources.models import Robot
from ..tables import gone
from .ways import SCOPE

pytestmark = pytest.mark.django_db

NOON = datetime.fromisoformat("2030-02-28T12:00:00+00:00")


def assert_refused(answer, reason, mistake=None):
    assert (answer.status, answer.body) == (
        reason.status,
        {"detail": str((mistake or reason).sentence), "code": reason.code},
    )
    challenge = 'token realm="api"' if reason.status == 401 else None
    assert answer.headers.get("WWW-Authenticate") == challenge
    assert ("Retry-After" in answer.headers) is (reason.status in {429, 503})


def test_request_runs_as_the_keys_user_by_one_select(ask, keys, header_of, statements):
    with statements() as verbs:
        answer = ask(header_of(keys), "POST")

    assert (answer.status, answer.body) == (200, {"user": "ada", "auth": "ApiKey"})
    assert verbs.count("SELECT") == 1


@pytest.mark.django_db(transaction=True)
def test_cached_key_takes_no_query(ask, keys, settings, statements):
    settings.FRAPPE_TOKENS = {"CACHE": "default"}
    first = ask(token_header(keys))

    with statements() as verbs:
        second = ask(token_header(keys))

    assert first.body == second.body == {"user": "ada", "auth": "ApiKey"}
    assert "SELECT" not in verbs


@pytest.mark.parametrize("header", [None, "Digest abc"])
def test_other_schemes_are_not_answered(ask, way, header):
    answer = ask(header)

    if "Ninja" in way.name:
        # Its authentication requires a credential, as IsAuthenticated does in DRF.
        assert (answer.status, answer.body) == (401, {"detail": "Unauthorized"})
    else:
        assert (answer.status, answer.body) == (200, {"user": "", "auth": "NoneType"})


@pytest.mark.django_db(transaction=True)  # Channels closes connections after each WebSocket
def test_narrow_key_is_accepted_within_its_limits(ask, user, keys):
    policies = {"read_only": True, "allowed_ips": ["192.0.2.0/24"], "scopes": [SCOPE, "more"]}
    scoped = token_header(generate_keys(user, name="narrow", **policies))

    assert ask(scoped).status == 200
    assert_refused(ask(scoped, undeclared=True), Reason.INSUFFICIENT_SCOPE)
    assert ask(token_header(keys), undeclared=True).status == 200


@pytest.mark.django_db(transaction=True)
def test_address_is_read_from_the_header_of_the_proxy(ask, user, settings):
    settings.FRAPPE_TOKENS = {"CLIENT_ADDRESS_HEADER": "X-Real-IP"}
    header = token_header(generate_keys(user, allowed_ips=["203.0.113.9"]))

    assert ask(header, x_real_ip="::ffff:203.0.113.9").status == 200
    assert_refused(ask(header, x_real_ip="203.0.113.9,203.0.113.9"), Reason.IP_NOT_ALLOWED)
    assert_refused(ask(header, x_forwarded_for="203.0.113.9"), Reason.IP_NOT_ALLOWED)
    settings.FRAPPE_TOKENS = {"CLIENT_ADDRESS_HEADER": "Forwarded", "NUM_PROXIES": 1}
    assert ask(header, forwarded='for=192.0.2.7, for="203.0.113.9:80"').status == 200
    spoofed = ask(header, forwarded="for=203.0.113.9, for=192.0.2.7")
    assert_refused(spoofed, Reason.IP_NOT_ALLOWED)


def with_wrong_secret(keys):
    return GeneratedKeys(keys.api_key, crypto.generate_api_secret(), keys.instance)


def test_malformed_credential_is_refused_without_a_query(ask, statements):
    with statements() as verbs:
        answer = ask("token a b")

    assert_refused(answer, Reason.MALFORMED_CREDENTIALS)
    assert "SELECT" not in verbs


def test_source_header_chooses_the_kind_of_key(ask, user, keys, settings, statements):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Robot": "sources.Robot"}}
    header = token_header(generate_keys_for_source(Robot.objects.create(user=user)))

    assert_refused(ask(header), Reason.INVALID_CREDENTIALS)
    answer = ask(header, frappe_authorization_source="Robot")
    assert (answer.status, answer.body) == (200, {"user": "ada", "auth": "Robot"})
    for source in ("Nobody", "frappe_tokens.ApiKey", "ApiKey", "sources.Robot"):
        with statements() as verbs:
            unknown = ask(token_header(keys), frappe_authorization_source=source)
        assert_refused(unknown, Reason.INVALID_CREDENTIALS, Mistake.UNKNOWN_SOURCE)
        assert "SELECT" not in verbs


MISTAKES = [
    ("{0.token}", Mistake.NO_TOKEN_SCHEME),
    ("0a1b2c3d4e5f607:fedcba987654321", Mistake.NO_TOKEN_SCHEME),
    ("token {0.api_key}", Mistake.SECRET_MISSING),
    ("token {0.api_secret}", Mistake.KEY_MISSING),
    ("token {0.api_secret}:{0.api_key}", Mistake.WRONG_ORDER),
    ("token {0.token}x", Mistake.WRONG_CHECKSUM),
]


@pytest.mark.parametrize(("header", "mistake"), MISTAKES)
def test_likely_mistake_is_explained_without_a_query(ask, keys, header, mistake, statements):
    with statements() as verbs:
        answer = ask(header.format(keys))

    assert_refused(answer, Reason.MALFORMED_CREDENTIALS, mistake)
    assert "SELECT" not in verbs


@time_machine.travel(NOON, tick=False)
def test_token_that_failed_too_often_is_refused_without_a_query(ask, keys, settings, statements):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "1/minute"}
    wrong = token_header(with_wrong_secret(keys))
    assert_refused(ask(wrong), Reason.INVALID_CREDENTIALS)

    with statements() as verbs:
        answer = ask(wrong)

    assert_refused(answer, Reason.TOO_MANY_FAILURES)
    assert answer.headers["Retry-After"] == "60"
    assert "SELECT" not in verbs
    assert ask(token_header(keys)).status == 200


def changed(**fields):
    def change(keys):
        ApiKey.objects.update(**fields)
        return keys

    return change


def revoked(keys):
    revoke(keys.instance)
    return keys


def of_inactive_user(keys):
    keys.instance.user.is_active = False
    keys.instance.user.save()
    return keys


REFUSED = [
    (with_wrong_secret, Reason.INVALID_CREDENTIALS),
    (revoked, Reason.KEY_REVOKED),
    (changed(disabled_at=timezone.now()), Reason.KEY_DISABLED),
    (changed(expires_at=timezone.now() - timedelta(days=1)), Reason.KEY_EXPIRED),
    (of_inactive_user, Reason.USER_INACTIVE),
    (changed(allowed_ips=["203.0.113.0/24"]), Reason.IP_NOT_ALLOWED),
    (changed(read_only=True), Reason.KEY_READ_ONLY),
    (changed(scopes=["todos:write"]), Reason.INSUFFICIENT_SCOPE),
]


@pytest.mark.parametrize(("change", "reason"), REFUSED, ids=[row[1].code for row in REFUSED])
def test_refusal_takes_one_query(ask, keys, change, reason, statements):
    header = token_header(change(keys))

    with statements() as verbs:
        answer = ask(header, "POST")

    assert_refused(answer, reason)
    assert verbs.count("SELECT") == 1


def test_database_that_does_not_answer_is_503(ask, keys):
    def fail(execute, sql, *args):
        if sql.startswith("SELECT"):
            raise OperationalError("server closed the connection unexpectedly")
        return execute(sql, *args)

    with connection.execute_wrapper(fail):
        answer = ask(token_header(keys))

    assert_refused(answer, Reason.SERVICE_UNAVAILABLE)


@pytest.mark.django_db(transaction=True)
def test_missing_table_is_503_and_in_the_log_once(ask, keys, caplog):
    with gone(ApiKey._meta.db_table):
        for _ in range(2):
            assert_refused(ask(token_header(keys)), Reason.SERVICE_UNAVAILABLE)

    assert ask(token_header(keys)).status == 200
    (record,) = (entry for entry in caplog.records if entry.name == "frappe_tokens.verification")
    assert "Run manage.py migrate." in record.getMessage()
    assert keys.api_secret not in caplog.text


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/rest/", "/plain/", "/ninja/sync/"])
def test_missing_table_is_503_in_transactions_too(
    keys, with_middleware, settings, path, monkeypatch
):
    settings.ROOT_URLCONF = "tests.contrib.ways"
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)

    with gone(ApiKey._meta.db_table):
        for within in (nullcontext(), transaction.atomic()):
            with within:
                response = Client().get(path, headers={"authorization": token_header(keys)})
            assert (response.status_code, response.json()["code"]) == (503, "service_unavailable")


FROM_ANOTHER_SITE = {"sec_fetch_site": "cross-site", "origin": "https://evil.example"}


@pytest.mark.django_db(transaction=True)
def test_basic_login_that_another_site_made_a_browser_send_is_refused(ask, keys, way, settings):
    answer = ask(basic_header(keys), "POST", **FROM_ANOTHER_SITE)

    assert_refused(answer, Reason.CROSS_SITE_REQUEST)
    assert ApiKey.objects.get().last_used_at is None
    for header in (token_header(keys), bearer_header(keys)):
        assert ask(header, "POST", **FROM_ANOTHER_SITE).status == 200
    # The other site can't read the response. Over a WebSocket, it can send more.
    reading = ask(basic_header(keys), **FROM_ANOTHER_SITE)
    assert reading.status == (403 if way.name == "Channels" else 200)
    settings.CSRF_TRUSTED_ORIGINS = ["https://evil.example"]
    assert ask(basic_header(keys), "POST", **FROM_ANOTHER_SITE).status == 200


def test_basic_login_needs_no_csrf_token_from_this_site(ask, keys):
    page = {"sec_fetch_site": "same-origin", "origin": "http://testserver"}

    assert ask(basic_header(keys), "POST", **page).body == {"user": "ada", "auth": "ApiKey"}


@pytest.mark.parametrize(
    ("policies", "reason"),
    [
        ({"allowed_ips": ["203.0.113.0/24"]}, Reason.IP_NOT_ALLOWED),
        ({"read_only": True}, Reason.KEY_READ_ONLY),
        ({"scopes": ["other"]}, Reason.CROSS_SITE_REQUEST),
    ],
)
def test_cross_site_request_has_its_place_among_the_reasons(keys, policies, reason):
    ApiKey.objects.update(**policies)
    request = RequestFactory().post("/", headers={"origin": "https://evil.example"})

    with pytest.raises(Refused) as raised:
        verify(parse(basic_header(keys), "basic"), RequestInfo(request))

    assert raised.value.reason is reason
