"""The contract's tables of the header and of refusals, the same by every way in."""

import base64
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from frappe_tokens import crypto
from frappe_tokens.exceptions import Reason
from frappe_tokens.keys import GeneratedKeys, generate_keys, generate_keys_for_source, revoke
from frappe_tokens.models import ApiKey

from ..conftest import basic_header, bearer_header, token_header
from ..sources.models import Robot
from .ways import SCOPE, WAYS

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("tests.contrib.ways"),
    pytest.mark.usefixtures("with_middleware"),
]

HEADERS = [token_header, basic_header, bearer_header]
CHALLENGES = {"token": "token", "basic": "Basic", "bearer": "Bearer"}


@pytest.fixture(params=WAYS, ids=[way.name for way in WAYS])
def way(request):
    return request.param


@pytest.fixture
def ask(way):
    """Sends one request by the way."""

    def ask(
        header,
        *,
        method="GET",
        source=None,
        address="192.0.2.1",
        undeclared=False,
    ):
        where = way.undeclared if undeclared else way.path
        return way.ask(where, header, method=method, source=source, address=address)

    return ask


def assert_refused(answer, reason, header):
    assert (answer.status, answer.body) == (
        reason.status,
        {"detail": str(reason.sentence), "code": reason.code},
    )
    scheme = header.split()[0].lower()
    challenge = answer.headers.get("WWW-Authenticate", "")
    if reason.status == 401:
        error = ', error="invalid_token"' if scheme == "bearer" else ""
        assert challenge == f'{CHALLENGES[scheme]} realm="api"{error}'
    elif scheme == "bearer" and reason is Reason.INSUFFICIENT_SCOPE:
        assert challenge.startswith('Bearer realm="api", error="insufficient_scope"')
    else:
        assert challenge == ""
    assert ("Retry-After" in answer.headers) is (reason.status in {429, 503})


# What is let in


@pytest.mark.parametrize("header_of", HEADERS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_runs_as_the_keys_user_with_one_select(ask, keys, header_of, method, statements):
    with statements() as verbs:
        answer = ask(header_of(keys), method=method)
    assert (answer.status, answer.body) == (200, {"user": "ada", "auth": "ApiKey"})
    assert verbs.count("SELECT") == 1


@pytest.mark.parametrize("header_of", HEADERS)
@pytest.mark.parametrize(
    "spelt",
    [
        lambda scheme, rest: f"{scheme.upper()} {rest}",
        lambda scheme, rest: f"{scheme.lower()} {rest}",
        lambda scheme, rest: f"{scheme.title()}   {rest}",
        lambda scheme, rest: f"{scheme}\t \t{rest} \t",
        lambda scheme, rest: f" {scheme} {rest}",
    ],
)
def test_takes_every_spelling_of_the_scheme(ask, keys, header_of, spelt):
    scheme, _, rest = header_of(keys).partition(" ")
    assert ask(spelt(scheme, rest)).status == 200


@pytest.mark.parametrize("header_of", HEADERS)
def test_the_source_header_chooses_the_kind_of_key(ask, user, header_of, settings, statements):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Robot": "sources.Robot"}}
    made = generate_keys_for_source(Robot.objects.create(user=user))
    assert_refused(ask(header_of(made)), Reason.INVALID_CREDENTIALS, header_of(made))
    with statements() as verbs:
        answer = ask(header_of(made), source="Robot")
    assert (answer.status, answer.body) == (200, {"user": "ada", "auth": "Robot"})
    assert verbs.count("SELECT") == 1


def test_a_key_with_the_scopes_is_let_in(ask, user):
    made = generate_keys(user, scopes=[SCOPE, "more"])
    assert ask(token_header(made)).status == 200


@pytest.mark.django_db(transaction=True)
def test_nothing_is_asked_where_the_cache_has_the_key(ask, keys, settings, statements):
    settings.FRAPPE_TOKENS = {"CACHE": "default"}
    first = ask(token_header(keys))
    with statements() as verbs:
        second = ask(token_header(keys))
    assert first.body == second.body == {"user": "ada", "auth": "ApiKey"}
    assert "SELECT" not in verbs


@pytest.mark.parametrize("header", [None, "", "Digest abc", "Negotiate abc", "tokens a:b"])
def test_other_schemes_are_not_answered(ask, way, header, django_assert_num_queries):
    answer = ask(header)
    if "Ninja" in way.name:
        # Its authentication asks for some credential, as IsAuthenticated does of DRF.
        assert (answer.status, answer.body) == (401, {"detail": "Unauthorized"})
    else:
        assert (answer.status, answer.body) == (200, {"user": "", "auth": "NoneType"})


# What is refused without a query

UNKNOWN = f"ftk_unknown:fts_{'a' * 43}{crypto.checksum('fts_' + 'a' * 43)}"
MALFORMED = [
    "",
    ":",
    "a",
    "ftk_a",
    "ftk_a:",
    ":fts_a",
    f"{UNKNOWN[:-1]}-",
    f"{UNKNOWN},token {UNKNOWN}",
    "ftk_a\x00:b",
    "ftk_a:b\xff",
    "ftk_a:\xa0b",
    "ftk_a:" + "b" * 257,
    "a" * 65 + ":b",
    ":".join(reversed(UNKNOWN.split(":"))),
]


@pytest.mark.parametrize("token", MALFORMED, ids=lambda token: repr(token[-20:]))
@pytest.mark.parametrize("scheme", ["token", "Basic", "Bearer"])
def test_malformed_credentials_are_refused_without_a_query(ask, scheme, token, statements):
    if scheme == "Basic":
        token = base64.b64encode(token.encode("latin-1")).decode()
    with statements() as verbs:
        answer = ask(f"{scheme} {token}")
    # What has the form of an access token is looked up where an OAuth 2 server is installed.
    opaque = scheme == "Bearer" and token == "a"
    if not opaque:
        assert_refused(answer, Reason.MALFORMED_CREDENTIALS, scheme)
        assert "SELECT" not in verbs
    assert answer.status == 401


@pytest.mark.parametrize("header", ["Basic !", "Basic YTpi=", "Basic YTpi YTpi", "token\xa0a:b"])
def test_so_is_what_is_stuck_to_the_scheme_or_no_base64(ask, header, statements):
    with statements() as verbs:
        answer = ask(header)
    assert_refused(answer, Reason.MALFORMED_CREDENTIALS, header.replace("\xa0", " "))
    assert "SELECT" not in verbs


@pytest.mark.parametrize("header_of", HEADERS)
@pytest.mark.parametrize("source", ["Nobody", "user", "", "User,User"])
def test_an_unknown_source_is_refused_without_a_query(ask, keys, header_of, source, statements):
    with statements() as verbs:
        answer = ask(header_of(keys), source=source)
    assert_refused(answer, Reason.INVALID_CREDENTIALS, header_of(keys))
    assert "SELECT" not in verbs


@pytest.mark.parametrize("header_of", HEADERS)
def test_token_that_failed_too_often_is_refused_without_a_query(
    ask, keys, header_of, settings, statements
):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": "1/minute"}
    wrong = header_of(with_wrong_secret(keys))
    assert_refused(ask(wrong), Reason.INVALID_CREDENTIALS, wrong)
    for _ in range(2):
        answer = ask(wrong)
    with statements() as verbs:
        answer = ask(wrong)
    assert_refused(answer, Reason.TOO_MANY_FAILURES, wrong)
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert "SELECT" not in verbs
    assert ask(header_of(keys)).status == 200


# What is refused by one query


def with_wrong_secret(keys):
    return GeneratedKeys(keys.api_key, crypto.generate_api_secret(), keys.instance)


def with_unknown_key(keys):
    return GeneratedKeys("ftk_unknown", keys.api_secret, keys.instance)


def after_revoking(keys):
    revoke(keys.instance)
    return keys


def after_expiry(keys):
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(microseconds=1))
    return keys


