"""The DRF classes: what goes over the wire, alone and beside other packages' classes."""

import base64
import json
from datetime import timedelta
from itertools import permutations

import pytest
from django.test import Client, RequestFactory
from django.urls import path
from knox.auth import TokenAuthentication as KnoxAuthentication
from knox.models import AuthToken
from rest_framework import authentication as drf
from rest_framework.authtoken.models import Token
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.tokens import AccessToken

from frappe_tokens import crypto
from frappe_tokens.authentication import (
    BasicAuthentication,
    BearerAuthentication,
    TokenAuthentication,
)
from frappe_tokens.keys import GeneratedKeys, generate_keys, revoke
from frappe_tokens.models import ApiKey
from frappe_tokens.rest_exceptions import RefusedCredentials

from .conftest import PASSWORD, basic_header, bearer_header, token_header

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

OURS = [TokenAuthentication, BasicAuthentication, BearerAuthentication]
UNKNOWN = f"ftk_unknown:fts_{'a' * 43}{crypto.checksum('fts_' + 'a' * 43)}"

INVALID = {"detail": "Invalid API key or API secret.", "code": "invalid_credentials"}
MALFORMED = {
    "detail": "The Authorization header contains no valid credentials. "
    "Send <api_key>:<api_secret>.",
    "code": "malformed_credentials",
}
# What is no pair may be an access token, to Bearer alone.
UNKNOWN_ACCESS_TOKEN = {"detail": "Invalid access token.", "code": "invalid_credentials"}
OPAQUE = {"token": MALFORMED, "basic": MALFORMED, "bearer": UNKNOWN_ACCESS_TOKEN}
CHALLENGES = {
    "token": 'token realm="api"',
    "basic": 'Basic realm="api"',
    "bearer": 'Bearer realm="api", error="invalid_token"',
}


class WhoAmI(APIView):
    """Says whom the request runs as, to everybody."""

    permission_classes = []

    def get(self, request):
        auth = "" if request.auth is None else type(request.auth).__name__
        return Response({"user": request.user.get_username(), "auth": auth})

    post = put = patch = delete = get


def view(*classes, **attributes):
    attributes = {"authentication_classes": list(classes), **attributes}
    return type("View", (WhoAmI,), attributes).as_view()


urlpatterns = [
    path("ours/", view(*OURS, drf.SessionAuthentication)),
    path("closed/", view(*OURS, permission_classes=[IsAuthenticated])),
    path("session-first/", view(drf.SessionAuthentication, *OURS)),
    path("jwt/", view(*OURS, JWTAuthentication, drf.SessionAuthentication)),
]


def ask(
    view,
    authorization=None,
    method="GET",
    **meta,
):
    if authorization is not None:
        meta["HTTP_AUTHORIZATION"] = authorization
    response = view(RequestFactory().generic(method, "/", **meta))
    response.render()
    return response


def body(response):
    return json.loads(response.content)


def scheme_of(header):
    return header.split()[0].lower()


def assert_refused(response, header, expected):
    assert response.status_code == 401
    assert body(response) == expected
    assert response["WWW-Authenticate"] == CHALLENGES[scheme_of(header)]


def basic(text):
    return "Basic " + base64.b64encode(text.encode("latin-1")).decode()


# What a request gets


def test_request_runs_as_the_keys_user(keys, header_of):
    seen = {}

    class Look(APIView):
        authentication_classes = OURS

        def get(self, request):
            seen.update(user=request.user, auth=request.auth)
            return Response()

    assert ask(Look.as_view(), header_of(keys)).status_code == 200
    assert seen["user"] == keys.instance.user
    assert seen["auth"] == keys.instance
    assert isinstance(seen["auth"], ApiKey)
    assert seen["auth"].user is seen["user"]


@pytest.mark.django_db(transaction=True)
def test_first_use_costs_one_select_and_one_update_and_the_next_one_select(
    keys, header_of, statements
):
    with statements() as first:
        assert ask(view(*OURS), header_of(keys)).status_code == 200
    with statements() as second:
        assert ask(view(*OURS), header_of(keys)).status_code == 200
    assert first == ["SELECT", "UPDATE"]
    assert second == ["SELECT"]


