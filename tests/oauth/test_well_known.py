"""The documents by which clients find the addresses."""

import jwt
import pytest
from django.test import Client
from django.urls import include, path, set_script_prefix
from jwcrypto.jwk import JWK
from oauth2_provider.models import Application

from .conftest import METHODS, REDIRECT_URI
from .test_addresses import ada as ada
from .test_addresses import answer, back, code_for, redeem

pytestmark = pytest.mark.django_db

SITE = "http://testserver"


def document(name, place="/"):
    return Client().get(f"{place}.well-known/{name}")


@pytest.fixture
def openid(toolkit):
    key = JWK.generate(kty="RSA", size=2048).export_to_pem(private_key=True, password=None)
    toolkit(OIDC_ENABLED=True, OIDC_RSA_PRIVATE_KEY=key.decode())


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("place", ["/", "/api/"])
def test_server_metadata(place, slash):
    response = document(f"oauth-authorization-server{slash}", place)

    content = response.json()
    assert content["issuer"] == SITE
    assert {name: url for name, url in content.items() if name.endswith("_endpoint")} == {
        "authorization_endpoint": f"{SITE}{METHODS}authorize",
        "token_endpoint": f"{SITE}{METHODS}get_token",
        "revocation_endpoint": f"{SITE}{METHODS}revoke_token",
        "introspection_endpoint": f"{SITE}{METHODS}introspect_token",
        "userinfo_endpoint": f"{SITE}{METHODS}openid_profile",
    }
    assert content["response_types_supported"] == ["code"]
    assert content["response_modes_supported"] == ["query"]
    grant_types = ["authorization_code", "client_credentials", "refresh_token"]
    assert content["grant_types_supported"] == grant_types
    assert content["code_challenge_methods_supported"] == ["S256"]
    assert "none" in content["token_endpoint_auth_methods_supported"]
    assert "todos" in content["scopes_supported"]
    assert "registration_endpoint" not in content
    assert response["Access-Control-Allow-Origin"] == "*"
    assert document(f"oauth-authorization-server{slash}", place).json() == content


@pytest.mark.parametrize("slash", ["", "/"])
def test_resource_metadata_with_the_projects_own_names(toolkit, slash):
    content = document(f"oauth-protected-resource{slash}").json()
    assert content["bearer_methods_supported"] == ["header"]
    assert (content["resource"], content["authorization_servers"]) == (SITE, [SITE])

    issuer, resource = "https://id.example.com", "https://api.example.com"
    toolkit(
        OIDC_ISS_ENDPOINT=issuer,
        OAUTH2_PROTECTED_RESOURCE_IDENTIFIER=resource,
        OAUTH2_PROTECTED_RESOURCE_AUTHORIZATION_SERVERS=[issuer],
    )
    content = document(f"oauth-protected-resource{slash}").json()
    assert (content["resource"], content["authorization_servers"]) == (resource, [issuer])
    assert document("oauth-authorization-server").json()["issuer"] == issuer


@pytest.mark.parametrize("slash", ["", "/"])
def test_openid_configuration(openid, slash):
    content = document(f"openid-configuration{slash}").json()
    assert content["issuer"] == SITE
    assert content["userinfo_endpoint"] == f"{SITE}{METHODS}openid_profile"
    assert content["token_endpoint"] == f"{SITE}{METHODS}get_token"
    assert content["revocation_endpoint"] == f"{SITE}{METHODS}revoke_token"
    assert content["response_types_supported"] == ["code", "code id_token"]
    assert Client().get(content["jwks_uri"].removeprefix(SITE)).json()["keys"]


@pytest.mark.parametrize("slash", ["", "/", "/api/mcp"])
def test_openid_configuration_without_id_tokens(slash):
    content = document(f"openid-configuration{slash}").json()

    server = document("oauth-authorization-server").json()
    assert content == {
        **server,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [],
    }
    assert content["userinfo_endpoint"] == f"{SITE}{METHODS}openid_profile"
    assert "jwks_uri" not in content
    assert document("jwks.json").status_code == 404


def test_resource_offers_everything_but_the_scope_for_everything(settings):
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "ALL_SCOPE": "all"}

    assert "all" in document("oauth-authorization-server").json()["scopes_supported"]
    offered = document("oauth-protected-resource").json()["scopes_supported"]
    assert "todos" in offered
    assert "all" not in offered


