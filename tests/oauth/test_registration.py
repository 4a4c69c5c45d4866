"""Clients that register themselves: what they may say, and what they can get."""

import json
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db.models.signals import pre_delete
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application, Grant, RefreshToken, set_token_value
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.settings import oauth2_settings

from frappe_tokens.contrib.oauth2.registration_check import check_registration

from .conftest import METHODS, REDIRECT_URI, drf, refusal, set_user
from .test_addresses import (
    BROWSER,
    FORMS,
    answer,
    back,
    code_for,
    redeem,
    url_of,
)
from .test_addresses import (
    ada as ada,
)

pytestmark = pytest.mark.django_db

REGISTER = METHODS + "register_client"
DAY = timedelta(days=1)

# As frappectl sends it.
METADATA = {
    "client_name": "frappectl",
    "redirect_uris": ["http://127.0.0.1:9876/callback"],
    "token_endpoint_auth_method": "none",
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "scope": "openid all",
}


@pytest.fixture
def registering(settings):
    """Allows registration: ``registering(OAUTH_REGISTRATION_LIMIT=None)``."""
    cache.clear()

    def allow(**own):
        settings.FRAPPE_TOKENS = {
            **settings.FRAPPE_TOKENS,
            "OAUTH_DYNAMIC_REGISTRATION": True,
            "OAUTH_REGISTRATION_SCOPES": ["read", "todos", "openid"],
            **own,
        }

    allow()
    return allow


def register(url=REGISTER, *, address="192.0.2.1", **changes):
    sent = {name: value for name, value in {**METADATA, **changes}.items() if value is not None}
    return Client(REMOTE_ADDR=address).post(url, json.dumps(sent), "application/json")


def registered(**changes):
    response = register(**{"redirect_uris": [REDIRECT_URI], **changes})
    assert response.status_code == 201, response.content
    return Application.objects.get(client_id=response.json()["client_id"])


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("form", FORMS)
def test_client_registers_with_frappes_answer(registering, form, slash):
    response = register(f"{form}register_client{slash}", client_uri="https://cli.example.com")

    assert response.status_code == 201
    assert "no-store" in response["Cache-Control"]
    application = Application.objects.get()
    issued_at = int(application.created.timestamp())
    assert response.json() == {
        "client_id": application.client_id,
        "client_id_issued_at": issued_at,
        "client_secret_expires_at": 0,
        "client_name": "frappectl",
        "client_uri": "https://cli.example.com",
        "redirect_uris": ["http://127.0.0.1:9876/callback"],
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": "openid",
    }
    assert (application.client_type, application.user) == ("public", None)
    assert application.registration_source == "dcr"
    assert not application.skip_authorization
    assert not AccessToken.objects.exists()


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_client_that_asks_for_a_secret_gets_one(registering, ada, method):
    response = register(token_endpoint_auth_method=method, redirect_uris=[REDIRECT_URI])

    sent = response.json()
    assert sent["token_endpoint_auth_method"] == method
    application = Application.objects.get()
    assert application.client_type == "confidential"
    assert sent["client_secret"] not in application.client_secret
    code = code_for(ada, application)
    secret = {"client_secret": sent["client_secret"]}
    assert redeem(application, code).json()["error"] == "invalid_client"
    assert redeem(application, code, **secret).status_code == 200


def test_client_that_says_little_is_public_and_may_have_every_declared_scope(registering):
    response = register(
        client_name=None,
        token_endpoint_auth_method=None,
        grant_types=None,
        response_types=None,
        scope=None,
    )

    assert response.json()["token_endpoint_auth_method"] == "none"
    assert "client_secret" not in response.json()
    assert set(response.json()["scope"].split()) == {"read", "todos", "openid"}


def test_nobody_registers_where_it_is_off(settings):
    response = register()

    assert (response.status_code, response.json()) == (404, {"error": "not_found"})
    assert not Application.objects.exists()
    metadata = Client().get("/.well-known/oauth-authorization-server").json()
    assert "registration_endpoint" not in metadata


def test_metadata_name_the_address(registering):
    for document in ("oauth-authorization-server", "openid-configuration"):
        metadata = Client().get(f"/.well-known/{document}").json()
        assert metadata["registration_endpoint"] == f"http://testserver{REGISTER}"