@pytest.mark.django_db(transaction=True)
def test_nothing_else_is_sent_outside_a_transaction(keys, django_assert_num_queries):
    with django_assert_num_queries(2):
        ask(view(*OURS), token_header(keys))
    with django_assert_num_queries(1):
        ask(view(*OURS), token_header(keys))


def test_pair_from_a_frappe_site_works(user, header_of):
    pair = GeneratedKeys("0a1b2c3d4e5f607", crypto.Secret("fedcba987654321"), ApiKey(user=user))
    ApiKey.objects.create(
        user=user, api_key=pair.api_key, secret_digest=crypto.make_digest(pair.api_secret)
    )
    rivals = [drf.TokenAuthentication, drf.BasicAuthentication, JWTAuthentication]
    assert body(ask(view(*OURS), header_of(pair)))["user"] == "ada"
    assert body(ask(view(*OURS, *rivals), header_of(pair)))["user"] == "ada"


@pytest.mark.parametrize("prefix", ["x_", "fts_x"])
def test_keys_made_before_the_prefixes_changed_work(
    keys,
    header_of,
    settings,
    prefix,
):
    settings.FRAPPE_TOKENS = {"KEY_PREFIX": "acme_", "SECRET_PREFIX": prefix}
    rivals = [drf.TokenAuthentication, drf.BasicAuthentication, JWTAuthentication]
    assert body(ask(view(*OURS, *rivals), header_of(keys)))["user"] == "ada"


def test_unknown_key_and_wrong_secret_get_the_same_bytes(keys, header_of, statements):
    wrong = GeneratedKeys(keys.api_key, crypto.generate_api_secret(), keys.instance)
    unknown = GeneratedKeys("ftk_unknown", keys.api_secret, keys.instance)
    with statements() as verbs:
        answers = [ask(view(*OURS), header_of(pair)) for pair in (wrong, unknown)]
    assert verbs == ["SELECT", "SELECT"]
    assert_refused(answers[0], header_of(wrong), INVALID)
    assert answers[0].content == answers[1].content
    assert answers[0].status_code == answers[1].status_code
    assert answers[0].headers == answers[1].headers


@pytest.mark.parametrize("spelling", [str.upper, str.lower, str.swapcase])
def test_key_in_the_wrong_case_is_unknown(keys, header_of, spelling):
    api_key = "ftk_AbCdEfGhIjKlMnOp"
    ApiKey.objects.filter(pk=keys.instance.pk).update(api_key=api_key)
    right = GeneratedKeys(api_key, keys.api_secret, keys.instance)
    wrong = GeneratedKeys(spelling(api_key), keys.api_secret, keys.instance)
    assert ask(view(*OURS), header_of(right)).status_code == 200
    assert_refused(ask(view(*OURS), header_of(wrong)), header_of(wrong), INVALID)


@pytest.mark.parametrize(
    "token",
    [
        ":",
        "ftk_a",
        "ftk_a:",
        ":fts_a",
        f"{UNKNOWN[:-1]}-",
        f"{UNKNOWN},token {UNKNOWN}",
        f"{UNKNOWN}, token {UNKNOWN}",
        "ftk_a\x00:b",
        "ftk_a:b\x00",
        "ftk_a\xff:b",
        "ftk_a:b\xff",
        "ftk_a:\xa0b",
        ":" * 1_000_000,
        "ftk_a:" + "b" * 10_000_000,
    ],
    ids=lambda token: repr(token[-20:]),
)
@pytest.mark.parametrize("scheme", ["token", "Basic", "Bearer"])
def test_malformed_credential_is_refused_without_a_query(token, scheme, django_assert_num_queries):
    header = basic(token) if scheme == "Basic" else f"{scheme} {token}"
    with django_assert_num_queries(0):
        assert_refused(ask(view(*OURS, drf.SessionAuthentication), header), header, MALFORMED)