def test_metadata_of_a_path_name_the_path_and_the_one_issuer(toolkit):
    for place in ("api/mcp", "api/mcp/", "caf%C3%A9/%22"):
        content = document(f"oauth-protected-resource/{place}").json()
        assert content["resource"] == f"{SITE}/{place}"
        assert content["authorization_servers"] == [SITE]
        assert document(f"oauth-authorization-server/{place}").json()["issuer"] == SITE

    toolkit(OAUTH2_PROTECTED_RESOURCE_IDENTIFIER="https://api.example.com/")
    content = document("oauth-protected-resource/mcp").json()
    assert content["resource"] == "https://api.example.com/mcp"


@pytest.mark.parametrize("name", ["oauth-protected-resource/api/mcp", "oauth-authorization-server"])
def test_pages_of_all_origins_may_read_the_documents(name):
    asked = {"Access-Control-Request-Method": "GET", "Origin": "https://inspector.example.com"}

    preflight = Client().options(f"/.well-known/{name}", headers=asked)
    response = Client().get(f"/.well-known/{name}", headers={"Origin": asked["Origin"]})

    assert preflight.status_code == 204
    assert "MCP-Protocol-Version" in preflight["Access-Control-Allow-Headers"]
    for answered in (preflight, response):
        assert answered["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("own", ["", "https://id.example.com"])
def test_id_token_is_signed_by_the_issuer(openid, toolkit, ada, public, own):
    toolkit(OIDC_ISS_ENDPOINT=own)
    Application.objects.update(algorithm="RS256")
    code = code_for(ada, public, scope="openid", nonce="once")
    signed = redeem(public, code, redirect_uri=REDIRECT_URI).json()["id_token"]

    (key,) = jwt.PyJWKSet.from_dict(document("jwks.json").json()).keys
    content = jwt.decode(
        signed, key.key, algorithms=["RS256"], audience=public.client_id, issuer=own or SITE
    )
    assert content["nonce"] == "once"
    assert content["iss"] == document("openid-configuration").json()["issuer"]


urlpatterns = [
    path("o/", include("oauth2_provider.urls")),
    path("api/", include("frappe_tokens.contrib.oauth2.urls")),
    path("", include("frappe_tokens.contrib.oauth2.well_known")),
]


@pytest.mark.urls(__name__)
def test_there_is_one_issuer_beside_the_toolkits_own_addresses(openid, ada, public):
    Application.objects.update(algorithm="RS256")
    sent = back(answer(ada, public, {"allow": "true"}, scope="openid"))
    signed = redeem(public, sent["code"]).json()["id_token"]

    issued_by = jwt.decode(signed, options={"verify_signature": False})["iss"]
    published = document("oauth-authorization-server").json()["issuer"]
    (server,) = document("oauth-protected-resource").json()["authorization_servers"]
    assert {sent["iss"], issued_by, published, server} == {SITE}


@pytest.mark.parametrize(
    ("prefix", "own", "issuer"),
    [
        ("/app/", "", f"{SITE}/app"),
        ("/für alle/", "", f"{SITE}/f%C3%BCr%20alle"),
        ("/app/", "https://id.example.com", "https://id.example.com"),
    ],
)
def test_site_under_a_prefix_is_an_issuer_of_its_own(
    openid, toolkit, ada, public, prefix, own, issuer
):
    # Whatever answers at the root of the host must not be asked for tokens.
    toolkit(OIDC_ISS_ENDPOINT=own)
    Application.objects.update(algorithm="RS256")
    set_script_prefix(prefix)
    try:
        sent = back(answer(ada, public, {"allow": "true"}, scope="openid"))
        signed = redeem(public, sent["code"]).json()["id_token"]
        published = document("oauth-authorization-server").json()["issuer"]
        resource = document("oauth-protected-resource").json()
    finally:
        set_script_prefix("/")

    issued_by = jwt.decode(signed, options={"verify_signature": False})["iss"]
    (server,) = resource["authorization_servers"]
    issuers = {sent["iss"], issued_by, published, server, resource["resource"]}
    assert issuers == {issuer}


@pytest.mark.urls(__name__)
def test_toolkits_own_addresses_may_be_included_too(db, toolkit):
    toolkit(DCR_ENABLED=True)
    content = document("oauth-authorization-server").json()
    assert content["token_endpoint"] == f"{SITE}{METHODS}get_token"
    assert content["registration_endpoint"] == f"{SITE}/o/register/"
    toolkits = document("oauth-authorization-server", "/o/").json()
    assert toolkits["token_endpoint"].endswith("/token/")
    assert Client().post("/o/token/").status_code == 400
    assert Client().post(METHODS + "get_token").status_code == 400