@pytest.mark.parametrize(
    "change",
    [
        {"redirect_uris": None},
        {"redirect_uris": []},
        {"redirect_uris": REDIRECT_URI},
        {"redirect_uris": [1]},
        {"redirect_uris": [REDIRECT_URI] * 11},
        *(
            {"redirect_uris": [REDIRECT_URI, uri]}
            for uri in (
                "",
                "/callback",
                "http://app.example.com/callback",
                "http://127.0.0.1.example.com/callback",
                "http://127.0.0.1@evil.example.com/",
                "http://[::1/",
                "https://app.example.com/#fragment",
                "https://app.example.com/#",
                "https://*.example.com/callback",
                "https://user@app.example.com/",
                "https://",
                "https:///callback",
                "https://-/callback",
                "https://app.example.com/a b",
                "https://app.example.com/\x1f",
                "https://ëxample.com/",
                "https://app.example.com:99999/",
                "javascript:alert(1)",
                "data:text/html,x",
                "myapp://callback",
                "ftp.example.com",
            )
        ),
        {"client_name": ["x"]},
        {"client_name": "x" * 256},
        {"client_name": "Frappe\u202etcel"},
        {"client_uri": {"a": 1}},
        {"token_endpoint_auth_method": "private_key_jwt"},
        {"token_endpoint_auth_method": ["none"]},
        {"grant_types": ["client_credentials"]},
        {"grant_types": ["authorization_code", "password"]},
        {"grant_types": ["refresh_token"]},
        {"grant_types": "authorization_code"},
        {"response_types": ["token"]},
        {"response_types": ["code", "token"]},
        {"scope": 1},
    ],
    ids=str,
)
def test_wrong_metadata_are_refused_and_count_for_nothing(registering, change):
    registering(OAUTH_REGISTRATION_LIMIT="1/hour")

    response = register(**change)

    assert response.status_code == 400
    assert response.json()["error"] == "invalid_client_metadata"
    assert response.json()["error_description"]
    assert not Application.objects.exists()
    assert register().status_code == 201


@pytest.mark.parametrize("body", ["", "{", "null", "[]", '"x"', "[" * 20_000, b"\xff"], ids=repr)
def test_body_that_is_no_json_object_is_refused(registering, body):
    response = Client().post(REGISTER, body, "application/json")

    assert response.status_code == 400
    assert response.json()["error"] in ("invalid_client_metadata", "invalid_request")


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example.com/callback?tenant=1",
        "http://127.0.0.1/callback",
        "http://[::1]:4711/callback",
        "http://localhost:3000/callback",
        "com.example.app:/oauth2redirect",
        "com.example.app://callback",
    ],
)
def test_redirect_uris_of_native_apps_work_to_the_end(registering, ada, uri):
    client = registered(redirect_uris=[uri])

    answered = answer(ada, client, {"allow": "true"}, redirect_uri=uri)

    assert answered.status_code == 302
    assert answered["Location"].startswith(uri + ("&" if "?" in uri else "?"))
    code = answered["Location"].partition("code=")[2].partition("&")[0]
    assert redeem(client, code, redirect_uri=uri).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_port_of_a_loopback_address_may_be_any(registering, ada, host):
    client = registered(redirect_uris=[f"http://{host}/callback"])

    answered = answer(ada, client, {"allow": "true"}, redirect_uri=f"http://{host}:50123/callback")

    assert answered["Location"].startswith(f"http://{host}:50123/callback?code=")
    other_path = url_of(client, redirect_uri=f"http://{host}:50123/other")
    assert ada.get(other_path).status_code == 400


def test_error_reaches_a_program_on_the_users_device(registering, ada):
    uri = "http://127.0.0.1:9876/callback"
    client = registered(redirect_uris=[uri])

    sent = ada.get(url_of(client, redirect_uri=uri, scope="write"))

    assert sent.status_code == 302
    assert sent["Location"].startswith(f"{uri}?error=invalid_scope")
    assert "iss=http%3A%2F%2Ftestserver" in sent["Location"]