@pytest.mark.parametrize("rest", ["", " ", "\t", "=a:b", "\xa0a:b", "\x00"])
@pytest.mark.parametrize("scheme", ["token", "Basic", "Bearer"])
def test_scheme_without_credential_is_refused(scheme, rest, django_assert_num_queries):
    classes = [*OURS, drf.TokenAuthentication, drf.BasicAuthentication, JWTAuthentication]
    with django_assert_num_queries(0):
        assert_refused(ask(view(*classes), scheme + rest), scheme, MALFORMED)


@pytest.mark.parametrize("header", [None, "", " ", "Digest x", "Negotiate abc", "tokens a:b"])
def test_header_of_nobodys_scheme_passes_as_anonymous_as_in_drf(header, django_assert_num_queries):
    with django_assert_num_queries(0):
        for classes in (OURS, [drf.TokenAuthentication, drf.BasicAuthentication]):
            response = ask(view(*classes), header)
            assert response.status_code == 200
            assert body(response) == {"user": "", "auth": ""}


def test_request_without_credentials_is_challenged_by_the_first_scheme():
    response = Client().get("/closed/")
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'token realm="api"'


@pytest.mark.parametrize("scheme", OURS)
def test_challenge_names_the_scheme_and_the_realm(scheme, settings):
    settings.FRAPPE_TOKENS = {"REALM": "Example"}
    response = ask(view(scheme, permission_classes=[IsAuthenticated]))
    word = {"Token": "token"}.get(scheme.scheme.title(), scheme.scheme.title())
    assert response["WWW-Authenticate"] == f'{word} realm="Example"'


def test_credentials_in_the_query_or_the_body_are_ignored(keys):
    client = Client()
    fields = {
        "api_key": keys.api_key,
        "api_secret": str(keys.api_secret),
        "token": str(keys.token),
        "access_token": str(keys.token),
        "Authorization": token_header(keys),
    }
    for response in (
        client.get("/ours/", fields),
        client.post("/ours/", fields),
        client.post("/ours/", fields, content_type="application/json"),
    ):
        assert response.json() == {"user": "", "auth": ""}


# Frappe-Authorization-Source


def test_source_user_is_the_default(keys):
    for meta in ({}, {"HTTP_FRAPPE_AUTHORIZATION_SOURCE": "User"}):
        assert body(ask(view(*OURS), token_header(keys), **meta))["user"] == "ada"


@pytest.mark.parametrize("source", ["", "user", "ApiKey", "frappe_tokens.ApiKey", "x\x00", " User"])
def test_unknown_source_is_refused_without_a_query(
    keys,
    header_of,
    source,
    django_assert_num_queries,
):
    header = header_of(keys)
    with django_assert_num_queries(0):
        response = ask(view(*OURS), header, HTTP_FRAPPE_AUTHORIZATION_SOURCE=source)
    assert_refused(response, header, INVALID)


# Reasons


def revoked(key):
    revoke(key)
    return {}


def expired(key):
    ApiKey.objects.filter(pk=key.pk).update(expires_at=key.created_at)
    return {}


def inactive(key):
    key.user.is_active = False
    key.user.save()
    return {}


def elsewhere(key):
    ApiKey.objects.filter(pk=key.pk).update(allowed_ips=["192.0.2.0/24"])
    return {"REMOTE_ADDR": "203.0.113.9"}


def read_only(key):
    ApiKey.objects.filter(pk=key.pk).update(read_only=True)
    return {"method": "POST"}


def scoped(key):
    ApiKey.objects.filter(pk=key.pk).update(scopes=["other"])
    return {}


REASONS = [
    (revoked, 401, "key_revoked", "This API key has been revoked. Ask for a new one."),
    (
        expired,
        401,
        "key_expired",
        "This API key has expired. Ask for a later expiry or a new key.",
    ),
    (inactive, 401, "user_inactive", "The user of this API key is inactive."),
    (elsewhere, 403, "ip_not_allowed", "This API key can't be used from your address."),
    (
        read_only,
        403,
        "key_read_only",
        "This API key is read-only. Use GET, HEAD or OPTIONS.",
    ),
    (
        scoped,
        403,
        "insufficient_scope",
        "This API key doesn't have the scopes that this view requires.",
    ),
]


