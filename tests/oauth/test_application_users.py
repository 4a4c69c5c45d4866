"""Client credentials run as the user of their application only where that was allowed."""

import uuid
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.contrib.admin.models import LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone
from oauth2_provider.models import Application

from frappe_tokens.contrib.oauth2 import allow_application
from frappe_tokens.contrib.oauth2.application_changes import check_change, is_superuser, may_change
from frappe_tokens.keys import Actor, is_application_allowed
from frappe_tokens.models import ApiKey, OAuthApplicationUser
from frappe_tokens.verification import get_outcome

from ..commands.running import error_of, run
from .conftest import SECRET, drf, refusal, set_user

pytestmark = [pytest.mark.urls("tests.oauth.test_access_tokens"), pytest.mark.django_db]

UNKNOWN = (401, "invalid_credentials")


@pytest.fixture
def planted(confidential, make_user):
    """An application whose user was set to a superuser without asking anyone."""
    set_user(confidential, make_user("root", is_staff=True, is_superuser=True))
    return confidential


def allow_command(*client_ids):
    return run("allow_oauth_application", *client_ids)[0]


@pytest.mark.parametrize("hashed", [True, False])
def test_token_of_an_application_that_was_not_allowed_is_refused_as_an_unknown_one(
    ask, issue, planted, user, toolkit, hashed
):
    toolkit(COMPLIANT_BCP_RFC9700_TOKEN_STORAGE=hashed)
    unknown = ask("Bearer nobody-issued-this")
    header = issue(None, application=planted).header

    response = ask(header)

    assert refusal(response) == UNKNOWN
    assert response.content == unknown.content
    assert response["WWW-Authenticate"] == unknown["WWW-Authenticate"]
    # It is logged for no user, and left to no other class.
    assert get_outcome(drf(header).wsgi_request).key is None
    assert refusal(drf(header, "/drf/toolkit/")) == UNKNOWN
    # A token with a user of its own isn't the application's.
    assert ask(issue(user, application=planted).header).json() == {"user": "ada"}


def test_token_runs_as_an_ordinary_user_once_it_is_allowed(ask, issue, confidential, make_user):
    token = issue(None, application=confidential)
    set_user(confidential, make_user("grace"))
    assert refusal(ask(token.header)) == UNKNOWN

    allow_application(confidential)

    assert ask(token.header).json() == {"user": "grace"}
    set_user(confidential, None)
    assert refusal(ask(token.header)) == (401, "user_inactive")


def test_users_own_registration_is_not_allowed_to_run_as_them(client, user):
    """The toolkit's page for users asks for no permission."""
    client.force_login(user)
    sent = {"client_id": "own", "client_secret": SECRET, "client_type": "confidential"}
    sent["authorization_grant_type"] = "client-credentials"

    assert client.post("/o/applications/register/", sent).status_code == 302

    registered = Application.objects.get(client_id="own")
    assert registered.user == user
    assert not is_application_allowed(registered)


@pytest.mark.parametrize("has_actor", [True, False])
def test_trusted_code_and_those_who_may_generate_keys_allow(
    confidential, system_manager, has_actor
):
    OAuthApplicationUser.objects.all().delete()

    allow_application(confidential, by=Actor(system_manager) if has_actor else None)

    record = OAuthApplicationUser.objects.get()
    allowed_by = system_manager if has_actor else None
    assert (record.user, record.allowed_by) == (confidential.user, allowed_by)
    assert str(record) == f"application {confidential.pk}"
    assert is_application_allowed(confidential)
    history = LogEntry.objects.values_list("user", "object_id", "change_message")
    entry = (system_manager.pk, str(confidential.pk), "Allowed to run as owner.")
    assert list(history) == ([entry] if has_actor else [])


def test_others_do_not_allow(planted, system_manager, user):
    OAuthApplicationUser.objects.all().delete()

    for person in (system_manager, user):
        with pytest.raises(PermissionDenied):
            allow_application(planted, by=Actor(person))

    assert not OAuthApplicationUser.objects.exists()