def test_registrations_are_limited_for_each_address_and_for_all(registering):
    registering(OAUTH_REGISTRATION_LIMIT="2/hour")
    addresses = [f"192.0.2.{number}" for number in range(100)]

    first = [register(address=address).status_code for address in addresses]
    second = [register(address=address).status_code for address in addresses]
    refused = register(address=addresses[0])
    other = register(address="198.51.100.1")

    assert {*first, *second} == {201}
    for response in (refused, other):
        assert response.status_code == 429
        assert 0 < int(response["Retry-After"]) <= 3600
        assert response.json()["error"] == "temporarily_unavailable"
    assert Application.objects.count() == 200
    registering(OAUTH_REGISTRATION_LIMIT=None)
    assert register(address=addresses[0]).status_code == 201


def test_nobody_registers_while_the_cache_is_away(registering, settings, caplog):
    settings.CACHES = {"default": {"BACKEND": "tests.caches.DeadCache"}}

    response = register()

    assert (response.status_code, response["Retry-After"]) == (429, "5")
    assert "OAuth 2 clients can't register" in caplog.text
    assert not Application.objects.exists()


@pytest.mark.parametrize(
    ("skip_authorization", "changes"),
    [(False, {}), (True, {}), (False, {"approval_prompt": "auto"})],
)
def test_user_is_warned_and_always_asked(
    registering, ada, user, issue, skip_authorization, changes
):
    client = registered()
    issue(user, "read todos", application=client)  # gave access before
    Application.objects.update(skip_authorization=skip_authorization)

    page = ada.get(url_of(client, **changes))

    assert page.status_code == 200
    assert "This application registered itself" in page.content.decode()
    assert "Use the to-do list" in page.content.decode()
    assert not Grant.objects.exists()


class Consenting(OAuth2Validator):
    """Of a project whose users need not be asked again."""

    def validate_silent_login(self, request):
        return True

    def validate_silent_authorization(self, request):
        return True


def test_client_that_wants_no_question_is_refused(registering, ada, toolkit):
    toolkit(OIDC_ENABLED=True, OAUTH2_VALIDATOR_CLASS=f"{__name__}.Consenting")
    client = registered()
    Application.objects.update(skip_authorization=True)

    sent = back(ada.get(url_of(client, prompt="none", scope="openid")))

    assert sent["error"] == "consent_required"


def test_checked_client_may_skip_the_question(ada, public):
    Application.objects.update(skip_authorization=True)

    assert "code" in back(ada.get(url_of(public)))


def test_registered_client_always_needs_pkce_with_s256(registering, ada, toolkit):
    toolkit(PKCE_REQUIRED=False, COMPLIANT_BCP_RFC9700_PKCE_METHOD=False)
    client = registered(token_endpoint_auth_method="client_secret_post")

    for changes in (
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
    ):
        assert back(ada.get(url_of(client, **changes)))["error"] == "invalid_request"


def test_registered_client_gets_declared_scopes_only(registering, ada, user):
    client = registered()

    sent = redeem(client, code_for(ada, client, scope="read write todos events openid")).json()

    assert set(sent["scope"].split()) == {"read", "todos", "openid"}
    assert back(ada.get(url_of(client, scope="write events")))["error"] == "invalid_scope"
    default = redeem(client, code_for(ada, client, scope=None)).json()
    assert set(default["scope"].split()) == {"read", "todos"}


def test_refresh_that_asks_for_everything_again_gets_what_was_given(registering, ada):
    client = registered()
    first = redeem(client, code_for(ada, client, scope="openid all")).json()
    assert first["scope"] == "openid"

    sent = {"grant_type": "refresh_token", "client_id": client.client_id}
    sent["refresh_token"] = first["refresh_token"]
    wrong = Client().post(METHODS + "get_token", {**sent, "scope": "write"}).json()
    second = Client().post(METHODS + "get_token", {**sent, "scope": "openid all"}).json()

    assert wrong["error"] == "invalid_scope"
    assert second["scope"] == "openid"