@pytest.mark.parametrize(("because", "status", "code", "detail"), REASONS)
def test_refusal_says_why(
    keys,
    header_of,
    statements,
    because,
    status,
    code,
    detail,
):
    meta = because(keys.instance)
    header = header_of(keys)
    with statements() as verbs:
        response = ask(view(*OURS, required_scopes=["todo", "user"]), header, **meta)
    assert verbs == ["SELECT"]
    assert response.status_code == status
    assert body(response) == {"detail": detail, "code": code}
    assert response["Content-Type"] == "application/json"
    if status == 401:
        assert response["WWW-Authenticate"] == CHALLENGES[scheme_of(header)]
    elif code == "insufficient_scope" and scheme_of(header) == "bearer":
        assert response["WWW-Authenticate"] == (
            'Bearer realm="api", error="insufficient_scope", scope="todo user"'
        )
    else:
        assert "WWW-Authenticate" not in response
    assert ApiKey.objects.get(pk=keys.instance.pk).last_used_at is None


@pytest.mark.parametrize("because", [row[0] for row in REASONS])
def test_wrong_secret_is_not_told_why_a_right_one_is_refused(
    keys,
    header_of,
    because,
):
    meta = because(keys.instance)
    wrong = GeneratedKeys(keys.api_key, crypto.generate_api_secret(), keys.instance)
    header = header_of(wrong)
    assert_refused(ask(view(*OURS), header, **meta), header, INVALID)


def test_bearer_challenge_of_a_view_without_scopes_names_none(user):
    scoped_keys = generate_keys(user, scopes=["todo"])
    response = ask(view(*OURS), bearer_header(scoped_keys))
    assert response["WWW-Authenticate"] == 'Bearer realm="api", error="insufficient_scope"'


@pytest.mark.parametrize(
    ("required", "status"),
    [
        (None, 403),
        ([], 403),
        ("", 403),
        (" ", 403),
        (["todo"], 200),
        (("todo",), 200),
        ({"todo"}, 200),
        ("todo", 200),
        ("todo user", 200),
        (["todo", "user"], 200),
        (["todo", "admin"], 403),
        ("todo admin", 403),
        ("tod", 403),
        (["Todo"], 403),
    ],
)
def test_scoped_key_opens_views_whose_scopes_it_holds(user, header_of, required, status):
    scoped_keys = generate_keys(user, scopes=["todo", "user", "more"])
    response = ask(view(*OURS, required_scopes=required), header_of(scoped_keys))
    assert response.status_code == status


@pytest.mark.parametrize("required", [None, [], "todo", ["todo"]])
def test_key_without_scopes_opens_every_view(keys, required):
    assert ask(view(*OURS, required_scopes=required), token_header(keys)).status_code == 200


def test_scopes_are_enforced_where_the_view_declares_nothing_of_the_kind(user):
    scoped_keys = generate_keys(user, scopes=["todo"])
    assert ask(view(*OURS), token_header(scoped_keys)).status_code == 403


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("GET", 200),
        ("HEAD", 405),  # which the view does not have
        ("OPTIONS", 200),
        ("POST", 403),
        ("PUT", 403),
        ("PATCH", 403),
        ("DELETE", 403),
        ("TRACE", 403),
        ("PROPFIND", 403),
        ("GETT", 403),
    ],
)
def test_read_only_key_gets_heads_and_asks_for_options(user, header_of, method, status):
    limited = generate_keys(user, read_only=True)
    methods = [name for name in APIView.http_method_names if name != "head"]
    response = ask(view(*OURS, http_method_names=methods), header_of(limited), method)
    assert response.status_code == status
    if status == 403:
        assert body(response)["code"] == "key_read_only"