@pytest.mark.parametrize(
    "policies",
    [
        {"expires_at": timezone.now() + timedelta(minutes=5)},
        {"allowed_ips": ["192.0.2.1"]},
        {"rate_limit": "1/minute"},
        {"read_only": True},
        {"scopes": ["todos"]},
    ],
    ids=lambda policies: next(iter(policies)),
)
def test_narrow_key_lets_no_application_run_as_its_user(confidential, make_user, policies):
    """An application would go on where the key ends."""
    OAuthApplicationUser.objects.all().delete()
    root = make_user("root", is_superuser=True)
    narrow, unlimited = Actor(root, ApiKey(user=root, **policies)), Actor(root, ApiKey(user=root))

    with pytest.raises(PermissionDenied):
        allow_application(confidential, by=narrow)
    assert not is_application_allowed(confidential)
    assert not may_change(confidential, narrow)
    assert not is_superuser(narrow)
    with pytest.raises(PermissionDenied):
        check_change(None, confidential.user, False, narrow)

    assert may_change(confidential, unlimited)
    allow_application(confidential, by=unlimited)
    assert is_application_allowed(confidential)


def test_missing_and_inactive_users_are_not_allowed(confidential, public):
    OAuthApplicationUser.objects.all().delete()
    confidential.user.is_active = False

    for application, code in ((confidential, "user_inactive"), (public, "no_user")):
        with pytest.raises(ValidationError) as raised:
            allow_application(application)
        assert raised.value.code == code
    assert not OAuthApplicationUser.objects.exists()


@pytest.mark.parametrize("other", ["A", "\u00e1", uuid.UUID(int=1)], ids=["case", "accent", "uuid"])
def test_primary_keys_of_text_are_compared_exactly(user, other):
    allow_application(SimpleNamespace(pk="a", user=user, user_id=user.pk))

    assert is_application_allowed(SimpleNamespace(pk="a", user_id=user.pk))
    assert not is_application_allowed(SimpleNamespace(pk=other, user_id=user.pk))


def test_next_application_with_the_client_id_is_not_allowed(issue, confidential):
    owner, client_id = confidential.user, confidential.client_id
    Application.objects.filter(pk=confidential.pk).update(client_id="renamed")

    other = Application.objects.create(client_id=client_id, user=owner)
    assert refusal(drf(issue(None, application=other).header)) == UNKNOWN
    assert drf(issue(None, application=confidential).header).status_code == 200

    Application.objects.all().delete()
    assert not OAuthApplicationUser.objects.exists()
    again = Application.objects.create(client_id=client_id, user=owner)
    assert refusal(drf(issue(None, application=again).header)) == UNKNOWN


def test_deleted_user_takes_the_record_along(confidential, make_user):
    manager = make_user("manager", is_superuser=True)
    allow_application(confidential, by=Actor(manager))
    manager.delete()
    assert OAuthApplicationUser.objects.get().allowed_by is None

    owner = confidential.user
    set_user(confidential, None)
    owner.delete()

    assert not OAuthApplicationUser.objects.exists()


def test_application_that_gets_its_old_user_back_is_not_allowed(confidential, make_user):
    owner = confidential.user
    confidential.name, confidential.client_id = "Another name", "another-id"
    confidential.save()
    assert is_application_allowed(confidential)

    for other in (make_user("grace"), None):
        allow_application(confidential)
        for user in (other, owner):
            confidential.user = user
            confidential.save()
            assert not is_application_allowed(confidential)


def test_command_allows_and_names_the_user(planted, user):
    own = Application.objects.create(client_id="own", user=user)

    output = allow_command(planted.client_id, "own", "own")

    assert output == (
        f"The application '{planted.client_id}' runs as root.\nThe application 'own' runs as ada.\n"
    )
    assert is_application_allowed(planted)
    assert is_application_allowed(own)
    assert {record.allowed_by for record in OAuthApplicationUser.objects.all()} == {None}


@pytest.mark.parametrize(
    ("client_ids", "message"),
    [
        (["own", "x", "y"], "There is no application 'x'.\nThere is no application 'y'.\n"),
        (["own", "OWN"], "There is no application 'OWN'.\n"),
        (["own", "a\x00"], "There is no application 'a\\x00'.\n"),
        (["own", "without"], "'without': The application has no user. "),
        (["own", "inactive"], "'inactive': The user is inactive. Activate the user first. "),
    ],
    ids=["unknown", "case", "NUL", "no user", "inactive user"],
)
def test_command_allows_nothing_if_one_is_wrong(make_user, settings, client_ids, message):
    Application.objects.create(client_id="own", user=make_user("ada"))
    Application.objects.create(client_id="without")
    Application.objects.create(client_id="inactive", user=make_user("grace", is_active=False))

    assert error_of("allow_oauth_application", *client_ids) == f"{message}Nothing was allowed."

    assert not OAuthApplicationUser.objects.exists()
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "oauth2_provider"]
    problem = error_of("allow_oauth_application", "own")
    assert "Add oauth2_provider to INSTALLED_APPS first" in problem
