"""What strangers have tried with the OAuth 2 addresses. None of it may work."""

import json
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
import pytest
from django.contrib import admin
from django.db import ProgrammingError, connection
from django.test import Client
from django.urls import include, path
from oauth2_provider.models import AccessToken, Application
from oauth2_provider.oauth2_validators import OAuth2Validator
from rest_framework.response import Response
from rest_framework.views import APIView

from frappe_tokens import policy
from frappe_tokens.authentication import BearerAuthentication
from frappe_tokens.contrib.oauth2.admin import guard
from frappe_tokens.contrib.oauth2.registration_check import check_registration
from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

from ..conftest import bearer_header
from .conftest import METHODS, drf
from .test_addresses import ada as ada
from .test_addresses import answer, back, code_for, form_of, question, redeem, url_of
from .test_metadata_documents import Fetcher
from .test_metadata_documents import publish as publish
from .test_registration import METADATA, REGISTER, register, registered
from .test_registration import registering as registering
from .test_well_known import openid as openid

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class Todos(APIView):
    authentication_classes = [BearerAuthentication]
    permission_classes = []
    required_scopes = ["todos"]

    def get(self, request, rest=""):
        return Response({"user": request.user.get_username()})


site = admin.AdminSite(name="partners")
site.register(Application, admin.ModelAdmin)
guard(site)
urlpatterns = [
    path("partners/", site.urls),
    path("o/", include("oauth2_provider.urls")),
    path("todos/<path:rest>", Todos.as_view()),
    path("", include("testproject.urls")),
]


def by_toolkit(browser, client, **changes):
    """Get a code by the toolkit's own page, which knows none of our rules."""
    url = "/o/authorize/?" + urlencode(question(client, **changes))
    page = browser.get(url)
    return back(browser.post(url, {**form_of(page), "allow": "true"}))["code"]


def test_registered_client_inspects_no_tokens_of_others(registering, issue, user):
    mine = register(token_endpoint_auth_method="client_secret_post").json()
    sent = {name: mine[name] for name in ("client_id", "client_secret")}
    sent["token"] = issue(user, "openid").raw

    assert Client().post(METHODS + "introspect_token", sent).status_code == 401


def test_registered_client_gets_an_id_token_that_is_signed_by_the_site(registering, openid, ada):
    client = registered()

    sent = redeem(client, code_for(ada, client, scope="openid")).json()

    assert jwt.get_unverified_header(sent["id_token"])["alg"] == "RS256"


def test_code_of_the_toolkits_page_is_worth_no_more(registering, ada, toolkit, settings):
    toolkit(COMPLIANT_BCP_RFC9700_PKCE_METHOD=False)
    client = registered()

    narrowed = redeem(client, by_toolkit(ada, client, scope="read write todos")).json()
    with pytest.warns(DeprecationWarning, match="plain"):
        plain = by_toolkit(ada, client, code_challenge_method="plain")
    nothing = by_toolkit(ada, client, scope="write")

    assert set(narrowed["scope"].split()) == {"read", "todos"}
    for code in (plain, nothing):
        assert redeem(client, code).json()["error"] == "invalid_grant"


def test_undeclared_scope_for_introspection_counts_for_nothing(
    registering, ada, toolkit, settings, issue, user
):
    toolkit(SCOPES={**settings.OAUTH2_PROVIDER["SCOPES"], "introspection": "Inspect tokens"})
    token = issue(user, "introspection", application=registered())

    caller = Client(headers={"Authorization": token.header})
    response = caller.post(METHODS + "introspect_token", {"token": issue(user).raw})

    assert response.status_code == 401


def test_check_warns_of_the_toolkits_page(registering, settings):
    (found,) = check_registration()
    assert found.id == "frappe_tokens.W018"

    registering(OAUTH_DYNAMIC_REGISTRATION=False)
    assert [*check_registration()] == []
    registering()
    settings.ROOT_URLCONF = "testproject.urls"
    assert [*check_registration()] == []
    settings.ROOT_URLCONF = "tests.no_such_module"  # which Django reports
    assert [*check_registration()] == []


class NoScopes:
    """Of a project whose table of scopes isn't there yet."""

    def get_all_scopes(self):
        raise ProgrammingError("no such table")


def test_check_needs_no_scopes_that_can_be_read(registering, toolkit, settings):
    settings.ROOT_URLCONF = "testproject.urls"
    toolkit(SCOPES_BACKEND_CLASS=f"{__name__}.NoScopes")

    assert [*check_registration()] == []