@pytest.mark.parametrize(
    ("sent", "becomes", "status"),
    [("POST", "GET", 403), ("GET", "POST", 403), ("GET", "HEAD", 200), ("GET", "get", 403)],
)
def test_method_that_a_middleware_rewrote_opens_nothing_to_a_read_only_key(
    user, sent, becomes, status
):
    limited = generate_keys(user, read_only=True)
    whoami = view(*OURS)

    def override(request):
        request.method = becomes
        return whoami(request)

    assert ask(override, token_header(limited), sent).status_code == status


@pytest.mark.parametrize("name", ["X_HTTP_METHOD_OVERRIDE", "X_METHOD_OVERRIDE", "X_HTTP_METHOD"])
def test_override_header_counts_for_nothing(user, name):
    limited = generate_keys(user, read_only=True)
    meta = {f"HTTP_{name}": "GET"}
    assert ask(view(*OURS), token_header(limited), "POST", **meta).status_code == 403
    meta = {f"HTTP_{name}": "POST"}
    assert ask(view(*OURS), token_header(limited), "GET", **meta).status_code == 200


@pytest.mark.parametrize(
    ("num_proxies", "remote_addr", "forwarded_for", "status"),
    [
        (None, "192.0.2.1", "", 200),
        (None, "203.0.113.9", "192.0.2.1", 403),
        (0, "203.0.113.9", "192.0.2.1", 403),
        (1, "203.0.113.9", "192.0.2.1", 200),
        (1, "203.0.113.9", "192.0.2.1, 198.51.100.1", 403),
        (2, "203.0.113.9", "192.0.2.1, 198.51.100.1", 200),
        (2, "203.0.113.9", "192.0.2.1", 403),
        (1, "203.0.113.9", "::ffff:192.0.2.1", 200),
        (1, "203.0.113.9", "192.0.2.1:8080", 200),
        (1, "203.0.113.9", "[2001:db8::1]:8080", 200),
        (1, "192.0.2.1", "unknown", 403),
        (None, "::ffff:192.0.2.1", "", 200),
        (None, "2001:db8::1", "", 200),
        (None, "2001:db9::1", "", 403),
        (None, "", "", 403),
    ],
)
@pytest.mark.parametrize("setting", ["ours", "drf"])
def test_address_is_that_of_the_peer_unless_proxies_are_trusted(
    user,
    settings,
    setting,
    num_proxies,
    remote_addr,
    forwarded_for,
    status,
):
    if setting == "ours":
        settings.FRAPPE_TOKENS = {"NUM_PROXIES": num_proxies}
    else:
        settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": num_proxies}
    bound = generate_keys(user, allowed_ips=["192.0.2.0/24", "2001:db8::/32"])
    response = ask(
        view(*OURS),
        token_header(bound),
        REMOTE_ADDR=remote_addr,
        HTTP_X_FORWARDED_FOR=forwarded_for,
    )
    assert response.status_code == status
    if status == 403:
        assert body(response)["code"] == "ip_not_allowed"


# A session cookie beside the header


@pytest.fixture
def logged_in(make_user):
    make_user("grace")
    client = Client()
    assert client.login(username="grace", password=PASSWORD)
    return client


def test_session_alone_works(logged_in):
    assert logged_in.get("/ours/").json() == {"user": "grace", "auth": ""}


@pytest.mark.parametrize(
    "header",
    [
        f"token {UNKNOWN}",
        basic(UNKNOWN),
        f"Bearer {UNKNOWN}",
        " token a:b",
        "\ttoken a:b",
        "token",
        "token opaque",
        "token\xa0a:b",
        "Basic !",
        "Basic " + "A" * 1000,
        "Bearer opaque",
        "Bearer a:b\x00",
    ],
)
@pytest.mark.parametrize("url", ["/ours/", "/jwt/"])
def test_session_does_not_help_a_wrong_header(logged_in, header, url):
    response = logged_in.get(url, headers={"authorization": header})
    assert response.status_code == 401
    assert response["WWW-Authenticate"]


def test_header_decides_against_another_users_session(logged_in, keys, header_of):
    for method in (logged_in.get, logged_in.post):
        response = method("/ours/", headers={"authorization": header_of(keys)})
        assert response.json() == {"user": "ada", "auth": "ApiKey"}


