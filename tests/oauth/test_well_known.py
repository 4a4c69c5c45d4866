"""The documents by which clients find the addresses."""

import jwt
import pytest
from django.test import Client
from django.urls import include, path
from jwcrypto.jwk import JWK
from oauth2_provider.models import Application

from .conftest import METHODS, REDIRECT_URI
from .test_addresses import ada, code_for, redeem

__all__ = ["ada"]

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

    told = response.json()
    assert told["issuer"] == SITE
    assert {name: told[name] for name in told if name.endswith("_endpoint")} == {
        "authorization_endpoint": f"{SITE}{METHODS}authorize",
        "token_endpoint": f"{SITE}{METHODS}get_token",
        "revocation_endpoint": f"{SITE}{METHODS}revoke_token",
        "introspection_endpoint": f"{SITE}{METHODS}introspect_token",
        "userinfo_endpoint": f"{SITE}{METHODS}openid_profile",
    }
    assert told["response_types_supported"] == ["code"]
    assert told["response_modes_supported"] == ["query"]
    assert told["grant_types_supported"] == [
        "authorization_code",
        "client_credentials",
        "refresh_token",
    ]
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert "none" in told["token_endpoint_auth_methods_supported"]
    assert "todos" in told["scopes_supported"]
    assert "registration_endpoint" not in told
    assert response["Access-Control-Allow-Origin"] == "*"


def test_documents_do_not_grow(db):
    first = document("oauth-authorization-server").json()
    assert document("oauth-authorization-server").json() == first


@pytest.mark.parametrize("slash", ["", "/"])
def test_resource_metadata(slash):
    told = document(f"oauth-protected-resource{slash}").json()
    assert told["resource"] == SITE
    assert told["authorization_servers"] == [SITE]
    assert told["bearer_methods_supported"] == ["header"]


def test_projects_own_names_win(toolkit):
    toolkit(
        OIDC_ISS_ENDPOINT="https://id.example.com",
        OAUTH2_PROTECTED_RESOURCE_IDENTIFIER="https://api.example.com",
        OAUTH2_PROTECTED_RESOURCE_AUTHORIZATION_SERVERS=["https://id.example.com"],
    )
    told = document("oauth-protected-resource").json()
    assert told["resource"] == "https://api.example.com"
    assert told["authorization_servers"] == ["https://id.example.com"]
    assert document("oauth-authorization-server").json()["issuer"] == "https://id.example.com"


@pytest.mark.parametrize("debug", [True, False])
def test_openid_connect_is_not_there_where_it_is_off(settings, debug):
    settings.DEBUG = debug
    assert document("openid-configuration").status_code == 404


@pytest.mark.parametrize("slash", ["", "/"])
def test_openid_configuration(openid, slash):
    told = document(f"openid-configuration{slash}").json()
    assert told["issuer"] == SITE
    assert told["userinfo_endpoint"] == f"{SITE}{METHODS}openid_profile"
    assert told["token_endpoint"] == f"{SITE}{METHODS}get_token"
    assert told["revocation_endpoint"] == f"{SITE}{METHODS}revoke_token"
    assert told["response_types_supported"] == ["code", "code id_token"]
    assert Client().get(told["jwks_uri"].removeprefix(SITE)).json()["keys"]


@pytest.mark.parametrize("own", ["", "https://id.example.com"])
def test_id_token_is_signed_by_the_issuer(openid, toolkit, ada, public, own):
    toolkit(OIDC_ISS_ENDPOINT=own)
    Application.objects.update(algorithm="RS256")
    code = code_for(ada, public, scope="openid", nonce="once")
    signed = redeem(public, code, redirect_uri=REDIRECT_URI).json()["id_token"]

    (key,) = jwt.PyJWKSet.from_dict(document("jwks.json").json()).keys
    told = jwt.decode(
        signed, key.key, algorithms=["RS256"], audience=public.client_id, issuer=own or SITE
    )
    assert told["nonce"] == "once"
    assert told["iss"] == document("openid-configuration").json()["issuer"]


urlpatterns = [
    path("o/", include("oauth2_provider.urls")),
    path("api/", include("frappe_tokens.contrib.oauth2.urls")),
    path("", include("frappe_tokens.contrib.oauth2.well_known")),
]


@pytest.mark.urls(__name__)
def test_toolkits_own_addresses_may_stand_beside(db, toolkit):
    toolkit(DCR_ENABLED=True)
    told = document("oauth-authorization-server").json()
    assert told["token_endpoint"] == f"{SITE}{METHODS}get_token"
    assert told["registration_endpoint"] == f"{SITE}/o/register/"
    assert (
        document("oauth-authorization-server", "/o/").json()["token_endpoint"].endswith("/token/")
    )
    assert Client().post("/o/token/").status_code == 400
    assert Client().post(METHODS + "get_token").status_code == 400