def test_withdrawn_scope_ends_introspection_codes_and_refresh_tokens(registering, ada, service):
    client = registered()
    code = code_for(ada, client, scope="read todos")
    first = redeem(client, code_for(ada, client, scope="read todos")).json()
    registering(OAUTH_REGISTRATION_SCOPES=["todos"])

    for token in (first["access_token"], first["refresh_token"]):
        assert service("introspect_token", token=token).json() == {"active": False}
    assert redeem(client, code).json()["scope"] == "todos"

    registering(OAUTH_REGISTRATION_SCOPES=["openid"])
    sent = {"grant_type": "refresh_token", "client_id": client.client_id}
    sent["refresh_token"] = first["refresh_token"]
    assert Client().post(METHODS + "get_token", sent).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("scopes", ["todos!", [""]], ids=str)
def test_malformed_scopes_open_nothing(user, scopes):
    keys = generate_keys(user, scopes=["other"])
    ApiKey.objects.update(scopes=scopes)

    assert drf(bearer_header(keys), "/todos/x").status_code == 403


@pytest.mark.parametrize("place", ["/todos/../mcp/x", "/todos/..%2fmcp/x", "/todos/./x"])
def test_dots_lead_to_no_other_resource(issue, user, place):
    token = issue(user, "todos", resource=["http://testserver/mcp"])

    assert drf(token.header, place).status_code == 401


def test_metadata_names_no_other_host(toolkit):
    document = "/.well-known/oauth-protected-resource"
    found = Client().get(f"{document}//evil.example.com/mcp").json()
    assert found["resource"] == "http://testserver/evil.example.com/mcp"

    toolkit(OAUTH2_PROTECTED_RESOURCE_IDENTIFIER="http://testserver/api")
    found = Client().get(f"{document}/api/mcp").json()
    assert found["resource"] == "http://testserver/api/mcp"


def test_hybrid_response_names_one_issuer(openid, ada, public):
    Application.objects.update(authorization_grant_type="openid-hybrid", algorithm="RS256")
    hybrid = {"response_type": "code id_token", "nonce": "n", "scope": "openid"}

    sent = urlsplit(answer(ada, public, {"allow": "true"}, **hybrid)["Location"])

    pairs = parse_qsl(sent.query) + parse_qsl(sent.fragment)
    assert [value for name, value in pairs if name == "iss"] == ["http://testserver"]


def test_code_is_never_put_into_a_fragment(ada, public):
    sent = back(ada.get(url_of(public, response_mode="fragment")))

    assert sent["error"] == "unauthorized_client"


@pytest.mark.parametrize("iss", ["", "https://id.example.com"])
def test_issuer_in_a_redirect_uri_is_replaced(ada, public, iss):
    uri = f"https://app.example.com/callback?iss={iss}&empty="
    Application.objects.update(redirect_uris=uri)

    sent = answer(ada, public, {"allow": "true"}, redirect_uri=uri)["Location"]

    pairs = parse_qsl(urlsplit(sent).query, keep_blank_values=True)
    assert [value for name, value in pairs if name == "iss"] == ["http://testserver"]
    assert ("empty", "") in pairs


class OwnIssuer(OAuth2Validator):
    def get_oidc_issuer_endpoint(self, request):
        return "https://id.example.com/tenant1"


def test_issuer_of_the_projects_validator_keeps_its_path(openid, toolkit, ada, public):
    toolkit(OAUTH2_VALIDATOR_CLASS=f"{__name__}.OwnIssuer")
    Application.objects.update(algorithm="RS256")

    signed = redeem(public, code_for(ada, public, scope="openid")).json()["id_token"]

    issued_by = jwt.decode(signed, options={"verify_signature": False})["iss"]
    assert issued_by == "https://id.example.com/tenant1"


class Strict(OAuth2Validator):
    def validate_redirect_uri(self, *args, **kwargs):
        return False


def test_projects_validator_decides_about_registered_clients_too(registering, ada, toolkit):
    toolkit(OAUTH2_VALIDATOR_CLASS=f"{__name__}.Strict")

    assert ada.get(url_of(registered())).status_code == 400


def test_document_that_is_not_there_counts_once(publish):
    sent = {"token": "x", "client_id": "https://nobody.example.com/x.json"}
    for _ in range(3):
        Client(REMOTE_ADDR="192.0.2.1").post(METHODS + "revoke_token", sent)

    assert len(Fetcher.fetched) == 1
    statuses = [register().status_code for _ in range(6)]
    assert statuses == [201] * 5 + [429]