def test_header_that_authenticated_needs_no_csrf_token(keys, header_of):
    client = Client(enforce_csrf_checks=True)
    assert client.login(username="ada", password=PASSWORD)
    headers = {"authorization": header_of(keys)}
    assert client.post("/ours/").status_code == 403
    assert client.post("/ours/", headers=headers).json() == {"user": "ada", "auth": "ApiKey"}


@pytest.mark.parametrize("order", list(permutations([*OURS, drf.SessionAuthentication])))
def test_answers_are_the_same_in_every_order_of_the_classes(keys, header_of, order):
    wrong = GeneratedKeys(keys.api_key, crypto.generate_api_secret(), keys.instance)
    header = header_of(wrong)
    whoami = view(*order)
    assert body(ask(whoami, header_of(keys)))["user"] == "ada"
    assert_refused(ask(whoami, header), header, INVALID)
    opaque = f"{scheme_of(header)} opaque"
    assert_refused(ask(whoami, opaque), opaque, OPAQUE[scheme_of(header)])


def test_status_is_401_with_our_challenge_behind_session_authentication():
    response = Client().get("/session-first/", headers={"authorization": f"token {UNKNOWN}"})
    assert_refused(response, "token", INVALID)


# Beside the classes of other packages

RIVALS = [drf.TokenAuthentication, drf.BasicAuthentication, JWTAuthentication]


class Long(AccessToken):
    """With a key of its own, since the tests' SECRET_KEY is short."""

    _token_backend = TokenBackend("HS256", "a signing key that is long enough for HS256")


class Jwt(JWTAuthentication):
    def get_validated_token(self, raw_token):
        return Long(raw_token)


def test_drf_token_is_left_to_drf(user):
    token = Token.objects.create(user=user)
    assert len(token.key) == 40
    for classes in ([*OURS, *RIVALS], [TokenAuthentication, drf.TokenAuthentication]):
        for word in ("Token", "token"):
            response = ask(view(*classes), f"{word} {token.key}")
            assert body(response) == {"user": "ada", "auth": "Token"}


def test_wrong_drf_token_gets_drfs_own_answer():
    theirs = ask(view(drf.TokenAuthentication), f"Token {'a' * 40}")
    response = ask(view(TokenAuthentication, drf.TokenAuthentication), f"Token {'a' * 40}")
    assert response.status_code == theirs.status_code == 401
    assert body(response) == body(theirs) == {"detail": "Invalid token."}


def test_username_and_password_are_left_to_drf(user):
    for classes in ([*OURS, *RIVALS], [BasicAuthentication, drf.BasicAuthentication]):
        assert body(ask(view(*classes), basic(f"ada:{PASSWORD}")))["user"] == "ada"
        response = ask(view(*classes), basic("ada:wrong"))
        assert response.status_code == 401
        assert body(response) == {"detail": "Invalid username/password."}


def test_knox_token_is_left_to_knox(user):
    _, token = AuthToken.objects.create(user)
    for classes in ([*OURS, KnoxAuthentication], [*OURS, KnoxAuthentication, *RIVALS]):
        assert body(ask(view(*classes), f"Token {token}")) == {"user": "ada", "auth": "AuthToken"}
    response = ask(view(*OURS, KnoxAuthentication), "Token " + "a" * 64)
    assert response.status_code == 401
    assert body(response) == {"detail": "Invalid token."}


def test_jwt_is_left_to_simplejwt(user):
    jwt = Long.for_user(user)
    response = ask(view(*OURS, Jwt), f"Bearer {jwt}")
    assert body(response) == {"user": "ada", "auth": "Long"}


def test_wrong_jwt_gets_simplejwts_own_answer():
    response = ask(view(*OURS, JWTAuthentication), "Bearer eyJh.eyJz.c2ln")
    assert response.status_code == 401
    assert body(response)["code"] == "token_not_valid"