def after_the_user_left(keys):
    keys.instance.user.is_active = False
    keys.instance.user.save()
    return keys


def elsewhere(keys):
    ApiKey.objects.update(allowed_ips=["203.0.113.0/24"])
    return keys


def read_only(keys):
    ApiKey.objects.update(read_only=True)
    return keys


def of_another_scope(keys):
    ApiKey.objects.update(scopes=["todos:write"])
    return keys


REFUSED = [
    (with_wrong_secret, Reason.INVALID_CREDENTIALS),
    (with_unknown_key, Reason.INVALID_CREDENTIALS),
    (after_revoking, Reason.KEY_REVOKED),
    (after_expiry, Reason.KEY_EXPIRED),
    (after_the_user_left, Reason.USER_INACTIVE),
    (elsewhere, Reason.IP_NOT_ALLOWED),
    (read_only, Reason.KEY_READ_ONLY),
    (of_another_scope, Reason.INSUFFICIENT_SCOPE),
]


@pytest.mark.parametrize("header_of", HEADERS)
@pytest.mark.parametrize(("change", "reason"), REFUSED, ids=[c.__name__ for c, _ in REFUSED])
def test_the_others_are_refused_by_one_query(
    ask,
    keys,
    header_of,
    change,
    reason,
    statements,
):
    header = header_of(change(keys))
    with statements() as verbs:
        answer = ask(header, method="POST")
    assert_refused(answer, reason, header)
    assert verbs.count("SELECT") == 1


def test_a_read_only_key_may_look(ask, keys):
    assert ask(token_header(read_only(keys))).status == 200


def test_a_key_of_the_right_address_is_let_in(ask, keys):
    assert ask(token_header(elsewhere(keys)), address="203.0.113.7").status == 200


@pytest.mark.parametrize("header_of", HEADERS)
def test_a_scoped_key_opens_nothing_that_declares_no_scopes(ask, user, header_of):
    header = header_of(generate_keys(user, scopes=[SCOPE]))
    assert_refused(ask(header, undeclared=True), Reason.INSUFFICIENT_SCOPE, header)
    assert ask(header).status == 200


def test_a_key_without_scopes_does(ask, keys):
    assert ask(token_header(keys), undeclared=True).status == 200


def failing(execute, sql, params, many, context):
    if not sql.startswith("SELECT"):
        return execute(sql, params, many, context)
    raise OperationalError("server closed the connection unexpectedly")


@pytest.mark.parametrize("header_of", HEADERS)
def test_a_database_that_does_not_answer_is_503(ask, keys, header_of):
    with connection.execute_wrapper(failing):
        answer = ask(header_of(keys))
    assert_refused(answer, Reason.SERVICE_UNAVAILABLE, header_of(keys))