def ignoring_case(execute, sql, *more):
    """Compare on SQLite as MySQL and MariaDB do."""
    if connection.vendor == "sqlite":
        sql = sql.replace('"client_id" = %s', '"client_id" = %s COLLATE NOCASE')
    return execute(sql, *more)


def test_document_with_another_case_is_another_client(publish, ada):
    first = publish("https://client.example.com/A.json")
    other = publish("https://client.example.com/a.json")
    ada.get(url_of(first))

    with connection.execute_wrapper(ignoring_case):
        page = ada.get(url_of(other))

    # One of them can be stored where case is ignored, and both on PostgreSQL.
    assert page.status_code == (200 if connection.vendor == "postgresql" else 400)


def test_page_of_another_site_registers_nothing(registering):
    origin = {"Origin": "https://evil.example.com"}
    response = Client().post(REGISTER, json.dumps(METADATA), "text/plain", headers=origin)

    assert response.json()["error"] == "invalid_client_metadata"
    assert not Application.objects.exists()


def test_document_for_the_implicit_flow_gets_nothing(publish, openid, toolkit, ada):
    toolkit(COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT=False)
    client = publish(grant_types=["implicit"])
    without_pkce = {"code_challenge": None, "code_challenge_method": None}
    url = url_of(client, response_type="id_token", scope="openid", nonce="n", **without_pkce)

    with pytest.warns(DeprecationWarning, match="implicit"):
        sent = ada.get(url)

    assert "error=unauthorized_client" in sent["Location"]


def test_consent_form_without_its_resource_gives_nothing(ada, public):
    url = url_of(public) + "&resource=http://testserver/a"
    form = {**form_of(ada.get(url)), "allow": "true"}
    del form["resource"]

    assert ada.post(url, form).status_code == 400


def test_staff_lift_no_limits_of_a_registered_client(registering, make_user):
    client = registered()
    names = ("change_application", "view_application")
    permissions = tuple(f"oauth2_provider.{name}" for name in names)
    staff = make_user("staff", is_staff=True, permissions=permissions)
    browser = Client()
    browser.force_login(staff)
    url = f"/partners/oauth2_provider/application/{client.pk}/change/"
    form = browser.get(url).context["adminform"].form.initial
    form = {name: value for name, value in form.items() if value not in (None, False)}

    browser.post(url, {**form, "name": "Renamed", "registration_source": "manual"})

    client.refresh_from_db()
    assert (client.name, client.registration_source) == ("Renamed", "dcr")


def test_key_may_be_narrowed_from_everything(settings):
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "ALL_SCOPE": "all"}
    same = {"allowed_ips": [], "rate_limit": "", "read_only": False, "expires_at": None}
    before = {**same, "self_rotate": False, "scopes": ["all"]}

    assert policy.widened(before, {**before, "scopes": ["todos"]}) == set()
    assert policy.widened(before, {**before, "scopes": []}) == {"scopes"}


def test_name_can_reverse_no_text_and_be_no_blank(registering, publish, ada):
    page = ada.get(url_of(publish(client_name="Frappe\u202etcel")))
    assert "\u202e" not in page.content.decode()

    assert register(client_name="  ").json()["client_name"] == ""


def test_metadata_names_a_method_once(toolkit):
    toolkit(OAUTH2_TOKEN_ENDPOINT_AUTH_METHODS_SUPPORTED=["client_secret_post", "none"])

    document = Client().get("/.well-known/oauth-authorization-server").json()

    assert document["token_endpoint_auth_methods_supported"] == ["client_secret_post", "none"]


def test_clients_without_an_address_are_not_limited_together(registering):
    registering(OAUTH_REGISTRATION_LIMIT="1/hour")

    assert [register(address="").status_code for _ in range(3)] == [201] * 3
    assert not AccessToken.objects.exists()


def test_network_of_an_ipv6_address_is_limited_as_one(registering):
    registering(OAUTH_REGISTRATION_LIMIT="1/hour")

    statuses = [register(address=f"2001:db8::{number}").status_code for number in (1, 2)]

    assert statuses == [201, 429]
    registering(OAUTH_REGISTRATION_LIMIT="2/hour")
    assert register(address="2001:db8::3").status_code == 201