def test_jwt_that_simplejwt_passes_over_is_refused_and_not_anonymous(user, logged_in):
    # Its scheme is case-sensitive.
    header = f"bearer {Long.for_user(user)}"
    assert body(ask(view(Jwt), header)) == {"user": "", "auth": ""}
    assert_refused(ask(view(*OURS, Jwt), header), header, UNKNOWN_ACCESS_TOKEN)
    assert_refused(
        ask(view(*OURS, Jwt, drf.SessionAuthentication), header), header, UNKNOWN_ACCESS_TOKEN
    )
    response = logged_in.get("/jwt/", headers={"authorization": header})
    assert_refused(response, header, UNKNOWN_ACCESS_TOKEN)


def test_ours_work_before_rivals(keys, header_of):
    wrong = GeneratedKeys(keys.api_key, crypto.generate_api_secret(), keys.instance)
    header = header_of(wrong)
    assert body(ask(view(*OURS, *RIVALS), header_of(keys)))["user"] == "ada"
    assert_refused(ask(view(*OURS, *RIVALS), header), header, INVALID)


@pytest.mark.parametrize("scheme", ["token", "Bearer"])
def test_opaque_token_that_no_later_class_answers_is_refused(scheme):
    header = f"{scheme} opaque"
    others = [drf.BasicAuthentication, drf.SessionAuthentication, drf.RemoteUserAuthentication]
    assert_refused(ask(view(*OURS, *others), header), header, OPAQUE[scheme_of(header)])


def test_earlier_class_of_the_same_scheme_is_not_asked_again():
    # simplejwt, first in the list, has passed over the lower-case scheme already.
    header = "bearer opaque"
    assert_refused(ask(view(JWTAuthentication, *OURS), header), header, UNKNOWN_ACCESS_TOKEN)


def test_class_that_wraps_ours_lets_no_credential_pass_as_anonymous():
    class Wrapped(drf.BaseAuthentication):
        def authenticate(self, request):
            return BearerAuthentication().authenticate(request)

    header = "bearer opaque"
    assert_refused(ask(view(Wrapped), header), header, UNKNOWN_ACCESS_TOKEN)
    assert_refused(ask(view(JWTAuthentication, Wrapped), header), header, UNKNOWN_ACCESS_TOKEN)


@pytest.mark.parametrize("container", [list, tuple])
def test_rivals_may_come_in_any_sequence(user, container):
    token = Token.objects.create(user=user)

    def get_authenticators(self):
        return container(each() for each in [*OURS, *RIVALS[:2], Jwt])

    whoami = view(get_authenticators=get_authenticators)
    assert body(ask(whoami, f"Token {token.key}")) == {"user": "ada", "auth": "Token"}
    assert body(ask(whoami, basic(f"ada:{PASSWORD}")))["user"] == "ada"
    assert body(ask(whoami, f"Bearer {Long.for_user(user)}"))["auth"] == "Long"
    assert body(ask(whoami, f"Token {'a' * 40}")) == {"detail": "Invalid token."}
    assert_refused(ask(whoami, "bearer a.b.c"), "bearer", UNKNOWN_ACCESS_TOKEN)


class Silent(drf.BaseAuthentication):
    """Answers two schemes, and passes over all that it is asked about."""

    def authenticate(self, request):
        return None

    def authenticate_header(self, request):
        return str(request.META["HTTP_AUTHORIZATION"].split()[0])


def test_list_that_requests_share_stays_right_and_short(user, keys, header_of):
    token = Token.objects.create(user=user)
    shared = [*(each() for each in OURS), drf.TokenAuthentication(), Jwt(), Silent()]
    before = len(shared)
    whoami = view(get_authenticators=lambda self: shared)
    for _ in range(20):
        for header in ("token opaque a", "Bearer", "bearer a.b.c", basic("ada:x"), "Basic !"):
            assert ask(whoami, header).status_code == 401
        assert body(ask(whoami, f"Token {token.key}"))["user"] == "ada"
        assert body(ask(whoami, header_of(keys)))["user"] == "ada"
        assert body(ask(whoami, "Digest x"))["user"] == ""
        assert body(ask(whoami))["user"] == ""
    assert len(shared) <= before + 3


