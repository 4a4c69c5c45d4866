"""The DRF classes: responses, alone and beside the classes of other packages."""

import base64
import json

import pytest
from django.test import Client, RequestFactory
from django.urls import path
from knox.auth import TokenAuthentication as Knox
from knox.models import AuthToken
from rest_framework import authentication as drf
from rest_framework.authtoken.models import Token
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import InvalidToken, TokenError
from rest_framework_simplejwt.tokens import AccessToken

from frappe_tokens import crypto
from frappe_tokens.authentication import (
    BasicAuthentication,
    BearerAuthentication,
    TokenAuthentication,
)
from frappe_tokens.crypto import Secret
from frappe_tokens.exceptions import Mistake
from frappe_tokens.keys import GeneratedKeys, generate_keys
from frappe_tokens.models import ApiKey
from frappe_tokens.rest_exceptions import RefusedCredentials

from .client import with_wrong_secret
from .conftest import PASSWORD, basic_header, bearer_header, token_header

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

OURS = [TokenAuthentication, BasicAuthentication, BearerAuthentication]
RIVALS = [drf.TokenAuthentication, drf.BasicAuthentication, JWTAuthentication]
UNKNOWN = f"ftk_unknown:fts_{'a' * 43}{crypto.checksum('fts_' + 'a' * 43)}"

INVALID = {
    "detail": "Invalid API key or API secret. Check that the token belongs to this site.",
    "code": "invalid_credentials",
}
SENTENCE = "The Authorization header contains no valid credentials. Send <api_key>:<api_secret>."
MALFORMED = {"detail": SENTENCE, "code": "malformed_credentials"}
# To Bearer alone, anything other than a pair may be an access token.
UNKNOWN_ACCESS_TOKEN = {"detail": "Invalid access token.", "code": "invalid_credentials"}
OPAQUE = {"token": MALFORMED, "basic": MALFORMED, "bearer": UNKNOWN_ACCESS_TOKEN}
CHALLENGES = {
    "token": 'token realm="api"',
    "basic": 'Basic realm="api"',
    "bearer": 'Bearer realm="api", error="invalid_token"',
}


class WhoAmI(APIView):
    """Returns the user that the request runs as."""

    permission_classes = []

    def get(self, request):
        auth = "" if request.auth is None else type(request.auth).__name__
        return Response({"user": request.user.get_username(), "auth": auth})

    post = put = patch = delete = get


def view(*classes, **attributes):
    return type("View", (WhoAmI,), {"authentication_classes": classes, **attributes}).as_view()


urlpatterns = [
    path("ours/", view(*OURS, drf.SessionAuthentication)),
    path("jwt/", view(*OURS, JWTAuthentication, drf.SessionAuthentication)),
]


def ask(view, authorization=None, method="GET", **meta):
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


def import_pair(user, api_key, api_secret):
    """Store a pair that was generated elsewhere."""
    digest = crypto.make_digest(api_secret)
    key = ApiKey.objects.create(user=user, api_key=api_key, secret_digest=digest)
    return GeneratedKeys(api_key, Secret(api_secret), key)


# Accepted and refused


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


def test_pair_from_a_frappe_site_works(user, header_of):
    pair = import_pair(user, "0a1b2c3d4e5f607", "fedcba987654321")

    assert body(ask(view(*OURS, *RIVALS), header_of(pair)))["user"] == "ada"


def test_unknown_key_and_wrong_secret_get_the_same_bytes(keys, header_of, statements):
    unknown = GeneratedKeys("ftk_unknown", keys.api_secret, keys.instance)
    headers = [header_of(pair) for pair in (with_wrong_secret(keys), unknown)]

    with statements() as verbs:
        responses = [ask(view(*OURS), header) for header in headers]

    assert verbs == ["SELECT", "SELECT"]
    assert_refused(responses[0], headers[0], INVALID)
    assert len({(response.content, repr(response.headers)) for response in responses}) == 1