def test_scope_that_is_withdrawn_ends_tokens_and_is_not_given_again(registering, ada):
    client = registered()
    first = redeem(client, code_for(ada, client, scope="read todos")).json()
    bearer = f"Bearer {first['access_token']}"
    assert drf(bearer, "/api/resource/ToDo").status_code != 401

    registering(OAUTH_REGISTRATION_SCOPES=["todos"])

    assert refusal(drf(bearer, "/api/keys/self/")) == (401, "invalid_credentials")
    sent = {"grant_type": "refresh_token", "client_id": client.client_id}
    sent["refresh_token"] = first["refresh_token"]
    assert Client().post(METHODS + "get_token", sent).json()["scope"] == "todos"


def test_registered_client_runs_as_nobody_by_its_own_credentials(registering, user):
    response = register(token_endpoint_auth_method="client_secret_post")
    client = Application.objects.get()
    set_user(client, user)
    sent = {"client_id": client.client_id, "client_secret": response.json()["client_secret"]}

    refused = Client().post(METHODS + "get_token", {**sent, "grant_type": "client_credentials"})

    assert refused.json()["error"] == "unauthorized_client"


def test_admin_marks_registered_clients(registering, admin_client):
    client = registered()

    page = admin_client.get("/admin/oauth2_provider/application/?registration_source__exact=dcr")
    form = admin_client.get(f"/admin/oauth2_provider/application/{client.pk}/change/")

    assert "Dynamic Client Registration" in page.content.decode()
    assert "registration_source" not in form.context["adminform"].form.fields


def test_applications_of_the_admin_may_have_native_redirect_uris(admin_client, make_user):
    def save(uris):
        form = {
            "client_id": "app",
            "redirect_uris": uris,
            "client_type": "public",
            "authorization_grant_type": "authorization-code",
            "client_secret": "",
            "name": "App",
        }
        return admin_client.post("/admin/oauth2_provider/application/add/", form)

    refused = save("http://127.0.0.1:8080/callback http://app.example.com/callback")
    assert refused.status_code == 200
    assert "invalid_scheme" in refused.content.decode()
    saved = save("http://127.0.0.1:8080/callback com.example.app:/callback")
    assert saved.status_code == 302
    assert Application.objects.get().client_id == "app"


def unused_application(days, source="dcr"):
    """Create an application that got its last token, if any, ``days`` ago."""
    application = Application.objects.create(
        client_type="public",
        authorization_grant_type="authorization-code",
        redirect_uris=REDIRECT_URI,
        registration_source=source,
    )
    at = timezone.now() - days * DAY
    Application.objects.filter(pk=application.pk).update(created=at, updated=at)
    return application


def give(model, application, user, ended, **fields):
    token = model(user=user, application=application, **fields)
    if hasattr(model, "expires"):
        token.expires = timezone.now() - ended * DAY
    set_token_value(token, f"{model.__name__} {application.pk}")
    token.save()
    return token


def give_refresh_token(application, user, **fields):
    access_token = give(AccessToken, application, user, 80)
    return give(RefreshToken, application, user, 0, access_token=access_token, **fields)


def test_clients_that_are_not_used_are_deleted(user, capsys, toolkit):
    toolkit(REFRESH_TOKEN_EXPIRE_SECONDS=None)
    kept = [
        unused_application(29),
        unused_application(90, "manual"),
        *(unused_application(90) for _ in range(3)),
    ]
    give(AccessToken, kept[2], user, -1)
    give_refresh_token(kept[3], user)
    Grant.objects.create(
        user=user,
        application=kept[4],
        code="x",
        expires=timezone.now() + DAY,
        redirect_uri=REDIRECT_URI,
    )
    gone = [unused_application(31), unused_application(31, "cimd")]
    gone += [unused_application(90) for _ in range(3)]
    give(AccessToken, gone[0], user, 31)
    give_refresh_token(gone[2], user, revoked=timezone.now())
    give(RefreshToken, gone[3], user, 0, access_token=None)
    # The toolkit's own registration issues one that never ends.
    registration = oauth2_settings.DCR_REGISTRATION_SCOPE
    give(AccessToken, gone[4], None, -9999, scope=registration)
    # A token of no application.
    AccessToken.objects.create(user=user, token="alone", expires=timezone.now() + DAY)

    call_command("prune_oauth_applications")

    assert capsys.readouterr().out.startswith("Deleted 5 applications unused since ")
    assert {*Application.objects.all()} == {*kept}
    # A refresh token that has ended keeps nothing.
    toolkit(REFRESH_TOKEN_EXPIRE_SECONDS=14 * 24 * 3600)
    call_command("prune_oauth_applications", unused_for=30 * DAY)
    assert kept[3] not in Application.objects.all()