def test_credential_that_several_later_classes_pass_over_is_refused():
    class One(Silent):
        pass

    for scheme in ("token x", "Basic x", "Bearer x"):
        classes = [*OURS, One, drf.SessionAuthentication, Silent, drf.SessionAuthentication]
        assert_refused(ask(view(*classes), scheme), scheme, OPAQUE[scheme_of(scheme)])


def test_grace_of_a_rotated_secret_works_by_every_scheme(keys, header_of):
    new = generate_keys(keys.instance.user, grace=timedelta(minutes=5))
    assert body(ask(view(*OURS), header_of(keys)))["user"] == "ada"
    assert body(ask(view(*OURS), header_of(new)))["user"] == "ada"


def test_basic_pair_may_be_left_to_drf_only_when_it_is_not_ours(keys):
    wrong = GeneratedKeys(keys.api_key, crypto.Secret("password"), keys.instance)
    header = basic_header(wrong)
    response = ask(view(*OURS, drf.BasicAuthentication), header)
    assert_refused(response, header, INVALID)


def test_class_that_names_another_of_its_schemes_is_asked_too(user, monkeypatch):
    """simplejwt answers each of its header types and names the first of them."""
    module = "rest_framework_simplejwt.authentication"
    monkeypatch.setattr(f"{module}.AUTH_HEADER_TYPES", ("JWT", "Bearer"))
    monkeypatch.setattr(f"{module}.AUTH_HEADER_TYPE_BYTES", {b"JWT", b"Bearer"})

    class Who(APIView):
        authentication_classes = [BearerAuthentication, JWTAuthentication]

        def get(self, request):
            return Response(str(request.user))

    def ask(authorization):
        request = RequestFactory().get("/", headers={"authorization": authorization})
        return Who.as_view()(request)

    token = AccessToken.for_user(user)
    assert ask(f"Bearer {token}").data == ask(f"JWT {token}").data == user.get_username()
    assert ask(f"bearer {token}").status_code == 401


def test_authenticates_a_plain_request_of_django(keys):
    request = RequestFactory().get("/", headers={"authorization": token_header(keys)})

    found = TokenAuthentication().authenticate(request)  # as DRF's own class does

    assert found == (keys.instance.user, keys.instance)


@pytest.mark.parametrize("authorization", ["token 0123456789abcdef", "token", "Token a b"])
@pytest.mark.parametrize("behind", [JWTAuthentication, drf.TokenAuthentication])
def test_session_between_ours_and_a_later_class_is_not_asked_first(user, authorization, behind):
    class Who(APIView):
        authentication_classes = [TokenAuthentication, drf.SessionAuthentication, behind]
        # No method: whoever is let in gets 405.

    request = RequestFactory().get("/", headers={"authorization": authorization})
    request.user = user  # signed in

    assert Who.as_view()(request).status_code == 401


def test_async_class_that_passes_a_credential_over_does_not_claim_it():
    class Async(Silent):
        async def authenticate(self, request):
            return None

    request = RequestFactory().get("/", headers={"authorization": "Bearer opaque"})
    ours = BearerAuthentication()

    with pytest.raises(RefusedCredentials):
        ours.authenticate(Request(request, authenticators=[ours, Async()]))


def test_later_class_is_called_once(user):
    """Some accept a credential once only, such as a nonce."""
    calls = []

    class Once(drf.TokenAuthentication):
        def authenticate(self, request):
            calls.append(request)
            return user, "once"

    request = RequestFactory().get("/", headers={"authorization": "Token abc"})

    assert Request(request, authenticators=[TokenAuthentication(), Once()]).user == user
    assert len(calls) == 1


def test_header_of_a_later_class_wins_over_a_session_between(user, make_user):
    token = Token.objects.create(user=user)
    request = RequestFactory().get("/", headers={"authorization": f"Token {token.key}"})
    request.user = make_user("grace")
    ours = TokenAuthentication()
    authenticators = [ours, drf.SessionAuthentication(), drf.TokenAuthentication()]

    assert Request(request, authenticators=authenticators).user == user