@pytest.mark.parametrize("rest", ["", "=a:b", "\xa0a:b"])
@pytest.mark.parametrize("scheme", ["token", "Basic", "Bearer"])
def test_scheme_without_credential_is_refused(scheme, rest, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert_refused(ask(view(*OURS, *RIVALS), scheme + rest), scheme, MALFORMED)


@pytest.mark.parametrize(
    "classes",
    [
        OURS,
        [*reversed(OURS)],
        [BasicAuthentication, drf.SessionAuthentication],
        [drf.BasicAuthentication, *OURS],
    ],
    ids=["token", "bearer", "basic", "after another"],
)
def test_token_without_a_scheme_is_refused_by_our_first_class(classes, django_assert_num_queries):
    scheme = next(cls.scheme for cls in classes if cls in OURS)
    mistake = Mistake[f"NO_{scheme.upper()}_SCHEME"]

    with django_assert_num_queries(0):
        response = ask(view(*classes), UNKNOWN)

    expected = {"detail": str(mistake.sentence), "code": "malformed_credentials"}
    assert_refused(response, f"{scheme} x", expected)


def test_earlier_class_may_accept_a_token_without_a_scheme(user):
    class Bare(drf.BaseAuthentication):
        def authenticate(self, request):
            return user, "bare"

    assert body(ask(view(Bare, *OURS), UNKNOWN)) == {"user": "ada", "auth": "str"}
    assert ask(view(*OURS, Bare), UNKNOWN).status_code == 401


IN_ANOTHER_HEADER = (
    ', error_description="Send the token in the Authorization header, not in X-Api-Key."'
)


@pytest.mark.parametrize(
    ("sent", "hint"),
    [
        ({"HTTP_X_API_KEY": UNKNOWN}, IN_ANOTHER_HEADER),
        ({"HTTP_X_API_KEY": "0a1b2c3d4e5f607:fedcba987654321"}, IN_ANOTHER_HEADER),
        ({"HTTP_X_API_KEY": "a-key-of-another-package"}, ""),
        ({"HTTP_X_API_KEY": UNKNOWN, "HTTP_AUTHORIZATION": "Digest x"}, ""),
    ],
)
def test_challenge_says_where_a_token_in_another_header_belongs(
    sent, hint, django_assert_num_queries
):
    with django_assert_num_queries(0):
        refused = ask(view(*OURS, permission_classes=[IsAuthenticated]), **sent)
        opened = ask(view(*OURS), **sent)

    assert body(refused) == {"detail": "Authentication credentials were not provided."}
    assert refused["WWW-Authenticate"] == f'token realm="api"{hint}'
    assert (opened.status_code, "WWW-Authenticate" in opened) == (200, False)


@pytest.mark.parametrize("header", [None, "", "Digest x", "tokens a:b"])
@pytest.mark.parametrize("classes", [OURS, RIVALS[:2]], ids=["ours", "drf's"])
def test_other_scheme_passes_as_anonymous_as_in_drf(header, classes, django_assert_num_queries):
    with django_assert_num_queries(0):
        response = ask(view(*classes), header)

    assert response.status_code == 200
    assert body(response) == {"user": "", "auth": ""}


@pytest.mark.parametrize("scheme", OURS)
def test_challenge_names_the_scheme_and_the_realm(scheme, settings):
    settings.FRAPPE_TOKENS = {"REALM": "Example"}
    response = ask(view(scheme, permission_classes=[IsAuthenticated]))
    expected = CHALLENGES[scheme.scheme].partition(",")[0].replace("api", "Example")
    assert response["WWW-Authenticate"] == expected


def test_credentials_in_the_query_or_the_body_are_ignored(keys):
    token = str(keys.token)
    fields = {"api_key": keys.api_key, "api_secret": str(keys.api_secret), "token": token}
    fields |= {"access_token": token, "Authorization": token_header(keys)}

    for response in (Client().get("/ours/", fields), Client().post("/ours/", fields)):
        assert response.json() == {"user": "", "auth": ""}


# Reasons


@pytest.mark.parametrize(("required", "named"), [(["a", "b"], ', scope="a b"'), ([], "")])
def test_bearer_challenge_names_the_scopes_of_the_view(user, required, named):
    header = bearer_header(generate_keys(user, scopes=["todo"]))

    response = ask(view(*OURS, required_scopes=required), header)

    assert (response.status_code, body(response)["code"]) == (403, "insufficient_scope")
    challenge = f'Bearer realm="api", error="insufficient_scope"{named}'
    assert response["WWW-Authenticate"] == challenge


@pytest.mark.parametrize(
    ("sent", "becomes", "status"),
    [("POST", "GET", 403), ("GET", "POST", 403), ("GET", "HEAD", 200), ("GET", "get", 403)],
)
def test_read_only_key_needs_a_safe_method_before_and_after_an_override(
    user, sent, becomes, status
):
    limited = generate_keys(user, read_only=True)
    whoami = view(*OURS)

    def override(request):
        request.method = becomes
        return whoami(request)

    assert ask(override, token_header(limited), sent).status_code == status


class Overriding(WhoAmI):
    """Takes the method from a header, and sets it on DRF's request."""

    authentication_classes = OURS
    required_scopes = {"get": ["todos:read"], "delete": ["todos:write"]}

    def initialize_request(self, request, *args, **kwargs):
        request = super().initialize_request(request, *args, **kwargs)
        request.method = request.headers["X-HTTP-Method-Override"]
        return request


@pytest.mark.parametrize("policies", [{"read_only": True}, {"scopes": ["todos:read"]}])
def test_method_that_is_set_on_the_request_of_drf_opens_no_more(user, policies):
    header = token_header(generate_keys(user, **policies))

    for method, status in (("GET", 200), ("DELETE", 403)):
        response = ask(Overriding.as_view(), header, HTTP_X_HTTP_METHOD_OVERRIDE=method)
        assert response.status_code == status


# A session cookie beside the header


@pytest.fixture
def logged_in(make_user):
    make_user("grace")
    client = Client()
    assert client.login(username="grace", password=PASSWORD)
    return client


@pytest.mark.parametrize(
    "header",
    [f"token {UNKNOWN}", UNKNOWN, " token a:b", "token\xa0a:b", "Basic !", "Bearer opaque"],
)
@pytest.mark.parametrize("url", ["/ours/", "/jwt/"])
def test_session_does_not_help_a_wrong_header(logged_in, header, url):
    assert logged_in.get(url).json()["user"] == "grace"

    response = logged_in.get(url, headers={"authorization": header})

    assert response.status_code == 401
    assert response["WWW-Authenticate"]


def test_header_decides_against_another_users_session(logged_in, keys):
    logged_in.handler.enforce_csrf_checks = True
    assert logged_in.post("/ours/").status_code == 403

    response = logged_in.post("/ours/", headers={"authorization": token_header(keys)})

    assert response.json() == {"user": "ada", "auth": "ApiKey"}


@pytest.mark.parametrize(
    "classes",
    [
        [*OURS, drf.SessionAuthentication],
        [drf.SessionAuthentication, *reversed(OURS)],
        [*OURS, *RIVALS],
        [*OURS, drf.SessionAuthentication, drf.RemoteUserAuthentication],
    ],
)
def test_responses_are_the_same_in_every_order_of_the_classes(keys, header_of, classes):
    header = header_of(with_wrong_secret(keys))
    whoami = view(*classes)

    assert body(ask(whoami, header_of(keys)))["user"] == "ada"
    assert_refused(ask(whoami, header), header, INVALID)
    opaque = f"{scheme_of(header)} opaque"
    if classes[-1] is not RIVALS[-1]:
        assert_refused(ask(whoami, opaque), opaque, OPAQUE[scheme_of(header)])


# Beside the classes of other packages


class Long(AccessToken):
    """With a key of its own, since the tests' SECRET_KEY is short."""

    _token_backend = TokenBackend("HS256", "a signing key that is long enough for HS256")


class Jwt(JWTAuthentication):
    def get_validated_token(self, raw_token):
        try:
            return Long(raw_token)
        except TokenError as error:
            raise InvalidToken from error


LEFT_TO_OTHERS = [
    ([*OURS, *RIVALS], lambda user: f"Token {Token.objects.create(user=user)}", "Token a"),
    ([*OURS, Knox], lambda user: f"Token {AuthToken.objects.create(user)[1]}", "Token a"),
    ([*OURS, *RIVALS], lambda user: basic(f"{user}:{PASSWORD}"), basic("ada:wrong")),
    ([*OURS, Jwt], lambda user: f"Bearer {Long.for_user(user)}", "Bearer eyJh.eyJz.c2ln"),
]


@pytest.mark.parametrize(("classes", "header_for", "wrong"), LEFT_TO_OTHERS)
def test_credential_of_another_package_is_left_to_it(user, classes, header_for, wrong):
    theirs = ask(view(classes[-1]) if len(classes) == 4 else view(*RIVALS), wrong)

    assert body(ask(view(*classes), header_for(user)))["user"] == "ada"
    response = ask(view(*classes), wrong)
    assert response.status_code == 401
    assert body(response) == body(theirs)


def test_basic_pair_with_our_prefix_is_ours(keys):
    header = basic(f"{keys.api_key}:password")

    assert_refused(ask(view(*OURS, drf.BasicAuthentication), header), header, INVALID)


def test_jwt_that_simplejwt_passes_over_is_refused_and_not_anonymous(user, logged_in):
    # Its scheme is case-sensitive.
    header = f"bearer {Long.for_user(user)}"
    assert body(ask(view(Jwt), header)) == {"user": "", "auth": ""}

    for response in (
        ask(view(*OURS, Jwt), header),
        logged_in.get("/jwt/", headers={"authorization": header}),
        # An earlier class isn't called again.
        ask(view(Jwt, *OURS), header),
    ):
        assert_refused(response, header, UNKNOWN_ACCESS_TOKEN)


@pytest.mark.parametrize("earlier", [[], [JWTAuthentication]])
def test_class_that_wraps_ours_lets_no_credential_pass_as_anonymous(earlier):
    class Wrapped(drf.BaseAuthentication):
        def authenticate(self, request):
            return BearerAuthentication().authenticate(request)

    response = ask(view(*earlier, Wrapped), "bearer opaque")

    assert_refused(response, "bearer", UNKNOWN_ACCESS_TOKEN)


class Silent(drf.BaseAuthentication):
    """Passes over every credential."""

    def authenticate(self, request):
        return None

    def authenticate_header(self, request):
        return str(request.META["HTTP_AUTHORIZATION"].split()[0])


def test_credential_that_several_later_classes_pass_over_is_refused():
    whoami = view(*OURS, Silent, drf.SessionAuthentication, Silent)

    for header in ("token x", "Basic x", "Bearer x"):
        assert_refused(ask(whoami, header), header, OPAQUE[scheme_of(header)])


def test_pair_is_left_to_classes_of_the_same_scheme_only(user):
    class OfBearer(Silent):
        def authenticate_header(self, request):
            return "Bearer"

    pair = import_pair(user, "legacy", "a-long-legacy-secret")

    assert ask(view(BasicAuthentication, OfBearer), basic_header(pair)).status_code == 200


def test_error_page_of_a_later_class_shows_no_header(settings):
    class Failing(Silent):
        def authenticate(self, request):
            raise KeyError("x")

    with pytest.raises(KeyError) as raised:
        ask(view(*OURS, Failing), "token opaque-and-secret")

    ours = [frame for frame in raised.traceback if "frappe_tokens/" in str(frame.path)]
    assert ours
    for entry in ours:
        assert "opaque-and-secret" not in repr(dict(entry.frame.f_locals))


def test_class_that_names_another_of_its_schemes_is_called_too(user, monkeypatch):
    """simplejwt answers each of its header types and names the first of them."""
    module = "rest_framework_simplejwt.authentication"
    monkeypatch.setattr(f"{module}.AUTH_HEADER_TYPES", ("JWT", "Bearer"))
    monkeypatch.setattr(f"{module}.AUTH_HEADER_TYPE_BYTES", {b"JWT", b"Bearer"})

    whoami, token = view(BearerAuthentication, Jwt), Long.for_user(user)

    for scheme in ("Bearer", "JWT"):
        assert body(ask(whoami, f"{scheme} {token}"))["user"] == "ada"
    assert ask(whoami, f"bearer {token}").status_code == 401


def test_authenticates_a_plain_request_of_django(keys):
    request = RequestFactory().get("/", headers={"authorization": token_header(keys)})

    found = TokenAuthentication().authenticate(request)  # as DRF's own class does

    assert found == (keys.instance.user, keys.instance)


@pytest.mark.parametrize("authorization", ["token 0123456789abcdef", "token", "Token a b"])
@pytest.mark.parametrize("behind", [JWTAuthentication, drf.TokenAuthentication])
def test_session_between_ours_and_a_later_class_does_not_decide(user, authorization, behind):
    whoami = view(TokenAuthentication, drf.SessionAuthentication, behind)

    def signed_in(request):
        request.user = user
        return whoami(request)

    assert body(ask(signed_in))["user"] == "ada"
    assert ask(signed_in, authorization).status_code == 401


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