def test_client_that_gets_a_token_is_in_use(registering, ada):
    client = registered()
    long_ago = timezone.now() - 90 * DAY
    Application.objects.update(created=long_ago, updated=long_ago)

    redeem(client, code_for(ada, client))
    AccessToken.objects.all().delete()  # as cleartokens does with those that have expired
    RefreshToken.objects.all().delete()
    call_command("prune_oauth_applications")

    assert Application.objects.get() == client


def test_client_that_gets_a_token_while_others_are_deleted_stays(user):
    clients = [unused_application(60) for _ in range(2)]

    def use_the_other(instance, **kwargs):
        for other in clients:
            if other != instance and not AccessToken.objects.exists():
                give(AccessToken, other, user, -1)

    pre_delete.connect(use_the_other, sender=Application)
    try:
        call_command("prune_oauth_applications")
    finally:
        pre_delete.disconnect(use_the_other, sender=Application)

    assert Application.objects.count() == AccessToken.objects.count() == 1


def test_pruning_needs_a_time_and_the_toolkit(settings):
    with pytest.raises(CommandError, match="positive time"):
        call_command("prune_oauth_applications", "--unused-for", "0d")
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "oauth2_provider"]
    with pytest.raises(CommandError, match="INSTALLED_APPS"):
        call_command("prune_oauth_applications")


def test_check_names_scopes_that_no_client_can_get(registering, settings):
    assert [*check_registration()] == []

    registering(OAUTH_REGISTRATION_SCOPES=["reed"], ALL_SCOPE="everything")
    first, second = check_registration()
    assert "'reed'" in first.msg
    assert "'everything'" in second.msg
    registering(OAUTH_REGISTRATION_SCOPES=[], ALL_SCOPE="")
    (found,) = check_registration()
    assert "can't get any scope" in found.msg
    registering(OAUTH_REGISTRATION_SCOPES=1)
    assert [*check_registration()] == []


def test_preflight_is_answered_for_listed_origins_only(registering):
    registering(OAUTH_ALLOWED_ORIGINS=["https://spa.example.com"])
    preflight = {"Access-Control-Request-Method": "POST", "Origin": "https://spa.example.com"}
    addresses = ("register_client", "get_token", "revoke_token", "openid_profile")

    for name in addresses:
        response = Client().options(METHODS + name, headers=preflight)
        assert response.status_code == 204
        assert response["Access-Control-Allow-Origin"] == "https://spa.example.com"
        assert "Authorization" in response["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Credentials" not in response
        other = Client().options(
            METHODS + name, headers={**preflight, "Origin": "https://evil.example.com"}
        )
        assert (other.status_code, other.get("Access-Control-Allow-Origin")) == (204, None)
        assert "Origin" in other["Vary"]
    for name in ("authorize", "introspect_token"):
        response = Client(headers=BROWSER).options(METHODS + name, headers=preflight)
        assert "Access-Control-Allow-Origin" not in response
    answered = Client().post(METHODS + "get_token", headers={"Origin": "https://spa.example.com"})
    assert answered["Access-Control-Allow-Origin"] == "https://spa.example.com"
    registering(OAUTH_ALLOWED_ORIGINS=["*"])
    answered = Client().post(METHODS + "get_token", headers={"Origin": "https://any.example.com"})
    assert answered["Access-Control-Allow-Origin"] == "https://any.example.com"


def test_application_of_the_project_is_as_before(registering, ada, public):
    granted = redeem(public, code_for(ada, public, redirect_uri=None, scope="read write")).json()
    assert granted["scope"] == "read write"

    sent = {"grant_type": "refresh_token", "client_id": public.client_id}
    sent["refresh_token"] = granted["refresh_token"]
    more = Client().post(METHODS + "get_token", {**sent, "scope": "read write todos"})
    assert more.json()["error"] == "invalid_scope"
